"""DatasetService on the wire: what it refuses, what it answers, and that refusals leave nothing behind."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from frostline.v1 import blob_service_pb2 as blob_pb
from frostline.v1 import dataset_service_pb2 as pb
from frostline.v1.blob_service_pb2_grpc import BlobServiceStub
from frostline.v1.dataset_service_pb2_grpc import DatasetServiceStub
from frostline_zoo.examples.lists import ExampleList
from frostline_zoo.examples.spec import ExampleSpec, rows_digests
from frostline_zoo.tensors import encode_tensors, tensors_header

SPEC = "array float32 3"
X = np.arange(60, dtype=np.float32).reshape(20, 3)
DIGESTS = rows_digests(ExampleSpec.parse(SPEC), X.tobytes())
LABELS = np.arange(20) % 4


class Wire:
    """The calls of a push, one by one."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.stub: Any = DatasetServiceStub(channel)
        self.blobs: Any = BlobServiceStub(channel)

    def push(self, *requests: pb.PushExamplesRequest) -> list[pb.PushExamplesResponse]:
        return list(self.stub.PushExamples(iter(requests)))

    def upload(self, content: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.blobs.UploadBlob(iter([blob_pb.UploadBlobRequest(digest=digest, size_bytes=len(content), data=content)]))
        return digest

    def create(self, name: str, content: bytes, **fields: Any) -> pb.DatasetVersion:
        request = {"dataset": f"datasets/{name}", "list_digest": self.upload(content), "spec": SPEC} | fields
        return self.stub.CreateDatasetVersion(pb.CreateDatasetVersionRequest(**request))

    def exists(self, name: str) -> bool:
        listed = self.stub.ListDatasets(pb.ListDatasetsRequest(page_size=1000)).datasets
        return any(dataset.name.startswith(f"datasets/{name}/") for dataset in listed)


@pytest.fixture
def wire(bare_server: Any) -> Iterator[Wire]:
    wire, staging = Wire(bare_server.channel), bare_server.data / "staging"
    others = set(staging.iterdir())  # unfinished uploads of other tests
    wire.push(pb.PushExamplesRequest(spec=SPEC, data=X.tobytes()))
    yield wire
    assert not set(staging.iterdir()) - others


def refused(code: grpc.StatusCode, call: Any, *arguments: Any, **fields: Any) -> str:
    with pytest.raises(grpc.RpcError) as failure:
        call(*arguments, **fields)
    assert failure.value.code() is code, failure.value.details()
    details = str(failure.value.details())
    assert "\n" not in details
    return details


INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND


def test_a_push_is_answered_with_the_digests_of_its_examples_in_order(wire: Wire) -> None:
    x = np.random.default_rng(7).normal(size=(1000, 3)).astype(np.float32)
    messages = [pb.PushExamplesRequest(spec=SPEC)]
    messages += [pb.PushExamplesRequest(data=x[start : start + 100].tobytes()) for start in range(0, 1000, 100)]
    answered = b"".join(answer.digests for answer in wire.push(*messages))
    assert answered == rows_digests(ExampleSpec.parse(SPEC), x.tobytes()).tobytes()
    assert not wire.stub.FindMissingExamples(pb.FindMissingExamplesRequest(digests=answered)).missing


def test_a_version_reads_as_it_was_created(wire: Wire) -> None:
    made = wire.create("reads", ExampleList(DIGESTS, LABELS).encode(), class_names=list("abcd"))
    assert made.name == "datasets/reads/versions/1"
    assert (made.example_count, list(made.class_counts), made.size_bytes) == (20, [5] * 4, 240)
    for name in ("datasets/reads", "datasets/reads/versions/1"):
        assert wire.stub.GetDatasetVersion(pb.GetDatasetVersionRequest(name=name)) == made


@pytest.mark.parametrize(
    ("requests", "complaint"),
    [
        ([], "begins with a message"),
        ([pb.PushExamplesRequest(data=bytes(12))], "write image"),
        ([pb.PushExamplesRequest(spec="array float32")], "write image"),
        ([pb.PushExamplesRequest(spec=SPEC, data=bytes(13))], "whole examples"),
        ([pb.PushExamplesRequest(spec=SPEC, data=bytes(12), sizes=[12])], "whole examples"),
        ([pb.PushExamplesRequest(spec="image", data=bytes(12), sizes=[11])], "give each its size"),
        ([pb.PushExamplesRequest(spec=SPEC, data=bytes(12 * 100_000))], "send at most 1048576"),
        ([pb.PushExamplesRequest(spec="image", data=bytes(1 << 21), sizes=[1 << 20] * 2)], "send at most 1048576"),
    ],
)
def test_a_malformed_push_is_refused(wire: Wire, requests: list[Any], complaint: str) -> None:
    assert complaint in refused(INVALID, wire.push, *requests)


def test_one_example_may_be_larger_than_a_message_else_is(wire: Wire) -> None:
    answer, durable = wire.push(pb.PushExamplesRequest(spec="array uint8 3000000", data=bytes(3_000_000)))
    assert durable.durable_count == 1
    assert answer.digests == rows_digests(ExampleSpec("uint8", (3_000_000,)), bytes(3_000_000)).tobytes()


def test_refused_examples_are_named_by_their_place_and_not_stored(wire: Wire) -> None:
    data = [b"hello", b"", b"\x89PNG\r\n\x1a\n"]
    answer, _ = wire.push(pb.PushExamplesRequest(spec="image", data=b"".join(data), sizes=list(map(len, data))))
    assert [refusal.index for refusal in answer.refused] == [0, 1, 2]
    assert answer.refused[0].reason == "is not a JPEG or PNG image"
    assert answer.digests == bytes(96)


def test_arrays_that_hold_what_is_no_number_are_refused_whoever_sends_them(wire: Wire) -> None:
    rows = np.ones((4, 3), np.float32)
    rows[1, 2], rows[3, 0] = np.nan, -np.inf
    answer, _ = wire.push(pb.PushExamplesRequest(spec="array float32 3", data=rows.tobytes()))
    assert {refusal.index: refusal.reason for refusal in answer.refused} == {1: "has NaN at 2", 3: "has infinity at 0"}


BAD_LISTS = {
    "not safetensors": b"hello",
    "no digests": encode_tensors({"labels": LABELS}),
    "something more": encode_tensors({"digests": DIGESTS, "labels": LABELS, "weights": LABELS}),
    "labels too few": encode_tensors({"digests": DIGESTS, "labels": LABELS[:3]}),
    "labels of another dtype": encode_tensors({"digests": DIGESTS, "labels": LABELS.astype(np.int32)}),
    "digests too short": encode_tensors({"digests": DIGESTS[:, :31]}),
    "not canonical": encode_tensors({"digests": DIGESTS}).replace(b'{"digests"', b'{ "digests"').replace(b"}} ", b"}}"),
    "digests before labels": tensors_header([("digests", "U8", DIGESTS.shape), ("labels", "I64", LABELS.shape)])
    + DIGESTS.tobytes()
    + LABELS.tobytes(),
}


@pytest.mark.parametrize("content", BAD_LISTS.values(), ids=BAD_LISTS.keys())
def test_what_is_no_list_is_refused(wire: Wire, content: bytes) -> None:
    assert "list of examples" in refused(INVALID, wire.create, "no-list", content)
    assert not wire.exists("no-list")


def with_value(labels: np.ndarray, value: float) -> np.ndarray:
    changed = labels.copy()
    changed[17] = value
    return changed


BAD_LABELS: list[tuple[np.ndarray | None, str, str]] = [
    (with_value(LABELS, -1), "", "labels[17] is -1: classes are counted from 0"),
    (with_value(LABELS, 4), "abcd", "labels[17] is 4: there are 4 classes"),
    (with_value(LABELS, 10**12), "", "labels[17] is 1000000000000: there can be 65,536 classes"),
    (with_value(LABELS * 1.0, np.nan), "", "labels[17] is nan: labels have to be numbers"),
    (with_value(np.ones((20, 2)), np.inf), "", "labels[17,0] is inf"),
    (np.ones((20, 2), np.int64), "", "push floats"),
    (np.ones((20, 2)), "abc", "do not fit 3 classes"),
    (LABELS, "abca", "'a' is the name of several classes"),
    (None, "ab", "class names need labels"),
]


@pytest.mark.parametrize(("labels", "class_names", "complaint"), BAD_LABELS)
def test_labels_that_cannot_be_trained_on_are_refused(
    wire: Wire, labels: np.ndarray | None, class_names: str, complaint: str
) -> None:
    listed = ExampleList(DIGESTS, labels).encode()
    assert complaint in refused(INVALID, wire.create, "bad-labels", listed, class_names=list(class_names))
    assert not wire.exists("bad-labels")


def test_an_empty_list_is_refused(wire: Wire) -> None:
    assert "at least one example" in refused(INVALID, wire.create, "empty", ExampleList(DIGESTS[:0], None).encode())
    assert not wire.exists("empty")


def test_a_list_of_unknown_examples_names_them(wire: Wire) -> None:
    listed = ExampleList(DIGESTS ^ np.uint8(255), None).encode()
    details = refused(NOT_FOUND, wire.create, "strangers", listed)
    assert f"0 (sha256:{(DIGESTS[0] ^ 255).tobytes().hex()})" in details
    assert details.count("sha256:") == 10
    assert not wire.exists("strangers")


@pytest.mark.parametrize(
    "name", ["", "datasets", "datasets/", "datasets/UPPER", "models/x", "datasets/../x", "datasets/x/y"]
)
def test_malformed_names_are_refused_everywhere(wire: Wire, name: str) -> None:
    listed = ExampleList(DIGESTS, None).encode()
    refused(INVALID, wire.create, "", listed, dataset=name)
    refused(INVALID, wire.stub.GetDatasetVersion, pb.GetDatasetVersionRequest(name=name))
    refused(INVALID, wire.stub.DeleteDataset, pb.DeleteDatasetRequest(name=name))


def test_unknown_names_are_not_found(wire: Wire) -> None:
    wire.create("known", ExampleList(DIGESTS, None).encode())
    unknown = pb.GetDatasetVersionRequest(name="datasets/known/versions/2")
    assert "its newest version is 1" in refused(NOT_FOUND, wire.stub.GetDatasetVersion, unknown)
    refused(NOT_FOUND, wire.stub.GetDatasetVersion, pb.GetDatasetVersionRequest(name="datasets/unknown"))
    refused(NOT_FOUND, wire.stub.DeleteDataset, pb.DeleteDatasetRequest(name="datasets/unknown"))
    refused(NOT_FOUND, wire.create, "known", b"", list_digest=f"sha256:{'0' * 64}")


def test_a_repeated_request_id_answers_what_the_first_answered(wire: Wire) -> None:
    request_id = str(uuid.uuid4())
    first = wire.create("repeated", ExampleList(DIGESTS, None).encode(), request_id=request_id)
    wire.create("repeated", ExampleList(DIGESTS[:5], None).encode())
    assert wire.create("repeated", ExampleList(DIGESTS, None).encode(), request_id=request_id) == first
    other = ExampleList(DIGESTS[:3], None).encode()
    refused(grpc.StatusCode.ALREADY_EXISTS, wire.create, "repeated", other, request_id=request_id)


def test_malformed_digests_are_refused(wire: Wire) -> None:
    for digests in (bytes(33), bytes((3 << 20) + 32)):
        refused(INVALID, wire.stub.FindMissingExamples, pb.FindMissingExamplesRequest(digests=digests))


def test_datasets_are_listed_by_name_page_by_page_each_with_its_newest_version(wire: Wire) -> None:
    for name in ("page-b", "page-a", "page-c", "page-a"):
        wire.create(name, ExampleList(DIGESTS[: 5 + len(name)], None).encode())
    wire.create("page-a", ExampleList(DIGESTS[:2], None).encode())
    names, token = [], ""
    while True:
        page = wire.stub.ListDatasets(pb.ListDatasetsRequest(page_size=2, page_token=token))
        names += [dataset.name for dataset in page.datasets]
        token = page.next_page_token
        if not token:
            break
    ours = [name for name in names if "page-" in name]
    assert ours == ["datasets/page-a/versions/2", "datasets/page-b/versions/1", "datasets/page-c/versions/1"]
    refused(INVALID, wire.stub.ListDatasets, pb.ListDatasetsRequest(page_size=-1))
    refused(INVALID, wire.stub.ListDatasets, pb.ListDatasetsRequest(page_token="nonsense"))


def test_a_deleted_dataset_is_gone_and_its_examples_stay_for_others(wire: Wire) -> None:
    for name in ("gone", "stays"):
        wire.create(name, ExampleList(DIGESTS, None).encode())
    wire.stub.DeleteDataset(pb.DeleteDatasetRequest(name="datasets/gone"))
    assert not wire.exists("gone")
    assert wire.exists("stays")
    assert wire.create("gone", ExampleList(DIGESTS, None).encode()).name == "datasets/gone/versions/1"
