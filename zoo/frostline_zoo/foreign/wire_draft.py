"""Drafts as JSON, and back, every part checked. `wire` has the arrays."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from frostline_zoo.errors import ExhaustedError, InvalidError
from frostline_zoo.foreign.draft import Draft, DraftLayer, Report
from frostline_zoo.foreign.tree import Stored
from frostline_zoo.foreign.wire_checks import Arrays, as_line, bad, integer, items, line, plain_object, record, text
from frostline_zoo.manifest import Call, Input, TensorRef
from frostline_zoo.preprocessing import Preprocessing
from frostline_zoo.tensors import DTYPES

MAX_LAYERS = 20_000
MAX_ENDS = 1_000
MAX_WEIGHTS_OF_A_LAYER = 1_000
MAX_RANK = 8
MAX_SIDE = 1 << 31
_MAX_CALLS = 10_000
_MAX_REPORTED = 100_000
_LONGEST_LINE = 1_000
_CLASS = re.compile(r"[A-Z][A-Za-z0-9]{0,63}")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,200}")
_DTYPES = frozenset(str(dtype) for dtype in DTYPES.values())


def draft_to_json(draft: Draft, number_of: Callable[[Stored], int]) -> dict[str, Any]:
    """Returns a draft's JSON; `number_of` gives each array its number.

    Raises:
        InvalidError: it has no layers (BAD_GRAPH).
        ExhaustedError: it has more layers, inputs or outputs than are taken in (LIMIT_LAYERS).
    """
    report = draft.report
    _check_sizes(draft)
    return {
        "kind": "draft",
        "inputs": [[each.name, list(each.shape), each.dtype] for each in draft.inputs],
        "layers": [
            {
                "name": layer.name,
                "class": layer.class_name,
                "config": layer.config,
                "calls": [[call.args, call.kwargs] for call in layer.calls],
                "weights": [number_of(array) for array in layer.weights],
            }
            for layer in draft.layers
        ],
        "outputs": [list(output) for output in draft.outputs],
        "preprocessing": draft.preprocessing.to_json(),
        "report": {
            **{key: [as_line(each, _LONGEST_LINE) for each in getattr(report, key)] for key in _LINES},
            "renamed": [[as_line(name, _LONGEST_LINE) for name in pair] for pair in report.renamed],
            "differing": [[as_line(name, _LONGEST_LINE), theirs, ours] for name, theirs, ours in report.differing],
        },
    }


def _check_sizes(draft: Draft) -> None:
    if not draft.layers:
        raise InvalidError("the file's network has no layers: save one that computes something", reason="BAD_GRAPH")
    if len(draft.layers) > MAX_LAYERS or max(len(draft.inputs), len(draft.outputs)) > MAX_ENDS:
        text = f"the network has more than {MAX_LAYERS} layers, or {MAX_ENDS} inputs or outputs: take a smaller one"
        raise ExhaustedError(text, reason="LIMIT_LAYERS")
    for each in draft.inputs:
        if len(each.shape) > MAX_RANK or any(side is not None and not 0 <= side <= MAX_SIDE for side in each.shape):
            text = (
                f"the input {each.name[:80]!r} has more than {MAX_RANK} sides, or one that cannot be: save it smaller"
            )
            raise InvalidError(text, reason="BAD_GRAPH")


def draft_from_json(value: dict[str, Any], arrays: Arrays) -> Draft:
    """Returns the draft that a JSON value writes. Raises InvalidError (PARSER_CRASHED)."""
    fields = record(value, "kind", "inputs", "layers", "outputs", "preprocessing", "report")
    inputs = tuple(_input(each) for each in items(fields["inputs"], MAX_ENDS, least=1))
    layers = tuple(_layer(each, arrays) for each in items(fields["layers"], MAX_LAYERS, least=1))
    outputs = tuple(_ref(each) for each in items(fields["outputs"], MAX_ENDS, least=1))
    calls = {each.name: 1 for each in inputs} | {layer.name: len(layer.calls) for layer in layers}
    if len(calls) != len(inputs) + len(layers):
        raise bad("two layers of one name")
    used = [ref for layer in layers for call in layer.calls for ref in call.tensors()]
    if any(ref.call >= calls.get(ref.layer, 0) for ref in [*used, *outputs]):
        raise bad("a tensor that nothing makes")
    return Draft(inputs, layers, outputs, _report(fields["report"]), _preprocessing(fields["preprocessing"]))


def _preprocessing(value: Any) -> Preprocessing:
    try:
        return Preprocessing.from_json(value)
    except InvalidError as error:
        raise bad("a preprocessing that is none") from error


def _input(value: Any) -> Input:
    name, shape, dtype = items(value, 3, least=3)
    sides = tuple(None if side is None else integer(side, MAX_SIDE) for side in items(shape, MAX_RANK))
    if text(dtype) not in _DTYPES:
        raise bad("an input of an unknown type")
    return Input(_name(name), sides, dtype)


def _layer(value: Any, arrays: Arrays) -> DraftLayer:
    fields = record(value, "name", "class", "config", "calls", "weights")
    if not _CLASS.fullmatch(text(fields["class"])):
        raise bad("a layer of no class")
    calls = tuple(_call(each) for each in items(fields["calls"], _MAX_CALLS, least=1))
    weights = tuple(arrays.take(each) for each in items(fields["weights"], MAX_WEIGHTS_OF_A_LAYER))
    return DraftLayer(_name(fields["name"]), fields["class"], plain_object(fields["config"]), calls, weights)


def _call(value: Any) -> Call:
    args, kwargs = items(value, 2, least=2)
    call = Call(items(args, MAX_ENDS), plain_object(kwargs))
    _check_refs(call.args)
    _check_refs(call.kwargs)
    return call


def _check_refs(value: Any) -> None:
    """Checks the tensors among a call's arguments: `{"tensor": [layer, call, output]}`."""
    if isinstance(value, dict) and set(value) == {"tensor"}:
        _ref(value["tensor"])
    elif isinstance(value, dict):
        for item in value.values():
            _check_refs(item)
    elif isinstance(value, list):
        for item in value:
            _check_refs(item)


def _ref(value: Any) -> TensorRef:
    layer, call, output = items(value, 3, least=3)
    return TensorRef(_name(layer), integer(call, _MAX_CALLS), integer(output, MAX_ENDS))


def _name(value: Any) -> str:
    if not _NAME.fullmatch(text(value)) or ".." in value:
        raise bad("a name that is none")
    return str(value)


def _report(value: Any) -> Report:
    fields = record(value, "matched", "renamed", "missing", "unexpected", "differing", "notes")
    lines = {key: [_line(each) for each in _reported(fields[key])] for key in _LINES}
    renamed = [
        (_line(theirs), _line(ours))
        for theirs, ours in (items(pair, 2, least=2) for pair in _reported(fields["renamed"]))
    ]
    differing = [
        (_line(name), _shape(theirs), _shape(ours))
        for name, theirs, ours in (items(each, 3, least=3) for each in _reported(fields["differing"]))
    ]
    return Report(renamed=renamed, differing=differing, **lines)


_LINES = ("matched", "missing", "unexpected", "notes")


def _line(value: Any) -> str:
    return line(value, _LONGEST_LINE)


def _reported(value: Any) -> list[Any]:
    return items(value, _MAX_REPORTED)


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(integer(side) for side in items(value, MAX_RANK))
