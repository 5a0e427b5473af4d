"""Blob stores: what every one promises, and what the local one does with files.

A store's tests derive from `BlobStoreContract` and give it a `store` and a `change`, which alters one stored byte of a
blob behind the store's back.
"""

from __future__ import annotations

import errno
import os
import random
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from frostline_zoo.blobs.local import LocalBlobStore
from frostline_zoo.blobs.staged import StagedFile
from frostline_zoo.blobs.staging import Staging
from frostline_zoo.blobs.store import BlobStore
from frostline_zoo.digests import digest_of
from frostline_zoo.errors import (
    CorruptError,
    ExhaustedError,
    InvalidError,
    NotFoundError,
    OutOfRangeError,
    UnavailableError,
)

ABSENT = digest_of(b"never stored")
LARGE = bytes(range(256)) * (10 << 10) + b"tail"  # 2.5 MiB: three pieces


class BlobStoreContract:
    """The behaviour that must never differ between stores."""

    @pytest.mark.parametrize("content", [b"", b"x", LARGE])
    def test_what_was_put_comes_back_under_its_digest(self, store: BlobStore, content: bytes) -> None:
        digest = store.put(content)
        assert digest == digest_of(content)
        assert store.get(digest) == content
        assert store.size(digest) == len(content)

    def test_putting_the_same_bytes_twice_is_no_error(self, store: BlobStore) -> None:
        assert store.put(b"twice") == store.put(b"twice")

    def test_a_file_is_stored_and_gone_afterwards(self, store: BlobStore, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(LARGE)
        store.put_staged(StagedFile(tmp_path / "file"), digest_of(LARGE))
        assert store.get(digest_of(LARGE)) == LARGE
        assert not (tmp_path / "file").exists()

    def test_a_staged_file_is_filled_and_put(self, store: BlobStore) -> None:
        with store.stage() as staged:
            staged.append(b"hello ")
            staged.append(b"there")
            store.put_staged(staged, staged.digest)
        assert store.get(digest_of(b"hello there")) == b"hello there"
        with store.stage() as staged:
            staged.append(b"never put")
        assert list(store.staging.iterdir()) == []

    def test_a_file_of_this_machine_has_a_blob_s_bytes(self, store: BlobStore) -> None:
        assert store.local_path(store.put(LARGE)).read_bytes() == LARGE
        with pytest.raises(NotFoundError, match=ABSENT):
            store.local_path(ABSENT)

    def test_a_file_with_another_digest_is_refused_and_leaves_nothing(self, store: BlobStore, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"other")
        with pytest.raises(InvalidError, match=ABSENT) as refusal, StagedFile(tmp_path / "file") as staged:
            store.put_staged(staged, ABSENT)
        assert refusal.value.reason == "DIGEST_MISMATCH"
        assert not store.has(ABSENT)
        assert not store.has(digest_of(b"other"))
        assert not (tmp_path / "file").exists()

    def test_many_are_put_at_once_and_equal_ones_once(self, store: BlobStore) -> None:
        contents = [bytes([number]) * 1000 * number for number in (*range(1, 40), *range(1, 40))]
        store.put_all(contents)
        assert [store.get(digest_of(content)) for content in contents] == contents
        assert list(store.staging.iterdir()) == []

    def test_a_blob_that_was_never_stored_is_not_found(self, store: BlobStore) -> None:
        assert not store.has(ABSENT)
        for ask in (store.get, store.size, store.read):
            with pytest.raises(NotFoundError, match=ABSENT):
                ask(ABSENT)

    def test_missing_names_what_is_not_there_in_order(self, store: BlobStore) -> None:
        there, other = store.put(b"there"), digest_of(b"other")
        assert store.missing([other, there, ABSENT]) == [other, ABSENT]

    @pytest.mark.parametrize("text", ["", "sha256:", "sha256:" + "A" * 64, "../../etc/passwd", ABSENT + "/.."])
    def test_what_is_not_a_digest_is_refused(self, store: BlobStore, text: str) -> None:
        for ask in (store.has, store.get, store.size, store.read):
            with pytest.raises(InvalidError):
                ask(text)

    @pytest.mark.parametrize(
        ("offset", "limit"), [(0, None), (1, None), (1 << 20, 5), (7, 2 << 20), (len(LARGE), None)]
    )
    def test_a_part_is_read_in_pieces_of_at_most_a_mebibyte(
        self, store: BlobStore, offset: int, limit: int | None
    ) -> None:
        pieces = list(store.read(store.put(LARGE), offset, limit))
        assert b"".join(pieces) == LARGE[offset:][:limit]
        assert all(0 < len(piece) <= 1 << 20 for piece in pieces)

    @pytest.mark.parametrize("offset", [-1, len(LARGE) + 1])
    def test_an_offset_outside_the_blob_is_out_of_range(self, store: BlobStore, offset: int) -> None:
        with pytest.raises(OutOfRangeError):
            store.read(store.put(LARGE), offset)

    def test_changed_bytes_are_never_served_whole(self, store: BlobStore, change: Callable[[str], None]) -> None:
        digest = store.put(LARGE)
        change(digest)
        received: list[bytes] = []
        with pytest.raises(CorruptError, match=digest):
            received.extend(store.read(digest))
        assert len(b"".join(received)) < len(LARGE)

    def test_a_change_outside_the_part_that_is_read_is_found_too(
        self, store: BlobStore, change: Callable[[str], None]
    ) -> None:
        digest = store.put(LARGE)
        change(digest)
        with pytest.raises(CorruptError):
            list(store.read(digest, len(LARGE) - 4, 4))

    def test_a_changed_blob_stays_refused_until_it_is_put_again(
        self, store: BlobStore, change: Callable[[str], None]
    ) -> None:
        digest = store.put(LARGE)
        change(digest)
        for _ in range(2):
            with pytest.raises(CorruptError):
                store.get(digest)
        assert store.missing([digest]) == [digest]
        store.put(LARGE)
        assert store.get(digest) == LARGE


@pytest.fixture
def store(tmp_path: Path) -> LocalBlobStore:
    return LocalBlobStore(tmp_path / "data")


class TestLocalBlobStore(BlobStoreContract):
    @pytest.fixture
    def change(self, store: LocalBlobStore) -> Callable[[str], None]:
        def change(digest: str) -> None:
            path = store.local_path(digest)
            content = bytearray(path.read_bytes())
            content[0] ^= 1
            path.write_bytes(content)

        return change


def test_a_blob_is_one_file_under_the_first_two_digits(store: LocalBlobStore, tmp_path: Path) -> None:
    digest = store.put(b"content")
    path = tmp_path / "data/blobs/sha256" / digest[7:9] / digest[9:]
    assert store.local_path(digest) == path
    assert path.read_bytes() == b"content"


FILLER = """
import resource, signal, sys
from pathlib import Path
from frostline_zoo.blobs.local import LocalBlobStore
from frostline_zoo.errors import ExhaustedError
store = LocalBlobStore(Path(sys.argv[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    store.put(bytes(2 << 20))
except ExhaustedError as refusal:
    print(refusal.reason)
"""


def test_a_disk_that_takes_no_more_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    child = subprocess.run([sys.executable, "-c", FILLER, tmp_path], capture_output=True, text=True, check=True)
    assert child.stdout == "STORAGE_FULL\n"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


class FailingDisk:
    """Makes the next sync of a file, or of a folder, fail as a disk does; the ones after it succeed, as they do."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._sync = os.fsync
        self._patch = patch

    def fails_next(self, what: Callable[[int], bool], code: int = errno.EIO) -> None:
        def fsync(descriptor: int) -> None:
            if what(os.fstat(descriptor).st_mode):
                self._patch.setattr(os, "fsync", self._sync)
                raise OSError(code, os.strerror(code))
            self._sync(descriptor)

        self._patch.setattr(os, "fsync", fsync)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> FailingDisk:
    return FailingDisk(monkeypatch)


@pytest.mark.parametrize(
    ("what", "code"),
    [(stat.S_ISREG, errno.EIO), (stat.S_ISDIR, errno.EIO), (stat.S_ISDIR, errno.ENOSPC)],
    ids=["file", "folder", "full folder"],
)
def test_after_a_failed_sync_nothing_is_acknowledged_until_the_store_is_opened_again(
    store: LocalBlobStore, disk: FailingDisk, tmp_path: Path, what: Callable[[int], bool], code: int
) -> None:
    before = store.put(b"before")
    disk.fails_next(what, code)
    for content in (b"lost", b"lost", b"before", b"after"):
        with pytest.raises(UnavailableError, match="check the disk, then restart the server"):
            store.put(content)
    assert store.get(before) == b"before"
    again = LocalBlobStore(tmp_path / "data")
    assert again.get(again.put(b"lost")) == b"lost"


def test_where_one_of_many_cannot_be_kept_none_is_acknowledged(store: LocalBlobStore, disk: FailingDisk) -> None:
    disk.fails_next(stat.S_ISREG)
    with pytest.raises(UnavailableError, match="check the disk"):
        store.put_all([bytes([number]) for number in range(30)])


def test_bytes_whose_sync_failed_are_written_anew(store: LocalBlobStore, disk: FailingDisk) -> None:
    staged = store.stage()
    staged.append(b"lost")
    disk.fails_next(stat.S_ISREG, errno.ENOSPC)
    with pytest.raises(ExhaustedError):
        store.put_staged(staged, digest_of(b"lost"))
    assert not staged.path.exists()
    assert store.get(store.put(b"lost")) == b"lost"


WRITER = """
import os, sys
from pathlib import Path
from frostline_zoo.blobs.local import LocalBlobStore
store = LocalBlobStore(Path(sys.argv[1]))
number = 0
while True:
    number += 1
    print(store.put(os.urandom(1 << 16) * (number % 4)), flush=True)
"""


def test_a_killed_writer_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    chance = random.Random(5)
    for _ in range(8):
        child = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        acknowledged = [child.stdout.readline().strip()]
        time.sleep(chance.uniform(0, 0.05))
        os.kill(child.pid, signal.SIGKILL)
        acknowledged += [line.strip() for line in child.stdout if line.endswith("\n")]
        child.wait()
        store = LocalBlobStore(tmp_path)
        for digest in acknowledged:
            store.get(digest)
        visible = [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
        for path in visible:
            assert digest_of(path.read_bytes()) == f"sha256:{path.parent.name}{path.name}"
        Staging(store).clean()
        assert list(store.staging.iterdir()) == []
