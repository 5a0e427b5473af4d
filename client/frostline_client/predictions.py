"""Predictions: what a version, or one of its layers, puts out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from frostline.v1.prediction_service_pb2 import PredictRequest
from frostline.v1.prediction_service_pb2_grpc import PredictionServiceStub
from frostline.wire import WithData
from frostline_client.arrays import as_array
from frostline_client.channel import Channel
from frostline_client.errors import InvalidError, ServerError
from frostline_client.names import version_name
from frostline_client.streams import MESSAGE_BYTES, Progress

MAX_ROW_BYTES = 3 << 20


class Predictions:
    """Runs versions of a server in inference mode."""

    def __init__(self, channel: Channel) -> None:
        self._stub: Any = PredictionServiceStub(channel)

    def predict(
        self, reference: str, x: npt.ArrayLike, *, layer: str | None = None, progress: Progress | None = None
    ) -> npt.NDArray[Any]:
        """Returns the outputs (rows, ...) for `x` (rows, ...), in order. The version's preprocessing applies.

        Args:
            layer: the layer whose output is wanted; None: the network's only output.
            progress: told how many rows are done, and of how many.

        Raises:
            InvalidError: `x` does not fit the network's input, or holds NaN; the network has several inputs, or
                several outputs and `layer` names none of them.
            NotFoundError: the zoo holds no such version, or the version no such layer.
        """
        rows = _little_endian(as_array("x", x))
        done, outputs = 0, None
        with self._stub.Predict(_requests(version_name(reference), layer or "", rows)) as responses:
            for response in responses:
                if outputs is None:
                    shape = tuple(response.row_shape)
                    outputs = np.empty((len(rows), *shape), np.dtype(response.dtype).newbyteorder("<"))
                    row_bytes = max(1, outputs.itemsize * int(np.prod(shape)))
                group = np.frombuffer(response.data, outputs.dtype).reshape(-1, *outputs.shape[1:])
                outputs[done : done + len(group)] = group
                done += len(response.data) // row_bytes
                if progress is not None:
                    progress(done, len(rows))
        if outputs is None or done != len(rows):
            raise ServerError(f"{done} of {len(rows)} outputs came: try again")
        return outputs


def _little_endian(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if x.ndim == 0:
        raise InvalidError("the input is one number: give an array of rows, the first axis counting them")
    if x.dtype.kind not in "biuf":
        raise InvalidError(f"the input's dtype {x.dtype} is not numeric: give an array of numbers")
    x = x.astype(x.dtype.newbyteorder("<"), copy=False)
    if x.nbytes > MAX_ROW_BYTES * len(x):
        raise InvalidError(f"a row has {x.nbytes // len(x)} bytes: at most {MAX_ROW_BYTES} are taken")
    return x


def _requests(version: str, layer: str, rows: npt.NDArray[Any]) -> Iterator[PredictRequest | WithData]:
    yield PredictRequest(version=version, layer=layer, dtype=rows.dtype.name, row_shape=rows.shape[1:])
    row_bytes = max(1, rows.nbytes // max(1, len(rows)))
    step = max(1, MESSAGE_BYTES // row_bytes)
    for start in range(0, len(rows), step):
        yield WithData(
            PredictRequest(), np.ascontiguousarray(rows[start : start + step]).reshape(-1).view(np.uint8).data
        )
