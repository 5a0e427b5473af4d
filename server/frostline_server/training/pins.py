"""Pinning: a recipe's references made exact, so that a job runs on what was there when it was submitted."""

from __future__ import annotations

import json

from frostline_server.training.recipe import Recipe
from frostline_zoo.catalogue.datasets import Datasets
from frostline_zoo.catalogue.models import Models
from frostline_zoo.names import parse_dataset_reference, parse_model_reference


def pinned(text: str, models: Models, datasets: Datasets) -> str:
    """Returns the recipe with its base and datasets written `NAME@VERSION`.

    Raises:
        InvalidError: the text is not a recipe.
        NotFoundError: the base or a dataset does not exist.
    """
    recipe, value = Recipe.parse(text), json.loads(text)
    if recipe.base is not None:
        version = models.version(parse_model_reference(recipe.base)).name
        value["base"] = f"{version.model}@{version.number}"
    for key, reference in (("train", recipe.data.train), ("validation", recipe.data.validation)):
        if reference is not None:
            dataset = datasets.get(parse_dataset_reference(reference)).name
            value["data"][key] = f"{dataset.dataset}@{dataset.number}"
    return json.dumps(value)
