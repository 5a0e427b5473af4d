"""`frostline plan`: what the stages of a recipe would do about their features, what that costs, and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from frostline_client import read_recipe
from frostline_client.cli.output import Duration, Size, duration, print_table
from frostline_client.cli.session import Session, command
from frostline_client.plans import StagePlan

HEADS = [
    *("STAGE", "FROZEN LAYERS", "CUT AT", "KEPT", "KEPT AT", "DTYPE", "VIEWS"),
    *("ROWS THERE", "MISSING", "SIZE", "EXPECTED", "NOTHING KEPT"),
]
KEPT = {"store": "on disk", "memory": "in memory", "nowhere": "nowhere"}


@command(None, "plan", "frostline plan recipe.yaml", "frostline plan recipe.yaml --json")
@click.argument("recipe", type=Path, metavar="RECIPE.yaml")
def plan(session: Session, recipe: Path) -> None:
    """Show what a recipe would freeze, keep and compute, what that would cost, and why.

    Nothing is submitted. The server measures what the network costs on it, which takes some seconds.
    """
    with session.client() as zoo:
        plans = zoo.jobs.plan(read_recipe(recipe))
    session.show({"stages": plans}, lambda: _print_plans(plans))


def _print_plans(plans: Sequence[StagePlan]) -> None:
    print_table(
        HEADS,
        [
            (
                number,
                stage.frozen_layer_count,
                stage.cut,
                KEPT.get(stage.kept, stage.kept),
                stage.kept_at,
                stage.dtype,
                stage.views or "none",
                stage.rows_present,
                stage.rows_missing,
                Size(stage.size_bytes),
                Duration(stage.seconds_with),
                Duration(stage.seconds_without),
            )
            for number, stage in enumerate(plans, start=1)
        ],
        empty="the recipe has no stages",
    )
    for number, stage in enumerate(plans, start=1):
        click.echo(f"stage {number}: {stage.reason}")
    expected, otherwise = sum(stage.seconds_with for stage in plans), sum(stage.seconds_without for stage in plans)
    click.echo(f"in all {duration(expected)} for what is frozen, {duration(otherwise)} if nothing were kept")
