"""JobService, FeatureService and PredictionService, through a real server and its workers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tensorboard.compat.proto.event_pb2 import Event as Record
from tensorboard.compat.tensorflow_stub.errors import OutOfRangeError
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New

from frostline.v1 import feature_service_pb2 as features
from frostline.v1 import job_service_pb2 as pb
from frostline.v1 import model_service_pb2 as models
from frostline.v1 import prediction_service_pb2 as predictions
from frostline.v1.feature_service_pb2_grpc import FeatureServiceStub
from frostline.v1.job_service_pb2_grpc import JobServiceStub
from frostline.v1.model_service_pb2_grpc import ModelServiceStub
from frostline.v1.prediction_service_pb2_grpc import PredictionServiceStub
from frostline_client import Client

ENDLESS = 1_000_000
Server = Any


@pytest.fixture(scope="module")
def jobs(server: Server) -> Any:
    """The service, with a dataset `watched` of forty rows of four numbers in two classes."""
    rows = np.random.default_rng(1).normal(size=(40, 4)).astype(np.float32)
    with Client(server.address) as zoo:
        zoo.datasets.push("watched", rows, (rows[:, 0] > 0).astype(np.int64))
    return JobServiceStub(server.channel)


def recipe(name: str, epochs: int = 3, **changes: Any) -> str:
    head = [{"Dense": {"units": 6, "activation": "relu", "name": "h1"}}, {"Dense": {"units": 2, "name": "logits"}}]
    plain = {"name": name, "head": head, "data": {"train": "watched"}, "stages": [{"epochs": epochs, "batch_size": 8}]}
    return json.dumps({**plain, **changes})


def submit(jobs: Any, text: str, request_id: str = "") -> pb.Job:
    return jobs.CreateJob(pb.CreateJobRequest(recipe=text, request_id=request_id))


def watch(jobs: Any, name: str, after: int = 0) -> Any:
    return jobs.WatchJob(pb.WatchJobRequest(name=name, after_sequence=after), timeout=120)


def wait_for_epochs(jobs: Any, name: str, count: int = 3) -> None:
    for event in watch(jobs, name):
        count -= event.WhichOneof("event") == "epoch_end"
        if count == 0:
            return


def states(events: list[pb.JobEvent]) -> list[str]:
    changed = [event.state_change.state for event in events if event.WhichOneof("event") == "state_change"]
    return [pb.Job.State.Name(state).removeprefix("STATE_") for state in changed]


def refusal(call: Any, request: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as refused:
        call(request)
    return refused.value.code(), refused.value.details()


def test_a_job_is_watched_from_submission_to_its_version(jobs: Any) -> None:
    job = submit(jobs, recipe("watched-model"))
    events = list(watch(jobs, job.name))
    assert states(events) == ["PENDING", "RUNNING", "SUCCEEDED"]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    epochs = [event.epoch_end for event in events if event.WhichOneof("event") == "epoch_end"]
    assert [epoch.epoch for epoch in epochs] == [0, 1, 2]
    ended = jobs.GetJob(pb.GetJobRequest(name=job.name))
    assert ended.model == events[-1].state_change.model == "models/watched-model/versions/1"
    assert list(ended.stages[0].history["loss"].values) == [epoch.metrics["loss"] for epoch in epochs]
    assert (ended.attempt, ended.last_sequence, ended.stages[0].epochs_run) == (1, len(events), 3)


def test_watching_again_from_a_cursor_gives_every_event_once(jobs: Any) -> None:
    job = submit(jobs, recipe("cursor", epochs=300))
    seen: list[pb.JobEvent] = []
    while states(seen)[-1:] != ["SUCCEEDED"]:
        stream = watch(jobs, job.name, seen[-1].sequence if seen else 0)
        for event, _ in zip(stream, range(40), strict=False):
            seen.append(event)
        stream.cancel()
    assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))
    assert list(watch(jobs, job.name, seen[-1].sequence)) == []


def test_a_running_job_is_cancelled_and_goes_on_from_its_checkpoint_when_resumed(jobs: Any) -> None:
    job = submit(jobs, recipe("resumed", epochs=ENDLESS))
    wait_for_epochs(jobs, job.name, 50)
    assert jobs.CancelJob(pb.CancelJobRequest(name=job.name)).state in (
        pb.Job.STATE_CANCELLING,
        pb.Job.STATE_CANCELLED,
    )
    events = list(watch(jobs, job.name))
    assert states(events)[-2:] == ["CANCELLING", "CANCELLED"]
    cancelled = jobs.GetJob(pb.GetJobRequest(name=job.name))
    assert cancelled.stages[0].epochs_run >= 50

    assert jobs.ResumeJob(pb.ResumeJobRequest(name=job.name)).state == pb.Job.STATE_PENDING
    resumed = watch(jobs, job.name, cancelled.last_sequence)
    epoch = next(event.epoch_end.epoch for event in resumed if event.WhichOneof("event") == "epoch_end")
    assert epoch == cancelled.stages[0].epochs_run
    jobs.CancelJob(pb.CancelJobRequest(name=job.name))
    list(watch(jobs, job.name))


def test_a_job_that_waits_behind_another_is_cancelled_at_once(jobs: Any) -> None:
    first = submit(jobs, recipe("first", epochs=ENDLESS))
    second = submit(jobs, recipe("second"))
    assert jobs.CancelJob(pb.CancelJobRequest(name=second.name)).state == pb.Job.STATE_CANCELLED
    assert states(list(watch(jobs, second.name))) == ["PENDING", "CANCELLED"]
    jobs.CancelJob(pb.CancelJobRequest(name=first.name))
    assert states(list(watch(jobs, first.name)))[-1] == "CANCELLED"


def test_a_second_submit_with_the_same_request_id_is_the_same_job(jobs: Any) -> None:
    request = str(uuid.uuid4())
    first = submit(jobs, recipe("once"), request)
    assert submit(jobs, recipe("once"), request).name == first.name
    code, message = refusal(jobs.CreateJob, pb.CreateJobRequest(recipe=recipe("other"), request_id=request))
    assert (code, message[:11]) == (grpc.StatusCode.ALREADY_EXISTS, "request_id ")
    list(watch(jobs, first.name))


def test_jobs_are_listed_without_recipes_and_histories(jobs: Any) -> None:
    job = submit(jobs, recipe("listed"))
    list(watch(jobs, job.name))
    page = jobs.ListJobs(pb.ListJobsRequest(page_size=1))
    assert [(listed.name, listed.recipe, len(listed.stages)) for listed in page.jobs] == [(job.name, "", 0)]
    assert page.next_page_token


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("{", "INVALID_ARGUMENT", "the recipe is not JSON text"),
        (recipe("bad", dta={}), "INVALID_ARGUMENT", "recipe: dta is unknown: use name, base, reuse"),
        (recipe("bad", data={"train": "nowhere"}), "NOT_FOUND", "no datasets/nowhere"),
        (recipe("bad", base="nobody"), "NOT_FOUND", "recipe: base: no models/nobody: see the models there are"),
        (recipe("bad", base="a b"), "INVALID_ARGUMENT", "recipe: base: 'a b' does not name a model"),
        (
            recipe("bad", data={"train": "images", "validation": "no one"}),
            "INVALID_ARGUMENT",
            "recipe: data.validation: 'no one' does not name a dataset",
        ),
        (recipe("bad", head=[{"Lambda": {}}]), "INVALID_ARGUMENT", "Lambda"),
    ],
)
def test_what_can_not_run_is_refused_at_once(jobs: Any, text: str, code: str, message: str) -> None:
    before = jobs.ListJobs(pb.ListJobsRequest()).jobs
    refused, said = refusal(jobs.CreateJob, pb.CreateJobRequest(recipe=text))
    assert (refused.name, message in said, "\n" in said) == (code, True, False), said
    assert jobs.ListJobs(pb.ListJobsRequest()).jobs == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reuse": {"through": "h7"}}, "recipe: reuse.through: the network has no layer 'h7': did you mean h1"),
        ({"stages": [{"freeze": {"through": "h7"}}]}, "recipe: stages[0].freeze: the network has no layer 'h7'"),
        ({"stages": [{"freeze": {"through": "far"}}]}, "no layer 'far': the last of its layers are h1, top"),
        ({"stages": [{"freeze": {"through": "top"}}]}, "top"),
        ({"data": {"train": "threes"}}, "labels of threes@1 run up to 2, the network's output has 2 units"),
        ({"head": [{"Conv2D": {"filters": 1, "kernel_size": 3}}]}, "Conv2D does not fit on a tensor of shape (6)"),
        ({"head": [{"Dense": {"unit": 2}}]}, "head[0].Dense.unit is unknown: did you mean units?"),
        ({"data": {"train": "wide"}}, "examples are (9,), the network's input is (4,)"),
        ({"data": {"train": "unlabelled"}}, "has no labels"),
    ],
)
def test_what_does_not_fit_the_base_is_refused_at_once(
    jobs: Any, base: str, server: Server, changes: dict[str, Any], message: str
) -> None:
    with Client(server.address) as zoo:
        zoo.datasets.push("wide", np.ones((4, 9), np.float32), np.zeros(4, np.int64))
        zoo.datasets.push("threes", np.ones((3, 4), np.float32), np.arange(3))
        zoo.datasets.push("unlabelled", np.ones((4, 4), np.float32))
    head = [{"Dense": {"units": 2, "name": "top"}}]
    before = jobs.ListJobs(pb.ListJobsRequest()).jobs
    text = recipe("misfit", **{"base": "base", "reuse": {"through": "h1"}, "head": head, **changes})
    refused, said = refusal(jobs.CreateJob, pb.CreateJobRequest(recipe=text))
    assert (refused.name, message in said, "\n" in said) == ("INVALID_ARGUMENT", True, False), said
    assert jobs.ListJobs(pb.ListJobsRequest()).jobs == before


def test_unknown_and_malformed_names_are_refused(jobs: Any) -> None:
    unknown, malformed = "jobs/aaaaaaaaaaaa", "jobs/A"
    for call, request in (
        (jobs.GetJob, pb.GetJobRequest),
        (jobs.CancelJob, pb.CancelJobRequest),
        (jobs.ResumeJob, pb.ResumeJobRequest),
        (lambda request: list(jobs.WatchJob(request)), pb.WatchJobRequest),
    ):
        assert refusal(call, request(name=unknown)) == (
            grpc.StatusCode.NOT_FOUND,
            f"no {unknown}: see the jobs there are",
        )
        assert refusal(call, request(name=malformed))[0] == grpc.StatusCode.INVALID_ARGUMENT
    negative = pb.WatchJobRequest(name=unknown, after_sequence=-1)
    assert refusal(lambda request: list(jobs.WatchJob(request)), negative)[0] == grpc.StatusCode.INVALID_ARGUMENT


def test_a_job_leaves_event_files_for_tensorboard(jobs: Any, server: Server) -> None:
    job = submit(jobs, recipe("curves"))
    list(watch(jobs, job.name))
    (path,) = (server.data / job.name / "tensorboard" / "stage-0").glob("events.out.tfevents.*")
    records = [Record.FromString(content) for content in read_records(path)]
    points = [(record.step, {value.tag: value.simple_value for value in record.summary.value}) for record in records]
    losses = jobs.GetJob(pb.GetJobRequest(name=job.name)).stages[0].history["loss"].values
    assert records[0].file_version == "brain.Event:2"
    assert [(step, values["loss"]) for step, values in points[2:]] == list(enumerate(np.float32(losses).tolist()))


def read_records(path: Path) -> Iterator[bytes]:
    """Yields the records of an event file, checksums verified, without what would import TensorFlow."""
    reader = PyRecordReader_New(str(path))
    while True:
        try:
            reader.GetNext()
        except OutOfRangeError:
            return
        yield reader.record()


@pytest.fixture(scope="module")
def base(jobs: Any) -> str:
    """A model with layers h1 and logits, and one made from it whose trunk's features are stored."""
    list(watch(jobs, submit(jobs, recipe("base")).name))
    upper = {"base": "base", "reuse": {"through": "h1"}, "head": [{"Dense": {"units": 2}}]}
    job = submit(jobs, recipe("reuser", **upper))
    assert states(list(watch(jobs, job.name)))[-1] == "SUCCEEDED"
    return "models/base/versions/1"


def test_stored_trunks_are_listed_with_where_they_end(jobs: Any, base: str, server: Server) -> None:
    trunks = FeatureServiceStub(server.channel).ListTrunks(features.ListTrunksRequest()).trunks
    (trunk,) = [trunk for trunk in trunks if f"{base}:h1" in trunk.places]
    assert "models/reuser/versions/1:h1" in trunk.places
    assert (trunk.row_count, trunk.shape, trunk.dtype) == (40, "6", "float32")


def predict(server: Server, rows: np.ndarray[Any, Any], version: str, layer: str = "") -> np.ndarray[Any, Any]:
    first = {"version": version, "layer": layer, "dtype": rows.dtype.name, "row_shape": rows.shape[1:]}
    requests = [predictions.PredictRequest(**first)]
    requests += [predictions.PredictRequest(data=part.tobytes()) for part in np.array_split(rows, 3)]
    responses = list(PredictionServiceStub(server.channel).Predict(iter(requests)))
    values = np.frombuffer(b"".join(response.data for response in responses), responses[0].dtype)
    return values.reshape(-1, *responses[0].row_shape)


def test_predictions_are_the_network_s_outputs_row_by_row(server: Server, base: str) -> None:
    rows = np.random.default_rng(2).normal(size=(7, 4)).astype(np.float32)
    hidden, outputs = predict(server, rows, base, "h1"), predict(server, rows, "models/base/tags/latest")
    assert (hidden.shape, outputs.shape) == ((7, 6), (7, 2))
    assert (hidden >= 0).all()
    np.testing.assert_allclose(predict(server, rows[:1], base), outputs[:1], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("rows", "layer", "code", "message"),
    [
        (np.zeros((3, 5), np.float32), "", "INVALID_ARGUMENT", "the network's input is (4,)"),
        (np.array([[0, 0, 0, 0], [0, np.nan, 0, 0]] * 3, np.float32), "", "INVALID_ARGUMENT", "row 1 holds NaN"),
        (np.full((2, 4), np.inf, np.float32), "", "INVALID_ARGUMENT", "row 0 holds NaN or infinity"),
        (np.full((2, 4), 1e300), "", "INVALID_ARGUMENT", "row 0 holds a value that is too large for float32"),
        (np.zeros((3, 4), np.float32), "h9", "NOT_FOUND", "no layer 'h9'"),
    ],
)
def test_rows_that_can_not_be_predicted_are_refused(
    server: Server, base: str, rows: np.ndarray[Any, Any], layer: str, code: str, message: str
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        predict(server, rows, base, layer)
    assert refused.value.code().name == code
    assert message in refused.value.details()


def test_a_base_can_not_be_deleted_while_an_unfinished_job_uses_it(jobs: Any, base: str, server: Server) -> None:
    job = submit(jobs, recipe("user", ENDLESS, base="base", head=[{"Dense": {"units": 2}}], reuse={"through": "h1"}))
    delete = ModelServiceStub(server.channel).DeleteModel
    code, message = refusal(delete, models.DeleteModelRequest(name="models/base"))
    assert (code, job.name in message) == (grpc.StatusCode.FAILED_PRECONDITION, True)
    jobs.CancelJob(pb.CancelJobRequest(name=job.name))
    list(watch(jobs, job.name))
