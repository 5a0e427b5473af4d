"""Every status that an RPC's code can end with stands in its .proto file.

What the code can raise is read from the code: from the `raise` statements of the services, and from the Raises of what
they use of other packages.
"""

from __future__ import annotations

import ast
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from frostline_server import services
from frostline_server.services.errors import STATUS_OF
from frostline_zoo import errors
from frostline_zoo.errors import ZooError

PROTOS = Path(__file__).parent.parent / "protos" / "frostline" / "v1"

UNREACHED = {
    "UploadBlob": {"NOT_FOUND", "DATA_LOSS"},  # it asks for the size of a blob that it has just seen or stored
    "QueryUpload": {"NOT_FOUND", "DATA_LOSS"},
}
"""What the code seems to end with and does not, by RPC."""


def documented() -> dict[tuple[str, str], set[str]]:
    """Returns the statuses that each RPC lists, by the names of its service and itself."""
    found = {}
    for path in PROTOS.glob("*.proto"):
        service, _, calls = path.read_text().partition("\nservice ")[2].partition(" {\n")
        for comment, name in re.findall(r"((?:  //.*\n)+)  rpc (\w+)\(", calls):
            found[service, name] = set(re.findall(r"//   ([A-Z_]+)  ", comment))
    return found


def servicers() -> Iterator[type]:
    for module in pkgutil.iter_modules(services.__path__, f"{services.__name__}."):
        for thing in vars(import_module(module.name)).values():
            if inspect.isclass(thing) and thing.__name__.endswith("Service") and thing.__module__ == module.name:
                yield thing


def raised_by(function: Any, owner: Any, seen: set[Any]) -> set[type[ZooError]]:
    """Returns the errors that a function of a service raises, and those of what it uses."""
    if function in seen:
        return set()
    seen.add(function)
    found: set[type[ZooError]] = set()
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            thing = meaning(node.exc.func, function, owner)
            found |= {thing} if inspect.isclass(thing) and issubclass(thing, ZooError) else set()
        elif isinstance(node, ast.Name | ast.Attribute):
            used = inspect.unwrap(getattr(thing := meaning(node, function, owner), "__func__", thing))
            if inspect.isfunction(used):
                ours = used.__module__ == function.__module__
                found |= raised_by(used, owner, seen) if ours else promised_by(used)
    return found


def meaning(node: ast.expr, function: Any, owner: Any) -> Any:
    """Returns what an expression such as `self._models.get` stands for in a function; None where that is not known."""
    if isinstance(node, ast.Name):
        return owner if node.id == "self" else function.__globals__.get(node.id)
    if not isinstance(node, ast.Attribute):
        return None
    whole = meaning(node.value, function, owner)
    if whole is owner and owner is not None and not hasattr(owner, node.attr):
        return get_type_hints(owner.__init__).get(node.attr.removeprefix("_"))
    return getattr(whole, node.attr, None)


def promised_by(function: Any) -> set[type[ZooError]]:
    raises = (function.__doc__ or "").partition("Raises")[2]
    return {error for name in re.findall(r"\w+Error", raises) if (error := getattr(errors, name, None)) in STATUS_OF}


@pytest.mark.parametrize(("service", "name"), documented())
def test_an_rpc_lists_every_status_that_its_code_can_end_with(service: str, name: str) -> None:
    (servicer,) = [kind for kind in servicers() if kind.__name__ == service]
    statuses = {STATUS_OF[error].name for error in raised_by(vars(servicer)[name], servicer, set())}
    assert statuses - documented()[service, name] - UNREACHED.get(name, set()) == set()
