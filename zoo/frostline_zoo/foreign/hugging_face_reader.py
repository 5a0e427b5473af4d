"""Hugging Face folders as drafts: config.json says which network it is, safetensors files have its weights.

Networks of transformers have a `model_type`, those of timm an `architecture`. Nothing in the folder is run, and nothing
of it decides what is: which arrays belong where is written here, a module for each kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import PurePosixPath

from frostline_zoo.foreign.canvas.canvas import Canvas
from frostline_zoo.foreign.canvas.held import Held, UnsayableError
from frostline_zoo.foreign.draft import Draft
from frostline_zoo.foreign.files import Files
from frostline_zoo.foreign.hugging_face import bert, resnet, vit
from frostline_zoo.foreign.hugging_face.arrays import INDEX, PICKLES, WHOLE, arrays_in
from frostline_zoo.foreign.hugging_face.config import Config
from frostline_zoo.foreign.hugging_face.images import (
    PREPROCESSOR,
    timm_preprocessing,
    transformers_preprocessing,
    transformers_size,
)
from frostline_zoo.foreign.hugging_face.layers import Layers
from frostline_zoo.foreign.hugging_face.refusals import bad_config, bad_weights, has_code, pickled, unknown, unsupported
from frostline_zoo.foreign.json_text import parsed_object
from frostline_zoo.preprocessing import Preprocessing

_PICTURE = (224, 224)
_KNOWN = (*bert.FAMILIES, *vit.TYPES, "resnet")
_TIMM: dict[str, tuple[re.Pattern[str], Callable[[Layers, Config], list[Held]]]] = {
    "resnet18 and its like, wide_resnet, resnext": (resnet.TIMM_NAMES, resnet.draw_timm_resnet),
    "vit_base_patch16_224 and its like, deit": (vit.TIMM_NAMES, vit.draw_timm_vit),
}


def read_hugging_face(files: Files, main: str) -> Draft:
    """Returns the network in a folder of transformers or timm.

    Args:
        files: the folder's files: config.json, model.safetensors or its index with what that names, and for images
            preprocessor_config.json.
        main: the name of config.json.

    Raises:
        InvalidError: the network is not of a kind that is known (UNSUPPORTED_MODEL) or has code of its own
            (UNSAFE_LAYER), its weights are pickles (UNSAFE_FORMAT), elsewhere (EXTERNAL_REFERENCE), missing or not
            those that the configuration asks for (BAD_WEIGHTS), or a file is damaged (BAD_CONFIG, BAD_JSON,
            BAD_SAFETENSORS, LIMIT_DEPTH).
        ExhaustedError: a file is too long (LIMIT_INFLATE, LIMIT_HEADER), or there are too many arrays (LIMIT_PARAMS).
    """
    folder = main.removesuffix(PurePosixPath(main).name)
    config = Config(parsed_object(bytes(files.view(main))))
    if "model_type" not in config and "architecture" not in config:
        raise bad_config("it names no network, as transformers does by a model_type, and timm by an architecture")
    processor = folder + PREPROCESSOR
    own = Config(parsed_object(bytes(files.view(processor)))) if processor in files else None
    if "auto_map" in config or (own is not None and "auto_map" in own):
        raise has_code()
    _check_weights(files, folder)
    layers = Layers(Canvas(), arrays_in(files, folder))
    report = layers.canvas.report
    try:
        outputs, preprocessing = _draw(layers, config, own)
    except UnsayableError as why:
        raise unsupported(str(why), "its configuration and weights do not fit together, or no layers say it") from why
    batches = "Keras does not count the batches of a normalization"
    layers.arrays.leave_out(lambda name: name.endswith(".num_batches_tracked"), batches, report)
    layers.arrays.finish(report)
    ends = [layers.canvas.output(output.ref.layer, output) for output in outputs]
    return replace(layers.canvas.draft(ends), preprocessing=preprocessing)


@contextmanager
def hugging_face_folder(files: Files, main: str) -> Iterator[Draft]:
    """Gives `read_hugging_face`'s draft; its arrays are those of the files."""
    yield read_hugging_face(files, main)


def _check_weights(files: Files, folder: str) -> None:
    """Checks that there are weights that can be read."""
    if folder + WHOLE in files or folder + INDEX in files:
        return
    if any(name.endswith(PICKLES) for name in files):
        raise pickled()
    raise bad_weights(f"the folder has no {WHOLE} and no {INDEX}")


def _draw(layers: Layers, config: Config, processor: Config | None) -> tuple[list[Held], Preprocessing]:
    """Draws the network, and returns its outputs and what becomes of its examples."""
    report = layers.canvas.report
    if "model_type" not in config:
        draw = _timm_kind(config.word("architecture"))
        return draw(layers, config), timm_preprocessing(config, report)
    kind = config.word("model_type")
    if kind in bert.FAMILIES:
        return bert.draw_bert(layers, config), Preprocessing()
    preprocessing = transformers_preprocessing(processor, report)
    if kind in vit.TYPES:
        return vit.draw_vit(layers, config), preprocessing
    if kind == "resnet":
        return resnet.draw_resnet(layers, config, transformers_size(processor, _PICTURE)), preprocessing
    raise unknown("model type", kind, _KNOWN)


def _timm_kind(architecture: str) -> Callable[[Layers, Config], list[Held]]:
    name = architecture.partition(".")[0]  # what follows says which weights
    found = next((draw for names, draw in _TIMM.values() if names.fullmatch(name)), None)
    if found is None:
        raise unknown("architecture of timm", architecture, _TIMM)
    return found
