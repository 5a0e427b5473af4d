"""The picture that the demo ends with: accuracy by epoch, and by time spent training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from compare import Method, Result
from task import Task

COLOURS = ("#8c8c8c", "#e08a1e", "#1f77b4", "#2a9d5c")


def draw(task: Task, results: Sequence[Result], methods: Sequence[Method], path: Path) -> None:
    """Writes a PNG of the curves: each method's mean over the seeds, and the range of them."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (by_epoch, by_time) = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True, layout="constrained")
    for method, colour in zip(methods, COLOURS, strict=True):
        of = [result for result in results if result.method == method]
        curves = 100 * np.array([result.accuracy for result in of])
        epochs = np.arange(1, curves.shape[1] + 1)
        seconds = np.cumsum(np.median([result.epoch_seconds for result in of], axis=0))
        dashed = "--" if not method.cached else "-"
        by_epoch.plot(epochs, curves.mean(axis=0), dashed, color=colour, label=method.name, linewidth=1.8)
        by_epoch.fill_between(epochs, curves.min(axis=0), curves.max(axis=0), color=colour, alpha=0.12, linewidth=0)
        by_time.plot(seconds, curves.mean(axis=0), dashed, color=colour, linewidth=1.8)
    by_epoch.set(xlabel="epoch", ylabel="accuracy on held-out examples, %")
    by_time.set(xlabel="seconds of training, once the features are there", xscale="log")
    by_epoch.legend(loc="lower right", frameon=False)
    for axes in (by_epoch, by_time):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(task.title)
    figure.savefig(path, dpi=110)
