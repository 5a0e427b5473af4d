"""`frostline cache`: the features that the server keeps."""

from __future__ import annotations

import click

from frostline_client.cli.output import Size, print_table
from frostline_client.cli.session import Session, command


@click.group()
def cache() -> None:
    """Features: outputs of frozen trunks.

    The server keeps them, so as to compute each only once.
    """


@command(cache, "show", "frostline cache show", "frostline cache show --json")
def show(session: Session) -> None:
    """Show the trunks that have features on disk, and where in the zoo each of them ends."""
    with session.client() as zoo:
        trunks = zoo.features.list()
    session.show(
        trunks,
        lambda: print_table(
            ["TRUNK", "ROWS", "SIZE", "ROW", "ENDS AT"],
            [(t.digest[7:19], t.row_count, Size(t.size_bytes), f"{t.dtype} {t.shape}", t.places) for t in trunks],
            empty="no features are kept: a train job with a frozen trunk makes some",
        ),
    )
