"""Jobs through a real server: a Future that can be watched."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from frostline_client import Client, JobFailedError, layers, optimizers
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


def test_a_trunk_is_placed_once_in_every_model_that_has_it_in_the_newest_version(zoo: Client, trained: Any) -> None:
    head = [layers.Dense(2, "softmax")]
    for rate in (0.1, 0.2):
        optimizer = optimizers.SGD(rate)
        zoo.train(
            name="again", base="signs", reuse="h2", head=head, data="signs", epochs=1, optimizer=optimizer
        ).result()
    (trunk,) = [each for each in zoo.features.list() if "signs@1:h2" in each.places]
    assert "again@2:h2" in trunk.places
    assert len({place.split("@")[0] for place in trunk.places}) == len(trunk.places)


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


def test_a_time_limit_is_one_for_all_the_connections_that_a_watch_takes(
    address: str, zoo: Client, trained: Any, cutting: Callable[..., Any]
) -> None:
    job = zoo.train(**LONG | {"name": "watched"})
    proxy = cutting(address, [4_000] * 1000)
    started = time.monotonic()
    with Client(proxy.address) as through, pytest.raises(DeadlineError, match=r"within 2 seconds: it goes on"):
        for _ in through.jobs.get(job.name).watch(timeout=2):
            pass
    job.cancel()
    assert proxy.cuts > 1
    assert time.monotonic() - started < 5


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


@pytest.mark.parametrize("is_made_anew", [False, True])
def test_a_job_whose_data_was_deleted_is_not_resumed_on_other_data(
    zoo: Client, trained: Any, is_made_anew: bool
) -> None:
    rows = np.random.default_rng(4).normal(size=(20, 4))
    zoo.datasets.push("pinned", rows, np.arange(20) % 2)
    job = zoo.train(**{**LONG, "name": "unpinned", "data": "pinned", "seed": np.int64(0)})
    job.cancel()
    with pytest.raises(JobFailedError):
        job.result()
    zoo.datasets.delete("pinned")
    if is_made_anew:
        assert zoo.datasets.push("pinned", rows + 1, np.arange(20) % 2).name == "pinned@1"
    with pytest.raises(FailedPreconditionError, match="pinned@1 was deleted since the job was submitted: submit"):
        job.resume()
    assert job.state == "CANCELLED"


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
        ({"seed": float("nan")}, InvalidError, "recipe: seed is nan: write a finite number"),
        (
            {"head": [{"Dense": {"unit": 2, "activatoin": "relu"}}]},
            InvalidError,
            r"head\[0\].Dense.unit, head\[0\].Dense.activatoin are unknown: did you mean units\? It takes units, act",
        ),
        ({"head": [layers.Dense()]}, InvalidError, r"head\[0\].Dense.units is missing: write an integer from 1 up"),
        ({"head": [layers.Dense(-2)]}, InvalidError, r"head\[0\].Dense.units is -2: write an integer from 1 up$"),
        (
            {"head": [layers.Dense(2, "softmux")]},
            InvalidError,
            r"Dense.activation is \"softmux\": use celu, elu, .* softm",
        ),
        (
            {"head": [layers.Dense(2, kernel_initializer="he", use_bias=1)]},
            InvalidError,
            r"Dense.use_bias is 1: write true or false",
        ),
        (
            {"head": [layers.Dense(2, kernel_initializer="he")]},
            InvalidError,
            r"Dense.kernel_initializer is \"he\": use Con",
        ),
        (
            {"head": [layers.Reshape([2, 3, 1]), layers.Conv2D(2, 0, padding="sam")]},
            InvalidError,
            r"head\[1\].Conv2D.kernel_size is 0: write an integer from 1 up, or a list of one for each side$",
        ),
        (
            {"optimizer": optimizers.Adam("fast")},
            InvalidError,
            r"optimizer.Adam.learning_rate is \"fast\": write a number from 0 up, or a learning rate schedule",
        ),
        (
            {"optimizer": optimizers.Adam(clipnorm=1, clipvalue=1)},
            InvalidError,
            r"optimizer.Adam: clipnorm, clipvalue do not go together",
        ),
        ({"loss": {"Huber": {"delta": "x"}}}, InvalidError, r"loss.Huber.delta is \"x\": write a number, such as 1.0"),
        ({"loss": {"Huber": {"delt": 1}}}, InvalidError, r"loss.Huber.delt is unknown: did you mean delta\?"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused_at_once(
    zoo: Client, trained: Any, wrong: dict[str, Any], error: type[Exception], message: str
) -> None:
    fitting = {"name": "refused", "base": "signs", "data": "signs", "head": [layers.Dense(2, "softmax")]}
    with pytest.raises(error, match=message) as refused:
        zoo.train(**fitting | wrong)
    assert "Keras" not in str(refused.value)


def test_an_unknown_job_is_named(zoo: Client) -> None:
    with pytest.raises(NotFoundError, match="abcdefghijkl"):
        zoo.jobs.get("abcdefghijkl")
