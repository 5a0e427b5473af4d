"""Models through a real server: versions, layers, tags, pulls, exports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from frostline_client import Client, layers
from frostline_client.errors import AbortedError, AlreadyExistsError, InvalidError, NotFoundError


def test_a_version_tells_where_it_comes_from(zoo: Client, trained: Any) -> None:
    version = zoo.models.get("sizes")
    assert version == trained.top
    assert (version.name, version.model, version.parent, version.tags) == ("sizes@1", "sizes", "signs@1", ("latest",))
    assert version.job == trained.job.name
    assert version.added_bytes < zoo.models.get("signs@1").added_bytes
    listed = [model.name for model in zoo.models.list()]
    assert listed == sorted(listed)
    assert {"signs", "sizes"} <= set(listed)


def test_layers_are_listed_from_the_input_up(zoo: Client, trained: Any) -> None:
    found = zoo.models.layers(trained.base)
    assert [(layer.name, layer.class_name, layer.parameter_count) for layer in found] == [
        ("h1", "Dense", 40),
        ("h2", "Dense", 54),
        ("dense", "Dense", 14),
    ]


def test_a_layer_taken_from_another_model_says_from_which_version(
    zoo: Client, trained: Any, frostline: Callable[..., Any]
) -> None:
    head = [layers.Dense(8, "relu", name="h1"), layers.Dense(2, "softmax")]
    donor = zoo.train(name="donor", data="signs", head=head, epochs=1, seed=9).result()
    reuse = {"through": "h2", "replace": {"h1": {"from": "donor", "layer": "h1"}}}
    top = [layers.Dense(2, activation="softmax")]
    zoo.train(name="mixed", base="signs", reuse=reuse, head=top, data="signs", epochs=1).result()
    found = {layer.name: layer.origin for layer in zoo.models.layers("mixed")}
    assert found == {"h1": donor.digest, "h2": None, "dense": None}
    shown = frostline("--server", zoo.address, "models", "layers", "mixed").output
    assert donor.digest[7:19] in shown


def test_a_child_shares_what_was_frozen(zoo: Client, trained: Any) -> None:
    rows = zoo.models.diff("signs", trained.top)
    assert [(row.status, row.b and row.b.name) for row in rows] == [
        ("shared", "h1"),
        ("shared", "h2"),
        ("changed", "dense"),
    ]


def test_a_tag_moves_only_where_nobody_has_moved_it(zoo: Client, trained: Any) -> None:
    first = zoo.models.tag("sizes@1", "prod")
    assert zoo.models.get("sizes:prod") == zoo.models.get("sizes@1")
    with pytest.raises(AbortedError):
        zoo.models.tag("sizes@1", "prod", etag=f"not {first.etag}")
    assert [tag.name for tag in zoo.models.tags("sizes")] == ["sizes:latest", "sizes:prod"]
    zoo.models.untag("sizes", "prod", etag=first.etag)
    with pytest.raises(NotFoundError):
        zoo.models.get("sizes:prod")


def test_a_pull_transfers_only_what_the_folder_lacks(zoo: Client, trained: Any, tmp_path: Path) -> None:
    first = zoo.models.pull("signs", tmp_path / "kept")
    second = zoo.models.pull("sizes", tmp_path / "kept")
    assert (first.transferred, first.present) == (3, 0)
    assert (second.transferred, second.present) == (1, 2)
    blobs = {f"{layer.blob}".removeprefix("sha256:") for layer in zoo.models.layers("sizes")}
    assert blobs <= {path.stem for path in (tmp_path / "kept/layers").glob("*.safetensors")}
    assert zoo.blobs.read(trained.top.digest) == (tmp_path / "kept/manifest.json").read_bytes()


def test_a_pull_mends_a_layer_that_has_changed_on_disk(zoo: Client, trained: Any, tmp_path: Path) -> None:
    zoo.models.pull("signs", tmp_path)
    damaged = max((tmp_path / "layers").iterdir())
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1] + b"?")
    assert zoo.models.pull("signs", tmp_path).transferred == 1
    assert damaged.read_bytes() == content


def test_a_folder_of_other_things_is_not_pulled_into(zoo: Client, trained: Any, tmp_path: Path) -> None:
    for name, content in {"notes.txt": "mine", "manifest.json": '{"name": "a web page"}'}.items():
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        (folder / name).write_text(content)
        with pytest.raises(AlreadyExistsError, match="holds other things: pull into a new folder"):
            zoo.models.pull("signs", folder)
        assert [(path.name, path.read_text()) for path in folder.iterdir()] == [(name, content)]


def test_a_pull_goes_on_where_one_broke_off_and_beside_what_was_added_since(
    zoo: Client, trained: Any, tmp_path: Path
) -> None:
    zoo.models.pull("signs", tmp_path)
    (tmp_path / "manifest.json").unlink()
    (tmp_path / ".DS_Store").touch()
    assert zoo.models.pull("signs", tmp_path).transferred == 0
    (tmp_path / "README").touch()
    assert zoo.models.pull("sizes", tmp_path).transferred == 1


def test_a_pull_tells_how_far_it_is(zoo: Client, trained: Any, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    zoo.models.pull("signs", tmp_path, progress=lambda done, total: told.append((done, total)))
    assert told[0] == (0, trained.base.size_bytes)
    assert told[-1] == (trained.base.size_bytes, trained.base.size_bytes)


def test_an_exported_network_comes_in_again_with_the_same_layers(zoo: Client, trained: Any, tmp_path: Path) -> None:
    path = tmp_path / "signs.keras"
    assert zoo.models.export("signs", path) == path.stat().st_size
    made = zoo.models.import_file(path, "signs-again", preprocessing={"scale": 0.5})
    assert (made.new_blob_count, made.shared_blob_count) == (0, 3)
    assert {row.status for row in zoo.models.diff("signs", "signs-again")} == {"shared"}
    zoo.models.delete("signs-again")
    with pytest.raises(NotFoundError, match="signs-again"):
        zoo.models.get("signs-again")


def test_an_import_whose_answer_is_lost_makes_one_version(
    address: str, zoo: Client, trained: Any, tmp_path: Path, cutting: Callable[..., Any]
) -> None:
    zoo.models.export("signs", tmp_path / "signs.keras")
    proxy = cutting(address, [300], answers_only=True)  # enough to shake hands
    with Client(proxy.address) as through:
        made = through.models.import_file(tmp_path / "signs.keras", "cut")
    assert proxy.cuts == 1
    assert [version.name for version in zoo.models.versions("cut")] == [made.version.name] == ["cut@1"]


def test_a_file_that_is_no_network_is_refused(zoo: Client, tmp_path: Path) -> None:
    (tmp_path / "no.keras").write_bytes(b"PK\x03\x04 but no more")
    with pytest.raises(InvalidError):
        zoo.models.import_file(tmp_path / "no.keras", "no")
    with pytest.raises(NotFoundError):
        zoo.models.get("no")
    with pytest.raises(FileNotFoundError):
        zoo.models.import_file(tmp_path / "nothing.keras", "no")


def test_what_cannot_be_written_is_named_as_it_was_given(zoo: Client, trained: Any, tmp_path: Path) -> None:
    (tmp_path / "a.keras").mkdir()
    (tmp_path / "kept" / "manifest.json").mkdir(parents=True)
    for path, write in {
        tmp_path / "a.keras": lambda path: zoo.models.export("signs", path),
        tmp_path / "none" / "a.keras": lambda path: zoo.models.export("signs", path),
        tmp_path / "kept" / "manifest.json": lambda path: zoo.models.pull("signs", path.parent),
    }.items():
        with pytest.raises(OSError, match="irectory") as refused:
            write(path)
        assert refused.value.filename == str(path)


def test_an_export_in_an_unknown_format_leaves_no_file(zoo: Client, trained: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="use keras"):
        zoo.models.export("signs", tmp_path / "signs.bin", format="pickle")
    assert list(tmp_path.iterdir()) == []
