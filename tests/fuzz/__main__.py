"""Fuzzes the readers of foreign files: `python tests/fuzz [--seconds S] [TARGET...]`, or `make fuzz`.

The targets (targets.py) run one after the other, each in a process of its own for its share of the time. What they
come upon is kept in build/fuzz/TARGET: in corpus the inputs that reach new code, from which the next run goes on, and
in findings each input that ends in something other than a network or a refusal, with its traceback. The exit status is
1 where there are findings.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
OUT = Path("build/fuzz")
NAMES = ("archive", "keras", "json", "hdf5", "hdf5_weights", "safetensors")
NAMES = (*NAMES, "onnx", "caffe", "saved_model", "checkpoint", "tarball", "wire")
# HDF5's own library may crash, since it does so in the jail: the reader is started again.
CRASHES = {"hdf5", "hdf5_weights", "archive", "keras"}


def fuzz(name: str, seconds: float) -> tuple[int, int]:
    """Fuzzes one target. Returns how many inputs were tried, and how often its process crashed."""
    folder, until = OUT / name, time.monotonic() + seconds
    folder.mkdir(parents=True, exist_ok=True)
    tried = crashes = 0
    while time.monotonic() < until:
        left = max(1, round(until - time.monotonic()))
        command = [sys.executable, str(HERE / "run.py"), name, str(left), str(folder)]
        with (folder / "log").open("wb") as log:
            status = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
        counts = re.findall(r"^#(\d+)\t", (folder / "log").read_text(errors="replace"), re.MULTILINE)
        tried += int(counts[-1]) if counts else 0
        if status == 0:
            break
        crashes += 1
        if name not in CRASHES:
            break
    return tried, crashes


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzzes the readers of foreign files.")
    parser.add_argument("names", nargs="*", metavar="TARGET", help=f"which ones: {', '.join(NAMES)}; all by default")
    parser.add_argument("--seconds", type=float, default=120, help="how long in all (default: 120)")
    arguments = parser.parse_args()
    names = arguments.names or NAMES
    bad = False
    for name in names:
        tried, crashes = fuzz(name, arguments.seconds / len(names))
        findings = sorted(path.name for path in (OUT / name / "findings").glob("*") if path.suffix != ".txt")
        if name in CRASHES:
            findings = [each for each in findings if not each.startswith("crash-")]
        print(f"{name:14} {tried:>10,} inputs, {crashes} crashes, {len(findings)} findings", *findings, flush=True)
        bad |= bool(findings) or (crashes > 0 and name not in CRASHES)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
