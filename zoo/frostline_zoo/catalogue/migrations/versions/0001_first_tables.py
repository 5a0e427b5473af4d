"""The first tables: models, datasets, jobs and request ids.

Revision ID: 0001
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.BigInteger()
DIGEST = sa.String(71)
NAME = sa.String(63)


def upgrade() -> None:
    """Makes the tables."""
    _models()
    _datasets()
    _jobs()
    op.create_table(
        "requests",
        _column("method", sa.String(80)),
        _column("request_id", sa.String(64)),
        _column("request_digest", DIGEST),
        _column("response", sa.LargeBinary()),
        _column("created", MOMENT),
        sa.PrimaryKeyConstraint("method", "request_id", name="pk_requests"),
    )
    op.create_index("ix_requests_created", "requests", ["created"])


def _models() -> None:
    op.create_table(
        "models",
        _column("id", KEY),
        _column("name", NAME),
        _column("created", MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.UniqueConstraint("name", name="uq_models_name"),
    )
    op.create_table(
        "versions",
        _column("id", KEY),
        _column("model_id", KEY),
        _column("number", sa.Integer()),
        _column("digest", DIGEST),
        sa.Column("parent", DIGEST),
        sa.Column("job", sa.String(17)),
        _column("created", MOMENT),
        _column("layer_count", sa.Integer()),
        _column("parameter_count", sa.BigInteger()),
        _column("size_bytes", sa.BigInteger()),
        _column("added_bytes", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_versions"),
        sa.UniqueConstraint("model_id", "number", name="uq_versions_model_id_number"),
        _belongs_to("models", "versions", "model_id"),
    )
    op.create_index("ix_versions_digest", "versions", ["digest"])
    op.create_table(
        "version_blobs",
        _column("version_id", KEY),
        _column("digest", DIGEST),
        sa.PrimaryKeyConstraint("version_id", "digest", name="pk_version_blobs"),
        _belongs_to("versions", "version_blobs", "version_id"),
    )
    op.create_index("ix_version_blobs_digest", "version_blobs", ["digest"])
    op.create_table(
        "tags",
        _column("model_id", KEY),
        _column("name", NAME),
        _column("version_id", KEY),
        _column("etag", sa.String(16)),
        sa.PrimaryKeyConstraint("model_id", "name", name="pk_tags"),
        _belongs_to("models", "tags", "model_id"),
        _belongs_to("versions", "tags", "version_id"),
    )
    op.create_index("ix_tags_version_id", "tags", ["version_id"])


def _datasets() -> None:
    op.create_table(
        "datasets",
        _column("id", KEY),
        _column("name", NAME),
        _column("created", MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_datasets"),
        sa.UniqueConstraint("name", name="uq_datasets_name"),
    )
    op.create_table(
        "dataset_versions",
        _column("dataset_id", KEY),
        _column("number", sa.Integer()),
        _column("list_digest", DIGEST),
        _column("spec", sa.Text()),
        _column("example_count", sa.BigInteger()),
        _column("class_names", sa.JSON()),
        _column("class_counts", sa.JSON()),
        _column("size_bytes", sa.BigInteger()),
        _column("created", MOMENT),
        sa.PrimaryKeyConstraint("dataset_id", "number", name="pk_dataset_versions"),
        _belongs_to("datasets", "dataset_versions", "dataset_id"),
    )
    op.create_table(
        "shards",
        _column("id", KEY),
        _column("digest", DIGEST),
        _column("spec", sa.Text()),
        _column("example_count", sa.BigInteger()),
        _column("size_bytes", sa.BigInteger()),
        _column("created", MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_shards"),
        sa.UniqueConstraint("digest", name="uq_shards_digest"),
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        _column("id", KEY),
        _column("name", sa.String(12)),
        _column("state", sa.String(16)),
        _column("recipe", sa.Text()),
        _column("model", NAME),
        sa.Column("version", sa.Integer()),
        _column("error", sa.Text()),
        _column("attempt", sa.Integer()),
        _column("crash_count", sa.Integer()),
        _column("lease_epoch", sa.Integer()),
        sa.Column("lease_owner", sa.String(64)),
        sa.Column("lease_expires", MOMENT),
        _column("stages", sa.JSON()),
        _column("metrics", sa.JSON()),
        _column("created", MOMENT),
        sa.Column("started", MOMENT),
        sa.Column("ended", MOMENT),
        _column("last_sequence", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint("name", name="uq_jobs_name"),
    )
    op.create_index("ix_jobs_state_id", "jobs", ["state", "id"])
    op.create_table(
        "job_events",
        _column("job_id", KEY),
        _column("sequence", sa.BigInteger()),
        _column("time", MOMENT),
        _column("kind", sa.String(32)),
        _column("payload", sa.JSON()),
        sa.PrimaryKeyConstraint("job_id", "sequence", name="pk_job_events"),
        _belongs_to("jobs", "job_events", "job_id"),
    )
    op.create_table(
        "job_uses",
        _column("job_id", KEY),
        _column("resource", sa.String(80)),
        sa.PrimaryKeyConstraint("job_id", "resource", name="pk_job_uses"),
        _belongs_to("jobs", "job_uses", "job_id"),
    )
    op.create_index("ix_job_uses_resource", "job_uses", ["resource"])


def _column(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def _belongs_to(parent: str, child: str, column: str) -> sa.ForeignKeyConstraint:
    name = f"fk_{child}_{column}"
    return sa.ForeignKeyConstraint([column], [f"{parent}.id"], name=name, ondelete="CASCADE")
