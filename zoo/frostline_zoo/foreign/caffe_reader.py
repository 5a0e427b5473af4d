"""Caffe networks as drafts: the .prototxt says the layers, the .caffemodel has their weights, by the layers' names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

from frostline_zoo.errors import InvalidError
from frostline_zoo.foreign.caffe_network.blobs import blobs_of
from frostline_zoo.foreign.caffe_network.drawing import TYPES, Step
from frostline_zoo.foreign.caffe_network.network import Layer, layers_of
from frostline_zoo.foreign.caffe_network.prototxt import Message
from frostline_zoo.foreign.caffe_network.refusals import bad_caffe, unsupported
from frostline_zoo.foreign.canvas.canvas import Canvas
from frostline_zoo.foreign.canvas.held import Constant, Held, UnsayableError, as_is, channels_last
from frostline_zoo.foreign.draft import Draft
from frostline_zoo.foreign.files import Files
from frostline_zoo.foreign.stumbles import STUMBLES

_LEFT_OUT = {"Accuracy", "Silence"}


def read_caffe(files: Files, main: str) -> Draft:
    """Returns the network in a pair of Caffe's files.

    Args:
        files: the files of the import: the .caffemodel, and the .prototxt of the same name, or the only one.
        main: the name of the .caffemodel.

    Raises:
        InvalidError: there is no .prototxt (UNKNOWN_FORMAT), a file is damaged (BAD_CAFFE, BAD_MESSAGE, LIMIT_DEPTH),
            or a layer holds code (UNSAFE_LAYER), names files (EXTERNAL_REFERENCE) or is said by no Keras layers
            (UNSUPPORTED_LAYER).
        ExhaustedError: the network is too large (LIMIT_HEADER, LIMIT_LAYERS, LIMIT_PARAMS).
    """
    canvas = Canvas()
    layers = layers_of(Message.parse(bytes(files.view(_prototxt(files, main)))), canvas.report.notes)
    return _Drawing(canvas, layers, blobs_of(files.view(main))).draft()


@contextmanager
def caffe_files(files: Files, main: str) -> Iterator[Draft]:
    """Gives `read_caffe`'s draft; its arrays are those of the files."""
    yield read_caffe(files, main)


def _prototxt(files: Files, main: str) -> str:
    beside = str(PurePosixPath(main).with_suffix(".prototxt"))
    texts = [name for name in files if name.endswith(".prototxt")]
    if beside in texts or len(texts) == 1:
        return beside if beside in texts else texts[0]
    text = "a .caffemodel has no layers without its .prototxt: send the one of the same name along"
    raise InvalidError(text, reason="UNKNOWN_FORMAT")


class _Drawing:
    """A network while it is drawn."""

    def __init__(self, canvas: Canvas, layers: list[Layer], blobs: dict[str, list[Constant]]) -> None:
        self._canvas = canvas
        self._layers = layers
        self._blobs = blobs
        self._values: dict[str, Held] = {}
        self._open: dict[str, None] = {}  # tensors that nothing has used yet

    def draft(self) -> Draft:
        """Returns the whole. Its outputs are what no layer uses, by name, as Caffe has them."""
        scales = self._scales()
        merged = set(scales.values())
        for layer in self._layers:
            if layer.type_name == "Input":
                self._input(layer)
            elif layer in merged:
                self._put(layer, [self._values[layer.bottoms[0]]])
            elif layer.type_name in _LEFT_OUT:
                self._canvas.report.notes.append(f"layer {layer.name[:80]!r} ({layer.type_name}) was left out")
            else:
                self._draw(layer, scales.get(layer))
        outputs = [self._output(name) for name in sorted(self._open)]
        if not outputs or all(layer.type_name == "Input" for layer in self._layers):
            raise bad_caffe("it has no layers")
        names = {layer.name for layer in self._layers}
        for name in self._blobs:
            if name not in names:
                self._canvas.report.unexpected.extend(constant.sources[0] for constant in self._blobs[name])
        return self._canvas.draft(outputs)

    def _scales(self) -> dict[Layer, Layer]:
        """Returns, by the normalization, the Scale that is its only user: Keras has the two in one layer."""
        found = {}
        users: dict[str, list[Layer]] = {}  # of each tensor, from the last layer to this one
        for layer in reversed(self._layers):
            above = users.get(layer.tops[0], []) if layer.type_name == "BatchNorm" and len(layer.tops) == 1 else []
            if above and above[-1].type_name == "Scale" and above[-1].bottoms == layer.tops:
                in_place = above[-1].tops == layer.tops
                if in_place or len(above) == 1:
                    found[layer] = above[-1]
            for bottom in layer.bottoms:
                users.setdefault(bottom, []).append(layer)
        return found

    def _input(self, layer: Layer) -> None:
        for top, shape in zip(layer.tops, layer.parameters("input").messages("shape"), strict=False):
            sides = tuple(shape.ints("dim"))
            if not 1 <= len(sides) <= 5 or any(side < 1 for side in sides):
                raise bad_caffe(f"input {top[:80]!r} has a shape that cannot be")
            order = channels_last(len(sides)) if len(sides) > 2 else as_is(len(sides))
            self._values[top] = self._canvas.input(top, sides, order, "float32")

    def _draw(self, layer: Layer, scale: Layer | None) -> None:
        if any(bottom not in self._values for bottom in layer.bottoms) or not layer.bottoms:
            raise bad_caffe(f"layer {layer.name[:80]!r} needs what nothing made before it")
        tensors = tuple(self._values[bottom] for bottom in layer.bottoms)
        blobs, scale_blobs = (tuple(self._blobs.get(each.name, ())) if each else () for each in (layer, scale))
        try:
            if layer.type_name not in TYPES:
                raise UnsayableError("is of a type that is not known here")
            made = TYPES[layer.type_name](Step(self._canvas, layer, tensors, blobs, scale, scale_blobs))
        except UnsayableError as why:
            raise unsupported(layer.name, layer.type_name, str(why)) from why
        except STUMBLES as error:
            raise bad_caffe(f"layer {layer.name[:80]!r} ({layer.type_name[:80]}) does not hold together") from error
        self._put(layer, made if isinstance(made, list) else [made])

    def _put(self, layer: Layer, made: list[Held]) -> None:
        if len(layer.tops) != len(made):
            raise bad_caffe(f"layer {layer.name[:80]!r} makes {len(made)} tensors, not {len(layer.tops)}")
        for bottom in layer.bottoms:
            self._open.pop(bottom, None)
        for top, value in zip(layer.tops, made, strict=True):
            self._values[top] = value
            self._open[top] = None

    def _output(self, name: str) -> Held:
        try:
            return self._canvas.output(name, self._values[name])
        except UnsayableError as why:
            raise unsupported(name, "output", str(why)) from why
