"""Small Caffe networks for tests: a .prototxt as text, and a .caffemodel written field by field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from frostline_zoo.foreign.caffe_reader import read_caffe
from frostline_zoo.foreign.draft import Draft
from tests.zoo.onnx_samples import files_of

Array = np.ndarray[Any, Any]


def varint(number: int) -> bytes:
    """Returns a whole number as Protocol Buffers write it."""
    written = b""
    while number > 0x7F:
        written, number = written + bytes([number & 0x7F | 0x80]), number >> 7
    return written + bytes([number])


def field(number: int, content: bytes) -> bytes:
    """Returns a field of bytes."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(array: Array, dims: Sequence[int] | None = None) -> bytes:
    """Returns a blob; `dims` says another shape than it has."""
    shape = b"".join(varint(side) for side in (array.shape if dims is None else dims))
    return field(5, array.astype("<f4").tobytes()) + field(7, field(1, shape))


def caffemodel(**layers: Sequence[Array]) -> bytes:
    """Returns the weights of layers."""
    written = b""
    for name, arrays in layers.items():
        written += field(100, field(1, name.encode()) + b"".join(field(7, blob(array)) for array in arrays))
    return field(1, b"net") + written


def prototxt(shape: Sequence[int], *layers: str) -> bytes:
    """Returns a network: layers as "type bottoms -> tops {parameters}", named by their first top, or "type:name"."""
    dims = " ".join(f"dim: {side}" for side in shape)
    text = f'layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}\n'
    for layer in layers:
        head, _, parameters = layer.partition("{")
        kind, _, wires = head.partition(" ")
        type_name, _, name = kind.partition(":")
        bottoms, tops = (side.split() for side in wires.split("->"))
        wired = " ".join([*(f'bottom: "{each}"' for each in bottoms), *(f'top: "{each}"' for each in tops)])
        inner = parameters.strip().removesuffix("}")
        text += f'layer {{ name: "{name or tops[0]}" type: "{type_name}" {wired} {inner} }}\n'
    return text.encode()


def draft_of(text: bytes, weights: bytes = b"") -> Draft:
    """Returns the draft of a network."""
    return read_caffe(files_of(net__caffemodel=weights or caffemodel(), net__prototxt=text), "net.caffemodel")
