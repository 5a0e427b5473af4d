"""Recipes: what a train job is to do. docs/recipes.md describes every key.

A recipe is a dict, or the same thing as a YAML (or JSON) file. What it may hold is for the server to judge; here it is
only read, and built from the arguments of `Client.train`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from frostline_client.errors import InvalidError

_LARGEST_BYTES = 3 << 20  # what a message holds, and thousands of times what a recipe needs


def read_recipe(path: str | Path) -> dict[str, Any]:
    """Reads a recipe from a YAML or JSON file. Raises as `read_yaml`."""
    return read_yaml(path, "recipe", "keys such as name, base, head, data")


def read_name_map(path: str | Path) -> dict[str, Any]:
    """Reads a map of names, theirs to ours, from a YAML or JSON file. Raises as `read_yaml`."""
    return read_yaml(path, "map of names", "their names, each with ours, such as fc1/weights: h1/kernel")


def read_yaml(path: str | Path, what: str, such_as: str) -> dict[str, Any]:
    """Reads an object from a YAML or JSON file; a refusal says `what` it should be, and what it holds.

    Raises:
        OSError: the file cannot be read.
        InvalidError: it is not YAML (the message says where), or not an object.
    """
    path = Path(path)
    try:
        value = yaml.load(path.read_text("utf-8"), _Loader)
    except UnicodeDecodeError:
        raise InvalidError(f"{path}: not a text file: write the {what} as YAML", reason="BAD_YAML") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "the file"
        raise InvalidError(f"{path}: {where}: {error.problem}", reason="BAD_YAML") from None
    except yaml.YAMLError:
        raise InvalidError(
            f"{path}: not YAML: it holds characters that YAML does not allow", reason="BAD_YAML"
        ) from None
    except RecursionError:
        raise InvalidError(f"{path}: nested too deep to be a {what}", reason="BAD_YAML") from None
    if not isinstance(value, dict):
        raise InvalidError(f"{path}: not a {what}: write {such_as}", reason="BAD_YAML")
    return value


def build_recipe(
    *,
    name: str,
    data: Any,
    base: Any = None,
    reuse: Any = None,
    augment: Any = (),
    head: Any = (),
    validation: Any = None,
    preprocessing: Mapping[str, Any] | None = None,
    loss: Any = None,
    metrics: Sequence[Any] | None = None,
    seed: int | None = None,
    stages: Sequence[Mapping[str, Any]] | None = None,
    cache: Any = None,
    **stage: Any,
) -> dict[str, Any]:
    """Returns the recipe that the arguments of `Client.train` say. Keys that they leave open are left out.

    Raises:
        InvalidError: both `stages` and the parts of a single stage are given.
    """
    stage = {key: value for key, value in stage.items() if value is not None}
    if stage and stages is not None:
        raise InvalidError(f"{', '.join(sorted(stage))}: put it into each of the stages")
    recipe: dict[str, Any] = {
        "name": name,
        "base": _reference(base),
        "reuse": _reuse(reuse),
        "augment": _layers(augment),
        "head": _layers(head),
        "data": {"train": _reference(data)} | ({} if validation is None else {"validation": _validation(validation)}),
        "preprocessing": preprocessing,
        "loss": loss,
        "metrics": metrics,
        "seed": seed,
        "stages": [_stage(part) for part in stages] if stages is not None else [_stage(stage)] if stage else None,
        "cache": cache,
    }
    return {
        key: value for key, value in recipe.items() if not (value is None or (isinstance(value, list) and not value))
    }


def to_json(recipe: Any) -> str:
    """Returns a recipe as JSON; NumPy's numbers become Python's.

    Raises:
        InvalidError: it holds what JSON cannot; the message names the key.
    """
    try:
        text = json.dumps(_as_json(recipe, ""))
    except RecursionError:
        raise InvalidError("recipe: it is nested too deep to be one", reason="BAD_RECIPE") from None
    if len(text) > _LARGEST_BYTES:
        raise InvalidError(f"recipe: it has {len(text):,} bytes, {_LARGEST_BYTES:,} are taken", reason="BAD_RECIPE")
    return text


def _as_json(value: Any, place: str) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _as_json(part, f"{place}.{key}" if place else str(key)) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(part, f"{place}[{index}]") for index, part in enumerate(value)]
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, float) and not math.isfinite(plain):
        raise InvalidError(f"recipe: {place} is {plain}: write a finite number", reason="BAD_RECIPE")
    if not isinstance(plain, str | int | float | None):
        kind = type(plain).__name__
        raise InvalidError(f"recipe: {place} is a {kind}: write texts, numbers, lists and objects", reason="BAD_RECIPE")
    return plain


def _layers(layers: Any) -> list[Any]:
    """Returns layers as a list, which a single one need not be in."""
    return [layers] if isinstance(layers, Mapping | str) else list(layers)


def _reuse(reuse: Any) -> Any:
    if not isinstance(reuse, Mapping):
        return None if reuse is None else {"through": reuse}
    # References stand as the names that a recipe has for them.
    surgery = dict(reuse)
    if isinstance(surgery.get("replace"), Mapping):
        surgery["replace"] = {str(layer): _taken(new) for layer, new in surgery["replace"].items()}
    if isinstance(surgery.get("insert"), list | tuple):
        surgery["insert"] = [
            {**each, "layer": _taken(each["layer"])} if isinstance(each, Mapping) and "layer" in each else each
            for each in surgery["insert"]
        ]
    return surgery


def _taken(layer: Any) -> Any:
    return {**layer, "from": _reference(layer["from"])} if isinstance(layer, Mapping) and "from" in layer else layer


def _stage(stage: Mapping[str, Any]) -> dict[str, Any]:
    freeze = stage.get("freeze")
    if isinstance(freeze, str) and freeze != "none":
        freeze = {"through": freeze}
    elif isinstance(freeze, list | tuple):
        freeze = {"through": list(freeze)}
    return {**stage, **({} if freeze is None else {"freeze": freeze})}


def _validation(validation: Any) -> Any:
    return {"fraction": validation} if isinstance(validation, float | np.floating) else _reference(validation)


def _reference(thing: Any) -> Any:
    """Returns the name by which a recipe knows a version of a model or dataset."""
    return getattr(thing, "name", thing)


class _Loader(yaml.SafeLoader):
    """YAML 1.2's core: `1e-3` is a number, `no` and `12:30` are texts, and no key stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen and key.value != "<<":
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} stands here twice", key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else "")
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {}
_PATTERNS = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", ["t", "T", "f", "F"]),
    "int": (r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    "merge": (r"<<", ["<"]),
}
for _kind, (_pattern, _first) in _PATTERNS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(rf"(?:{_pattern})$"), _first)
