"""Metrics for Prometheus, scraped from a real server."""

from __future__ import annotations

import json
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from frostline.v1 import job_service_pb2 as pb
from frostline.v1.job_service_pb2_grpc import JobServiceStub
from frostline_server.embedded import StartError, serve
from frostline_server.jobs.leases import Leases
from frostline_server.jobs.table import Jobs
from frostline_server.jobs.totals import StageTotals, Totals
from frostline_server.training.events import StageResult
from frostline_zoo.blobs.local import LocalBlobStore
from frostline_zoo.catalogue.database import connect, migrate
from frostline_zoo.catalogue.models import Models
from frostline_zoo.manifest import Input, Manifest, TensorRef

RECIPE = json.dumps({"name": "digits", "head": [{"Dense": {"units": 2}}], "data": {"train": "pixels"}})
RESULT = Manifest((Input("x", (4,), "float32"),), (), (TensorRef("x"),))
STAGE = StageResult(3, 10, train_seconds=2.0, fill_seconds=1.5, rows_computed=40, rows_reused=60, seconds_saved=9.0)


def finish_a_job(data: Path) -> None:
    """Runs a job on the tables in `data`, as a worker does."""
    engine = connect(data / "frostline.db")
    migrate(engine)
    leases = Leases(engine, Models(engine, LocalBlobStore(data)))
    Jobs(engine).create(RECIPE)
    job = leases.claim("worker", 60)
    assert job is not None
    leases.finish(job, RESULT, [STAGE, STAGE], {})


@pytest.fixture
def measured(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Where a server answers, and where its metrics are."""
    finish_a_job(tmp_path)
    options = ["--metrics", "127.0.0.1:0", "--feature-bytes", "10GiB"]
    with serve(tmp_path, workers=False, options=options) as address:
        lines = map(json.loads, (tmp_path / "server.log").read_text().splitlines())
        (told,) = [line["address"] for line in lines if line["event"] == "serving metrics"]
        yield address, told


def scrape(address: str) -> dict[tuple[str, ...], float]:
    """Returns every sample by its name and its labels' values, in the order of the labels' names."""
    with urllib.request.urlopen(f"http://{address}/metrics") as answer:
        text = answer.read().decode()
    families = text_string_to_metric_families(text)
    return {
        (s.name, *(value for _, value in sorted(s.labels.items()))): s.value
        for family in families
        for s in family.samples
    }


def test_a_scrape_tells_of_jobs_and_features(measured: tuple[str, str]) -> None:
    samples = scrape(measured[1])
    assert (samples["frostline_jobs", "succeeded"], samples["frostline_jobs", "failed"]) == (1, 0)
    assert samples["frostline_feature_rows_computed_total",] == 80
    assert samples["frostline_feature_rows_reused_total",] == 120
    assert samples["frostline_feature_seconds_saved_total",] == 18.0
    assert samples["frostline_fill_seconds_total",] == 3.0
    assert samples["frostline_train_seconds_total",] == 4.0
    assert (samples["frostline_feature_bytes",], samples["frostline_feature_budget_bytes",]) == (0, 10 << 30)
    assert samples["process_resident_memory_bytes",] > 0


def test_a_scrape_tells_of_calls_by_how_they_ended(measured: tuple[str, str]) -> None:
    with grpc.insecure_channel(measured[0]) as channel:
        stub = JobServiceStub(channel)
        stub.ListJobs(pb.ListJobsRequest())
        list(stub.WatchJob(pb.WatchJobRequest(name=stub.ListJobs(pb.ListJobsRequest()).jobs[0].name)))
        with pytest.raises(grpc.RpcError):
            stub.GetJob(pb.GetJobRequest(name="jobs/abcdefghijkl"))
        with pytest.raises(grpc.RpcError):
            channel.unary_unary("/frostline.v1.JobService/Unheard")(b"")
    samples = scrape(measured[1])
    assert samples["frostline_calls_total", "OK", "/frostline.v1.JobService/ListJobs"] == 2
    assert samples["frostline_calls_total", "OK", "/frostline.v1.JobService/WatchJob"] == 1
    assert samples["frostline_calls_total", "NOT_FOUND", "/frostline.v1.JobService/GetJob"] == 1
    assert samples["frostline_call_seconds_count", "/frostline.v1.JobService/ListJobs"] == 2
    assert not any("Unheard" in label for name in samples for label in name)


def test_each_job_is_counted_once(tmp_path: Path) -> None:
    finish_a_job(tmp_path)
    totals = Totals(connect(tmp_path / "frostline.db"))
    assert totals.stages() == totals.stages() == StageTotals(80, 120, 18.0, 4.0, 3.0)
    finish_a_job(tmp_path)
    assert totals.stages() == StageTotals(160, 240, 36.0, 8.0, 6.0)


def test_a_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(StartError, match=f"{address} cannot be listened on"):
            serve(tmp_path, workers=False, options=["--metrics", address]).__enter__()
