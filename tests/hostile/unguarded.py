"""A reader without any rules: it runs, opens and unpacks whatever it is given, as careless loaders do.

`python unguarded.py locked|open FILE...` prints a line for each secret that it has read. Locked, it first closes the
locks of the jail on itself.
"""

from __future__ import annotations

import base64
import contextlib
import encodings.cp437
import encodings.idna  # noqa: F401
import importlib
import io
import json
import marshal
import os
import pickle
import sys
import types
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from frostline_server.jail.locks import lock

SECRET = b"a canary's song"


def load(content: bytes) -> None:
    """Does with a file all that it asks for."""
    steps = [lambda: pickle.loads(content), lambda: unpack(content), lambda: read_hdf5(io.BytesIO(content))]
    for step in steps:
        with contextlib.suppress(Exception):
            step()


def unpack(content: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        if sum(info.file_size for info in file.infolist()) < 1 << 20:
            with contextlib.suppress(Exception):
                file.extractall()
        for name in file.namelist():
            with contextlib.suppress(Exception):
                if name.endswith(".pkl"):
                    pickle.loads(file.read(name))
                elif name == "config.json" and file.getinfo(name).file_size < 1 << 20:
                    obey(json.loads(file.read(name)))
                elif name.endswith(".h5"):
                    read_hdf5(io.BytesIO(file.read(name)))


def obey(config: Any) -> None:
    """Runs what a configuration names, and reads what it points at."""
    for value in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
        obey(value)
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
            where = str(config.get(key))
            shout(urllib.request.urlopen(where).read() if where.startswith("http") else Path(where).read_bytes())


def read_hdf5(source: io.BytesIO) -> None:
    with h5py.File(source, "r") as file:
        with contextlib.suppress(Exception):
            obey(json.loads(file.attrs["model_config"]))
        walk(file, 0)


def walk(group: h5py.Group, depth: int) -> None:
    for name in group if depth < 10 else ():
        with contextlib.suppress(Exception):
            if isinstance(member := group[name], h5py.Group):
                walk(member, depth + 1)
            else:
                shout(np.asarray(member[()]).tobytes())


def shout(content: bytes) -> None:
    if SECRET in content:
        os.write(1, b"read\n")


if __name__ == "__main__":
    contents = [Path(path).read_bytes() for path in sys.argv[2:]]
    if sys.argv[1] == "locked":
        lock(2 << 30, 60)
    for each in contents:
        load(each)
    os.write(1, b"done\n")
