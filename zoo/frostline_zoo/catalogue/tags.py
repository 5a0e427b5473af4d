"""Tags: movable names for a model's versions."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, insert, select, update

from frostline_zoo.catalogue.database import reading
from frostline_zoo.catalogue.pages import read_page
from frostline_zoo.catalogue.tables import models, tags, versions
from frostline_zoo.errors import AbortedError, InvalidError, NotFoundError
from frostline_zoo.names import LATEST, ModelName, TagName, VersionName


@dataclass(frozen=True)
class TagRecord:
    """A tag, the version that it names, and an `etag` that is another one after every move."""

    name: TagName
    version: VersionName
    etag: str


class Tags:
    """The tags of all models."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list_tags(self, model: ModelName, page_size: int = 0, page_token: str = "") -> tuple[list[TagRecord], str]:
        """Returns a page of a model's tags, by name, and the next page's token.

        Raises:
            NotFoundError: the zoo holds no such model.
            InvalidError: as `read_page`.
        """
        with reading(self._engine) as connection:
            model_id(connection, model)
            of = f"tags of {model}"
            rows, token = read_page(
                connection, _tags_of(model), tags.c.name, of=of, page_size=page_size, page_token=page_token
            )
        return [_record(model, row) for row in rows], token

    def move(self, name: TagName, version: VersionName, etag: str = "") -> TagRecord:
        """Points a tag at a version, and makes the tag where it does not exist.

        Raises:
            InvalidError: the tag is `latest`, or the version is another model's.
            NotFoundError: the zoo holds no such version.
            AbortedError: `etag` is given, and is no longer the tag's.
        """
        _refuse_latest(name)
        if version.model != name.model:
            message = f"{version} is not a version of models/{name.model}: a tag names a version of its own model"
            raise InvalidError(message, reason="WRONG_MODEL")
        with self._engine.begin() as connection:
            owner, target = version_key(connection, version)
            before = _find(connection, name)
            _compare(name, before, etag)
            if before is None or before.version_id != target:
                point(connection, owner, name.tag, target)
            return _record(ModelName(name.model), _existing(connection, name))

    def delete(self, name: TagName, etag: str = "") -> None:
        """Removes a tag; the version stays.

        Raises:
            InvalidError: the tag is `latest`.
            NotFoundError: the zoo holds no such tag.
            AbortedError: `etag` is given, and is no longer the tag's.
        """
        _refuse_latest(name)
        with self._engine.begin() as connection:
            before = _existing(connection, name)
            _compare(name, before, etag)
            connection.execute(delete(tags).where(tags.c.model_id == before.model_id).where(tags.c.name == name.tag))


def point(connection: Connection, model: int, tag: str, version: int) -> None:
    """Points the tag `tag` of a model at a version, both given by their key."""
    moved = {"version_id": version, "etag": secrets.token_hex(8)}
    where = (tags.c.model_id == model) & (tags.c.name == tag)
    if connection.execute(update(tags).where(where).values(**moved)).rowcount == 0:
        connection.execute(insert(tags).values(model_id=model, name=tag, **moved))


def model_id(connection: Connection, name: ModelName) -> int:
    """Returns a model's key. Raises NotFoundError."""
    found = connection.scalar(select(models.c.id).where(models.c.name == name.model))
    if found is None:
        raise NotFoundError(f"no {name}: see the models there are", reason="MODEL_NOT_FOUND", name=str(name))
    return int(found)


def version_key(connection: Connection, name: VersionName | TagName) -> tuple[int, int]:
    """Returns the keys of a version's model and of the version, named by number or by tag. Raises NotFoundError."""
    owner = model_id(connection, ModelName(name.model))
    if isinstance(name, VersionName):
        query = select(versions.c.id).where(versions.c.model_id == owner).where(versions.c.number == name.number)
    else:
        query = select(tags.c.version_id).where(tags.c.model_id == owner).where(tags.c.name == name.tag)
    found = connection.scalar(query)
    if found is None:
        kind = "versions" if isinstance(name, VersionName) else "tags"
        message = f"no {name}: see the {kind} of models/{name.model}"
        raise NotFoundError(message, reason="VERSION_NOT_FOUND", name=str(name))
    return owner, int(found)


def _tags_of(model: ModelName) -> Any:
    return (
        select(tags.c.name, tags.c.etag, tags.c.version_id, tags.c.model_id, versions.c.number)
        .join(versions, versions.c.id == tags.c.version_id)
        .join(models, models.c.id == tags.c.model_id)
        .where(models.c.name == model.model)
    )


def _find(connection: Connection, name: TagName) -> Row[Any] | None:
    found: Row[Any] | None = connection.execute(
        _tags_of(ModelName(name.model)).where(tags.c.name == name.tag)
    ).one_or_none()
    return found


def _existing(connection: Connection, name: TagName) -> Row[Any]:
    found = _find(connection, name)
    if found is None:
        raise NotFoundError(f"no {name}: see the tags of models/{name.model}", reason="TAG_NOT_FOUND", name=str(name))
    return found


def _record(model: ModelName, row: Row[Any]) -> TagRecord:
    return TagRecord(TagName(model.model, row.name), VersionName(model.model, row.number), row.etag)


def _compare(name: TagName, before: Row[Any] | None, etag: str) -> None:
    if etag and (before is None or before.etag != etag):
        message = f"{name} has moved since it was read: read it again, then decide"
        raise AbortedError(message, reason="ETAG_MISMATCH", name=str(name))


def _refuse_latest(name: TagName) -> None:
    if name.tag == LATEST:
        raise InvalidError(f"{name} is kept by the server: use another tag", reason="LATEST_IS_KEPT", name=str(name))
