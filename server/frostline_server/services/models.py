"""ModelService: models, versions and tags; networks in from other tools, and out to them."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from frostline.v1 import model_service_pb2 as pb
from frostline.v1.model_service_pb2_grpc import ModelServiceServicer
from frostline_server.jobs.workbench import Workbench
from frostline_server.services.conversion import model_to_proto, tag_to_proto, version_to_proto
from frostline_server.services.imports import Imports
from frostline_server.services.pieces import read_ahead
from frostline_zoo.blobs.staged import PIECE_BYTES
from frostline_zoo.blobs.store import BlobStore
from frostline_zoo.catalogue.models import Models
from frostline_zoo.catalogue.tags import Tags
from frostline_zoo.errors import InvalidError
from frostline_zoo.names import ModelName, TagName, VersionName, parse_version_or_tag

EXPORT_FORMATS = ("keras", "saved_model", "onnx", "safetensors")


class ModelService(ModelServiceServicer):
    """Keeps models."""

    def __init__(self, models: Models, tags: Tags, blobs: BlobStore, imports: Imports, workbench: Workbench) -> None:
        self._models = models
        self._tags = tags
        self._blobs = blobs
        self._imports = imports
        self._workbench = workbench

    async def ImportModel(self, requests: AsyncIterator[pb.ImportModelRequest], context: Any) -> pb.ImportModelResponse:
        return await self._imports.take_in(requests)

    async def GetModel(self, request: pb.GetModelRequest, context: Any) -> pb.Model:
        return model_to_proto(await asyncio.to_thread(self._models.get, ModelName.parse(request.name)))

    async def ListModels(self, request: pb.ListModelsRequest, context: Any) -> pb.ListModelsResponse:
        records, token = await asyncio.to_thread(self._models.list_models, request.page_size, request.page_token)
        return pb.ListModelsResponse(models=map(model_to_proto, records), next_page_token=token)

    async def DeleteModel(self, request: pb.DeleteModelRequest, context: Any) -> pb.DeleteModelResponse:
        await asyncio.to_thread(self._models.delete, ModelName.parse(request.name))
        return pb.DeleteModelResponse()

    async def GetVersion(self, request: pb.GetVersionRequest, context: Any) -> pb.Version:
        return version_to_proto(await asyncio.to_thread(self._models.version, parse_version_or_tag(request.name)))

    async def ListVersions(self, request: pb.ListVersionsRequest, context: Any) -> pb.ListVersionsResponse:
        model = ModelName.parse(request.parent)
        records, token = await asyncio.to_thread(
            self._models.list_versions, model, request.page_size, request.page_token
        )
        return pb.ListVersionsResponse(versions=map(version_to_proto, records), next_page_token=token)

    async def ListTags(self, request: pb.ListTagsRequest, context: Any) -> pb.ListTagsResponse:
        model = ModelName.parse(request.parent)
        records, token = await asyncio.to_thread(self._tags.list_tags, model, request.page_size, request.page_token)
        return pb.ListTagsResponse(tags=map(tag_to_proto, records), next_page_token=token)

    async def UpdateTag(self, request: pb.UpdateTagRequest, context: Any) -> pb.Tag:
        name, version = TagName.parse(request.tag.name), VersionName.parse(request.tag.version)
        return tag_to_proto(await asyncio.to_thread(self._tags.move, name, version, request.tag.etag))

    async def DeleteTag(self, request: pb.DeleteTagRequest, context: Any) -> pb.DeleteTagResponse:
        await asyncio.to_thread(self._tags.delete, TagName.parse(request.name), request.etag)
        return pb.DeleteTagResponse()

    async def ExportModel(self, request: pb.ExportModelRequest, context: Any) -> AsyncIterator[pb.ExportModelResponse]:
        name = parse_version_or_tag(request.name)
        if request.format not in EXPORT_FORMATS:
            message = f"format {request.format[:40]!r} cannot be written: use {', '.join(EXPORT_FORMATS)}"
            raise InvalidError(message, reason="UNKNOWN_FORMAT", field="format")
        _, manifest = await asyncio.to_thread(self._models.manifest_of, name)
        path = self._blobs.staging / f"export-{secrets.token_hex(8)}.{request.format}"
        export = asyncio.ensure_future(self._workbench.export_network(manifest, request.format, path))
        try:
            await asyncio.shield(export)
            files = [path] if path.is_file() else sorted(inner for inner in path.rglob("*") if inner.is_file())
            size = sum(file.stat().st_size for file in files)
            for number, file in enumerate(files):
                member = file.relative_to(path).as_posix() if file != path else ""
                yield pb.ExportModelResponse(member=member, size_bytes=0 if number else size)
                async with aclosing(_pieces_of(file)) as pieces:
                    async for piece in pieces:
                        yield pb.ExportModelResponse(data=piece)
        finally:  # where the caller has gone away, the workbench may only now make it
            export.add_done_callback(lambda _: _remove(path))


async def _pieces_of(path: Path) -> AsyncGenerator[bytes, None]:
    with path.open("rb", buffering=0) as file:
        async with aclosing(read_ahead(iter(lambda: file.read(PIECE_BYTES), b""))) as pieces:
            async for piece in pieces:
                yield piece


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
