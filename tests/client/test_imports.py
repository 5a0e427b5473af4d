"""Networks and weights of other tools, through a real server and its jail, with a report of everything."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from safetensors.numpy import save_file

from frostline_client import Client
from frostline_client.errors import InvalidError, NotFoundError

SAVED_MODELS = Path(__file__).parents[1] / "zoo" / "saved_models"


def test_a_tarball_and_its_folder_become_the_same_network(zoo: Client, tmp_path: Path) -> None:
    packed = SAVED_MODELS / "scopes.tar.gz"
    first = zoo.models.import_file(packed, "scopes")
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path, filter="data")
    second = zoo.models.import_file(tmp_path / "scopes", "scopes")
    assert second.new_blob_count == 0
    assert second.version.name == first.version.name
    assert {row.status for row in zoo.models.diff(first.version, second.version)} == {"shared"}
    arrays = np.load(SAVED_MODELS / "scopes.npz")
    np.testing.assert_allclose(zoo.predict("scopes", arrays["x_image"]), arrays["y_probabilities"], atol=1e-6)
    assert ("net/conv1/weights", "conv1/kernel") in first.report.renamed


def test_weights_go_into_a_network_of_the_zoo(zoo: Client, trained: Any, tmp_path: Path) -> None:
    kernel = np.arange(32, dtype=np.float32).reshape(4, 8)
    save_file({"h1.kernel": kernel, "fc2.weight": np.ones((6, 8), np.float32)}, tmp_path / "w.safetensors")
    names = {"fc2.weight": {"to": "h2/kernel", "permute": [1, 0]}}
    made = zoo.models.import_file(tmp_path / "w.safetensors", "filled", into="signs", name_map=names)
    assert made.report.matched == ("h1/kernel",)
    assert made.report.renamed == (("fc2.weight", "h2/kernel"),)
    assert made.report.missing == ("h1/bias", "h2/bias", "dense/kernel", "dense/bias")
    assert made.version.parent == "signs@1"
    rows = zoo.models.diff("signs", "filled")
    assert [(row.b and row.b.name, row.status) for row in rows] == [
        ("h1", "changed"),
        ("h2", "changed"),
        ("dense", "shared"),
    ]


def test_a_name_that_is_taken_gets_its_next_version_and_nothing_is_overwritten(
    zoo: Client, trained: Any, tmp_path: Path
) -> None:
    made = []
    for value in (1, 2):
        save_file({"h1.kernel": np.full((4, 8), value, np.float32)}, tmp_path / f"{value}.safetensors")
        made.append(zoo.models.import_file(tmp_path / f"{value}.safetensors", "taken", into="signs").version)
    assert [version.name for version in made] == ["taken@1", "taken@2"]
    assert zoo.models.get("taken@1").digest == made[0].digest != made[1].digest


def test_a_checkpoint_brings_its_data_along(zoo: Client, tmp_path: Path) -> None:
    base = zoo.models.import_file(SAVED_MODELS / "scopes.tar.gz", "into-scopes")
    with tarfile.open(SAVED_MODELS / "scopes.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    index = tmp_path / "scopes" / "variables" / "variables.index"
    names = {"net/conv*/weights": "conv*/kernel", "net/conv1/biases": "conv1/bias"}
    made = zoo.models.import_file(index, "into-scopes", into=base.version, name_map=names)
    assert {ours for _, ours in made.report.renamed} == {"conv1/kernel", "conv2/kernel", "conv1/bias"}
    assert len(made.report.unexpected) == 5
    assert {row.status for row in zoo.models.diff(base.version, made.version)} == {"shared"}


def test_weights_without_a_network_and_networks_without_their_weights_are_refused(
    zoo: Client, trained: Any, tmp_path: Path
) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"x": np.ones(3, np.float32)}, path)
    with pytest.raises(InvalidError, match="into which model"):
        zoo.models.import_file(path, "nothing")
    with pytest.raises(InvalidError, match="none of the file's 1 arrays"):
        zoo.models.import_file(path, "nothing", into="signs")
    with pytest.raises(NotFoundError):
        zoo.models.import_file(path, "nothing", into="nobody")
    with pytest.raises(InvalidError, match="map of names"):
        zoo.models.import_file(path, "nothing", into="signs", name_map={"x": 3})
    with pytest.raises(NotFoundError):
        zoo.models.get("nothing")


def test_the_command_line_tells_what_became_of_everything(
    frostline: Callable[..., Result], address: str, trained: Any, tmp_path: Path
) -> None:
    arrays = {"h1/kernel": np.ones((4, 8), np.float32), "h2/kernel": np.ones((2, 2), np.float32), "x": np.ones(3)}
    save_file({**arrays, "fc/bias": np.ones(8, np.float32)}, tmp_path / "w.safetensors")
    (tmp_path / "names.yaml").write_text("fc/bias: h1/bias\n")
    where = ["models", "import", str(tmp_path / "w.safetensors"), "--name", "told", "--into", "signs"]
    result = frostline(*where, "--map", str(tmp_path / "names.yaml"), "--server", address)
    assert result.exit_code == 0
    assert "parameters: 1 matched, 1 renamed, 3 missing, 1 unexpected, 1 of another shape" in result.output
    for line in ("fc/bias is h1/bias", "not taken over: x", "h2/kernel is [2, 2], wanted [8, 6]"):
        assert line in result.output
