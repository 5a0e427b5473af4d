"""`frostline models`: networks in the zoo, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from frostline_client.cli.import_report import print_report
from frostline_client.cli.output import Size, plain, print_fields, print_table
from frostline_client.cli.progress import transferring
from frostline_client.cli.session import Session, command
from frostline_client.recipes import read_name_map
from frostline_client.records import Version


@click.group()
def models() -> None:
    """Networks, layer by layer.

    A model is named NAME (its latest version), NAME:TAG or NAME@VERSION.
    """


# What names a network instead of a file: the server makes or fetches it.
_SOURCES = ("keras-applications:", "https://", "http://")


class _Numbers(click.ParamType[Any]):
    """A number, or a list of numbers with commas between."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            numbers = [float(part) for part in str(value).split(",")]
        except ValueError:
            self.fail(f"{value!r} is not a number, nor numbers with commas between", param, ctx)
        return numbers[0] if len(numbers) == 1 else numbers


@command(
    models,
    "import",
    "frostline models import mnist-0-4.keras --name mnist-0-4",
    "frostline models import resnet8.h5 --name resnet8 --scale 0.003921568627",
    "frostline models import vgg.h5 --name vgg --offset=-123.68,-116.78,-103.94",
    "frostline models import kws_saved_model --name keywords",
    "frostline models import bert-base-uncased --name bert",
    "frostline models import keras-applications:MobileNetV2 --name mobilenet",
    "frostline models import https://tfhub.dev/google/imagenet/mobilenet_v2_100_224/classification/5 --name mobilenet",
    "frostline models import model.ckpt.index --name lenet --into lenet --map names.yaml",
)
@click.argument("path")
@click.option("--name", required=True, help="The model that the file becomes a version of.")
@click.option("--with", "companions", type=Path, multiple=True, metavar="FILE", help="A further file that it needs.")
@click.option(
    "--format",
    default="auto",
    show_default=True,
    help="auto, keras, keras_h5, saved_model, onnx, caffe or huggingface; of weights alone also safetensors or "
    "checkpoint.",
)
@click.option("--into", metavar="BASE", help="Put the file's weights into this model's network, matched by name.")
@click.option(
    "--map", "names", type=Path, metavar="FILE", help="With --into, a YAML file: their names, each with ours."
)
@click.option("--scale", type=_Numbers(), help="The input is value * scale + offset: a number, or one a channel.")
@click.option("--offset", type=_Numbers(), help="See --scale.")
@click.option("--interpolation", help="How images are resized: bilinear, nearest, bicubic, area or lanczos.")
def import_(
    session: Session,
    path: str,
    name: str,
    companions: tuple[Path, ...],
    format: str,
    into: str | None,
    names: Path | None,
    **preprocessing: Any,
) -> None:
    """Take in a network from a file or folder of another tool, as a new version of a model.

    The files are read as data, in a process that can do nothing else, and no code in them is run. Layers that the zoo
    has already are not stored again. With --into only weights are read, and go where their names or the map say; what
    becomes of each is told.

    PATH may also name a network that the server gets by itself, of Keras Applications or, from its cache or from where
    it may fetch, of TF Hub or Kaggle:

    \b
    keras-applications:NAME?weights=none&input_shape=96,96,3
    https://tfhub.dev/... or https://www.kaggle.com/models/...
    """
    given = {key: value for key, value in preprocessing.items() if value is not None}
    if path.startswith(_SOURCES):
        if companions or into or names or format != "auto":
            raise click.UsageError(f"{path} is no file: leave out --with, --format, --into and --map")
        with session.client() as zoo:
            made = zoo.models.import_source(path, name, preprocessing=given)
    else:
        with session.client() as zoo, transferring(Path(path).name) as progress:
            made = zoo.models.import_file(
                path,
                name,
                companions=companions,
                format=format,
                preprocessing=given,
                into=into,
                name_map=read_name_map(names) if names else None,
                progress=progress,
            )

    def for_people() -> None:
        _print_version(made.version)
        click.echo(f"{made.new_blob_count} layer blobs are new, {made.shared_blob_count} were there already")
        print_report(made.report, made.notes)

    counts = {"new_blob_count": made.new_blob_count, "shared_blob_count": made.shared_blob_count, "notes": made.notes}
    session.show(plain(made.version) | counts | {"report": plain(made.report)}, for_people)


@command(models, "list", "frostline models list", "frostline models list mnist-0-4", "frostline models list --json")
@click.argument("name", required=False)
def list_(session: Session, name: str | None) -> None:
    """List the models, or the versions of the model NAME, the newest first."""
    with session.client() as zoo:
        if name is not None:
            versions = zoo.models.versions(name)
            session.show(versions, lambda: _print_versions(versions))
            return
        found = zoo.models.list()
    session.show(
        found,
        lambda: print_table(
            ["NAME", "VERSIONS", "LATEST", "CREATED"],
            [(m.name, m.version_count, m.latest_version, m.create_time) for m in found],
            empty="the zoo has no models: take one in with frostline models import",
        ),
    )


@command(models, "show", "frostline models show mnist-0-4", "frostline models show mnist-0-4@2 --json")
@click.argument("model")
def show(session: Session, model: str) -> None:
    """Show one version: its origin, its size, and what it added to the zoo."""
    with session.client() as zoo:
        version = zoo.models.get(model)
    session.show(version, lambda: _print_version(version))


@command(models, "layers", "frostline models layers mnist-0-4", "frostline models layers resnet8:prod --json")
@click.argument("model")
def layers(session: Session, model: str) -> None:
    """List a version's layers, from the input up: the names that reuse and freeze go by, and the indices for reuse."""
    with session.client() as zoo:
        found = zoo.models.layers(model)
    session.show(
        found,
        lambda: print_table(
            ["", "LAYER", "CLASS", "PARAMETERS", "TRAINED", "DIGEST", "TAKEN FROM"],
            [
                (
                    at,
                    x.name,
                    x.class_name,
                    x.parameter_count,
                    "yes" if x.trainable else "",
                    x.digest[7:19],
                    (x.origin or "")[7:19],
                )
                for at, x in enumerate(found)
            ],
            empty="it has no layers",
        ),
    )


@command(models, "diff", "frostline models diff mnist-0-4 mnist-5-9", "frostline models diff resnet8@1 resnet8@2")
@click.argument("a")
@click.argument("b")
def diff(session: Session, a: str, b: str) -> None:
    """Say layer by layer what version B shares with A. A layer is known by what it computes, not by its name."""
    with session.client() as zoo:
        rows = zoo.models.diff(a, b)

    def for_people() -> None:
        shown = [(row.status, row.a, row.b, row.b or row.a) for row in rows]
        print_table(
            ["", "IN A", "IN B", "CLASS", "PARAMETERS"],
            [
                (status, left and left.name, right and right.name, any_.class_name, any_.parameter_count)
                for status, left, right, any_ in shown
                if any_
            ],
            empty="neither has layers",
        )

    session.show(rows, for_people)


@command(
    models,
    "tag",
    "frostline models tag mnist-5-9@3 prod",
    "frostline models tag mnist-5-9 prod --delete",
    "frostline models tag mnist-5-9",
)
@click.argument("model")
@click.argument("tag", required=False)
@click.option("--delete", "is_deleted", is_flag=True, help="Delete the tag; the version stays.")
def tag(session: Session, model: str, tag: str | None, is_deleted: bool) -> None:
    """Move TAG to a version, making it where it does not exist. Without TAG, list the model's tags."""
    if is_deleted and tag is None:
        raise click.UsageError("--delete needs the TAG to delete")
    with session.client() as zoo:
        if tag is not None and is_deleted:
            zoo.models.untag(model, tag)
        elif tag is not None:
            zoo.models.tag(model, tag)
        tags = zoo.models.tags(model.partition("@")[0].partition(":")[0])
    session.show(tags, lambda: print_table(["TAG", "VERSION"], [(t.name, t.version) for t in tags], empty="no tags"))


@command(models, "delete", "frostline models delete mnist-5-9", "frostline models delete mnist-5-9 --yes")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask. Without a terminal nobody is asked.")
def delete(session: Session, name: str, yes: bool) -> None:
    """Delete a model with its versions and tags. Models that were made from it stay whole.

    Its layers stay on the disk, for a later import or job to find.
    """
    session.confirm(f"Delete the model {name} with all its versions?", yes)
    with session.client() as zoo:
        zoo.models.delete(name)
    session.show({"deleted": name}, lambda: click.echo(f"deleted {name}"))


@command(models, "pull", "frostline models pull mnist-5-9 ./mnist", "frostline models pull mnist-5-9@2 ./mnist --json")
@click.argument("model")
@click.argument("folder", type=Path, metavar="DIR")
def pull(session: Session, model: str, folder: Path) -> None:
    """Bring a version into DIR: manifest.json and layers/. Only the layers that DIR lacks are transferred."""
    with session.client() as zoo, transferring(f"pull {model}") as progress:
        pulled = zoo.models.pull(model, folder, progress=progress)
    layers_moved = f"{pulled.transferred} layer blobs transferred ({Size(pulled.transferred_bytes)})"
    session.show(
        pulled, lambda: click.echo(f"{pulled.version.name}: {layers_moved}, {pulled.present} were there already")
    )


@command(
    models,
    "export",
    "frostline models export mnist-5-9 --format keras mnist-5-9.keras",
    "frostline models export mnist-5-9:prod --format saved_model serving/mnist/1",
)
@click.argument("model")
@click.argument("path", type=Path)
@click.option(
    "--format", default="keras", show_default=True, help="keras, saved_model (a folder), onnx or safetensors."
)
def export(session: Session, model: str, path: Path, format: str) -> None:
    """Write a version to PATH in the format of another tool. Folders on the way to a folder are made."""
    if format == "keras" and path.suffix != ".keras":
        raise click.UsageError(f"{path} is not named .keras, and Keras tells its formats by the name: end it so")
    with session.client() as zoo, transferring(f"export {model}") as progress:
        size_bytes = zoo.models.export(model, path, format=format, progress=progress)
    session.show(
        {"model": model, "path": str(path), "format": format, "size_bytes": size_bytes},
        lambda: click.echo(f"{path}: {Size(size_bytes)}"),
    )


def _print_version(version: Version) -> None:
    print_fields(
        {
            "version": version.name,
            "tags": version.tags,
            "digest": version.digest,
            "made from": version.parent,
            "job": version.job,
            "created": version.create_time,
            "layers": version.layer_count,
            "parameters": version.parameter_count,
            "size": Size(version.size_bytes),
            "added": Size(version.added_bytes),
        }
    )


def _print_versions(versions: tuple[Version, ...]) -> None:
    print_table(
        ["VERSION", "TAGS", "MADE FROM", "LAYERS", "PARAMETERS", "SIZE", "ADDED", "CREATED"],
        [
            (
                v.name,
                v.tags,
                v.parent,
                v.layer_count,
                v.parameter_count,
                Size(v.size_bytes),
                Size(v.added_bytes),
                v.create_time,
            )
            for v in versions
        ],
        empty="no versions",
    )
