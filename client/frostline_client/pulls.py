"""Pulling a version into a folder that keeps layers.

    DIR/manifest.json
    DIR/layers/<hex of the blob's digest>.safetensors

Layers of other versions in the folder stay, so that one folder can follow a model, or hold a family of models, and
take only what is new.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from frostline_client.blobs import Blobs
from frostline_client.errors import AlreadyExistsError
from frostline_client.manifests import FORMAT, layers_of
from frostline_client.records import Version
from frostline_client.streams import Progress, ReceivedFile, Source


@dataclass(frozen=True)
class Pulled:
    """What a pull did.

    Attributes:
        transferred: layer blobs that came over the wire.
        present: layer blobs that the folder had.
        transferred_bytes: the size of the former; the manifest is not counted.
    """

    version: Version
    transferred: int
    present: int
    transferred_bytes: int


def pull(blobs: Blobs, version: Version, folder: Path, progress: Progress | None) -> Pulled:
    """Makes `folder` hold `version`. What is there is verified first; the manifest is written last.

    Raises:
        AlreadyExistsError: the folder holds other things, and no version.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _check_is_ours(folder)
    (folder / "layers").mkdir(exist_ok=True)
    manifest = blobs.read(version.digest)
    wanted = {layer.blob: _path(folder, layer.blob) for layer in layers_of(manifest) if layer.blob}
    present = {path for digest, path in wanted.items() if _holds(path, digest)}
    there = sum(path.stat().st_size for path in present)
    done, missing_bytes = 0, max(0, version.size_bytes - there)

    def report(received_bytes: int, _: int) -> None:
        if progress is not None:
            progress(done + received_bytes, missing_bytes)

    report(0, 0)
    for digest, path in wanted.items():
        if path not in present:
            done += blobs.download(digest, path, progress=report)
    with ReceivedFile(folder / "manifest.json") as file:
        file.write(manifest)
        file.keep()
    return Pulled(version, len(wanted) - len(present), len(present), done)


def _check_is_ours(folder: Path) -> None:
    """Checks that a folder is empty, or of a pull that ended or did not: what somebody else keeps there stays his."""
    manifest = folder / "manifest.json"
    if manifest.is_file():
        try:
            is_ours = json.loads(manifest.read_bytes()).get("format") == FORMAT
        except (ValueError, AttributeError, RecursionError):
            is_ours = False
    else:
        is_ours = {"layers", "manifest.json"}.issuperset(
            path.name for path in folder.iterdir() if not path.name.startswith(".")
        )
    if not is_ours:
        text = f"{folder} holds other things: pull into a new folder, or one that holds a version already"
        raise AlreadyExistsError(text)


def _path(folder: Path, digest: str) -> Path:
    return folder / "layers" / f"{digest.removeprefix('sha256:')}.safetensors"


def _holds(path: Path, digest: str) -> bool:
    return path.is_file() and Source(path).digest() == digest
