"""The command line. Exit status: 0 done, 1 refused or failed with one line that says why, 2 wrong usage."""

from __future__ import annotations

import errno
import os
import re
import sys
from pathlib import Path
from typing import Any

import click

from frostline_client import FrostlineError
from frostline_client.cli.cache import cache
from frostline_client.cli.datasets import datasets
from frostline_client.cli.jobs import jobs
from frostline_client.cli.models import models
from frostline_client.cli.plan import plan
from frostline_client.cli.predict import predict
from frostline_client.cli.session import Session, with_session_options


class _Group(click.Group):
    """Turns what commands raise into one line and exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise
        except Exception as error:
            if os.environ.get("FROSTLINE_TRACEBACK"):
                raise
            click.echo(f"error: {' '.join(_line(error).split())}", err=True)
            ctx.exit(1)


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""A model is named NAME (its latest version), NAME:TAG or NAME@VERSION.

    Examples:

    \b
      frostline models import mnist-0-4.keras --name mnist-0-4
      frostline datasets push digits-5-9.npz --name digits-5-9
      frostline plan recipe.yaml
      frostline jobs submit recipe.yaml --watch
      frostline predict mnist-5-9 --input x.npy --output y.npy
    """,
)
@click.version_option(package_name="frostline-client", prog_name="frostline")
@with_session_options
@click.pass_context
def cli(context: click.Context, server: str | None, as_json: bool) -> None:
    """Reuse pretrained networks layer by layer: keep them, freeze their lower layers, train a new top.

    It talks to a server, which frostline-server starts.
    """
    context.obj = Session(server, as_json)


for _command in (models, datasets, jobs, plan, predict, cache):
    cli.add_command(_command)


def main() -> None:
    """Runs the command line."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # the errors we raise say it; gRPC's own log would say it again
    sys.exit(cli())


_LIST = re.compile(r": see the (?:(?P<kind>models|datasets|jobs) there are|(?:versions|tags) of model (?P<model>\S+))$")


def _line(error: Exception) -> str:
    if isinstance(error, FrostlineError):
        return error.message + _that_lists(error.message)
    if isinstance(error, FileNotFoundError) and error.filename:
        folder = Path(error.filename).parent
        return f"no {f'file {error.filename}' if folder.is_dir() else f'folder {folder}'}: check the path"
    if isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST):
        what = "is not empty" if error.errno == errno.ENOTEMPTY else "is there already"
        return f"{error.filename} {what}: choose another path, or remove it"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'this machine'}: {error.strerror.lower()}"
    return f"unexpected {type(error).__name__}: run it again with FROSTLINE_TRACEBACK=1 and report what it prints"


def _that_lists(message: str) -> str:
    """Returns the command that lists what a message says to look for."""
    if (found := _LIST.search(message)) is None:
        return ""
    return f" (frostline {found['kind']} list)" if found["kind"] else f" (frostline models list {found['model']})"


if __name__ == "__main__":
    main()
