"""Messages whose data stands apart are those that protobuf writes and reads."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import DecodeError

from frostline.v1.blob_service_pb2 import ReadBlobResponse, UploadBlobRequest
from frostline.v1.dataset_service_pb2 import PushExamplesRequest
from frostline.v1.model_service_pb2 import ImportModelRequest
from frostline.v1.prediction_service_pb2 import PredictRequest
from frostline.wire import WithData, deserializer_of, serializer_of

MESSAGES = [
    UploadBlobRequest(digest="sha256:00", size_bytes=1 << 40),
    PushExamplesRequest(spec="image", sizes=[1, 2, 300]),
    ReadBlobResponse(size_bytes=-1),
    PredictRequest(row_shape=[3], layer="h"),
]


def with_data(message: Any, size: int) -> tuple[Any, memoryview]:
    """Returns a message with data, and that."""
    whole, data = type(message)(), memoryview(bytes(range(256)) * (size // 256 + 1))[:size]
    whole.CopyFrom(message)
    whole.data = bytes(data)
    return whole, data


@pytest.mark.parametrize("size", [0, 1, 127, 128, 1 << 20])
@pytest.mark.parametrize("message", [*MESSAGES, ImportModelRequest()])
def test_a_message_written_with_its_data_apart_is_whole(message: Any, size: int) -> None:
    whole, data = with_data(message, size)
    assert type(message).FromString(serializer_of(type(message).SerializeToString)(WithData(message, data))) == whole
    assert serializer_of(type(message).SerializeToString)(whole) == whole.SerializeToString()


@pytest.mark.parametrize("size", [0, 1, 127, 128, 1 << 20])
@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_read_with_its_data_apart_has_all_its_fields(message: Any, size: int) -> None:
    whole, data = with_data(message, size)
    read = deserializer_of(type(message).FromString)(whole.SerializeToString())
    assert read.data == data
    for field in type(message).DESCRIPTOR.fields:
        assert getattr(read, field.name) == getattr(whole, field.name)


def test_a_message_whose_data_is_one_of_several_fields_is_read_whole() -> None:
    raw = ImportModelRequest(data=b"data").SerializeToString()
    assert deserializer_of(ImportModelRequest.FromString)(raw).WhichOneof("part") == "data"


def test_fields_of_other_releases_do_no_harm() -> None:
    raw = b"\x7d\x01\x02\x03\x04" + UploadBlobRequest(size_bytes=5, data=b"data").SerializeToString()  # field 15, fixed
    read = deserializer_of(UploadBlobRequest.FromString)(raw)
    assert (read.size_bytes, bytes(read.data)) == (5, b"data")


@pytest.mark.parametrize("size", [1, 4, 8, 9, 13])
def test_a_message_that_breaks_off_is_refused(size: int) -> None:
    raw = UploadBlobRequest(size_bytes=1 << 40, data=b"12345").SerializeToString()
    with pytest.raises(DecodeError):
        deserializer_of(UploadBlobRequest.FromString)(raw[:size])
