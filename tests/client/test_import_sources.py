"""Networks that the server makes by itself, by the name that Keras knows them by."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import Result

from frostline_client import Client
from frostline_client.errors import InvalidError

SMALL = "keras-applications:MobileNetV2?weights=none&input_shape=32,32,3&alpha=0.35&classes=5"


def test_a_network_of_keras_applications_comes_in_by_its_name(frostline: Callable[..., Result], address: str) -> None:
    first, second = (
        json.loads(frostline("models", "import", SMALL, "--name", "small", "--json", "--server", address).stdout)
        for _ in range(2)
    )
    assert first["new_blob_count"] > 50
    assert second["new_blob_count"] == 0
    assert second["notes"] == ["the weights are random: train them"]


def test_a_network_that_keras_does_not_have_is_refused_with_names_near_it(zoo: Client) -> None:
    with pytest.raises(InvalidError, match="did you mean ResNet50"):
        zoo.models.import_source("keras-applications:Resnet50", "no")
    with pytest.raises(InvalidError, match="names no network: write keras-applications:NAME"):
        zoo.models.import_source("https://example.com/network", "no")


def test_options_that_speak_of_files_do_not_go_with_a_source(frostline: Callable[..., Result]) -> None:
    told = frostline("models", "import", SMALL, "--name", "small", "--format", "onnx")
    assert told.exit_code == 2
    assert "is no file: leave out --with, --format" in told.stderr
