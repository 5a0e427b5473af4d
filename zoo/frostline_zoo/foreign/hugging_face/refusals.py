"""What is refused of a Hugging Face folder, in one line each."""

from __future__ import annotations

from collections.abc import Iterable

from frostline_zoo.errors import InvalidError
from frostline_zoo.foreign.formats import unsafe_format


def bad_config(what: str) -> InvalidError:
    """Returns the refusal of a configuration that does not say what it should."""
    return InvalidError(f"config.json cannot be read: {what}: save the network again", reason="BAD_CONFIG")


def bad_weights(what: str) -> InvalidError:
    """Returns the refusal of arrays that are not those of the configuration's network."""
    return InvalidError(f"{what}: save the network again, its configuration and weights together", reason="BAD_WEIGHTS")


def pickled() -> InvalidError:
    """Returns the refusal of weights that can run code."""
    return unsafe_format("a folder with its weights in pickles", "save them as safetensors")


def has_code() -> InvalidError:
    """Returns the refusal of a network that comes with code."""
    text = "the network has code of its own (auto_map), which is never run: save it as one of transformers, or as ONNX"
    return InvalidError(text, reason="UNSAFE_LAYER")


def elsewhere(what: str) -> InvalidError:
    """Returns the refusal of a folder whose weights are not in it."""
    return InvalidError(f"{what}: send all files of the folder together", reason="EXTERNAL_REFERENCE")


def unsupported(what: str, mend: str) -> InvalidError:
    """Returns the refusal of a network that is not known here."""
    return InvalidError(f"the network {what}: {mend}", reason="UNSUPPORTED_MODEL")


def unknown(kind: str, name: str, known: Iterable[str]) -> InvalidError:
    """Returns the refusal of a kind of network that is not known here, with those that are."""
    text = f"the {kind} {name[:80]!r} is not taken in: known are {', '.join(known)}; others come in as ONNX"
    return InvalidError(text, reason="UNSUPPORTED_MODEL")
