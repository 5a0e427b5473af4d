"""What happens while a recipe runs, as it is told to whoever listens."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class StageStarted:
    """Stage `stage` (from 0) begins, of at most `epochs` epochs."""

    stage: int
    epochs: int
    frozen_layer_count: int
    trainable_parameter_count: int


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
    """What a stage came to. `best_epoch` is -1 where the last epoch's weights were kept."""

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
