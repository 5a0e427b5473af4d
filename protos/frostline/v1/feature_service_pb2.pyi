import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Trunk(_message.Message):
    __slots__ = ("digest", "row_count", "size_bytes", "shape", "dtype", "places", "hit_count", "miss_count", "last_use_time", "seconds_per_row")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    ROW_COUNT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    PLACES_FIELD_NUMBER: _ClassVar[int]
    HIT_COUNT_FIELD_NUMBER: _ClassVar[int]
    MISS_COUNT_FIELD_NUMBER: _ClassVar[int]
    LAST_USE_TIME_FIELD_NUMBER: _ClassVar[int]
    SECONDS_PER_ROW_FIELD_NUMBER: _ClassVar[int]
    digest: str
    row_count: int
    size_bytes: int
    shape: str
    dtype: str
    places: _containers.RepeatedScalarFieldContainer[str]
    hit_count: int
    miss_count: int
    last_use_time: _timestamp_pb2.Timestamp
    seconds_per_row: float
    def __init__(self, digest: _Optional[str] = ..., row_count: _Optional[int] = ..., size_bytes: _Optional[int] = ..., shape: _Optional[str] = ..., dtype: _Optional[str] = ..., places: _Optional[_Iterable[str]] = ..., hit_count: _Optional[int] = ..., miss_count: _Optional[int] = ..., last_use_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., seconds_per_row: _Optional[float] = ...) -> None: ...

class ListTrunksRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListTrunksResponse(_message.Message):
    __slots__ = ("trunks", "next_page_token", "total_size_bytes", "budget_bytes")
    TRUNKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    BUDGET_BYTES_FIELD_NUMBER: _ClassVar[int]
    trunks: _containers.RepeatedCompositeFieldContainer[Trunk]
    next_page_token: str
    total_size_bytes: int
    budget_bytes: int
    def __init__(self, trunks: _Optional[_Iterable[_Union[Trunk, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total_size_bytes: _Optional[int] = ..., budget_bytes: _Optional[int] = ...) -> None: ...

class PruneFeaturesRequest(_message.Message):
    __slots__ = ("model", "unused_for_seconds", "digest", "all", "validate_only")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    UNUSED_FOR_SECONDS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    model: str
    unused_for_seconds: int
    digest: str
    all: bool
    validate_only: bool
    def __init__(self, model: _Optional[str] = ..., unused_for_seconds: _Optional[int] = ..., digest: _Optional[str] = ..., all: bool = ..., validate_only: bool = ...) -> None: ...

class PruneFeaturesResponse(_message.Message):
    __slots__ = ("row_count", "size_bytes", "in_use_count")
    ROW_COUNT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    IN_USE_COUNT_FIELD_NUMBER: _ClassVar[int]
    row_count: int
    size_bytes: int
    in_use_count: int
    def __init__(self, row_count: _Optional[int] = ..., size_bytes: _Optional[int] = ..., in_use_count: _Optional[int] = ...) -> None: ...
