"""`frostline predict`: what a version, or one of its layers, puts out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from frostline_client.cli.progress import counting
from frostline_client.cli.session import Session, command
from frostline_client.endings import check_ends
from frostline_client.errors import InvalidError
from frostline_client.streams import ReceivedFile


@command(
    None,
    "predict",
    "frostline predict mnist-5-9 --input x.npy --output y.npy",
    "frostline predict resnet8:prod --input x.npy --output features.npy --layer conv2d_5",
)
@click.argument("model")
@click.option("--input", "input_", type=Path, required=True, metavar="X.npy", help="The rows.")
@click.option("--output", type=Path, required=True, metavar="Y.npy", help="The file to write.")
@click.option("--layer", metavar="NAME", help="The layer whose output is wanted. Default: the network's only output.")
def predict(session: Session, model: str, input_: Path, output: Path, layer: str | None) -> None:
    """Run a model on the rows of a .npy file.

    The rows are given as the model's examples are: its preprocessing applies.
    """
    rows = _read_rows(input_)
    with ReceivedFile(output) as file:  # opened first: what cannot be written is not worth computing
        with session.client() as zoo, counting(f"predict {model}", "rows") as progress:
            outputs = zoo.predict(model, rows, layer=layer, progress=progress)
        np.save(file, outputs)
        file.keep()
    shape, dtype = list(outputs.shape), str(outputs.dtype)
    session.show(
        {"model": model, "layer": layer, "output": str(output), "shape": shape, "dtype": dtype},
        lambda: click.echo(f"{output}: {dtype} {', '.join(map(str, shape))}"),
    )


def _read_rows(path: Path) -> npt.NDArray[Any]:
    check_ends(path)
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError):
        rows = None
    if not isinstance(rows, np.ndarray):
        raise InvalidError(f"{path} is not a .npy file of numbers: write one with numpy.save")
    return rows
