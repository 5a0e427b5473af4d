"""The command line against a real server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import Result

Frostline = Callable[..., Result]
RECIPE = {
    "name": "by-file",
    "base": "signs",
    "reuse": {"through": "h2"},
    "head": [{"Dense": {"units": 2, "activation": "softmax"}}],
    "data": {"train": "signs", "validation": {"fraction": 0.25}},
    "stages": [{"epochs": 3, "optimizer": {"Adam": {"learning_rate": "1e-2"}}}],
}


@pytest.fixture(autouse=True)
def served(address: str, trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROSTLINE_SERVER", address)


def document(result: Result) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def write_recipe(**changes: Any) -> Path:
    path = Path("recipe.yaml")
    path.write_text(yaml.safe_dump(RECIPE | changes).replace("'1e-2'", "1e-2"))
    return path


def test_a_recipe_is_submitted_watched_and_shown(frostline: Frostline) -> None:
    made = document(frostline("jobs", "submit", write_recipe(), "--watch", "--json"))
    shown = document(frostline("jobs", "show", made["name"], "--json"))
    assert shown == made
    assert (shown["state"], shown["model"]) == ("SUCCEEDED", "by-file@1")
    assert {"loss", "val_accuracy"} <= set(shown["metrics"])
    (stage,) = shown["stages"]
    assert stage["epochs_run"] == 3
    assert stage["train_seconds"] > 0
    assert set(stage["features"]) == {"computed", "reused", "bytes"}
    assert len(stage["history"]["loss"]) == 3
    assert document(frostline("jobs", "list", "--json"))[0]["name"] == made["name"]


def test_watching_shows_plain_lines_where_there_is_no_terminal(frostline: Frostline) -> None:
    result = frostline("jobs", "submit", write_recipe(name="lines"), "--watch")
    assert result.exit_code == 0, result.stderr
    lines = result.stderr.splitlines()
    assert lines[1].endswith("is running")
    assert any(line.startswith("stage 1: 2 layers are frozen, 14 parameters train") for line in lines)
    assert any(line.startswith("stage 1: epoch 3 of 3: val_accuracy ") for line in lines)
    assert lines[-1].endswith("is succeeded")
    assert "lines@1" in result.stdout


def test_a_submitted_job_says_how_to_watch_it(frostline: Frostline, address: str) -> None:
    result = frostline("jobs", "submit", write_recipe(name="later"), "--server", address)
    name = result.stdout.split()[-1]
    assert result.stderr == f"watch it with: frostline jobs watch {name} --server {address}\n"
    assert frostline("jobs", "watch", name).exit_code == 0


def test_a_refused_recipe_is_one_line_that_names_the_key(frostline: Frostline) -> None:
    result = frostline("jobs", "submit", write_recipe(epoch=3), "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: recipe: epoch is unknown: use name, base, reuse")


def test_watching_a_job_that_makes_no_model_exits_with_1(frostline: Frostline) -> None:
    stages = [{"epochs": 1_000_000, "freeze": "none"}]
    name = document(frostline("jobs", "submit", write_recipe(name="never", stages=stages), "--json"))["name"]
    assert document(frostline("jobs", "cancel", name, "--json"))["name"] == name
    result = frostline("jobs", "watch", name, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["state"] == "CANCELLED"
    assert result.stderr.splitlines()[-1].startswith(f"error: job {name} made no model: it was cancelled")
    assert document(frostline("jobs", "resume", name, "--json"))["state"] in ("PENDING", "RUNNING")
    frostline("jobs", "cancel", name)
    assert "RUNNING" not in frostline("jobs", "show", name).stdout


def test_control_c_leaves_the_job_running_and_says_how_to_watch_it_again(frostline: Frostline) -> None:
    stages = [{"epochs": 1_000_000, "freeze": "none"}]
    name = document(frostline("jobs", "submit", write_recipe(name="endless", stages=stages), "--json"))["name"]
    command = [sys.executable, "-m", "frostline_client.cli.main", "jobs", "watch", name]
    # Whoever runs the tests in the background may ignore Control-C, and what they start would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    watching = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    assert watching.stderr is not None
    watching.stderr.readline()
    watching.send_signal(signal.SIGINT)
    _, errors = watching.communicate(timeout=60)
    assert watching.returncode == 1
    assert errors.endswith(f"job {name} goes on: watch it again with: frostline jobs watch {name}\n")
    assert "Traceback" not in errors
    assert document(frostline("jobs", "show", name, "--json"))["state"] in ("PENDING", "RUNNING")
    frostline("jobs", "cancel", name)


def test_a_dataset_is_pushed_shown_and_deleted(frostline: Frostline) -> None:
    np.savez("points.npz", x=np.arange(12, dtype=np.float32).reshape(6, 2), y=np.array([0, 1, 2, 0, 1, 0]))
    made = document(frostline("datasets", "push", "points.npz", "--name", "points", "--json"))
    assert (made["name"], made["sent_count"], made["class_counts"]) == ("points@1", 6, [3, 2, 1])
    more = frostline("datasets", "push", "points.npz", "--name", "points", "--append")
    assert "points@2" in more.stdout
    assert "0 examples were sent, 6 were there already" in more.stdout
    assert "push points: 6 examples in" in more.stderr
    assert document(frostline("datasets", "show", "points@2", "--json"))["example_count"] == 12
    assert "points@2" in frostline("datasets", "list").stdout
    assert document(frostline("datasets", "delete", "points", "--json")) == {"deleted": "points"}
    assert frostline("datasets", "show", "points").exit_code == 1


def test_damaged_examples_are_refused_or_left_out_as_one_says(frostline: Frostline) -> None:
    np.save("holes.npy", np.array([[1, 2], [np.nan, 3]], np.float32))
    refused = frostline("datasets", "push", "holes.npy", "--name", "holes")
    assert refused.exit_code == 1
    assert "x[1]" in refused.stderr
    kept = frostline("datasets", "push", "holes.npy", "--name", "holes", "--on-error", "skip", "--json")
    assert document(kept)["example_count"] == 1
    assert "left out: x[1]" in kept.stderr


def test_models_are_listed_shown_and_compared(frostline: Frostline) -> None:
    assert {"signs", "sizes"} <= {model["name"] for model in document(frostline("models", "list", "--json"))}
    assert "sizes@1" in frostline("models", "list", "sizes").stdout
    shown = document(frostline("models", "show", "sizes", "--json"))
    assert (shown["name"], shown["parent"]) == ("sizes@1", "signs@1")
    layers = document(frostline("models", "layers", "sizes", "--json"))
    assert [layer["name"] for layer in layers] == ["h1", "h2", "dense"]
    rows = document(frostline("models", "diff", "signs", "sizes", "--json"))
    assert [row["status"] for row in rows] == ["shared", "shared", "changed"]
    assert "changed  dense  dense  Dense" in frostline("models", "diff", "signs", "sizes").stdout


def test_a_tag_is_set_and_deleted(frostline: Frostline) -> None:
    tags = document(frostline("models", "tag", "sizes@1", "prod", "--json"))
    assert [tag["name"] for tag in tags] == ["sizes:latest", "sizes:prod"]
    assert document(frostline("models", "show", "sizes:prod", "--json"))["name"] == "sizes@1"
    assert "prod" not in frostline("models", "tag", "sizes", "prod", "--delete").stdout
    refused = frostline("models", "tag", "sizes", "latest")
    assert refused.exit_code == 1
    assert "latest" in refused.stderr


def test_a_model_goes_out_and_comes_in_again(frostline: Frostline) -> None:
    assert document(frostline("models", "pull", "signs", "kept", "--json"))["transferred"] == 3
    assert "sizes@1: 1 layer blobs transferred" in frostline("models", "pull", "sizes", "kept").stdout
    again = frostline("models", "pull", "sizes", "kept")
    assert again.stderr == ""
    assert "0 layer blobs transferred (0 B), 3 were there already" in again.stdout
    document(frostline("models", "export", "signs", "--format", "keras", "signs.keras", "--json"))
    made = document(frostline("models", "import", "signs.keras", "--name", "copy", "--scale", "0.5", "--json"))
    assert (made["name"], made["shared_blob_count"]) == ("copy@1", 3)
    assert frostline("models", "delete", "copy", "--yes").stdout == "deleted copy\n"
    missing = frostline("models", "show", "copy")
    assert missing.exit_code == 1
    assert missing.stderr.startswith("error: ")
    assert "copy" in missing.stderr


def test_a_prediction_is_written_as_npy(frostline: Frostline, rows: Any) -> None:
    np.save("x.npy", rows)
    told = document(frostline("predict", "sizes", "--input", "x.npy", "--output", "y.npy", "--json"))
    assert (told["shape"], told["dtype"]) == ([48, 2], "float32")
    assert np.load("y.npy").shape == (48, 2)
    result = frostline("predict", "sizes@1", "--input", "x.npy", "--output", "h.npy", "--layer", "h2")
    assert result.stdout == "h.npy: float32 48, 6\n"


def test_features_that_were_not_kept_are_shown_so(frostline: Frostline) -> None:
    made = document(frostline("jobs", "submit", write_recipe(name="uncached", cache=False), "--watch", "--json"))
    shown = frostline("jobs", "show", made["name"]).stdout
    assert shown.splitlines()[-1].split()[5:7] == ["not", "stored"]


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("models show signs@9", "no signs@9: see the versions of model signs (frostline models list signs)"),
        ("models show signs:prod", "no signs:prod: see the tags of model signs (frostline models list signs)"),
        ("models delete nothing", "no model nothing: see the models there are (frostline models list)"),
        ("models tag signs latest", "signs:latest is kept by the server: use another tag"),
        ("datasets show signs@9", "no signs@9: its newest version is 1"),
        ("datasets delete nothing", "no dataset nothing: see the datasets there are (frostline datasets list)"),
        ("jobs show abcdefghijkl", "no job abcdefghijkl: see the jobs there are (frostline jobs list)"),
    ],
)
def test_refusals_name_things_as_one_types_them(frostline: Frostline, command: str, line: str) -> None:
    assert frostline(*command.split()).stderr == f"error: {line}\n"


def test_the_cache_is_shown(frostline: Frostline) -> None:
    trunks = document(frostline("cache", "show", "--json"))["trunks"]
    assert any("signs@1:h2" in trunk["places"] and trunk["row_count"] == 48 for trunk in trunks)
    assert "signs@1:h2" in frostline("cache", "show").stdout


def test_options_may_stand_before_the_command(frostline: Frostline, address: str, monkeypatch: Any) -> None:
    monkeypatch.delenv("FROSTLINE_SERVER")
    assert document(frostline("--server", address, "--json", "models", "show", "signs"))["name"] == "signs@1"


def test_bars_are_drawn_on_a_terminal(frostline: Frostline) -> None:
    np.save("x.npy", np.random.default_rng(0).normal(size=(2000, 3)))
    name = f"drawn-{time.time_ns()}"
    command = f"{sys.executable} -m frostline_client.cli.main datasets push x.npy --name {name}"
    leader, follower = os.openpty()
    with subprocess.Popen(command.split(), stderr=follower, stdout=subprocess.PIPE, text=True) as pushing:
        os.close(follower)
        drawn = b""
        while piece := read(leader):
            drawn += piece
    os.close(leader)
    assert pushing.returncode == 0
    assert "━" in drawn.decode()
    assert "2000/2000" in drawn.decode()


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux says so where the other end has gone
        return b""
