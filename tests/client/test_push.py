"""Pushing datasets to a real server: arrays, files and folders, whole and broken."""

from __future__ import annotations

import io
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from frostline_client import Client
from frostline_client.errors import InvalidError, NotFoundError

X = np.random.default_rng(8).integers(0, 256, (30, 5, 4), np.uint8)
Y = np.arange(30) % 3
NEVER_STORED = X ^ 0x55


@pytest.fixture
def zoo(bare_server: Any) -> Iterator[Client]:
    staging = bare_server.data / "staging"
    others = set(staging.iterdir())  # unfinished uploads of other tests
    with Client(bare_server.address) as client:
        yield client
    deadline = time.monotonic() + 10  # a broken stream's last shard may just be on its way
    while set(staging.iterdir()) - others:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def image(shade: int, format: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 6), (shade, 255 - shade, 7)).save(file, format)
    return file.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes of four images, JPEG and PNG."""
    for number, name in enumerate(["cat", "bird", "dog"]):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for shade in range(4):
            suffix, format = (("png", "PNG"), ("jpg", "JPEG"), ("JPEG", "JPEG"), ("PNG", "PNG"))[shade]
            (tmp_path / "pets" / name / f"{shade}.{suffix}").write_bytes(image(40 * number + shade, format))
    return tmp_path / "pets"


def stored(data: Path) -> set[Path]:
    return set((data / "blobs").glob("*/*/*"))


def is_there(zoo: Client, name: str) -> bool:
    with suppress(NotFoundError):
        zoo.datasets.get(name)
        return True
    return False


def test_arrays_are_pushed_once_and_only_what_is_new_after_that(zoo: Client) -> None:
    first = zoo.datasets.push("once", X[:20], Y[:20])
    assert (first.name, first.sent_count, first.present_count) == ("once@1", 20, 0)
    again = zoo.datasets.push("other", X, Y, class_names=["a", "b", "c"])
    assert (again.name, again.sent_count, again.present_count) == ("other@1", 10, 20)
    assert again.class_counts == (10, 10, 10)


def test_only_what_is_missing_is_sent_where_a_sample_shows_that_some_is_there(zoo: Client) -> None:
    x = np.arange(6000, dtype=np.int32).reshape(2000, 3)
    zoo.datasets.push("half", x[:1000])
    whole = zoo.datasets.push("whole", x)
    assert (whole.sent_count, whole.present_count) == (1000, 1000)


def test_a_push_of_what_is_the_newest_version_makes_none(zoo: Client) -> None:
    versions = [zoo.datasets.push("same", X, Y) for _ in range(2)]
    assert versions[0].name == versions[1].name == "same@1"
    assert versions[1].sent_count == 0


def test_rows_that_lie_otherwise_in_memory_are_the_same_examples(zoo: Client) -> None:
    base = X.astype(np.float32)
    digest = zoo.datasets.push("layout", base).digest
    for other in (np.asfortranarray(base), base.astype(">f4"), np.repeat(base, 2, axis=0)[::2]):
        assert zoo.datasets.push("layout", other).digest == digest


def test_appending_continues_the_newest_version(zoo: Client) -> None:
    zoo.datasets.push("grows", X[:10], np.array(["cat", "dog"] * 5))
    grown = zoo.datasets.push("grows", X[10:14], np.array(["dog", "ant", "ant", "cat"]), append=True)
    assert (grown.name, grown.example_count) == ("grows@2", 14)
    assert dict(zip(grown.class_names, grown.class_counts, strict=True)) == {"cat": 6, "dog": 6, "ant": 2}


def test_progress_is_told_in_examples_and_ends_complete(zoo: Client) -> None:
    told: list[tuple[int, int]] = []
    zoo.datasets.push("progress", X + 1, Y, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (30, 30)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_nan_refuses_the_push_and_is_named_or_left_out_as_asked(zoo: Client, bare_server: Any) -> None:
    x = X.astype(np.float32)
    x[3, 2, 1], x[5, 0, 0] = np.nan, np.inf
    before = stored(bare_server.data)
    with pytest.raises(InvalidError, match=r"2 of 30 .*x\[3\] has NaN at 2,1; x\[5\] has infinity at 0,0"):
        zoo.datasets.push("nan", x, Y)
    assert not is_there(zoo, "nan")
    assert stored(bare_server.data) == before
    kept = zoo.datasets.push("nan", x, Y, on_error="skip")
    assert kept.example_count == 28
    assert kept.refused == {"x[3]": "has NaN at 2,1", "x[5]": "has infinity at 0,0"}
    assert kept.class_counts == (9, 10, 9)


@pytest.mark.parametrize(
    ("x", "y", "options", "complaint"),
    [
        (X[:0], None, {}, "at least one"),
        (NEVER_STORED, Y[:7], {}, "x has 30 examples and y 7 labels"),
        (NEVER_STORED, Y - 1, {}, r"labels\[0\] is -1"),
        (NEVER_STORED, Y, {"class_names": ["a", "b"]}, r"labels\[2\] is 2: there are 2 classes"),
        (NEVER_STORED, np.full(30, np.nan), {}, "labels have to be numbers"),
        (NEVER_STORED, Y, {"on_error": "ignore"}, "on_error is 'ignore': use refuse or skip"),
        (np.arange(9), None, {}, r"push \(examples, ...\)"),
        (X.astype(str), None, {}, "push numbers"),
        (X.astype(complex), None, {}, "push numbers"),
        (np.zeros((1, 1024, 1024), np.float32), None, {}, "larger than 3 MiB"),
        (np.zeros((3, 0)), None, {}, "with values"),
        ([[1.0, 2.0], [3.0]], None, {}, "x has rows of several shapes"),
        (NEVER_STORED, [[1], [1, 2]] * 15, {}, "y has rows of several shapes"),
        (NEVER_STORED, np.full(30, 2**63 + 5, np.uint64), {}, "a label is 9223372036854775813"),
    ],
)
def test_arrays_that_make_no_dataset_are_refused_and_nothing_is_sent(
    zoo: Client, bare_server: Any, x: Any, y: Any, options: Any, complaint: str
) -> None:
    before = stored(bare_server.data)
    with pytest.raises(InvalidError, match=complaint):
        zoo.datasets.push("bad", x, y, **options)
    assert not is_there(zoo, "bad")
    assert stored(bare_server.data) == before


@pytest.mark.parametrize("name", ["", "Upper", "a b", "../x", "x" * 64])
def test_a_malformed_name_is_refused(zoo: Client, name: str) -> None:
    with pytest.raises(InvalidError):
        zoo.datasets.push(name, X, Y)


def test_files_of_arrays_are_read_by_their_keys(zoo: Client, tmp_path: Path) -> None:
    np.savez(tmp_path / "xy.npz", x=X, y=Y)
    np.savez_compressed(tmp_path / "split.npz", x_train=X[:20], y_train=Y[:20], x_test=X[20:], y_test=Y[20:])
    np.save(tmp_path / "x.npy", X)
    whole = zoo.datasets.push_file("from-xy", tmp_path / "xy.npz")
    assert zoo.datasets.push_file("from-split", tmp_path / "split.npz").digest == whole.digest
    assert zoo.datasets.push_file("from-split", tmp_path / "split.npz", split="test").example_count == 10
    assert zoo.datasets.push_path("from-npy", tmp_path / "x.npy").class_counts == ()


def test_files_that_hold_something_else_are_refused_with_what_they_hold(zoo: Client, tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", images=X, answers=Y)
    with pytest.raises(InvalidError, match=r"holds images, answers: it needs x and y"):
        zoo.datasets.push_file("bad-file", tmp_path / "other.npz")
    whole = (tmp_path / "other.npz").read_bytes()
    for name, content in {"cut.npz": whole[:300], "text.npz": b"hello", "empty.npy": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InvalidError, match="damaged"):
            zoo.datasets.push_file("bad-file", tmp_path / name)
    np.save(tmp_path / "objects.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    with pytest.raises(InvalidError, match="damaged, or not"):
        zoo.datasets.push_file("bad-file", tmp_path / "objects.npy")
    assert not is_there(zoo, "bad-file")


def test_a_split_that_a_file_lacks_is_refused_with_what_it_holds(zoo: Client, tmp_path: Path) -> None:
    np.savez(tmp_path / "xy.npz", x=X, y=Y)
    np.savez(tmp_path / "train.npz", x_train=X, y_train=Y)
    np.save(tmp_path / "x.npy", X)
    for name, message in {
        "xy.npz": "holds x, y and no split 'test': push it without naming a split",
        "train.npz": "holds x_train, y_train and no split 'test': it needs x_test and y_test",
        "x.npy": "holds one array and no split 'test': push it without naming a split",
    }.items():
        with pytest.raises(InvalidError, match=f"{name} {message}"):
            zoo.datasets.push_file("no-split", tmp_path / name, split="test")


def test_a_folder_of_images_has_its_folders_as_classes(zoo: Client, folder: Path) -> None:
    (folder / ".hidden").write_text("passed over")
    (folder / "README.txt").write_text("beside the class folders nothing is in the way")
    pushed = zoo.datasets.push_folder("pets", folder)
    assert (pushed.class_names, pushed.class_counts) == (("bird", "cat", "dog"), (4, 4, 4))
    assert (pushed.spec, pushed.example_count, pushed.sent_count) == ("image", 12, 12)
    assert zoo.datasets.push_path("pets-again", folder).sent_count == 0


@pytest.fixture
def spoiled(folder: Path) -> Path:
    """The same with a truncated image, a text named .jpg, a note and an image in no class."""
    whole = (folder / "cat" / "1.jpg").read_bytes()
    (folder / "cat" / "1.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "dog" / "fake.jpg").write_text("hello")
    (folder / "dog" / "notes.txt").write_text("hello")
    (folder / "stray.png").write_bytes(image(200))
    return folder


def test_bad_files_refuse_a_push_and_are_all_named_at_once(zoo: Client, spoiled: Path) -> None:
    with pytest.raises(InvalidError, match="so no dataset was made") as refused:
        zoo.datasets.push_folder("spoiled", spoiled)
    assert refused.value.message.startswith("4 of 15 are refused")
    for words in (
        "dog/notes.txt is not an image",
        "stray.png is in no class folder",
        "cat/1.jpg is a damaged or truncated image",
        "dog/fake.jpg is not a JPEG or PNG image",
    ):
        assert words in refused.value.message
    assert not is_there(zoo, "spoiled")


def test_bad_files_are_left_out_and_named_where_that_is_asked_for(zoo: Client, spoiled: Path) -> None:
    kept = zoo.datasets.push_folder("kept", spoiled, on_error="skip")
    assert sorted(kept.refused) == ["cat/1.jpg", "dog/fake.jpg", "dog/notes.txt", "stray.png"]
    assert dict(zip(kept.class_names, kept.class_counts, strict=True)) == {"bird": 4, "cat": 3, "dog": 4}


def test_only_the_first_ten_bad_files_are_named(zoo: Client, folder: Path) -> None:
    for number in range(25):
        (folder / "cat" / f"bad{number:02}.png").write_text("hello")
    with pytest.raises(InvalidError, match=r"25 of 37 .*cat/bad09\.png [^;]*; and 15 more\.") as refused:
        zoo.datasets.push_folder("many", folder)
    assert "bad10" not in refused.value.message


def test_a_class_folder_without_images_is_named(zoo: Client, folder: Path) -> None:
    (folder / "fish").mkdir()
    with pytest.raises(InvalidError, match="fish has no images"):
        zoo.datasets.push_folder("no-fish", folder, on_error="skip")
    with pytest.raises(InvalidError, match="has no class folders"):
        zoo.datasets.push_folder("no-classes", folder / "cat")
    assert not is_there(zoo, "no-fish")


def test_a_folder_of_bad_images_alone_makes_no_dataset(zoo: Client, tmp_path: Path) -> None:
    (tmp_path / "all" / "bad").mkdir(parents=True)
    (tmp_path / "all" / "bad" / "1.png").write_text("hello")
    with pytest.raises(InvalidError, match="1 of 1"):
        zoo.datasets.push_folder("all-bad", tmp_path / "all", on_error="skip")
    assert not is_there(zoo, "all-bad")


class BreakingProxy:
    """Passes bytes on to a server, and breaks its first connection after some of them.

    The next ones are let through once the server has stored what came whole, which is when it has another blob.
    """

    def __init__(self, address: str, data: Path, break_after: int) -> None:
        host, _, port = address.rpartition(":")
        self._server = (host, int(port))
        self._blobs = data / "blobs"
        self._break_after = break_after
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.passed = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        blobs = self._count()
        self._connect(self._listener.accept()[0], self._break_after).join()
        deadline = time.monotonic() + 10
        while self._count() == blobs and time.monotonic() < deadline:
            time.sleep(0.02)
        with suppress(OSError):  # the listener was closed
            while True:
                self._connect(self._listener.accept()[0], 1 << 60)

    def _connect(self, client: socket.socket, limit: int) -> threading.Thread:
        server = socket.create_connection(self._server)
        threading.Thread(target=self._pass, args=(server, client, 1 << 60), daemon=True).start()
        forth = threading.Thread(target=self._pass, args=(client, server, limit), daemon=True)
        forth.start()
        return forth

    def _pass(self, source: socket.socket, target: socket.socket, limit: int) -> None:
        passed = 0
        with suppress(OSError):
            while passed < limit and (piece := source.recv(1 << 16)):
                target.sendall(piece)
                passed += len(piece)
                if limit == self._break_after:
                    self.passed = passed
                    time.sleep(0.004)  # slower than the server, which else has much unread when the connection breaks
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _count(self) -> int:
        return sum(1 for path in self._blobs.rglob("*") if path.is_file())


def test_a_push_goes_on_after_a_broken_connection_where_it_was(bare_server: Any) -> None:
    x = np.random.default_rng(9).integers(0, 256, (20_000, 600), np.uint8)  # 12 MB
    proxy = BreakingProxy(bare_server.address, bare_server.data, 9_000_000)
    with Client(proxy.address) as zoo:
        pushed = zoo.datasets.push("broken", x, np.arange(20_000) % 10)
    proxy.close()
    assert pushed.example_count == 20_000
    assert 9_000_000 <= proxy.passed < x.nbytes
    assert pushed.present_count > 3_000  # 5 MB may have been on their way into Python when the connection broke


def test_a_push_that_its_caller_breaks_off_leaves_no_dataset_and_nothing_staged(zoo: Client) -> None:
    def stop(done: int, total: int) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        zoo.datasets.push("stopped", X + 2, Y, progress=stop)
    assert not is_there(zoo, "stopped")


def test_what_has_no_end_is_refused_and_not_waited_for(zoo: Client, tmp_path: Path, folder: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(InvalidError, match=r"pipe\.npz is a pipe, a socket or a device"):
        zoo.datasets.push_path("never", tmp_path / "pipe.npz")
    with pytest.raises(InvalidError, match=r"pipe\.npz is a pipe"):
        zoo.models.import_file(tmp_path / "pipe.npz", "never")
    (tmp_path / "net.onnx").write_bytes(b"x")
    with pytest.raises(InvalidError, match=r"pipe\.npz is a pipe"):
        zoo.models.import_file(tmp_path / "net.onnx", "never", companions=[tmp_path / "pipe.npz"])
    place = next(entry for entry in folder.iterdir() if entry.is_dir()) / "pipe.jpg"
    os.mkfifo(place)
    with pytest.raises(InvalidError, match=r"pipe\.jpg is not a file with contents"):
        zoo.datasets.push_folder("never", folder)
    assert not is_there(zoo, "never")
