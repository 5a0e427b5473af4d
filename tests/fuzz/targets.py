"""What is fuzzed: one target a format. Each reads bytes as the jail does, up to what leaves it, checked on arrival.

Checksums are taken for right whatever they are: a fuzzer does not guess them, whoever writes a file computes them.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

import onnx

from frostline_zoo.errors import ZooError
from frostline_zoo.foreign import json_text, tarball
from frostline_zoo.foreign.caffe_network.drawing import TYPES
from frostline_zoo.foreign.onnx_graph.folding import FOLDS
from frostline_zoo.foreign.onnx_graph.step import OPERATORS
from frostline_zoo.foreign.reader import reader_for
from frostline_zoo.foreign.saved_model import bundle, table
from frostline_zoo.foreign.saved_model.allowed_operations import PURE
from frostline_zoo.foreign.saved_model.messages import _CLASSES
from frostline_zoo.foreign.wire import Parsed, decode, encode
from tests.fuzz import seeds
from tests.fuzz.mutation import Change, in_header, in_one_of, of_json, of_messages, of_text
from tests.fuzz.seeds import files_in, named

Read = Callable[[bytes], object]


class NotTakenError(Exception):
    """What a reader made of a file is refused by what it is read by on arrival."""


@dataclass(frozen=True)
class Target:
    """One format.

    Attributes:
        read: reads bytes, whatever they are; raises nothing but the zoo's refusals.
        seeds: gives small files to start from.
        change: changes a file so that most of it stays one; None: bytes alone are changed.
        memory_bytes: address space that the process may have.
        has_hdf5: whether HDF5's own library reads, which may crash and hang, since it does so in the jail.
    """

    read: Read
    seeds: Callable[[], Iterator[bytes]]
    change: Change | None = None
    memory_bytes: int = 2 << 30
    has_hdf5: bool = False


# zipfile has a name of its own for zlib's function, which the reader calls itself.
_CHECKSUMS = ((bundle, "masked"), (table, "masked"), (zipfile, "crc32"), (zlib, "crc32"))


class _AnyChecksum(int):
    """Equals every number."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = int.__hash__


@contextmanager
def without_checksums() -> Iterator[None]:
    """Takes every checksum for right in this process meanwhile."""
    taken = [(module, name, lambda *_: _AnyChecksum()) for module, name in _CHECKSUMS]
    with ExitStack() as stack:
        for module, name, function in [*taken, (tarfile, "calc_chksums", lambda _: (_AnyChecksum(),))]:
            stack.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, function)
        yield


def over_the_wire(reading: AbstractContextManager[Parsed]) -> Parsed:
    """Returns what arrives of what a reader reads."""
    with reading as network:
        written = b"".join(encode(network))
    try:
        return decode(memoryview(written))
    except ZooError as error:
        raise NotTakenError(error.message) from error


def reading(format: str, *names: str, weights_only: bool = False) -> Read:
    """Returns what reads files of these names, the first one being the main one."""
    reader = reader_for(format, weights_only=weights_only)
    return lambda content: over_the_wire(reader(files_in(named(names, content)), names[0]))


def in_archive(content: bytes) -> bytes:
    """Returns the .keras file that a configuration, its metadata and its weights make."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, part in named(seeds.MEMBERS, content).items():
            file.writestr(name, part)
    return archive.getvalue()


def unpacked(content: bytes) -> object:
    """Reads a tarball."""
    return tarball.members_of(content)


_ODD = ("", "\u202e\n\0", "../x")
_ONNX_WORDS = (*OPERATORS, *FOLDS, *_ODD, "x", "y", "w", "b", "axis", "axes", "pads", "perm", "group", "mode", "value")
_CAFFE_WORDS = (*TYPES, *_ODD, "name:", "type:", "bottom:", "top:", "{", "}", "[", "]", "'x'", "layer", "1e400", "0xf")
_GRAPH_WORDS = (*sorted(PURE), *_ODD, "^x", "x:1", "x:y:0", "^", ":", "f", "value", '{"class_name": "Dropout"}')
_FOLDER_WORDS = (
    *_ODD,
    *("gelu", "relu", "F16", "F32", "U8", "bert", "roberta", "vit", "resnet", "basic", "token", "bilinear"),
    *("vit_tiny_patch16_224", "resnet50d", "resnext50_32x4d", "BertForMaskedLM", "ViTModel", "DeiTModel"),
    *("pad_token_id", "image_size", "patch_size", "shortest_edge", "crop_size", "image_std", "qkv_bias", "weight_map"),
    *seeds.SHARDED,
)
_JSON_WORDS = (
    *_ODD,
    *("x", "relu", "float32", "F32", "keras", "keras_h5", "draft", "weights", "same", "config", "name", "tensor"),
    *("Dense", "InputLayer", "Bidirectional", "LSTM", "Functional", "Sequential", "Conv2D", "Reshape", "EinsumDense"),
)
_WEIGHTS = "variables/variables"
_GRAPH_FILES = ("saved_model.pb", f"{_WEIGHTS}.index", f"{_WEIGHTS}.data-00000-of-00001")


def _keras_json() -> Read:
    read = reading("keras", "x.keras")
    return lambda content: read(in_archive(content))


def _json_parsed(content: bytes) -> object:
    return json_text.parsed(content)


def _built() -> Read:
    from frostline_zoo.networks.importer import take_in

    return lambda content: take_in(decode(memoryview(content)))


def _decoded(content: bytes) -> object:
    return decode(memoryview(content))


TARGETS: dict[str, Callable[[], Target]] = {
    "archive": lambda: Target(reading("keras", "x.keras"), seeds.archives, has_hdf5=True),
    "keras": lambda: Target(_keras_json(), seeds.configurations, in_one_of(of_json(_JSON_WORDS)), has_hdf5=True),
    "json": lambda: Target(_json_parsed, seeds.texts),
    "hdf5": lambda: Target(reading("keras_h5", "x.h5"), seeds.hdf5_files, has_hdf5=True),
    "hdf5_weights": lambda: Target(reading("keras_h5", "x.h5", weights_only=True), seeds.hdf5_files, has_hdf5=True),
    "safetensors": lambda: Target(
        reading("safetensors", "x.safetensors", weights_only=True),
        seeds.tensor_files,
        in_header("little", of_json(_JSON_WORDS)),
    ),
    "onnx": lambda: Target(
        reading("onnx", "x.onnx", "x.data"),
        seeds.onnx_files,
        in_one_of(of_messages(onnx.ModelProto, _ONNX_WORDS)),
    ),
    "caffe": lambda: Target(
        reading("caffe", "x.caffemodel", "x.prototxt"), seeds.caffe_files, in_one_of(None, of_text(_CAFFE_WORDS))
    ),
    "saved_model": lambda: Target(
        reading("saved_model", *_GRAPH_FILES),
        seeds.saved_models,
        in_one_of(of_messages(_CLASSES["SavedModel"], _GRAPH_WORDS)),
    ),
    "checkpoint": lambda: Target(
        reading("checkpoint", "x.index", "x.data-00000-of-00001", weights_only=True), seeds.checkpoints
    ),
    "folder": lambda: Target(
        reading("huggingface", *seeds.FOLDER),
        seeds.folders,
        in_one_of(of_json(_FOLDER_WORDS), of_json(_FOLDER_WORDS), in_header("little", of_json(_FOLDER_WORDS))),
    ),
    "sharded": lambda: Target(
        reading("huggingface", *seeds.SHARDED),
        seeds.sharded_folders,
        in_one_of(*[of_json(_FOLDER_WORDS)] * 2, *[in_header("little", of_json(_FOLDER_WORDS))] * 2),
    ),
    "tarball": lambda: Target(unpacked, seeds.tarballs),
    "networks": lambda: Target(_built(), seeds.networks, in_header("big", of_json(_JSON_WORDS)), memory_bytes=16 << 30),
    "wire": lambda: Target(_decoded, seeds.wires, in_header("big", of_json(_JSON_WORDS))),
}
