"""Places: where in the zoo trunks end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache, partial
from typing import TypeVar

from frostline_zoo.blobs.store import BlobStore
from frostline_zoo.catalogue.models import Models, VersionRecord
from frostline_zoo.errors import CorruptError, NotFoundError
from frostline_zoo.identity import trunk_digests, view_digests
from frostline_zoo.manifest import Manifest
from frostline_zoo.names import ModelName

MOST_PLACES = 10
MANIFESTS_KEPT = 1000

Record = TypeVar("Record")


class Places:
    """Which trunks end at which layers of which versions."""

    def __init__(self, models: Models, blobs: BlobStore) -> None:
        self._models = models
        self._blobs = blobs
        self._ends_of = lru_cache(MANIFESTS_KEPT)(self._read_ends)

    def of(self, wanted: set[str]) -> dict[str, list[str]]:
        """Returns where trunks end, as models/{model}/versions/{number}:{layer}.

        Of each model that is the newest version that has the trunk; there are at most ten a trunk.
        """
        places: dict[str, dict[str, str]] = {}
        for version in self._versions() if wanted else ():  # the newest of a model come first
            for digest, layer in self._ends_of(version.digest):
                if digest in wanted and len(of_trunk := places.setdefault(digest, {})) < MOST_PLACES:
                    of_trunk.setdefault(version.name.model, f"{version.name}:{layer}")
        return {digest: list(of_trunk.values()) for digest, of_trunk in places.items()}

    def trunks_of(self, model: ModelName) -> set[str]:
        """Returns the digests of all trunks in all versions of a model.

        Raises:
            NotFoundError: there is no such model.
        """
        versions = _every(partial(self._models.list_versions, model))
        return {digest for version in versions for digest, _ in self._ends_of(version.digest)}

    def _versions(self) -> Iterator[VersionRecord]:
        for model in _every(self._models.list_models):
            with suppress(NotFoundError):  # deleted meanwhile
                yield from _every(partial(self._models.list_versions, model.name))

    def _read_ends(self, version: str) -> tuple[tuple[str, str], ...]:
        """Returns every trunk digest in a version, of views too, with the layer that the trunk ends at."""
        try:
            manifest = Manifest.decode(self._blobs.get(version))
        except (CorruptError, NotFoundError):  # what else there is to see is worth more than an error
            return ()
        ends = {(d, tensor.layer): None for of in (trunk_digests, view_digests) for tensor, d in of(manifest).items()}
        return tuple(ends)


def _every(read_page: Callable[..., tuple[list[Record], str]]) -> Iterator[Record]:
    token = ""
    while True:
        records, token = read_page(page_token=token)
        yield from records
        if not token:
            return
