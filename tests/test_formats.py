"""The worked examples of docs/formats.md are what the code computes."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
spec = importlib.util.spec_from_file_location("formats", ROOT / "examples" / "formats.py")
formats = importlib.util.module_from_spec(spec)
spec.loader.exec_module(formats)


@pytest.mark.parametrize("example", formats.EXAMPLES)
def test_the_page_shows_what_the_code_computes(example: Callable[[], Iterator[str]]) -> None:
    shown = (ROOT / "docs" / "formats.md").read_text()
    block = "".join(f"    {line.rstrip()}\n" for line in example())
    assert block in shown, f"docs/formats.md should hold:\n{block}"
