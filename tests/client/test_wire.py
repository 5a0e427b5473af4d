"""Messages whose data is written apart are those that protobuf writes."""

from __future__ import annotations

from typing import Any

import pytest

from frostline.v1.blob_service_pb2 import UploadBlobRequest
from frostline.v1.dataset_service_pb2 import PushExamplesRequest
from frostline.v1.model_service_pb2 import ImportModelRequest
from frostline.v1.prediction_service_pb2 import PredictRequest
from frostline_client.wire import WithData, serializer_of


@pytest.mark.parametrize("size", [0, 1, 127, 128, 1 << 20])
@pytest.mark.parametrize(
    "message",
    [
        UploadBlobRequest(digest="sha256:00", size_bytes=7),
        PushExamplesRequest(sizes=[1, 2, 300]),
        ImportModelRequest(),
        PredictRequest(row_shape=[3]),
    ],
)
def test_a_message_with_its_data_apart_reads_as_one(message: Any, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    read = type(message).FromString(WithData(message, memoryview(data)[:size]).encode())
    message.data = data[:size]
    assert read == message


def test_other_messages_are_written_as_ever() -> None:
    message = UploadBlobRequest(digest="sha256:00", data=b"data")
    serialize = serializer_of(UploadBlobRequest.SerializeToString)
    assert serialize(message) == message.SerializeToString()
    assert serialize(WithData(UploadBlobRequest(), b"data")) == UploadBlobRequest(data=b"data").SerializeToString()
