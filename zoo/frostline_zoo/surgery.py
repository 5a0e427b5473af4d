"""Surgery: layers of a network taken out, exchanged, put in and renamed, as pure functions on manifests.

    dropped(manifest, ()) == manifest
    layers that are not named keep their digests and blobs, and what lies below the lowest change its trunk digests
    names enter no digest: surgery on a renamed network gives the same network, renamed

Whether shapes fit is found out when the network is built (`networks.surgeon`). A new layer is a `Layer` without a blob:
its weights come later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from frostline_zoo.errors import InvalidError
from frostline_zoo.graph import CallRef, calls_in_order, check_one_output, known_layer, needed_part
from frostline_zoo.manifest import Call, Layer, Manifest, TensorRef

Shape = tuple[int | None, ...]
Shapes = Callable[[], Mapping[TensorRef, Shape]]


def layer_at(manifest: Manifest, place: str | int) -> Layer:
    """Returns the layer of that name, or the one at that index in the manifest's order; -1 is the last.

    Raises:
        InvalidError: there is none; the message lists names near it, or the indices that there are.
    """
    if isinstance(place, str):
        return known_layer(manifest, place)
    count = len(manifest.layers)
    if not -count <= place < count:
        mend = f"write an index from {-count} to {count - 1}"
        mend += f", or '{place}' in quotes for the layer of that name" if manifest.layer(str(place)) else ""
        raise InvalidError(f"the network has {count} layers, and none at {place}: {mend}", reason="UNKNOWN_LAYER")
    return manifest.layers[place]


def dropped(manifest: Manifest, names: Collection[str], shapes: Shapes) -> Manifest:
    """Returns the network without some layers: what each of them fed is fed by what fed it.

    A layer with several inputs is stood for by the only one left of them, by the only one whose own layer stays, or by
    the only one of its output's shape.

    Args:
        manifest: the network.
        names: of the layers to take out.
        shapes: gives the shapes of the network's tensors, without the batch; asked only where they decide.

    Raises:
        InvalidError: the network has no such layer, no single input can stand for a layer's output, or nothing is left.
    """
    for name in names:
        known_layer(manifest, name)
        check_one_output(manifest, name)
    layers = {layer.name: layer for layer in manifest.layers}
    stands: dict[TensorRef, TensorRef] = {}

    def standing(ref: TensorRef) -> TensorRef:
        return stands.get(ref, ref)

    for name, index in calls_in_order(manifest):
        if name in names:
            tensors = layers[name].calls[index].tensors()
            stands[TensorRef(name, index)] = _stand_in((name, index), tensors, stands, shapes)
    left = tuple(
        replace(layer, calls=tuple(call.on(standing) for call in layer.calls))
        for layer in manifest.layers
        if layer.name not in names
    )
    outputs = tuple(dict.fromkeys(map(standing, manifest.outputs)))
    if not any(ref.layer in layers for ref in outputs):
        raise InvalidError(
            f"nothing is left of the network without {_listed(names)}: drop fewer layers", reason="NOT_A_NETWORK"
        )
    return needed_part(replace(manifest, layers=left, outputs=outputs))


def _stand_in(
    call: CallRef, tensors: list[TensorRef], stands: Mapping[TensorRef, TensorRef], shapes: Shapes
) -> TensorRef:
    inputs = tuple(dict.fromkeys(stands.get(ref, ref) for ref in tensors))
    whole = tuple(dict.fromkeys(ref for ref in tensors if ref not in stands))
    if len(inputs) == 1 or len(whole) == 1:
        return (inputs if len(inputs) == 1 else whole)[0]
    known = shapes()
    made = known[TensorRef(*call)]
    fitting = [ref for ref in inputs if known[ref] == made]
    if len(fitting) == 1:
        return fitting[0]
    fed = ", ".join(f"{ref.layer!r} {shown(known[ref])}" for ref in inputs)
    none = "any of which" if fitting else "none of which"
    raise InvalidError(
        f"layer {call[0]!r} makes {shown(made)} of {fed}, {none} could stand for it: drop the layers below it on all "
        "branches but one as well, or replace it",
        reason="SHAPE_MISMATCH",
    )


def replaced(manifest: Manifest, name: str, layer: Layer) -> Manifest:
    """Returns the network with `layer`, under the name `name`, in all places of the layer of that name.

    Raises:
        InvalidError: the network has no such layer.
    """
    old = known_layer(manifest, name)
    changed = replace(layer, name=name, calls=old.calls)
    return replace(manifest, layers=tuple(changed if each is old else each for each in manifest.layers))


def inserted(manifest: Manifest, after: str, layer: Layer) -> Manifest:
    """Returns the network with `layer` put between the layer or input `after` and all that it feeds.

    Where `after` has several calls, `layer` is put behind each of them, and so is shared.

    Raises:
        InvalidError: the network has no such layer, it has several outputs, or the new layer's name is taken.
    """
    inputs = {entry.name for entry in manifest.inputs}
    count = 1 if after in inputs else len(known_layer(manifest, after).calls)
    check_one_output(manifest, after)
    _check_free(manifest, layer.name)

    def behind(ref: TensorRef) -> TensorRef:
        return ref._replace(layer=layer.name) if ref.layer == after else ref

    layers = tuple(replace(each, calls=tuple(call.on(behind) for call in each.calls)) for each in manifest.layers)
    calls = tuple(Call([{"tensor": [after, index, 0]}]) for index in range(count))
    outputs = tuple(map(behind, manifest.outputs))
    return needed_part(replace(manifest, layers=(*layers, replace(layer, calls=calls)), outputs=outputs))


def renamed(manifest: Manifest, names: Mapping[str, str]) -> Manifest:
    """Returns the same network with other names for some of its layers: no digest changes.

    Raises:
        InvalidError: the network has no such layer, or two would have one name.
    """
    for name in names:
        known_layer(manifest, name)
    after = [names.get(name, name) for name in _names(manifest)]
    if twice := [name for name in after if after.count(name) > 1]:
        raise _taken(twice[0])

    def moved(ref: TensorRef) -> TensorRef:
        return ref._replace(layer=names.get(ref.layer, ref.layer))

    layers = tuple(
        replace(layer, name=names.get(layer.name, layer.name), calls=tuple(call.on(moved) for call in layer.calls))
        for layer in manifest.layers
    )
    origins = {names.get(name, name): origin for name, origin in manifest.origins.items()}
    return replace(manifest, layers=layers, outputs=tuple(map(moved, manifest.outputs)), origins=origins)


def with_input(manifest: Manifest, shape: Shape) -> Manifest:
    """Returns the network with an input of another shape: its layers stay as they are.

    Raises:
        InvalidError: the network has several inputs, or one of another rank.
    """
    if len(manifest.inputs) != 1:
        text = f"the network has {len(manifest.inputs)} inputs: only that of a network with one can be changed"
        raise InvalidError(text, reason="SHAPE_MISMATCH")
    own = manifest.inputs[0].shape
    if len(own) != len(shape):
        text = f"the network's input is {shown(own)}, and {shown(shape)} has another number of sides: write {len(own)}"
        raise InvalidError(text, reason="SHAPE_MISMATCH")
    return replace(manifest, inputs=(replace(manifest.inputs[0], shape=shape),))


def below(manifest: Manifest, new: Collection[str]) -> tuple[str, ...]:
    """Returns the layers that no layer of `new` has a part in: those that may be frozen while the new ones train.

    A layer with weights is among them with all its calls, and all that it needs, or not at all.
    """
    layers = {layer.name: layer for layer in manifest.layers}
    order = calls_in_order(manifest)
    above, size = set(new), -1
    changed: set[CallRef] = set()
    while len(above) != size:  # until a walk finds no more shared layers that one of their calls takes along
        size = len(above)
        changed = set()
        for name, index in order:
            if name in above or any(ref[:2] in changed for ref in layers[name].calls[index].tensors()):
                changed.add((name, index))
                if layers[name].parameters:
                    above.add(name)
    torn = above | {name for name, _ in changed}
    return tuple(layer.name for layer in manifest.layers if layer.name not in torn)


def shown(shape: Shape) -> str:
    """Returns a shape as people write it, such as `(28, any, 3)`."""
    return "(" + ", ".join("any" if side is None else str(side) for side in shape) + ")"


def _names(manifest: Manifest) -> list[str]:
    return [entry.name for entry in manifest.inputs] + [layer.name for layer in manifest.layers]


def _check_free(manifest: Manifest, name: str) -> None:
    if name in _names(manifest):
        raise _taken(name)


def _taken(name: str) -> InvalidError:
    return InvalidError(f"two layers would be named {name!r}: give one of them another name", reason="NAME_TAKEN")


def _listed(names: Collection[str]) -> str:
    return ", ".join(repr(name) for name in names)
