"""Contents in shards: taken in, found again, never used where they have changed."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import Engine

from frostline_zoo.blobs.local import LocalBlobStore
from frostline_zoo.catalogue.database import connect, migrate
from frostline_zoo.examples.contents import Contents
from frostline_zoo.examples.shards import shard_pieces
from frostline_zoo.examples.spec import Digests, ExampleSpec, contents_digests, rows_digests
from frostline_zoo.tensors import decode_tensors, encode_tensors

POINTS = ExampleSpec("float32", (4,))
ROWS = np.random.default_rng(4).normal(size=(100, 4)).astype(np.float32)
FILES = []
for shade in range(5):
    file = io.BytesIO()
    Image.new("L", (3, 2), shade).save(file, "PNG")
    FILES.append(file.getvalue())


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = connect(tmp_path / "frostline.db")
    migrate(engine)
    return engine


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobStore:
    return LocalBlobStore(tmp_path)


@pytest.fixture
def contents(engine: Engine, blobs: LocalBlobStore) -> Contents:
    return Contents(engine, blobs, shard_bytes=400)  # 25 rows of POINTS


def push(contents: Contents, rows: np.ndarray, rows_a_message: int = 10) -> tuple[Digests, dict[int, str]]:
    intake = contents.intake(POINTS)
    batches = [
        intake.add(rows[start : start + rows_a_message].tobytes(), []) for start in range(0, len(rows), rows_a_message)
    ]
    answers, refused = [], {}
    for batch in [*filter(None, batches), intake.rest()]:
        contents.keep(batch)
        answers.append(batch.answers)
        refused |= batch.refused
    return np.concatenate(answers), refused


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int8", "uint16", "float16", "int32", "float32", "int64", "float64"]
)
def test_a_shard_of_arrays_is_canonical_safetensors(dtype: str) -> None:
    spec, rows = ExampleSpec(dtype, (2, 3)), np.arange(30).reshape(5, 2, 3).astype(dtype)
    digests = rows_digests(spec, rows.tobytes())
    shard = b"".join(
        bytes(piece) for piece in shard_pieces(spec, digests, [rows[:2].tobytes(), rows[2:].tobytes()], [])
    )
    assert shard == encode_tensors({"digests": digests, "rows": rows})


def test_a_shard_of_images_is_canonical_safetensors() -> None:
    spec, digests = ExampleSpec(), contents_digests(ExampleSpec(), FILES)
    shard = b"".join(bytes(piece) for piece in shard_pieces(spec, digests, FILES, [len(file) for file in FILES]))
    tensors = decode_tensors(shard)
    assert shard == encode_tensors(tensors)
    assert tensors["bytes"].tobytes() == b"".join(FILES)
    assert np.diff(tensors["offsets"]).tolist() == [len(file) for file in FILES]


def test_contents_are_found_by_their_digest_also_by_another_process(engine: Engine, blobs: LocalBlobStore) -> None:
    reader = Contents(engine, blobs)  # has seen nothing yet
    digests, _ = push(Contents(engine, blobs, shard_bytes=400), ROWS)
    places = reader.locate(digests)
    assert len(places.shards) == 4
    assert (digests == rows_digests(POINTS, ROWS.tobytes())).all()
    for shard, group in places.by_shard(np.arange(100)):
        assert (shard.gather(places.row[group]) == ROWS[group]).all()


def test_what_is_stored_is_not_stored_again_whatever_brings_it(contents: Contents, blobs: LocalBlobStore) -> None:
    push(contents, ROWS[:60])
    before = len(contents.locate(rows_digests(POINTS, ROWS[:1].tobytes())).shards)
    push(contents, ROWS[np.r_[40:60, 10:30, 0:3, 0:3]])
    push(contents, np.repeat(ROWS[90:91], 200, axis=0))
    places = contents.locate(rows_digests(POINTS, ROWS.tobytes()))
    assert len(places.shards) == before + 1
    assert sum(map(len, places.shards)) == 61


def test_missing_examples_are_named_in_order(contents: Contents) -> None:
    push(contents, ROWS[::2])
    assert contents.missing(rows_digests(POINTS, ROWS.tobytes()).tobytes()) == list(range(1, 100, 2))


def test_examples_whose_digests_begin_alike_are_told_apart(contents: Contents) -> None:
    digests, _ = push(contents, ROWS)
    alike = digests.copy()
    alike[:, 8:] ^= 1
    assert len(contents.locate(alike).missing()) == 100


def test_rows_with_nan_and_infinity_are_refused_and_the_rest_kept(contents: Contents) -> None:
    rows = ROWS.copy()
    rows[17, 3], rows[42, 0] = np.nan, -np.inf
    digests, refused = push(contents, rows)
    assert refused == {17: "has NaN at 3", 42: "has infinity at 0"}
    assert not digests[[17, 42]].any()
    assert contents.missing(rows_digests(POINTS, rows.tobytes()).tobytes()) == [17, 42]


def test_a_batch_holds_only_what_is_new_to_the_store_and_to_the_stream(contents: Contents) -> None:
    push(contents, ROWS[:40])
    intake = contents.intake(POINTS)
    first, second = (intake.add(ROWS[start : start + 30].tobytes(), []) for start in (20, 40))
    assert first is not None
    assert second is not None
    assert (first.new == rows_digests(POINTS, ROWS[40:50].tobytes())).all()
    assert (second.new == rows_digests(POINTS, ROWS[50:70].tobytes())).all()
    assert (second.answers == rows_digests(POINTS, ROWS[40:70].tobytes())).all()


def test_a_shard_that_is_gone_or_damaged_counts_as_missing_and_is_mended_by_a_push(
    contents: Contents, blobs: LocalBlobStore
) -> None:
    digests, _ = push(contents, ROWS)
    first, second = (blobs.local_path(shard.digest) for shard in contents.locate(digests).shards[:2])
    first.unlink()
    second.rename(second.with_suffix(".changed"))
    assert contents.missing(digests.tobytes()) == [*range(60)]
    push(contents, ROWS)
    assert contents.missing(digests.tobytes()) == []


def test_a_shard_with_a_damaged_header_is_left_out(engine: Engine, blobs: LocalBlobStore) -> None:
    writer = Contents(engine, blobs)
    digests, _ = push(writer, ROWS)
    path = blobs.local_path(writer.locate(digests).shards[0].digest)
    path.write_bytes(b"\xff" * 64)
    assert len(Contents(engine, blobs).locate(digests).missing()) == 100
