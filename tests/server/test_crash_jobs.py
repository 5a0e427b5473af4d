"""Jobs whose worker or whose server is killed: they go on and end, and nothing acknowledged is gone."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from frostline.v1 import job_service_pb2 as pb
from frostline.v1.job_service_pb2_grpc import JobServiceStub
from frostline_client import Client
from frostline_server.embedded import address_of, start

EPOCHS = 2500
RECIPE = {
    "name": "survivor",
    "head": [{"Dense": {"units": 8, "activation": "relu"}}, {"Dense": {"units": 2}}],
    "data": {"train": "rows"},
    "stages": [{"epochs": EPOCHS, "batch_size": 8}],
}

pytestmark = pytest.mark.slow  # a warm worker takes seconds, and here five are needed


class Home:
    """A data folder, and the server that runs on it now."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.start()

    def start(self) -> None:
        self.process = start(self.data)
        self.address = address_of(self.process, self.data)
        self.channel = grpc.insecure_channel(self.address)
        self.jobs: Any = JobServiceStub(self.channel)

    def end(self, number: signal.Signals) -> None:
        self.channel.close()
        self.process.send_signal(number)
        self.process.wait(30)

    def submit(self) -> str:
        name: str = self.jobs.CreateJob(pb.CreateJobRequest(recipe=json.dumps(RECIPE))).name
        return name

    def watch(self, name: str, after: int = 0) -> Any:
        return self.jobs.WatchJob(pb.WatchJobRequest(name=name, after_sequence=after), timeout=200)

    def events_until_epoch(self, name: str, epoch: int) -> list[pb.JobEvent]:
        seen = []
        for event in self.watch(name):
            seen.append(event)
            if event.epoch_end.epoch >= epoch:
                return seen
        raise AssertionError("the job ended before that epoch")

    def trainer(self) -> int:
        """Returns the trainer's process id."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        children = [child for task in tasks for child in task.read_text().split()]
        (trainer,) = [child for child in children if "trainer" in Path(f"/proc/{child}/cmdline").read_text()]
        return int(trainer)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home(tmp_path_factory.mktemp("home"))
    rows = np.random.default_rng(3).normal(size=(64, 4)).astype(np.float32)
    with Client(home.address) as zoo:
        zoo.datasets.push("rows", rows, (rows[:, 0] > 0).astype(np.int64))
    yield home
    home.end(signal.SIGKILL)


def assert_ended_well(home: Home, name: str, attempt: int) -> list[pb.JobEvent]:
    events = list(home.watch(name))
    job = home.jobs.GetJob(pb.GetJobRequest(name=name))
    assert events[-1].state_change.state == job.state == pb.Job.STATE_SUCCEEDED, job.error
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert (job.attempt, job.stages[0].epochs_run, len(job.stages[0].history["loss"].values)) == (
        attempt,
        EPOCHS,
        EPOCHS,
    )
    with Client(home.address) as zoo:
        assert zoo.models.get(job.model.split("/")[1]) is not None
    return events


def test_a_job_survives_a_kill_of_its_worker_and_then_of_its_server(home: Home) -> None:
    name = home.submit()
    home.events_until_epoch(name, 20)
    os.kill(home.trainer(), signal.SIGKILL)
    until(lambda: home.jobs.GetJob(pb.GetJobRequest(name=name)).attempt == 2)
    seen = home.events_until_epoch(name, 40)

    home.end(signal.SIGKILL)
    home.start()
    events = assert_ended_well(home, name, attempt=3)
    assert events[: len(seen)] == seen


def test_a_job_whose_server_is_stopped_goes_on_at_the_very_epoch(home: Home) -> None:
    name = home.submit()
    home.events_until_epoch(name, 20)
    started = time.monotonic()
    home.end(signal.SIGTERM)
    assert time.monotonic() - started < 8
    assert home.process.returncode == 0
    home.start()
    events = assert_ended_well(home, name, attempt=2)
    epochs = [event.epoch_end.epoch for event in events if event.WhichOneof("event") == "epoch_end"]
    assert epochs == list(range(EPOCHS))


def until(holds: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
