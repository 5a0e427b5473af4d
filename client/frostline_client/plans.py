"""Plans: what the stages of a recipe do about their features, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from frostline.v1 import job_service_pb2 as pb


@dataclass(frozen=True)
class StagePlan:
    """What one stage does about its features.

    Attributes:
        cut: the layers whose outputs cross the cut.
        frozen_layer_count: how many layers lie below.
        kept: where rows are kept between epochs: "store" (on disk, for later jobs too), "memory" (for this job
            alone), or "nowhere" (they are computed again in every epoch).
        kept_at: the layers whose outputs are kept: at the cut, or below it where that costs less.
        dtype: what rows are kept as.
        views: how many seeded augmentations of each example are kept.
        rows_present: rows of `kept_at` that the server has already, or that a stage before keeps.
        rows_missing: rows of `kept_at` that have to be computed: of equal ones one.
        size_bytes: all rows of `kept_at`.
        seconds_with: what lies below the head is expected to take over the whole stage, done as planned.
        seconds_without: the same where nothing is kept.
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

    @classmethod
    def of(cls, message: pb.StagePlan) -> Self:
        """Reads the wire's form."""
        return cls(
            cut=tuple(message.cut),
            frozen_layer_count=message.frozen_layer_count,
            kept=str(pb.StagePlan.Kept.Name(message.kept)).removeprefix("KEPT_").lower(),
            kept_at=tuple(message.kept_at),
            dtype=message.dtype,
            views=message.views,
            rows_present=message.rows_present,
            rows_missing=message.rows_missing,
            size_bytes=message.size_bytes,
            seconds_with=message.seconds_with,
            seconds_without=message.seconds_without,
            reason=message.reason,
        )
