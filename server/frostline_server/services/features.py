"""FeatureService: which trunks have features on disk, where in the zoo they end, and what of them is removed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from frostline.v1 import feature_service_pb2 as pb
from frostline.v1.feature_service_pb2_grpc import FeatureServiceServicer
from frostline_server.features.store import FeatureStore, TrunkInfo
from frostline_server.services.conversion import timestamp
from frostline_server.services.places import Places
from frostline_zoo.catalogue.database import now
from frostline_zoo.catalogue.pages import checked_page_size, decode_token, encode_token
from frostline_zoo.digests import checked_digest
from frostline_zoo.errors import InvalidError, NotFoundError
from frostline_zoo.names import ModelName

_LIST = "trunks"


class FeatureService(FeatureServiceServicer):
    """Shows what is cached, and removes it."""

    def __init__(self, features: FeatureStore, places: Places) -> None:
        self._features = features
        self._places = places

    async def ListTrunks(self, request: pb.ListTrunksRequest, context: Any) -> pb.ListTrunksResponse:
        return await asyncio.to_thread(self._list, request.page_size, request.page_token)

    async def PruneFeatures(self, request: pb.PruneFeaturesRequest, context: Any) -> pb.PruneFeaturesResponse:
        return await asyncio.to_thread(self._prune, request)

    def _list(self, page_size: int, page_token: str) -> pb.ListTrunksResponse:
        size = checked_page_size(page_size)
        last = decode_token(_LIST, page_token, str) if page_token else ""
        stored = self._features.trunks()
        trunks = [trunk for trunk in stored if _identity(trunk) > last]
        page = trunks[:size]
        places = self._places.of({trunk.digest for trunk in page})
        return pb.ListTrunksResponse(
            trunks=[_trunk_to_proto(trunk, places.get(trunk.digest, [])) for trunk in page],
            next_page_token=encode_token(_LIST, _identity(page[-1])) if len(trunks) > size else "",
            total_size_bytes=sum(trunk.size_bytes for trunk in stored),
            budget_bytes=self._features.budget_bytes,
        )

    def _prune(self, request: pb.PruneFeaturesRequest) -> pb.PruneFeaturesResponse:
        pruned = self._features.prune(self._chosen(request), dry_run=request.validate_only)
        return pb.PruneFeaturesResponse(
            row_count=pruned.row_count, size_bytes=pruned.size_bytes, in_use_count=pruned.in_use
        )

    def _chosen(self, request: pb.PruneFeaturesRequest) -> Callable[[TrunkInfo], bool]:
        which = request.WhichOneof("which")
        if which == "model":
            digests = self._places.trunks_of(ModelName.parse(request.model))
            return lambda trunk: trunk.digest in digests
        if which == "unused_for_seconds":
            return _unused_for(request.unused_for_seconds)
        if which == "digest":
            digest = checked_digest(request.digest)
            if all(trunk.digest != digest for trunk in self._features.trunks()):
                raise NotFoundError(f"no features of trunk {digest}", digest=digest)
            return lambda trunk: trunk.digest == digest
        if which == "all" and request.all:
            return lambda trunk: True
        raise InvalidError("nothing is chosen: give model, unused_for_seconds, digest or all", reason="NOTHING_CHOSEN")


def _unused_for(seconds: int) -> Callable[[TrunkInfo], bool]:
    if seconds < 0:
        raise InvalidError(f"unused_for_seconds {seconds} is negative: give how long ago the last use may be")
    try:
        latest = now() - timedelta(seconds=seconds)
    except OverflowError:  # before there were calendars
        return lambda trunk: False
    return lambda trunk: trunk.last_used <= latest


def _identity(trunk: TrunkInfo) -> str:
    """Returns what names a trunk's rows; in the order of these, trunks are listed."""
    return f"{trunk.digest} {trunk.dtype}"


def _trunk_to_proto(trunk: TrunkInfo, places: list[str]) -> pb.Trunk:
    return pb.Trunk(
        digest=trunk.digest,
        row_count=trunk.row_count,
        size_bytes=trunk.size_bytes,
        shape=",".join(map(str, trunk.shape)),
        dtype=trunk.dtype,
        places=places,
        hit_count=trunk.hits,
        miss_count=trunk.misses,
        last_use_time=timestamp(trunk.last_used),
        seconds_per_row=trunk.seconds_per_row,
    )
