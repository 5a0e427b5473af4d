"""Keras's own configurations as models: layers from the allow-list, called as the configuration says.

It does for a foreign configuration what Keras's loaders would, without them: no class is looked up by name outside the
allow-list, no function is made. Variables are declared only, so what does not fit its weights costs no memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from frostline_zoo.errors import InvalidError
from frostline_zoo.networks.allowed import DTYPES, is_of_keras, make_layer, unsafe
from frostline_zoo.networks.build import call_layer, single
from frostline_zoo.networks.calls import (
    Reference,
    WrittenCall,
    is_listed,
    mapped,
    written_calls,
    written_references,
)
from frostline_zoo.networks.describe import checked_name
from frostline_zoo.networks.operations import LAYERS, MASKS, Operation, is_operation

Config = dict[str, Any]
Modernise = Callable[[str, Config], Config]

MAX_LAYERS = 5_000
MAX_NESTING = 20
_MODELS = ("Functional", "Model", "Sequential")


@dataclass(frozen=True)
class Part:
    """A layer of a file, or a model with its parts.

    Attributes:
        name: as the file has it.
        class_name: as the file has it.
        layer: the Keras layer or model; its variables are declared, not filled.
        parts: of a model, its layers in the order of its configuration, inputs left out; None of a layer.
        trainable: its own flag, whatever the model around it says.
    """

    name: str
    class_name: str
    layer: Any
    parts: tuple[Part, ...] | None
    trainable: bool


@dataclass
class _Made:
    """A layer or an operation of a functional model while it is made: its calls as written, their outputs so far.

    An output is None where it is a mask, which Keras computes again.
    """

    part: Part | Operation | None  # None of an input
    calls: list[WrittenCall]
    outputs: list[list[Any]]
    first_in_calls: int = 0  # the number by which calls refer to its first call
    first_in_outputs: int = 0  # the number by which the model's outputs do


def rebuild(data: Any, modernise: Modernise) -> Part:
    """Returns the model that a configuration describes. It must be called within `weights.declared`.

    Args:
        data: `{"class_name": ..., "config": ...}` as Keras writes it.
        modernise: turns a layer's configuration of that file's Keras into one of this Keras.

    Raises:
        InvalidError: a layer is not on the allow-list, or the configuration does not hold together.
    """
    part = _Rebuild(modernise).model(data, 0)
    _set_trainable(part)
    return part


def _set_trainable(part: Part) -> None:
    part.layer.trainable = part.trainable
    for inner in part.parts or ():  # after the model's own, which Keras hands down
        _set_trainable(inner)


class _Rebuild:
    def __init__(self, modernise: Modernise) -> None:
        self._modernise = modernise
        self._count = 0

    def model(self, data: Any, depth: int) -> Part:
        class_name, config = class_and_config(data)
        name = str(config.get("name", data.get("name", "network")))
        layers = config.get("layers")
        if class_name not in _MODELS:
            raise unsafe(name, class_name)
        if not isinstance(layers, list) or not layers:
            raise InvalidError(f"the network {name[:80]!r} lists no layers", reason="BAD_CONFIG")
        self._count += len(layers)
        if self._count > MAX_LAYERS or depth > MAX_NESTING:
            text = f"the network has more than {MAX_LAYERS} layers, or is nested more than {MAX_NESTING} deep"
            raise InvalidError(text, reason="LIMIT_LAYERS")
        make = self._sequential if class_name == "Sequential" else self._functional
        inputs, outputs, parts = make(name, config, layers, depth)
        try:
            model = keras.Model(single(inputs), single(outputs), name=plain_name(name))
        except (ValueError, RecursionError) as error:
            raise InvalidError(f"the graph of {name[:80]!r} does not hold together", reason="BAD_GRAPH") from error
        return Part(name, class_name, model, parts, config.get("trainable", True) is not False)

    def _part(self, data: Any, depth: int) -> Part:
        class_name, config = class_and_config(data)
        name = str(data.get("name", config.get("name", class_name)))
        if class_name in _MODELS:
            return self.model(data, depth + 1)
        layer = make_layer(class_name, self._modernise(class_name, config), plain_name(name))
        return Part(name, class_name, layer, None, config.get("trainable", True) is not False)

    def _sequential(
        self, name: str, config: Config, layers: list[Any], depth: int
    ) -> tuple[list[Any], list[Any], tuple[Part, ...]]:
        first_class, first = class_and_config(layers[0])
        if first_class == "InputLayer":
            tensor, layers = _input(first, str(first.get("name", "input"))), layers[1:]
        else:
            shape = first.get("batch_input_shape") or first.get("batch_shape") or config.get("build_input_shape")
            written = {"batch_shape": shape, "dtype": None if first_class in _MODELS else first.get("dtype")}
            tensor = _input(written, f"{plain_name(name)}_input")
        inputs = [tensor]
        parts = tuple(self._part(layer, depth) for layer in layers)
        for part in parts:
            tensor = single(call_layer(part.layer, [tensor], {}))
        return inputs, [tensor] if not isinstance(tensor, list) else tensor, parts

    def _functional(
        self, name: str, config: Config, layers: list[Any], depth: int
    ) -> tuple[list[Any], list[Any], tuple[Part, ...]]:
        made: dict[str, _Made] = {}
        listed = False
        for data in layers:
            operation = _operation(data) if is_operation(data) else None
            class_name, inner = (operation.class_name, operation.config) if operation else class_and_config(data)
            layer_name, nodes = str(data.get("name", inner.get("name"))), data.get("inbound_nodes", [])
            if layer_name in made:
                raise InvalidError(f"two layers are named {layer_name[:80]!r}", reason="BAD_CONFIG")
            listed = listed or is_listed(nodes)
            calls = written_calls(nodes, layer_name)
            if class_name == "InputLayer":
                made[layer_name] = _Made(None, [], [[_input(inner, layer_name)]])
            else:
                made[layer_name] = _Made(operation or self._part(data, depth), calls, [])
        inputs, outputs = (written_references(config.get(key)) for key in ("input_layers", "output_layers"))
        _number_calls(made, outputs, listed)
        _check_masks(made)
        _call_all(made)
        parts = tuple(entry.part for entry in made.values() if isinstance(entry.part, Part))
        ends = [
            [_tensor(made, ref, made[ref.layer].first_in_outputs if ref.layer in made else 0) for ref in refs]
            for refs in (inputs, outputs)
        ]
        for ref in outputs:
            if _tensor(made, ref, made[ref.layer].first_in_outputs) is None:
                raise _refused_mask(made, [ref], "the network puts out")
        return ends[0], ends[1], parts


def _number_calls(made: dict[str, _Made], outputs: list[Reference], listed: bool) -> None:
    """Notes how the file counts the calls of models in the model.

    Keras 2 counts the making of an inner model as its call 0, where it has an input layer. Keras 3 does so for inner
    functional models, but only where it lists the outer model's outputs.
    """
    largest: dict[str, int] = {}
    for ref in [ref for entry in made.values() for call in entry.calls for ref in call.references()] + outputs:
        largest[ref.layer] = max(ref.call, largest.get(ref.layer, 0))
    for name, entry in made.items():
        if not isinstance(entry.part, Part) or entry.part.parts is None:
            continue
        if listed:
            entry.first_in_calls = entry.first_in_outputs = int(largest.get(name, 0) >= len(entry.calls))
        else:
            entry.first_in_outputs = int(entry.part.class_name != "Sequential")


def _check_masks(made: dict[str, _Made]) -> None:
    """Refuses masks that Keras would not make again: of what no layer here masks."""
    masked = [
        ref
        for entry in made.values()
        if isinstance(entry.part, Part) and any(map(_makes_masks, entry.part.layer._flatten_layers()))
        for call in entry.calls
        for ref in call.references()
    ]
    for entry in made.values():
        if isinstance(entry.part, Operation) and entry.part.class_name == "NotEqual":
            for call in entry.calls:
                if any(ref not in masked for ref in call.references()):
                    raise entry.part.refusal("makes a mask of the network's own")


def _makes_masks(layer: Any) -> bool:
    return isinstance(layer, keras.layers.Masking) or bool(getattr(layer, "mask_zero", False))


def _call_all(made: dict[str, _Made]) -> None:
    """Calls every layer as the file says: in its order, each as often as what it needs is there, until all is done."""
    waiting = {name: entry for name, entry in made.items() if entry.part is not None}
    while waiting:
        before = sum(len(entry.outputs) for entry in waiting.values())
        for name, entry in list(waiting.items()):
            while len(entry.outputs) < len(entry.calls):
                call = entry.calls[len(entry.outputs)]
                if not all(_is_made(made, ref) for ref in call.references()):
                    break
                entry.outputs.append(_call(made, entry, call))
            if len(entry.outputs) == len(entry.calls):
                del waiting[name]
        if waiting and sum(len(entry.outputs) for entry in waiting.values()) == before:
            name = next(iter(waiting))
            text = f"layer {name[:80]!r} needs a tensor that nothing makes, or its own output"
            raise InvalidError(text, reason="BAD_GRAPH")


def _call(made: dict[str, _Made], entry: _Made, call: WrittenCall) -> list[Any]:
    assert entry.part is not None
    args = mapped(call.args, lambda ref: _tensor(made, ref, made[ref.layer].first_in_calls))
    kwargs = mapped(call.kwargs, lambda ref: _tensor(made, ref, made[ref.layer].first_in_calls))
    on_masks = any(each is None for each in keras.tree.flatten(args))
    if isinstance(entry.part, Operation):
        computes_mask = entry.part.class_name in MASKS or on_masks
        return [None] if computes_mask else entry.part.apply(args, kwargs)
    given = {key: value for key, value in kwargs.items() if value is not None and not (key == "training" and not value)}
    given = {key: value for key, value in given.items() if any(each is not None for each in keras.tree.flatten(value))}
    if on_masks:
        raise _refused_mask(made, call.references(), f"layer {entry.part.name[:80]!r} is called on")
    return call_layer(entry.part.layer, args, given)


def _refused_mask(made: dict[str, _Made], refs: list[Reference], why: str) -> InvalidError:
    named = (made[ref.layer].part for ref in refs if made[ref.layer].outputs[ref.call] == [None])
    operation = next((each for each in named if isinstance(each, Operation)), None)
    return operation.refusal(why) if operation else InvalidError("a layer is called on nothing", reason="BAD_CONFIG")


def _is_made(made: dict[str, _Made], ref: Reference) -> bool:
    entry = made.get(ref.layer)
    return entry is not None and ref.call - entry.first_in_calls < len(entry.outputs)


def _tensor(made: dict[str, _Made], ref: Reference, first: int) -> Any:
    call = ref.call - first
    if ref.layer not in made or not 0 <= call < len(made[ref.layer].outputs):
        raise InvalidError(f"nothing makes output {ref.output} of {ref.layer[:80]!r}", reason="BAD_GRAPH")
    outputs = made[ref.layer].outputs[call]
    if ref.output >= len(outputs):
        raise InvalidError(f"layer {ref.layer[:80]!r} has no output {ref.output}", reason="BAD_GRAPH")
    return outputs[ref.output]


def _operation(data: Config) -> Operation:
    class_name, config = data.get("class_name"), data.get("config")
    if not isinstance(class_name, str) or not isinstance(config, dict):
        raise InvalidError("the configuration lists an operation without a class", reason="BAD_CONFIG")
    operation = Operation(plain_name(str(config.get("name", class_name))), class_name, config)
    if class_name not in (*LAYERS, *MASKS):
        raise operation.refusal()
    return operation


def class_and_config(data: Any) -> tuple[str, Config]:
    """Returns the class and the configuration of a layer as Keras writes it.

    Raises:
        InvalidError: it is not written so, or is of a class that is not Keras's own.
    """
    if (
        not isinstance(data, dict)
        or not isinstance(data.get("class_name"), str)
        or not isinstance(data.get("config"), dict)
    ):
        raise InvalidError("the configuration lists a layer without a class", reason="BAD_CONFIG")
    class_name, module, registered = data["class_name"], data.get("module"), data.get("registered_name")
    if not is_of_keras(module) or (registered is not None and registered not in (class_name, *_MODELS)):
        raise unsafe(str(data["config"].get("name", class_name)), str(registered or f"{module}.{class_name}"))
    return class_name, data["config"]


def plain_name(name: str) -> str:
    """Returns a layer's name as the zoo has it: Keras 2 allowed slashes. Raises InvalidError."""
    return checked_name(name if ".." in name else name.replace("/", "_"))


def _input(config: Config, name: str) -> Any:
    shape = config.get("batch_shape") or config.get("batch_input_shape")
    dtype = config.get("dtype") or "float32"
    if isinstance(dtype, dict):
        dtype = (dtype.get("config") or {}).get("name")
    sides = shape[1:] if isinstance(shape, list) and shape else None
    if sides is None or len(sides) > 8 or not all(side is None or _is_side(side) for side in sides):
        text = f"input {name[:80]!r} has no shape: build the network for one and save it again"
        raise InvalidError(text, reason="BAD_SHAPE")
    if dtype not in DTYPES or config.get("sparse") or config.get("ragged") or config.get("optional"):
        raise InvalidError(f"input {name[:80]!r} is not a plain dense tensor", reason="UNSUPPORTED_LAYER")
    return keras.Input(shape=tuple(sides), dtype=dtype, name=plain_name(name))


def _is_side(side: Any) -> bool:
    return isinstance(side, int) and not isinstance(side, bool) and 0 < side <= 1 << 24
