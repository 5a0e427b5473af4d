"""The image, built and run by a real engine: `make containers`. A client on the host trains against it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from frostline_client import Client, layers
from frostline_client.errors import FrostlineError

ROOT = Path(__file__).parent.parent.parent
START_SECONDS = 120

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]

Compose = Callable[..., str]


@pytest.fixture(scope="module")
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def compose(port: int) -> Iterator[Compose]:
    """Builds the image, and runs compose on a project of its own; at the end, nothing of that is left."""
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        pytest.skip("no docker engine answers")
    command = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]

    def run(*arguments: str) -> str:
        project = ["--project-name", f"frostline-test-{port}"]
        environment = {**os.environ, "FROSTLINE_PORT": str(port)}
        return subprocess.check_output([*command, *project, *arguments], text=True, cwd=ROOT, env=environment)

    subprocess.check_call(["docker", "build", "--network", "host", "--tag", "frostline-server", "."], cwd=ROOT)
    try:
        run("up", "--detach")
        yield run
    finally:
        print(run("logs", "--tail", "50"))  # which pytest shows where a test failed
        run("down", "--volumes")


@pytest.fixture
def zoo(compose: Compose, port: int) -> Iterator[Client]:
    with Client(f"127.0.0.1:{port}") as client:
        wait_for(client)
        yield client


def wait_for(zoo: Client) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            zoo.models.list()
            return
        except FrostlineError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def test_a_client_on_the_host_trains_and_the_data_survives_down_and_up(compose: Compose, zoo: Client) -> None:
    draw = np.random.default_rng(0)
    zoo.datasets.push("points", draw.normal(size=(64, 4)).astype(np.float32), draw.integers(0, 2, 64))
    job = zoo.train(name="points", head=[layers.Dense(2, activation="softmax")], data="points", epochs=3)
    made = job.result(timeout=300)
    expected = zoo.predict(made, np.ones((1, 4), np.float32))

    compose("down")
    compose("up", "--detach")
    wait_for(zoo)

    assert zoo.models.get("points").digest == made.digest
    assert zoo.jobs.get(job.name).state == "SUCCEEDED"
    np.testing.assert_array_equal(zoo.predict("points", np.ones((1, 4), np.float32)), expected)


def test_the_container_reports_that_it_is_healthy(compose: Compose, zoo: Client) -> None:
    container = compose("ps", "-q").strip()
    health = ["docker", "inspect", "--format", "{{.State.Health.Status}}", container]
    deadline = time.monotonic() + START_SECONDS
    while subprocess.check_output(health, text=True).strip() != "healthy" and time.monotonic() < deadline:
        time.sleep(1)
    assert subprocess.check_output(health, text=True) == "healthy\n"


def test_the_server_has_no_rights_that_it_does_not_need(compose: Compose, zoo: Client) -> None:
    container = compose("ps", "-q").strip()
    text = subprocess.check_output(["docker", "exec", container, "cat", "/proc/1/status"], text=True)
    status = dict(line.split(":\t", 1) for line in text.splitlines())
    assert status["Uid"].split() == ["10001"] * 4
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    places = {"/data/x": 0, "/tmp/x": 0, "/opt/frostline/x": 1, "/etc/x": 1, "/x": 1}
    write = ["docker", "exec", container, "touch"]
    found = {path: subprocess.run([*write, path], capture_output=True, check=False).returncode for path in places}
    assert found == places
