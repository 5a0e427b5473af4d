"""docs/formats.md: its worked examples are what the code computes, and its tables those of the database."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from frostline_zoo.catalogue.tables import metadata

ROOT = Path(__file__).parent.parent
spec = importlib.util.spec_from_file_location("formats", ROOT / "examples" / "formats.py")
formats = importlib.util.module_from_spec(spec)
spec.loader.exec_module(formats)


@pytest.mark.parametrize("example", formats.EXAMPLES)
def test_the_page_shows_what_the_code_computes(example: Callable[[], Iterator[str]]) -> None:
    shown = (ROOT / "docs" / "formats.md").read_text()
    block = "".join(f"    {line.rstrip()}\n" for line in example())
    assert block in shown, f"docs/formats.md should hold:\n{block}"


def test_every_column_of_the_database_is_described() -> None:
    section = (ROOT / "docs" / "formats.md").read_text().partition("### The database\n")[2].partition("\n## ")[0]
    described: dict[str, list[str]] = {}
    for line in re.sub(r"\(.*?\)|: [^\n]*", "", section, flags=re.DOTALL).splitlines():
        if found := re.match(r"    (\w+)  +(.+)", line):
            columns = described[found[1]] = []
        elif found := re.match(r"     +(.+)()", line):
            columns = described[list(described)[-1]]
        else:
            continue
        columns += re.findall(r"\w+", found[2] or found[1])
    assert described == {table.name: [column.name for column in table.columns] for table in metadata.tables.values()}
