"""What happens while a recipe runs, as it is told to whoever listens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

from frostline_server.training.plan import StagePlan


@dataclass(frozen=True)
class StageStarted:
    """Stage `stage` (from 0) begins, of at most `epochs` epochs, and does about its features what `plan` says."""

    stage: int
    epochs: int
    frozen_layer_count: int
    trainable_parameter_count: int
    plan: StagePlan | None = None


@dataclass(frozen=True)
class Filled:
    """`done` of the `total` rows that stage `stage` needs are there; the trunk computed `computed` of them."""

    stage: int
    done: int
    total: int
    computed: int


@dataclass(frozen=True)
class EpochEnded:
    """Epoch `epoch` (from 0) of stage `stage` took `seconds` and gave `metrics`, by Keras's names."""

    stage: int
    epoch: int
    metrics: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class Noted:
    """A line for people, such as a warning."""

    text: str


Event = StageStarted | Filled | EpochEnded | Noted


@dataclass
class StageResult:
    """What a stage came to.

    Attributes:
        rows_computed: rows of features that the trunk computed.
        rows_reused: rows that were in the store already.
        feature_bytes: the size of all rows that were kept.
        best_epoch: the epoch whose weights were kept, from 0; -1: the last one's.
        plan: what was planned about its features.
        seconds_saved: what keeping features saved, against computing every row in every epoch.
    """

    frozen_layer_count: int
    trainable_parameter_count: int
    epochs_run: int = 0
    train_seconds: float = 0.0
    fill_seconds: float = 0.0
    rows_computed: int = 0
    rows_reused: int = 0
    feature_bytes: int = 0
    best_epoch: int = -1
    history: dict[str, list[float]] = field(default_factory=dict)
    plan: StagePlan | None = None
    seconds_saved: float = 0.0

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Reads what `dataclasses.asdict` has made of a result."""
        plan = value.get("plan")
        return cls(**{**value, "plan": plan and plan_from_json(plan)})


def plan_from_json(value: dict[str, Any]) -> StagePlan:
    """Reads what `dataclasses.asdict` has made of a plan."""
    return StagePlan(**{**value, "cut": tuple(value["cut"]), "kept_at": tuple(value["kept_at"])})
