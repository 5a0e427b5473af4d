"""What a stage may do about its features, and how the planner weighs that."""

from __future__ import annotations

from dataclasses import dataclass

from frostline_zoo.graph import Cut

# Rows in the store serve later jobs too, which is worth a little time to this one.
_STORE_MAY_COST = 1.2
# So few bytes are kept even on a disk that has much to do when it is measured.
_LITTLE_BYTES = 16 << 20
_LITTLE_MAY_COST_SECONDS = 0.5


@dataclass(frozen=True)
class Option:
    """One way to go.

    Attributes:
        cut: where rows are kept; None where they are not.
        kept: "store", "memory" or "nowhere".
        seconds: what the whole stage is expected to take, beside training.
        size_bytes: of the rows that are kept.
        present: how many of them are there already.
        missing: how many are computed.
        disk_seconds: what of the time goes into writing rows and reading them.
    """

    cut: Cut | None
    kept: str
    seconds: float
    size_bytes: int = 0
    present: int = 0
    missing: int = 0
    disk_seconds: float = 0.0


def weighed(option: Option) -> float:
    """Returns what an option counts for, in seconds: less is better."""
    if option.kept != "store":
        return option.seconds
    waived = min(option.disk_seconds, _LITTLE_MAY_COST_SECONDS) if option.size_bytes <= _LITTLE_BYTES else 0.0
    return (option.seconds - waived) / _STORE_MAY_COST
