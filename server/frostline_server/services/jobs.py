"""JobService: jobs submitted, watched, cancelled and resumed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from frostline.v1 import job_service_pb2 as pb
from frostline.v1.job_service_pb2_grpc import JobServiceServicer
from frostline_server.jobs.bell import Bell
from frostline_server.jobs.executor import LocalExecutor
from frostline_server.jobs.records import State
from frostline_server.jobs.table import Jobs
from frostline_server.jobs.workbench import Workbench
from frostline_server.services.job_messages import event_to_proto, job_to_proto, plan_to_proto
from frostline_server.training.pins import check_pins, pinned
from frostline_server.training.recipe import Recipe
from frostline_zoo.catalogue.datasets import Datasets
from frostline_zoo.catalogue.models import Models
from frostline_zoo.errors import InvalidError, UnavailableError
from frostline_zoo.names import JobName

LOOK_SECONDS = 1.0
"""How often a watcher looks into the table although nobody has rung."""


class JobService(JobServiceServicer):
    """Runs jobs."""

    def __init__(
        self,
        jobs: Jobs,
        models: Models,
        datasets: Datasets,
        executor: LocalExecutor,
        workbench: Workbench,
        bell: Bell,
    ) -> None:
        self._jobs = jobs
        self._models = models
        self._datasets = datasets
        self._executor = executor
        self._workbench = workbench
        self._bell = bell

    async def CreateJob(self, request: pb.CreateJobRequest, context: Any) -> pb.Job:
        Recipe.parse(request.recipe)
        earlier = await asyncio.to_thread(self._jobs.created, request.recipe, request.request_id)
        if earlier is not None:
            return await self._packed(earlier.name)
        recipe = await asyncio.to_thread(pinned, request.recipe, self._models, self._datasets)
        await self._workbench.check_recipe(recipe)
        job = await asyncio.to_thread(self._jobs.create, recipe, request.request_id, submitted=request.recipe)
        await self._executor.wake()
        return job_to_proto(job)

    async def PlanJob(self, request: pb.PlanJobRequest, context: Any) -> pb.PlanJobResponse:
        Recipe.parse(request.recipe)
        recipe = await asyncio.to_thread(pinned, request.recipe, self._models, self._datasets)
        plans = await self._workbench.plan_recipe(recipe)
        return pb.PlanJobResponse(plans=map(plan_to_proto, plans))

    async def GetJob(self, request: pb.GetJobRequest, context: Any) -> pb.Job:
        return await self._packed(JobName.parse(request.name))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Any) -> pb.ListJobsResponse:
        jobs, token = await asyncio.to_thread(self._jobs.list_jobs, request.page_size, request.page_token)
        messages = [job_to_proto(job) for job in jobs]
        for message in messages:
            message.ClearField("recipe")
        return pb.ListJobsResponse(jobs=messages, next_page_token=token)

    async def WatchJob(self, request: pb.WatchJobRequest, context: Any) -> AsyncIterator[pb.JobEvent]:
        name, seen = JobName.parse(request.name), request.after_sequence
        if seen < 0:
            raise InvalidError(f"after_sequence {seen} is negative: leave it out to start from the first event")
        with self._bell.listen(name) as rung:
            while True:
                rung.clear()
                job, events = await asyncio.to_thread(self._jobs.news, name, seen)
                for event in events:
                    yield event_to_proto(event)
                    seen = event.sequence
                if job.state.ended and seen >= job.last_sequence:
                    return
                if events:
                    continue
                if self._bell.closed:
                    raise UnavailableError("the server is stopping: watch again with the last sequence seen")
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(rung.wait(), LOOK_SECONDS)

    async def CancelJob(self, request: pb.CancelJobRequest, context: Any) -> pb.Job:
        job = await asyncio.to_thread(self._jobs.cancel, JobName.parse(request.name))
        if job.state == State.CANCELLING:
            await self._executor.cancel(job.name)
        self._bell.ring(job.name)
        return await self._packed(job.name)

    async def ResumeJob(self, request: pb.ResumeJobRequest, context: Any) -> pb.Job:
        ended, _ = await asyncio.to_thread(self._jobs.history, JobName.parse(request.name))
        await asyncio.to_thread(check_pins, ended.recipe, ended.created, self._models, self._datasets)
        job = await asyncio.to_thread(self._jobs.resume, ended.name)
        await self._executor.wake()
        self._bell.ring(job.name)
        return await self._packed(job.name)

    async def _packed(self, name: JobName) -> pb.Job:
        job, stages = await asyncio.to_thread(self._jobs.history, name)
        return job_to_proto(job, stages)
