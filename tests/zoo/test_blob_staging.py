"""Unfinished uploads: going on, taking over, expiring."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from frostline_zoo.blobs.local import LocalBlobStore
from frostline_zoo.blobs.staging import KEPT_SECONDS, Staging
from frostline_zoo.digests import digest_of
from frostline_zoo.errors import InvalidError, OutOfRangeError

LARGE = bytes(range(256)) * (10 << 10)


@pytest.fixture
def store(tmp_path: Path) -> LocalBlobStore:
    return LocalBlobStore(tmp_path / "data")


@pytest.fixture
def staging(store: LocalBlobStore) -> Staging:
    return Staging(store)


def test_an_upload_goes_on_where_it_ended(store: LocalBlobStore, staging: Staging) -> None:
    digest = digest_of(LARGE)
    first = staging.open(digest, 0)
    first.append(LARGE[:1000])
    staging.close(first)
    assert staging.committed_size(digest) == 1000
    second = staging.open(digest, 1000)
    second.append(LARGE[1000:])
    second.store(store, len(LARGE))
    staging.close(second)
    assert store.get(digest) == LARGE
    assert list(store.staging.iterdir()) == []


def test_an_upload_goes_on_at_its_committed_size_only(staging: Staging) -> None:
    digest = digest_of(LARGE)
    upload = staging.open(digest, 0)
    upload.append(LARGE[:10])
    staging.close(upload)
    with pytest.raises(OutOfRangeError, match="go on at 10"):
        staging.open(digest, 11)


def test_an_upload_started_anew_forgets_what_was_there(store: LocalBlobStore, staging: Staging) -> None:
    digest = digest_of(b"right")
    staging.open(digest, 0).append(b"wrong start")
    upload = staging.open(digest, 0)
    upload.append(b"right")
    upload.store(store, 5)
    assert store.get(digest) == b"right"


def test_whoever_goes_on_with_an_upload_takes_it_over(staging: Staging) -> None:
    digest = digest_of(LARGE)
    first = staging.open(digest, 0)
    first.append(LARGE[:10])
    staging.open(digest, 10)
    with pytest.raises(OutOfRangeError, match="another client"):
        first.append(LARGE[10:])


def test_an_upload_of_other_bytes_is_refused_and_forgotten(store: LocalBlobStore, staging: Staging) -> None:
    digest = digest_of(b"right")
    upload = staging.open(digest, 0)
    upload.append(b"wrong")
    with pytest.raises(InvalidError, match=digest):
        upload.store(store, 5)
    assert staging.committed_size(digest) == 0
    assert not store.has(digest)


def test_an_upload_that_is_too_short_stays_to_be_gone_on_with(store: LocalBlobStore, staging: Staging) -> None:
    digest = digest_of(LARGE)
    upload = staging.open(digest, 0)
    upload.append(LARGE[:10])
    with pytest.raises(InvalidError, match="10 of"):
        upload.store(store, len(LARGE))
    assert staging.committed_size(digest) == 10


def test_an_upload_is_forgotten_after_an_hour(store: LocalBlobStore, staging: Staging) -> None:
    digest = digest_of(LARGE)
    upload = staging.open(digest, 0)
    upload.append(LARGE[:10])
    staging.close(upload)
    (path,) = store.staging.iterdir()
    long_ago = time.time() - KEPT_SECONDS - 1
    os.utime(path, (long_ago, long_ago))
    assert staging.committed_size(digest) == 0
    staging.open(digest_of(b"another"), 0)
    assert not path.exists()


def test_cleaning_keeps_fresh_uploads_and_nothing_else(store: LocalBlobStore, staging: Staging) -> None:
    staging.open(digest_of(LARGE), 0)
    store.stage()
    (store.staging / "export").mkdir()
    (store.staging / "export" / "network.keras").write_bytes(b"half")
    staging.clean()
    assert [path.name for path in store.staging.iterdir()] == ["upload-" + digest_of(LARGE)[7:]]
