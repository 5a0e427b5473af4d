"""FeatureService: which trunks have features on disk, and where in the zoo they end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache, partial
from typing import Any, TypeVar

from frostline.v1 import feature_service_pb2 as pb
from frostline.v1.feature_service_pb2_grpc import FeatureServiceServicer
from frostline_server.features.store import FeatureStore, TrunkInfo
from frostline_zoo.blobs.store import BlobStore
from frostline_zoo.catalogue.models import Models, VersionRecord
from frostline_zoo.catalogue.pages import checked_page_size, decode_token, encode_token
from frostline_zoo.errors import CorruptError, NotFoundError
from frostline_zoo.identity import trunk_digests
from frostline_zoo.manifest import Manifest

MOST_PLACES = 10
MANIFESTS_KEPT = 1000
_LIST = "trunks"

Record = TypeVar("Record")


class FeatureService(FeatureServiceServicer):
    """Shows what is cached."""

    def __init__(self, features: FeatureStore, models: Models, blobs: BlobStore) -> None:
        self._features = features
        self._models = models
        self._blobs = blobs
        self._ends_of = lru_cache(MANIFESTS_KEPT)(self._read_ends)

    async def ListTrunks(self, request: pb.ListTrunksRequest, context: Any) -> pb.ListTrunksResponse:
        return await asyncio.to_thread(self._list, request.page_size, request.page_token)

    def _list(self, page_size: int, page_token: str) -> pb.ListTrunksResponse:
        size = checked_page_size(page_size)
        last = decode_token(_LIST, page_token, str) if page_token else ""
        trunks = [trunk for trunk in self._features.trunks() if trunk.digest > last]
        page = trunks[:size]
        places = self._places({trunk.digest for trunk in page})
        return pb.ListTrunksResponse(
            trunks=[_trunk_to_proto(trunk, places.get(trunk.digest, [])) for trunk in page],
            next_page_token=encode_token(_LIST, page[-1].digest) if len(trunks) > size else "",
        )

    def _places(self, wanted: set[str]) -> dict[str, list[str]]:
        """Returns where each of the trunks ends, at most ten places a trunk."""
        places: dict[str, list[str]] = {}
        for version in self._versions() if wanted else ():
            for digest, layer in self._ends_of(version.digest):
                if digest in wanted and len(places.setdefault(digest, [])) < MOST_PLACES:
                    places[digest].append(f"{version.name}:{layer}")
        return places

    def _versions(self) -> Iterator[VersionRecord]:
        for model in _every(self._models.list_models):
            with suppress(NotFoundError):  # deleted meanwhile
                yield from _every(partial(self._models.list_versions, model.name))

    def _read_ends(self, version: str) -> tuple[tuple[str, str], ...]:
        """Returns every trunk digest in a version, with the layer that the trunk ends at."""
        try:
            manifest = Manifest.decode(self._blobs.get(version))
        except (CorruptError, NotFoundError):  # what else there is to see is worth more than an error
            return ()
        return tuple((digest, tensor.layer) for tensor, digest in trunk_digests(manifest).items())


def _every(read_page: Callable[..., tuple[list[Record], str]]) -> Iterator[Record]:
    token = ""
    while True:
        records, token = read_page(page_token=token)
        yield from records
        if not token:
            return


def _trunk_to_proto(trunk: TrunkInfo, places: list[str]) -> pb.Trunk:
    return pb.Trunk(
        digest=trunk.digest,
        row_count=trunk.row_count,
        size_bytes=trunk.size_bytes,
        shape=",".join(map(str, trunk.shape)),
        dtype=trunk.dtype,
        places=places,
    )
