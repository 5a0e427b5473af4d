"""The database: migrations, durability settings, and one writer beside many readers."""

from __future__ import annotations

import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, func, insert, select, text

from frostline_zoo.catalogue.database import migrate, now, reading
from frostline_zoo.catalogue.tables import metadata, models
from frostline_zoo.errors import ExhaustedError


def test_the_migrations_lead_to_the_tables_that_the_code_declares(engine: Engine) -> None:
    with engine.begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_migrating_twice_changes_nothing(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(insert(models).values(name="kept", created=now()))
    migrate(engine)
    with reading(engine) as connection:
        assert connection.scalar(select(models.c.name)) == "kept"


def test_a_commit_is_synced_and_foreign_keys_hold(engine: Engine) -> None:
    with reading(engine) as connection:
        assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(text("PRAGMA synchronous")) == 2
        assert connection.scalar(text("PRAGMA foreign_keys")) == 1


def test_a_moment_comes_back_as_it_was_to_the_microsecond(engine: Engine) -> None:
    moment = now()
    with engine.begin() as connection:
        connection.execute(insert(models).values(name="m", created=moment))
    with reading(engine) as connection:
        assert connection.scalar(select(models.c.created)) == moment


def test_a_reader_waits_for_no_writer_and_sees_one_snapshot(engine: Engine) -> None:
    with reading(engine) as reader:
        assert reader.scalar(select(func.count()).select_from(models)) == 0
        with engine.begin() as writer:
            writer.execute(insert(models).values(name="m", created=now()))
        assert reader.scalar(select(func.count()).select_from(models)) == 0


def test_writers_that_read_first_never_lose_an_update(engine: Engine) -> None:
    def add_ten() -> None:
        for _ in range(10):
            with engine.begin() as connection:
                count = connection.scalar(select(func.count()).select_from(models))
                connection.execute(insert(models).values(name=f"m{count}", created=now()))

    threads = [threading.Thread(target=add_ten) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with reading(engine) as connection:
        assert connection.scalar(select(func.count()).select_from(models)) == 40


def test_a_full_disk_is_an_exhausted_resource(engine: Engine) -> None:
    rows = [{"name": f"model-{number}", "created": now()} for number in range(10_000)]
    with engine.begin() as connection:
        connection.execute(text(f"PRAGMA max_page_count = {connection.scalar(text('PRAGMA page_count'))}"))
        with pytest.raises(ExhaustedError, match="the server's disk is full"):
            connection.execute(insert(models), rows)
