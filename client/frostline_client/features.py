"""Features: the outputs of frozen trunks that the server keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from frostline.v1 import feature_service_pb2 as pb
from frostline.v1.feature_service_pb2_grpc import FeatureServiceStub
from frostline_client.channel import Channel
from frostline_client.names import short_name
from frostline_client.pages import every_page


@dataclass(frozen=True)
class Trunk:
    """A trunk with features on disk.

    Attributes:
        digest: the trunk digest.
        row_count: how many features are stored.
        size_bytes: their size on disk.
        shape: one row's shape.
        dtype: the rows' dtype.
        places: NAME@NUMBER:LAYER of places in the zoo where the trunk ends; at most ten.
    """

    digest: str
    row_count: int
    size_bytes: int
    shape: tuple[int, ...]
    dtype: str
    places: tuple[str, ...]

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
        )


class Features:
    """The cached features of a server."""

    def __init__(self, channel: Channel) -> None:
        self._stub: Any = FeatureServiceStub(channel)

    def list(self) -> tuple[Trunk, ...]:
        """Returns the trunks that have features on disk, by digest."""
        return tuple(Trunk.of(t) for t in every_page(self._stub.ListTrunks, pb.ListTrunksRequest(), "trunks"))
