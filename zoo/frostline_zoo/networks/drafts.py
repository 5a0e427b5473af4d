"""Drafts to Keras: what a reader of a foreign format made of a file, built layer by layer from the allow-list."""

from __future__ import annotations

from typing import Any

import keras

from frostline_zoo.errors import ExhaustedError, InvalidError
from frostline_zoo.foreign.draft import Draft, DraftLayer
from frostline_zoo.graph import calls_in_order
from frostline_zoo.manifest import Layer, Manifest, TensorRef
from frostline_zoo.networks.allowed import make_layer
from frostline_zoo.networks.build import input_tensors, replay, single
from frostline_zoo.networks.describe import checked_name
from frostline_zoo.networks.weights import Values, check_size, declared

MAX_DEPTH = 900  # Keras connects layers by a function that calls itself for each, and Python allows 1000 such calls


def build_draft(draft: Draft) -> tuple[Any, Values]:
    """Returns a draft as a functional Keras model, its variables declared, and the values of these.

    Only what the outputs need is built. Nothing is filled: `describe(model, preprocessing, value_of=values.of)`.

    Raises:
        InvalidError: a layer is not on the allow-list (UNSAFE_LAYER), its configuration or name cannot be (BAD_CONFIG,
            BAD_NAME), the graph does not hold together (BAD_GRAPH, BAD_SHAPE), or weights are missing, too many, or of
            other shapes than the layer's (BAD_WEIGHTS).
        ExhaustedError: the weights take more than 4 GiB (LIMIT_PARAMS), an output is too large (LIMIT_OUTPUT), or more
            layers stand on one another than Keras connects (LIMIT_LAYERS).
    """
    names = [checked_name(entry.name) for entry in draft.inputs] + [checked_name(layer.name) for layer in draft.layers]
    if len(set(names)) != len(names):
        raise InvalidError("two layers of the network have one name", reason="BAD_GRAPH")
    graph = _graph(draft)
    calls = calls_in_order(graph)
    _check_depth(graph, calls)
    used = {name for name, _ in calls}
    drafted = [layer for layer in draft.layers if layer.name in used]
    with declared():
        layers = {each.name: make_layer(each.class_name, each.config, each.name) for each in drafted}
        tensors = input_tensors(graph)
        inputs = list(tensors.values())
        replay(graph, calls, layers, tensors)
        check_size(layers.values())
        outputs = [_tensor(tensors, ref) for ref in draft.outputs]
        try:
            model = keras.Model(single(inputs), single(outputs))
        except (ValueError, RecursionError) as error:
            raise InvalidError("the network's graph does not hold together", reason="BAD_GRAPH") from error
    values = Values()
    for each in drafted:
        _put(values, layers[each.name], each)
    return model, values


def _check_depth(graph: Manifest, calls: list[tuple[str, int]]) -> None:
    """Checks how many calls stand on one another before any is built: Keras would find out after the last one."""
    layers, depths = {layer.name: layer for layer in graph.layers}, dict[tuple[str, int], int]()
    for name, at in calls:
        below = (depths.get((ref.layer, ref.call), 0) for ref in layers[name].calls[at].tensors())
        depths[name, at] = 1 + max(below, default=0)
    if max(depths.values(), default=0) > MAX_DEPTH:
        text = f"the network has more than {MAX_DEPTH} layers one on the other: take a smaller one"
        raise ExhaustedError(text, reason="LIMIT_LAYERS")


def _graph(draft: Draft) -> Manifest:
    """Returns a draft's graph alone, as a manifest without weights."""
    layers = (Layer(each.name, each.class_name, {}, "", None, (), True, each.calls) for each in draft.layers)
    return Manifest(draft.inputs, tuple(layers), draft.outputs)


def _tensor(tensors: dict[TensorRef, Any], ref: TensorRef) -> Any:
    if ref not in tensors:
        raise InvalidError(f"layer {ref.layer!r} has no output {ref.output}", reason="BAD_GRAPH")
    return tensors[ref]


def _put(values: Values, layer: Any, drafted: DraftLayer) -> None:
    variables = layer.weights
    if len(variables) != len(drafted.weights):
        text = f"layer {drafted.name!r} has {len(variables)} weights, the file {len(drafted.weights)}"
        raise InvalidError(text, reason="BAD_WEIGHTS")
    for variable, array in zip(variables, drafted.weights, strict=True):
        values.put(variable, array, drafted.name)
