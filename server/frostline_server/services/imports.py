"""Imports: files on their way from a client, through the jail and the workbench, to a version.

An import that is refused leaves nothing. Where only the last transaction fails, the network's blobs stay, named by
nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from sqlalchemy import Engine

from frostline.v1 import model_service_pb2 as pb
from frostline_server.jail.jail import AT_ONCE, Jail
from frostline_server.jobs.workbench import Imported, Workbench
from frostline_server.services.arriving import Arriving, too_large
from frostline_server.services.conversion import version_to_proto
from frostline_server.services.hub import TARBALL, Hub, is_handle
from frostline_server.services.import_reports import notes_of, report_to_proto
from frostline_server.services.pieces import Writing, check_piece, read_ahead
from frostline_zoo.blobs.staged import StagedFile
from frostline_zoo.blobs.store import BlobStore
from frostline_zoo.catalogue.database import reading
from frostline_zoo.catalogue.models import Models
from frostline_zoo.catalogue.requests import answered, checked_request_id, once
from frostline_zoo.digests import digest_of_json
from frostline_zoo.errors import InvalidError
from frostline_zoo.foreign.files import Member, checked_member_name
from frostline_zoo.foreign.formats import FORMATS
from frostline_zoo.foreign.name_map import rules_of
from frostline_zoo.manifest import Manifest
from frostline_zoo.names import ModelName, parse_version_or_tag
from frostline_zoo.preprocessing import Preprocessing

_CALL = "ImportModel"


class Imports:
    """Takes in networks from files of other tools."""

    def __init__(
        self,
        engine: Engine,
        blobs: BlobStore,
        models: Models,
        jail: Jail,
        workbench: Workbench,
        hub: Hub,
        largest_file_bytes: int,
    ) -> None:
        self._engine = engine
        self._blobs = blobs
        self._models = models
        self._jail = jail
        self._workbench = workbench
        self._hub = hub
        self._fetching = asyncio.Semaphore(AT_ONCE)
        self._largest = largest_file_bytes

    async def take_in(self, requests: AsyncIterator[pb.ImportModelRequest]) -> pb.ImportModelResponse:
        """Answers one ImportModel call.

        Raises:
            InvalidError, AlreadyExistsError, ExhaustedError, FailedPreconditionError: as the call's description says.
            UnavailableError: the workbench is not there.
        """
        first = await anext(requests, None)
        if first is None or first.WhichOneof("part") != "header":
            raise InvalidError("an import starts with its header: send that first", reason="NO_FIRST_MESSAGE")
        header = first.header
        if header.source:
            return await self._take_in_source(header, requests)
        model, preprocessing, name_map = self._read_header(header)
        base = await self._base(header)
        with await asyncio.to_thread(self._blobs.stage) as network:
            with await asyncio.to_thread(self._blobs.stage) as content:
                members = await self._receive(content, header, requests)
                asked = [header.model, header.format or "auto", preprocessing, content.digest, members]
                asked += [base.digest, name_map] if base else []
                request = digest_of_json("import", asked)
                earlier = await asyncio.to_thread(self._earlier, header.request_id, request)
                if earlier is not None:
                    return earlier
                self._workbench.check_running()
                await self._read(content, members, header.format or "auto", network, weights_only=base is not None)
            if base is None:
                imported = await self._workbench.take_in(network.path, preprocessing)
            else:
                imported = await self._workbench.fill_in(network.path, base, name_map)
            return await asyncio.to_thread(self._commit, model, imported, header.request_id, request)

    async def _take_in_source(
        self, header: pb.ImportModelHeader, requests: AsyncIterator[pb.ImportModelRequest]
    ) -> pb.ImportModelResponse:
        """Answers a call that names a network instead of sending one."""
        if header.into or header.file_name or await anext(requests, None) is not None:
            message = "an import has a source or files, not both: leave out one of the two"
            raise InvalidError(message, reason="BAD_REQUEST", field="header.source")
        model, preprocessing, _ = self._read_header(header)
        request = digest_of_json("import", [header.model, header.source, preprocessing])
        earlier = await asyncio.to_thread(self._earlier, header.request_id, request)
        if earlier is not None:
            return earlier
        self._workbench.check_running()
        if is_handle(header.source):
            imported = await self._take_in_handle(header.source, preprocessing)
        else:
            imported = await self._workbench.make(header.source, preprocessing)
        return await asyncio.to_thread(self._commit, model, imported, header.request_id, request)

    async def _take_in_handle(self, handle: str, preprocessing: dict[str, Any] | None) -> Imported:
        """Takes in a network of a hub: what that gives is trusted no more than what a client sends."""
        with await asyncio.to_thread(self._blobs.stage) as network:
            with await asyncio.to_thread(self._blobs.stage) as content:
                async with self._fetching:
                    members = await self._fetch(content, handle)
                await self._read(content, members, "saved_model", network, weights_only=False)
                came = f"was fetched: {content.digest}" if members[0].name == TARBALL else "was in the server's cache"
            imported = await self._workbench.take_in(network.path, preprocessing)
        imported.report.notes.insert(0, f"{handle} {came}")
        return imported

    async def _fetch(self, content: StagedFile, handle: str) -> list[Member]:
        """Writes the files of a handle into one, and returns which bytes are whose; the main file is the first."""
        arriving = Arriving(self._largest)
        async with (
            Writing(content.append) as writing,
            aclosing(read_ahead(self._hub.files(handle, self._largest))) as pieces,
        ):
            async for part in pieces:
                if isinstance(part, str):
                    arriving.file(checked_member_name(part, "header.source"))
                else:
                    arriving.data(part)
                    await writing.add(part)
            await writing.finish()
        return arriving.members()

    async def _base(self, header: pb.ImportModelHeader) -> Manifest | None:
        """Returns the network that the weights go into, where the files are read for these alone."""
        if not header.into:
            return None
        name = parse_version_or_tag(header.into)
        _, manifest = await asyncio.to_thread(self._models.manifest_of, name)
        return manifest

    def _read_header(self, header: pb.ImportModelHeader) -> tuple[ModelName, dict[str, Any] | None, dict[str, Any]]:
        """Returns the model, the preprocessing where one is given, and the map of names."""
        model = ModelName.parse(header.model)
        checked_request_id(header.request_id)
        if header.format not in ("", "auto", *FORMATS):
            message = f"format {header.format[:40]!r} is unknown: use auto, {', '.join(FORMATS)}"
            raise InvalidError(message, reason="UNKNOWN_FORMAT", field="header.format")
        if header.size_bytes > self._largest:
            raise too_large(self._largest)
        if (header.into and header.preprocessing) or (header.name_map and not header.into):
            message = "a network that gets new weights keeps its preprocessing, and only such a one has a map of names"
            raise InvalidError(f"{message}: leave out one of the two", reason="BAD_REQUEST", field="header.into")
        preprocessing = None
        if header.preprocessing:
            given = _object(header.preprocessing, "preprocessing", '{"scale": 0.00392}')
            preprocessing = Preprocessing.from_json(given).to_json()
        name_map = _object(header.name_map, "name_map", '{"fc1/weights": "h1/kernel"}')
        rules_of(name_map)  # before anything is sent
        return model, preprocessing, name_map

    async def _receive(
        self, content: StagedFile, header: pb.ImportModelHeader, requests: AsyncIterator[pb.ImportModelRequest]
    ) -> list[Member]:
        """Writes the bytes of all files into one, and returns which are whose; the main file is the first."""
        arriving = Arriving(self._largest)
        arriving.file(checked_member_name(header.file_name, "header.file_name") if header.file_name else "main")
        async with Writing(content.append) as writing:
            async for request in requests:
                part = request.WhichOneof("part")
                if part == "member":
                    arriving.file(checked_member_name(request.member.name, "member.name"))
                    continue
                if part != "data":
                    message = "an import has one header: send the file's bytes after it"
                    raise InvalidError(message, reason="OUT_OF_ORDER")
                piece = request.data  # once: every look at it copies it
                check_piece(piece)
                arriving.data(piece)
                await writing.add(piece)
            await writing.finish()
        if header.size_bytes not in (0, arriving.size):
            message = f"the file ended at {arriving.size} of {header.size_bytes} bytes: send it again, whole"
            raise InvalidError(message, reason="WRONG_SIZE", field="header.size_bytes")
        return arriving.members()

    async def _read(
        self, content: StagedFile, members: list[Member], format: str, network: StagedFile, *, weights_only: bool
    ) -> None:
        """Has the jail read the files, and writes what it finds in them into `network`."""
        async with Writing(network.append) as writing:
            main = members[0].name
            await self._jail.read(content.path, members, main, format, writing.add, weights_only=weights_only)
            await writing.finish()

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
                    notes=notes_of(imported.report),
                    report=report_to_proto(imported.report),
                ).SerializeToString()

            return pb.ImportModelResponse.FromString(once(connection, _CALL, request_id, request, make))


def _object(text: str, field: str, example: str) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        message = f"{field} is not a JSON object: write it as in {example}"
        raise InvalidError(message, reason=f"BAD_{field.upper()}", field=f"header.{field}")
    return value
