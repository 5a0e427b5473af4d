"""What leaves the jail: a network as plain data, in bytes that give a reader no choice.

    8 bytes     how long the header is, big-endian
    the header  JSON: the network, its arrays by number, and of each array its type and its shape; then blanks
    the arrays  in order, little-endian, C-ordered, each from a multiple of 64 bytes on

It is not trusted: whoever wrote it may have been taken over by a file. So every key, every type and every bound is
checked, and what is not as it should be is refused as a whole.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from frostline_zoo.errors import ExhaustedError, InvalidError
from frostline_zoo.foreign.draft import Draft
from frostline_zoo.foreign.json_text import parsed
from frostline_zoo.foreign.tree import Group, KerasNetwork, Stored, Weights
from frostline_zoo.foreign.wire_checks import Arrays, as_line, bad, integer, items, line, plain_object, record, text
from frostline_zoo.foreign.wire_draft import draft_from_json, draft_to_json
from frostline_zoo.tensors import DTYPES, Array, can_be

MAX_HEADER_BYTES = 64 << 20
MAX_ARRAY_BYTES = 2 << 30
MAX_ARRAYS_BYTES = 4 << 30
MAX_BYTES = 8 + MAX_HEADER_BYTES + MAX_ARRAYS_BYTES + (64 << 20)
_MAX_ARRAYS = 100_000
_MAX_DEPTH = 200
_MAX_RANK = 8
_MAX_NOTES = 1_000
_LONGEST_NAME = 1_000
_LONGEST_NOTE = 500
_STEP = 64
_NAMES = {dtype: name for name, dtype in DTYPES.items()}

Parsed = KerasNetwork | Draft | Weights
"""What a file of another tool is read as."""


def encode(network: Parsed) -> Iterator[bytes | memoryview]:
    """Yields a network's bytes; its arrays are read one at a time, as they are needed.

    Raises:
        ExhaustedError: its arrays take more than 4 GiB, one of them more than 2 (LIMIT_PARAMS), or it has too many
            layers (LIMIT_LAYERS).
        InvalidError: an array is of no type or rank that weights are of (BAD_WEIGHTS), it has no layers (BAD_GRAPH), or
            a number in its configuration is not finite (BAD_CONFIG).
    """
    arrays: list[Stored] = []
    numbers: dict[int, int] = {}

    def number_of(array: Stored) -> int:
        if id(array) not in numbers:
            numbers[id(array)] = len(arrays)
            arrays.append(array)
        return numbers[id(array)]

    if isinstance(network, Draft):
        header = draft_to_json(network, number_of)
    elif isinstance(network, Weights):
        if any(len(name) > _LONGEST_NAME or not name.isprintable() for name in network.arrays):
            text = f"the name of an array is no line of up to {_LONGEST_NAME} characters: save it under another one"
            raise InvalidError(text, reason="BAD_WEIGHTS")
        arrays_by_name = {name: number_of(array) for name, array in network.arrays.items()}
        notes = [as_line(note, _LONGEST_NOTE) for note in network.notes[:_MAX_NOTES]]
        header = {"kind": "weights", "named": arrays_by_name, "notes": notes}
    else:
        header = {
            "kind": "keras",
            "layout": network.layout,
            "config": network.config,
            "keras_version": network.keras_version,
            "weights": _group_to_json(network.weights, number_of),
            "notes": list(network.notes),
        }
    types = [np.dtype(array.dtype).newbyteorder("<") for array in arrays]
    sizes = [dtype.itemsize * math.prod(array.shape) for dtype, array in zip(types, arrays, strict=True)]
    if sum(sizes) > MAX_ARRAYS_BYTES or max(sizes, default=0) > MAX_ARRAY_BYTES:
        text = f"the file's weights take {sum(sizes):,} bytes: at most {MAX_ARRAYS_BYTES:,} are taken in"
        raise ExhaustedError(text, reason="LIMIT_PARAMS")
    if any(dtype not in _NAMES for dtype in types) or any(len(array.shape) > _MAX_RANK for array in arrays):
        text = f"the file's weights are of a type that no network has, or of more than {_MAX_RANK} dimensions"
        raise InvalidError(text, reason="BAD_WEIGHTS")
    header["arrays"] = [[_NAMES[dtype], list(array.shape)] for dtype, array in zip(types, arrays, strict=True)]
    try:
        encoded = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    except ValueError as error:
        text = "a number that configures a layer is none, or infinite: save the network without it"
        raise InvalidError(text, reason="BAD_CONFIG") from error
    encoded += b" " * (-(8 + len(encoded)) % _STEP)
    yield len(encoded).to_bytes(8, "big")
    yield encoded
    for dtype, array, size in zip(types, arrays, sizes, strict=True):
        values = np.ascontiguousarray(array[()], dtype).reshape(-1)
        yield values.view(np.uint8).data
        yield bytes(-size % _STEP)


def decode(content: memoryview) -> Parsed:
    """Returns the network; its arrays are read-only views of `content`.

    Raises:
        InvalidError: the bytes are not what `encode` makes of a network (PARSER_CRASHED).
    """
    header_bytes = int.from_bytes(content[:8], "big")
    if not 0 < header_bytes <= min(MAX_HEADER_BYTES, len(content) - 8):
        raise bad("its header is too long")
    try:
        header = parsed(bytes(content[8 : 8 + header_bytes]), max_bytes=MAX_HEADER_BYTES, max_depth=_MAX_DEPTH)
    except (InvalidError, ExhaustedError) as error:
        raise bad("its header is not JSON") from error
    if not isinstance(header, dict):
        raise bad("its header is no object")
    arrays = Arrays(_arrays(header.pop("arrays", None), content[8 + header_bytes :]))
    network = _READ.get(str(header.get("kind")), _keras)(header, arrays)
    arrays.check_all_taken()
    return network


def _arrays(listed: Any, body: memoryview) -> list[Array]:
    arrays, at = [], 0
    for entry in items(listed, _MAX_ARRAYS):
        name, sides = items(entry, 2, least=2)
        dtype = DTYPES.get(text(name))
        shape = tuple(integer(side) for side in items(sides, _MAX_RANK))
        if dtype is None or not can_be(shape):
            raise bad("an array is of an unknown type, or of a shape that cannot be")
        size = dtype.itemsize * math.prod(shape)
        if size > MAX_ARRAY_BYTES or at + size > len(body):
            raise bad("its arrays are longer than it is")
        arrays.append(np.frombuffer(body[at : at + size], dtype).reshape(shape))
        at += size + -size % _STEP
    if at != len(body):
        raise bad("it goes on after its arrays")
    return arrays


def _keras(header: dict[str, Any], arrays: Arrays) -> KerasNetwork:
    fields = record(header, "kind", "layout", "config", "keras_version", "weights", "notes")
    if fields["kind"] != "keras" or fields["layout"] not in ("keras", "keras_h5"):
        raise bad("it is of an unknown kind")
    notes = tuple(line(note, _LONGEST_NOTE) for note in items(fields["notes"], 100))
    weights = _group_from_json(fields["weights"], arrays)
    return KerasNetwork(fields["layout"], fields["config"], text(fields["keras_version"], 40), weights, notes)


def _weights(header: dict[str, Any], arrays: Arrays) -> Weights:
    fields = record(header, "kind", "named", "notes")
    named: dict[str, Stored] = {
        line(name, _LONGEST_NAME): arrays.take(number) for name, number in plain_object(fields["named"]).items()
    }
    return Weights(named, tuple(line(note, _LONGEST_NOTE) for note in items(fields["notes"], _MAX_NOTES)))


_READ: dict[str, Callable[[dict[str, Any], Arrays], Parsed]] = {"draft": draft_from_json, "weights": _weights}


def _group_to_json(group: Group, number_of: Any) -> dict[str, Any]:
    members = {
        name: _group_to_json(member, number_of) if isinstance(member, Group) else number_of(member)
        for name, member in group.members.items()
    }
    return {"names": list(group.weight_names), "members": members}


def _group_from_json(value: Any, arrays: Arrays) -> Group:
    fields = record(value, "names", "members")
    if not isinstance(fields["members"], dict):
        raise bad("a group has no members")
    members: dict[str, Group | Stored] = {
        name: _group_from_json(member, arrays) if isinstance(member, dict) else arrays.take(member)
        for name, member in fields["members"].items()
    }
    return Group(tuple(text(name, _LONGEST_NAME) for name in items(fields["names"], 100_000)), members)
