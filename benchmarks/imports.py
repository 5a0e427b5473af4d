"""How long an import takes, and how much memory, against the framework's own loader in a fresh process.

An import is what a client waits for, from a file on its disk to a version in the zoo: sent to a server whose workers
are up, read in a jail, built, checked, stored. What the jail's process takes until it has imported what reads the
format and has closed its locks is shown as its start, and taken off, as the loader's time begins when its framework is
imported. TensorFlow 2's loader does not take the SavedModel without Keras 2, so its older one is timed, which restores
the graph in a session.
`onnx` has no loader but its parser; what makes a network ready to run there is its reference evaluator. Keras 3 cannot
load the MobileNet, and Caffe is not installed: those imports are shown alone.

Memory is the jail's peak resident memory while it reads a network, less that of one that reads a small network of the
same format: what the bare process takes. The file itself, mapped, is counted. Of networks of a few MB, such as the real
ones, it is shown alone: what a reader takes for any network outweighs their weights. The workbench's is its peak while
it takes a large network in, less what it had after a small one; what the jail wrote, mapped, is counted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from report import Report
from subjects import ASSETS, network_file, status_bytes, warm

from frostline_client import Client
from frostline_client.network_files import network_files
from frostline_server.embedded import serve
from frostline_server.jail.jail import COMMAND, ENVIRONMENT
from frostline_server.jail.limits import limits_for
from frostline_zoo.foreign.files import Member

WANTED_TIMES = 2.0
LAYERS = 8
LOCKED = b"L"  # what the jail's process says first

# What each framework's own users write; the clock starts after its import.
LOADERS = {
    "keras": "import keras|keras.models.load_model(path, compile=False)",
    "tensorflow": "from tensorflow.compat import v1|v1.saved_model.load(v1.Session(graph=v1.Graph()), ['serve'], path)",
    "onnx reference": "import onnx, onnx.reference|onnx.reference.ReferenceEvaluator(path)",
}
LOADER = """
import sys, time
path = sys.argv[1]
{imports}
started = time.perf_counter()
{load}
print(time.perf_counter() - started)
"""
# Asks the jail's process as the server does, and prints how much memory it took at most. It is a process of its own,
# and small: what a process had before it became another program counts as that one's.
MEASURED = """
import os, subprocess, sys
content = os.open(sys.argv[2], os.O_RDONLY)
child = subprocess.Popen([*sys.argv[3:], str(content)], stdin=-1, stdout=-1, pass_fds=[content])
child.stdin.write(sys.argv[1].encode())
child.stdin.close()
last = b""
while piece := os.read(child.stdout.fileno(), 1 << 20):
    last = piece
usage = os.wait4(child.pid, 0)[2]
print(usage.ru_maxrss * 1024 if last[-5:] == b"E" + bytes(4) else last)
"""


def loader_seconds(kind: str, path: Path) -> float:
    """Returns how long a loader takes in a fresh process."""
    imports, _, load = LOADERS[kind].partition("|")
    command = [sys.executable, "-c", LOADER.format(imports=imports, load=load), str(path)]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
    return float(done.stdout.split()[-1])


def jail_request(path: Path, content: Any) -> bytes:
    """Writes a network's files into `content`, and returns what the jail's process is to be asked."""
    members: list[Member] = []
    for file in network_files(path):
        data = file.path.read_bytes()
        members.append(Member(file.name, content.tell(), len(data)))
        content.write(data)
    content.flush()
    limits = limits_for(content.tell())
    request = {"members": members, "main": members[0].name, "format": "auto", "weights_only": False}
    request |= {"memory_bytes": limits.memory_bytes, "cpu_seconds": limits.cpu_seconds}
    return json.dumps(request).encode()


def jail_bytes(path: Path) -> int:
    """Returns the peak resident memory of the process that reads a network."""
    with tempfile.NamedTemporaryFile() as content:
        request = jail_request(path, content)
        command = [sys.executable, "-I", "-c", MEASURED, request.decode(), content.name, *COMMAND]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=ENVIRONMENT)
    return int(done.stdout)


def workbench_bytes(small: Path, large: Path) -> int:
    """Returns how much more memory a workbench takes at most, that has taken in a small network, for a large one."""
    with tempfile.TemporaryDirectory() as name, serve(Path(name) / "zoo") as address, Client(address) as zoo:
        zoo.models.import_file(small, "small")
        commands = Path("/proc").glob("[0-9]*/cmdline")
        folder = next(path.parent for path in commands if _is_workbench(path, Path(name) / "zoo"))
        (folder / "clear_refs").write_text("5")  # its peak begins anew
        process = int(folder.name)
        bare = status_bytes(process, "VmRSS")
        zoo.models.import_file(large, "large")
        return status_bytes(process, "VmHWM") - bare


def _is_workbench(path: Path, data: Path) -> bool:
    try:
        words = path.read_bytes().split(b"\0")
    except OSError:  # it has ended
        return False
    return b"workbench" in words and os.fsencode(data) in words


def jail_start_seconds(path: Path) -> float:
    """Returns how long the process that reads a network takes until it reads."""
    with tempfile.NamedTemporaryFile() as content:
        request, descriptor = jail_request(path, content), os.open(content.name, os.O_RDONLY)
        started = time.perf_counter()
        command = [*COMMAND, str(descriptor)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[descriptor], env=ENVIRONMENT
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(request)
            process.stdin.close()
            said = process.stdout.read(1)
            taken = time.perf_counter() - started
            process.kill()
        os.close(descriptor)
    assert said == LOCKED, said
    return taken


def networks(folder: Path) -> dict[str, tuple[Path, str | None]]:
    """Returns what is imported, and the loader that it is compared with: real networks, or others where they lack."""
    found: dict[str, tuple[Path, str | None]] = {
        "resnet8 .h5": (network_file("resnet8_cifar10", folder), "keras"),
        "mobilenet .h5": (network_file("mobilenet_vww96", folder), None),
        "kws SavedModel": (ASSETS / "networks" / "kws_saved_model", "tensorflow"),
        "face .onnx": (ASSETS / "networks" / "face_rfb320.onnx", "onnx reference"),
        "face .caffemodel": (ASSETS / "networks" / "face_rfb320.caffemodel", None),
    }
    return {name: each for name, each in found.items() if each[0].exists()}


def dense_network(width: int, folder: Path, zoo: Client) -> dict[str, Path]:
    """Returns files of all formats with one network of wide layers, 4 * LAYERS * width * width bytes of weights."""
    import keras

    layers = [keras.layers.Dense(width, use_bias=False) for _ in range(LAYERS)]
    model = keras.Sequential([keras.Input((width,)), *layers])
    files = {name: folder / f"dense-{width}{ending}" for name, ending in ENDINGS.items()}
    model.save(files["keras"])
    model.save(files["keras_h5"])
    zoo.models.import_file(files["keras"], f"dense-{width}")
    for name in ("onnx", "saved_model"):
        zoo.models.export(f"dense-{width}", files[name], format=name)
    return files


KINDS = {".h5": "keras_h5", "SavedModel": "saved_model", ".onnx": "onnx", ".caffemodel": "caffe"}
ENDINGS = {"keras": ".keras", "keras_h5": ".h5", "onnx": ".onnx", "saved_model": ""}


def small_caffemodel(folder: Path) -> Path:
    """Returns a Caffe network without weights."""
    path = folder / "small.caffemodel"
    path.write_bytes(b"\x0a\x03net")
    text = "layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: 1 dim: 2 } } }\n"
    path.with_suffix(".prototxt").write_text(text + "layer { name: 'y' type: 'ReLU' bottom: 'x' top: 'y' }\n")
    return path


def weight_bytes(zoo: Client, model: str) -> int:
    """Returns how many bytes a network's weights take."""
    return 4 * sum(layer.parameter_count for layer in zoo.models.layers(model))


def seconds(call: Any, *arguments: Any) -> tuple[float, Any]:
    """Returns how long a call takes, and what it returns."""
    started = time.perf_counter()
    made = call(*arguments)
    return time.perf_counter() - started, made


def main() -> None:
    report = Report("imports", __doc__)
    width = 1024 if report.quick else 2048
    with tempfile.TemporaryDirectory() as name, serve(Path(name) / "zoo") as address, Client(address) as zoo:
        folder = Path(name)
        warm(zoo)
        for label, (path, loader) in networks(folder).items():
            zoo.models.import_file(path, "warming")
            for repeat in range(report.repeats):
                taken, _ = seconds(zoo.models.import_file, path, f"new-{repeat}-{path.stem.replace('_', '-')}")
                again, made = seconds(zoo.models.import_file, path, "warming")
                start = jail_start_seconds(path)
                row = {"network": label, "import": taken, "start": start}
                row |= {"again": again, "again_stored": made.new_blob_count}
                if loader is not None:
                    row |= {"loader": loader, "loads": loader_seconds(loader, path)}
                    times = (taken - start) / row["loads"]
                    report.ratio(f"{label}: import / {loader}", times, wanted=WANTED_TIMES, at_least=False)
                report.row(**row)
        small = dense_network(16, folder, zoo)
        bare_files = small | {"caffe": small_caffemodel(folder)}
        large, weights = dense_network(width, folder, zoo), 4 * LAYERS * width * width
        for kind in ENDINGS:
            for _ in range(report.repeats):
                bare, taken = jail_bytes(small[kind]), jail_bytes(large[kind])
                report.row(network=f"dense {kind}", weights=weights, bare_jail=bare, jail=taken)
                report.ratio(
                    f"{kind}: jail's memory / weights", (taken - bare) / weights, wanted=WANTED_TIMES, at_least=False
                )
            built = workbench_bytes(small[kind], large[kind])
            report.row(network=f"dense {kind}", weights=weights, workbench=built)
            report.ratio(f"{kind}: workbench's memory / weights", built / weights, wanted=None)
        for label, (path, _) in networks(folder).items():
            zoo.models.import_file(path, "warming")
            bare, taken = jail_bytes(bare_files[KINDS[label.split()[-1]]]), jail_bytes(path)
            report.row(network=label, weights=weight_bytes(zoo, "warming"), bare_jail=bare, jail=taken)
    report.end()


if __name__ == "__main__":
    main()
