"""Generates the Python stubs of every .proto here: `python protos/generate.py OUT`, or `make protos`.

The compiler's version is pinned in pyproject.toml, because its stubs need a protobuf at least as new as it emits for:
those of grpcio-tools 1.76 run on every protobuf from 6.31.1 to 7.
"""

from __future__ import annotations

import sys
from pathlib import Path

from grpc_tools import _proto, protoc  # type: ignore[import-untyped]

ROOT = Path(__file__).parent


def generate(out: Path) -> None:
    """Writes the stubs of `frostline/v1/*.proto` to `out/frostline/v1`."""
    files = sorted(str(path) for path in ROOT.glob("frostline/v1/*.proto"))
    well_known = Path(_proto.__path__[0])
    options = [f"--proto_path={ROOT}", f"--proto_path={well_known}"]
    options += [f"--{kind}_out={out}" for kind in ("python", "pyi", "grpc_python")]
    if protoc.main(["protoc", *options, *files]) != 0:
        raise SystemExit(1)


if __name__ == "__main__":
    generate(Path(sys.argv[1]))
