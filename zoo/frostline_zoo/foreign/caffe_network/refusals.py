"""What is refused of Caffe's files, in one line each."""

from __future__ import annotations

from frostline_zoo.errors import InvalidError


def bad_caffe(what: str) -> InvalidError:
    """Returns the refusal of files that are no sound Caffe network."""
    return InvalidError(f"the Caffe network is damaged: {what}: save it again", reason="BAD_CAFFE")


def unsupported(layer: str, type_name: str, why: str) -> InvalidError:
    """Returns the refusal of a layer that Keras layers do not say."""
    text = f"layer {layer[:80]!r} ({type_name[:80]}) {why}: no Keras layer says that; save the network without it"
    return InvalidError(text, reason="UNSUPPORTED_LAYER", layer=layer[:80])


def of_another_network(layer: str, why: str) -> InvalidError:
    """Returns the refusal of a .prototxt that says other sizes than the .caffemodel has."""
    text = f"layer {layer[:80]!r} {why}: send the .prototxt that belongs to the .caffemodel"
    return InvalidError(text, reason="BAD_WEIGHTS", layer=layer[:80])
