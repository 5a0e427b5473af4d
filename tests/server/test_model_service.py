"""ModelService through a real server: names, versions and tags. test_imports.py has networks in and out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from sqlalchemy import insert

from frostline.v1 import model_service_pb2 as pb
from frostline.v1.model_service_pb2_grpc import ModelServiceStub
from frostline_zoo.blobs.local import LocalBlobStore
from frostline_zoo.catalogue.database import connect, now
from frostline_zoo.catalogue.models import Models
from frostline_zoo.catalogue.tables import job_uses, jobs
from frostline_zoo.manifest import Call, Input, Layer, Manifest, Parameter, TensorRef
from frostline_zoo.tensors import encode_tensors


@pytest.fixture
def stub(bare_server: Any) -> Any:
    return ModelServiceStub(bare_server.channel)


def add(data: Path, model: str, weight: float, parent: str | None = None) -> str:
    """Adds a version as a worker does, beside the running server, and returns its digest."""
    blobs = LocalBlobStore(data)
    blob = blobs.put(encode_tensors({"kernel": np.full((4, 4), weight, np.float32)}))
    call = Call([{"tensor": ["x", 0, 0]}])
    layer = Layer("h", "Dense", {"units": 4}, blob, blob, (Parameter("kernel", (4, 4), "float32"),), True, (call,))
    manifest = Manifest((Input("x", (4,), "float32"),), (layer,), (TensorRef("h"),), parent=parent)
    engine = connect(data / "frostline.db")
    with engine.begin() as connection:
        return Models(engine, blobs).add_version(connection, model, manifest).digest


def refused(code: grpc.StatusCode, call: Any, request: Any) -> str:
    """Returns what the call says when it is refused with `code`."""
    with pytest.raises(grpc.RpcError) as refusal:
        call(request)
    assert refusal.value.code() is code, refusal.value.details()
    return refusal.value.details() or ""


def test_a_version_is_read_by_number_and_by_tag(stub: Any, bare_server: Any) -> None:
    digest = add(bare_server.data, "read", 1)
    for name in ("models/read/versions/1", "models/read/tags/latest"):
        version = stub.GetVersion(pb.GetVersionRequest(name=name))
        assert (version.name, version.digest) == ("models/read/versions/1", digest)
        assert (version.layer_count, version.parameter_count, list(version.tags)) == (1, 16, ["latest"])
        assert version.create_time.seconds > 1_700_000_000


def test_a_version_names_its_parent(stub: Any, bare_server: Any) -> None:
    add(bare_server.data, "child", 3, parent=add(bare_server.data, "parent", 2))
    version = stub.GetVersion(pb.GetVersionRequest(name="models/child/versions/1"))
    assert version.parent == "models/parent/versions/1"


def test_models_and_versions_come_in_pages(stub: Any, bare_server: Any) -> None:
    for number in range(3):
        add(bare_server.data, "paged", number)
        add(bare_server.data, f"paged-{number}", number)
    pages, token = [], ""
    while True:
        page = stub.ListVersions(pb.ListVersionsRequest(parent="models/paged", page_size=2, page_token=token))
        pages.append([version.name.rpartition("/")[2] for version in page.versions])
        token = page.next_page_token
        if not token:
            break
    assert pages == [["3", "2"], ["1"]]
    names, token = [], ""
    while not names or token:
        listed = stub.ListModels(pb.ListModelsRequest(page_size=1, page_token=token))
        names, token = [*names, *(model.name for model in listed.models)], listed.next_page_token
    assert names == sorted(names)
    assert {"models/paged", "models/paged-0", "models/paged-2"} <= set(names)
    assert stub.GetModel(pb.GetModelRequest(name="models/paged")).latest_version == "models/paged/versions/3"


def test_a_page_that_is_not_of_this_list_is_refused(stub: Any) -> None:
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    assert "page_token" in refused(invalid, stub.ListModels, pb.ListModelsRequest(page_token="x"))
    assert "page_size" in refused(invalid, stub.ListModels, pb.ListModelsRequest(page_size=-1))


def test_a_tag_moves_only_from_where_it_was_read(stub: Any, bare_server: Any) -> None:
    for weight in (1, 2):
        add(bare_server.data, "tagged", weight)
    name = "models/tagged/tags/prod"
    tag = stub.UpdateTag(pb.UpdateTagRequest(tag=pb.Tag(name=name, version="models/tagged/versions/1")))
    moved = pb.Tag(name=name, version="models/tagged/versions/2", etag=tag.etag)
    stub.UpdateTag(pb.UpdateTagRequest(tag=moved))
    assert name in refused(grpc.StatusCode.ABORTED, stub.UpdateTag, pb.UpdateTagRequest(tag=moved))
    assert name in refused(grpc.StatusCode.ABORTED, stub.DeleteTag, pb.DeleteTagRequest(name=name, etag=tag.etag))
    tags = stub.ListTags(pb.ListTagsRequest(parent="models/tagged")).tags
    assert [(t.name, t.version) for t in tags] == [
        ("models/tagged/tags/latest", "models/tagged/versions/2"),
        (name, "models/tagged/versions/2"),
    ]
    stub.DeleteTag(pb.DeleteTagRequest(name=name))
    refused(grpc.StatusCode.NOT_FOUND, stub.GetVersion, pb.GetVersionRequest(name=name))


def test_latest_is_the_servers_own(stub: Any, bare_server: Any) -> None:
    add(bare_server.data, "newest", 1)
    tag = pb.Tag(name="models/newest/tags/latest", version="models/newest/versions/1")
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    assert "kept by the server" in refused(invalid, stub.UpdateTag, pb.UpdateTagRequest(tag=tag))
    refused(invalid, stub.DeleteTag, pb.DeleteTagRequest(name=tag.name))


def test_a_deleted_model_is_gone_and_its_children_stay(stub: Any, bare_server: Any) -> None:
    add(bare_server.data, "grown", 5, parent=add(bare_server.data, "doomed", 4))
    stub.DeleteModel(pb.DeleteModelRequest(name="models/doomed"))
    not_found = grpc.StatusCode.NOT_FOUND
    for call, request in (
        (stub.GetModel, pb.GetModelRequest(name="models/doomed")),
        (stub.DeleteModel, pb.DeleteModelRequest(name="models/doomed")),
        (stub.ListVersions, pb.ListVersionsRequest(parent="models/doomed")),
        (stub.ListTags, pb.ListTagsRequest(parent="models/doomed")),
        (stub.GetVersion, pb.GetVersionRequest(name="models/doomed/versions/1")),
    ):
        assert "models/doomed" in refused(not_found, call, request)
    assert stub.GetVersion(pb.GetVersionRequest(name="models/grown/versions/1")).parent == ""


def test_a_model_that_an_unfinished_job_uses_is_not_deleted(stub: Any, bare_server: Any) -> None:
    add(bare_server.data, "used", 1)
    with connect(bare_server.data / "frostline.db").begin() as connection:
        row = {"name": "usesused0000", "state": "CANCELLING", "recipe": "{}", "model": "new", "created": now()}
        key = connection.execute(insert(jobs).values(**row).returning(jobs.c.id)).scalar_one()
        connection.execute(insert(job_uses).values(job_id=key, resource="models/used"))
    text = refused(grpc.StatusCode.FAILED_PRECONDITION, stub.DeleteModel, pb.DeleteModelRequest(name="models/used"))
    assert "jobs/usesused0000" in text


@pytest.mark.parametrize("name", ["", "models/", "models/../x", "models/A", "models/a/versions/0", "digits"])
def test_a_malformed_name_is_refused_with_its_form(stub: Any, name: str) -> None:
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    assert "models/{model}" in refused(invalid, stub.GetModel, pb.GetModelRequest(name=name))
    assert "models/{model}/versions" in refused(invalid, stub.GetVersion, pb.GetVersionRequest(name=name))
    assert "models/{model}" in refused(invalid, stub.DeleteModel, pb.DeleteModelRequest(name=name))


def header(**fields: Any) -> Any:
    """Returns the messages of an import with this header and no data."""
    return iter([pb.ImportModelRequest(header=pb.ImportModelHeader(**{"model": "models/m", **fields}))])


def test_an_import_that_starts_wrong_is_refused_before_its_data(stub: Any, bare_server: Any) -> None:
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    assert "header" in refused(invalid, stub.ImportModel, iter([]))
    assert "header" in refused(invalid, stub.ImportModel, iter([pb.ImportModelRequest(data=b"x")]))
    assert "one header" in refused(invalid, stub.ImportModel, iter([*header(), *header()]))
    assert "models/{model}" in refused(invalid, stub.ImportModel, header(model="m"))
    assert "keras_h5" in refused(invalid, stub.ImportModel, header(format="pickle"))
    assert "JSON" in refused(invalid, stub.ImportModel, header(preprocessing="{"))
    assert "scale" in refused(invalid, stub.ImportModel, header(preprocessing='{"scalar": 1}'))
    assert "UUID" in refused(invalid, stub.ImportModel, header(request_id="7"))
    assert "0 of 5" in refused(invalid, stub.ImportModel, header(size_bytes=5))
    assert "at most" in refused(grpc.StatusCode.RESOURCE_EXHAUSTED, stub.ImportModel, header(size_bytes=1 << 50))
    assert [path.name for path in (bare_server.data / "staging").glob("put-*")] == []


def test_what_needs_a_worker_is_refused_where_there_is_none(stub: Any, bare_server: Any) -> None:
    add(bare_server.data, "exported", 1)
    request = pb.ExportModelRequest(name="models/exported/tags/latest", format="keras")
    assert "workers" in refused(grpc.StatusCode.UNAVAILABLE, lambda r: list(stub.ExportModel(r)), request)
    assert "workers" in refused(grpc.StatusCode.UNAVAILABLE, stub.ImportModel, header())


def test_an_export_to_an_unknown_format_is_refused(stub: Any, bare_server: Any) -> None:
    add(bare_server.data, "exported", 1)
    request = pb.ExportModelRequest(name="models/exported/tags/latest", format="pickle")
    assert "use keras" in refused(grpc.StatusCode.INVALID_ARGUMENT, lambda r: list(stub.ExportModel(r)), request)
