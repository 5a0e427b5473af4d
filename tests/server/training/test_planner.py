"""The planner: with given costs, budgets and rows, where each stage keeps its features, and why."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline_server.training.recipe import Recipe
from frostline_zoo.errors import InvalidError

pytestmark = pytest.mark.keras

HEAD = [{"Dense": {"units": 5, "activation": "softmax", "name": "top"}}]
ROWS = 1000
NARROW, WIDE = 16, 512  # numbers in a row at `low`, and at `wide`, which is the cut


@pytest.fixture
def planned(push_rows: Any, add_network: Any) -> Callable[..., list[Any]]:
    """Plans recipes over a network that narrows and then widens: 16 -> low 16 -> wide 512 -> flat 512."""
    import keras

    from frostline_server.training.frozen import Frozen
    from frostline_server.training.planner import Planner
    from frostline_server.training.prepare import prepare
    from frostline_server.training.programs import Programs

    keras.utils.set_random_seed(1)
    low, wide = keras.layers.Dense(NARROW, name="low"), keras.layers.Dense(WIDE, name="wide")
    model = keras.Sequential([keras.Input((16,)), low, wide, keras.layers.ReLU(name="flat"), keras.layers.Dense(5)])
    add_network("base", model)
    rows = np.random.default_rng(0).normal(size=(ROWS, 16)).astype(np.float32)
    push_rows("digits", rows, np.arange(ROWS) % 5)

    def made(zoo: Any, costs: Any, **keys: Any) -> list[Any]:
        given = {"name": "child", "base": "base", "head": HEAD, "data": {"train": "digits"}, **keys}
        recipe = Recipe.parse(json.dumps(given))
        prepared = prepare(recipe, zoo)
        return Planner(recipe, prepared, zoo, costs).plan_all(Frozen(prepared.network, Programs()))

    return made


@pytest.fixture
def plans(planned: Any) -> Callable[..., list[Any]]:
    """Plans recipes as `planned` does, and returns what people see of it."""
    return lambda *given, **keys: [each.plan for each in planned(*given, **keys)]


SIZE, ALL = ROWS * WIDE * 4, 1 << 40
EPOCHS = {"stages": [{"epochs": 10}]}
DEAR, CHEAP, WIDENING = {"low": 0.01, "wide": 0.01}, {"low": 1e-6, "wide": 1e-6}, {"low": 0.1, "wide": 1e-7}
SLOW = {"disk": 1e5}
CASES = {  # layers, disk, bounds: where rows are kept, and why
    "dear layers": (DEAR, {}, {}, "store", "flat", "once and then read: over 10 epochs .* in place of 200.0 s"),
    "cheap layers, slow disk": (CHEAP, SLOW, {"memory": 0}, "nowhere", None, "less time than writing 2.0 MB"),
    "cheap layers, slow disk, memory": (CHEAP, SLOW, {"memory": ALL}, "memory", "flat", "writing 2.0 MB takes longer"),
    "cheap layers that widen, slow disk": (
        WIDENING,
        SLOW,
        {"memory": 0},
        "store",
        "low",
        "smaller at 'low'.* 10 epochs",
    ),
    "no disk": (DEAR, {}, {"disk": 0}, "memory", "flat", "has no room for 2.0 MB, memory has"),
    "no disk, just enough memory": (DEAR, {}, {"disk": 0, "memory": SIZE}, "memory", "flat", "memory has"),
    "no disk, a byte of memory too few": (
        DEAR,
        {},
        {"disk": 0, "memory": SIZE - 1},
        "memory",
        "low",
        "smaller at 'low'",
    ),
    "a small disk": (DEAR, {}, {"disk": SIZE // 2, "memory": 0}, "store", "low", "smaller at 'low'.* 10 epochs"),
    "no disk, no memory": (DEAR, {}, {"disk": 0, "memory": 0}, "nowhere", None, "no room for the rows' 2.0 MB, nor"),
}


@pytest.mark.parametrize("case", CASES)
def test_rows_are_kept_where_that_takes_least(plans: Any, recorded: Any, within: Any, case: str) -> None:
    layers, speeds, bounds, kept, at, reason = CASES[case]
    (plan,) = plans(within(**bounds), recorded(layers, **speeds), **EPOCHS)
    assert (plan.kept, plan.kept_at) == (kept, (at,) if at else ())
    assert plan.seconds_with <= plan.seconds_without
    assert re.search(reason, plan.reason), plan.reason


@pytest.mark.parametrize(("little_bytes", "kept"), [(SIZE, "store"), (SIZE - 1, "memory")])
def test_little_is_kept_for_later_jobs_though_the_disk_has_much_to_do(
    plans: Any, recorded: Any, within: Any, monkeypatch: pytest.MonkeyPatch, little_bytes: int, kept: str
) -> None:
    monkeypatch.setattr("frostline_server.training.option._LITTLE_BYTES", little_bytes)
    (plan,) = plans(within(memory=ALL), recorded(CHEAP, disk=1e7), **EPOCHS)  # 0.2 s to write, 0.2 s to read
    assert (plan.kept, plan.kept_at) == (kept, ("flat",))
    assert ("which is little enough for what later jobs find" in plan.reason) == (kept == "store")


@pytest.mark.parametrize(("epochs", "why"), [(1, "once and then kept for later jobs"), (2, "once and then read")])
def test_rows_are_read_where_more_than_one_epoch_needs_them(
    plans: Any, recorded: Any, within: Any, epochs: int, why: str
) -> None:
    (plan,) = plans(within(), recorded(DEAR), stages=[{"epochs": epochs}])
    assert f"each row is computed {why}: over {epochs} epoch" in plan.reason


def test_layers_that_run_faster_together_than_one_by_one_are_weighed_so(
    plans: Any, recorded: Any, within: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = recorded({"low": 0.01, "wide": 0.01})
    monkeypatch.setattr(costs, "trunk", lambda *_: 0.005)
    (plan,) = plans(within(), costs, **EPOCHS)
    assert plan.seconds_without == pytest.approx(50, rel=0.01)


def test_rows_of_a_few_bytes_do_not_fit_into_a_disk_of_their_own_size(plans: Any, recorded: Any, within: Any) -> None:
    """Their keys and checksums take three times as much."""
    zoo = within(disk=ROWS * NARROW * 4 + (1 << 16) + 1000, memory=0)
    (plan,) = plans(zoo, recorded({"low": 0.01}), reuse={"through": "low"}, **EPOCHS)
    assert plan.kept == "nowhere"


def test_stages_share_one_budget(plans: Any, recorded: Any, within: Any) -> None:
    stages = [{"epochs": 5}, {"epochs": 5, "freeze": {"through": "wide"}}]
    costs = recorded({"low": 0.01, "wide": 0.01, "flat": 0.01})
    assert [plan.kept for plan in plans(within(disk=3 * SIZE), costs, stages=stages)] == ["store", "store"]
    assert [plan.kept for plan in plans(within(disk=3 * SIZE // 2), costs, stages=stages)] == ["store", "memory"]
    *_, last = plans(within(disk=SIZE + 150_000, memory=0), costs, stages=stages)
    assert "no room for the rows' 2.0 MB beside the 2.1 MB of the job's other stages, nor has memory" in last.reason


def test_where_all_rows_are_there_nothing_is_measured(plans: Any, run: Any, recorded: Any, within: Any) -> None:
    run("first", base="base", head=HEAD, stages=[{"epochs": 2}], costs=recorded(DEAR))
    costs = recorded({})
    (plan,) = plans(within(), costs, **EPOCHS)
    assert (plan.kept, plan.rows_present, plan.rows_missing) == ("store", ROWS, 0)
    assert "all 1000 rows are in the store already" in plan.reason
    assert costs.asked == []


def test_what_computing_saves_is_measured_again_where_nobody_knows_it_any_more(
    plans: Any, run: Any, recorded: Any, within: Any
) -> None:
    run("first", base="base", head=HEAD, stages=[{"epochs": 2}], costs=recorded(DEAR))
    zoo = within()
    for file in zoo.features.root.rglob("use.json"):
        file.unlink()
    (plan,) = plans(zoo, recorded(DEAR), **EPOCHS)
    assert (plan.kept, plan.rows_present, plan.rows_missing) == ("store", ROWS, 0)
    assert "all 1000 rows are in the store already" in plan.reason
    assert plan.seconds_without > 100


def test_a_row_that_two_stages_need_is_planned_once(plans: Any, recorded: Any, within: Any) -> None:
    first, second = plans(within(), recorded(DEAR), stages=[{"epochs": 5}, {"epochs": 5}])
    assert [(each.kept, each.rows_present, each.rows_missing) for each in (first, second)] == [
        ("store", 0, ROWS),
        ("store", ROWS, 0),
    ]
    assert "all 1000 rows are kept for a stage before" in second.reason
    assert first.seconds_with > 10 > second.seconds_with
    assert second.seconds_without == pytest.approx(first.seconds_without)


def test_equal_examples_are_planned_once_wherever_rows_are_kept(
    plans: Any, planned: Any, recorded: Any, within: Any, push_rows: Any
) -> None:
    rows = np.random.default_rng(1).normal(size=(100, 16)).astype(np.float32)
    data = {"train": "alike"}
    planned(within(), recorded(DEAR))  # makes the base
    push_rows("alike", np.tile(rows, (10, 1)), np.tile(np.arange(100) % 5, 10))
    for disk, kept in ((None, "store"), (0, "memory")):
        (plan,) = plans(within(disk=disk), recorded(DEAR), data=data, **EPOCHS)
        assert (plan.kept, plan.rows_present, plan.rows_missing) == (kept, 0, 100)
        assert plan.seconds_with < 4
    rounded = {"cache": {"dtype": "float16"}, "data": data, **EPOCHS}
    (each,) = planned(within(), recorded(DEAR), **rounded)
    assert each.source is None  # where nothing is stored, nothing is there to start from


@pytest.mark.parametrize(("disk", "kept"), [(1e9, "store"), (1e5, "memory")])
def test_rows_of_a_lower_cut_are_what_missing_ones_are_computed_from_wherever_those_are_kept(
    planned: Any, run: Any, recorded: Any, within: Any, disk: float, kept: str
) -> None:
    lower = [{"epochs": 1, "freeze": {"through": "low"}}]
    run("first", base="base", head=HEAD, stages=lower, costs=recorded(DEAR))
    (each,) = planned(within(memory=ALL), recorded({"low": 1.0, "wide": 1e-6}, disk=disk), **EPOCHS)
    assert (each.plan.kept, each.plan.kept_at) == (kept, ("flat",))
    assert [ref.layer for ref in each.source.frontier] == ["low"]
    assert each.plan.seconds_with < 100


@pytest.mark.parametrize(
    ("layers", "disk", "kept", "seconds"),
    [
        ({"low": 1.0, "wide": 1e-6}, 1e9, "store", 4 * ROWS / 10),
        ({"low": 0.01, "wide": 0.01}, 1e4, "memory", ROWS / 50),
    ],
)
def test_what_a_source_lacks_is_counted_and_stored_by_no_stage_that_keeps_its_rows_in_memory(
    planned: Any,
    run: Any,
    push_rows: Any,
    recorded: Any,
    within: Any,
    layers: dict[str, float],
    disk: float,
    kept: str,
    seconds: float,
) -> None:
    some = np.random.default_rng(0).normal(size=(ROWS, 16)).astype(np.float32)[: 6 * ROWS // 10]
    push_rows("some", some, np.arange(len(some)) % 5)
    lower = [{"epochs": 1, "freeze": {"through": "low"}}]
    run("first", base="base", head=HEAD, data={"train": "some"}, stages=lower, costs=recorded(DEAR))
    (each,) = planned(within(memory=ALL), recorded(layers, disk=disk), **EPOCHS)
    assert (each.plan.kept, each.plan.kept_at) == (kept, ("flat",))
    assert (each.source is None) == (kept == "memory")
    assert each.plan.seconds_with == pytest.approx(seconds, rel=0.05)


def test_a_trunk_that_is_not_going_to_run_is_not_run_to_be_timed(planned: Any, recorded: Any, within: Any) -> None:
    alone, several = recorded(DEAR), recorded(DEAR)
    planned(within(), alone, **EPOCHS)
    planned(within(), several, stages=[{"epochs": 1}, {"epochs": 1, "freeze": {"through": "wide"}}])
    assert ("trunk" in alone.asked, "trunk" in several.asked) == (True, False)


@pytest.mark.parametrize("pauses", [[0.0] * 4, [0.0, 0.04, 0.0, 0.0], [0.0, 0.0, 0.04, 0.0]])
def test_an_example_costs_what_it_takes_beside_what_a_call_does(
    monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    from frostline_server.training import costs

    clock, paused = [0.0], iter(pauses)

    def read(places: Any) -> Any:
        clock[0] += 0.1 + 0.001 * len(places) + next(paused)
        return places

    monkeypatch.setattr(costs.time, "perf_counter", lambda: clock[0])
    assert costs.Costs().prepare(read, 5000) == pytest.approx(0.001)


def test_a_budget_smaller_than_one_batch_is_refused_before_anything_is_measured(within: Any, plans: Any) -> None:
    """By what a submitted recipe is checked with, so that no job starts and fails."""
    from frostline_server.training.prepare import prepare

    message = "one batch of features takes 65.5 KB in stage 2, and the server's budget for features is 65.0 KB: start"
    stages = [{"epochs": 1, "freeze": {"through": "low"}}, {"epochs": 1, "freeze": {"through": "flat"}}]
    keys = {"name": "child", "base": "base", "head": HEAD, "data": {"train": "digits"}, "stages": stages}
    with pytest.raises(InvalidError, match=message):
        prepare(Recipe.parse(json.dumps(keys)), within(disk=65_000))
    assert prepare(Recipe.parse(json.dumps(keys | {"cache": False})), within(disk=65_000))


def test_planning_leaves_the_disk_as_it_is(plans: Any, within: Any, tmp_path: Path) -> None:
    from frostline_server.training.planner import plan_recipe

    zoo = within()
    plans(zoo, None, stages=[{"freeze": "none"}])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    recipe = {"name": "child", "base": "base", "head": HEAD, "data": {"train": "digits"}, **EPOCHS}
    (plan,) = plan_recipe(Recipe.parse(json.dumps(recipe)), zoo)
    assert plan.rows_missing == ROWS
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_network_of_free_size_is_planned_by_the_size_of_the_examples(
    add_network: Callable[[str, Any], None], push_rows: Callable[..., None], run: Callable[..., Any]
) -> None:
    import keras

    words = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(50, 8, name="table")(words)
    x = keras.layers.Conv1D(40, 7, name="sevens")(x)  # which takes no fewer places than seven
    x = keras.layers.GlobalMaxPooling1D(name="largest")(keras.layers.Conv1D(4, 1, name="narrow")(x))
    add_network("words", keras.Model(words, keras.layers.Dense(64, name="wide")(x)))
    labels = np.arange(12) % 2
    push_rows("digits", np.random.default_rng(0).integers(0, 50, (12, 9)), labels)
    head = [{"Dense": {"units": 2, "activation": "softmax"}}]
    outcome = run("texts", base="words", reuse={"through": "wide"}, head=head, stages=[{"epochs": 2}])
    assert outcome.stages[0].rows_computed == 12
    assert outcome.stages[0].plan.kept_at in (("wide",), ("largest",))
