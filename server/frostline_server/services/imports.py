"""Imports: a file on its way from a client, through the workbench, to a version.

A file that is refused leaves nothing. Where only the last transaction fails, the network's blobs stay, named by nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import Engine

from frostline.v1 import model_service_pb2 as pb
from frostline_server.jobs.workbench import Imported, Workbench
from frostline_server.services.conversion import version_to_proto
from frostline_server.services.pieces import Writing, check_piece
from frostline_zoo.blobs.local import LocalBlobStore
from frostline_zoo.blobs.staged import StagedFile
from frostline_zoo.catalogue.database import reading
from frostline_zoo.catalogue.models import Models
from frostline_zoo.catalogue.requests import answered, checked_request_id, once
from frostline_zoo.digests import digest_of_json
from frostline_zoo.errors import ExhaustedError, InvalidError
from frostline_zoo.names import ModelName
from frostline_zoo.preprocessing import Preprocessing

FORMATS = ("auto", "keras", "keras_h5")
_CALL = "ImportModel"


class Imports:
    """Takes in networks from files of other tools."""

    def __init__(
        self, engine: Engine, blobs: LocalBlobStore, models: Models, workbench: Workbench, largest_file_bytes: int
    ) -> None:
        self._engine = engine
        self._blobs = blobs
        self._models = models
        self._workbench = workbench
        self._largest = largest_file_bytes

    async def take_in(self, requests: AsyncIterator[pb.ImportModelRequest]) -> pb.ImportModelResponse:
        """Answers one ImportModel call.

        Raises:
            InvalidError, AlreadyExistsError, ExhaustedError: as the call's description says.
            UnavailableError: the workbench is not there.
        """
        first = await anext(requests, None)
        if first is None or first.WhichOneof("part") != "header":
            raise InvalidError("an import starts with its header: send that first", reason="NO_FIRST_MESSAGE")
        header = first.header
        model, preprocessing = self._read_header(header)
        file = await asyncio.to_thread(self._blobs.stage)
        with file:
            await self._receive(file, header.size_bytes, requests)
            asked = [header.model, header.format or FORMATS[0], preprocessing, file.digest]
            request = digest_of_json("import", asked)
            earlier = await asyncio.to_thread(self._earlier, header.request_id, request)
            if earlier is not None:
                return earlier
            imported = await self._workbench.import_network(file.path, header.format or FORMATS[0], preprocessing)
            return await asyncio.to_thread(self._commit, model, imported, header.request_id, request)

    def _read_header(self, header: pb.ImportModelHeader) -> tuple[ModelName, dict[str, Any]]:
        model = ModelName.parse(header.model)
        checked_request_id(header.request_id)
        if header.format and header.format not in FORMATS:
            message = f"format {header.format[:40]!r} is unknown: use {', '.join(FORMATS)}"
            raise InvalidError(message, reason="UNKNOWN_FORMAT", field="header.format")
        if header.size_bytes > self._largest:
            raise self._too_large()
        try:
            preprocessing = json.loads(header.preprocessing or "{}")
        except (ValueError, RecursionError) as error:
            message = 'preprocessing is not a JSON object: write it as in {"scale": 0.00392}'
            raise InvalidError(message, reason="BAD_PREPROCESSING", field="header.preprocessing") from error
        return model, Preprocessing.from_json(preprocessing).to_json()

    async def _receive(self, file: StagedFile, size_bytes: int, requests: AsyncIterator[pb.ImportModelRequest]) -> None:
        size = 0
        async with Writing(file.append) as writing:
            async for request in requests:
                if request.WhichOneof("part") != "data":
                    message = "an import has one header: send the file's bytes after it"
                    raise InvalidError(message, reason="OUT_OF_ORDER")
                piece = request.data  # once: every look at it copies it
                check_piece(piece)
                size += len(piece)
                if size > self._largest:
                    raise self._too_large()
                await writing.add(piece)
            await writing.finish()
        if size_bytes not in (0, size):
            message = f"the file ended at {size} of {size_bytes} bytes: send it again, whole"
            raise InvalidError(message, reason="WRONG_SIZE", field="header.size_bytes")

    def _earlier(self, request_id: str, request: str) -> pb.ImportModelResponse | None:
        with reading(self._engine) as connection:
            answer = answered(connection, _CALL, request_id, request)
        return None if answer is None else pb.ImportModelResponse.FromString(answer)

    def _commit(self, model: ModelName, imported: Imported, request_id: str, request: str) -> pb.ImportModelResponse:
        self._blobs.put(imported.manifest.encode())  # before the transaction, which holds up every other writer
        with self._engine.begin() as connection:

            def make() -> bytes:
                version = self._models.add_version(connection, model.model, imported.manifest)
                return pb.ImportModelResponse(
                    version=version_to_proto(version),
                    new_blob_count=imported.new_blob_count,
                    shared_blob_count=len(imported.manifest.blobs()) - imported.new_blob_count,
                    notes=imported.notes,
                ).SerializeToString()

            return pb.ImportModelResponse.FromString(once(connection, _CALL, request_id, request, make))

    def _too_large(self) -> ExhaustedError:
        return ExhaustedError(
            f"the file is too large: this server takes at most {self._largest} bytes", reason="TOO_LARGE"
        )
