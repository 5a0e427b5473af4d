"""Dataset versions: made from stored examples, and read by index as a network's input."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import insert

from frostline_zoo.blobs.local import LocalBlobStore
from frostline_zoo.catalogue.database import connect, migrate, now
from frostline_zoo.catalogue.datasets import Datasets, DatasetVersionRecord, NewVersion
from frostline_zoo.catalogue.tables import job_uses, jobs
from frostline_zoo.errors import CorruptError, FailedPreconditionError, InvalidError, NotFoundError
from frostline_zoo.examples.dataset import check_fits
from frostline_zoo.examples.lists import ExampleList
from frostline_zoo.examples.spec import ExampleSpec, contents_digests, rows_digests
from frostline_zoo.names import DatasetName
from frostline_zoo.preprocessing import Preprocessing

DIGITS = np.random.default_rng(5).integers(0, 256, (40, 6, 5), np.uint8)
LABELS = np.arange(40) % 4
PLAIN = Preprocessing()


class Zoo:
    """The datasets of a data folder, with the steps of a push."""

    def __init__(self, data: Path) -> None:
        self.engine = connect(data / "frostline.db")
        migrate(self.engine)
        self.blobs = LocalBlobStore(data)
        self.datasets = Datasets(self.engine, self.blobs, shard_bytes=500)

    def push(
        self, name: str, x: np.ndarray | list[bytes], y: np.ndarray | None = None, **options: Any
    ) -> DatasetVersionRecord:
        if isinstance(x, list):
            spec, data, sizes = ExampleSpec(), b"".join(x), list(map(len, x))
            digests = contents_digests(spec, x)
        else:
            spec, data, sizes = ExampleSpec(str(x.dtype), x.shape[1:]), x.tobytes(), []
            digests = rows_digests(spec, data)
        intake = self.datasets.contents.intake(spec)
        batch = intake.add(data, sizes)
        self.datasets.contents.keep(batch or intake.rest())
        list_digest = self.blobs.put(ExampleList(digests, y).encode())
        return self.datasets.create_version(NewVersion(DatasetName(name), list_digest, spec, **options))


@pytest.fixture
def zoo(tmp_path: Path) -> Zoo:
    return Zoo(tmp_path)


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_a_version_says_what_is_in_it(zoo: Zoo) -> None:
    record = zoo.push("digits", DIGITS, LABELS, class_names=("a", "b", "c", "d", "e"))
    assert str(record.name) == "datasets/digits/versions/1"
    assert (record.example_count, record.size_bytes) == (40, 40 * 30)
    assert record.class_counts == (10, 10, 10, 10, 0)
    assert zoo.datasets.get(DatasetName("digits")) == record


def test_examples_listed_twice_are_counted_once_in_bytes(zoo: Zoo) -> None:
    record = zoo.push("digits", DIGITS[[0, 1, 1, 0, 2]])
    assert (record.example_count, record.size_bytes) == (5, 3 * 30)


def test_the_newest_version_is_not_made_again_but_any_difference_is(zoo: Zoo) -> None:
    first = zoo.push("digits", DIGITS, LABELS)
    assert zoo.push("digits", DIGITS, LABELS) == first
    assert zoo.push("digits", DIGITS, LABELS, class_names=tuple("abcd")).name.number == 2
    assert zoo.push("digits", DIGITS, LABELS[::-1].copy()).name.number == 3
    assert zoo.push("digits", DIGITS, LABELS).name.number == 4


def test_appending_matches_classes_by_name(zoo: Zoo) -> None:
    zoo.push("pets", DIGITS[:4], np.array([0, 1, 1, 0]), class_names=("cat", "dog"))
    record = zoo.push("pets", DIGITS[4:7], np.array([0, 1, 2]), class_names=("bird", "cat", "dog"), append=True)
    assert record.class_names == ("cat", "dog", "bird")
    assert zoo.datasets.open("pets").labels.tolist() == [0, 1, 1, 0, 2, 0, 1]
    assert (zoo.datasets.open("pets").contents(range(7)) == DIGITS[:7]).all()
    assert len(zoo.datasets.open("pets@1")) == 4


@pytest.mark.parametrize(
    ("x", "y", "options", "complaint"),
    [
        (DIGITS[:, :3], LABELS, {}, "append examples of that kind"),
        (DIGITS, None, {}, "some examples would have labels"),
        (DIGITS, LABELS * 1.5, {}, "labels of one kind"),
        (DIGITS, np.ones((40, 2)), {}, "labels of one kind"),
        (DIGITS, LABELS, {"class_names": tuple("abcd")}, "have no names"),
    ],
)
def test_what_does_not_fit_is_not_appended(
    zoo: Zoo, x: np.ndarray, y: np.ndarray | None, options: Any, complaint: str
) -> None:
    zoo.push("digits", DIGITS, LABELS)
    with pytest.raises(InvalidError, match=complaint):
        zoo.push("digits", x, y, append=True, **options)
    assert zoo.datasets.get(DatasetName("digits")).name.number == 1


@pytest.mark.parametrize("step", [1, 3])
def test_arrays_become_inputs_in_any_order(zoo: Zoo, step: int) -> None:
    zoo.push("digits", DIGITS, LABELS)
    chosen = np.arange(39, -1, -step)
    inputs = zoo.datasets.open("digits").inputs(chosen, (6, 5, 1), "float32", Preprocessing(1 / 255, -0.5))
    wanted = DIGITS[chosen][..., None].astype(np.float32) * np.float32(1 / 255) + np.float32(-0.5)
    assert inputs.dtype == np.float32
    assert (inputs == wanted).all()


def test_numbers_too_large_for_float32_stay_as_they_are_where_nothing_is_scaled(zoo: Zoo) -> None:
    tokens = np.array([[2**24 + 1, 2**30 + 1]], np.int32)
    zoo.push("tokens", tokens)
    assert (zoo.datasets.open("tokens").inputs([0], (2,), "int64", PLAIN) == tokens).all()


def test_arrays_that_look_like_images_are_resized_as_image_files_are(zoo: Zoo) -> None:
    zoo.push("arrays", DIGITS)
    zoo.push("files", [png(digit) for digit in DIGITS])
    shape = (9, 11, 1)
    arrays = zoo.datasets.open("arrays").inputs(range(40), shape, "float32", Preprocessing(interpolation="bicubic"))
    files = zoo.datasets.open("files").inputs(range(40), shape, "float32", Preprocessing(interpolation="bicubic"))
    assert (arrays == files).all()


def test_images_become_rgb_inputs_scaled_by_channel(zoo: Zoo) -> None:
    pixels = np.random.default_rng(6).integers(0, 256, (20, 4, 6, 3), np.uint8)
    zoo.push("photos", [png(image) for image in pixels])
    examples = zoo.datasets.open("photos")
    inputs = examples.inputs(range(19, -1, -1), (4, 6, 3), "float32", Preprocessing((1.0, 2.0, 3.0), (0.0, 1.0, -1.0)))
    wanted = pixels[::-1].astype(np.float32) * np.float32([1, 2, 3]) + np.float32([0, 1, -1])
    assert (inputs == wanted).all()
    with pytest.raises(InvalidError, match="one number a channel"):
        examples.inputs([0], (4, 6, 3), "float32", Preprocessing((1.0, 2.0)))


@pytest.mark.parametrize(
    ("own", "shape", "mend"),
    [
        ((28, 28), (784,), "give them flattened"),
        ((28, 28), (700,), "give arrays of that shape"),
        ((784,), (28, 28), "give arrays of that shape"),
        ((28, 28), (28, 28, 3), "give arrays of that shape"),
        ((28, 28), (14, 14), "give arrays of that shape"),
        ((5,), (6,), "give arrays of that shape"),
        ((2, 3), (3, 2), "give arrays of that shape"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused_with_both_shapes_and_the_mend(
    own: tuple[int, ...], shape: tuple[int, ...], mend: str
) -> None:
    with pytest.raises(InvalidError, match=f"the network's input is .*: {mend}") as refused:
        check_fits(ExampleSpec("uint8", own), shape)
    assert str(own) in refused.value.message
    assert str(shape) in refused.value.message


@pytest.mark.parametrize(
    ("own", "shape"),
    [
        ((28, 28), (28, 28)),
        ((28, 28), (28, 28, 1)),
        ((28, 28, 1), (28, 28)),
        ((28, 28), (32, 32, 1)),
        ((8, 8, 3), (9, 9, 3)),
        ((10, 4), (None, 4)),
        ((8, 8, 3), (None, None, 3)),
        ((8, 8, 3), (9, None, 3)),
    ],
)
def test_shapes_that_fit(own: tuple[int, ...], shape: tuple[int | None, ...]) -> None:
    check_fits(ExampleSpec("uint8", own), shape)


def test_images_need_an_input_that_is_an_image() -> None:
    check_fits(ExampleSpec(), (32, 32))
    for shape in [(784,), (32, 32, 2), (None, None, 3), (8, 32, 32, 3)]:
        with pytest.raises(InvalidError, match="images fit"):
            check_fits(ExampleSpec(), shape)


@pytest.mark.parametrize("kind", ["arrays", "images"])
def test_one_changed_byte_is_never_used(zoo: Zoo, kind: str) -> None:
    zoo.push("digits", DIGITS if kind == "arrays" else [png(digit) for digit in DIGITS])
    examples = zoo.datasets.open("digits")
    (shard,) = {examples.places.shards[number].digest for number in examples.places.shard.tolist()}
    content = bytearray(zoo.blobs.local_path(shard).read_bytes())
    place = bytes(content).find(DIGITS[7].tobytes() if kind == "arrays" else png(DIGITS[7])) + 12
    with zoo.blobs.local_path(shard).open("r+b") as file:
        file.seek(place)
        file.write(bytes([content[place] ^ 4]))
    assert len(examples.contents([6, 8])) == 2
    with pytest.raises(CorruptError, match="example 7 has changed"):
        examples.inputs(range(40), (6, 5, 1), "float32", PLAIN)
    with pytest.raises(CorruptError, match="push them again"):
        zoo.datasets.open("digits")
    zoo.push("digits", DIGITS if kind == "arrays" else [png(digit) for digit in DIGITS])
    zoo.datasets.open("digits").inputs(range(40), (6, 5, 1), "float32", PLAIN)


def test_appends_at_the_same_time_are_all_there(zoo: Zoo) -> None:
    zoo.push("busy", DIGITS)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda n: zoo.push("busy", DIGITS[n : n + 1], append=True), range(8)))
    examples = zoo.datasets.open("busy")
    assert len(examples) == 48
    assert sorted(row.tobytes() for row in examples.contents(range(40, 48))) == sorted(d.tobytes() for d in DIGITS[:8])


def test_a_dataset_that_an_unfinished_job_uses_is_not_deleted(zoo: Zoo) -> None:
    name = zoo.push("used", DIGITS).name
    with zoo.engine.begin() as connection:
        job = {"name": "a" * 12, "state": "RUNNING", "recipe": "{}", "model": "m", "created": now()}
        key = connection.execute(insert(jobs).values(**job).returning(jobs.c.id)).scalar_one()
        connection.execute(insert(job_uses).values(job_id=key, resource="datasets/used"))
    with pytest.raises(FailedPreconditionError, match="is used by jobs/aaaaaaaaaaaa"):
        zoo.datasets.delete(DatasetName("used"))
    assert zoo.datasets.get(name).name == name


def test_a_list_of_examples_that_are_not_stored_names_the_first_ten(zoo: Zoo) -> None:
    strangers = ExampleList(np.arange(32 * 15, dtype=np.uint16).astype(np.uint8).reshape(15, 32), None)
    list_digest = zoo.blobs.put(strangers.encode())
    with pytest.raises(NotFoundError, match="15 of the listed examples are not stored") as refused:
        zoo.datasets.create_version(NewVersion(DatasetName("x"), list_digest, ExampleSpec()))
    assert refused.value.message.count("sha256:") == 10
    with pytest.raises(NotFoundError):
        zoo.datasets.get(DatasetName("x"))


def test_a_list_of_examples_of_another_kind_is_refused(zoo: Zoo) -> None:
    listed = zoo.push("digits", DIGITS).digest
    with pytest.raises(InvalidError, match="list examples of one kind"):
        zoo.datasets.create_version(NewVersion(DatasetName("x"), listed, ExampleSpec("uint8", (30,))))
