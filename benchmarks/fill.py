"""How fast features fill, against the better of `model.predict` and a `tf.function`, each at its best batch size.

ResNet-8 on 32x32 and MobileNet on 96x96, frozen up to the layer below the output. Rows are in memory for
all; ours is the whole way from there: computed, checksummed and written to a store. XLA is shown beside them.

Then MobileNet from JPEG files of 32x32, read, decoded and resized on the way: how much processor time filling takes a
second, which says how well reading, decoding, computing and writing overlap.
"""

from __future__ import annotations

import functools
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from report import Report
from subjects import CLASSES, children_of, jpeg_folder, network_file, open_zoo_with, recipe_of, unheard

from frostline_client import Client
from frostline_server.embedded import serve
from frostline_server.features.features import Features
from frostline_server.features.store import FeatureStore
from frostline_server.training.frozen import CompiledTrunk, Frozen, Level
from frostline_server.training.prepare import prepare
from frostline_server.training.programs import Programs
from frostline_zoo.graph import subgraph
from frostline_zoo.manifest import Manifest
from frostline_zoo.names import parse_model_reference
from frostline_zoo.networks.build import Network, build

BATCH_SIZES = (32, 64, 128, 256, 512)


class InMemory:
    """Examples whose inputs are in memory."""

    def __init__(self, rows: Any) -> None:
        self.digests = np.random.default_rng(1).integers(0, 256, (len(rows), 32), np.uint8)
        self.row_bytes = rows[0].nbytes
        self._rows = rows

    def inputs(self, places: Any) -> Any:
        """Returns a run of rows, without a copy: all rows are missing, so that is what is asked for."""
        return self._rows[places[0] : places[-1] + 1]


def network(name: str, folder: Path) -> Network:
    """Returns a network without its output layer."""
    zoo = open_zoo_with(folder / name, network=network_file(name, folder))
    manifest: Manifest = zoo.models.manifest_of(parse_model_reference("network"))[1]
    return build(subgraph(manifest), zoo.blobs.get)


def in_batches(program: Callable[[Any], Any], rows: Any, size: int) -> Any:
    """Returns the program's output for all rows, computed in batches."""
    return np.concatenate([program(tf.constant(rows[at : at + size])).numpy() for at in range(0, len(rows), size)])


def seconds(call: Callable[[], Any]) -> float:
    """Returns how long the call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def ways_of(model: keras.Model, rows: Any) -> dict[str, Callable[[], Any]]:
    """Returns what a user would write, each at the best of the batch sizes."""
    graph = tf.function(lambda x: model(x, training=False))
    xla = tf.function(lambda x: model(x, training=False), jit_compile=True)
    candidates = {
        "predict": lambda size: lambda: model.predict(rows, batch_size=size, verbose=0),
        "tf.function": lambda size: lambda: in_batches(graph, rows, size),
    }
    ways: dict[str, Callable[[], Any]] = {}
    for name, of_size in candidates.items():
        tried = {}
        for size in BATCH_SIZES:
            of_size(size)()
            tried[size] = min(seconds(of_size(size)) for _ in range(2))
        best = min(tried, key=tried.__getitem__)
        ways[f"{name}, batch {best}"] = of_size(best)
    in_batches(xla, rows, 128)
    return {**ways, "XLA, batch 128": lambda: in_batches(xla, rows, 128)}


def from_memory(report: Report, folder: Path) -> None:
    """Measures filling from rows in memory."""
    count = 1024 if report.quick else 2048  # a multiple of every batch size, so that nobody computes a part of one
    for name in ("resnet8_cifar10", "mobilenet_vww96"):
        trained = network(name, folder)
        examples = InMemory(np.random.default_rng(0).random((count, *trained.model.inputs[0].shape[1:]), np.float32))
        frozen, trunk = Frozen(trained, Programs()), CompiledTrunk(trained.model, with_views=False)
        tensors = frozen.tensors(Level(trained.manifest.outputs, "float32", True), is_image=False, with_views=False)
        ways = ways_of(trained.model, examples.inputs(np.arange(count)))

        def ours(
            place: Path, tensors: Any = tensors, examples: InMemory = examples, trunk: CompiledTrunk = trunk
        ) -> None:
            features = Features(tensors, examples, None, lambda: trunk, FeatureStore(place), unheard)
            features.fill([0], into_memory=False)
            assert features.computed == len(features)
            features.close()

        ours(folder / name / "warm")
        for repeat in range(report.repeats):
            store = folder / name / f"store-{repeat}"
            taken = {f"frostline, batch {trunk.batch_size}": seconds(functools.partial(ours, store))}
            taken |= {way: seconds(call) for way, call in ways.items()}
            own, *theirs, _ = taken.values()
            for way, value in taken.items():
                report.row(network=name, repeat=repeat, way=way, rows_per_second=count / value)
            report.ratio(f"{name}: frostline / the better of predict and tf.function", min(theirs) / own, wanted=0.9)


def processor_seconds() -> float:
    """Returns the processor time of this process and of those that it has started, which decode images."""
    used = time.process_time()
    for child in children_of(os.getpid()):
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()  # utime is the 14th of all
        used += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return used


def from_files(report: Report, folder: Path) -> None:
    """Measures the processor time of filling from JPEG files."""
    zoo = open_zoo_with(folder / "zoo", mobilenet=network_file("mobilenet_vww96", folder))
    with serve(folder / "zoo", workers=False) as address, Client(address) as client:
        client.datasets.push_folder("images", jpeg_folder(folder, 5000))
    prepared = prepare(recipe_of(base="mobilenet", data="images", classes=CLASSES), zoo)
    frozen = Frozen(prepared.network, Programs())
    level = Level(prepared.cuts[0].frontier, "float32", True)
    for repeat in range(report.repeats + 1):
        store = FeatureStore(folder / f"store-{repeat}")
        features = frozen.features(prepared.train, [level], store, unheard, with_views=False)
        started, used = time.perf_counter(), processor_seconds()
        features.fill([0], into_memory=False)
        taken, used = time.perf_counter() - started, processor_seconds() - used
        features.close()
        if not repeat:  # compiles the trunk
            continue
        rate = len(features) / taken
        report.row(network="mobilenet_vww96", repeat=repeat, way="frostline, from JPEG files", rows_per_second=rate)
        report.ratio("from JPEG files: processor seconds a second, of 2 processors", used / taken, wanted=1.8)


def main() -> None:
    report = Report("fill", __doc__)
    with tempfile.TemporaryDirectory() as name:
        from_memory(report, Path(name))
        from_files(report, Path(name))
    report.end()


if __name__ == "__main__":
    main()
