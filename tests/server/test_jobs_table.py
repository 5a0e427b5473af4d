"""The table of jobs and their leases, on a real database."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from frostline_server.jobs.leases import Leases
from frostline_server.jobs.records import Job, State, StateChanged
from frostline_server.jobs.table import Jobs
from frostline_server.jobs.transitions import CRASHES_ALLOWED
from frostline_server.training.events import EpochEnded, Filled, StageResult, StageStarted
from frostline_server.training.plan import StagePlan
from frostline_zoo.blobs.local import LocalBlobStore
from frostline_zoo.catalogue.database import connect, migrate, now
from frostline_zoo.catalogue.models import Models
from frostline_zoo.errors import (
    AbortedError,
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidError,
    NotFoundError,
)
from frostline_zoo.manifest import Input, Manifest, TensorRef
from frostline_zoo.names import JobName, ModelName, VersionName

RECIPE = json.dumps({"name": "digits", "head": [{"Dense": {"units": 2}}], "data": {"train": "pixels"}})
PLAN = StagePlan(("h1",), 1, "store", ("h1",), "float32", 1, 20, 28, 1536, 0.5, 3.0, "storing h1 saves 2.5 s")
RESULT = Manifest((Input("x", (4,), "float32"),), (), (TensorRef("x"),))


@dataclass
class Desk:
    """Both sides of one table."""

    jobs: Jobs
    leases: Leases
    models: Models

    def running(self) -> Job:
        """Submits a job and gives it to a worker."""
        self.jobs.create(RECIPE)
        job = self.leases.claim("worker", 60)
        assert job is not None
        return job

    def state(self, job: Job) -> State:
        return self.jobs.news(job.name, 0)[0].state

    def told(self, job: Job) -> list[object]:
        return [event.event for event in self.jobs.news(job.name, 0)[1]]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    engine = connect(tmp_path / "frostline.db")
    migrate(engine)
    models = Models(engine, LocalBlobStore(tmp_path))
    return Desk(Jobs(engine), Leases(engine, models), models)


def test_a_repeated_request_id_answers_the_same_job(desk: Desk) -> None:
    request = str(uuid.uuid4())
    first = desk.jobs.create(RECIPE, request)
    assert desk.jobs.create(RECIPE, request).name == first.name
    assert desk.jobs.created(RECIPE, request) == first
    assert len(desk.jobs.list_jobs()[0]) == 1


def test_a_request_id_is_good_for_one_recipe_only(desk: Desk) -> None:
    request = str(uuid.uuid4())
    desk.jobs.create(RECIPE, request)
    with pytest.raises(AlreadyExistsError, match="was used for another request"):
        desk.jobs.create(RECIPE.replace("digits", "other"), request)


def test_what_is_not_a_recipe_makes_no_job(desk: Desk) -> None:
    with pytest.raises(InvalidError, match=r"recipe: data is missing"):
        desk.jobs.create('{"name": "digits"}')
    assert desk.jobs.list_jobs() == ([], "")


def test_workers_get_the_oldest_job_first_and_none_twice(desk: Desk) -> None:
    names = [desk.jobs.create(RECIPE).name for _ in range(3)]
    claimed = [desk.leases.claim(f"worker-{number}", 60) for number in range(4)]
    assert [job and job.name for job in claimed] == [*names, None]


def test_jobs_are_listed_newest_first_page_by_page(desk: Desk) -> None:
    names = [desk.jobs.create(RECIPE).name for _ in range(3)]
    page, token = desk.jobs.list_jobs(page_size=2)
    rest, end = desk.jobs.list_jobs(page_size=2, page_token=token)
    assert [job.name for job in page + rest] == names[::-1]
    assert end == ""


def test_a_finished_job_has_its_version_figures_and_stages(desk: Desk) -> None:
    job = desk.running()
    stage = StageResult(1, 10, epochs_run=2, history={"loss": [0.5, float("nan")]}, plan=PLAN, seconds_saved=2.5)
    made = desk.leases.finish(job, RESULT, [stage], {"loss": 0.25})
    assert made == VersionName("digits", 1)
    record, stages = desk.jobs.history(job.name)
    assert (record.state, record.model, record.metrics) == (State.SUCCEEDED, made, {"loss": 0.25})
    assert repr(stages) == repr([stage])
    assert desk.told(job)[-1] == StateChanged(State.SUCCEEDED, model="models/digits/versions/1")


def test_a_zombie_commits_nothing(desk: Desk) -> None:
    zombie = desk.running()
    desk.leases.release_dead("worker", crashed=True)
    other = desk.leases.claim("another", 60)
    assert other is not None
    before = desk.jobs.news(zombie.name, 0)
    for write in (
        lambda: desk.leases.finish(zombie, RESULT, [], {}),
        lambda: desk.leases.append(zombie, [(now(), Filled(0, 1, 1, 1))]),
        lambda: desk.leases.extend(zombie, 60),
        lambda: desk.leases.fail(zombie, "no"),
        lambda: desk.leases.give_back(zombie),
    ):
        with pytest.raises(AbortedError, match="not this worker's any more"):
            write()
    assert desk.jobs.news(zombie.name, 0) == before
    with pytest.raises(NotFoundError):
        desk.models.get(ModelName("digits"))
    assert desk.leases.finish(other, RESULT, [], {}) == VersionName("digits", 1)


def test_a_second_commit_of_the_same_worker_is_refused(desk: Desk) -> None:
    job = desk.running()
    desk.leases.finish(job, RESULT, [], {})
    with pytest.raises(AbortedError):
        desk.leases.finish(job, RESULT.derived(parent=None, job="jobs/other"), [], {})
    assert desk.models.get(ModelName("digits")).version_count == 1


def test_a_pending_job_is_cancelled_at_once(desk: Desk) -> None:
    job = desk.jobs.create(RECIPE)
    assert desk.jobs.cancel(job.name).state == State.CANCELLED
    assert desk.leases.claim("worker", 60) is None


def test_a_running_job_is_cancelled_when_its_worker_has_stopped(desk: Desk) -> None:
    job = desk.running()
    assert desk.jobs.cancel(job.name).state == State.CANCELLING
    assert desk.leases.extend(job, 60) == State.CANCELLING
    desk.leases.give_back(job)
    assert desk.state(job) == State.CANCELLED


def test_a_job_that_finishes_while_it_is_cancelled_makes_no_version(desk: Desk) -> None:
    job = desk.running()
    desk.jobs.cancel(job.name)
    assert desk.leases.finish(job, RESULT, [], {}) is None
    assert desk.state(job) == State.CANCELLED
    with pytest.raises(NotFoundError):
        desk.models.get(ModelName("digits"))


def test_a_job_that_has_ended_can_not_be_cancelled(desk: Desk) -> None:
    job = desk.running()
    desk.leases.finish(job, RESULT, [], {})
    with pytest.raises(FailedPreconditionError, match="has ended as SUCCEEDED"):
        desk.jobs.cancel(job.name)


def test_a_failed_job_says_why_until_it_is_resumed(desk: Desk) -> None:
    job = desk.running()
    desk.leases.fail(job, "the loss is nan")
    assert desk.jobs.news(job.name, 0)[0].error == "the loss is nan"
    resumed = desk.jobs.resume(job.name)
    assert (resumed.state, resumed.error, resumed.ended) == (State.PENDING, "", None)


@pytest.mark.parametrize("state", ["PENDING", "SUCCEEDED"])
def test_only_failed_and_cancelled_jobs_are_resumed(desk: Desk, state: str) -> None:
    job = desk.jobs.create(RECIPE)
    if state == "SUCCEEDED":
        claimed = desk.leases.claim("worker", 60)
        assert claimed is not None
        desk.leases.finish(claimed, RESULT, [], {})
    with pytest.raises(FailedPreconditionError, match=f"is {state}"):
        desk.jobs.resume(job.name)


def test_a_job_under_which_every_worker_dies_fails_in_the_end(desk: Desk) -> None:
    job = desk.jobs.create(RECIPE)
    for _ in range(CRASHES_ALLOWED):
        assert desk.leases.claim("worker", 60) is not None
        desk.leases.release_dead("worker", crashed=True)
    assert desk.state(job) == State.FAILED
    assert "died 3 times" in desk.jobs.news(job.name, 0)[0].error


def test_servers_that_stop_never_make_a_job_fail(desk: Desk) -> None:
    job = desk.jobs.create(RECIPE)
    for _ in range(CRASHES_ALLOWED + 1):
        assert desk.leases.claim("worker", 60) is not None
        assert desk.leases.release_all() == [job.name]
    assert desk.state(job) == State.PENDING


def test_a_worker_that_does_not_extend_its_lease_is_found(desk: Desk) -> None:
    desk.jobs.create(RECIPE)
    job = desk.leases.claim("sleepy", -1)
    assert job is not None
    assert desk.leases.expired_owners() == {"sleepy"}
    desk.leases.extend(job, 60)
    assert desk.leases.expired_owners() == set()


def test_events_are_numbered_without_gaps(desk: Desk) -> None:
    job = desk.running()
    desk.leases.append(job, [(now(), Filled(0, row, 9, row)) for row in range(5)])
    desk.leases.append(job, [(now(), EpochEnded(0, 0, {"loss": float("inf")}, 0.1))])
    record, events = desk.jobs.news(job.name, 0)
    assert [event.sequence for event in events] == list(range(1, 9))
    assert record.last_sequence == 8
    assert events[-1].event == EpochEnded(0, 0, {"loss": float("inf")}, 0.1)
    assert desk.jobs.news(job.name, 6)[1] == events[6:]


def test_a_stage_that_was_taken_up_again_counts_each_epoch_once(desk: Desk) -> None:
    job, time = desk.running(), now()
    epochs = [EpochEnded(0, number, {"loss": 1.0 - number / 10}, 2.0) for number in range(3)]
    again = [EpochEnded(0, number, {"loss": 0.5 - number / 10}, 3.0) for number in (1, 2)]
    started = StageStarted(0, 5, 2, 30, PLAN)
    told = [started, Filled(0, 10, 10, 4), *epochs, started, *again]
    desk.leases.append(job, [(time + timedelta(seconds=at), event) for at, event in enumerate(told)])
    (stage,) = desk.jobs.history(job.name)[1]
    assert stage.history == {"loss": [1.0, 0.4, 0.3]}
    assert (stage.epochs_run, stage.train_seconds, stage.fill_seconds) == (3, 8.0, 1.0)
    assert (stage.rows_computed, stage.rows_reused, stage.plan) == (4, 6, PLAN)


def test_an_unknown_job_is_named(desk: Desk) -> None:
    with pytest.raises(NotFoundError, match="no jobs/abcdefghijkl"):
        desk.jobs.news(JobName("abcdefghijkl"), 0)
