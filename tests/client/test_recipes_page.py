"""The recipes in docs/recipes.md are recipes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from frostline_client import read_recipe
from frostline_server.training.recipe import Recipe

PAGE = (Path(__file__).parents[2] / "docs/recipes.md").read_text()
EXAMPLES = [text for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if text.startswith("name:")]


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_is_read_by_client_and_server(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    recipe = Recipe.parse(json.dumps(read_recipe(path)))
    assert recipe.head or recipe.reuse.changes or recipe.reuse.through


def test_there_are_five_complete_examples() -> None:
    assert len(EXAMPLES) == 5


@pytest.mark.parametrize(
    "misspelt", ['{"nmae": 1}', '{"name": "n", "base": "b", "data": {"train": "d"}, "reuse": {"?": 1}}']
)
def test_every_key_has_its_row(misspelt: str) -> None:
    with pytest.raises(Exception, match="unknown: use") as refused:
        Recipe.parse(misspelt)
    keys = str(refused.value).partition(": use ")[2].split(", ")
    assert len(keys) > 5
    assert [key for key in keys if f"| `{key}` |" not in PAGE] == []
