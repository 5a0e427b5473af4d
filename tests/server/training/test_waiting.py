"""Jobs that wait are thought of: what they will freeze is filled in the pass over the examples that runs anyway."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.keras
Digits = Callable[..., tuple[np.ndarray, np.ndarray]]
Runs = Callable[..., Any]

HEAD = [{"Dense": {"units": 5, "activation": "softmax", "name": "top"}}]
DEEP = [{"Dense": {"units": 12, "activation": "elu", "name": f"h{number}"}} for number in (1, 2, 3)] + HEAD


def through(layer: str, **keys: Any) -> dict[str, Any]:
    return {"base": "base", "reuse": {"through": layer}, "head": HEAD, "stages": [{"epochs": 1}], **keys}


def recipe(name: str, **keys: Any) -> str:
    return json.dumps({"name": name, "data": {"train": "digits"}, **keys})


def computed(outcome: Any) -> int:
    return int(outcome.stages[0].rows_computed)


def test_jobs_at_several_cuts_of_one_network_fill_all_their_features_in_one_pass(digits: Digits, run: Runs) -> None:
    digits("digits", count=60)
    run("base", head=DEEP, stages=[{"epochs": 1}])
    later = [recipe("second", **through("h2")), recipe("third", **through("h1")), "{nonsense"]
    assert computed(run("first", waiting=later, **through("h3"))) == 60
    assert computed(run("second", **through("h2"))) == 0
    assert computed(run("third", **through("h1"))) == 0


def test_only_what_jobs_that_wait_need_of_the_same_examples_is_filled_with_them(digits: Digits, run: Runs) -> None:
    digits("digits", count=60)
    digits("others", count=60, seed=5)
    run("base", head=DEEP, stages=[{"epochs": 1}])
    elsewhere = recipe("second", **through("h2", data={"train": "others"}))
    uncached = recipe("third", **through("h1", cache=False))
    run("first", waiting=[elsewhere, uncached], **through("h3"))
    assert computed(run("second", **through("h2"))) == 60
    assert computed(run("third", **through("h1"))) == 60


def test_a_rounded_cut_is_made_of_exact_rows_where_they_are_there(digits: Digits, run: Runs, zoo: Any) -> None:
    digits("digits", count=60)
    run("base", head=DEEP, stages=[{"epochs": 1}])
    run("exact", **through("h3"))
    run("rounded", **through("h3", cache={"dtype": "float16"}))
    dtypes = {trunk.dtype: trunk.row_count for trunk in zoo.features.trunks()}
    assert dtypes == {"float16": 60, "float32": 60}
