"""The jail: what runs in it can do nothing but compute, and whatever becomes of it is a refusal."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import h5py
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from frostline_server.embedded import StartError, serve
from frostline_server.jail.jail import Jail, JailError
from frostline_server.jail.limits import Limits
from frostline_server.jail.locks import Sandbox, sandbox_here
from frostline_zoo.errors import ExhaustedError, InvalidError, ZooError
from frostline_zoo.foreign.files import Member
from frostline_zoo.foreign.tree import KerasNetwork
from frostline_zoo.foreign.wire import Parsed, decode

whole = pytest.mark.skipif(not sandbox_here().complete, reason="this machine lacks locks of the jail")

ATTEMPTS = {
    "read a file": "open('/etc/hostname').read()",
    "look at a file": "os.stat('/etc/hostname')",
    "list a folder": "os.listdir('/')",
    "write a file": "open(target, 'w')",
    "write a file that is not named": "os.memfd_create('x')",
    "remove a file": "os.unlink(target)",
    "rename a file": "os.rename(target, target + '2')",
    "make a folder": "os.mkdir(target + '3')",
    "read its own environment": "open('/proc/self/environ').read()",
    "connect by TCP": "socket.socket().connect(('127.0.0.1', port))",
    "send by UDP": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', port))",
    "connect to a socket here": "socket.socket(socket.AF_UNIX).connect('/run/x')",
    "fork": "os.fork()",
    "start a program": "os.execv('/bin/true', ['true'])",
    "start a thread": "threading.Thread(target=print).start()",
    "end another process": "os.kill(parent, 9)",
    "look into another process": "libc_call(101, 16, parent, 0, 0)",
    "become root": "os.setuid(0)",
    "take two gigabytes": "bytes(2 << 30)",
    "raise its limits": "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
    "import a module": "importlib.import_module('tabnanny')",
}
BY_LANDLOCK = ["read a file", "list a folder", "write a file", "remove a file", "make a folder", "start a program"]
LOCK = "from frostline_server.jail.locks import lock\nlock(1 << 30, 20)"
LANDLOCK = """
from frostline_server.jail import landlock, limits
limits.give_up_privileges()
landlock.close_files_and_network()
"""
PROGRAM = """
import ctypes, importlib, os, resource, socket, sys, threading
target, port, parent, attempt = sys.argv[1], int(sys.argv[2]), os.getppid(), sys.argv[3]

def libc_call(*arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")

exec(sys.argv[4])
try:
    eval(attempt)
except (OSError, MemoryError, RuntimeError, ImportError, ValueError) as error:
    os.write(1, type(error).__name__.encode())
    os._exit(0)
os._exit(7)
"""


@whole
@pytest.mark.parametrize(
    ("locks", "attempt"),
    [*((LOCK, attempt) for attempt in ATTEMPTS), *((LANDLOCK, attempt) for attempt in BY_LANDLOCK)],
)
def test_nothing_can_be_done_in_the_jail_and_no_file_reached_by_landlock_alone(
    tmp_path: Path, locks: str, attempt: str
) -> None:
    target = tmp_path / "target"
    target.write_text("as it was")
    tmp_path.chmod(0o777)
    target.chmod(0o666)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        command = [sys.executable, "-c", PROGRAM, str(target), port, ATTEMPTS[attempt], locks]
        ended = subprocess.run(command, stdout=subprocess.PIPE, timeout=60)
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert ended.returncode == 0, "it could"
    assert [path.read_text() for path in tmp_path.iterdir()] == ["as it was"]


def read(path: Path, jail: Jail | None = None, format: str = "auto") -> Parsed:
    """Reads a file in the jail; `jail` may be another one than the server's."""

    async def run() -> Parsed:
        pieces: list[bytes] = []

        async def write(piece: bytes) -> None:
            pieces.append(piece)

        members = [Member(path.name, 0, path.stat().st_size)]
        await (jail or Jail()).read(path, members, path.name, format, write)
        return decode(memoryview(b"".join(pieces)))

    return asyncio.run(run())


@pytest.fixture
def good(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "good.h5", "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"name": "n"}})
        file["model_weights/d/kernel"] = np.arange(12, dtype="float32").reshape(4, 3)
    return tmp_path / "good.h5"


def test_what_is_read_in_the_jail_comes_out_as_plain_data(good: Path) -> None:
    network = read(good)
    assert isinstance(network, KerasNetwork)
    kernel = network.weights.at("d/kernel")
    np.testing.assert_array_equal(kernel[()], np.arange(12, dtype="float32").reshape(4, 3))  # type: ignore[index]


def test_a_refusal_comes_out_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "x.h5").write_bytes(b"\x89HDF\r\n\x1a\nnothing else")
    with pytest.raises(InvalidError, match="HDF5") as refused:
        read(tmp_path / "x.h5")
    assert refused.value.reason == "BAD_HDF5"


def child(tmp_path: Path, code: str) -> list[str]:
    """Returns the command of a process that says it is locked and then runs `code` instead of reading."""
    program = tmp_path / "child.py"
    head = "import os, resource, struct, sys, time\nsys.stdin.read()\nos.write(1, b'L' + bytes(4))\n"
    program.write_text(head + code)
    return [sys.executable, str(program)]


def limits(_: int) -> Limits:
    return Limits(memory_bytes=1 << 30, cpu_seconds=20, wall_seconds=5)


CRASHED = (InvalidError, "PARSER_CRASHED")
TIME, MEMORY = (ExhaustedError, "LIMIT_TIME"), (ExhaustedError, "LIMIT_MEMORY")
SAYS = "os.write(1, b'{}' + struct.pack('>I', {}) + {})"
ENDS = {
    "a crash": ("os.abort()", CRASHED),
    "a quiet end": ("os._exit(0)", CRASHED),
    "an end in the middle": ("os.write(1, b'D\\0\\0\\1\\0only this')", CRASHED),
    "silence": ("time.sleep(100)", TIME),
    "processor time": ("resource.setrlimit(resource.RLIMIT_CPU, (1, 9))\nwhile True: pass", TIME),
    "the kernel's end of it": ("os.kill(os.getpid(), 9)", MEMORY),
    "a piece of no kind": (SAYS.format("X", 1, "b'x'"), CRASHED),
    "a piece that is too long": (SAYS.format("D", 1 << 30, "b'x'"), CRASHED),
    "a refusal that is no JSON": (SAYS.format("R", 1, "b'x'"), CRASHED),
    "a refusal of another kind": (SAYS.format("R", 43, 'b\'{"kind":"x","message":"m","reason":"REASON"}\''), CRASHED),
}


@pytest.mark.parametrize("end", ENDS)
def test_whatever_becomes_of_it_the_file_is_refused(tmp_path: Path, good: Path, end: str) -> None:
    code, (kind, reason) = ENDS[end]
    started = time.monotonic()
    with pytest.raises(kind) as refused:
        read(good, Jail(child(tmp_path, code), limits))
    assert isinstance(refused.value, ZooError)
    assert refused.value.reason == reason
    assert time.monotonic() - started < 20


def test_a_process_that_never_came_to_its_locks_is_the_server_s_fault(tmp_path: Path, good: Path) -> None:
    with pytest.raises(JailError):
        read(good, Jail([sys.executable, "-c", "raise SystemExit(3)"], limits))


def test_a_file_that_takes_too_much_memory_is_refused(tmp_path: Path) -> None:
    """Sixteen megabytes of JSON in the configuration become hundreds of megabytes of Python."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_group("model_weights")
        file.attrs["model_config"] = "[" + "[]," * (5 << 20) + "[]]"
    with pytest.raises(ExhaustedError) as refused:
        read(tmp_path / "x.h5", Jail(limits=lambda _: Limits(400 << 20, 20, 20)))
    assert refused.value.reason == "LIMIT_MEMORY"


def test_a_caller_that_goes_away_takes_the_process_along(tmp_path: Path, good: Path) -> None:
    async def run() -> None:
        jail = Jail(child(tmp_path, f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(100)"))
        members = [Member("good.h5", 0, good.stat().st_size)]

        async def write(_: bytes) -> None: ...

        reading = asyncio.ensure_future(jail.read(good, members, "good.h5", "auto", write))
        while not (tmp_path / "pid").is_file() or not (tmp_path / "pid").read_text():
            await asyncio.sleep(0.02)
        reading.cancel()
        await asyncio.wait([reading])

    asyncio.run(asyncio.wait_for(run(), 20))
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


WITHOUT_END = "while True: os.write(1, b'D' + struct.pack('>I', 1 << 20) + bytes(1 << 20))"


@pytest.mark.parametrize("how", ["the caller goes away", "it takes too long", "what it says cannot be written"])
def test_a_process_that_is_far_ahead_ends_too_and_leaves_its_room(tmp_path: Path, good: Path, how: str) -> None:
    async def run() -> None:
        jail, members = Jail(child(tmp_path, WITHOUT_END), lambda _: Limits(1 << 30, 20, 2)), [Member("good.h5", 0, 0)]
        is_behind = asyncio.Event()

        async def write(_: bytes) -> None:
            if how == "what it says cannot be written":
                await asyncio.sleep(0.5)  # in which it gets ahead
                raise OSError
            is_behind.set()
            await asyncio.sleep(60)

        for _ in range(3):  # of which two at a time have room
            reading = asyncio.ensure_future(jail.read(good, members, "good.h5", "auto", write))
            if how == "the caller goes away":
                await is_behind.wait()
                await asyncio.sleep(0.5)
                reading.cancel()
            (ended,) = await asyncio.gather(reading, return_exceptions=True)
            assert isinstance(ended, OSError | ExhaustedError | asyncio.CancelledError), ended

    asyncio.run(asyncio.wait_for(run(), 20))


def test_a_server_says_whether_its_jail_is_whole(tmp_path: Path) -> None:
    with serve(tmp_path, workers=False) as address, grpc.insecure_channel(address) as channel:
        request = health_pb2.HealthCheckRequest(service="frostline.sandbox")
        status = health_pb2_grpc.HealthStub(channel).Check(request).status
    is_serving = status == health_pb2.HealthCheckResponse.SERVING
    assert is_serving == sandbox_here().complete
    assert ("files are read in a full jail" in (tmp_path / "server.log").read_text()) == is_serving


def without_landlock(run: Callable[[], None]) -> None:
    """Calls `run` in a thread for which the kernel has no Landlock: landlock_create_ruleset is ENOSYS."""
    steps = [(0x20, 0, 0, 0), (0x15, 0, 1, 444), (0x06, 0, 0, 0x00050000 | 38), (0x06, 0, 0, 0x7FFF0000)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))

    def inside() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.prctl(38, 1, 0, 0, 0) == 0
        assert libc.prctl(22, 2, ctypes.byref(Program(len(steps), ctypes.addressof(program))), 0, 0) == 0
        run()

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()


@whole
def test_without_landlock_a_server_starts_and_says_so_unless_it_must_not(tmp_path: Path) -> None:
    said: list[str] = []

    def start() -> None:
        with serve(tmp_path / "may", workers=False):
            said.append((tmp_path / "may" / "server.log").read_text())
        try:
            with serve(tmp_path / "must", workers=False, options=["--require-sandbox"]):
                said.append("it started")
        except StartError as error:
            said.append(str(error))

    without_landlock(start)
    assert "the kernel has no Landlock" in said[0]
    assert said[1].startswith("frostline-server: the kernel has no Landlock, and --require-sandbox")
    assert "\n" not in said[1]


def test_a_sandbox_names_what_it_lacks() -> None:
    assert Sandbox(7, True).complete
    assert Sandbox(7, True).missing == ""
    assert Sandbox(0, False).missing == "the kernel has no Landlock and no filter of system calls for this processor"
