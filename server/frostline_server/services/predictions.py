"""PredictionService: rows in, outputs out."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any

import numpy as np

from frostline.v1 import prediction_service_pb2 as pb
from frostline.v1.prediction_service_pb2_grpc import PredictionServiceServicer
from frostline_server.jobs.workbench import Rows, Workbench
from frostline_server.services.pieces import LARGEST_PIECE_BYTES, check_piece
from frostline_zoo.catalogue.models import Models
from frostline_zoo.errors import InvalidError
from frostline_zoo.examples.spec import ExampleSpec
from frostline_zoo.names import parse_version_or_tag


class PredictionService(PredictionServiceServicer):
    """Runs versions in inference mode."""

    def __init__(self, models: Models, workbench: Workbench) -> None:
        self._models = models
        self._workbench = workbench

    async def Predict(
        self, requests: AsyncIterator[pb.PredictRequest], context: Any
    ) -> AsyncIterator[pb.PredictResponse]:
        first = await anext(requests, None)
        if first is None or not first.version:
            raise InvalidError("a prediction starts with the version: send that first", reason="NO_FIRST_MESSAGE")
        # The version is looked up once: a tag that moves meanwhile must not mix two networks in one answer.
        version = await asyncio.to_thread(self._models.version, parse_version_or_tag(first.version))
        request: pb.PredictRequest | None = first
        described = False
        while request is not None:
            if request.data:
                rows = Rows(first.dtype, tuple(first.row_shape), bytes(request.data))
                check_piece(rows.data, is_one=len(rows.data) == _row_bytes(first))
                output = await self._workbench.predict(version.digest, first.layer, rows)
                for response in _pieces(output):
                    if not described:
                        response.dtype, described = output.dtype, True
                        response.row_shape.extend(output.row_shape)
                    yield response
            request = await anext(requests, None)
        if not described:
            raise InvalidError("there are no rows to predict: send at least one")


def _row_bytes(first: pb.PredictRequest) -> int:
    return ExampleSpec.parse(f"array {first.dtype} {','.join(map(str, first.row_shape or [1]))}").content_bytes


def _pieces(output: Rows) -> list[pb.PredictResponse]:
    """Returns outputs in messages of whole rows, of at most 1 MiB where a row is not larger."""
    row = math.prod(output.row_shape) * np.dtype(output.dtype).itemsize
    step = max(LARGEST_PIECE_BYTES // row, 1) * row
    return [pb.PredictResponse(data=output.data[start : start + step]) for start in range(0, len(output.data), step)]
