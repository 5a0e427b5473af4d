"""Jobs that are disturbed or stopped wherever they are: in a fill, in an epoch, in the middle of their files."""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline_server.training.events import EpochEnded, Event, Filled, Noted
from frostline_zoo.errors import InvalidError

pytestmark = pytest.mark.keras

HEAD = [{"Dense": {"units": 5, "activation": "softmax", "name": "top"}}]
ROWS = 600
CHILD: dict[str, Any] = {"base": "base", "head": HEAD, "stages": [{"epochs": 12, "batch_size": 16}]}
LONG: dict[str, Any] = {**CHILD, "stages": [{"epochs": 300, "batch_size": 1}]}
DEAR = {"conv": 0.01, "wide": 0.01}


@pytest.fixture
def base(push_rows: Any, add_network: Any) -> None:
    """A dataset of pictures and a convolving network; a row at its cut takes 800 bytes."""
    import keras

    keras.utils.set_random_seed(1)
    layers = [keras.layers.Conv2D(16, 3, activation="relu", name="conv"), keras.layers.GlobalMaxPooling2D(name="pool")]
    layers += [keras.layers.Dense(200, "elu", name="wide"), keras.layers.Dense(5, "softmax", name="old")]
    add_network("base", keras.Sequential([keras.Input((8, 8, 3)), *layers]))
    pictures = np.random.default_rng(0).normal(size=(ROWS, 8, 8, 3)).astype(np.float32)
    push_rows("digits", pictures, np.arange(ROWS) % 5)


def injure(chance: random.Random, root: Path, kinds: int) -> None:
    """Overwrites a part of one of the segments, cuts it short or deletes it: one of the first `kinds` of these."""
    paths = sorted(root.rglob("*.safetensors"))
    if not paths:
        return
    path, kind = chance.choice(paths), chance.randrange(kinds)
    if kind == 2:
        path.unlink()
    elif kind == 1:
        os.truncate(path, chance.randrange(path.stat().st_size))
    else:
        with path.open("r+b") as file:
            file.seek(chance.randrange(path.stat().st_size))
            file.write(chance.randbytes(4096))


def test_injuries_to_the_features_that_a_job_streams_change_no_weight(
    base: None, run: Any, bits: Any, within: Any, recorded: Any
) -> None:
    streaming = {"within": within(memory=1), "costs": recorded(DEAR), **CHILD}
    (calm,) = run("calm", **streaming).stages
    chance, root = random.Random(1), within().features.root

    def on(event: Event) -> None:
        if isinstance(event, EpochEnded):
            for _ in range(3):
                injure(chance, root, kinds=1 if event.epoch < 6 else 3)

    (stage,) = run("disturbed", on=on, **streaming).stages
    assert bits("disturbed") == bits("calm")
    assert (calm.rows_computed, stage.rows_reused) == (ROWS, ROWS)
    assert stage.rows_computed > 0


def test_a_number_too_large_for_float16_is_refused_and_not_stored(
    base: None, push_rows: Any, run: Any, within: Any, recorded: Any
) -> None:
    push_rows("loud", np.full((20, 8, 8, 3), 1e8, np.float32), np.arange(20) % 5)
    child = {**CHILD, "data": {"train": "loud"}, "cache": {"dtype": "float16"}}
    with pytest.raises(
        InvalidError, match=r"layer 'wide' puts out .*, and float16 ends at 6.55e\+04: write cache.dtype"
    ):
        run("loud", costs=recorded(DEAR), **child)
    assert within().features.size_bytes() == 0


def test_a_budget_that_others_use_up_ends_storing_and_says_so(
    base: None, run: Any, bits: Any, within: Any, recorded: Any
) -> None:
    run("calm", costs=recorded(DEAR), **CHILD)
    zoo, told = within(disk=700_000, memory=1), []
    (other,) = zoo.features.trunks()
    with zoo.features.reading(other.digest, other.dtype):
        child = {**CHILD, "cache": {"dtype": "float16"}}
        (stage,) = run("crowded", within=zoo, costs=recorded(DEAR), on=told.append, **child).stages
    assert zoo.features.size_bytes() <= 700_000
    assert stage.plan.kept == "store"
    notes = [event.text for event in told if isinstance(event, Noted)]
    assert notes == [
        "features are not stored any more: the budget of 700000 bytes for features is used up by running jobs"
    ]


def stopped(run: Any, name: str, when: Any, **keys: Any) -> float:
    """Runs until 50 ms after an event of which `when` says so; returns how long stopping took, in seconds."""
    from frostline_server.training.run import Cancelled

    asked, at = threading.Event(), [0.0]

    def ask() -> None:
        at[0] = time.monotonic()
        asked.set()

    def on(event: Event) -> None:
        if when(event) and not at[0]:
            at[0] = 1.0
            threading.Timer(0.05, ask).start()

    with pytest.raises(Cancelled):
        run(name, on=on, stop=asked.is_set, **keys)
    return time.monotonic() - at[0]


def test_a_job_stopped_in_an_epoch_of_a_convolving_head_goes_on_to_the_same_bits(
    base: None, run: Any, bits: Any
) -> None:
    """It is asked between slices, so an epoch of hours stops in seconds too."""
    child = {**CHILD, "stages": [{"freeze": "none", "epochs": 6, "batch_size": 1}]}
    run("whole", **child)
    ended: list[Event] = []

    def second_epoch_ends(event: Event) -> bool:
        ended.extend([event] * isinstance(event, EpochEnded))
        return len(ended) == 2

    assert stopped(run, "cut-off", second_epoch_ends, **child) < 2.0
    assert len(ended) == 2
    run("cut-off", **child)
    assert bits("cut-off") == bits("whole")


def test_a_job_stopped_while_it_waits_for_anothers_fill_goes_on_to_the_same_bits(
    base: None, run: Any, bits: Any, within: Any, recorded: Any
) -> None:
    run("whole", costs=recorded(DEAR), **CHILD)
    (info,) = within().features.trunks()
    within().features.prune(lambda _: True)
    told: list[Event] = []
    with within().features.filling(info.digest, info.dtype, lambda: None):
        assert stopped(run, "waiting", lambda event: told.append(event) or True, costs=recorded(DEAR), **CHILD) < 2.0
    assert not any(isinstance(event, Filled) for event in told)
    assert run("waiting", costs=recorded(DEAR), **CHILD).stages[0].rows_computed == ROWS
    assert bits("waiting") == bits("whole")


def test_a_stage_that_goes_on_keeps_its_first_plan(base: None, run: Any, recorded: Any) -> None:
    stopped(run, "replanned", lambda event: isinstance(event, EpochEnded), costs=recorded(DEAR), **LONG)
    (stage,) = run("replanned", costs=recorded(DEAR), **LONG).stages
    assert (stage.plan.rows_missing, stage.plan.rows_present) == (ROWS, 0)
    assert (stage.rows_computed, stage.rows_reused) == (ROWS, 0)


def test_progress_of_a_stage_that_keeps_nothing_counts_every_epoch(base: None, run: Any, recorded: Any) -> None:
    told: list[Event] = []
    run("nowhere", costs=recorded(DEAR), on=told.append, **CHILD, cache=False)
    filled = [event for event in told if isinstance(event, Filled)]
    assert {event.total for event in filled} == {12 * ROWS}
    assert filled[-1].done == 12 * ROWS
