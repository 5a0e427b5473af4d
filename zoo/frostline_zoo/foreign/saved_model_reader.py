"""SavedModels, folders or tarballs of them, read as data: the serving signature's graph as layers of Keras.

Nothing of a graph is run. What the signature reaches must be plain arithmetic; it becomes layers by what it computes
and by the scopes it stands in, its variables by the objects that own them. How the network was saved, set up and
trained stays out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from frostline_zoo.errors import ExhaustedError, InvalidError
from frostline_zoo.foreign.draft import Draft
from frostline_zoo.foreign.files import Files, leads_out
from frostline_zoo.foreign.json_text import parsed
from frostline_zoo.foreign.saved_model.allowed_operations import unsafe_operation
from frostline_zoo.foreign.saved_model.bundle import DTYPES, Bundle
from frostline_zoo.foreign.saved_model.drafting import drafted
from frostline_zoo.foreign.saved_model.graph import Graph, bad_graph
from frostline_zoo.foreign.saved_model.joining import joined
from frostline_zoo.foreign.saved_model.messages import message
from frostline_zoo.foreign.saved_model.operations import Operations
from frostline_zoo.foreign.saved_model.values import AnyValue, Flow, Step
from frostline_zoo.foreign.saved_model.variables import Variables
from frostline_zoo.foreign.tarball import members_of
from frostline_zoo.manifest import Input

GRAPH = "saved_model.pb"
SIGNATURES = ("serving_default", "default")  # of what is served, and of what TF Hub had before that
MAX_GRAPH_BYTES = 64 << 20
_SETS_UP = ("__saved_model_init_op", "saved_model_main_op", "legacy_init_op", "main_op")
_PROGRAM = re.compile(r"\.(so|dll|dylib|pyd)(\.|$)")


@contextmanager
def saved_model(files: Files, main: str) -> Iterator[Draft]:
    """Gives `read_saved_model`'s draft, whose arrays may be read at any time."""
    yield read_saved_model(files.views(), main)


def read_saved_model(files: Mapping[str, bytes | memoryview], main: str) -> Draft:
    """Returns the network that a SavedModel serves.

    Args:
        files: the folder's files by their names in it, or a tarball of it.
        main: which of them is `saved_model.pb`, or the tarball.

    Raises:
        InvalidError: the graph holds more than plain arithmetic (UNSAFE_OP), or what no layer does (UNSUPPORTED_OP);
            names files elsewhere (EXTERNAL_REFERENCE) or layers of code (UNSAFE_LAYER); is damaged (BAD_SAVED_MODEL,
            BAD_GRAPH, BAD_CHECKPOINT, BAD_ARCHIVE) or nested too deep (LIMIT_DEPTH).
        ExhaustedError: it unpacks to more than is taken (LIMIT_INFLATE, LIMIT_MEMBERS, LIMIT_NODES).
    """
    if main.rpartition("/")[2] != GRAPH:
        files = members_of(memoryview(files[main]))
        main = min((name for name in files if name.rpartition("/")[2] == GRAPH), key=len, default="")
        if not main:
            raise _bad("the archive holds no saved_model.pb")
    folder = main.removesuffix(GRAPH)
    views = {name.removeprefix(folder): memoryview(files[name]) for name in files if name.startswith(folder)}
    if len(views[GRAPH]) > MAX_GRAPH_BYTES:
        text = f"the graph is longer than {MAX_GRAPH_BYTES >> 20} MiB: take a smaller network"
        raise ExhaustedError(text, reason="LIMIT_INFLATE")
    saved = message("SavedModel", views[GRAPH], "the graph")
    meta = _served(saved)
    _check_beside(views, meta)
    graph = Graph(meta.graph)
    graph.check_set_up(_set_up_nodes(meta))
    return _drafted(meta, graph, Bundle(views, "variables/variables"))


def _served(saved: Any) -> Any:
    tagged = [meta for meta in saved.meta_graphs if "serve" in meta.info.tags] or list(saved.meta_graphs)
    if not tagged:
        raise _bad("it holds no graph")
    return min(tagged, key=lambda meta: len(meta.info.tags))


def _check_beside(files: Mapping[str, memoryview], meta: Any) -> None:
    """Checks what stands beside the graph: files of others, programs, layers of code."""
    for name in [asset.filename for asset in meta.assets]:
        if leads_out(name) or ":" in name:
            text = f"the graph names a file elsewhere, {name[:80]!r}: save the network again"
            raise InvalidError(text, reason="EXTERNAL_REFERENCE")
    for name, content in files.items():
        if _PROGRAM.search(name.lower()) or bytes(content[:4]) == b"\x7fELF" or bytes(content[:2]) == b"MZ":
            raise unsafe_operation("program", name)
    described = [node.user.metadata for node in meta.objects.nodes]
    if "keras_metadata.pb" in files:
        described += [
            node.metadata for node in message("SavedMetadata", files["keras_metadata.pb"], "its description").nodes
        ]
    if any('"Lambda"' in text for text in described):
        text = "the network has a Lambda layer, which holds code and is not taken in: replace it by built-in layers"
        raise InvalidError(text, reason="UNSAFE_LAYER")


def _set_up_nodes(meta: Any) -> list[str]:
    signatures = [each for entry in meta.signatures if entry.key in _SETS_UP for each in entry.value.outputs]
    names = [each.value.name for each in signatures]
    names += [name for entry in meta.collections if entry.key in _SETS_UP for name in entry.value.nodes.value]
    return [name.partition(":")[0] for name in names]


def _drafted(meta: Any, graph: Graph, bundle: Bundle) -> Draft:
    signatures = {entry.key: entry.value for entry in meta.signatures}
    taken = next((key for key in SIGNATURES if key in signatures), None)
    if taken is None:
        raise _bad(f"it has no signature {' or '.join(SIGNATURES)}")
    signature = signatures[taken]
    inputs, given = [], {}
    for entry in sorted(signature.inputs, key=lambda each: each.key):
        made = _input(entry)
        inputs.append(made)
        given[entry.value.name.partition(":")[0]] = Step("", made.name, "Input", {}, [], (None, *made.shape))
    variables = Variables(meta, bundle)
    operations = Operations(given, variables.read, _dropouts(meta))
    named = sorted(signature.outputs, key=lambda each: each.key)
    results: list[AnyValue] = graph.computed([entry.value.name for entry in named], operations.compute)
    flows = [value for value in results if isinstance(value, Flow)]
    if len(flows) != len(results) or not flows or any(flow.turned for flow in flows):
        raise bad_graph("an output does not depend on the inputs")
    steps, became = joined(operations.steps.all, [flow.step for flow in flows])
    ends = [became.get(id(flow.step), flow.step) for flow in flows]
    draft = drafted(_reaching(steps, ends), inputs, list(given.values()), ends)
    report = draft.report
    report.unexpected += variables.unused()
    report.notes += [f"output {at} is the signature's {entry.key[:80]!r}" for at, entry in enumerate(named)]
    report.notes += [f"numbers of {name} are taken as float32" for name in sorted(operations.rounded)]
    left = sorted(entry.key for entry in meta.signatures if entry.key not in (taken, *_SETS_UP))
    report.notes += [f"the signature {key[:80]!r} was left out" for key in left]
    report.notes += [f"the file {asset.filename[:80]!r} was left out: no layer uses it" for asset in meta.assets]
    return draft


def _reaching(steps: list[Step], ends: list[Step]) -> list[Step]:
    """Returns the steps that an output needs."""
    needed = {id(step) for step in ends}
    for step in reversed(steps):
        if id(step) in needed:
            needed |= {id(each) for each in step.inputs}
    return [step for step in steps if id(step) in needed]


def _input(entry: Any) -> Input:
    shape, dtype = entry.value.shape, DTYPES.get(entry.value.dtype)
    sides = [None if side.size < 0 else side.size for side in shape.sides]
    if dtype is None or shape.unknown_rank or not sides:
        text = f"the signature's input {entry.key[:80]!r} is no tensor of numbers with a batch: export the network so"
        raise InvalidError(text, reason="UNSUPPORTED_OP")
    if sides[0] not in (None, 1):
        raise InvalidError(
            f"the signature takes exactly {sides[0]} examples: export it for any number", reason="BAD_SHAPE"
        )
    return Input(re.sub(r"[^A-Za-z0-9_.-]+", "_", entry.key)[:150].replace("..", "_"), tuple(sides[1:]), dtype.name)


def _dropouts(meta: Any) -> dict[str, float]:
    """Returns the rates of the network's dropouts: a graph does not know what computes nothing in inference mode."""
    found: dict[str, float] = {}
    for text in (node.user.metadata for node in meta.objects.nodes if node.user.identifier == "_tf_keras_layer"):
        described = parsed(text)
        if isinstance(described, dict) and described.get("class_name") == "Dropout":
            config = described.get("config")
            rate = config.get("rate") if isinstance(config, dict) else None
            if isinstance(rate, int | float) and 0 <= rate < 1:
                found[str(described.get("name"))] = float(rate)
    return found


def _bad(what: str) -> InvalidError:
    return InvalidError(f"the SavedModel cannot be read: {what}; save the network again", reason="BAD_SAVED_MODEL")
