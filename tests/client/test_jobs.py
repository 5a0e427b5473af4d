"""Jobs through a real server: a Future that can be watched."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from frostline_client import Client, JobFailedError, layers
from frostline_client.errors import (
    AlreadyExistsError,
    DeadlineError,
    FailedPreconditionError,
    InvalidError,
    NotFoundError,
)
from frostline_client.events import EpochEnded, Filled, StageStarted, StateChanged

LONG = {"name": "long", "data": "signs", "head": [layers.Dense(2, "softmax")], "epochs": 1_000_000}


def test_a_job_answers_like_a_future(zoo: Client, trained: Any) -> None:
    job = trained.job
    assert job.done()
    assert job.result() == trained.top
    assert job.state == "SUCCEEDED"
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(job.metrics)


def test_a_job_tells_what_became_of_its_features(trained: Any) -> None:
    (stage,) = trained.job.stages
    assert (stage.epochs_run, len(stage.history["val_loss"])) == (3, 3)
    assert (stage.features.computed, stage.features.reused) == (48, 0)
    assert stage.frozen_layer_count == 2
    assert stage.train_seconds > 0


def test_a_second_job_on_the_same_trunk_computes_nothing(zoo: Client, trained: Any) -> None:
    head = [layers.Dense(5, "relu"), layers.Dense(2, "softmax")]
    job = zoo.train(name="other-head", base="signs", reuse="h2", head=head, data="signs", epochs=1)
    assert job.result().parent == "signs@1"
    assert job.stages[0].features.computed == 0
    assert job.stages[0].features.reused == 48
    assert any(trunk.row_count == 48 and "signs@1:h2" in trunk.places for trunk in zoo.features.list())


def test_events_come_in_order_from_where_one_likes(trained: Any) -> None:
    events = list(trained.job.watch())
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert [event.epoch for event in events if isinstance(event, EpochEnded)] == [0, 1, 2]
    assert {StageStarted, Filled} <= {type(event) for event in events}
    assert isinstance(events[-1], StateChanged)
    assert (events[-1].state, events[-1].model) == ("SUCCEEDED", "sizes@1")
    assert list(trained.job.watch(after=events[-3].sequence)) == events[-2:]


def test_watching_goes_on_after_a_broken_connection(
    address: str, zoo: Client, trained: Any, cutting: Callable[..., Any]
) -> None:
    job = zoo.train(**LONG | {"name": "many-epochs", "epochs": 300})
    job.result()
    proxy = cutting(address, [8_000] * 3)
    with Client(proxy.address) as through:
        events = list(through.jobs.get(job.name).watch())
    assert proxy.cuts >= 3
    assert len(events) > 300
    assert events == list(job.watch())


def test_a_cancelled_job_makes_no_model_and_can_be_resumed(zoo: Client, trained: Any) -> None:
    job = zoo.train(**LONG)
    with pytest.raises(DeadlineError, match=r"has not ended within 0\.2 seconds: it goes on"):
        job.result(timeout=0.2)
    job.cancel()
    with pytest.raises(JobFailedError, match=f"job {job.name} made no model: it was cancelled") as failed:
        job.result()
    assert failed.value.metadata == {"job": job.name, "state": "CANCELLED"}
    with pytest.raises(FailedPreconditionError):
        job.cancel()
    job.resume()
    assert not job.done()
    job.cancel()
    assert [event.state for event in job.watch() if isinstance(event, StateChanged)][-1] == "CANCELLED"
    with pytest.raises(NotFoundError):
        zoo.models.get("long")


def test_the_same_request_id_is_the_same_job(zoo: Client, trained: Any) -> None:
    recipe = trained.job.record().recipe | {"name": "once"}
    request_id = str(uuid.uuid4())
    first, second = (zoo.jobs.submit(recipe, request_id=request_id) for _ in range(2))
    assert first.name == second.name
    assert first.name in [record.name for record in zoo.jobs.list()]
    with pytest.raises(AlreadyExistsError):
        zoo.jobs.submit(recipe | {"seed": 99}, request_id=request_id)
    first.result()


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"base": "nowhere"}, NotFoundError, "nowhere"),
        ({"data": "nothing"}, NotFoundError, "nothing"),
        ({"reuse": "h9"}, InvalidError, "h9"),
        ({"optimizer": {"Adum": {}}}, InvalidError, "Adam"),
        ({"epochs": 0}, InvalidError, r"stages\[0\].epochs"),
        ({"cache": {"views": 2}}, InvalidError, "cache.views"),
        ({"seed": float("nan")}, InvalidError, "finite numbers"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused_at_once(
    zoo: Client, trained: Any, wrong: dict[str, Any], error: type[Exception], message: str
) -> None:
    fitting = {"name": "refused", "base": "signs", "data": "signs", "head": [layers.Dense(2, "softmax")]}
    with pytest.raises(error, match=message):
        zoo.train(**fitting | wrong)


def test_an_unknown_job_is_named(zoo: Client) -> None:
    with pytest.raises(NotFoundError, match="abcdefghijkl"):
        zoo.jobs.get("abcdefghijkl")
