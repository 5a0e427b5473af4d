"""Features: the outputs of frozen trunks that the server keeps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from frostline.v1 import feature_service_pb2 as pb
from frostline.v1.feature_service_pb2_grpc import FeatureServiceStub
from frostline_client.channel import Channel
from frostline_client.errors import InvalidError
from frostline_client.names import model_name, short_name
from frostline_client.pages import every_page
from frostline_client.records import time_of


@dataclass(frozen=True)
class Trunk:
    """A trunk with features on disk, all of one dtype.

    Attributes:
        digest: the trunk digest; with `dtype`, what names it.
        row_count: how many features are stored.
        size_bytes: their size on disk.
        shape: one row's shape.
        dtype: the rows' dtype.
        places: NAME@NUMBER:LAYER where the trunk ends, in the newest version of each model that has it; at most ten.
        hit_count: how many rows jobs have found here.
        miss_count: how many rows jobs have had to compute.
        last_use_time: when a job last read or stored rows.
        seconds_per_row: what computing one row took; 0 where that is not known.
    """

    digest: str
    row_count: int
    size_bytes: int
    shape: tuple[int, ...]
    dtype: str
    places: tuple[str, ...]
    hit_count: int
    miss_count: int
    last_use_time: datetime | None
    seconds_per_row: float

    @classmethod
    def of(cls, message: pb.Trunk) -> Self:
        """Reads the wire's form."""
        return cls(
            digest=message.digest,
            row_count=message.row_count,
            size_bytes=message.size_bytes,
            shape=tuple(int(side) for side in message.shape.split(",") if side),
            dtype=message.dtype,
            places=tuple(short_name(place) for place in message.places),
            hit_count=message.hit_count,
            miss_count=message.miss_count,
            last_use_time=time_of(message.last_use_time),
            seconds_per_row=message.seconds_per_row,
        )


@dataclass(frozen=True)
class Disk:
    """How much disk the features take, and how much they may take; 0: none are stored."""

    size_bytes: int
    budget_bytes: int


@dataclass(frozen=True)
class Pruned:
    """What was removed, or would be.

    Attributes:
        in_use_count: how many trunks are left because a running job reads them.
    """

    row_count: int
    size_bytes: int
    in_use_count: int


class Features:
    """The cached features of a server."""

    def __init__(self, channel: Channel) -> None:
        self._stub: Any = FeatureServiceStub(channel)

    def list(self) -> tuple[Trunk, ...]:
        """Returns the trunks that have features on disk, by digest and dtype."""
        return tuple(Trunk.of(t) for t in every_page(self._stub.ListTrunks, pb.ListTrunksRequest(), "trunks"))

    def disk(self) -> Disk:
        """Returns how much disk all features take, and how much they may take."""
        page = self._stub.ListTrunks(pb.ListTrunksRequest(page_size=1))
        return Disk(page.total_size_bytes, page.budget_bytes)

    def prune(
        self,
        *,
        model: str | None = None,
        unused_for_seconds: int | None = None,
        digest: str | None = None,
        everything: bool = False,
        dry_run: bool = False,
    ) -> Pruned:
        """Removes features, but not those that a running job reads. Jobs that need them later compute them again.

        Args:
            model: of the trunks that end in any version of this model.
            unused_for_seconds: of the trunks that no job has read or written for so long.
            digest: of the trunk with this digest, of whichever dtype.
            everything: of all trunks.
            dry_run: removes nothing, and says what would be removed.

        Raises:
            InvalidError: not exactly one of the first four is given, or it is malformed.
            NotFoundError: the model does not exist, or there are no features of the trunk.
        """
        chosen: dict[str, Any] = {
            "model": None if model is None else model_name(model),
            "unused_for_seconds": unused_for_seconds,
            "digest": digest,
            "all": everything or None,
        }
        chosen = {key: value for key, value in chosen.items() if value is not None}
        if len(chosen) != 1:
            raise InvalidError("choose what to remove by one of model, unused_for_seconds, digest and everything")
        answer = self._stub.PruneFeatures(pb.PruneFeaturesRequest(**chosen, validate_only=dry_run))
        return Pruned(answer.row_count, answer.size_bytes, answer.in_use_count)
