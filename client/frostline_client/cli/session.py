"""What every command has: a server, `--json`, an example in its help."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from frostline_client import Client
from frostline_client.cli.output import print_json

_SERVER_HELP = "The server's HOST:PORT. Default: $FROSTLINE_SERVER, else 127.0.0.1:8470."
_JSON_HELP = "Print one JSON document on standard output."


@dataclass(frozen=True)
class Session:
    """One run of the command line."""

    server: str | None
    as_json: bool

    def client(self) -> Client:
        """Returns a client of the chosen server."""
        return Client(self.server)

    def show(self, value: Any, for_people: Callable[[], None]) -> None:
        """Prints `value` as JSON where that was asked for, and otherwise calls `for_people`."""
        if self.as_json:
            print_json(value)
        else:
            for_people()

    def hint(self, command: str) -> str:
        """Returns a command line that reaches the same server."""
        return f"frostline {command}" + (f" --server {self.server}" if self.server else "")

    def confirm(self, question: str, yes: bool) -> None:
        """Asks before something is lost, where a person is there to answer; `yes` answers for them."""
        if not yes and not self.as_json and sys.stdin.isatty():
            click.confirm(question, abort=True, err=True)


def command(group: click.Group | None, name: str, *examples: str) -> Callable[[Callable[..., None]], click.Command]:
    """Makes a function a command, of `group` where there is one. Its docstring is the help, which ends with examples.

    The function gets a Session first, then what its own options and arguments say.
    """

    def decorate(function: Callable[..., None]) -> click.Command:
        @functools.wraps(function)
        def run(server: str | None, as_json: bool, **arguments: Any) -> None:
            outer: Session = click.get_current_context().find_root().obj
            function(Session(server or outer.server, as_json or outer.as_json), **arguments)

        epilog = "\n".join(["Examples:\n\n\b", *(f"  {example}" for example in examples)])
        made = click.command(name, epilog=epilog)(with_session_options(run))
        made.params.sort(key=lambda param: param.name in ("server", "as_json"))
        if group is not None:
            group.add_command(made)
        return made

    return decorate


def with_session_options(function: Callable[..., None]) -> Callable[..., None]:
    """Adds `--server` and `--json`, which stand before or after the command's name."""
    function = click.option("--json", "as_json", is_flag=True, help=_JSON_HELP)(function)
    return click.option("--server", metavar="HOST:PORT", help=_SERVER_HELP)(function)
