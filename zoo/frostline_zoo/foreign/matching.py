"""Weights of other tools put into a network of the zoo: which array goes where, by name.

A parameter of ours is named `layer/parameter`. An array goes where its name says, `/` and `.` being the same; failing
that, where the map says. Nothing is guessed: what fits by its shape alone is only suggested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import numpy as np

from frostline_zoo.errors import InvalidError
from frostline_zoo.foreign.draft import Report
from frostline_zoo.foreign.name_map import Rule
from frostline_zoo.foreign.tree import Stored
from frostline_zoo.manifest import Manifest
from frostline_zoo.tensors import DTYPES, Array

MAX_SUGGESTED = 20
_TAILS = ("/.ATTRIBUTES/VARIABLE_VALUE", ":0")
# How Keras 2 named what Keras 3 names otherwise.
_OLDER_NAMES = {f"DepthwiseConv{rank}D": ("depthwise_kernel", "kernel") for rank in (1, 2)}
_KINDS = {"f": "floats", "i": "integers", "u": "integers", "b": "booleans", "V": "floats"}
_TYPES = {str(dtype): dtype for dtype in DTYPES.values()}

Place = tuple[str, str]
"""A layer and one of its parameters."""

Values = dict[Place, Array]


def match_weights(base: Manifest, arrays: Mapping[str, Stored], name_map: Sequence[Rule] = ()) -> tuple[Values, Report]:
    """Returns the values that a file has for a network's parameters, and what became of every array and parameter.

    Args:
        base: the network.
        arrays: the file's, by name; `layer/#0`, `layer/#1` ... are a layer's parameters in their order.
        name_map: what to do with names that are not ours; the first rule that is for a name counts.

    Raises:
        InvalidError: two arrays go to one parameter, or one to a parameter that is not there (BAD_MAP), or none goes
            anywhere (NO_MATCH).
    """
    matching = _Matching(base)
    for rule in name_map:
        matching.check(rule)
        if not any(rule.is_for(name) for name in arrays):
            matching.report.notes.append(f"the map names {rule.pattern}, which the file does not have")
    for name, stored in arrays.items():
        matching.place(name, stored, next((rule for rule in name_map if rule.is_for(name)), None))
    matching.finish(arrays)
    return matching.values, matching.report


class _Matching:
    def __init__(self, base: Manifest) -> None:
        self.values: Values = {}
        self.report = Report()
        self._parameters = {(layer.name, each.name): each for layer in base.layers for each in layer.parameters}
        self._named = {plain_name("/".join(place)): place for place in self._parameters}
        for layer in base.layers:
            places = [(layer.name, parameter.name) for parameter in layer.parameters]
            self._named |= {plain_name(f"{layer.name}/#{at}"): place for at, place in enumerate(places)}
            if layer.class_name in _OLDER_NAMES:
                older, now = _OLDER_NAMES[layer.class_name]
                self._named[plain_name(f"{layer.name}/{older}")] = (layer.name, now)
        self._met: set[Place] = set()

    def check(self, rule: Rule) -> None:
        """Raises InvalidError where a rule sends arrays to a parameter that the network does not have."""
        if rule.target is not None and "*" not in rule.target and plain_name(rule.target) not in self._named:
            raise self._no_place(rule.pattern, rule.target)

    def _no_place(self, name: str, target: str) -> InvalidError:
        ours = ["/".join(place) for place in self._parameters]
        near = get_close_matches(target, ours, n=3, cutoff=0.3) or ours[:3]
        text = f"the map sends {name[:80]!r} to {target[:80]!r}, which the network does not have"
        return InvalidError(f"{text}: write one of its names, such as {', '.join(near)}", reason="BAD_MAP")

    def place(self, name: str, stored: Stored, rule: Rule | None) -> None:
        """Puts one array where it belongs."""
        place = self._named.get(plain_name(name))
        if place is not None:
            self._put(name, stored, None, place)
        elif rule is None:
            self.report.unexpected.append(name)
        elif rule.target is None:
            self.report.notes.append(f"{name} was left out, as the map says")
        else:
            target = str(rule.target_of(name))
            place = self._named.get(plain_name(target))
            if place is None:
                raise self._no_place(name, target)
            self._put(name, stored, rule.permute, place)

    def _put(self, name: str, stored: Stored, permute: tuple[int, ...] | None, place: Place) -> None:
        if place in self._met:
            text = f"two arrays of the file go to {'/'.join(place)}: map one of them elsewhere, or to nothing"
            raise InvalidError(text, reason="BAD_MAP")
        self._met.add(place)
        parameter, ours = self._parameters[place], "/".join(place)
        shape = _permuted(tuple(stored.shape), permute)
        if shape != parameter.shape:
            self.report.differing.append((name, tuple(stored.shape), parameter.shape))
            return
        dtype = _TYPES[parameter.dtype]
        if _KINDS.get(stored.dtype.kind) != _KINDS.get(dtype.kind):
            self.report.unexpected.append(name)
            self.report.notes.append(f"{name} holds {stored.dtype}, but {ours} {parameter.dtype}")
            return
        array = np.asarray(stored[()])
        self.values[place] = (array if permute is None else np.transpose(array, permute)).astype(dtype)
        if plain_name(name) == plain_name(ours):
            self.report.matched.append(ours)
        else:
            self.report.renamed.append((name, ours))

    def finish(self, arrays: Mapping[str, Stored]) -> None:
        """Notes what the file does not have, and what may belong where. Raises InvalidError where nothing matched."""
        missing = [place for place in self._parameters if place not in self._met]
        self.report.missing += ["/".join(place) for place in missing]
        suggestions = self._suggestions(arrays, missing)
        self.report.notes += suggestions
        if not self.values:
            hint = f"; {suggestions[0]}" if suggestions else ""
            text = f"none of the file's {len(arrays)} arrays belongs to a parameter of the network by its name"
            raise InvalidError(f"{text}: give a map of their names to ours{hint}", reason="NO_MATCH")

    def _suggestions(self, arrays: Mapping[str, Stored], missing: list[Place]) -> list[str]:
        """Returns, for parameters that the file does not have, the one array left over that has their shape."""
        made = []
        for place in missing:
            shape = self._parameters[place].shape
            rivals = [other for other in missing if self._parameters[other].shape == shape]
            fitting = [name for name in self.report.unexpected if tuple(arrays[name].shape) == shape]
            if len(fitting) == len(rivals):  # then they are likely the same, in order
                name = fitting[rivals.index(place)]
                made.append(f"by its shape, {name} may be {'/'.join(place)}: map it to that")
        return made[:MAX_SUGGESTED]


def plain_name(name: str) -> str:
    """Returns a name without what tools add to it, `/` and `.` being the same."""
    for tail in _TAILS:
        name = name.removesuffix(tail)
    return name.replace("/", ".")


def _permuted(shape: tuple[int, ...], permute: tuple[int, ...] | None) -> tuple[int, ...] | None:
    if permute is None:
        return shape
    return tuple(shape[axis] for axis in permute) if len(permute) == len(shape) else None
