"""A reader without any rules: it runs, opens, fetches and unpacks whatever a file asks for, as careless loaders do."""

from __future__ import annotations

import base64
import contextlib
import ctypes
import glob
import importlib
import io
import json
import marshal
import pickle
import re
import stat
import tarfile
import types
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from onnx import ModelProto

from frostline_zoo.foreign.saved_model.messages import message

SECRET = b"a canary's song"
UNPACKED_BYTES = 1 << 20  # what unpacks to more is not, to spare the disk
_SIGNS = {  # how Caffe's text names what it runs, reads and writes
    "runs": re.compile(r"module: '(\w+)' layer: '(\w+)' param_str: '([^']*)'"),
    "reads": re.compile(r"(?:source|mean_file): '([^']*)'"),
    "writes": re.compile(r"(?:file_name|output_directory): '([^']*)'"),
}


def load(contents: Mapping[str, bytes], found: Callable[[], object]) -> None:
    """Does with files, by name, all that they ask for; `found` is called for each secret that it comes across."""
    Reader(found).read(contents)


class Reader:
    """The reader."""

    def __init__(self, found: Callable[[], object]) -> None:
        self._found = found
        self._modules: Mapping[str, bytes] = {}

    def read(self, contents: Mapping[str, bytes]) -> None:
        """Takes each file for one of every format."""
        ways = (self._pickle, self._zip, self._tarball, self._hdf5, self._saved_model, self._onnx, self._caffe)
        self._modules = {Path(name).stem: content for name, content in contents.items() if name.endswith(".py")}
        for content in contents.values():
            for way in (*ways, self._described, self._program, self._hugging_face):
                with contextlib.suppress(Exception):
                    way(content)

    def _take(self, content: bytes) -> None:
        if SECRET in content:
            self._found()

    def _open(self, where: str) -> None:
        self._take(urllib.request.urlopen(where).read() if where.startswith("http") else Path(where).read_bytes())

    def _pickle(self, content: bytes) -> None:
        pickle.loads(content)

    def _zip(self, content: bytes) -> None:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            for info in file.infolist():
                with contextlib.suppress(Exception):
                    if info.file_size < UNPACKED_BYTES:
                        _unpack(info, file.read(info))
                        self._open(info.filename)
            for name in file.namelist():
                with contextlib.suppress(Exception):
                    if name.endswith(".pkl"):
                        pickle.loads(file.read(name))
                    elif name == "config.json":
                        self._obey(json.loads(file.read(name)))
                    elif name.endswith(".h5"):
                        self._hdf5(file.read(name))

    def _tarball(self, content: bytes) -> None:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for member in archive:
                with contextlib.suppress(Exception):
                    if member.size < UNPACKED_BYTES:
                        archive.extract(member, filter="fully_trusted")
                    if not member.isdev():
                        self._open(member.name)

    def _hdf5(self, content: bytes) -> None:
        for source in (lambda: io.BytesIO(content), lambda: _written(content)):
            with contextlib.suppress(Exception), h5py.File(source(), "r") as file:
                with contextlib.suppress(Exception):
                    self._obey(json.loads(file.attrs["model_config"]))
                self._walk(file, 0)

    def _walk(self, group: h5py.Group, depth: int) -> None:
        for name in group if depth < 10 else ():
            with contextlib.suppress(Exception):
                if isinstance(member := group[name], h5py.Group):
                    self._walk(member, depth + 1)
                else:
                    self._take(np.asarray(member[()]).tobytes())

    def _obey(self, config: Any) -> None:
        """Runs what a configuration of Keras's names, and reads what it points at."""
        for value in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
            self._obey(value)
        if not isinstance(config, dict):
            return
        with contextlib.suppress(Exception):
            if config.get("class_name") == "__lambda__":
                code = marshal.loads(base64.b64decode(config["config"]["code"]))
                types.FunctionType(code, {"__builtins__": __builtins__})(0)
            elif config.get("module") in ("os", "builtins"):
                getattr(importlib.import_module(config["module"]), config["class_name"])(*config["config"].values())
        for key in ("vocabulary", "filepath", "origin", "units"):
            with contextlib.suppress(Exception):
                self._open(str(config.get(key)))

    def _saved_model(self, content: bytes) -> None:
        for meta in message("SavedModel", content, "").meta_graphs:
            for node in meta.objects.nodes:
                with contextlib.suppress(Exception):
                    self._obey(json.loads(node.user.metadata))
            for asset in meta.assets:
                with contextlib.suppress(Exception):
                    self._open(asset.filename)
            self._run(meta.graph)

    def _run(self, graph: Any) -> None:
        """Does what a graph's operations do to the world, those of its functions too."""
        for nodes in (graph.nodes, *(function.nodes for function in graph.library.functions)):
            texts = {
                node.name: entry.value.tensor.strings[0]
                for node in nodes
                for entry in node.attributes
                if node.op == "Const" and entry.value.tensor.strings
            }
            for node in nodes:
                with contextlib.suppress(Exception):
                    self._act(node.op, [texts.get(name.partition(":")[0], b"") for name in node.inputs])

    def _act(self, op: str, inputs: list[bytes]) -> None:
        if op == "WriteFile":
            Path(inputs[0].decode()).write_bytes(inputs[1])
        elif op == "SaveV2" and inputs[0]:
            Path(inputs[0].decode() + ".index").write_bytes(b"")
        elif op == "ReadFile":
            self._open(inputs[0].decode())
        elif op == "MatchingFiles":
            for path in glob.glob(inputs[0].decode()):
                self._open(path)
        elif op == "DatasetFromGraph":
            self._run(message("Graph", inputs[0], ""))

    def _described(self, content: bytes) -> None:
        for node in message("SavedMetadata", content, "").nodes:
            self._obey(json.loads(node.metadata))

    def _onnx(self, content: bytes) -> None:
        model = ModelProto.FromString(content)
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                with contextlib.suppress(Exception):
                    if entry.key == "location":
                        self._open(entry.value)
        for node in model.graph.node:
            words = {entry.name: entry.s.decode() for entry in node.attribute}
            if node.op_type == "PyOp":
                getattr(importlib.import_module(words["module"]), words["compute"])(words["input"])

    def _caffe(self, content: bytes) -> None:
        text = content.decode()
        for module, name, argument in _SIGNS["runs"].findall(text):
            getattr(importlib.import_module(module), name)(argument)
        for where in _SIGNS["reads"].findall(text):
            self._open(where)
        for where in _SIGNS["writes"].findall(text):
            Path(where).write_bytes(b"")

    def _hugging_face(self, content: bytes) -> None:
        """Does what a config.json names, what goes with it, and an index of weights."""
        config = json.loads(content)
        for named in config.get("auto_map", {}).values():
            with contextlib.suppress(Exception):
                where, _, name = named.rpartition("--")
                self._open(where) if where else exec(self._modules[name.partition(".")[0]], {})
        for named in (*config.get("architectures", ()), config.get("model_type"), config.get("hidden_act")):
            with contextlib.suppress(Exception):
                module, _, name = named.rpartition(".")
                getattr(importlib.import_module(module), name)(config["_name_or_path"])
        own = config.get("pretrained_cfg", {})
        places = [config.get("_name_or_path"), config.get("base_model_name_or_path"), own.get("url"), own.get("file")]
        for where in [*places, *set(config.get("weight_map", {}).values())]:
            with contextlib.suppress(Exception):
                self._open(where)

    def _program(self, content: bytes) -> None:
        if content.startswith(b"\x7fELF"):
            Path("own.so").write_bytes(content)
            ctypes.CDLL(str(Path("own.so").resolve()))


def _written(content: bytes) -> Path:
    """Returns a file on disk: HDF5 follows its links to other files from there only."""
    path = Path("x.h5")
    path.write_bytes(content)
    return path


def _unpack(info: zipfile.ZipInfo, content: bytes) -> None:
    """Writes a member of an archive wherever its name says, as what it says it is."""
    path = Path(info.filename)
    path.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISLNK(info.external_attr >> 16):
        path.symlink_to(content.decode())
    else:
        path.write_bytes(content)
