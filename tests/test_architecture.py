"""Imports run one way: client -> protos <- server -> zoo; in the server services -> jobs -> training -> features."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ["protos/frostline", "zoo/frostline_zoo", "server/frostline_server", "client/frostline_client"]
BELOW = {"frostline_server": {"frostline", "frostline_zoo"}, "frostline_client": {"frostline"}}
LAYERS = ["jail", "engine", "features", "training", "jobs", "services"]
KERAS = ("keras.", "tensorflow.", "frostline_zoo.networks.")
PARSERS = ("h5py.", "onnx.", "zipfile.", "tarfile.", "google.protobuf.text_format.")
MAY_USE_KERAS = (
    "frostline_zoo.networks.",
    "frostline_server.engine.",
    "frostline_server.training.",
    *(f"frostline_server.jobs.{module}." for module in ("trainer", "bench", "predictor", "warming")),
)
VAGUE = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}


def imports(path: Path) -> set[str]:
    """Returns the full names that the module at `path` imports, at its top or inside a function."""
    nodes = list(ast.walk(ast.parse(path.read_bytes())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return names | {f"{n.module}.{alias.name}" for n in nodes if isinstance(n, ast.ImportFrom) for alias in n.names}


MODULES = {
    ".".join(path.relative_to(ROOT / package.split("/")[0]).with_suffix("").parts): imports(path)
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
}
IMPORTS = [(module, imported) for module in MODULES for imported in sorted(MODULES[module])]


def height(module: str) -> int:
    part = module.split(".")[1]
    return LAYERS.index(part) if part in LAYERS else len(LAYERS)


def test_distributions_import_only_what_is_below_them() -> None:
    ours = {package.split("/")[1] for package in PACKAGES}
    upward = [
        (module, imported)
        for module, imported in IMPORTS
        if imported.split(".")[0] in ours - {module.split(".")[0]} - BELOW.get(module.split(".")[0], set())
    ]
    assert upward == []


def test_the_layers_of_the_server_import_only_downwards() -> None:
    server = [pair for pair in IMPORTS if all(name.startswith("frostline_server.") for name in pair)]
    assert [(module, imported) for module, imported in server if height(imported) > height(module)] == []


def test_only_who_puts_a_server_together_chooses_a_blob_store() -> None:
    users = {module for module, imported in IMPORTS if imported.startswith("frostline_zoo.blobs.local.")}
    assert users == {"frostline_server.wiring"}


def test_only_what_runs_in_a_worker_imports_keras() -> None:
    users = {module for module, imported in IMPORTS if f"{imported}.".startswith(KERAS)}
    assert {module for module in users if not f"{module}.".startswith(MAY_USE_KERAS)} == set()


LOADERS = re.compile(
    r"\b(load_model|load_weights|deserialize_keras_object|enable_unsafe_deserialization|saved_model\.load)\b"
)


def test_nobody_calls_what_loads_files_by_running_what_they_say() -> None:
    sources = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    assert len(sources) > 200
    assert [str(path) for path in sources if LOADERS.search(path.read_text())] == []


WRITES_ONNX = "frostline_zoo.networks.onnx_writer."


def test_only_what_runs_in_the_jail_parses_files_of_other_tools() -> None:
    users = {module for module, imported in IMPORTS if f"{imported}.".startswith(PARSERS)}
    # The client reads its user's own files; exports are written only.
    ours = {module for module in users if not module.startswith(("frostline_client.", WRITES_ONNX))}
    assert {module for module in ours if not module.startswith("frostline_zoo.foreign.")} == set()


def test_what_runs_in_the_jail_stays_without_tensorflow() -> None:
    code = (
        f"import sys, frostline_server.jail.child\n{LOAD_READERS}\nprint({{'keras', 'tensorflow'}} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"


LOAD_READERS = "from frostline_zoo.foreign import formats, reader\nfor name in formats.FORMATS: reader.reader_for(name)"


def dependencies(project: dict[str, Any]) -> set[str]:
    """Returns what an installation asks for: by itself, by its extras, and by those of our distributions it needs."""
    listed = [*project["dependencies"], *chain(*project.get("optional-dependencies", {}).values())]
    names = {re.split(r"[^a-z0-9-]", requirement.lower())[0] for requirement in listed}
    return names.union(*(dependencies(projects()[name]) for name in names & projects().keys()))


def projects() -> dict[str, dict[str, Any]]:
    files = [ROOT / package.split("/")[0] / "pyproject.toml" for package in PACKAGES]
    found = [tomllib.loads(file.read_text())["project"] for file in files]
    return {project["name"]: project for project in found}


@pytest.mark.parametrize("name", projects())
def test_every_import_is_of_a_declared_dependency(name: str) -> None:
    ours = {"frostline", "frostline_zoo", "frostline_server", "frostline_client"}
    package = name.replace("-", "_").removesuffix("_protos")
    imported = {i.split(".")[0] for module, i in IMPORTS if module.split(".")[0] == package}
    owners = packages_distributions()
    third = {top: owners.get(top, ["missing"]) for top in imported - sys.stdlib_module_names - ours}
    needed = {top: {owner.lower().replace("_", "-") for owner in owners} for top, owners in third.items()}
    assert {top for top, owners in needed.items() if not owners & dependencies(projects()[name])} == set()


def test_modules_are_named_for_what_they_hold() -> None:
    assert [module for module in MODULES if VAGUE & set(module.split("."))] == []


@pytest.mark.parametrize("module", ["frostline_server.main", "frostline_server.app", "frostline_client.cli.main"])
def test_the_processes_at_the_edge_stay_without_tensorflow(module: str) -> None:
    code = f"import sys, {module}; print({{'keras', 'tensorflow', 'h5py'}} & set(sys.modules) or 'none')"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "none\n"
