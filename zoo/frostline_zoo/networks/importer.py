"""Networks from files of other tools. A file is read as data: nothing in it is run, looked up or unpacked to disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from frostline_zoo.errors import InvalidError
from frostline_zoo.manifest import Manifest
from frostline_zoo.networks.describe import describe
from frostline_zoo.networks.keras_file import read_keras_file
from frostline_zoo.networks.keras_h5 import read_keras_h5
from frostline_zoo.preprocessing import Preprocessing

FORMATS = {"keras": read_keras_file, "keras_h5": read_keras_h5}
_MAGIC = {b"PK\x03\x04": "keras", b"\x89HDF\r\n\x1a\n": "keras_h5"}
_PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
_AS_IS = Preprocessing()
# What a file that is not as its format says makes Python raise, where no reader foresaw it.
_STUMBLES = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError, AssertionError)


@dataclass(frozen=True)
class Imported:
    """A network that came in: its manifest, its layer blobs by digest, and a line for each thing left out."""

    manifest: Manifest
    blobs: dict[str, bytes]
    notes: list[str]


def import_network(path: Path, format: str = "auto", preprocessing: Preprocessing = _AS_IS) -> Imported:
    """Returns the network in a file.

    Args:
        path: the file.
        format: "keras", "keras_h5", or "auto": by the file's first bytes.
        preprocessing: how an example becomes the network's input.

    Raises:
        InvalidError: the format is unknown or another one (UNKNOWN_FORMAT), can hold code (UNSAFE_FORMAT), the file is
            damaged (BAD_ARCHIVE, BAD_HDF5, BAD_JSON, LIMIT_DEPTH), a layer is not taken in (UNSAFE_LAYER,
            UNSUPPORTED_LAYER, EXTERNAL_REFERENCE, BAD_NAME), or the parts do not fit one another (BAD_CONFIG,
            BAD_GRAPH, BAD_SHAPE, BAD_WEIGHTS).
        ExhaustedError: it unpacks to more than is taken (LIMIT_INFLATE, LIMIT_PARAMS, LIMIT_OUTPUT).
    """
    if format not in ("auto", *FORMATS):
        text = f"the format {format[:80]!r} is not known: use auto, {', '.join(FORMATS)}"
        raise InvalidError(text, reason="UNKNOWN_FORMAT")
    found = _format_of(path)
    if format not in ("auto", found):
        text = f"the file is not {format} but {found}: leave the format out, or name that one"
        raise InvalidError(text, reason="UNKNOWN_FORMAT")
    notes: list[str] = []
    try:
        part, values = FORMATS[found](path, notes)
        _check_channels(part.layer, preprocessing)
        described = describe(part.layer, preprocessing, value_of=values.of)
    except _STUMBLES as error:
        raise InvalidError("the file's network does not hold together: save it again", reason="BAD_CONFIG") from error
    return Imported(described.manifest, described.blobs, notes)


def _format_of(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(8)
    if not start:
        raise InvalidError("the file is empty: send a .keras or .h5 file", reason="UNKNOWN_FORMAT")
    if start.startswith(_PICKLES) or (start.startswith(b"PK") and _is_pickled_archive(path)):
        text = "the file is a pickle, which can run code, and is not taken in: save the network as .keras or .h5"
        raise InvalidError(text, reason="UNSAFE_FORMAT")
    for magic, format_name in _MAGIC.items():
        if start.startswith(magic):
            return format_name
    raise InvalidError("the file is neither a .keras nor an .h5 file", reason="UNKNOWN_FORMAT")


def _is_pickled_archive(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(4096)
    return b"/data.pkl" in head or b"constants.pkl" in head


def _check_channels(model: object, preprocessing: Preprocessing) -> None:
    for factors in (preprocessing.scale, preprocessing.offset):
        for tensor in model.inputs:  # type: ignore[attr-defined]
            if isinstance(factors, tuple) and len(factors) not in (1, tensor.shape[-1]):
                text = f"the preprocessing has {len(factors)} channels, the network's input {tensor.shape[-1]}"
                raise InvalidError(text, reason="BAD_SHAPE")
