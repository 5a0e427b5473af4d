"""`frostline cache`: the features that the server keeps."""

from __future__ import annotations

import re
from typing import Any

import click

from frostline_client.cli.output import Size, plain, print_table, size
from frostline_client.cli.session import Session, command
from frostline_client.features import Disk, Pruned, Trunk

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@click.group()
def cache() -> None:
    """Features: outputs of frozen trunks.

    The server keeps them, so as to compute each only once.
    """


class _Duration(click.ParamType[int]):
    """A time such as 30d, in seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = re.fullmatch(r"(\d{1,9})([smhdw])", str(value))
        if found is None:
            self.fail(f"{value!r} is not a time: write 30d, 12h, 45m or 90s", param, ctx)
        return int(found.group(1)) * _SECONDS[found.group(2)]


@command(cache, "show", "frostline cache show", "frostline cache show --json")
def show(session: Session) -> None:
    """Show the trunks that have features on disk, how they were used, and where in the zoo each of them ends."""
    with session.client() as zoo:
        trunks, disk = zoo.features.list(), zoo.features.disk()
    session.show({"trunks": trunks, **plain(disk)}, lambda: _print_trunks(trunks, disk))


@command(
    cache,
    "prune",
    "frostline cache prune --unused-for 30d",
    "frostline cache prune --model mnist-5-9 --dry-run",
    "frostline cache prune --all --yes",
)
@click.option("--model", metavar="NAME", help="Features of the trunks that end in any version of this model.")
@click.option("--unused-for", type=_Duration(), help="Features that no job has used for 30d, 12h, 45m, ...")
@click.option("--all", "everything", is_flag=True, help="All features.")
@click.option("--dry-run", is_flag=True, help="Remove nothing, and say what would be removed.")
@click.option("--yes", is_flag=True, help="Do not ask. Without a terminal nobody is asked.")
def prune(
    session: Session, model: str | None, unused_for: int | None, everything: bool, dry_run: bool, yes: bool
) -> None:
    """Remove features. Jobs that need them later compute them again; what a running job reads stays."""
    if (model is not None) + (unused_for is not None) + everything != 1:
        raise click.UsageError("Choose what to remove by one of --model, --unused-for and --all.")
    which: dict[str, Any] = {"model": model, "unused_for_seconds": unused_for, "everything": everything}
    with session.client() as zoo:
        pruned = zoo.features.prune(**which, dry_run=True)
        if not dry_run and pruned.row_count:
            session.confirm(f"Remove {_amount(pruned)}?", yes)
            pruned = zoo.features.prune(**which)
    verb = "would be removed" if dry_run else "removed"
    session.show({**plain(pruned), "dry_run": dry_run}, lambda: _print_pruned(pruned, verb))


def _print_trunks(trunks: tuple[Trunk, ...], disk: Disk) -> None:
    print_table(
        ["TRUNK", "ROWS", "SIZE", "ROW", "HITS", "COMPUTED", "LAST USE", "ENDS AT"],
        [
            (
                trunk.digest[7:19],
                trunk.row_count,
                Size(trunk.size_bytes),
                f"{trunk.dtype} {','.join(map(str, trunk.shape))}",
                trunk.hit_count,
                trunk.miss_count,
                trunk.last_use_time,
                trunk.places,
            )
            for trunk in trunks
        ],
        empty="no features are kept: a train job with a frozen trunk makes some",
    )
    if disk.budget_bytes:
        click.echo(f"in all {size(disk.size_bytes)} of the {size(disk.budget_bytes)} that features may take")
    else:
        click.echo(f"in all {size(disk.size_bytes)}, and the server stores no more: it was told --feature-bytes 0")


def _print_pruned(pruned: Pruned, verb: str) -> None:
    click.echo(f"{_amount(pruned)} {verb}")
    if pruned.in_use_count:
        click.echo(f"{pruned.in_use_count} trunks stay, since running jobs read them")


def _amount(pruned: Pruned) -> str:
    return f"{pruned.row_count:,} rows, {size(pruned.size_bytes)}"
