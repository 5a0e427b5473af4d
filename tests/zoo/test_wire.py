"""What leaves the jail: it comes back as it was, and nothing else is taken for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from frostline_zoo.errors import ExhaustedError, InvalidError
from frostline_zoo.foreign.draft import Draft, DraftLayer, Report
from frostline_zoo.foreign.tree import Group, KerasNetwork, Weights
from frostline_zoo.foreign.wire import decode, encode
from frostline_zoo.manifest import Call, Input, TensorRef
from frostline_zoo.preprocessing import Preprocessing

KERNEL, BIAS = np.arange(12, dtype="float32").reshape(4, 3), np.ones(3, ml_dtypes.bfloat16)
CALL = Call([{"tensor": ["x", 0, 0]}], {"training": False})
LAYER = DraftLayer("d", "Dense", {"units": 3}, (CALL,), (KERNEL, BIAS))
REPORT = Report(["a"], [("b", "c")], ["d"], ["e"], [("f", (1, 2), (2, 1))], ["g"])
DRAFT = Draft(
    (Input("x", (4, None), "float32"),), (LAYER,), (TensorRef("d"),), REPORT, Preprocessing(0.5, (1.0, -2.0), "area")
)
TREE = Group((), {"d": Group(("k",), {"k": KERNEL, "same": KERNEL, "empty": np.zeros((0, 2), "int64")})})
NETWORK = KerasNetwork("keras", {"class_name": "Sequential", "config": {"names": ["\u00e4"]}}, "3.1", TREE, ("a note",))


def written(network: Any) -> bytes:
    return b"".join(encode(network))


def rewritten(change: Callable[[dict[str, Any]], Any], network: Any = DRAFT) -> bytes:
    """Returns a network's bytes with its header changed."""
    content = written(network)
    size = int.from_bytes(content[:8], "big")
    header = json.loads(content[8 : 8 + size])
    change(header)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "big") + text + content[8 + size :]


def test_a_draft_comes_back_as_it_was() -> None:
    back = decode(memoryview(written(DRAFT)))
    assert isinstance(back, Draft)
    assert (back.inputs, back.outputs, back.report) == (DRAFT.inputs, DRAFT.outputs, DRAFT.report)
    assert back.preprocessing == DRAFT.preprocessing
    (layer,) = back.layers
    assert (layer.name, layer.class_name, layer.config, layer.calls) == ("d", "Dense", {"units": 3}, (CALL,))
    for array, expected in zip(layer.weights, (KERNEL, BIAS), strict=True):
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)


def test_a_tree_comes_back_as_it_was_and_one_array_once() -> None:
    back = decode(memoryview(written(NETWORK)))
    assert isinstance(back, KerasNetwork)
    assert (back.config, back.keras_version, back.notes) == (NETWORK.config, "3.1", ("a note",))
    group = back.weights.at("d")
    assert isinstance(group, Group)
    assert (group.weight_names, list(group.members)) == (("k",), ["k", "same", "empty"])
    assert group.at("k") is group.at("same")


@pytest.mark.parametrize("network", [DRAFT, NETWORK], ids=["draft", "tree"])
def test_bytes_that_are_cut_or_go_on_are_refused(network: Any) -> None:
    content = written(network)
    for size in [*range(0, len(content), 7), len(content) - 1]:
        with pytest.raises(InvalidError):
            decode(memoryview(content[:size]))
    with pytest.raises(InvalidError):
        decode(memoryview(content + b"x"))


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "another kind": lambda h: h.update(kind="pickle"),
    "a key more": lambda h: h.update(more=1),
    "a key less": lambda h: h.pop("outputs"),
    "an array of no type": lambda h: h["arrays"][0].__setitem__(0, "O"),
    "an array with a negative side": lambda h: h["arrays"][0].__setitem__(1, [-4, -3]),
    "an array with a huge side": lambda h: h["arrays"][0].__setitem__(1, [1 << 60]),
    "an array of nothing with huge sides": lambda h: h["arrays"].append(["F32", [0, 1 << 40, 1 << 40]]),
    "an array with true for a side": lambda h: h["arrays"][0].__setitem__(1, [True, 12]),
    "an array that is longer": lambda h: h["arrays"][0].__setitem__(1, [4, 300]),
    "an array that belongs to nothing": lambda h: h["layers"][0].update(weights=[0]),
    "an array that is not there": lambda h: h["layers"][0].update(weights=[0, 2]),
    "a report that moves the cursor": lambda h: h["report"]["unexpected"].append("\x1b[2J"),
    "a report of half a sign": lambda h: h["report"]["notes"].append("\ud800"),
    "a class that is a path": lambda h: h["layers"][0].update({"class": "os.system"}),
    "a name that is a path": lambda h: h["layers"][0].update(name="../d"),
    "a config that is no object": lambda h: h["layers"][0].update(config=[]),
    "no calls": lambda h: h["layers"][0].update(calls=[]),
    "a tensor of three words": lambda h: h["layers"][0].update(calls=[[[{"tensor": ["x", "0", 0]}], {}]]),
    "a tensor that nothing makes": lambda h: h.update(outputs=[["d", 1, 0]]),
    "two layers of one name": lambda h: h["layers"][0].update(name="x"),
    "no inputs": lambda h: h.update(inputs=[]),
    "an input of no type": lambda h: h["inputs"][0].__setitem__(2, "object"),
    "a report of numbers": lambda h: h["report"].update(notes=[7]),
    "a preprocessing of words": lambda h: h["preprocessing"].update(scale="1"),
    "a preprocessing past all numbers": lambda h: h["preprocessing"].update(offset=[10**400]),
    "a very long name": lambda h: h["layers"][0].update(name="d" * 300),
    "a deep config": lambda h: h["layers"][0].update(config=json.loads('{"a":' * 300 + "1" + "}" * 300)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_header_that_is_not_one_is_refused(change: str) -> None:
    with pytest.raises(InvalidError) as refused:
        decode(memoryview(rewritten(CHANGES[change])))
    assert refused.value.reason == "PARSER_CRASHED"


def test_arrays_too_large_or_of_objects_are_refused_before_they_are_read() -> None:
    class Huge:
        shape, dtype = (1 << 30, 4), np.dtype("float32")

        def __getitem__(self, key: object) -> Any:
            raise AssertionError("it was read")

    with pytest.raises(ExhaustedError) as large:
        written(KerasNetwork("keras", {}, "", Group((), {"w": Huge()}), ()))
    assert large.value.reason == "LIMIT_PARAMS"
    with pytest.raises(InvalidError) as objects:
        written(KerasNetwork("keras", {}, "", Group((), {"w": np.array(["a"])}), ()))
    assert objects.value.reason == "BAD_WEIGHTS"


def test_weights_come_back_by_their_names() -> None:
    came = decode(memoryview(written(Weights({"a/b": KERNEL, "c": BIAS}, ("a note",)))))
    assert isinstance(came, Weights)
    assert came.notes == ("a note",)
    np.testing.assert_array_equal(came.arrays["a/b"][()], KERNEL)
    np.testing.assert_array_equal(came.arrays["c"][()], BIAS)
