"""Fuzzes the readers of foreign files: `python tests/fuzz [--seconds S] [TARGET...]`, or `make fuzz`.

The targets (targets.py) run one after the other, each in a process of its own for its share of the time. What they
come upon is kept in build/fuzz/TARGET: in corpus the inputs that reach new code, from which the next run goes on, and
in findings each input that ends in something other than a network or a refusal, with its traceback. The exit status is
1 where there are findings.
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.fuzz.targets import TARGETS

HERE = Path(__file__).parent
OUT = Path("build/fuzz")


def fuzz(name: str, seconds: float) -> tuple[int, int]:
    """Fuzzes one target, started again where it crashes. Returns how many inputs it tried, and how often it crashed."""
    folder, until = OUT / name, time.time() + seconds
    folder.mkdir(parents=True, exist_ok=True)
    tried = crashes = 0
    while time.time() < until:
        command = [sys.executable, str(HERE / "run.py"), name, str(until), str(folder)]
        with (folder / "log").open("wb") as log:
            status = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
        counts = re.findall(r"^#(\d+)\t", (folder / "log").read_text(errors="replace"), re.MULTILINE)
        if not counts:
            raise SystemExit(f"{name} did not start: {folder / 'log'} says why")
        tried += int(counts[-1])
        if status == 0:
            break
        crashes += 1
    return tried, crashes


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzzes the readers of foreign files.")
    parser.add_argument("names", nargs="*", metavar="TARGET", help=f"which ones: {', '.join(TARGETS)}; all by default")
    parser.add_argument("--seconds", type=float, default=120, help="how long in all (default: 120)")
    arguments = parser.parse_args()
    names, found = arguments.names or list(TARGETS), 0
    for name in names:
        tried, crashes = fuzz(name, arguments.seconds / len(names))
        findings = sorted(path.name for path in (OUT / name / "findings").glob("*") if path.suffix != ".txt")
        print(f"{name:12} {tried:>10,} inputs, {crashes} crashes, {len(findings)} findings", *findings, flush=True)
        found += len(findings)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{used.ru_utime + used.ru_stime:.0f} s of processor time")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
