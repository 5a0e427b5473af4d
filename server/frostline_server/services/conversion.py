"""Records as messages."""

from __future__ import annotations

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from frostline.v1 import dataset_service_pb2 as datasets_pb
from frostline.v1 import model_service_pb2 as pb
from frostline_zoo.catalogue.datasets import DatasetVersionRecord
from frostline_zoo.catalogue.models import ModelRecord, VersionRecord
from frostline_zoo.catalogue.tags import TagRecord


def timestamp(moment: datetime | None) -> Timestamp | None:
    """Returns a moment as a message; None stays None, which leaves a field unset."""
    if moment is None:
        return None
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def model_to_proto(record: ModelRecord) -> pb.Model:
    """Returns a model as a message."""
    return pb.Model(
        name=str(record.name),
        version_count=record.version_count,
        latest_version=str(record.latest_version),
        create_time=timestamp(record.created),
    )


def version_to_proto(record: VersionRecord) -> pb.Version:
    """Returns a version as a message."""
    return pb.Version(
        name=str(record.name),
        digest=record.digest,
        parent=str(record.parent or ""),
        job=record.job or "",
        create_time=timestamp(record.created),
        layer_count=record.layer_count,
        parameter_count=record.parameter_count,
        size_bytes=record.size_bytes,
        added_bytes=record.added_bytes,
        tags=record.tags,
    )


def tag_to_proto(record: TagRecord) -> pb.Tag:
    """Returns a tag as a message."""
    return pb.Tag(name=str(record.name), version=str(record.version), etag=record.etag)


def dataset_version_to_proto(record: DatasetVersionRecord) -> datasets_pb.DatasetVersion:
    """Returns a dataset version as a message."""
    return datasets_pb.DatasetVersion(
        name=str(record.name),
        digest=record.digest,
        spec=str(record.spec),
        example_count=record.example_count,
        class_names=record.class_names,
        class_counts=record.class_counts,
        size_bytes=record.size_bytes,
        create_time=timestamp(record.created),
    )
