"""Pinning: a recipe's references made exact, so that a job runs on what was there when it was submitted."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from frostline_server.training.place import named_by
from frostline_server.training.recipe import Recipe
from frostline_zoo.catalogue.datasets import Datasets
from frostline_zoo.catalogue.models import Models
from frostline_zoo.errors import FailedPreconditionError, NotFoundError
from frostline_zoo.names import parse_dataset_reference, parse_model_reference


def pinned(text: str, models: Models, datasets: Datasets) -> str:
    """Returns the recipe with its models and datasets written `NAME@VERSION`.

    Raises:
        InvalidError: the text is not a recipe.
        NotFoundError: a model or dataset does not exist; the message names the key too.
    """
    recipe, value = Recipe.parse(text), json.loads(text)

    def exact(model: str, key: str) -> str:
        with named_by(key):
            version = models.version(parse_model_reference(model)).name
        return f"{version.model}@{version.number}"

    if recipe.base is not None:
        value["base"] = exact(recipe.base, "base")
    for key, part in _taken(value.get("reuse") or {}):
        part["from"] = exact(part["from"], f"{key}.from")
    for key, reference in (("train", recipe.data.train), ("validation", recipe.data.validation)):
        if reference is not None:
            with named_by(f"data.{key}"):
                dataset = datasets.get(parse_dataset_reference(reference)).name
            value["data"][key] = f"{dataset.dataset}@{dataset.number}"
    return json.dumps(value)


def check_pins(text: str, submitted: datetime, models: Models, datasets: Datasets) -> None:
    """Checks that what a pinned recipe names is what it was when it was submitted: versions of what was deleted and
    made anew are counted from 1 again.

    Raises:
        FailedPreconditionError: something is gone, or another one by now.
    """
    recipe, value = Recipe.parse(text), json.loads(text)
    of_models = [recipe.base, *(part["from"] for _, part in _taken(value.get("reuse") or {}))]
    of_datasets = [recipe.data.train, recipe.data.validation]
    names: list[tuple[Callable[[Any], Any], Any]] = [
        *((models.version, parse_model_reference(name)) for name in of_models if name is not None),
        *((datasets.get, parse_dataset_reference(name)) for name in of_datasets if name is not None),
    ]
    for read, name in names:
        try:
            is_other = read(name).created > submitted
        except NotFoundError:
            is_other = True
        if is_other:
            message = f"{name} was deleted since the job was submitted: submit the recipe again, on what there is now"
            raise FailedPreconditionError(message, reason="PIN_LOST", name=str(name))


def _taken(reuse: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Returns the layers that a recipe takes from other models, as its JSON has them, by their places in it."""
    layers = [(f"reuse.replace.{name}", layer) for name, layer in (reuse.get("replace") or {}).items()]
    layers += [(f"reuse.insert[{at}].layer", each["layer"]) for at, each in enumerate(reuse.get("insert") or [])]
    return [(key, layer) for key, layer in layers if isinstance(layer, dict) and "from" in layer]
