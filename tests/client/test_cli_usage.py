"""The command line before any server: help that teaches, wrong usage, one line for what fails."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import Result

from frostline_client.cli.main import cli

NOWHERE = "127.0.0.1:1"
Frostline = Callable[..., Result]


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


COMMANDS = list(commands(cli))


def test_the_commands_are_those_of_the_design() -> None:
    assert {" ".join(command) for command in COMMANDS} == {
        *(f"models {verb}" for verb in ("import", "list", "show", "layers", "diff", "tag", "delete", "pull", "export")),
        *(f"datasets {verb}" for verb in ("push", "list", "show", "delete")),
        *(f"jobs {verb}" for verb in ("submit", "list", "show", "watch", "cancel", "resume")),
        "plan",
        "predict",
        *(f"cache {verb}" for verb in ("show", "prune")),
    }


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_teaches_by_example_and_takes_server_and_json(
    frostline: Frostline, command: tuple[str, ...]
) -> None:
    shown = frostline(*command, "--help")
    assert shown.exit_code == 0
    assert f"  frostline {' '.join(command)}" in shown.output.partition("Examples:")[2]
    assert "--server HOST:PORT" in shown.output
    assert "--json" in shown.output


@pytest.mark.parametrize(
    "command",
    [
        "models list",
        "datasets push x.npy --name a",
        "jobs watch abcdefghijkl",
        "predict a --input x.npy --output y.npy",
        "cache show --json",
        "cache prune --all --yes",
    ],
)
def test_without_a_server_a_command_fails_with_one_line(frostline: Frostline, command: str) -> None:
    np.save("x.npy", np.zeros((2, 3)))
    result = frostline(*command.split(), "--server", NOWHERE)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: no server answers at {NOWHERE}: start one with frostline-server")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "wrong",
    [
        ["models", "lost"],
        ["models", "import", "a.keras"],
        ["models", "import", "a.keras", "--name", "a", "--scale", "big"],
        ["models", "tag", "a", "--delete"],
        ["datasets", "push", "x.npz", "--name", "d", "--on-error", "ignore"],
        ["jobs", "submit"],
        ["predict", "a"],
        ["plan"],
        ["cache", "prune"],
        ["cache", "prune", "--all", "--model", "a"],
        ["cache", "prune", "--unused-for", "long"],
        ["--nonsense"],
    ],
)
def test_wrong_usage_exits_with_2(frostline: Frostline, wrong: list[str]) -> None:
    result = frostline(*wrong)
    assert result.exit_code == 2
    assert "Usage:" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["jobs", "submit", "no.yaml"], "error: no file no.yaml: check the path"),
        (["models", "import", "no.keras", "--name", "a"], "error: no file no.keras: check the path"),
        (
            ["models", "list", "--server", "http://here:8470"],
            "error: 'http://here:8470' is not a server's address: write HOST:PORT",
        ),
        (["models", "list", "--server", "here"], "error: 'here' is not a server's address: write HOST:PORT"),
        (["predict", "a", "--input", "no.npy", "--output", "y.npy"], "error: no file no.npy: check the path"),
        (["predict", "a", "--input", "text", "--output", "y.npy"], "error: text is not a .npy file of numbers"),
        (["predict", "a", "--input", "x.npy", "--output", "no/y.npy"], "error: no folder no: check the path"),
        (["predict", "a", "--input", "x.npy", "--output", "folder.keras"], "error: folder.keras: is a directory"),
        (["models", "export", "a", "no/a.keras"], "error: no folder no: check the path"),
        (["models", "export", "a", "folder.keras"], "error: folder.keras: is a directory"),
        (["datasets", "push", "x.npy", "--name", "Up per"], "error: 'Up per' cannot name a dataset: use 1 to 63 of"),
        (["datasets", "push", "x.npy", "--name", "a", "--split", "test"], "error: x.npy holds one array and no split"),
        (["models", "show", "a:"], "error: 'a:' does not name a model: write NAME, NAME:TAG or NAME@VERSION"),
        (["jobs", "show", "abc"], "error: 'abc' is no job's id"),
        (["jobs", "submit", "endless.yaml"], "error: recipe: head[0].Dense.units is inf: write a finite number"),
        (["jobs", "submit", "text"], "error: text: not a recipe: write keys"),
        (["plan", "no.yaml"], "error: no file no.yaml: check the path"),
        (["jobs", "submit", "."], "error: .: is a directory"),
    ],
)
def test_what_is_wrong_on_this_side_is_one_line(frostline: Frostline, arguments: list[str], line: str) -> None:
    Path("text").write_text("neither")
    Path("endless.yaml").write_text("head: [{Dense: {units: .inf}}]")
    Path("folder.keras").mkdir()
    np.save("x.npy", np.zeros((2, 3)))
    result = frostline(*arguments, *([] if "--server" in arguments else ["--server", NOWHERE]))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(line)
    assert result.stderr.count("\n") == 1


def test_a_reader_that_goes_away_gets_no_traceback() -> None:
    environment = os.environ | {"FROSTLINE_SERVER": NOWHERE}
    command = f"{sys.executable} -m frostline_client.cli.main --help | head -c 1"
    run = subprocess.run(command, shell=True, capture_output=True, text=True, env=environment, check=False)
    assert "Traceback" not in run.stderr
