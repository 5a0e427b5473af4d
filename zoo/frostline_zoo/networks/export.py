"""Networks as files of other tools."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from frostline_zoo.files import publish
from frostline_zoo.networks.build import Network


def export_keras(network: Network, path: Path) -> None:
    """Writes a network as a .keras file that plain Keras loads: `keras.models.load_model(path)`.

    The file is there whole or not at all, whatever its name ends in.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
        staged = Path(folder) / "network.keras"
        network.model.save(staged)
        with staged.open("rb+") as file:
            os.fsync(file.fileno())
        publish(staged, path)
