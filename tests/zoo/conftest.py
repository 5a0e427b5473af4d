"""A catalogue in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine

from frostline_zoo.catalogue.database import connect, migrate


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """The database of a new data folder, `tmp_path`."""
    engine = connect(tmp_path / "frostline.db")
    migrate(engine)
    return engine
