"""Predictions through a real server."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline.v1.prediction_service_pb2 import PredictRequest
from frostline.v1.prediction_service_pb2_grpc import PredictionServiceStub
from frostline_client import Client
from frostline_client.channel import Channel
from frostline_client.errors import InvalidError, NotFoundError


def test_rows_of_any_number_give_as_many_outputs(zoo: Client, trained: Any) -> None:
    many = np.random.default_rng(1).normal(size=(100_000, 4)).astype(np.float32)
    outputs = zoo.predict("sizes", many)
    assert (outputs.shape, outputs.dtype) == ((100_000, 2), np.float32)
    np.testing.assert_allclose(outputs.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(zoo.predict(trained.top, many[70_000:70_002]), outputs[70_000:70_002], atol=1e-5)


def test_a_layer_puts_out_what_the_layers_above_it_take(zoo: Client, trained: Any, rows: Any) -> None:
    shared = zoo.predict("sizes", rows, layer="h2")
    assert shared.shape == (48, 6)
    np.testing.assert_array_equal(shared, zoo.predict("signs", rows, layer="h2"))


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.uint8, ">f4"])
def test_rows_of_other_dtypes_are_taken(zoo: Client, trained: Any, dtype: Any) -> None:
    whole = np.arange(40).reshape(10, 4) % 7
    expected = zoo.predict("signs", whole.astype(np.float32))
    np.testing.assert_allclose(zoo.predict("signs", whole.astype(dtype)), expected, atol=1e-6)


def test_how_far_it_is_is_told_in_rows(zoo: Client, trained: Any, rows: Any) -> None:
    told: list[tuple[int, int]] = []
    zoo.predict("signs", rows, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (48, 48)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.float32(1), "one number"),
        (np.array(["a"]), "not numeric"),
        (np.zeros((2, 5), np.float32), "5"),
        (np.full((2, 4), np.nan, np.float32), "NaN"),
        (np.zeros((0, 4), np.float32), "no rows"),
        (np.zeros((1, 1 << 20), np.float32), "at most 3145728"),
    ],
)
def test_rows_that_do_not_fit_are_refused(zoo: Client, trained: Any, x: Any, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        zoo.predict("signs", x)


def test_a_message_of_more_than_a_mebibyte_is_refused_but_for_one_row(address: str, trained: Any) -> None:
    predict = PredictionServiceStub(Channel(address)).Predict
    first = PredictRequest(version="models/signs/tags/latest", dtype="float32", row_shape=[4])
    with pytest.raises(InvalidError, match="send at most 1048576"):
        list(predict(iter([first, PredictRequest(data=bytes(2 << 20))])))
    first.row_shape[:] = [1 << 19]
    with pytest.raises(InvalidError, match="524288"):  # which the network does not take
        list(predict(iter([first, PredictRequest(data=bytes(2 << 20))])))


def test_an_unknown_layer_is_named_with_those_near_it(zoo: Client, trained: Any, rows: Any) -> None:
    with pytest.raises(NotFoundError, match=r"no layer 'h9': did you mean h[12], h[12]\?"):
        zoo.predict("signs", rows, layer="h9")


def test_of_several_outputs_one_has_to_be_named(zoo: Client, trained: Any, rows: Any, tmp_path: Path) -> None:
    zoo.models.export("signs", tmp_path / "one.keras")
    with zipfile.ZipFile(tmp_path / "one.keras") as one, zipfile.ZipFile(tmp_path / "two.keras", "w") as two:
        for name in one.namelist():
            content = one.read(name)
            if name == "config.json":
                network = json.loads(content)
                network["config"]["output_layers"] = [["h2", 0, 0], ["dense", 0, 0]]
                content = json.dumps(network).encode()
            two.writestr(name, content)
    zoo.models.import_file(tmp_path / "two.keras", "two-outputs")
    with pytest.raises(InvalidError, match=r"several outputs, of the layers h2, dense: say which layer's you want"):
        zoo.predict("two-outputs", rows)
    np.testing.assert_array_equal(zoo.predict("two-outputs", rows, layer="dense"), zoo.predict("signs", rows))


def test_rows_of_several_shapes_are_refused_in_words(zoo: Client, trained: Any) -> None:
    with pytest.raises(InvalidError, match="x has rows of several shapes"):
        zoo.predict("signs", [[1.0, 2.0, 3.0, 4.0], [5.0]])
