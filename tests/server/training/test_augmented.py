"""Augmented recipes on a small real network: the same views stored or not, shared by jobs, and none to validate on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from frostline_server.training.events import Event, Noted

pytestmark = pytest.mark.keras
Runs = Callable[..., Any]
Bits = Callable[[str], dict[str, bytes]]

HEAD = [{"Dense": {"units": 3, "activation": "softmax", "name": "top"}}]
NETWORK = [
    {"Conv2D": {"filters": 4, "kernel_size": 3, "activation": "relu", "name": "conv"}},
    {"Flatten": {"name": "flat"}},
    *HEAD,
]
FLIP_AND_TURN = [{"RandomFlip": {"mode": "horizontal"}}, {"RandomRotation": {"factor": 0.2}}]
CHILD = {"base": "base", "reuse": {"through": "flat"}, "head": HEAD, "stages": [{"epochs": 3, "batch_size": 8}]}


@pytest.fixture
def base(push_rows: Callable[..., None], run: Runs) -> None:
    """Pushes sixty small images and trains a network on them; its model is `base`."""
    images = np.random.default_rng(0).random((60, 6, 6, 3), np.float32)
    push_rows("digits", images, np.arange(60) % 3)
    run("base", head=NETWORK, stages=[{"epochs": 1}])


def test_stored_views_train_to_the_same_bits_as_views_computed_in_every_epoch(
    base: None, run: Runs, bits: Bits
) -> None:
    """Law 3: three epochs take the views 1, 2 and 3 either way."""
    stored = run("stored", augment=FLIP_AND_TURN, cache={"views": 3}, **CHILD)
    again = run("again", augment=FLIP_AND_TURN, cache={"views": 3}, **CHILD)
    run("fresh", augment=FLIP_AND_TURN, cache=False, **CHILD)
    assert bits("stored") == bits("again") == bits("fresh")
    assert (stored.stages[0].rows_computed, again.stages[0].rows_computed) == (180, 0)


def test_fewer_views_than_epochs_are_taken_in_turn(base: None, run: Runs, bits: Bits) -> None:
    one = run("one", augment=FLIP_AND_TURN, cache={"views": 1}, **CHILD)
    three = run("three", augment=FLIP_AND_TURN, cache={"views": 3}, **CHILD)
    assert (one.stages[0].rows_computed, three.stages[0].rows_computed) == (60, 120)
    assert bits("one") != bits("three")


def test_other_augmentation_is_other_features(base: None, run: Runs) -> None:
    run("flipped", augment=FLIP_AND_TURN[:1], cache={"views": 1}, **CHILD)
    seeded = [{"RandomFlip": {"mode": "horizontal", "seed": 77}}]
    assert run("seeded", augment=seeded, cache={"views": 1}, **CHILD).stages[0].rows_computed == 60


def test_validation_takes_the_parents_features(base: None, run: Runs) -> None:
    held_out = {"data": {"train": "digits", "validation": {"fraction": 0.5}}}
    run("plain", **CHILD, **held_out)
    augmented = run("augmented", augment=FLIP_AND_TURN, cache={"views": 2}, **CHILD, **held_out)
    assert (augmented.stages[0].rows_computed, augmented.stages[0].rows_reused) == (60, 30)


def test_views_and_validation_rows_that_two_stages_need_are_planned_once(base: None, run: Runs, recorded: Any) -> None:
    held_out = {"data": {"train": "digits", "validation": {"fraction": 0.5}}}
    stages = {"stages": [{"epochs": 3, "batch_size": 8}] * 2}
    costs = recorded({"flat": 1.0})
    two = run("two", augment=FLIP_AND_TURN, cache={"views": 2}, costs=costs, **{**CHILD, **held_out, **stages}).stages
    assert [(each.plan.kept, each.plan.rows_present, each.plan.rows_missing) for each in two] == [
        ("store", 0, 90),
        ("store", 90, 0),
    ]


def test_a_bases_own_random_layers_rest_until_views_are_asked_for_and_the_job_says_so(base: None, run: Runs) -> None:
    run("augmented", augment=FLIP_AND_TURN, **{**CHILD, "stages": [{"epochs": 40, "batch_size": 8}]})  # worth storing
    notes: list[Event] = []
    child = {**CHILD, "base": "augmented"}
    resting = run("resting", on=notes.append, **child)
    assert any(isinstance(note, Noted) and "'random_flip', 'random_rotation'" in note.text for note in notes)
    drawing = run("drawing", cache={"views": 4}, **child)
    assert (resting.stages[0].rows_computed, drawing.stages[0].rows_computed) == (60, 0)
