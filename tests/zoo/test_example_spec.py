"""What examples are, and the digests that name them."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from frostline_client import example_digests as client_side
from frostline_zoo.errors import InvalidError
from frostline_zoo.examples.lists import ExampleList
from frostline_zoo.examples.spec import ExampleSpec, contents_digests, example_digest, rows_digests

DIGITS = ExampleSpec("uint8", (28, 28))


@pytest.mark.parametrize("text", ["image", "array uint8 28,28", "array float32 1", "array bool 3,2,1", "array int64 7"])
def test_a_spec_is_read_as_it_is_written(text: str) -> None:
    assert str(ExampleSpec.parse(text)) == text


MALFORMED = """|picture|array|array uint8|array uint8 |array complex64 3|array object 3|image |array uint8 0
|array uint8 03|array uint8 -1|array uint8 28,,28|array uint8 28, 28"""


@pytest.mark.parametrize("text", MALFORMED.replace("\n", "").split("|"))
def test_a_malformed_spec_is_refused_with_its_mend(text: str) -> None:
    with pytest.raises(InvalidError, match=r"write image|use bool"):
        ExampleSpec.parse(text)


def test_an_example_that_does_not_fit_a_message_is_refused() -> None:
    with pytest.raises(InvalidError, match="larger than 3 MiB"):
        ExampleSpec.parse("array float32 1024,1024")


def test_a_digest_covers_what_the_contract_says() -> None:
    content = bytes(range(256)) * 3 + bytes(16)
    wanted = hashlib.sha256(b"frostline.example.v1\narray uint8 28,28\n" + content).digest()
    assert example_digest(DIGITS, content) == wanted
    assert example_digest(ExampleSpec(), content) == hashlib.sha256(b"frostline.example.v1\nimage\n" + content).digest()


def test_many_digests_are_those_of_each_here_and_in_the_client() -> None:
    rows = np.random.default_rng(1).integers(0, 256, (50, 28, 28), np.uint8)
    each = np.stack([np.frombuffer(example_digest(DIGITS, row.tobytes()), np.uint8) for row in rows])
    contents = [row.tobytes() for row in rows]
    assert (rows_digests(DIGITS, rows.tobytes()) == each).all()
    assert (contents_digests(DIGITS, contents) == each).all()
    assert (client_side.digests_of(client_side.array_spec(rows), contents) == each).all()


def test_the_same_bytes_of_another_kind_are_another_example() -> None:
    content = bytes(16)
    specs = [ExampleSpec(), ExampleSpec("uint8", (16,)), ExampleSpec("uint8", (4, 4)), ExampleSpec("int8", (4, 4))]
    assert len({example_digest(spec, content) for spec in specs}) == 4


@pytest.mark.parametrize(
    "labels",
    [None, np.arange(5), np.linspace(0, 1, 5), np.ones((5, 3), np.float32), np.arange(5, dtype=">i8")],
    ids=["none", "classes", "numbers", "several", "big-endian"],
)
def test_the_client_writes_a_list_byte_for_byte_as_the_server_does(labels: np.ndarray | None) -> None:
    digests = np.random.default_rng(2).integers(0, 256, (5, 32), np.uint8)
    native = None if labels is None else labels.astype(labels.dtype.newbyteorder("="))
    assert client_side.encode_list(digests, labels) == ExampleList(digests, native).encode()
