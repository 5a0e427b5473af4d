"""What timm's configurations say of every network: how it was made, and of images of which size."""

from __future__ import annotations

from collections.abc import Iterable

from frostline_zoo.foreign.hugging_face.config import Config
from frostline_zoo.foreign.hugging_face.refusals import bad_config, unsupported

# What the arrays say too, what training alone knows, and the pooling, which `require_pooling` looks at.
_SAID_ELSEWHERE = {"num_classes", "in_chans", "global_pool", "drop_rate", "drop_path_rate", "weight_init", "fix_init"}


def timm_arguments(config: Config, known: Iterable[str]) -> Config:
    """Returns the arguments that a network was made with, beside those of its architecture.

    Raises:
        InvalidError: there are others than those known.
    """
    arguments = config.part("model_args")
    others = sorted(set(arguments.keys()) - {*known, *_SAID_ELSEWHERE, "proj_drop_rate", "attn_drop_rate"})
    if others:
        raise unsupported(f"was made with {others[0][:80]!r}, which is not known here", "save it without, or as ONNX")
    return arguments


def pretrained(config: Config) -> Config:
    """Returns what is said of the weights; older configurations are nothing else. Raises InvalidError."""
    return config.part("pretrained_cfg") if "pretrained_cfg" in config else config


def require_pooling(config: Config, wanted: str) -> None:
    """Raises InvalidError unless a network pools as is wanted, wherever its configuration says how.

    The arguments decide, then what is said of the weights; the key of the configuration itself only tells, but one that
    tells otherwise makes the whole doubtful.
    """
    for part in (config.part("model_args"), pretrained(config), config):
        part.require("global_pool", wanted, wanted)


def timm_size(config: Config) -> tuple[int, int]:
    """Returns the height and width of the images that a network takes. Raises InvalidError."""
    size = pretrained(config).wholes("input_size", [3, 224, 224])
    if len(size) != 3:
        raise bad_config("input_size is not channels, height and width")
    return size[1], size[2]
