"""A plan: for each stage, which features are stored, which are computed again, what that costs, and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StagePlan:
    """What one stage does about its features.

    Attributes:
        cut: the layers whose outputs cross the cut, by name.
        frozen_layer_count: how many layers lie below.
        kept: where rows are kept between epochs: "store" (on disk, for later jobs too), "memory" (for this job
            alone), or "nowhere" (they are computed again in every epoch).
        kept_at: the layers whose outputs are kept; they lie at the cut, or below it where that is cheaper. The
            input's name where the prepared examples themselves are kept.
        dtype: what rows are kept as.
        views: how many seeded augmentations of each example; 0 is the example itself.
        rows_present: rows of `kept_at` that are in the store already, or that a stage before stores.
        rows_missing: rows that have to be computed: of equal ones one.
        size_bytes: all rows of `kept_at`, in bytes.
        seconds_with: expected over the whole stage for what lies below the head, done as planned.
        seconds_without: expected where nothing is kept.
        reason: why, in one sentence.
    """

    cut: tuple[str, ...]
    frozen_layer_count: int
    kept: str
    kept_at: tuple[str, ...]
    dtype: str
    views: int
    rows_present: int
    rows_missing: int
    size_bytes: int
    seconds_with: float
    seconds_without: float
    reason: str


def told_bytes(size: float) -> str:
    """Returns a size as people read it."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError


def told_seconds(seconds: float) -> str:
    """Returns a time as people read it."""
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
