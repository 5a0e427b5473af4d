"""Images: the input of networks that take them, and how an example becomes it."""

from __future__ import annotations

from frostline_zoo.foreign.canvas.canvas import Canvas
from frostline_zoo.foreign.canvas.held import Held, channels_last
from frostline_zoo.foreign.draft import Report
from frostline_zoo.foreign.hugging_face.config import Config
from frostline_zoo.foreign.hugging_face.refusals import bad_config
from frostline_zoo.foreign.hugging_face.timm import pretrained
from frostline_zoo.preprocessing import INTERPOLATIONS, Preprocessing

INPUT = "pixel_values"
PREPROCESSOR = "preprocessor_config.json"
_OF_PILLOW = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
_WHITE = 255


def image_input(canvas: Canvas, size: tuple[int, int], channels: int) -> Held:
    """Adds the input, of a height and a width."""
    return canvas.input(INPUT, (None, channels, *size), channels_last(4), "float32")


def transformers_size(config: Config | None, otherwise: tuple[int, int]) -> tuple[int, int]:
    """Returns the height and width that an image processor makes images of; `otherwise` where it says none.

    As transformers takes it: an object, or, in files of before there were such, one number or a height and a width.
    """
    if config is None:
        return otherwise
    crops = config.switch("do_center_crop", True)
    for key in ("crop_size", "size") if crops else ("size",):
        if key in config and not config.is_part(key):
            return config.pair(key)
        part = config.part(key)
        if "height" in part and "width" in part:
            return part.whole("height"), part.whole("width")
        if "shortest_edge" in part:
            return (part.whole("shortest_edge"),) * 2
    return otherwise


def transformers_preprocessing(config: Config | None, report: Report) -> Preprocessing:
    """Returns what an image processor of transformers does, and notes what it does beside."""
    if config is None:
        note = f"the folder has no {PREPROCESSOR}: images are taken as they are, unless a scale and an offset are given"
        report.notes.append(note)
        return Preprocessing()
    factor = config.number("rescale_factor", 1 / _WHITE) if config.switch("do_rescale", True) else 1.0
    normalizes = config.switch("do_normalize", True)
    means, deviations = (config.numbers(key) if normalizes else None for key in ("image_mean", "image_std"))
    if config.switch("do_center_crop", False) or "crop_pct" in config:
        report.notes.append("images are resized whole: the image processor would crop them at the edges")
    resample = config.whole("resample", 2, least=0)
    if resample not in _OF_PILLOW:
        report.notes.append(f"images are resized bilinearly, not by Pillow's filter {resample}")
    return _normalizing(factor, means, deviations, _OF_PILLOW.get(resample, "bilinear"), report)


def timm_preprocessing(config: Config, report: Report) -> Preprocessing:
    """Returns what timm does to an image, and notes what it does beside."""
    own = pretrained(config)
    means, deviations = own.numbers("mean"), own.numbers("std")
    if means is None or deviations is None:
        report.notes.append("config.json has no mean and std: images are scaled to numbers from 0 to 1")
    if own.number("crop_pct", 1.0) != 1.0:
        report.notes.append("images are resized whole: timm would crop them at the edges")
    interpolation = own.word("interpolation", "bicubic")
    if interpolation not in INTERPOLATIONS:
        report.notes.append(f"images are resized bilinearly, not by {interpolation[:40]!r}")
        interpolation = "bilinear"
    return _normalizing(1 / _WHITE, means, deviations, interpolation, report)


def _normalizing(
    factor: float, means: list[float] | None, deviations: list[float] | None, interpolation: str, report: Report
) -> Preprocessing:
    """Returns (value * factor - mean) / deviation for each channel."""
    deviations = deviations or [1.0]
    means = means or [0.0]
    if min(deviations) <= 0 or len({len(means), len(deviations)} - {1}) > 1:
        raise bad_config("means and deviations of images are not one for each channel")
    count = max(len(means), len(deviations))
    means, deviations = (each * count if len(each) == 1 else each for each in (means, deviations))
    scale = tuple(factor / deviation for deviation in deviations)
    offset = tuple((0.0 - mean) / deviation for mean, deviation in zip(means, deviations, strict=True))
    made = Preprocessing(_single(scale), _single(offset), interpolation)
    report.notes.append(f"preprocessing: scale {_told(made.scale)}, offset {_told(made.offset)}, {interpolation}")
    return made


def _single(numbers: tuple[float, ...]) -> float | tuple[float, ...]:
    return numbers[0] if len(set(numbers)) == 1 else numbers


def _told(numbers: float | tuple[float, ...]) -> str:
    return ", ".join(f"{each:.6g}" for each in (numbers if isinstance(numbers, tuple) else (numbers,)))
