"""What the zoo tells about models: records, as they were when they were read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from google.protobuf.timestamp_pb2 import Timestamp

from frostline.v1 import model_service_pb2 as pb
from frostline_client.names import short_name


@dataclass(frozen=True)
class Model:
    """A name in the zoo.

    Attributes:
        latest_version: NAME@NUMBER of its newest version.
    """

    name: str
    version_count: int
    latest_version: str
    create_time: datetime | None

    @classmethod
    def of(cls, message: pb.Model) -> Self:
        """Reads the wire's form."""
        latest = short_name(message.latest_version)
        return cls(short_name(message.name), message.version_count, latest, time_of(message.create_time))


@dataclass(frozen=True)
class Version:
    """One immutable network.

    Attributes:
        name: NAME@NUMBER.
        digest: of its manifest.
        parent: NAME@NUMBER of the version it was made from, or None.
        job: the id of the job that made it, or None where it was imported.
        layer_count: inputs not counted.
        parameter_count: how many numbers its weights have.
        size_bytes: the sum of its layer blobs' sizes.
        added_bytes: what it added to the zoo: the layer blobs that no version had before it, and its manifest.
        tags: those that name it.
    """

    name: str
    digest: str
    parent: str | None
    job: str | None
    create_time: datetime | None
    layer_count: int
    parameter_count: int
    size_bytes: int
    added_bytes: int
    tags: tuple[str, ...]

    @property
    def model(self) -> str:
        """The model it is a version of."""
        return self.name.partition("@")[0]

    @classmethod
    def of(cls, message: pb.Version) -> Self:
        """Reads the wire's form."""
        return cls(
            name=short_name(message.name),
            digest=message.digest,
            parent=short_name(message.parent) or None,
            job=short_name(message.job) or None,
            create_time=time_of(message.create_time),
            layer_count=message.layer_count,
            parameter_count=message.parameter_count,
            size_bytes=message.size_bytes,
            added_bytes=message.added_bytes,
            tags=tuple(short_name(tag).rpartition(":")[2] for tag in message.tags),
        )


@dataclass(frozen=True)
class Tag:
    """A movable name for a version.

    Attributes:
        name: NAME:TAG.
        version: NAME@NUMBER.
        etag: changes whenever the tag moves.
    """

    name: str
    version: str
    etag: str

    @classmethod
    def of(cls, message: pb.Tag) -> Self:
        """Reads the wire's form."""
        return cls(short_name(message.name), short_name(message.version), message.etag)


@dataclass(frozen=True)
class ImportReport:
    """What became of every parameter in a file and in the network. Ours are named `layer/parameter`.

    Attributes:
        matched: those that were taken over under their own names.
        renamed: those that were taken over from arrays of other names: (theirs, ours).
        missing: those that the file does not have.
        unexpected: what the file has and no parameter takes.
        differing: arrays that were not taken over, since their shape is another one: (name, theirs, ours).
    """

    matched: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    differing: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]

    @classmethod
    def of(cls, message: pb.ImportReport) -> Self:
        """Reads the wire's form."""
        return cls(
            tuple(message.matched),
            tuple((getattr(each, "from"), each.to) for each in message.renamed),
            tuple(message.missing),
            tuple(message.unexpected),
            tuple((each.name, tuple(each.shape), tuple(each.wanted)) for each in message.differing),
        )


@dataclass(frozen=True)
class Imported:
    """What an import made.

    Attributes:
        new_blob_count: the layer blobs that it brought.
        shared_blob_count: the layer blobs that the zoo had already.
        notes: what in the file was not taken over, a line each.
        report: what became of every parameter.
    """

    version: Version
    new_blob_count: int
    shared_blob_count: int
    notes: tuple[str, ...]
    report: ImportReport

    @classmethod
    def of(cls, message: pb.ImportModelResponse) -> Self:
        """Reads the wire's form."""
        version, report = Version.of(message.version), ImportReport.of(message.report)
        return cls(version, message.new_blob_count, message.shared_blob_count, tuple(message.notes), report)


def time_of(timestamp: Timestamp) -> datetime | None:
    """Returns a time in UTC, or None where it is not set."""
    return timestamp.ToDatetime(UTC) if timestamp.ByteSize() else None
