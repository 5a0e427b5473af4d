"""DatasetService: contents taken in while they come, lists made into versions."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from frostline.v1 import dataset_service_pb2 as messages
from frostline.v1.dataset_service_pb2_grpc import DatasetServiceServicer
from frostline_server.services.conversion import dataset_version_to_proto
from frostline_server.services.pieces import check_piece
from frostline_zoo.catalogue.datasets import Datasets, NewVersion
from frostline_zoo.errors import InvalidError
from frostline_zoo.examples.contents import Contents
from frostline_zoo.examples.intake import Batch, Intake
from frostline_zoo.examples.spec import DIGEST_BYTES, ExampleSpec
from frostline_zoo.names import DatasetName, DatasetVersionName

MAX_SORTING = 8
"""How many messages of one stream may wait to be sorted, while the next one is received."""

MAX_WRITING = 2
"""How many shards of one stream may be on their way to disk, while the next one is received."""

WORTH_KEEPING_BYTES = 1 << 20
"""Of a stream that broke, less than this is sent again instead of having a shard of its own."""

ANSWER_BYTES = 1 << 18


class DatasetService(DatasetServiceServicer):
    """Serves the datasets of a zoo."""

    def __init__(self, datasets: Datasets) -> None:
        self._datasets = datasets

    async def FindMissingExamples(
        self, request: messages.FindMissingExamplesRequest, context: Any
    ) -> messages.FindMissingExamplesResponse:
        """Says which examples are missing."""
        missing = await asyncio.to_thread(self._datasets.contents.missing, request.digests)
        return messages.FindMissingExamplesResponse(missing=missing)

    async def PushExamples(
        self, requests: AsyncIterator[messages.PushExamplesRequest], context: Any
    ) -> AsyncIterator[messages.PushExamplesResponse]:
        """Takes in contents; one thread sorts what has come while others write what is sorted."""
        contents = self._datasets.contents
        sorter = ThreadPoolExecutor(1, "frostline-intake")
        keepers = ThreadPoolExecutor(MAX_WRITING + 1, "frostline-keep")
        intake: Intake | None = None
        sorting: deque[Future[_Keeping | None]] = deque()
        writing: deque[_Keeping] = deque()

        def keeping(sort: Callable[..., Batch | None], *arguments: Any) -> _Keeping | None:
            batch = sort(*arguments)
            return None if batch is None else _Keeping(batch, keepers.submit(contents.keep, batch))

        async def durable() -> messages.PushExamplesResponse:
            answer = await _durable(writing.popleft())
            keepers.submit(contents.refresh)  # while the next shard is on its way
            return answer

        try:
            async for request in requests:
                if intake is None:
                    intake = await asyncio.to_thread(contents.intake, ExampleSpec.parse(request.spec))
                data, sizes = request.data, list(request.sizes)
                check_piece(data, is_one=len(sizes) == 1 or len(data) == intake.spec.content_bytes)
                sorting.append(sorter.submit(keeping, intake.add, data, sizes))
                while sorting and (sorting[0].done() or len(sorting) > MAX_SORTING):
                    for answer in await _sorted(sorting, writing):
                        yield answer
                while writing and (writing[0].kept.done() or len(writing) > MAX_WRITING):
                    yield await durable()
            if intake is None:
                raise InvalidError("a push begins with a message that says what the examples are", reason="BAD_SPEC")
            sorting.append(sorter.submit(keeping, intake.rest))
            while sorting:
                for answer in await _sorted(sorting, writing):
                    yield answer
            while writing:
                yield await durable()
        finally:
            sorter.submit(_end, contents, intake, keepers)
            sorter.shutdown(wait=False)

    async def CreateDatasetVersion(
        self, request: messages.CreateDatasetVersionRequest, context: Any
    ) -> messages.DatasetVersion:
        """Makes a dataset version."""
        new = NewVersion(
            DatasetName.parse(request.dataset),
            request.list_digest,
            ExampleSpec.parse(request.spec),
            tuple(request.class_names),
            request.append,
        )
        return dataset_version_to_proto(await asyncio.to_thread(self._datasets.create_version, new, request.request_id))

    async def GetDatasetVersion(
        self, request: messages.GetDatasetVersionRequest, context: Any
    ) -> messages.DatasetVersion:
        """Reads a dataset version."""
        name = (
            DatasetVersionName.parse(request.name) if "/versions/" in request.name else DatasetName.parse(request.name)
        )
        return dataset_version_to_proto(await asyncio.to_thread(self._datasets.get, name))

    async def ListDatasets(self, request: messages.ListDatasetsRequest, context: Any) -> messages.ListDatasetsResponse:
        """Lists datasets."""
        records, token = await asyncio.to_thread(self._datasets.list_datasets, request.page_size, request.page_token)
        return messages.ListDatasetsResponse(datasets=map(dataset_version_to_proto, records), next_page_token=token)

    async def DeleteDataset(
        self, request: messages.DeleteDatasetRequest, context: Any
    ) -> messages.DeleteDatasetResponse:
        """Deletes a dataset."""
        await asyncio.to_thread(self._datasets.delete, DatasetName.parse(request.name))
        return messages.DeleteDatasetResponse()


@dataclass(frozen=True)
class _Keeping:
    """A batch on its way to disk."""

    batch: Batch
    kept: Future[None]


def _end(contents: Contents, intake: Intake | None, keepers: ThreadPoolExecutor) -> None:
    """Ends a stream. Where it broke, what came whole is kept, so that every attempt gets further."""
    if intake is not None and (batch := intake.rest()).size_bytes >= WORTH_KEEPING_BYTES:
        keepers.submit(contents.keep, batch)
    keepers.shutdown(wait=False)


async def _sorted(
    sorting: deque[Future[_Keeping | None]], writing: deque[_Keeping]
) -> list[messages.PushExamplesResponse]:
    """Awaits the sorting of the first messages; a batch that they filled is on its way to disk, its digests known."""
    keeping = await asyncio.shield(asyncio.wrap_future(sorting.popleft()))  # a stream that breaks ends none of it
    if keeping is None:
        return []
    writing.append(keeping)
    batch = keeping.batch
    packed = batch.answers.tobytes()
    refused = [messages.RefusedExample(index=index, reason=reason) for index, reason in sorted(batch.refused.items())]
    answers = []
    for start in range(0, len(packed), ANSWER_BYTES):
        stop = batch.first + (start + ANSWER_BYTES) // DIGEST_BYTES
        within = [example for example in refused if example.index < stop]
        refused = refused[len(within) :]
        answers.append(messages.PushExamplesResponse(digests=packed[start : start + ANSWER_BYTES], refused=within))
    return answers


async def _durable(keeping: _Keeping) -> messages.PushExamplesResponse:
    """Awaits that a batch is durable, and with it all that came before."""
    await asyncio.shield(asyncio.wrap_future(keeping.kept))
    return messages.PushExamplesResponse(durable_count=keeping.batch.first + len(keeping.batch.answers))
