"""Models, versions and tags in the catalogue."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, insert, update

from frostline_zoo.blobs.local import LocalBlobStore
from frostline_zoo.catalogue.database import now
from frostline_zoo.catalogue.models import Models, VersionRecord
from frostline_zoo.catalogue.tables import job_uses, jobs
from frostline_zoo.catalogue.tags import Tags
from frostline_zoo.digests import digest_of
from frostline_zoo.errors import AbortedError, CorruptError, FailedPreconditionError, InvalidError, NotFoundError
from frostline_zoo.manifest import Call, Input, Layer, Manifest, Parameter, TensorRef
from frostline_zoo.names import ModelName, TagName, VersionName
from frostline_zoo.tensors import encode_tensors


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobStore:
    return LocalBlobStore(tmp_path)


@pytest.fixture
def models(engine: Engine, blobs: LocalBlobStore) -> Models:
    return Models(engine, blobs)


@pytest.fixture
def tags(engine: Engine) -> Tags:
    return Tags(engine)


def chain(blobs: LocalBlobStore, *weights: float, parent: str | None = None) -> Manifest:
    """Returns a chain of dense layers (4 -> 4), one a weight, with their blobs stored."""
    layers, before = [], TensorRef("x")
    for number, weight in enumerate(weights):
        blob = blobs.put(encode_tensors({"kernel": np.full((4, 4), weight, np.float32)}))
        call = Call([{"tensor": list(before)}])
        parameters = (Parameter("kernel", (4, 4), "float32"),)
        layers.append(Layer(f"h{number}", "Dense", {"units": 4}, blob, blob, parameters, True, (call,)))
        before = TensorRef(f"h{number}")
    return Manifest((Input("x", (4,), "float32"),), tuple(layers), (before,), parent=parent)


def add(engine: Engine, models: Models, model: str, manifest: Manifest) -> VersionRecord:
    with engine.begin() as connection:
        return models.add_version(connection, model, manifest)


def test_a_version_comes_back_by_number_and_by_tag(engine: Engine, models: Models, blobs: LocalBlobStore) -> None:
    manifest = chain(blobs, 1, 2)
    added = add(engine, models, "digits", manifest)
    assert added.name == VersionName("digits", 1)
    assert (added.layer_count, added.parameter_count, added.tags) == (2, 32, ("latest",))
    for name in (VersionName("digits", 1), TagName("digits", "latest")):
        assert models.manifest_of(name) == (added, manifest)


def test_a_model_knows_its_versions_the_newest_first(engine: Engine, models: Models, blobs: LocalBlobStore) -> None:
    for weight in range(5):
        add(engine, models, "digits", chain(blobs, weight))
    record = models.get(ModelName("digits"))
    assert (record.version_count, record.latest_version) == (5, VersionName("digits", 5))
    first, token = models.list_versions(ModelName("digits"), page_size=3)
    second, end = models.list_versions(ModelName("digits"), page_size=3, page_token=token)
    assert [version.name.number for version in first + second] == [5, 4, 3, 2, 1]
    assert end == ""


def test_the_newest_version_again_is_no_new_version(engine: Engine, models: Models, blobs: LocalBlobStore) -> None:
    first = add(engine, models, "digits", chain(blobs, 1))
    assert add(engine, models, "digits", chain(blobs, 1)) == first
    add(engine, models, "digits", chain(blobs, 2))
    assert add(engine, models, "digits", chain(blobs, 1)).name.number == 3


def test_a_child_adds_its_changed_layer_and_its_manifest(engine: Engine, models: Models, blobs: LocalBlobStore) -> None:
    parent = add(engine, models, "digits", chain(blobs, 1, 2, 3))
    child = add(engine, models, "letters", chain(blobs, 1, 2, 4, parent=parent.digest))
    blob_size = blobs.size(chain(blobs, 4).blobs()[0])
    assert child.parent == parent.name
    assert child.size_bytes == 3 * blob_size
    assert child.added_bytes == blob_size + blobs.size(child.digest)


def test_a_layer_shared_within_a_network_counts_once(engine: Engine, models: Models, blobs: LocalBlobStore) -> None:
    version = add(engine, models, "digits", chain(blobs, 1, 1))
    assert version.size_bytes == blobs.size(chain(blobs, 1).blobs()[0])


def test_a_deleted_parent_is_no_longer_named(engine: Engine, models: Models, blobs: LocalBlobStore) -> None:
    parent = add(engine, models, "digits", chain(blobs, 1))
    child = add(engine, models, "letters", chain(blobs, 2, parent=parent.digest))
    models.delete(ModelName("digits"))
    assert models.version(child.name).parent is None
    with pytest.raises(NotFoundError, match="models/digits"):
        models.get(ModelName("digits"))


def test_a_version_whose_layer_is_not_stored_is_refused_whole(
    engine: Engine, models: Models, blobs: LocalBlobStore
) -> None:
    manifest = chain(blobs, 1)
    blobs.local_path(manifest.blobs()[0]).unlink()
    with pytest.raises(NotFoundError, match=manifest.blobs()[0]):
        add(engine, models, "digits", manifest)
    assert models.list_models() == ([], "")


def test_a_transaction_that_fails_leaves_no_version(engine: Engine, models: Models, blobs: LocalBlobStore) -> None:
    with engine.begin() as connection:
        models.add_version(connection, "digits", chain(blobs, 1))
        connection.rollback()
    assert models.list_models() == ([], "")


def test_what_an_unfinished_job_uses_is_not_deleted(engine: Engine, models: Models, blobs: LocalBlobStore) -> None:
    add(engine, models, "digits", chain(blobs, 1))
    with engine.begin() as connection:
        row = {"name": "abcdef123456", "state": "RUNNING", "recipe": "{}", "model": "letters", "created": now()}
        key = connection.execute(insert(jobs).values(**row).returning(jobs.c.id)).scalar_one()
        connection.execute(insert(job_uses).values(job_id=key, resource="models/digits"))
    with pytest.raises(FailedPreconditionError, match="jobs/abcdef123456"):
        models.delete(ModelName("digits"))
    with engine.begin() as connection:
        connection.execute(update(jobs).values(state="SUCCEEDED"))
    models.delete(ModelName("digits"))


@pytest.mark.parametrize("name", ["../up", "A", "", "a/b", "a" * 64])
def test_a_model_is_not_named_like_a_path(engine: Engine, models: Models, blobs: LocalBlobStore, name: str) -> None:
    with pytest.raises(InvalidError):
        add(engine, models, name, chain(blobs, 1))


def test_pages_stay_right_while_models_come_and_go(engine: Engine, models: Models, blobs: LocalBlobStore) -> None:
    for name in "bdfh":
        add(engine, models, name, chain(blobs, 1))
    first, token = models.list_models(page_size=2)
    add(engine, models, "a", chain(blobs, 1))
    models.delete(ModelName("d"))
    second, _ = models.list_models(page_size=2, page_token=token)
    assert [model.name.model for model in first + second] == ["b", "d", "f", "h"]


@pytest.mark.parametrize("token", ["nonsense", "WyJtb2RlbHMiLCA3XQ==", "WyJ0YWdzIiwgImEiXQ=="])
def test_a_page_token_of_another_list_is_refused(models: Models, token: str) -> None:
    with pytest.raises(InvalidError, match="page_token"):
        models.list_models(page_token=token)


def test_a_negative_page_size_is_refused(models: Models) -> None:
    with pytest.raises(InvalidError, match="page_size"):
        models.list_models(page_size=-1)


@pytest.fixture
def two_versions(engine: Engine, models: Models, blobs: LocalBlobStore) -> list[VersionName]:
    """The names of the first two versions of the model `digits`."""
    return [add(engine, models, "digits", chain(blobs, weight)).name for weight in (1, 2)]


def test_a_tag_moves_and_its_etag_with_it(models: Models, tags: Tags, two_versions: list[VersionName]) -> None:
    first, second = two_versions
    name = TagName("digits", "prod")
    before = tags.move(name, first)
    assert tags.move(name, first) == before
    after = tags.move(name, second, etag=before.etag)
    assert after.etag != before.etag
    assert models.version(name).name == second
    assert [tag.name.tag for tag in tags.list_tags(ModelName("digits"))[0]] == ["latest", "prod"]


def test_a_tag_that_has_moved_since_it_was_read_stays(
    models: Models, tags: Tags, two_versions: list[VersionName]
) -> None:
    first, second = two_versions
    name = TagName("digits", "prod")
    stale = tags.move(name, first).etag
    tags.move(name, second)
    for attempt in (lambda: tags.move(name, first, etag=stale), lambda: tags.delete(name, etag=stale)):
        with pytest.raises(AbortedError, match="models/digits/tags/prod"):
            attempt()
    assert models.version(name).name == second


def test_a_deleted_tag_is_not_found_and_its_version_stays(
    engine: Engine, models: Models, tags: Tags, blobs: LocalBlobStore
) -> None:
    version = add(engine, models, "digits", chain(blobs, 1)).name
    name = TagName("digits", "prod")
    tags.move(name, version)
    tags.delete(name)
    for attempt in (lambda: tags.delete(name), lambda: models.version(name)):
        with pytest.raises(NotFoundError, match="models/digits/tags/prod"):
            attempt()
    assert models.version(version).tags == ("latest",)


def test_latest_is_not_moved_by_hand_nor_to_another_model(
    engine: Engine, models: Models, tags: Tags, blobs: LocalBlobStore
) -> None:
    digits = add(engine, models, "digits", chain(blobs, 1)).name
    letters = add(engine, models, "letters", chain(blobs, 1)).name
    for attempt in (
        lambda: tags.move(TagName("digits", "latest"), digits),
        lambda: tags.delete(TagName("digits", "latest")),
        lambda: tags.move(TagName("digits", "prod"), letters),
    ):
        with pytest.raises(InvalidError):
            attempt()


def test_the_manifest_of_a_version_that_changed_on_disk_is_refused(
    engine: Engine, models: Models, blobs: LocalBlobStore
) -> None:
    version = add(engine, models, "digits", chain(blobs, 1))
    path = blobs.local_path(version.digest)
    assert digest_of(path.read_bytes()) == version.digest
    path.write_bytes(path.read_bytes().replace(b"Dense", b"Sense"))
    with pytest.raises(CorruptError, match="changed"):
        models.manifest_of(version.name)
