"""What 100 fine-tuned children of one network take on disk, against 100 .keras files and against the changed layers.

Each child is a real job on a real server: a network for 28x28 digits of five layers of 140 units, its lowest frozen,
the rest fine-tuned for one epoch from another seed. Bytes on disk are those of the blobs (layer checkpoints and
manifests) and of the database, jobs and events included, before and after, with the server stopped. The smallest
possible child, a new softmax alone, is shown too: its manifest and its job's record outweigh so small a layer.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from report import Report

from frostline_client import Client, layers
from frostline_server.embedded import serve

TRUNK = [f"h{number}" for number in range(1, 6)]
KINDS = {"upper layers fine-tuned": "h1", "new softmax alone": "h5"}


def bytes_on_disk(data: Path) -> int:
    """Returns the size of the blobs and of the database with its log."""
    files = [*(data / "blobs").rglob("*"), *data.glob("frostline.db*")]
    return sum(path.stat().st_size for path in files if path.is_file())


def changed_bytes(data: Path, before: set[str]) -> int:
    """Returns the size of the layer checkpoints that were not there before; a manifest is JSON, a checkpoint is not."""
    new = [path for path in (data / "blobs").rglob("*") if path.is_file() and path.name not in before]
    return sum(path.stat().st_size for path in new if path.open("rb").read(1) != b"{")


def train_children(zoo: Client, frozen: str, count: int) -> Sequence[Any]:
    """Trains so many children of the base, and returns their versions."""
    jobs = [
        zoo.train(
            name=f"child-of-{frozen}-{seed}",
            base="base",
            reuse="h5",
            head=[layers.Dense(5, activation="softmax")],
            data="digits",
            freeze=frozen,
            epochs=1,
            seed=seed,
        )
        for seed in range(count)
    ]
    return [job.result() for job in jobs]


def export_all(zoo: Client, children: Sequence[Any], file: Path) -> int:
    """Returns the size of all children as .keras files, written one after the other."""
    sizes = []
    for child in children:
        zoo.models.export(child.name, file)
        sizes.append(file.stat().st_size)
    return sum(sizes)


def main() -> None:
    report = Report("storage", __doc__)
    count = 20 if report.quick else 100
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "zoo"
        with serve(data) as address:
            zoo = Client(address)
            zoo.datasets.push("digits", random.random((500, 784), np.float32), np.arange(500) % 5)
            top = layers.Dense(5, activation="softmax")
            hidden = [layers.Dense(140, activation="elu", name=name) for name in TRUNK]
            zoo.train(name="base", head=[*hidden, top], data="digits", epochs=1).result()
        for kind, frozen in KINDS.items():
            before = {path.name for path in (data / "blobs").rglob("*")}
            bytes_before = bytes_on_disk(data)
            with serve(data) as address:
                zoo = Client(address)
                children = train_children(zoo, frozen, count)
                exported = export_all(zoo, children, Path(folder) / "child.keras")
            taken, changed = bytes_on_disk(data) - bytes_before, changed_bytes(data, before)
            report.row(children=f"{count}, {kind}", stored=taken, changed_layers=changed, keras_files=exported)
            if kind == "upper layers fine-tuned":
                report.ratio(f"stored / changed layers, {kind}", taken / changed, wanted=1.05, at_least=False)
            report.ratio(f"stored / .keras files, {kind}", taken / exported, wanted=1.0, at_least=False)
    report.end()


if __name__ == "__main__":
    main()
