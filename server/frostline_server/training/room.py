"""Room: what rows take on disk and in memory, and whether that fits."""

from __future__ import annotations

from collections.abc import Mapping

from frostline_server.features.segment import OVERHEAD_BYTES
from frostline_server.training.frozen import Frozen
from frostline_zoo.graph import Cut
from frostline_zoo.manifest import TensorRef


def stored_bytes(
    frozen: Frozen, digests: Mapping[TensorRef, str], cut: Cut, rows: int, dtype: str
) -> dict[tuple[str, str], int]:
    """Returns what rows of a cut take on disk, with their keys and checksums, by digest and dtype."""
    return {(digests[ref], dtype): rows * (frozen.row_bytes((ref,), dtype) + OVERHEAD_BYTES) for ref in cut.frontier}


def fits_budget(stored_bytes: int, budget_bytes: int | None) -> bool:
    """Whether what rows take on disk fits into the budget for features."""
    return budget_bytes is None or stored_bytes * 1.01 + (1 << 16) <= budget_bytes


def fits_memory(size_bytes: int, memory_bytes: int | None) -> bool:
    """Whether rows fit into the memory for features."""
    return memory_bytes is None or size_bytes <= memory_bytes
