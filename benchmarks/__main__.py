"""Runs every benchmark here and prints one table of what it found and what is wanted: `make bench`.

Each benchmark is a program of its own, `benchmarks/NAME.py --json FILE [--quick]`, run alone so that none disturbs
another. Their documents stay in build/bench. The exit status is 1 where one failed or a wanted figure does not hold.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from report import verdict

HERE = Path(__file__).parent
OUT = Path("build/bench")
SHARED = ("__main__", "report", "subjects", "keras_ways")


def run(name: str, quick: bool) -> dict[str, Any] | None:
    """Returns the document that the benchmark wrote, or None where it failed."""
    document = OUT / f"{name}.json"
    document.unlink(missing_ok=True)
    command = [sys.executable, str(HERE / f"{name}.py"), "--json", str(document), *(["--quick"] if quick else [])]
    print(f"--- {name}", flush=True)
    started = time.monotonic()
    status = subprocess.run(command, check=False).returncode
    print(f"--- {name}: {time.monotonic() - started:.0f} s, exit status {status}\n", flush=True)
    return json.loads(document.read_text()) if status == 0 and document.exists() else None


def table(documents: dict[str, dict[str, Any] | None]) -> list[tuple[str, ...]]:
    """Returns one line a ratio: benchmark, ratio, median, range, what is wanted, whether it holds."""
    lines = [("benchmark", "ratio", "median", "min .. max", "wanted", "")]
    for name, document in documents.items():
        if document is None:
            lines.append((name, "failed", "", "", "", "NO"))
            continue
        for label, ratio in document["ratios"].items():
            spread = f"{ratio['min']:.3g} .. {ratio['max']:.3g}"
            lines.append((name, label, f"{ratio['median']:.3g}", spread, *verdict(ratio)))
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs every benchmark and prints one table.")
    parser.add_argument("names", nargs="*", help="which ones; all where left out")
    parser.add_argument("--quick", action="store_true", help="a smaller version of each, the same wanted figures")
    arguments = parser.parse_args()
    programs = sorted(path.stem for path in HERE.glob("*.py") if path.stem not in SHARED)
    OUT.mkdir(parents=True, exist_ok=True)
    lines = table({name: run(name, arguments.quick) for name in arguments.names or programs})
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    return 1 if any(line[-1] == "NO" for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
