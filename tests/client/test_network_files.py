"""The files of a network: which go up with the one that is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from frostline_client.errors import InvalidError
from frostline_client.network_files import network_files


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def named(path: Path, *companions: Path) -> list[str]:
    return [file.name for file in network_files(path, companions)]


@pytest.mark.parametrize(
    ("name", "beside", "expected"),
    [
        ("a.keras", ["b.keras"], ["a.keras"]),
        ("a.caffemodel", ["a.prototxt", "b.prototxt"], ["a.caffemodel", "a.prototxt"]),
        ("a.onnx", ["a.onnx.data", "a.onnx_data"], ["a.onnx", "a.onnx.data", "a.onnx_data"]),
    ],
)
def test_a_file_brings_what_belongs_to_it(tmp_path: Path, name: str, beside: list[str], expected: list[str]) -> None:
    make(tmp_path, name, *beside)
    assert named(tmp_path / name) == expected


def test_a_folder_goes_up_whole_its_network_first_and_links_stay(tmp_path: Path) -> None:
    make(tmp_path, "m/saved_model.pb", "m/assets/words.txt", "m/variables/variables.index", "outside")
    (tmp_path / "m" / "link").symlink_to(tmp_path / "outside")
    assert named(tmp_path / "m") == ["saved_model.pb", "assets/words.txt", "variables/variables.index"]


def test_of_a_hugging_face_folder_only_configurations_and_safetensors_go_up(tmp_path: Path) -> None:
    make(tmp_path, "m/config.json", "m/model.safetensors", "m/pytorch_model.bin", "m/onnx/model.onnx", "m/vocab.txt")
    assert named(tmp_path / "m") == ["config.json", "model.safetensors"]
    make(tmp_path, "p/config.json", "p/pytorch_model.bin")
    assert named(tmp_path / "p") == ["config.json", "pytorch_model.bin"]


def test_a_snapshot_in_the_hugging_face_cache_is_followed_to_the_blobs_beside_it_alone(tmp_path: Path) -> None:
    make(tmp_path, "hub/blobs/a1", "hub/blobs/b2", "hub/snapshots/rev/README.md", "secret")
    snapshot = tmp_path / "hub" / "snapshots" / "rev"
    (snapshot / "config.json").symlink_to("../../blobs/a1")
    (snapshot / "model.safetensors").symlink_to("../../blobs/b2")
    (snapshot / "tokenizer.json").symlink_to(tmp_path / "secret")
    (tmp_path / "hub" / "rev").symlink_to(snapshot)
    for folder in (snapshot, tmp_path / "hub" / "rev"):
        assert named(folder) == ["config.json", "model.safetensors"]


def test_companions_are_added_once(tmp_path: Path) -> None:
    make(tmp_path, "a.onnx", "a.onnx.data", "elsewhere/w.bin")
    companions = [tmp_path / "a.onnx.data", tmp_path / "elsewhere" / "w.bin"]
    assert named(tmp_path / "a.onnx", *companions) == ["a.onnx", "a.onnx.data", "w.bin"]


def test_what_is_no_network_is_named(tmp_path: Path) -> None:
    make(tmp_path, "m/a.txt", "m/b.txt", "x/a.txt", "y/a.txt")
    with pytest.raises(InvalidError, match=r"holds no saved_model\.pb"):
        named(tmp_path / "m")
    with pytest.raises(InvalidError, match="two files"):
        named(tmp_path / "x" / "a.txt", tmp_path / "y" / "a.txt")
    with pytest.raises(FileNotFoundError):
        named(tmp_path / "nothing.keras")
