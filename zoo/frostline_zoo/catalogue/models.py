"""Models and their versions: which networks the zoo holds, and under which names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, delete, func, insert, select

from frostline_zoo.blobs.store import BlobStore
from frostline_zoo.catalogue.database import now, reading
from frostline_zoo.catalogue.pages import read_page
from frostline_zoo.catalogue.tables import models, tags, version_blobs, versions
from frostline_zoo.catalogue.tags import model_id, point, version_key
from frostline_zoo.catalogue.uses import refuse_where_used
from frostline_zoo.errors import NotFoundError
from frostline_zoo.manifest import Manifest
from frostline_zoo.names import LATEST, ModelName, TagName, VersionName, checked_id


@dataclass(frozen=True)
class ModelRecord:
    """A model: how many versions it has, and its newest one."""

    name: ModelName
    version_count: int
    latest_version: VersionName
    created: datetime


@dataclass(frozen=True)
class VersionRecord:
    """One version, and what it weighs.

    Attributes:
        name: models/{model}/versions/{number}.
        digest: of its manifest.
        parent: the version that it was made from; None where there is none or it was deleted.
        job: `jobs/{job}` that made it; None where it was imported.
        created: when.
        layer_count: its layers, inputs not counted.
        parameter_count: the numbers in its weights.
        size_bytes: of its layer blobs, each counted once.
        added_bytes: of those of its layer blobs that no version had before it, and of its manifest.
        tags: those that name it, in order.
    """

    name: VersionName
    digest: str
    parent: VersionName | None
    job: str | None
    created: datetime
    layer_count: int
    parameter_count: int
    size_bytes: int
    added_bytes: int
    tags: tuple[str, ...]


class Models:
    """The models, their versions and what these are made of."""

    def __init__(self, engine: Engine, blobs: BlobStore) -> None:
        self._engine = engine
        self._blobs = blobs

    def get(self, name: ModelName) -> ModelRecord:
        """Returns one model. Raises NotFoundError."""
        with reading(self._engine) as connection:
            key = model_id(connection, name)
            return _model(connection.execute(_models().where(models.c.id == key)).one())

    def list_models(self, page_size: int = 0, page_token: str = "") -> tuple[list[ModelRecord], str]:
        """Returns a page of the models, by name, and the next page's token. Raises InvalidError as `read_page`."""
        with reading(self._engine) as connection:
            rows, token = read_page(
                connection, _models(), models.c.name, of="models", page_size=page_size, page_token=page_token
            )
        return [_model(row) for row in rows], token

    def delete(self, name: ModelName) -> None:
        """Deletes a model with its versions and tags. Blobs stay.

        Raises:
            NotFoundError: the zoo holds no such model.
            FailedPreconditionError: an unfinished job uses it.
        """
        with self._engine.begin() as connection:
            key = model_id(connection, name)
            refuse_where_used(connection, str(name))
            connection.execute(delete(models).where(models.c.id == key))

    def version(self, name: VersionName | TagName) -> VersionRecord:
        """Returns one version, by number or by tag. Raises NotFoundError."""
        with reading(self._engine) as connection:
            _, key = version_key(connection, name)
            return _read_version(connection, key)

    def list_versions(
        self, name: ModelName, page_size: int = 0, page_token: str = ""
    ) -> tuple[list[VersionRecord], str]:
        """Returns a page of a model's versions, the newest first, and the next page's token.

        Raises:
            NotFoundError: the zoo holds no such model.
            InvalidError: as `read_page`.
        """
        with reading(self._engine) as connection:
            statement = _versions().where(versions.c.model_id == model_id(connection, name))
            rows, token = read_page(
                connection,
                statement,
                versions.c.number,
                of=f"versions of {name}",
                page_size=page_size,
                page_token=page_token,
                newest_first=True,
            )
            return _records(connection, rows), token

    def manifest_of(self, name: VersionName | TagName) -> tuple[VersionRecord, Manifest]:
        """Returns one version, by number or by tag, with its network.

        Raises:
            NotFoundError: the zoo holds no such version.
            CorruptError: the stored manifest has changed.
        """
        record = self.version(name)
        return record, Manifest.decode(self._blobs.get(record.digest))

    def add_version(self, connection: Connection, model: str, manifest: Manifest) -> VersionRecord:
        """Makes a network the newest version of a model, and moves `latest` to it.

        The model is made where it does not exist. Where the newest version is this very network already, that one is
        returned. It all happens in the caller's transaction; the manifest is stored before.

        Raises:
            InvalidError: `model` cannot name a model.
            NotFoundError: a layer's blob is not stored.
        """
        name = ModelName(checked_id(model, "model"))
        missing = self._blobs.missing(manifest.blobs())
        if missing:
            message = f"no blob {missing[0]}, a layer's weights ({len(missing)} are missing): upload it first"
            raise NotFoundError(message, reason="BLOB_NOT_FOUND", digest=missing[0])
        digest = self._blobs.put(manifest.encode())
        owner = connection.scalar(select(models.c.id).where(models.c.name == name.model))
        if owner is None:
            made = insert(models).values(name=name.model, created=now()).returning(models.c.id)
            owner = connection.execute(made).scalar_one()
        newest = _newest(connection, owner)
        if newest is not None and newest.digest == digest:
            return _read_version(connection, newest.id)
        number = 1 if newest is None else newest.number + 1
        key = self._insert(connection, owner, number, digest, manifest)
        point(connection, owner, LATEST, key)
        return _read_version(connection, key)

    def _insert(self, connection: Connection, owner: int, number: int, digest: str, manifest: Manifest) -> int:
        sizes = {blob: self._blobs.size(blob) for blob in manifest.blobs()}
        known = connection.scalars(
            select(version_blobs.c.digest).where(version_blobs.c.digest.in_(sizes)).distinct()
        ).all()
        added = sum(size for blob, size in sizes.items() if blob not in set(known))
        parameters = sum(math.prod(p.shape) for layer in manifest.layers for p in layer.parameters)
        key: int = connection.execute(
            insert(versions)
            .values(
                model_id=owner,
                number=number,
                digest=digest,
                parent=manifest.parent,
                job=manifest.job,
                created=now(),
                layer_count=len(manifest.layers),
                parameter_count=parameters,
                size_bytes=sum(sizes.values()),
                added_bytes=added + self._blobs.size(digest),
            )
            .returning(versions.c.id)
        ).scalar_one()
        if sizes:
            connection.execute(insert(version_blobs), [{"version_id": key, "digest": blob} for blob in sizes])
        return key


def _models() -> Select[Any]:
    return (
        select(
            models.c.name,
            models.c.created,
            func.count(versions.c.id).label("version_count"),
            func.max(versions.c.number).label("newest"),
        )
        .join(versions, versions.c.model_id == models.c.id)
        .group_by(models.c.id, models.c.name, models.c.created)
    )


def _model(row: Row[Any]) -> ModelRecord:
    return ModelRecord(ModelName(row.name), row.version_count, VersionName(row.name, row.newest), row.created)


def _versions() -> Select[Any]:
    return select(*versions.c, models.c.name.label("model")).join(models, models.c.id == versions.c.model_id)


def _newest(connection: Connection, owner: int) -> Row[Any] | None:
    query = select(versions).where(versions.c.model_id == owner).order_by(versions.c.number.desc()).limit(1)
    return connection.execute(query).one_or_none()


def _read_version(connection: Connection, key: int) -> VersionRecord:
    return _records(connection, connection.execute(_versions().where(versions.c.id == key)).all())[0]


def _records(connection: Connection, rows: Sequence[Row[Any]]) -> list[VersionRecord]:
    tags_of: dict[int, list[str]] = {row.id: [] for row in rows}
    query = select(tags.c.version_id, tags.c.name).where(tags.c.version_id.in_(tags_of)).order_by(tags.c.name)
    for version_id, tag in connection.execute(query):
        tags_of[version_id].append(tag)
    wanted = {row.parent for row in rows if row.parent}
    # The same network may stand in several models: read backwards, so that the first of them is what stays in the dict.
    query = _versions().where(versions.c.digest.in_(wanted)).order_by(versions.c.id.desc())
    parents = {row.digest: VersionName(row.model, row.number) for row in connection.execute(query)}
    return [
        VersionRecord(
            VersionName(row.model, row.number),
            row.digest,
            parents.get(row.parent),
            row.job,
            row.created,
            row.layer_count,
            row.parameter_count,
            row.size_bytes,
            row.added_bytes,
            tuple(tags_of[row.id]),
        )
        for row in rows
    ]
