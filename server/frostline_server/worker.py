"""A child process of the server: `python -m frostline_server.worker KIND --data DIR`, and what `Child` adds to that.

It imports TensorFlow, so it is never imported by the server.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

import structlog

from frostline_server.jobs.freed_memory import keep_freed_memory
from frostline_server.jobs.processes import enter_child

_KEPT_BYTES = 256 << 20  # some batches in flight, and what a network makes of them


def main() -> None:
    """Runs a trainer or a workbench until the server says stop or is gone."""
    parser = argparse.ArgumentParser(prog="frostline-worker")
    parser.add_argument("kind", choices=["trainer", "workbench"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--feature-bytes", type=int, required=True)
    parser.add_argument("--feature-memory", type=int, required=True)
    parser.add_argument("--worker-growth", type=int, required=True)
    parser.add_argument("--owner", required=True)
    parser.add_argument("--channel", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    given = parser.parse_args()
    channel = enter_child(given.channel, given.parent)
    keep_freed_memory(_KEPT_BYTES)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    # Imported only now: TensorFlow takes seconds, in which the server must be able to die without leaving this behind.
    from frostline_server.wiring import open_leases, open_zoo

    zoo = open_zoo(given.data, given.feature_bytes, given.feature_memory)
    if given.kind == "trainer":
        from frostline_server.jobs.trainer import Trainer

        Trainer(channel, given.owner, zoo, open_leases(zoo), given.data / "jobs", given.worker_growth).run()
    else:
        from frostline_server.jobs.bench import Bench

        Bench(channel, zoo, given.worker_growth).run()
    sys.stderr.flush()
    os._exit(0)  # all is written; TensorFlow would take seconds to take itself apart


if __name__ == "__main__":
    main()
