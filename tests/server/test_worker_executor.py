"""The executor: what becomes of jobs whose worker hangs."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from frostline_server.jobs.bell import Bell
from frostline_server.jobs.executor import LocalExecutor
from frostline_server.jobs.leases import Leases
from frostline_server.jobs.records import Job, State
from frostline_server.jobs.table import Jobs
from frostline_server.jobs.transitions import CRASHES_ALLOWED
from frostline_zoo.blobs.local import LocalBlobStore
from frostline_zoo.catalogue.database import connect, migrate
from frostline_zoo.catalogue.models import Models

RECIPE = json.dumps({"name": "digits", "head": [{"Dense": {"units": 2}}], "data": {"train": "pixels"}})

HANGS = """
import sys, time
from pathlib import Path
from frostline_server.jobs.channel import Frame
from frostline_server.jobs.processes import enter_child
from frostline_server.wiring import open_leases, open_zoo

given = dict(zip(sys.argv[2::2], sys.argv[3::2]))
channel = enter_child(int(given["--channel"]), int(given["--parent"]))
job = open_leases(open_zoo(Path(sys.argv[1]), 0, 0)).claim(given["--owner"], 0.1)
channel.send(Frame({"ready": True}))
if job:
    channel.send(Frame({"news": job.name.job}))
time.sleep(1000)
"""


def test_a_worker_that_hangs_is_killed_and_its_job_taken_from_it(tmp_path: Path) -> None:
    engine = connect(tmp_path / "frostline.db")
    migrate(engine)
    jobs, leases = Jobs(engine), Leases(engine, Models(engine, LocalBlobStore(tmp_path)))
    submitted = jobs.create(RECIPE)
    program = tmp_path / "hangs.py"
    program.write_text(HANGS)

    async def run() -> Job:
        bell = Bell()
        executor = LocalExecutor([sys.executable, str(program), str(tmp_path)], leases, bell, look_seconds=0.1)
        await executor.start()
        try:
            with bell.listen(submitted.name) as rung:
                while not (job := jobs.news(submitted.name, 0)[0]).state.ended:
                    await rung.wait()
                    rung.clear()
                return job
        finally:
            await executor.stop(0)

    job = asyncio.run(asyncio.wait_for(run(), 60))
    assert (job.state, job.attempt) == (State.FAILED, CRASHES_ALLOWED)
    assert "the worker died 3 times" in job.error
