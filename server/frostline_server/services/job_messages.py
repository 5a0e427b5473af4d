"""Jobs and their events as messages."""

from __future__ import annotations

from collections.abc import Sequence

from frostline.v1 import job_service_pb2 as pb
from frostline_server.jobs.records import Job, JobEvent, StateChanged
from frostline_server.services.conversion import timestamp
from frostline_server.training.events import EpochEnded, Filled, StageResult, StageStarted
from frostline_server.training.plan import StagePlan


def job_to_proto(job: Job, stages: Sequence[StageResult] = ()) -> pb.Job:
    """Returns a job, with what its stages have come to, as a message."""
    return pb.Job(
        name=str(job.name),
        state=f"STATE_{job.state}",
        recipe=job.recipe,
        model=str(job.model),
        metrics=job.metrics,
        stages=map(_stage, stages),
        error=job.error,
        attempt=job.attempt,
        last_sequence=job.last_sequence,
        create_time=timestamp(job.created),
        start_time=timestamp(job.started),
        end_time=timestamp(job.ended),
    )


def event_to_proto(happened: JobEvent) -> pb.JobEvent:
    """Returns an event as a message."""
    message = pb.JobEvent(sequence=happened.sequence, time=timestamp(happened.time))
    event = happened.event
    if isinstance(event, StateChanged):
        message.state_change.CopyFrom(
            pb.StateChange(state=f"STATE_{event.state}", error=event.error, model=event.model)
        )
    elif isinstance(event, StageStarted):
        message.stage_start.CopyFrom(
            pb.StageStart(
                stage=event.stage,
                epochs=event.epochs,
                frozen_layer_count=event.frozen_layer_count,
                trainable_parameter_count=event.trainable_parameter_count,
                plan=plan_to_proto(event.plan) if event.plan else None,
            )
        )
    elif isinstance(event, Filled):
        message.fill_progress.CopyFrom(
            pb.FillProgress(stage=event.stage, done=event.done, total=event.total, computed=event.computed)
        )
    elif isinstance(event, EpochEnded):
        message.epoch_end.CopyFrom(
            pb.EpochEnd(stage=event.stage, epoch=event.epoch, metrics=event.metrics, seconds=event.seconds)
        )
    else:
        message.note = event.text
    return message


def plan_to_proto(plan: StagePlan) -> pb.StagePlan:
    """Returns what is planned for a stage as a message."""
    return pb.StagePlan(
        cut=plan.cut,
        frozen_layer_count=plan.frozen_layer_count,
        kept=f"KEPT_{plan.kept.upper()}",
        kept_at=plan.kept_at,
        dtype=plan.dtype,
        views=plan.views,
        rows_present=plan.rows_present,
        rows_missing=plan.rows_missing,
        size_bytes=plan.size_bytes,
        seconds_with=plan.seconds_with,
        seconds_without=plan.seconds_without,
        reason=plan.reason,
    )


def _stage(stage: StageResult) -> pb.StageResult:
    return pb.StageResult(
        epochs_run=stage.epochs_run,
        train_seconds=stage.train_seconds,
        fill_seconds=stage.fill_seconds,
        features=pb.FeatureUse(computed=stage.rows_computed, reused=stage.rows_reused, bytes=stage.feature_bytes),
        history={name: pb.Series(values=values) for name, values in stage.history.items()},
        best_epoch=stage.best_epoch,
        frozen_layer_count=stage.frozen_layer_count,
        trainable_parameter_count=stage.trainable_parameter_count,
        plan=plan_to_proto(stage.plan) if stage.plan else None,
        seconds_saved=stage.seconds_saved,
    )
