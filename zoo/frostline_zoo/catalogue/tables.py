"""The catalogue's tables. SQLite holds them today; nothing here is SQLite's own.

    models ─< versions ─< version_blobs          what a version is made of
       └────< tags >──── versions                movable names
    datasets ─< dataset_versions                 lists of examples; the lists are blobs
    shards                                       blobs that hold examples' contents
    jobs ─< job_events                           what was submitted, and what happened
      └──< job_uses                              what an unfinished job keeps from being deleted
    requests                                     what a repeated request id answers

Blobs and jobs are named by digest and by name, not by foreign key, where they may outlive or precede the row.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)


class Moment(TypeDecorator[datetime]):
    """A point in time: an aware datetime here, whole microseconds since 1970 UTC in the table.

    Whole numbers compare and index alike on every database, and SQLite has no time zones.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Returns microseconds since 1970 UTC."""
        return None if value is None else round(value.timestamp() * 1_000_000)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Returns an aware datetime in UTC."""
        return None if value is None else datetime.fromtimestamp(value / 1_000_000, UTC)


_KEY = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only where the type is INTEGER
_DIGEST = String(71)
_NAME = String(63)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _belongs_to(column: str) -> ForeignKey:
    return ForeignKey(column, ondelete="CASCADE")


models = Table(
    "models",
    metadata,
    Column("id", _KEY, primary_key=True),
    Column("name", _NAME, nullable=False, unique=True),
    Column("created", Moment, nullable=False),
)

versions = Table(
    "versions",
    metadata,
    Column("id", _KEY, primary_key=True),
    Column("model_id", _KEY, _belongs_to("models.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("digest", _DIGEST, nullable=False, index=True),  # of the manifest
    Column("parent", _DIGEST),  # the parent's manifest
    Column("job", String(17)),  # jobs/{job}
    Column("created", Moment, nullable=False),
    Column("layer_count", Integer, nullable=False),
    Column("parameter_count", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("added_bytes", BigInteger, nullable=False),
    UniqueConstraint("model_id", "number"),
)

version_blobs = Table(
    "version_blobs",
    metadata,
    Column("version_id", _KEY, _belongs_to("versions.id"), nullable=False),
    Column("digest", _DIGEST, nullable=False, index=True),
    PrimaryKeyConstraint("version_id", "digest"),
)

tags = Table(
    "tags",
    metadata,
    Column("model_id", _KEY, _belongs_to("models.id"), nullable=False),
    Column("name", _NAME, nullable=False),
    Column("version_id", _KEY, _belongs_to("versions.id"), nullable=False, index=True),
    Column("etag", String(16), nullable=False),  # a new random one at every move
    PrimaryKeyConstraint("model_id", "name"),
)

datasets = Table(
    "datasets",
    metadata,
    Column("id", _KEY, primary_key=True),
    Column("name", _NAME, nullable=False, unique=True),
    Column("created", Moment, nullable=False),
)

dataset_versions = Table(
    "dataset_versions",
    metadata,
    Column("dataset_id", _KEY, _belongs_to("datasets.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("list_digest", _DIGEST, nullable=False),
    Column("spec", Text, nullable=False),
    Column("example_count", BigInteger, nullable=False),
    Column("class_names", JSON, nullable=False),  # [str, ...]
    Column("class_counts", JSON, nullable=False),  # [int, ...]
    Column("size_bytes", BigInteger, nullable=False),
    Column("created", Moment, nullable=False),
    PrimaryKeyConstraint("dataset_id", "number"),
)

shards = Table(
    "shards",
    metadata,
    Column("id", _KEY, primary_key=True),  # in the order in which they came
    Column("digest", _DIGEST, nullable=False, unique=True),
    Column("spec", Text, nullable=False),
    Column("example_count", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created", Moment, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", _KEY, primary_key=True),  # in the order in which they were submitted
    Column("name", String(12), nullable=False, unique=True),
    Column("state", String(16), nullable=False),
    Column("recipe", Text, nullable=False),  # JSON, as submitted
    Column("model", _NAME, nullable=False),  # what the result becomes
    Column("version", Integer),  # its number, once it is there
    Column("error", Text, nullable=False, default=""),
    Column("attempt", Integer, nullable=False, default=0),
    Column("crash_count", Integer, nullable=False, default=0),  # how often its worker died under it
    Column("lease_epoch", Integer, nullable=False, default=0),
    Column("lease_owner", String(64)),
    Column("lease_expires", Moment),
    Column("stages", JSON, nullable=False, default=list),  # [StageResult as an object, ...]
    Column("metrics", JSON, nullable=False, default=dict),  # {metric: number}
    Column("created", Moment, nullable=False),
    Column("started", Moment),
    Column("ended", Moment),
    Column("last_sequence", BigInteger, nullable=False, default=0),
    Index(None, "state", "id"),
)

job_events = Table(
    "job_events",
    metadata,
    Column("job_id", _KEY, _belongs_to("jobs.id"), nullable=False),
    Column("sequence", BigInteger, nullable=False),  # 1, 2, 3, ... within the job
    Column("time", Moment, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("payload", JSON, nullable=False),
    PrimaryKeyConstraint("job_id", "sequence"),
)

job_uses = Table(
    "job_uses",
    metadata,
    Column("job_id", _KEY, _belongs_to("jobs.id"), nullable=False),
    Column("resource", String(80), nullable=False, index=True),  # models/{model} or datasets/{dataset}
    PrimaryKeyConstraint("job_id", "resource"),
)

requests = Table(
    "requests",
    metadata,
    Column("method", String(80), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("request_digest", _DIGEST, nullable=False),
    Column("response", LargeBinary, nullable=False),
    Column("created", Moment, nullable=False, index=True),
    PrimaryKeyConstraint("method", "request_id"),
)
