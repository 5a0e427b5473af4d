"""The catalogue's database: how it is opened, read and written.

with engine.begin() as connection:      writes: one writer at a time, durable when the block ends
with reading(engine) as connection:     reads: one consistent snapshot, beside a writer
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event

from frostline_zoo.errors import full_disk

BUSY_TIMEOUT_SECONDS = 30
_READING = "frostline_reading"


def connect(path: Path) -> Engine:
    """Opens the SQLite database at `path`, made where it is missing. Its tables come with `migrate`."""
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    event.listen(engine, "handle_error", _refuse_when_full)
    return engine


def migrate(engine: Engine) -> None:
    """Brings the tables to the newest form, step by step, all in one transaction."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Gives a connection that reads one snapshot and waits for no writer."""
    with engine.connect().execution_options(**{_READING: True}) as connection, connection.begin():
        yield connection


def now() -> datetime:
    """Returns the time that rows are stamped with."""
    return datetime.now(UTC)


def _set_up(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver would begin transactions by itself, and not IMMEDIATE
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")  # NORMAL loses acknowledged commits in a power cut
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _refuse_when_full(context: ExceptionContext) -> None:
    """Turns the database's word for a full disk into ours."""
    if getattr(context.original_exception, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        raise full_disk() from context.original_exception


def _begin(connection: Connection) -> None:
    # A writer that begins as a reader fails where another one wrote meanwhile, however long it would wait.
    reads = connection.get_execution_options().get(_READING, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
