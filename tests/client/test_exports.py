"""Exports as the client receives them: whole or not there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from frostline.v1 import model_service_pb2 as pb
from frostline_client import Client
from frostline_client.errors import CorruptError, InvalidError
from frostline_client.exports import opened, receive


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_saved_model_arrives_as_a_folder(zoo: Client, trained: Any, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    size = zoo.models.export(
        "signs", tmp_path / "1", format="saved_model", progress=lambda done, total: told.append((done, total))
    )
    assert files_in(tmp_path / "1") >= {"saved_model.pb", "variables/variables.index", "assets.extra/manifest.json"}
    assert size == sum(path.stat().st_size for path in (tmp_path / "1").rglob("*") if path.is_file())
    assert told[-1] == (size, size)
    assert os.listdir(tmp_path) == ["1"]


def test_the_command_line_exports_every_format(frostline: Callable[..., Result], trained: Any, address: str) -> None:
    for format, path in {"onnx": "n.onnx", "safetensors": "w.safetensors", "keras": "n.keras"}.items():
        told = frostline("models", "export", "signs", path, "--format", format, "--server", address)
        assert told.stdout.startswith(f"{path}: ")
        assert Path(path).exists()


@pytest.mark.parametrize("taken", ["file", "busy folder", "file on the way"])
def test_a_folder_that_cannot_be_made_is_named_before_anything_is_computed(
    store_address: str, tmp_path: Path, taken: str
) -> None:
    path = tmp_path / "a" / "b"
    if taken == "file on the way":
        path.parent.write_text("mine")
    else:
        path.parent.mkdir()
        path.write_text("mine") if taken == "file" else (path / "mine").mkdir(parents=True)
    with Client(store_address) as zoo, pytest.raises(OSError, match=r"exist|empty|Not a directory") as refused:
        zoo.models.export("no-such-model", path, format="saved_model")
    assert refused.value.filename == str(path)


def test_the_first_command_of_the_page_makes_the_folders_on_the_way(
    frostline: Callable[..., Result], trained: Any, address: str
) -> None:
    command = ("models", "export", "signs", "--format", "saved_model", "serving/mnist/1", "--server", address)
    assert frostline(*command).stdout.startswith("serving/mnist/1: ")
    assert os.listdir() == ["serving"]
    assert os.listdir("serving/mnist") == ["1"]
    again = frostline(*command)
    assert again.stderr == "error: serving/mnist/1 is not empty: choose another path, or remove it\n"


@pytest.mark.parametrize("broken", ["refused", "while it is kept"])
def test_what_fails_leaves_no_folders_on_the_way(tmp_path: Path, broken: str) -> None:
    def pieces() -> Any:
        yield pb.ExportModelResponse(member="variables/index", data=b"1")
        if broken == "refused":
            raise InvalidError("broken")
        (tmp_path / "serving").mkdir()
        (tmp_path / "serving" / "mnist").symlink_to("nowhere")

    with pytest.raises((InvalidError, OSError)), opened(tmp_path / "serving/mnist/1", "saved_model") as received:
        receive(received, pieces(), None)
    assert os.listdir(tmp_path) == ([] if broken == "refused" else ["serving"])


@pytest.mark.parametrize("member", ["../out", "/out", "a/../../out", "..", "a\\b", "./"])
def test_a_file_whose_name_leads_out_of_the_folder_is_refused(tmp_path: Path, member: str) -> None:
    pieces = [pb.ExportModelResponse(member="kept", data=b"1"), pb.ExportModelResponse(member=member, data=b"2")]
    with pytest.raises(CorruptError, match="which no folder"), opened(tmp_path / "in", "saved_model") as received:
        receive(received, pieces, None)
    assert os.listdir(tmp_path) == []


def test_an_export_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def pieces() -> Any:
        yield pb.ExportModelResponse(member="variables/index", data=b"1")
        raise InvalidError("broken")

    with pytest.raises(InvalidError), opened(tmp_path / "in", "saved_model") as received:
        receive(received, pieces(), None)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("format", ["saved_model", "onnx"])
def test_what_was_exported_comes_in_again_with_the_layers_that_it_had(
    zoo: Client, trained: Any, tmp_path: Path, format: str
) -> None:
    zoo.models.export("signs", tmp_path / f"network.{format}", format=format)
    made = zoo.models.import_file(tmp_path / f"network.{format}", f"again-{format}")
    assert (made.new_blob_count, made.shared_blob_count) == (0, 3)


def test_exported_weights_go_into_the_network_that_they_came_from(zoo: Client, trained: Any, tmp_path: Path) -> None:
    zoo.models.export("signs", tmp_path / "w.safetensors", format="safetensors")
    made = zoo.models.import_file(tmp_path / "w.safetensors", "refilled", into="signs")
    assert made.new_blob_count == 0
    assert len(made.report.matched) == 6


def test_a_folder_that_fills_up_meanwhile_is_named_and_kept_as_it_is(tmp_path: Path) -> None:
    def pieces() -> Any:
        yield pb.ExportModelResponse(member="kept", data=b"1")
        (tmp_path / "in" / "mine").mkdir(parents=True)

    with pytest.raises(OSError, match="empty") as refused, opened(tmp_path / "in", "saved_model") as received:
        receive(received, pieces(), None)
    assert refused.value.filename == str(tmp_path / "in")
    assert files_in(tmp_path) == set()
    assert os.listdir(tmp_path / "in") == ["mine"]
