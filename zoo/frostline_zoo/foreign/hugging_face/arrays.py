"""A folder's arrays: those of model.safetensors, or of all the files that its index names."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from frostline_zoo.errors import ExhaustedError
from frostline_zoo.foreign.canvas.held import Constant
from frostline_zoo.foreign.draft import Report
from frostline_zoo.foreign.files import Files
from frostline_zoo.foreign.formats import START_BYTES, holds_pickles
from frostline_zoo.foreign.hugging_face.refusals import bad_weights, elsewhere, pickled
from frostline_zoo.foreign.json_text import parsed_object
from frostline_zoo.foreign.safetensors_file import tensors_of
from frostline_zoo.tensors import Array

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
MOST_ARRAYS = 100_000  # as many as a report has lines
Shape = tuple[int | None, ...]


class Arrays:
    """Arrays by name; it remembers which were taken."""

    def __init__(self, arrays: dict[str, Array]) -> None:
        self._arrays = arrays
        self._taken: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def shape(self, name: str, rank: int) -> tuple[int, ...]:
        """Returns an array's sides. Raises InvalidError where there is none of that name, or it has more or fewer."""
        shape = self._found(name).shape
        if len(shape) != rank:
            raise bad_weights(f"{name} has the shape {shape}, where {rank} sides are needed")
        return shape

    def take(self, name: str, *shape: int | None) -> Constant:
        """Returns the array of that name, which has a shape; None is any side.

        Raises:
            InvalidError: there is none, it has another shape, or holds no floats (BAD_WEIGHTS).
        """
        array = self._found(name)
        if len(shape) != array.ndim or any(
            want not in (None, side) for want, side in zip(shape, array.shape, strict=True)
        ):
            wanted = ", ".join("any" if side is None else str(side) for side in shape)
            raise bad_weights(f"{name} has the shape {array.shape}, where config.json asks for ({wanted})")
        if array.dtype.kind in "iub":
            raise bad_weights(f"{name} holds {array.dtype} and no floats")
        self._taken.add(name)
        return Constant(array.astype(np.float32, copy=False), (name,))

    def leave_out(self, is_one: Callable[[str], bool], why: str, report: Report) -> None:
        """Notes that some of the arrays that are not taken are left out, and why."""
        names = [name for name in self._arrays if name not in self._taken and is_one(name)]
        self._taken.update(names)
        if names:
            more = f" and {len(names) - 1} like it were" if len(names) > 1 else " was"
            report.notes.append(f"{names[0][:80]!r}{more} left out: {why}")

    def finish(self, report: Report) -> None:
        """Reports what nothing took, and of which type the weights are."""
        report.unexpected.extend(name for name in self._arrays if name not in self._taken)
        types = {self._arrays[name].dtype.name for name in self._taken if self._arrays[name].dtype.kind not in "iub"}
        for dtype in sorted(types - {"float32"}):
            report.notes.append(f"weights of {dtype} were taken in as float32")

    def _found(self, name: str) -> Array:
        if name not in self._arrays:
            raise bad_weights(f"the folder's weights have no {name}")
        array = self._arrays[name]
        if not array.size:  # its other sides may be of any length, and cost the sender nothing
            raise bad_weights(f"{name} has the shape {array.shape}, which holds no numbers")
        return array


def arrays_in(files: Files, folder: str) -> Arrays:
    """Returns the arrays of a folder, whose name among the files ends with `/` or is empty.

    Raises:
        InvalidError: a file of them was not sent (EXTERNAL_REFERENCE), is a pickle (UNSAFE_FORMAT), damaged, or not
            what the index says (BAD_WEIGHTS, BAD_SAFETENSORS, BAD_JSON).
        ExhaustedError: a header is too long (LIMIT_HEADER), or there are too many arrays (LIMIT_PARAMS).
    """
    if folder + WHOLE in files:
        arrays = _arrays_of(files, folder + WHOLE)
        _check_number(arrays)
        return Arrays(arrays)
    places = parsed_object(bytes(files.view(folder + INDEX))).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(place, str) for place in places.values()):
        raise bad_weights(f"{INDEX} does not say which file holds which array")
    arrays = {}
    for place in sorted(set(places.values())):
        if folder + place not in files:
            raise elsewhere(f"{INDEX} names the file {place[:80]!r}, which was not sent along under that very name")
        found = _arrays_of(files, folder + place)
        if not arrays.keys().isdisjoint(found):
            raise bad_weights(f"two of the files that {INDEX} names hold one array")
        arrays |= found
        _check_number(arrays)
    if missing := sorted(set(places) - set(arrays)):
        raise bad_weights(f"{INDEX} names the array {missing[0][:80]!r}, which no file holds")
    return Arrays(arrays)


def _arrays_of(files: Files, name: str) -> dict[str, Array]:
    content = files.view(name)
    if name.endswith(PICKLES) or holds_pickles(bytes(content[:START_BYTES])):
        raise pickled()
    return tensors_of(content)


def _check_number(arrays: dict[str, Array]) -> None:
    if len(arrays) > MOST_ARRAYS:
        text = f"the folder has more than {MOST_ARRAYS:,} arrays: take a smaller network"
        raise ExhaustedError(text, reason="LIMIT_PARAMS")
