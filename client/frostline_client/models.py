"""Models: names in the zoo, their immutable versions, and their movable tags."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from frostline.v1 import model_service_pb2 as pb
from frostline.v1.model_service_pb2_grpc import ModelServiceStub
from frostline.wire import WithData
from frostline_client import names
from frostline_client.blobs import Blobs
from frostline_client.channel import Channel
from frostline_client.diffs import LayerDiff, diff_layers
from frostline_client.errors import UnavailableError
from frostline_client.exports import opened, receive
from frostline_client.manifests import Layer, layers_of
from frostline_client.network_files import network_files
from frostline_client.pages import every_page
from frostline_client.patience import Patience
from frostline_client.pulls import Pulled, pull
from frostline_client.records import Imported, Model, Tag, Version
from frostline_client.streams import Progress, Source

Reference = str | Version
"""A version: NAME (its latest), NAME:TAG or NAME@NUMBER, or the version itself."""


class Models:
    """The models of a server. Each method raises NotFoundError where the zoo holds no such model, version or tag."""

    def __init__(self, channel: Channel, blobs: Blobs) -> None:
        self._stub: Any = ModelServiceStub(channel)
        self._blobs = blobs

    def import_file(
        self,
        path: str | Path,
        name: str,
        *,
        companions: Sequence[str | Path] = (),
        format: str = "auto",
        preprocessing: Mapping[str, Any] | None = None,
        into: Reference | None = None,
        name_map: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> Imported:
        """Takes in the network in a file or folder as a new version of the model `name`, made where it does not exist.

        Args:
            path: a file, or a folder with the files of one network.
            companions: further files that it refers to, beside those that are found by their names.
            format: `auto` (by the file's first bytes and its name), `keras`, `keras_h5`, `saved_model`, `onnx`,
                `caffe` or `huggingface`; with `into` also `safetensors` or `checkpoint`.
            preprocessing: how an example becomes the input: `scale`, `offset`, `interpolation`. Left out: as the file
                says, where it is of a format that does.
            into: a version whose network gets the file's weights, matched by name; nothing else in the file is read.
            name_map: with `into`, where arrays of other names go: {theirs: ours}, or {theirs: None} to leave one out.

        Raises:
            OSError: a file cannot be read.
            InvalidError: the server cannot read it as a network, or it has a layer that is not allowed; a folder holds
                no network's files or too many; two files have one name.
        """
        files = [(file.name, Source(file.path)) for file in network_files(Path(path), [Path(p) for p in companions])]
        header = pb.ImportModelHeader(
            model=names.model_name(name),
            format=format,
            preprocessing=json.dumps(preprocessing) if preprocessing else "",
            request_id=str(uuid.uuid4()),
            size_bytes=sum(source.size_bytes for _, source in files),
            file_name=files[0][0],
            into=_version_name(into) if into is not None else "",
            name_map=json.dumps(name_map) if name_map else "",
        )
        return self._import(header, files, progress)

    def import_source(self, source: str, name: str, *, preprocessing: Mapping[str, Any] | None = None) -> Imported:
        """Takes in a network that the server gets by itself, as a new version of the model `name`.

        Args:
            source: `keras-applications:NAME`, and after a `?` arguments of that function of Keras with `&` between,
                such as `weights=none&input_shape=96,96,3`; or the address of a network on TF Hub or Kaggle,
                `https://tfhub.dev/...` or `https://www.kaggle.com/models/...`.
            preprocessing: how an example becomes the input; left out: as Keras says for its networks, else as it is.

        Raises:
            InvalidError: there is no such network, it does not take the arguments, or is refused as a file is.
            FailedPreconditionError: it cannot be fetched from where the server is, or the server may not.
        """
        header = pb.ImportModelHeader(
            model=names.model_name(name),
            preprocessing=json.dumps(preprocessing) if preprocessing else "",
            request_id=str(uuid.uuid4()),
            source=source,
        )
        return self._import(header, [], None)

    def _import(
        self, header: pb.ImportModelHeader, files: Sequence[tuple[str, Source]], progress: Progress | None
    ) -> Imported:
        patience = Patience()
        while True:
            try:
                return Imported.of(self._stub.ImportModel(_messages(header, files, progress)))
            except UnavailableError as error:  # the request id keeps a repeated import from making two versions
                patience.wait(error)

    def list(self) -> tuple[Model, ...]:
        """Returns the models, by name."""
        return tuple(Model.of(m) for m in every_page(self._stub.ListModels, pb.ListModelsRequest(), "models"))

    def get(self, reference: Reference) -> Version:
        """Returns one version."""
        return Version.of(self._stub.GetVersion(pb.GetVersionRequest(name=_version_name(reference))))

    def versions(self, name: str) -> tuple[Version, ...]:
        """Returns a model's versions, the newest first."""
        request = pb.ListVersionsRequest(parent=names.model_name(name))
        return tuple(Version.of(v) for v in every_page(self._stub.ListVersions, request, "versions"))

    def layers(self, reference: Reference) -> tuple[Layer, ...]:
        """Returns a version's layers, from the input up."""
        return layers_of(self._blobs.read(self.get(reference).digest))

    def diff(self, a: Reference, b: Reference) -> tuple[LayerDiff, ...]:
        """Returns, layer by layer of `b`, what it shares with `a` and what not; what only `a` has comes last."""
        return diff_layers(self.layers(a), self.layers(b))

    def tag(self, reference: Reference, tag: str, *, etag: str = "") -> Tag:
        """Moves a tag to a version, or makes it.

        Args:
            etag: that of the tag as it was read, where it shall move only if nobody has moved it since.

        Raises:
            AbortedError: somebody has.
        """
        version = self.get(reference)
        wanted = pb.Tag(name=names.tag_name(version.model, tag), version=names.version_name(version.name), etag=etag)
        return Tag.of(self._stub.UpdateTag(pb.UpdateTagRequest(tag=wanted)))

    def untag(self, name: str, tag: str, *, etag: str = "") -> None:
        """Deletes a tag; the version stays."""
        self._stub.DeleteTag(pb.DeleteTagRequest(name=names.tag_name(name, tag), etag=etag))

    def tags(self, name: str) -> tuple[Tag, ...]:
        """Returns a model's tags, by name."""
        request = pb.ListTagsRequest(parent=names.model_name(name))
        return tuple(Tag.of(t) for t in every_page(self._stub.ListTags, request, "tags"))

    def delete(self, name: str) -> None:
        """Deletes a model with its versions and tags. Models made from it stay whole, and blobs stored.

        Raises:
            FailedPreconditionError: an unfinished job uses it.
        """
        self._stub.DeleteModel(pb.DeleteModelRequest(name=names.model_name(name)))

    def pull(self, reference: Reference, folder: str | Path, *, progress: Progress | None = None) -> Pulled:
        """Brings a version's manifest and layer blobs into `folder`; only what the folder lacks is transferred.

        Raises:
            AlreadyExistsError: the folder holds other things, and no version.
            OSError: the folder cannot be written.
        """
        return pull(self._blobs, self.get(reference), Path(folder), progress)

    def export(
        self, reference: Reference, path: str | Path, *, format: str = "keras", progress: Progress | None = None
    ) -> int:
        """Writes a version to `path` in the format of another tool, and returns its size in bytes.

        Args:
            path: a file, or for `saved_model` a folder, which must not be there yet or be empty.
            format: `keras`, `saved_model`, `onnx` or `safetensors`.

        Raises:
            InvalidError: the server does not write that format, or it cannot say what a layer of the network does.
            OSError: the file or folder cannot be written.
        """
        request = pb.ExportModelRequest(name=_version_name(reference), format=format)
        with opened(Path(path), format) as received, self._stub.ExportModel(request) as pieces:
            return receive(received, pieces, progress)


def _version_name(reference: Reference) -> str:
    return names.version_name(reference if isinstance(reference, str) else reference.name)


def _messages(
    header: pb.ImportModelHeader, files: Sequence[tuple[str, Source]], progress: Progress | None
) -> Iterator[pb.ImportModelRequest | WithData]:
    done = 0
    yield pb.ImportModelRequest(header=header)
    for number, (name, source) in enumerate(files):
        if number:
            yield pb.ImportModelRequest(member=pb.ImportMember(name=name))
        for piece in source.pieces():
            yield WithData(pb.ImportModelRequest(), piece)
            done += len(piece)
            if progress is not None:
                progress(done, header.size_bytes)
