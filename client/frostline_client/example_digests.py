"""What examples are, their digests, and lists of them, byte for byte as the server makes them.

protos/frostline/v1/dataset_service.proto says what a digest covers, docs/formats.md what a list is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from frostline_client.errors import InvalidError

Array = npt.NDArray[Any]

DIGEST_BYTES = 32
MAX_CONTENT_BYTES = 3 << 20

IMAGE_SPEC = "image"

_LABEL_DTYPES = {"int64": "I64", "float32": "F32", "float64": "F64"}


def array_spec(x: Array) -> str:
    """Returns what the rows of `x` (n, ...) are.

    Raises:
        InvalidError: they cannot be examples.
    """
    if x.dtype.kind not in "biuf" or x.dtype.itemsize > 8:
        raise InvalidError(f"x has dtype {x.dtype}: push numbers, such as uint8 or float32", reason="BAD_SPEC")
    if x.ndim < 2 or 0 in x.shape[1:]:
        raise InvalidError(f"x has shape {x.shape}: push (examples, ...), each example with values", reason="BAD_SPEC")
    spec = f"array {x.dtype.newbyteorder('=').name} {','.join(map(str, x.shape[1:]))}"
    if x[:1].nbytes > MAX_CONTENT_BYTES:
        raise InvalidError(f"an example of {spec} is larger than 3 MiB: push smaller ones", reason="TOO_LARGE")
    return spec


def digests_of(spec: str, contents: Iterable[bytes | memoryview]) -> npt.NDArray[np.uint8]:
    """Returns the digests of examples, (n, 32)."""
    started = hashlib.sha256(f"frostline.example.v1\n{spec}\n".encode())
    digests = []
    for content in contents:
        hashed = started.copy()
        hashed.update(content)
        digests.append(hashed.digest())
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST_BYTES)


def encode_list(digests: npt.NDArray[np.uint8], labels: Array | None) -> bytes:
    """Returns the list of examples (n, 32) with labels int64, float32 or float64 as canonical safetensors."""
    arrays = {} if labels is None else {"labels": labels.astype(labels.dtype.newbyteorder("<"), copy=False)}
    header, end = {}, 0
    for name, array in (arrays | {"digests": digests}).items():  # safetensors puts wider dtypes first
        start, end = end, end + array.nbytes
        dtype = "U8" if name == "digests" else _LABEL_DTYPES[array.dtype.name]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *(a.tobytes() for a in arrays.values()), digests.tobytes()])
