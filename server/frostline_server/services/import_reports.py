"""What became of everything in an imported file, as the wire has it."""

from __future__ import annotations

from typing import Any

from frostline.v1 import model_service_pb2 as pb
from frostline_zoo.foreign.draft import Report

MAX_LINES = 2_000


def report_to_proto(report: Report) -> pb.ImportReport:
    """Returns a report, each of its lists cut after 2,000 lines."""
    return pb.ImportReport(
        matched=report.matched[:MAX_LINES],
        renamed=[pb.ImportReport.Renamed(**{"from": a, "to": b}) for a, b in report.renamed[:MAX_LINES]],
        missing=report.missing[:MAX_LINES],
        unexpected=report.unexpected[:MAX_LINES],
        differing=[
            pb.ImportReport.Differing(name=name, shape=shape, wanted=wanted)
            for name, shape, wanted in report.differing[:MAX_LINES]
        ],
    )


def notes_of(report: Report) -> list[str]:
    """Returns a report's notes, and one for each list that is cut."""
    lists: dict[str, list[Any]] = {
        "matched": report.matched,
        "renamed": report.renamed,
        "missing": report.missing,
        "unexpected": report.unexpected,
        "of another shape": report.differing,
        "noted": report.notes,
    }
    cut = [
        f"{len(each):,} are {name}, of which {MAX_LINES:,} are listed"
        for name, each in lists.items()
        if len(each) > MAX_LINES
    ]
    return [*report.notes[:MAX_LINES], *cut]
