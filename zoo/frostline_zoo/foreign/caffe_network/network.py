"""The layers of a .prototxt, in order: of the test phase, older names made today's, and none among them that acts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from frostline_zoo.errors import ExhaustedError, InvalidError
from frostline_zoo.foreign.caffe_network.prototxt import Message
from frostline_zoo.foreign.caffe_network.refusals import bad_caffe

MAX_LAYERS = 20_000
_ACTS = {"Python"}
_READS_OR_WRITES = {
    *("Data", "HDF5Data", "ImageData", "WindowData", "AnnotatedData", "HDF5Output", "SaveOutput", "VideoData"),
}
_NAMES_FILES = {
    *("source", "mean_file", "file_name", "root_folder", "output_directory", "output_name_prefix", "label_map_file"),
    *("name_size_file", "module", "visualize_threshold_file", "save_file", "infogain_source"),
}
# What the older form's types are called today.
_OLDER = {
    "BNLL": "BNLL",
    "CONCAT": "Concat",
    "CONVOLUTION": "Convolution",
    "DATA": "Data",
    "DECONVOLUTION": "Deconvolution",
    "DROPOUT": "Dropout",
    "ELTWISE": "Eltwise",
    "EXP": "Exp",
    "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "IMAGE_DATA": "ImageData",
    "INNER_PRODUCT": "InnerProduct",
    "LRN": "LRN",
    "POOLING": "Pooling",
    "POWER": "Power",
    "RELU": "ReLU",
    "SIGMOID": "Sigmoid",
    "SLICE": "Slice",
    "SOFTMAX": "Softmax",
    "SPLIT": "Split",
    "TANH": "TanH",
    "WINDOW_DATA": "WindowData",
    "ABSVAL": "AbsVal",
}


@dataclass(frozen=True)
class Layer:
    """One layer: its type in today's words, its tensors by name, and its parameters."""

    name: str
    type_name: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    message: Message

    def parameters(self, kind: str) -> Message:
        """Returns one of its messages of parameters, such as `convolution_param`."""
        return self.message.message(f"{kind}_param")


def layers_of(net: Message, notes: list[str]) -> list[Layer]:
    """Returns the layers of a network, inputs that stand outside of layers made ones.

    Raises:
        InvalidError: a layer holds code (UNSAFE_LAYER), reads or writes files (EXTERNAL_REFERENCE), or has no name or
            type (BAD_CAFFE).
        ExhaustedError: there are more than 20,000 (LIMIT_LAYERS).
    """
    written = [("", message) for message in net.messages("layer")]
    written += [("older", message) for message in net.messages("layers")]
    if len(written) > MAX_LAYERS:
        raise ExhaustedError(f"the network has more than {MAX_LAYERS} layers: take a smaller", reason="LIMIT_LAYERS")
    layers = _inputs(net)
    for form, message in written:
        type_name = message.word("type")
        layer = Layer(
            message.word("name"),
            _OLDER.get(type_name, type_name) if form else type_name,
            tuple(message.words("bottom")),
            tuple(message.words("top")),
            message,
        )
        _check(layer)
        if _in_test_phase(message):
            layers.append(layer)
        else:
            notes.append(f"layer {layer.name[:80]!r} is of the training phase and was left out")
    return layers


def _check(layer: Layer) -> None:
    name = layer.name[:80]
    if not layer.name or not layer.type_name:
        raise bad_caffe("a layer has no name or no type")
    if layer.type_name in _ACTS:
        text = f"layer {name!r} is of type {layer.type_name}, which runs code and is not taken in: replace it"
        raise InvalidError(text, reason="UNSAFE_LAYER", layer=name)
    if layer.type_name in _READS_OR_WRITES or _named_files(layer.message):
        text = f"layer {name!r} names files, which are never opened: send the .prototxt for deployment"
        raise InvalidError(text, reason="EXTERNAL_REFERENCE", layer=name)


def _named_files(message: Message) -> bool:
    waiting = [message]
    while waiting:
        here = waiting.pop()
        if _NAMES_FILES & here.fields.keys():
            return True
        inner: list[Any] = [value for values in here.fields.values() for value in values]
        waiting.extend(value for value in inner if isinstance(value, Message))
    return False


def _in_test_phase(message: Message) -> bool:
    included = [rule.word("phase") for rule in message.messages("include") if rule.words("phase")]
    excluded = [rule.word("phase") for rule in message.messages("exclude")]
    return (not included or "TEST" in included) and "TEST" not in excluded


def _inputs(net: Message) -> list[Layer]:
    """Returns inputs as the oldest form writes them: `input: "data" input_dim: 1 ...`."""
    names = net.words("input")
    shapes = [shape.ints("dim") for shape in net.messages("input_shape")]
    dims = net.ints("input_dim")
    shapes = shapes or [dims[at : at + 4] for at in range(0, len(dims), 4)]
    if len(shapes) != len(names):
        raise bad_caffe("it has another number of inputs than of their shapes")
    layers = []
    for name, shape in zip(names, shapes, strict=True):
        message, parameters, written = Message(), Message(), Message()
        written.fields["dim"] = [str(side) for side in shape]
        parameters.fields["shape"] = [written]
        message.fields["input_param"] = [parameters]
        layers.append(Layer(name, "Input", (), (name,), message))
    return layers
