"""A network's graph: its calls in order, the parts of it, and cuts through it.

A cut parts a network in two. Below it everything is frozen, above it is what trains; the tensors that cross it are its
frontier. Shared layers are layers with several calls: a frozen layer must not be called on anything that trains.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from frostline_zoo.errors import InvalidError
from frostline_zoo.manifest import Call, Layer, Manifest, TensorRef

CallRef = tuple[str, int]


@dataclass(frozen=True)
class Cut:
    """Where a network is cut.

    Attributes:
        frozen: the names of the layers below.
        frontier: the tensors made below, or inputs, that are used above or are outputs: inputs first, then in the
            order of the layers that make them.
    """

    frozen: frozenset[str]
    frontier: tuple[TensorRef, ...]


def calls_in_order(manifest: Manifest, given: Collection[TensorRef] = ()) -> list[CallRef]:
    """Returns the calls that the outputs need where the tensors `given` are there, each after those it needs itself.

    The order follows from the graph alone: depth first from the outputs, arguments from left to right.

    Raises:
        InvalidError: the graph has a loop, or names a tensor that nothing makes.
    """
    return _ancestors(manifest, [(ref.layer, ref.call) for ref in manifest.outputs if ref not in given], given)


def _ancestors(manifest: Manifest, wanted: Iterable[CallRef], given: Collection[TensorRef] = ()) -> list[CallRef]:
    layers = {layer.name: layer for layer in manifest.layers}
    inputs = {entry.name for entry in manifest.inputs}
    state: dict[CallRef, bool] = {}  # False: begun, True: done
    done: list[CallRef] = []
    for first in wanted:
        stack = [first]
        while stack:
            at = stack[-1]
            if at[0] in inputs or state.get(at):
                stack.pop()
                continue
            if at[0] not in layers or not 0 <= at[1] < len(layers[at[0]].calls):
                raise InvalidError(f"call {at[1]} of layer {at[0]!r} is used, but nothing makes it", reason="BAD_GRAPH")
            begun = at in state
            state[at] = begun
            tensors = layers[at[0]].calls[at[1]].tensors()
            needed = [(ref.layer, ref.call) for ref in tensors if ref not in given]
            missing = [call for call in needed if call[0] not in inputs and not state.get(call)]
            if begun:
                done.append(stack.pop())
            elif any(call in state for call in missing):
                raise InvalidError(f"layer {at[0]!r} needs its own output: the graph has a loop", reason="BAD_GRAPH")
            else:
                stack.extend(reversed(missing))
    return done


def in_order(manifest: Manifest) -> Manifest:
    """Returns the same network with layers and calls in the order of `calls_in_order`, without what no output needs."""
    order = calls_in_order(manifest)
    numbers: dict[CallRef, int] = {}
    counts: dict[str, int] = {}
    for name, index in order:
        numbers[name, index] = counts.get(name, 0)
        counts[name] = numbers[name, index] + 1
    layers = {layer.name: layer for layer in manifest.layers}

    def renumbered(ref: TensorRef) -> TensorRef:
        return ref._replace(call=numbers.get((ref.layer, ref.call), 0))

    calls: dict[str, list[Call]] = {}
    for name, index in order:
        calls.setdefault(name, []).append(layers[name].calls[index].on(renumbered))
    return replace(
        manifest,
        layers=tuple(replace(layers[name], calls=tuple(made)) for name, made in calls.items()),
        outputs=tuple(map(renumbered, manifest.outputs)),
    )


def known_layer(manifest: Manifest, name: str) -> Layer:
    """Returns the layer of that name.

    Raises:
        InvalidError: the network has none; the message lists names near it, or the last ones.
    """
    layer = manifest.layer(name)
    if layer is None:
        names = [known.name for known in manifest.layers]
        near = difflib.get_close_matches(name, names, 3, 0.5)
        mend = f"did you mean {', '.join(near)}?" if near else f"the last of its layers are {', '.join(names[-3:])}"
        raise InvalidError(f"the network has no layer {name!r}: {mend}", reason="UNKNOWN_LAYER")
    return layer


def subgraph(manifest: Manifest, *through: str) -> Manifest:
    """Returns the part of a network that makes the outputs of the layers `through`, inputs it does not need left out.

    Without `through`: everything but the output layers, whose inputs become the outputs.

    Raises:
        InvalidError: the network has no such layer, it has several outputs, or nothing is left.
    """
    if through:
        outputs = tuple(single_output(manifest, known_layer(manifest, name)) for name in through)
    else:
        layers = {layer.name: layer for layer in manifest.layers}
        found: dict[TensorRef, None] = {}
        for ref in manifest.outputs:
            if ref.layer in layers:
                found.update(dict.fromkeys(layers[ref.layer].calls[ref.call].tensors()))
        outputs = tuple(found)
        if not any(ref.layer in layers for ref in outputs):
            raise InvalidError("nothing is left of the network without its output layer: name a layer to reuse through")
    return needed_part(replace(manifest, outputs=outputs))


def needed_part(manifest: Manifest) -> Manifest:
    """Returns the same network in order, without the layers and inputs that no output needs."""
    part = in_order(manifest)
    needed = {ref.layer for layer in part.layers for call in layer.calls for ref in call.tensors()}
    needed |= {ref.layer for ref in part.outputs}
    return replace(part, inputs=tuple(entry for entry in part.inputs if entry.name in needed))


def single_output(manifest: Manifest, layer: Layer) -> TensorRef:
    """Returns the only tensor that a layer makes.

    Raises:
        InvalidError: it makes several, by several calls or several outputs.
    """
    if len(layer.calls) > 1:
        raise InvalidError(f"layer {layer.name!r} is used {len(layer.calls)} times: name a layer that is used once")
    check_one_output(manifest, layer.name)
    return TensorRef(layer.name)


def check_one_output(manifest: Manifest, name: str) -> None:
    """Checks that every call of a layer makes one tensor.

    Raises:
        InvalidError: the network uses others.
    """
    used = [ref for other in manifest.layers for call in other.calls for ref in call.tensors()] + list(manifest.outputs)
    if any(ref.layer == name and ref.output > 0 for ref in used):
        raise InvalidError(f"layer {name!r} has several outputs: name a layer that has one")


def cut_through(manifest: Manifest, layer_names: Collection[str]) -> Cut:
    """Returns the cut just above the layers named: they and all they are made from are frozen. No names: nothing is.

    Raises:
        InvalidError: the network has no such layer, a frozen layer is also called above the cut, a mask would have to
            cross it, or nothing is left above it to train.
    """
    layers = {layer.name: layer for layer in manifest.layers}
    named = [known_layer(manifest, name) for name in layer_names]
    order = calls_in_order(manifest)
    below = set(_ancestors(manifest, [(layer.name, index) for layer in named for index in range(len(layer.calls))]))
    frozen = {name for name, _ in below}
    for name, index in order:  # a frozen layer's other calls are below too where all that they need is
        if (name, index) not in below and name in frozen:
            above = [ref for ref in layers[name].calls[index].tensors() if ref.layer in layers and ref[:2] not in below]
            if not above:
                below.add((name, index))
            elif layers[name].parameters:
                raise InvalidError(
                    f"layer {name!r} would be frozen but is also used above the cut, on the output of "
                    f"{above[0].layer!r}: freeze through {above[0].layer!r} as well, or cut below {name!r}",
                    reason="NOT_A_CUT",
                )
    if not any(layers[name].parameters for name, index in order if (name, index) not in below):
        text = (
            f"freezing through {', '.join(layer_names)} is not a cut: nothing is left above it to train: add a head, "
            "or say in freeze that less is frozen, or none"
        )
        raise InvalidError(text, reason="NOT_A_CUT")
    crossing = {ref for ref in manifest.outputs if ref.layer not in layers or ref[:2] in below}
    for name, index in order:
        if (name, index) not in below:
            tensors = layers[name].calls[index].tensors()
            crossing.update(ref for ref in tensors if ref.layer not in layers or ref[:2] in below)
    masked = _masked(manifest, order)
    for ref in sorted(crossing):
        if ref[:2] in masked:
            raise InvalidError(
                f"a mask would cross the cut at layer {ref.layer!r}: cut above the layer that uses it up, or below the "
                "one that makes it",
                reason="NOT_A_CUT",
            )
    names = [entry.name for entry in manifest.inputs] + [layer.name for layer in manifest.layers]
    place = {name: at for at, name in enumerate(names)}
    return Cut(frozenset(frozen), tuple(sorted(crossing, key=lambda ref: (place[ref.layer], ref.call, ref.output))))


# Layers after which there is no mask. One that is missing here costs a cut, never a wrong result.
_MASK_ENDS = {"GlobalAveragePooling1D", "GlobalMaxPooling1D", "Flatten", "Dot", "Conv1D", "MaxPooling1D"}


def _masked(manifest: Manifest, order: list[CallRef]) -> set[CallRef]:
    """Returns the calls whose outputs may carry a Keras mask: it travels beside the tensor, and a cut would lose it."""
    layers = {layer.name: layer for layer in manifest.layers}
    masked: set[CallRef] = set()
    for name, index in order:
        layer = layers[name]
        makes = layer.class_name == "Masking" or bool(layer.config.get("mask_zero"))
        inner = layer.config.get("layer")  # of a wrapper such as Bidirectional
        sequences = (inner["config"] if isinstance(inner, dict) else layer.config).get("return_sequences")
        ends = layer.class_name in _MASK_ENDS or sequences is False
        if makes or (not ends and any(ref[:2] in masked for ref in layer.calls[index].tensors())):
            masked.add((name, index))
    return masked
