"""Which format a file is of, by its first bytes; its name counts only where a format has no such sign."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from frostline_zoo.errors import InvalidError

FORMATS = ("keras", "keras_h5", "safetensors", "onnx", "caffe", "saved_model", "checkpoint", "huggingface")
START_BYTES = 16

_ZIP = b"PK\x03\x04"
_MAGIC = {
    _ZIP: "keras",
    b"\x89HDF\r\n\x1a\n": "keras_h5",
    b"\x1f\x8b": "saved_model",  # a tarball of one
    b"\x08\x01\x12": "saved_model",  # its version, then its graph
}
_SUFFIXES = {
    ".keras": "keras",
    ".h5": "keras_h5",
    ".hdf5": "keras_h5",
    ".safetensors": "safetensors",
    ".onnx": "onnx",
    ".caffemodel": "caffe",
    ".pb": "saved_model",
    ".tar": "saved_model",
    ".tgz": "saved_model",
    ".gz": "saved_model",
    ".index": "checkpoint",
}
_PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
_PACKED = (b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\xfd7zXZ\x00")


def format_of(name: str, start: bytes, asked: str = "auto") -> str:
    """Returns the format of a file.

    Args:
        name: the file's name; empty where there is none.
        start: its first bytes, at least 16 where it has as many.
        asked: the format that it is said to have, or "auto".

    Raises:
        InvalidError: the format is unknown, or another one than was asked for or than its name says (UNKNOWN_FORMAT),
            or can hold code (UNSAFE_FORMAT).
    """
    if asked not in ("auto", *FORMATS):
        text = f"the format {asked[:80]!r} is not known: use auto, {', '.join(FORMATS)}"
        raise InvalidError(text, reason="UNKNOWN_FORMAT")
    if not start:
        raise InvalidError(f"the file is empty: send one of {', '.join(FORMATS)}", reason="UNKNOWN_FORMAT")
    if start.startswith(_PICKLES):
        raise unsafe_format("a pickle")
    if start.startswith(_PACKED):
        raise unsafe_format("a packed archive, such as some hide pickles in")
    named = _SUFFIXES.get(PurePosixPath(name).suffix.lower())
    found = _by_start(start) or next((each for each in (named, asked) if each in _WITHOUT_MAGIC), None)
    if found is None:
        text = f"the file is of no format known here: {', '.join(FORMATS)}"
        if name.lower().endswith(".prototxt"):
            text = "a .prototxt has no weights: give its .caffemodel, with the .prototxt of the same name beside it"
        raise InvalidError(text, reason="UNKNOWN_FORMAT")
    if asked not in ("auto", found):
        text = f"the file is not {asked} but {found}: leave the format out, or name that one"
        raise InvalidError(text, reason="UNKNOWN_FORMAT")
    if asked == "auto" and named not in (None, found):
        text = f"the file is named as {named} but is {found}: rename it, or name the format"
        raise InvalidError(text, reason="UNKNOWN_FORMAT")
    return found


# Formats whose files start with nothing of their own: what is asked for or the name decides, where no other format's
# sign is there.
_WITHOUT_MAGIC = frozenset({"safetensors", "caffe", "saved_model", "checkpoint"})


def holds_pickles(start: bytes) -> bool:
    """Whether a file begins as a pickle does, or as an archive that may hold one: PyTorch's are ZIP archives."""
    return start.startswith((*_PICKLES, *_PACKED, _ZIP))


def unsafe_format(what: str, mend: str = "export it to ONNX or safetensors") -> InvalidError:
    """Returns the refusal of a format that can hold code."""
    text = f"the file is {what}, which can run code, and is not taken in: {mend}"
    return InvalidError(text, reason="UNSAFE_FORMAT")


def _by_start(start: bytes) -> str | None:
    if _OBJECT.fullmatch(start):
        return "huggingface"
    found = next((name for magic, name in _MAGIC.items() if start.startswith(magic)), None)
    if found is None and start[8:9] == b"{":
        return "safetensors"
    return found or _by_first_fields(start)


def _by_first_fields(start: bytes) -> str | None:
    """Tells messages of Protocol Buffers apart: ONNX's begin with a version, from 3 on, Caffe's with the name."""
    if len(start) > 3 and start[0] == 0x08 and 3 <= start[1] < 0x80 and start[2] in _AFTER_ONNX_VERSION:
        return "onnx"
    if len(start) > 3 and start[0] == 0x0A and start[2 + start[1] :].startswith(_CAFFE_LAYER):
        return "caffe"
    return "caffe" if start.startswith(_CAFFE_LAYER) else None


# JSON that begins with an object's key, as a config.json does; no other format's first bytes are all text.
_OBJECT = re.compile(rb"\s*\{\s*(\"[\t\n\r -~\x80-\xff]*)?")
# The tags of what follows in ONNX's ModelProto: who made it, its domain and version, its graph, its operators.
_AFTER_ONNX_VERSION = b"\x12\x1a\x22\x28\x32\x3a\x42"
_CAFFE_LAYER = b"\xa2\x06"  # the tag of NetParameter.layer
