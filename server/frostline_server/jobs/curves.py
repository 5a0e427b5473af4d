"""Curves: a job's epochs as TensorBoard event files.

    DATA/jobs/{job}/tensorboard/stage-0/events.out.tfevents.SECONDS.frostline.ATTEMPT

They are for looking at, and can be told from the job's events again: they are neither synced nor read here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event as Record
from tensorboard.compat.proto.event_pb2 import SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from frostline_server.training.events import EpochEnded


class Curves:
    """Writes the curves of one attempt at a job: one run a stage, one scalar a metric, one step an epoch."""

    def __init__(self, folder: Path, attempt: int) -> None:
        self._folder = folder
        self._attempt = attempt
        self._writers: dict[int, RecordWriter] = {}

    def write(self, happened: Sequence[tuple[datetime, Any]]) -> None:
        """Adds the epochs among what happened."""
        for time, event in happened:
            if isinstance(event, EpochEnded):
                values = [Summary.Value(tag=name, simple_value=value) for name, value in event.metrics.items()]
                record = Record(wall_time=time.timestamp(), step=event.epoch, summary=Summary(value=values))
                self._writer(event, time).write(record.SerializeToString())
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Closes the files."""
        for writer in self._writers.values():
            writer.close()

    def _writer(self, event: EpochEnded, time: datetime) -> RecordWriter:
        if event.stage not in self._writers:
            folder = self._folder / f"stage-{event.stage}"
            folder.mkdir(parents=True, exist_ok=True)
            name = f"events.out.tfevents.{int(time.timestamp())}.frostline.{self._attempt}"
            writer = self._writers[event.stage] = RecordWriter((folder / name).open("ab"))
            writer.write(Record(wall_time=time.timestamp(), file_version="brain.Event:2").SerializeToString())
            # Steps from here on replace those of an earlier attempt.
            start = SessionLog(status=SessionLog.START)
            record = Record(wall_time=time.timestamp(), step=event.epoch, session_log=start)
            writer.write(record.SerializeToString())
        return self._writers[event.stage]
