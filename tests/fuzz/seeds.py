"""Small files to start from: those that the tests make, and the hostile corpus."""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "hostile"))  # whose modules name one another so

import zipfile

import hdf5_samples
import keras_samples
import numpy as np
import sample

from frostline_zoo.errors import ZooError
from frostline_zoo.foreign.files import Files, Member
from frostline_zoo.foreign.reader import answer, reader_for
from frostline_zoo.foreign.tarball import members_of
from frostline_zoo.foreign.wire import encode
from tests.fuzz.mutation import SEPARATOR
from tests.zoo import (
    caffe_samples,
    hugging_face_samples,
    onnx_samples,
    test_import_caffe,
    test_import_onnx_operators,
    test_wire,
)

SAVED_MODELS = Path(__file__).parents[1] / "zoo" / "saved_models"
SMALL = 64 << 10
MEMBERS = ("config.json", "metadata.json", "model.weights.h5")
FOLDER = ("config.json", "preprocessor_config.json", "model.safetensors")
SHARDS = tuple(f"model-0000{number}-of-00002.safetensors" for number in (1, 2))
SHARDED = ("config.json", "model.safetensors.index.json", *SHARDS)


def named(names: Sequence[str], content: bytes) -> dict[str, bytes]:
    """Returns the files that an input holds, by these names."""
    return dict(zip(names, content.split(SEPARATOR, len(names) - 1), strict=False))


def files_in(contents: dict[str, bytes]) -> Files:
    """Returns files in memory."""
    starts = accumulate(map(len, contents.values()), initial=0)
    members = [Member(name, at, len(part)) for at, (name, part) in zip(starts, contents.items(), strict=False)]
    return Files(b"".join(contents.values()), members)


@cache
def _corpus() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        canaries = sample.Canaries(folder)
        made = [*keras_samples.samples(canaries), *hdf5_samples.samples(canaries, folder)]
    return {f"{each.number}-{each.name}": each.content for each in made if len(each.content) <= SMALL}


def archives() -> Iterator[bytes]:
    """Yields .keras files."""
    yield from (content for content in _corpus().values() if content[:2] == b"PK")


def configurations() -> Iterator[bytes]:
    """Yields the members of .keras files, one after the other."""
    for content in archives():
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as file:
                yield SEPARATOR.join(file.read(name) for name in MEMBERS)
        except (zipfile.BadZipFile, KeyError, RuntimeError, NotImplementedError):
            continue


def texts() -> Iterator[bytes]:
    """Yields JSON."""
    yield from (content.split(SEPARATOR)[0] for content in configurations())


def hdf5_files() -> Iterator[bytes]:
    """Yields HDF5 files."""
    yield from (content for content in _corpus().values() if content[1:4] == b"HDF")
    yield keras_samples.weights()


def tensor_files() -> Iterator[bytes]:
    """Yields safetensors files."""
    yield from (content for name, content in _corpus().items() if name.endswith(".safetensors"))
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    yield hdf5_samples.tensor_file({"a": entry, "__metadata__": {"b": "c"}}, bytes(8))


def onnx_files() -> Iterator[bytes]:
    """Yields ONNX files, with a file of data beside them."""
    for case in test_import_onnx_operators.CASES.values():
        for opset in case.opsets:
            made = onnx_samples.model(case.nodes, case.shape, case.weights, opset)
            yield made.SerializeToString() + SEPARATOR + bytes(64)
    outside = onnx_samples.model([onnx_samples.node("Gemm", "x w -> y")], (1, 4), {"w": np.ones((4, 4), "f4")})
    tensor = outside.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    for key, value in (("location", "x.data"), ("offset", "0"), ("length", "64")):
        tensor.external_data.add(key=key, value=value)
    yield outside.SerializeToString() + SEPARATOR + bytes(64)


def caffe_files() -> Iterator[bytes]:
    """Yields .caffemodel files and their .prototxt."""
    for layers, weights, _, _ in test_import_caffe.SAMPLES.values():
        text = caffe_samples.prototxt(test_import_caffe.IMAGE, *layers)
        yield caffe_samples.caffemodel(**weights) + SEPARATOR + text
    yield caffe_samples.caffemodel() + SEPARATOR + test_import_caffe.OLDER


def _graphs() -> Iterator[tuple[bytes, bytes, bytes]]:
    for path in sorted(SAVED_MODELS.glob("*.tar.gz")):
        files = members_of(path.read_bytes())
        endings = ("saved_model.pb", ".index", ".data-00000-of-00001")
        pb, index, data = (next(files[name] for name in files if name.endswith(ending)) for ending in endings)
        yield pb, index, data


def saved_models() -> Iterator[bytes]:
    """Yields graphs, and the index and the data of their checkpoints."""
    yield from (whole for whole in map(SEPARATOR.join, _graphs()) if len(whole) <= SMALL)


def checkpoints() -> Iterator[bytes]:
    """Yields indexes of checkpoints, and their data."""
    yield from (SEPARATOR.join(parts[1:]) for parts in _graphs())


def tarballs() -> Iterator[bytes]:
    """Yields tarballs, packed and not."""
    import tarfile

    for mode in ("w", "w:gz"):
        for kind in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
            content = io.BytesIO()
            with tarfile.open(fileobj=content, mode=mode, format=kind) as file:
                for name in ("m/saved_model.pb", "m/" + "long/" * 20 + "long" * 20):
                    entry = tarfile.TarInfo(name)
                    entry.size = 4
                    file.addfile(entry, io.BytesIO(b"abcd"))
            yield content.getvalue()


def folders() -> Iterator[bytes]:
    """Yields the files of Hugging Face folders whose weights are in one file."""
    for each in map(hugging_face_samples.members, hugging_face_samples.NAMES):
        if FOLDER[-1] in each and sum(map(len, each.values())) <= SMALL:
            yield SEPARATOR.join(each.get(name, b"{}") for name in FOLDER)


def sharded_folders() -> Iterator[bytes]:
    """Yields those of folders whose weights are in two."""
    for each in map(hugging_face_samples.members, hugging_face_samples.NAMES):
        if SHARDED[-1] in each:
            yield SEPARATOR.join(each[name] for name in SHARDED)


def networks() -> Iterator[bytes]:
    """Yields networks of all formats as they leave the jail."""
    kinds = (("keras", "x.keras", archives), ("keras_h5", "x.h5", hdf5_files))
    sources = [(kind, {name: content}) for kind, name, made in kinds for content in made()]
    sources += [("onnx", named(("x.onnx", "x.data"), each)) for each in onnx_files()]
    sources += [("huggingface", named(FOLDER, each)) for each in folders()]
    sources += [("caffe", named(("x.caffemodel", "x.prototxt"), each)) for each in caffe_files()]
    for kind, contents in sources:
        try:
            yield b"".join(answer(reader_for(kind), files_in(contents), next(iter(contents))))
        except ZooError:
            continue


def wires() -> Iterator[bytes]:
    """Yields what leaves the jail."""
    for network in (test_wire.DRAFT, test_wire.NETWORK):
        yield b"".join(encode(network))
