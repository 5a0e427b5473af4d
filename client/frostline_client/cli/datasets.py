"""`frostline datasets`: versioned lists of examples."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from frostline_client.cli.output import Size, print_fields, print_table
from frostline_client.cli.progress import counting, say
from frostline_client.cli.session import Session, command
from frostline_client.datasets import MAX_NAMED, Dataset, PushedDataset


@click.group()
def datasets() -> None:
    """Versioned lists of examples.

    A dataset is named NAME (its newest version) or NAME@VERSION.
    """


@command(
    datasets,
    "push",
    "frostline datasets push digits.npz --name digits",
    "frostline datasets push mnist.npz --name mnist --split train",
    "frostline datasets push flowers/ --name flowers --on-error skip",
    "frostline datasets push more-flowers/ --name flowers --append",
)
@click.argument("path", type=Path)
@click.option("--name", required=True, help="The dataset, made where it does not exist.")
@click.option("--append", is_flag=True, help="Follow the newest version's examples instead of replacing them.")
@click.option(
    "--on-error",
    type=click.Choice(["refuse", "skip"]),
    default="refuse",
    show_default=True,
    help="What to do about examples that are refused, such as damaged images: make no dataset, or leave them out.",
)
@click.option("--split", type=click.Choice(["train", "test"]), help="Of an .npz file with both, only this.")
def push(
    session: Session,
    path: Path,
    name: str,
    append: bool,
    on_error: Literal["refuse", "skip"],
    split: Literal["train", "test"] | None,
) -> None:
    """Push examples as the newest version of a dataset.

    PATH is an .npz file with x and y (or x_train, y_train, x_test, y_test), an .npy file with examples without labels,
    or a folder of JPEG and PNG files with one folder a class. Only what the server lacks is sent.
    """
    options = {} if split is None else {"split": split}
    if options and path.is_dir():
        raise click.UsageError("--split is for .npz files: push the folder of that split instead")
    with session.client() as zoo, counting(f"push {name}", "examples") as progress:
        made = zoo.datasets.push_path(name, path, append=append, on_error=on_error, progress=progress, **options)
    _say_refused(made)

    def for_people() -> None:
        _print_dataset(made)
        click.echo(f"{made.sent_count:,} examples were sent, {made.present_count:,} were there already")

    session.show(made, for_people)


@command(datasets, "list", "frostline datasets list", "frostline datasets list --json")
def list_(session: Session) -> None:
    """List the newest version of every dataset."""
    with session.client() as zoo:
        found = zoo.datasets.list()
    session.show(
        found,
        lambda: print_table(
            ["NAME", "EXAMPLES", "CLASSES", "SPEC", "SIZE", "CREATED"],
            [(d.name, d.example_count, len(d.class_counts), d.spec, Size(d.size_bytes), d.create_time) for d in found],
            empty="there are no datasets: push one with frostline datasets push",
        ),
    )


@command(datasets, "show", "frostline datasets show digits", "frostline datasets show digits@2 --json")
@click.argument("dataset")
def show(session: Session, dataset: str) -> None:
    """Show one version: what its examples are, and how many each class has."""
    with session.client() as zoo:
        found = zoo.datasets.get(dataset)
    session.show(found, lambda: _print_dataset(found))


@command(datasets, "delete", "frostline datasets delete digits", "frostline datasets delete digits --yes")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask. Without a terminal nobody is asked.")
def delete(session: Session, name: str, yes: bool) -> None:
    """Delete a dataset with its versions. Its contents stay on the disk, for a later push to find."""
    session.confirm(f"Delete the dataset {name} with all its versions?", yes)
    with session.client() as zoo:
        zoo.datasets.delete(name)
    session.show({"deleted": name}, lambda: click.echo(f"deleted {name}"))


def _print_dataset(dataset: Dataset) -> None:
    print_fields(
        {
            "version": dataset.name,
            "digest": dataset.digest,
            "examples": dataset.example_count,
            "spec": dataset.spec,
            "size": Size(dataset.size_bytes),
            "created": dataset.create_time,
        }
    )
    if dataset.class_counts:
        class_names = dataset.class_names or tuple(map(str, range(len(dataset.class_counts))))
        rows = list(zip(class_names, dataset.class_counts, strict=True))
        print_table(["CLASS", "EXAMPLES"], rows, empty="")


def _say_refused(made: PushedDataset) -> None:
    for name, reason in list(made.refused.items())[:MAX_NAMED]:
        say(f"left out: {name} {reason}")
    if len(made.refused) > MAX_NAMED:
        say(f"left out: {len(made.refused) - MAX_NAMED} more, which --json lists")
