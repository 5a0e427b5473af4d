"""What alembic runs for each migration: on the connection, and in the transaction, that `migrate` gives."""

from __future__ import annotations

from alembic import context

from frostline_zoo.catalogue.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by making it anew
)
context.run_migrations()
