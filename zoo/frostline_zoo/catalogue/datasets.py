"""Datasets and their versions: which lists of examples the zoo holds, and under which names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, Row, Select, delete, func, insert, select

from frostline_zoo.blobs.store import BlobStore
from frostline_zoo.catalogue.database import now, reading
from frostline_zoo.catalogue.pages import read_page
from frostline_zoo.catalogue.requests import answered, once
from frostline_zoo.catalogue.tables import dataset_versions, datasets
from frostline_zoo.catalogue.uses import refuse_where_used
from frostline_zoo.digests import checked_digest, digest_of_json
from frostline_zoo.errors import AbortedError, CorruptError, InvalidError, NotFoundError
from frostline_zoo.examples.contents import Contents
from frostline_zoo.examples.dataset import Examples
from frostline_zoo.examples.image_decoder import ImageDecoder
from frostline_zoo.examples.index import Places
from frostline_zoo.examples.lists import ExampleList, appended
from frostline_zoo.examples.shards import SHARD_BYTES
from frostline_zoo.examples.spec import ExampleSpec
from frostline_zoo.names import DatasetName, DatasetVersionName, parse_dataset_reference

MAX_NAMED = 10
MAX_ATTEMPTS = 10
CREATE = "CreateDatasetVersion"


@dataclass(frozen=True)
class DatasetVersionRecord:
    """One dataset version.

    Attributes:
        name: datasets/{dataset}/versions/{number}.
        digest: of its list.
        spec: what its examples are.
        example_count: how many.
        class_names: label i is class_names[i]; empty where labels are numbers only.
        class_counts: how many examples each class has; empty where labels are not classes.
        size_bytes: of its contents, each counted once.
        created: when.
    """

    name: DatasetVersionName
    digest: str
    spec: ExampleSpec
    example_count: int
    class_names: tuple[str, ...]
    class_counts: tuple[int, ...]
    size_bytes: int
    created: datetime


@dataclass(frozen=True)
class NewVersion:
    """What a new dataset version is asked to be.

    Attributes:
        dataset: whose version; it is made where it does not exist.
        list_digest: the blob of the list.
        spec: what the examples are.
        class_names: the names of the classes, or empty.
        append: whether the list continues the newest version's.
    """

    dataset: DatasetName
    list_digest: str
    spec: ExampleSpec
    class_names: tuple[str, ...] = ()
    append: bool = False

    def digest(self) -> str:
        """Returns the digest of what is asked for."""
        value = [str(self.dataset), self.list_digest, str(self.spec), list(self.class_names), self.append]
        return digest_of_json("new-dataset-version", value)


class Datasets:
    """The datasets of a zoo. Threads may share one.

    Attributes:
        contents: what their examples hold.
    """

    def __init__(self, engine: Engine, blobs: BlobStore, shard_bytes: int = SHARD_BYTES) -> None:
        self._engine = engine
        self._blobs = blobs
        self._decoder = ImageDecoder()
        self.contents = Contents(engine, blobs, shard_bytes)

    def get(self, name: DatasetName | DatasetVersionName) -> DatasetVersionRecord:
        """Returns one version: the named one, or the newest. Raises NotFoundError."""
        with reading(self._engine) as connection:
            found = _find(connection, name)
            if found is not None:
                return found
            newest = _find(connection, DatasetName(name.dataset))
        mend = f"its newest version is {newest.name.number}" if newest else "see the datasets there are"
        raise NotFoundError(f"no {name}: {mend}", reason="DATASET_NOT_FOUND", name=str(name))

    def list_datasets(self, page_size: int = 0, page_token: str = "") -> tuple[list[DatasetVersionRecord], str]:
        """Returns a page of the newest versions, by name, and the next page's token.

        Raises:
            InvalidError: as `read_page`.
        """
        one, other = dataset_versions.c, dataset_versions.alias().c
        newest = select(func.max(other.number)).where(other.dataset_id == one.dataset_id).scalar_subquery()
        with reading(self._engine) as connection:
            statement = _versions().where(one.number == newest)
            rows, token = read_page(
                connection, statement, datasets.c.name, of="datasets", page_size=page_size, page_token=page_token
            )
        return [_record(row) for row in rows], token

    def delete(self, name: DatasetName) -> None:
        """Deletes a dataset with its versions. Contents stay.

        Raises:
            NotFoundError: the zoo holds no such dataset.
            FailedPreconditionError: an unfinished job uses it.
        """
        self.get(name)
        with self._engine.begin() as connection:
            refuse_where_used(connection, str(name))
            connection.execute(delete(datasets).where(datasets.c.name == name.dataset))

    def open(self, reference: str | DatasetName | DatasetVersionName) -> Examples:
        """Returns the examples of a version, given by its name or by `NAME` or `NAME@VERSION`, ready to be read.

        Raises:
            InvalidError: the reference is malformed.
            NotFoundError: the zoo holds no such dataset or version.
            CorruptError: the list, or where a content should be, has changed on disk.
        """
        record = self.get(parse_dataset_reference(reference) if isinstance(reference, str) else reference)
        listed = ExampleList.decode(self._blobs.get(record.digest))
        places = self.contents.locate(listed.digests)
        gone = len(places.missing())
        if gone:
            message = f"{gone} examples of {record.name} have changed or gone on the server's disk: push them again"
            raise CorruptError(message, reason="EXAMPLE_CORRUPT", name=str(record.name))
        return Examples(
            record.spec, listed.digests, listed.labels, record.class_names, places, self._blobs, self._decoder
        )

    def create_version(self, new: NewVersion, request_id: str = "") -> DatasetVersionRecord:
        """Makes a list of stored examples the newest version of its dataset, and returns that; where it is the newest
        version already, none is made.

        Raises:
            InvalidError: the list, its labels or classes are malformed, or do not fit the version that they continue.
            NotFoundError: the list, or an example in it, is not stored.
            AlreadyExistsError: `request_id` was used for another request.
            AbortedError: others make versions of the same dataset faster than this could follow.
            ExhaustedError: the disk is full.
            UnavailableError: the disk has failed.
            CorruptError: the list has changed on disk.
        """
        digest = new.digest()
        for _ in range(MAX_ATTEMPTS):
            with reading(self._engine) as connection:
                done = answered(connection, CREATE, request_id, digest)
                newest = _find(connection, new.dataset)
            if done is not None:
                return self.get(DatasetVersionName.parse(done.decode()))
            record = self._prepare(new, newest)
            with self._engine.begin() as connection:
                if _find(connection, new.dataset) == newest:
                    make = partial(_insert, connection, record, newest)
                    name = once(connection, CREATE, request_id, digest, make)
                    break
        else:
            raise AbortedError(f"{new.dataset} keeps changing: try again", reason="BUSY", name=str(new.dataset))
        return self.get(DatasetVersionName.parse(name.decode()))

    def _prepare(self, new: NewVersion, newest: DatasetVersionRecord | None) -> DatasetVersionRecord:
        """Returns the version to be, its list stored; or the newest one, where that is equal."""
        listed, class_names = ExampleList.decode(self._blobs.get(checked_digest(new.list_digest))), new.class_names
        listed.check_labels(class_names)
        places = self._places(listed, new.spec)
        list_digest = new.list_digest
        if new.append and newest is not None:
            if newest.spec != new.spec:
                message = f"{newest.name} has examples of {newest.spec}, not of {new.spec}"
                raise InvalidError(f"{message}: append examples of that kind", reason="BAD_SPEC")
            before = ExampleList.decode(self._blobs.get(newest.digest))
            listed, class_names = appended(before, newest.class_names, listed, class_names)
            places = self._places(listed, new.spec)
            list_digest = self._blobs.put(listed.encode())
        record = DatasetVersionRecord(
            DatasetVersionName(new.dataset.dataset, 1 if newest is None else newest.name.number + 1),
            list_digest,
            new.spec,
            len(listed),
            class_names,
            tuple(listed.class_counts(class_names)),
            places.size_bytes(),
            now(),
        )
        if newest is not None and replace(record, name=newest.name, created=newest.created) == newest:
            return newest
        return record

    def _places(self, listed: ExampleList, spec: ExampleSpec) -> Places:
        places = self.contents.locate(listed.digests)
        missing = places.missing()
        if len(missing):
            hexes = [listed.digests[index].tobytes().hex() for index in missing[:MAX_NAMED]]
            named = ", ".join(
                f"{index} (sha256:{digest})" for index, digest in zip(missing.tolist(), hexes, strict=False)
            )
            message = f"{len(missing)} of the listed examples are not stored, push them first: {named}"
            raise NotFoundError(message, reason="EXAMPLES_NOT_FOUND", count=str(len(missing)))
        for shard, group in places.by_shard(np.arange(len(listed))):
            if shard.spec != spec:
                message = f"example {int(group[0])} of the list is of {shard.spec}, not of {spec}"
                raise InvalidError(f"{message}: list examples of one kind", reason="BAD_SPEC")
        return places


def _versions() -> Select[Any]:
    columns = [column for column in dataset_versions.c if column.name != "dataset_id"]
    return select(datasets.c.name, *columns).join(datasets, datasets.c.id == dataset_versions.c.dataset_id)


def _find(connection: Connection, name: DatasetName | DatasetVersionName) -> DatasetVersionRecord | None:
    query = _versions().where(datasets.c.name == name.dataset)
    if isinstance(name, DatasetVersionName):
        query = query.where(dataset_versions.c.number == name.number)
    row = connection.execute(query.order_by(dataset_versions.c.number.desc()).limit(1)).one_or_none()
    return None if row is None else _record(row)


def _insert(connection: Connection, record: DatasetVersionRecord, newest: DatasetVersionRecord | None) -> bytes:
    if record == newest:
        return str(newest.name).encode()
    key = connection.scalar(select(datasets.c.id).where(datasets.c.name == record.name.dataset))
    if key is None:
        made = insert(datasets).values(name=record.name.dataset, created=record.created).returning(datasets.c.id)
        key = connection.execute(made).scalar_one()
    connection.execute(
        insert(dataset_versions).values(
            dataset_id=key,
            number=record.name.number,
            list_digest=record.digest,
            spec=str(record.spec),
            example_count=record.example_count,
            class_names=list(record.class_names),
            class_counts=list(record.class_counts),
            size_bytes=record.size_bytes,
            created=record.created,
        )
    )
    return str(record.name).encode()


def _record(row: Row[Any]) -> DatasetVersionRecord:
    return DatasetVersionRecord(
        DatasetVersionName(row.name, row.number),
        row.list_digest,
        ExampleSpec.parse(row.spec),
        row.example_count,
        tuple(row.class_names),
        tuple(row.class_counts),
        row.size_bytes,
        row.created,
    )
