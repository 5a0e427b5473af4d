"""Checking a recipe against the zoo, before a job is made of it."""

from __future__ import annotations

from frostline_server.training.prepare import prepare
from frostline_server.training.recipe import Recipe
from frostline_server.training.zoo import ZooAccess


def check_recipe(recipe: Recipe, zoo: ZooAccess) -> None:
    """Finds out whether the recipe could run.

    Raises:
        NotFoundError: the base or a dataset does not exist.
        InvalidError: something does not fit; the message names the key or the thing.
    """
    prepare(recipe, zoo)
