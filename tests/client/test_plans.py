"""Plans and the cache, through a real server with its workers: asked for, shown, and beside what came true."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml
from click.testing import Result

from frostline_client import Client, layers
from frostline_client.errors import InvalidError, NotFoundError
from frostline_client.events import StageStarted

Frostline = Callable[..., Result]
DATASET, BASE = "planned-rows", "planned-base"
RECIPE = {
    "name": "planned",
    "base": BASE,
    "reuse": {"through": "h2"},
    "head": [{"Dense": {"units": 2, "activation": "softmax"}}],
    "data": {"train": DATASET, "validation": {"fraction": 0.25}},
    "stages": [{"epochs": 3}, {"epochs": 2, "freeze": {"through": "h1"}}],
}


@pytest.fixture(scope="module", autouse=True)
def base(address: str) -> None:
    """A model of its own, so that no other test's features are planned with, or pruned."""
    rows: npt.NDArray[np.float32] = np.random.default_rng(11).normal(size=(400, 32)).astype(np.float32)
    head = [layers.Dense(64, "relu", name="h1"), layers.Dense(16, "relu", name="h2"), layers.Dense(2, "softmax")]
    with Client(address) as zoo:
        zoo.datasets.push(DATASET, rows, (rows[:, 0] > 0).astype(int))
        zoo.train(name=BASE, data=DATASET, head=head, epochs=1, seed=5).result()


@pytest.fixture(autouse=True)
def served(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROSTLINE_SERVER", address)


def document(result: Result) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def recipe_file(**changes: Any) -> Path:
    path = Path("recipe.yaml")
    path.write_text(yaml.safe_dump(RECIPE | changes))
    return path


def test_a_plan_says_for_every_stage_what_is_kept_and_why(zoo: Client) -> None:
    before = zoo.jobs.list()
    upper, lower = zoo.jobs.plan(RECIPE)
    assert (upper.cut, upper.frozen_layer_count) == (("h2",), 2)
    assert (lower.cut, lower.frozen_layer_count) == (("h1",), 1)
    for stage in (upper, lower):
        assert stage.rows_present + stage.rows_missing in (0, 400)
        assert stage.kept in ("store", "memory", "nowhere")
        assert stage.seconds_without >= 0
        assert stage.reason
        assert "\n" not in stage.reason
    assert zoo.jobs.list() == before


def test_a_plan_takes_the_arguments_of_a_train_job(zoo: Client) -> None:
    head = [layers.Dense(2, activation="softmax")]
    (stage,) = zoo.plan(name="planned", base=BASE, reuse="h1", head=head, data=DATASET, cache=False)
    assert (stage.cut, stage.kept, stage.rows_present) == (("h1",), "nowhere", 0)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"epoch": 3}, InvalidError, "recipe: epoch is unknown"),
        ({"base": "nowhere"}, NotFoundError, "nowhere"),
        ({"stages": [{"freeze": {"through": "h9"}}]}, InvalidError, "h9"),
        ({"seed": float("inf")}, InvalidError, "finite number"),
    ],
)
def test_what_cannot_run_cannot_be_planned(
    zoo: Client, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        zoo.jobs.plan(RECIPE | changes)


def test_a_record_holds_what_was_planned_beside_what_came_true(zoo: Client) -> None:
    job = zoo.jobs.submit(RECIPE | {"name": "recorded"})
    started = [event for event in job.watch() if isinstance(event, StageStarted)]
    stages = job.stages
    assert [event.plan for event in started] == [stage.plan for stage in stages]
    for stage in stages:
        assert stage.plan is not None
        assert stage.features.bytes == (0 if stage.plan.kept == "nowhere" else stage.plan.size_bytes)
        assert stage.seconds_saved >= 0
    replanned = zoo.jobs.plan(RECIPE | {"name": "recorded"})
    for stage, again in zip(stages, replanned, strict=True):
        assert stage.plan is not None
        if stage.plan.kept == again.kept == "store" and stage.plan.kept_at == again.kept_at:
            assert (again.rows_present, again.rows_missing) == (400, 0)


def test_a_plan_is_a_table_with_a_sentence_for_each_stage(frostline: Frostline) -> None:
    shown = frostline("plan", recipe_file())
    assert shown.exit_code == 0, shown.stderr
    lines = shown.stdout.splitlines()
    heads = "STAGE FROZEN LAYERS CUT AT KEPT KEPT AT DTYPE VIEWS ROWS THERE MISSING SIZE EXPECTED NOTHING KEPT"
    assert lines[0].split() == heads.split()
    assert lines[1].split()[:3] == ["1", "2", "h2"]
    assert lines[3].startswith("stage 1: ")
    assert lines[4].startswith("stage 2: ")
    assert lines[5].startswith("in all ")
    stages = document(frostline("plan", recipe_file(), "--json"))["stages"]
    assert [stage["cut"] for stage in stages] == [["h2"], ["h1"]]


def test_a_refused_plan_is_one_line(frostline: Frostline) -> None:
    refused = frostline("plan", recipe_file(base="nowhere"), "--json")
    assert (refused.exit_code, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)


def test_a_job_is_shown_as_planned_and_as_it_came_true(frostline: Frostline) -> None:
    made = document(frostline("jobs", "submit", recipe_file(name="shown"), "--watch", "--json"))
    shown = frostline("jobs", "show", made["name"]).stdout
    assert shown.count("planned") == shown.count("came true") == 2
    assert made["stages"][0]["plan"]["cut"] == ["h2"]
    assert made["stages"][0]["seconds_saved"] >= 0


def test_features_of_a_model_are_shown_and_pruned(frostline: Frostline, zoo: Client) -> None:
    zoo.jobs.submit(RECIPE | {"name": "pruned", "stages": [{"epochs": 50}]}).result()
    kept = [trunk for trunk in zoo.features.list() if any(place.startswith(f"{BASE}@1:") for place in trunk.places)]
    rows = sum(trunk.row_count for trunk in kept)
    assert rows >= 400
    told = document(frostline("cache", "show", "--json"))
    assert told["size_bytes"] >= sum(trunk.size_bytes for trunk in kept) > 0
    assert told["budget_bytes"] > told["size_bytes"]
    assert "that features may take" in frostline("cache", "show").stdout.splitlines()[-1]
    dry = document(frostline("cache", "prune", "--model", BASE, "--dry-run", "--json"))
    assert (dry["row_count"], dry["in_use_count"], dry["dry_run"]) == (rows, 0, True)
    assert frostline("cache", "prune", "--model", BASE, "--yes").stdout.startswith(f"{rows:,} rows, ")
    assert document(frostline("cache", "prune", "--model", BASE, "--json"))["row_count"] == 0
    assert document(frostline("cache", "prune", "--unused-for", "900d", "--json"))["row_count"] == 0


def test_just_one_thing_chooses_what_is_pruned(zoo: Client) -> None:
    for which in ({}, {"model": BASE, "everything": True}):
        with pytest.raises(InvalidError, match="choose what to remove by one of"):
            zoo.features.prune(**which)
