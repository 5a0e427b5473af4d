"""How fast features fill, against the better of `model.predict` and a `tf.function`, each at its best batch size.

ResNet-8 on 32x32 and MobileNet on 96x96, frozen up to the layer below the output. Rows are in memory for
all; ours is the whole way from there: computed, checksummed and written to a store. XLA is shown beside them.
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

from frostline_server.features.fill import fill
from frostline_server.features.store import FeatureStore
from frostline_server.training.stage import split_at
from frostline_zoo.graph import cut_through, subgraph
from frostline_zoo.networks.build import Network, build
from frostline_zoo.networks.describe import describe
from frostline_zoo.networks.importer import import_network
from frostline_zoo.preprocessing import Preprocessing

ASSETS = Path(os.environ.get("FROSTLINE_ASSETS", Path(__file__).parents[2] / "shared" / "assets"))
BATCH_SIZES = (32, 64, 128, 256, 512)


def network(file: str, fallback: Callable[[], keras.Model]) -> Network:
    """Returns the real network where it is at hand, else one of the same architecture, without its output layer."""
    path = ASSETS / "networks" / file
    if path.exists():
        imported = import_network(path, "auto", Preprocessing())
        manifest, blobs = imported.manifest, imported.blobs
    else:
        described = describe(fallback())
        manifest, blobs = described.manifest, described.blobs
    return build(subgraph(manifest), blobs.__getitem__)


def mobilenet() -> keras.Model:
    """MobileNetV1 x0.25 on 96x96."""
    return keras.applications.MobileNet((96, 96, 3), alpha=0.25, weights=None, classes=2)


def resnet8() -> keras.Model:
    """ResNet-8 for CIFAR-10."""

    def block(x: Any, filters: int, strides: int) -> Any:
        y = keras.layers.Conv2D(filters, 3, strides, "same")(x)
        y = keras.layers.ReLU()(keras.layers.BatchNormalization()(y))
        y = keras.layers.BatchNormalization()(keras.layers.Conv2D(filters, 3, padding="same")(y))
        if strides > 1:
            x = keras.layers.Conv2D(filters, 1, strides, "same")(x)
        return keras.layers.ReLU()(keras.layers.Add()([x, y]))

    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(16, 3, padding="same")(inputs)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        x = block(x, filters, strides)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(10, "softmax")(x))


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


def main() -> None:
    report = Report("fill", __doc__)
    count = 1024 if report.quick else 2048  # a multiple of every batch size, so that nobody computes a part of one
    for name, file, fallback, shape in (
        ("ResNet-8", "resnet8_cifar10.h5", resnet8, (32, 32, 3)),
        ("MobileNet", "mobilenet_vww96.h5", mobilenet, (96, 96, 3)),
    ):
        trained = network(file, fallback)
        rows = np.random.default_rng(0).random((count, *shape), np.float32)
        digests = np.random.default_rng(1).integers(0, 256, (count, 32), np.uint8)
        last = trained.manifest.outputs[0].layer
        head = keras.layers.Dense(2)  # something above the cut
        model = keras.Model(trained.model.inputs[0], head(trained.model.outputs[0]))
        whole = Network(describe(model).manifest, model, {**trained.layers, head.name: head}, trained.tensors)
        trunk, _ = split_at(whole, cut_through(whole.manifest, [last]))
        ways = ways_of(trained.model, rows)
        with tempfile.TemporaryDirectory() as folder:

            def ours(store: FeatureStore, trunk: Any = trunk, rows: Any = rows, digests: Any = digests) -> None:
                # All rows are missing, so every batch is a run of rows, which both sides read without a copy.
                fill(trunk, digests, lambda places: rows[places[0] : places[-1] + 1], store, lambda *_: None)

            ours(FeatureStore(Path(folder) / "warm"))
            for repeat in range(report.repeats):
                store = FeatureStore(Path(folder) / str(repeat))
                taken = {f"frostline, batch {trunk.batch_size}": seconds(functools.partial(ours, store))}
                taken |= {way: seconds(call) for way, call in ways.items()}
                own, *theirs, _ = taken.values()
                for way, value in taken.items():
                    report.row(network=name, repeat=repeat, way=way, rows_per_second=count / value)
                report.ratio(
                    f"{name}: frostline / the better of predict and tf.function", min(theirs) / own, wanted=0.9
                )
    report.end()


if __name__ == "__main__":
    main()
