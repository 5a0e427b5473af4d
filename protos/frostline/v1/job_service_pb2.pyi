import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Job(_message.Message):
    __slots__ = ("name", "state", "recipe", "model", "metrics", "stages", "error", "attempt", "last_sequence", "create_time", "start_time", "end_time")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Job.State]
        STATE_PENDING: _ClassVar[Job.State]
        STATE_RUNNING: _ClassVar[Job.State]
        STATE_CANCELLING: _ClassVar[Job.State]
        STATE_SUCCEEDED: _ClassVar[Job.State]
        STATE_FAILED: _ClassVar[Job.State]
        STATE_CANCELLED: _ClassVar[Job.State]
    STATE_UNSPECIFIED: Job.State
    STATE_PENDING: Job.State
    STATE_RUNNING: Job.State
    STATE_CANCELLING: Job.State
    STATE_SUCCEEDED: Job.State
    STATE_FAILED: Job.State
    STATE_CANCELLED: Job.State
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: Job.State
    recipe: str
    model: str
    metrics: _containers.ScalarMap[str, float]
    stages: _containers.RepeatedCompositeFieldContainer[StageResult]
    error: str
    attempt: int
    last_sequence: int
    create_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[Job.State, str]] = ..., recipe: _Optional[str] = ..., model: _Optional[str] = ..., metrics: _Optional[_Mapping[str, float]] = ..., stages: _Optional[_Iterable[_Union[StageResult, _Mapping]]] = ..., error: _Optional[str] = ..., attempt: _Optional[int] = ..., last_sequence: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class StageResult(_message.Message):
    __slots__ = ("epochs_run", "train_seconds", "fill_seconds", "features", "history", "best_epoch", "frozen_layer_count", "trainable_parameter_count", "plan", "seconds_saved")
    class HistoryEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Series
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Series, _Mapping]] = ...) -> None: ...
    EPOCHS_RUN_FIELD_NUMBER: _ClassVar[int]
    TRAIN_SECONDS_FIELD_NUMBER: _ClassVar[int]
    FILL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    BEST_EPOCH_FIELD_NUMBER: _ClassVar[int]
    FROZEN_LAYER_COUNT_FIELD_NUMBER: _ClassVar[int]
    TRAINABLE_PARAMETER_COUNT_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    SECONDS_SAVED_FIELD_NUMBER: _ClassVar[int]
    epochs_run: int
    train_seconds: float
    fill_seconds: float
    features: FeatureUse
    history: _containers.MessageMap[str, Series]
    best_epoch: int
    frozen_layer_count: int
    trainable_parameter_count: int
    plan: StagePlan
    seconds_saved: float
    def __init__(self, epochs_run: _Optional[int] = ..., train_seconds: _Optional[float] = ..., fill_seconds: _Optional[float] = ..., features: _Optional[_Union[FeatureUse, _Mapping]] = ..., history: _Optional[_Mapping[str, Series]] = ..., best_epoch: _Optional[int] = ..., frozen_layer_count: _Optional[int] = ..., trainable_parameter_count: _Optional[int] = ..., plan: _Optional[_Union[StagePlan, _Mapping]] = ..., seconds_saved: _Optional[float] = ...) -> None: ...

class StagePlan(_message.Message):
    __slots__ = ("cut", "frozen_layer_count", "kept", "kept_at", "dtype", "views", "rows_present", "rows_missing", "size_bytes", "seconds_with", "seconds_without", "reason")
    class Kept(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KEPT_UNSPECIFIED: _ClassVar[StagePlan.Kept]
        KEPT_STORE: _ClassVar[StagePlan.Kept]
        KEPT_MEMORY: _ClassVar[StagePlan.Kept]
        KEPT_NOWHERE: _ClassVar[StagePlan.Kept]
    KEPT_UNSPECIFIED: StagePlan.Kept
    KEPT_STORE: StagePlan.Kept
    KEPT_MEMORY: StagePlan.Kept
    KEPT_NOWHERE: StagePlan.Kept
    CUT_FIELD_NUMBER: _ClassVar[int]
    FROZEN_LAYER_COUNT_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    KEPT_AT_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    VIEWS_FIELD_NUMBER: _ClassVar[int]
    ROWS_PRESENT_FIELD_NUMBER: _ClassVar[int]
    ROWS_MISSING_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SECONDS_WITH_FIELD_NUMBER: _ClassVar[int]
    SECONDS_WITHOUT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    cut: _containers.RepeatedScalarFieldContainer[str]
    frozen_layer_count: int
    kept: StagePlan.Kept
    kept_at: _containers.RepeatedScalarFieldContainer[str]
    dtype: str
    views: int
    rows_present: int
    rows_missing: int
    size_bytes: int
    seconds_with: float
    seconds_without: float
    reason: str
    def __init__(self, cut: _Optional[_Iterable[str]] = ..., frozen_layer_count: _Optional[int] = ..., kept: _Optional[_Union[StagePlan.Kept, str]] = ..., kept_at: _Optional[_Iterable[str]] = ..., dtype: _Optional[str] = ..., views: _Optional[int] = ..., rows_present: _Optional[int] = ..., rows_missing: _Optional[int] = ..., size_bytes: _Optional[int] = ..., seconds_with: _Optional[float] = ..., seconds_without: _Optional[float] = ..., reason: _Optional[str] = ...) -> None: ...

class Series(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, values: _Optional[_Iterable[float]] = ...) -> None: ...

class FeatureUse(_message.Message):
    __slots__ = ("computed", "reused", "bytes")
    COMPUTED_FIELD_NUMBER: _ClassVar[int]
    REUSED_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    computed: int
    reused: int
    bytes: int
    def __init__(self, computed: _Optional[int] = ..., reused: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class JobEvent(_message.Message):
    __slots__ = ("sequence", "time", "state_change", "stage_start", "fill_progress", "epoch_end", "note")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    STATE_CHANGE_FIELD_NUMBER: _ClassVar[int]
    STAGE_START_FIELD_NUMBER: _ClassVar[int]
    FILL_PROGRESS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_END_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    time: _timestamp_pb2.Timestamp
    state_change: StateChange
    stage_start: StageStart
    fill_progress: FillProgress
    epoch_end: EpochEnd
    note: str
    def __init__(self, sequence: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., state_change: _Optional[_Union[StateChange, _Mapping]] = ..., stage_start: _Optional[_Union[StageStart, _Mapping]] = ..., fill_progress: _Optional[_Union[FillProgress, _Mapping]] = ..., epoch_end: _Optional[_Union[EpochEnd, _Mapping]] = ..., note: _Optional[str] = ...) -> None: ...

class StateChange(_message.Message):
    __slots__ = ("state", "error", "model")
    STATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    state: Job.State
    error: str
    model: str
    def __init__(self, state: _Optional[_Union[Job.State, str]] = ..., error: _Optional[str] = ..., model: _Optional[str] = ...) -> None: ...

class StageStart(_message.Message):
    __slots__ = ("stage", "epochs", "frozen_layer_count", "trainable_parameter_count", "plan")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    FROZEN_LAYER_COUNT_FIELD_NUMBER: _ClassVar[int]
    TRAINABLE_PARAMETER_COUNT_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    stage: int
    epochs: int
    frozen_layer_count: int
    trainable_parameter_count: int
    plan: StagePlan
    def __init__(self, stage: _Optional[int] = ..., epochs: _Optional[int] = ..., frozen_layer_count: _Optional[int] = ..., trainable_parameter_count: _Optional[int] = ..., plan: _Optional[_Union[StagePlan, _Mapping]] = ...) -> None: ...

class FillProgress(_message.Message):
    __slots__ = ("stage", "done", "total", "computed")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    COMPUTED_FIELD_NUMBER: _ClassVar[int]
    stage: int
    done: int
    total: int
    computed: int
    def __init__(self, stage: _Optional[int] = ..., done: _Optional[int] = ..., total: _Optional[int] = ..., computed: _Optional[int] = ...) -> None: ...

class EpochEnd(_message.Message):
    __slots__ = ("stage", "epoch", "metrics", "seconds")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    STAGE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    stage: int
    epoch: int
    metrics: _containers.ScalarMap[str, float]
    seconds: float
    def __init__(self, stage: _Optional[int] = ..., epoch: _Optional[int] = ..., metrics: _Optional[_Mapping[str, float]] = ..., seconds: _Optional[float] = ...) -> None: ...

class CreateJobRequest(_message.Message):
    __slots__ = ("recipe", "request_id")
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    recipe: str
    request_id: str
    def __init__(self, recipe: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class PlanJobRequest(_message.Message):
    __slots__ = ("recipe",)
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    recipe: str
    def __init__(self, recipe: _Optional[str] = ...) -> None: ...

class PlanJobResponse(_message.Message):
    __slots__ = ("plans",)
    PLANS_FIELD_NUMBER: _ClassVar[int]
    plans: _containers.RepeatedCompositeFieldContainer[StagePlan]
    def __init__(self, plans: _Optional[_Iterable[_Union[StagePlan, _Mapping]]] = ...) -> None: ...

class GetJobRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListJobsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListJobsResponse(_message.Message):
    __slots__ = ("jobs", "next_page_token")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[Job]
    next_page_token: str
    def __init__(self, jobs: _Optional[_Iterable[_Union[Job, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchJobRequest(_message.Message):
    __slots__ = ("name", "after_sequence")
    NAME_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    after_sequence: int
    def __init__(self, name: _Optional[str] = ..., after_sequence: _Optional[int] = ...) -> None: ...

class CancelJobRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ResumeJobRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...
