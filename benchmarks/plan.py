"""How good plans are: the time of what the planner chooses, over that of the best choice in hindsight.

Each case is a network, examples and a number of epochs. Every choice that there is (rows kept in the store, in memory,
at a lower cut, or nowhere) is forced once after it was compiled, on an empty store; its time is that of filling and of
all epochs of a small head. The planner's own measuring is not counted.

cheap trunk, dear trunk    a small dense network; ResNet-8; 1 epoch and several
lower cut much smaller     the topmost frozen layers only make the rows larger
budget too small           the disk's budget has no room for the rows; memory has, or has none either
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from report import Report
from subjects import network_file, open_zoo_with, recipe_of

from frostline_client import Client
from frostline_server.embedded import serve
from frostline_server.features.store import FeatureStore
from frostline_server.training.costs import Costs
from frostline_server.training.events import StageResult
from frostline_server.training.filling import Filling, StageListener
from frostline_server.training.frozen import Frozen
from frostline_server.training.planner import Planned, Planner
from frostline_server.training.prepare import Prepared, prepare
from frostline_server.training.programs import Programs
from frostline_server.training.room import fits_memory
from frostline_zoo.graph import Cut, cut_through
from frostline_zoo.networks.split import split

CLASSES = 2
AMPLE, SCANT = 8 << 30, 1 << 20


@dataclass(frozen=True)
class Case:
    """What is planned for.

    Attributes:
        lower: a layer below the cut where rows might be kept; None: there is none worth it.
        disk_bytes, memory_bytes: how much features may take.
    """

    name: str
    base: str
    data: str
    epochs: int
    lower: str | None = None
    disk_bytes: int = AMPLE
    memory_bytes: int = AMPLE


def cases(epochs: int) -> list[Case]:
    """Returns the cases, `epochs` being several."""
    return [
        Case("cheap trunk, 1 epoch", "cheap", "vectors", 1),
        Case("cheap trunk, several epochs", "cheap", "vectors", epochs),
        Case("dear trunk, 1 epoch", "resnet", "pictures", 1),
        Case("dear trunk, several epochs", "resnet", "pictures", epochs),
        Case("lower cut much smaller", "growing", "pictures", epochs, lower="narrow"),
        Case("budget too small, memory enough", "resnet", "pictures", epochs, disk_bytes=SCANT // 16),
        Case("budget and memory too small", "growing", "pictures", epochs, "narrow", SCANT, SCANT),
    ]


def save_networks(folder: Path) -> dict[str, Path]:
    """Returns the files of the networks that the cases name."""
    vectors = keras.Input((64,))
    x = keras.layers.Dense(64, activation="relu")(vectors)
    cheap = keras.Model(vectors, keras.layers.Dense(CLASSES)(keras.layers.Dense(256, activation="relu")(x)))
    pictures = keras.Input((32, 32, 3))
    x = pictures
    for strides in (1, 2, 1, 2):
        x = keras.layers.Conv2D(32, 3, strides, "same", activation="relu")(x)
    x = keras.layers.MaxPooling2D(2, name="narrow")(x)
    x = keras.layers.UpSampling2D(4)(x)
    growing = keras.Model(pictures, keras.layers.Dense(CLASSES)(keras.layers.Flatten()(x)))
    files = {"cheap": folder / "cheap.keras", "growing": folder / "growing.keras"}
    cheap.save(files["cheap"])
    growing.save(files["growing"])
    return files | {"resnet": network_file("resnet8_cifar10", folder)}


def choices(case: Case, planned: Planned, frozen: Frozen, prepared: Prepared) -> Iterator[tuple[str, Planned]]:
    """Yields every choice that the case's budgets allow, by name."""
    total, own = len(prepared.train), prepared.cuts[0]
    lower = cut_through(frozen.manifest, [case.lower]) if case.lower else None
    for cut in filter(None, (own, lower)):
        size = total * frozen.row_bytes(cut.frontier)
        for kept, fits in (("store", size <= case.disk_bytes // 2), ("memory", fits_memory(size, case.memory_bytes))):
            if fits:
                yield f"{kept} at {_place(cut)}", _forced(planned, kept, cut, total, size)
    yield "nowhere", _forced(planned, "nowhere", None, total, 0)


def _place(cut: Cut) -> str:
    return ", ".join(ref.layer for ref in cut.frontier)


def _forced(planned: Planned, kept: str, cut: Cut | None, missing: int, size: int) -> Planned:
    kept_at = tuple(ref.layer for ref in cut.frontier) if cut else ()
    plan = replace(planned.plan, kept=kept, kept_at=kept_at, rows_present=0, rows_missing=missing, size_bytes=size)
    return replace(planned, plan=plan, kept_cut=cut, source=None)


def seconds(recipe: Any, prepared: Prepared, zoo: Any, programs: Programs, planned: Planned) -> float:
    """Returns how long filling and all epochs take, until all that is kept is written."""
    frozen, (stage,), (cut,) = Frozen(prepared.network, programs), recipe.stages, prepared.cuts
    result = StageResult(len(cut.frozen), 0, plan=planned.plan)
    listener = StageListener(0, lambda _: None, lambda: False)
    filling = Filling(recipe, prepared, frozen, zoo, listener, result, [])
    program = programs.epoch_of(split(frozen.network, cut).head, stage, prepared.objective)
    started = time.perf_counter()
    examples = filling.open(0, {0: planned})
    try:
        for epoch in range(stage.epochs):
            order = np.random.default_rng(epoch).permutation(len(prepared.train))
            examples.run_epoch(program, epoch, order, listener.check)
    finally:
        program.release()
        examples.close()
        filling.close()
    return time.perf_counter() - started


def measure(report: Report, zoo: Any, case: Case, folder: Path) -> None:
    recipe = recipe_of(base=case.base, data=case.data, classes=CLASSES, epochs=case.epochs)
    zoo = replace(
        zoo, features=FeatureStore(folder / "planned", case.disk_bytes), feature_memory_bytes=case.memory_bytes
    )
    prepared, programs = prepare(recipe, zoo), Programs()
    for name, layer in prepared.network.layers.items():
        layer.trainable = name not in prepared.cuts[0].frozen
    frozen = Frozen(prepared.network, programs)
    compiling, brief = replace(recipe, stages=(replace(recipe.stages[0], epochs=1),)), folder / "compiling"
    for repeat in range(report.repeats):
        planned = Planner(recipe, prepared, zoo, Costs()).plan(0, frozen)
        chosen = f"{planned.plan.kept} at {', '.join(planned.plan.kept_at)}" if planned.kept_cut else "nowhere"
        taken: dict[str, float] = {}
        for number, (name, choice) in enumerate(choices(case, planned, frozen, prepared)):
            if not repeat:
                fresh = replace(zoo, features=FeatureStore(brief / str(number), case.disk_bytes))
                seconds(compiling, prepared, fresh, programs, choice)
            fresh = replace(zoo, features=FeatureStore(folder / f"{repeat}-{number}", case.disk_bytes))
            taken[name] = seconds(recipe, prepared, fresh, programs, choice)
        if chosen not in taken:
            fresh = replace(zoo, features=FeatureStore(folder / f"{repeat}-chosen", case.disk_bytes))
            taken[chosen] = seconds(recipe, prepared, fresh, programs, planned)
        for name, value in taken.items():
            report.row(
                case=case.name,
                repeat=repeat,
                choice=name,
                seconds=value,
                planned=planned.plan.seconds_with if name == chosen else "",
            )
        report.ratio(f"{case.name}: chosen / best", taken[chosen] / min(taken.values()), wanted=1.2, at_least=False)


def main() -> None:
    report = Report("plan", __doc__)
    count, epochs = (4096, 5) if report.quick else (8192, 20)
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        zoo = open_zoo_with(folder / "zoo", **save_networks(folder))
        with serve(folder / "zoo", workers=False) as address, Client(address) as client:
            labels = np.arange(16 * count) % CLASSES
            client.datasets.push("vectors", random.random((16 * count, 64), np.float32), labels)
            pictures = random.integers(0, 256, (count, 32, 32, 3), np.uint8)
            client.datasets.push("pictures", pictures, labels[:count])
        for number, case in enumerate(cases(epochs)):
            measure(report, zoo, case, folder / f"case-{number}")
    report.end()


if __name__ == "__main__":
    main()
