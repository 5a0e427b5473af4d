"""Four ways to a network for a new task, each tried with several seeds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any

from progress import Progress
from task import Task

from frostline_client import Client, optimizers


@dataclass(frozen=True)
class Method:
    """One way; `name` is what people read, `model` what its versions are called in the zoo."""

    name: str
    model: str
    reuses: bool = True
    cached: bool = True
    thaws: bool = False


METHODS = (
    Method("from scratch", "scratch", reuses=False),
    Method("frozen, not cached", "uncached", cached=False),
    Method("frozen, cached", "cached"),
    Method("upper layers thawed", "thawed", thaws=True),
)


@dataclass(frozen=True)
class Result:
    """What one method came to with one seed.

    Attributes:
        accuracy: on the held-out examples, after each epoch.
        epoch_seconds: for each epoch the median time of its stage's epochs, validation included: the first one of a
            stage waits for the compiler.
        computed, reused: rows of features.
        added_bytes: what the new version added to the zoo.
        weights: the digests of its layers' blobs, in order.
    """

    method: Method
    accuracy: list[float]
    epoch_seconds: list[float]
    computed: int
    reused: int
    added_bytes: int
    weights: tuple[str | None, ...]


def compare(zoo: Client, task: Task, seeds: Iterable[int], progress: Progress) -> list[Result]:
    """Runs every method with every seed: the examples, the first weights and the batches' order follow from it."""
    results = []
    for seed in seeds:
        for method in METHODS:
            job = zoo.jobs.submit(recipe(task, method, seed))
            epochs = progress.follow(job, f"seed {seed}: {method.name}", task.epochs)
            stages, version = job.stages, job.result()
            usual = [median(epoch.seconds for epoch in epochs if epoch.stage == stage) for stage in range(len(stages))]
            results.append(
                Result(
                    method,
                    [epoch.metrics["val_accuracy"] for epoch in epochs],
                    [usual[epoch.stage] for epoch in epochs],
                    sum(stage.features.computed for stage in stages),
                    sum(stage.features.reused for stage in stages),
                    version.added_bytes,
                    tuple(layer.blob for layer in zoo.models.layers(version)),
                )
            )
    return results


def recipe(task: Task, method: Method, seed: int) -> dict[str, Any]:
    """Returns what the method does; docs/recipes.md has every key."""
    suffix = "" if method.reuses else task.scratch_suffix
    data = {"train": task.examples[seed] + suffix, "validation": task.held_out + suffix}
    common = {"name": method.model, "data": data, "seed": seed}
    if not method.reuses:
        stage = adam(task, task.scratch_rate, task.epochs)
        return {**common, "head": list(task.scratch), "preprocessing": task.preprocessing, "stages": [stage]}
    reused = {**common, "base": task.base, "reuse": {"through": task.frozen}, "head": list(task.head)}
    if not method.thaws:
        stages = [adam(task, task.head_rate, task.epochs)]
        return {**reused, "stages": stages, "cache": {"views": 1} if method.cached else False}
    frozen, thawed = adam(task, task.head_rate, task.epochs // 2), adam(task, task.thawed_rate, task.epochs // 2)
    return {**reused, "stages": [frozen, thawed | {"freeze": {"through": task.thawed}}]}


def adam(task: Task, learning_rate: float, epochs: int) -> dict[str, Any]:
    """Returns a stage."""
    optimizer = optimizers.Adam(learning_rate=learning_rate)
    return {"optimizer": optimizer, "batch_size": task.batch_size, "epochs": epochs}
