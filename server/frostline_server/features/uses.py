"""How a trunk's rows are used: a small file beside them, that eviction and people read. It may be lost at any time."""

from __future__ import annotations

import json
import math
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_NAME = "use.json"
_noting = threading.Lock()


@dataclass(frozen=True)
class Use:
    """Rows that jobs found and rows that they computed, when last, and what computing one row took, in seconds."""

    hits: int = 0
    misses: int = 0
    last_used: datetime | None = None
    seconds_per_row: float = 0.0


def read_use(folder: Path) -> Use:
    """Returns what was noted of the rows in `folder`; nothing where the file is gone or is not ours."""
    try:
        value = json.loads((folder / _NAME).read_bytes())
        use = Use(
            int(value["hits"]),
            int(value["misses"]),
            datetime.fromisoformat(value["last_used"]).astimezone(UTC),
            float(value["seconds_per_row"]),
        )
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError, RecursionError):
        return Use()
    return use if min(use.hits, use.misses, use.seconds_per_row) >= 0 and math.isfinite(use.seconds_per_row) else Use()


def note_use(folder: Path, hits: int, misses: int, seconds_per_row: float | None) -> None:
    """Adds to the counts. Two processes that note at once may lose one of the notes."""
    with _noting:
        use = read_use(folder)
        value = {
            "hits": use.hits + hits,
            "misses": use.misses + misses,
            "last_used": datetime.now(UTC).isoformat(),
            "seconds_per_row": use.seconds_per_row if seconds_per_row is None else seconds_per_row,
        }
        staged = folder / f"{_NAME}.{os.getpid()}.tmp"
        with suppress(OSError):  # nothing of it is there, or the disk is full
            staged.write_text(json.dumps(value))
            os.replace(staged, folder / _NAME)
