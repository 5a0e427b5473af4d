"""Networks from files of other tools: what the jail read, built from the allow-list and described.

Nothing here opens a file. What comes in is plain data, and is trusted no more than the file was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from frostline_zoo.errors import InvalidError
from frostline_zoo.foreign.draft import Draft, Report
from frostline_zoo.foreign.files import Files
from frostline_zoo.foreign.matching import match_weights
from frostline_zoo.foreign.name_map import rules_of
from frostline_zoo.foreign.reader import answer, format_in, reader_for
from frostline_zoo.foreign.stumbles import STUMBLES
from frostline_zoo.foreign.tree import KerasNetwork, Weights
from frostline_zoo.foreign.wire import Parsed, decode
from frostline_zoo.manifest import Manifest
from frostline_zoo.networks import keras_file, keras_h5
from frostline_zoo.networks.describe import Description, describe
from frostline_zoo.networks.drafts import build_draft
from frostline_zoo.networks.keras2 import as_it_is, in_keras_3
from frostline_zoo.networks.rebuild import rebuild
from frostline_zoo.networks.weights import Values, check_size, declared
from frostline_zoo.preprocessing import Preprocessing
from frostline_zoo.refilled import refilled
from frostline_zoo.tensors import Array, decode_tensors

_AS_IS = Preprocessing()


@dataclass(frozen=True)
class Imported:
    """A network that came in: its manifest, its layer blobs by digest, and what became of everything in the file."""

    manifest: Manifest
    blobs: dict[str, bytes]
    notes: list[str]
    report: Report


def take_in(parsed: Parsed, preprocessing: Preprocessing | None = None) -> Imported:
    """Returns the network that a reader found in a file.

    Args:
        parsed: what it found.
        preprocessing: how an example becomes the network's input; what the file says of it where this is None.

    Raises:
        InvalidError: a layer is not taken in (UNSAFE_LAYER, UNSUPPORTED_LAYER, EXTERNAL_REFERENCE, BAD_NAME), or the
            parts do not fit one another (BAD_CONFIG, BAD_GRAPH, BAD_SHAPE, BAD_WEIGHTS).
        ExhaustedError: it is too large (LIMIT_PARAMS, LIMIT_OUTPUT).
    """
    try:
        if isinstance(parsed, Draft):
            described, report = _from_draft(parsed, preprocessing or parsed.preprocessing), parsed.report
        elif isinstance(parsed, KerasNetwork):
            described = _from_keras(parsed, preprocessing or _AS_IS)
            layers = described.manifest.layers
            matched = [f"{layer.name}/{each.name}" for layer in layers for each in layer.parameters]
            report = Report(matched=matched, notes=list(parsed.notes))
        else:
            raise InvalidError("the file holds weights without a network", reason="NO_NETWORK")
    except STUMBLES as error:
        raise InvalidError("the file's network does not hold together: save it again", reason="BAD_CONFIG") from error
    report.notes += _not_finite(described.manifest, described.blobs)
    return Imported(described.manifest, described.blobs, report.notes, report)


def fill_in(parsed: Parsed, base: Manifest, name_map: Any, read_blob: Callable[[str], bytes]) -> Imported:
    """Returns a network of the zoo with the weights that a reader found in a file.

    Args:
        parsed: what it found.
        base: the network; what the file has no weights for keeps its own.
        name_map: as `name_map.rules_of` takes it.
        read_blob: gives the bytes of a layer's weights for their digest.

    Raises:
        InvalidError: no weights belong to the network (NO_MATCH), or the map cannot be used (BAD_MAP).
        CorruptError: stored weights have changed.
    """
    if not isinstance(parsed, Weights):
        raise InvalidError("the file was not read for its weights alone", reason="BAD_WEIGHTS")
    values, report = match_weights(base, parsed.arrays, rules_of(name_map))
    report.notes[:0] = parsed.notes
    manifest, blobs = refilled(base, values, read_blob)
    report.notes += _not_finite(manifest, blobs)
    return Imported(manifest, blobs, report.notes, report)


def import_network(
    path: Path, format: str = "auto", preprocessing: Preprocessing | None = None, beside: Sequence[Path] = ()
) -> Imported:
    """Returns the network in a file, which is read in this process: a file that somebody sent is read in a jail.

    Args:
        path: the file.
        format: one of `formats.FORMATS`, or "auto": by the file's first bytes.
        preprocessing: as in `take_in`.
        beside: the other files of the import, such as the .prototxt that goes with a .caffemodel.

    Raises:
        InvalidError, ExhaustedError: as `formats.format_of`, `reader.answer` and `take_in`.
    """
    files = Files.of(path, beside)
    reader = reader_for(format_in(files, path.name, format))
    return take_in(decode(memoryview(b"".join(answer(reader, files, path.name)))), preprocessing)


def _from_keras(network: KerasNetwork, preprocessing: Preprocessing) -> Description:
    is_file = network.layout == "keras"
    is_keras_3 = not network.keras_version.startswith("2.") if is_file else network.keras_version.startswith("3.")
    with declared():
        part = rebuild(network.config, as_it_is if is_keras_3 else in_keras_3)
        check_size([part.layer])
    values = Values()
    (keras_file if is_file else keras_h5).read_weights(part, network.weights, values)
    _check_channels(part.layer, preprocessing)
    return describe(part.layer, preprocessing, value_of=values.of)


def _from_draft(draft: Draft, preprocessing: Preprocessing) -> Description:
    model, values = build_draft(draft)
    _check_channels(model, preprocessing)
    return describe(model, preprocessing, value_of=values.of)


def _not_finite(manifest: Manifest, blobs: dict[str, bytes]) -> list[str]:
    """Returns a note for each layer with weights that are no numbers, or infinite."""
    notes = []
    for layer in manifest.layers:
        arrays = decode_tensors(blobs[layer.blob]) if layer.blob in blobs else {}
        names = [name for name, array in arrays.items() if array.size and not _is_finite(array)]
        notes += [f"{layer.name}/{name} holds NaN or infinity: its outputs will, too" for name in names]
    return notes


def _is_finite(array: Array) -> bool:
    return bool(np.isfinite(array.min()) and np.isfinite(array.max()))  # NaN is the least and the largest of its array


def _check_channels(model: object, preprocessing: Preprocessing) -> None:
    for factors in (preprocessing.scale, preprocessing.offset):
        for tensor in model.inputs:  # type: ignore[attr-defined]
            if isinstance(factors, tuple) and len(factors) not in (1, tensor.shape[-1]):
                text = f"the preprocessing has {len(factors)} channels, the network's input {tensor.shape[-1]}"
                raise InvalidError(text, reason="BAD_SHAPE")
