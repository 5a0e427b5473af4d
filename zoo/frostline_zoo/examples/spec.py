"""What the examples of a dataset are, and the digest that names one of them.

A spec is written `image`, or `array DTYPE SHAPE` as in `array uint8 28,28`. An example's digest is SHA-256 of

    "frostline.example.v1\\n" + SPEC + "\\n" + CONTENT

so equal bytes of another kind are another example. CONTENT is the bytes of a JPEG or PNG file, or the little-endian,
C-ordered values.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

from frostline_zoo.errors import InvalidError

Digests = npt.NDArray[np.uint8]
"""Digests of examples: (n, 32)."""

DIGEST_BYTES = 32
MAX_CONTENT_BYTES = 3 << 20
"""The most that one example may hold: it has to fit a message."""

_DTYPES = {
    str(dtype): dtype.newbyteorder("<") for dtype in map(np.dtype, ("?", *np.typecodes["AllInteger"], "e", "f", "d"))
}
_SHAPE = re.compile(r"[1-9][0-9]{0,9}(,[1-9][0-9]{0,9}){0,15}")
_FORM = "write image, or array DTYPE SHAPE as in array uint8 28,28"


@dataclass(frozen=True)
class ExampleSpec:
    """What an example is: an image file, or an array of one dtype and shape.

    Attributes:
        dtype: numpy's name of the values' dtype; empty for images.
        shape: the shape of one example; empty for images.
    """

    dtype: str = ""
    shape: tuple[int, ...] = ()

    @property
    def is_image(self) -> bool:
        """Whether examples are image files."""
        return not self.dtype

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The little-endian dtype of an array's values."""
        return _DTYPES[self.dtype]

    @property
    def content_bytes(self) -> int:
        """The size of one array; 0 for images, which have each their own."""
        return 0 if self.is_image else math.prod(self.shape) * self.numpy_dtype.itemsize

    def __str__(self) -> str:
        return "image" if self.is_image else f"array {self.dtype} {','.join(map(str, self.shape))}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads what `str` writes.

        Raises:
            InvalidError: the text is no spec, or an array of it would not fit a message.
        """
        if text == "image":
            return cls()
        kind, _, rest = text.partition(" ")
        dtype, _, shape = rest.partition(" ")
        if kind != "array" or not _SHAPE.fullmatch(shape):
            raise InvalidError(f"{text[:80]!r} does not say what examples are: {_FORM}", reason="BAD_SPEC")
        if dtype not in _DTYPES:
            raise InvalidError(f"examples cannot be {dtype[:40]!r}: use {', '.join(_DTYPES)}", reason="BAD_SPEC")
        spec = cls(dtype, tuple(int(side) for side in shape.split(",")))
        if spec.content_bytes > MAX_CONTENT_BYTES:
            raise InvalidError(f"an example of {spec} is larger than 3 MiB: push smaller ones", reason="TOO_LARGE")
        return spec


def example_digest(spec: ExampleSpec, content: Buffer) -> bytes:
    """Returns the digest of one example, 32 bytes."""
    hashed = _started(spec)
    hashed.update(content)
    digest: bytes = hashed.digest()
    return digest


def contents_digests(spec: ExampleSpec, contents: list[bytes] | list[memoryview]) -> Digests:
    """Returns the digests of many examples, (n, 32)."""
    prefix = digest_prefix(spec)
    return _packed([hashlib.sha256(b"".join((prefix, content))).digest() for content in contents])


def rows_digests(spec: ExampleSpec, rows: Buffer) -> Digests:
    """Returns the digests of arrays that stand one after the other in `rows`, (n, 32). One hash call a row."""
    if not memoryview(rows).nbytes:
        return _packed([])
    view, size, copy = memoryview(rows).cast("B"), spec.content_bytes, _started(spec).copy
    digests = []
    for start in range(0, len(view), size):
        hashed = copy()
        hashed.update(view[start : start + size])
        digests.append(hashed.digest())
    return _packed(digests)


def digest_prefix(spec: ExampleSpec) -> bytes:
    """Returns what stands before an example's content where it is hashed."""
    return f"frostline.example.v1\n{spec}\n".encode()


def _started(spec: ExampleSpec) -> Any:
    return hashlib.sha256(digest_prefix(spec))


def _packed(digests: list[bytes]) -> Digests:
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST_BYTES)
