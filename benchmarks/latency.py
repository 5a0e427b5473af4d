"""How soon a job's first epoch ends, from its submission, against a fresh Python process that does the same with Keras.

500 handwritten digits, a trunk of five layers of 100 units whose features are cached, a softmax of 5. The server's
worker is warm. The fresh process imports Keras, loads the same features and labels from a file and fits one epoch.

A batch size that the worker has not seen makes it compile; the same recipe again does not.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from frozen_head import TRUNK, digits
from report import Report
from subjects import status_bytes

from frostline_client import Client, layers, optimizers
from frostline_client.events import EpochEnded
from frostline_server.embedded import address_of, start

LARGEST_IDLE_BYTES = 150 << 20
BATCH_SIZE = 20

FRESH = """
import sys
import numpy as np
import keras

with np.load(sys.argv[1]) as arrays:
    features, labels = arrays["features"], arrays["labels"]
head = keras.Sequential([keras.Input(features.shape[1:]), keras.layers.Dense(5, "softmax")])
head.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
head.fit(features, labels, batch_size=int(sys.argv[2]), epochs=1, verbose=0)
"""


def fresh_seconds(arrays: Path, batch_size: int) -> float:
    """Returns how long a fresh process takes from its start to the end of its first epoch."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", FRESH, str(arrays), str(batch_size)], check=True, capture_output=True)
    return time.perf_counter() - started


def job_seconds(zoo: Client, batch_size: int, head: list[Any]) -> float:
    """Returns how long it takes from submitting a job until its first epoch's end has arrived here."""
    started = time.perf_counter()
    job = zoo.train(
        name="five-to-nine",
        base="zero-to-four",
        reuse="h5",
        head=head,
        data="digits",
        optimizer=optimizers.Adam(0.01),
        batch_size=batch_size,
        epochs=1,
    )
    next(event for event in job.watch() if isinstance(event, EpochEnded))
    seconds = time.perf_counter() - started
    job.result()
    return seconds


def measure(report: Report, zoo: Client, arrays: Path) -> None:
    softmax = layers.Dense(5, activation="softmax")
    for repeat in range(report.repeats):
        batch_size = BATCH_SIZE + repeat
        fresh = fresh_seconds(arrays, batch_size)
        compiled = job_seconds(zoo, batch_size, [softmax])
        again = job_seconds(zoo, batch_size, [softmax])
        report.row(repeat=repeat, fresh_seconds=fresh, compiling_seconds=compiled, compiled_before_seconds=again)
        report.ratio("first epoch, compiling / fresh process", compiled / fresh, wanted=1 / 6, at_least=False)
        report.ratio("first epoch, compiled before / fresh process", again / fresh, wanted=1 / 20, at_least=False)


def main() -> None:
    report = Report("latency", __doc__)
    x, y = digits()
    with tempfile.TemporaryDirectory() as folder:
        server = start(folder)
        try:
            zoo = Client(address_of(server, folder))
            idle = status_bytes(server.pid, "VmRSS")
            zoo.datasets.push("digits", x, y)
            hidden = [layers.Dense(100, activation="elu", kernel_initializer="he_normal", name=name) for name in TRUNK]
            zoo.train(
                name="zero-to-four", head=[*hidden, layers.Dense(5, activation="softmax")], data="digits", epochs=1
            ).result()
            arrays = Path(folder) / "arrays.npz"
            np.savez(arrays, features=zoo.predict("zero-to-four", x, layer="h5"), labels=y)
            job_seconds(zoo, BATCH_SIZE, [layers.Dense(7), layers.Dense(5, activation="softmax")])  # fills the features
            measure(report, zoo, arrays)
            time.sleep(1)
            idle = max(idle, status_bytes(server.pid, "VmRSS"))
            report.row(what="server, idle, without its workers", resident_bytes=idle)
            report.ratio("idle server / 150 MiB", idle / LARGEST_IDLE_BYTES, wanted=1, at_least=False)
        finally:
            server.terminate()
            server.wait()
    report.end()


if __name__ == "__main__":
    main()
