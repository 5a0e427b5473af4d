"""Child processes of the server: kept running, asked one thing at a time, and never left behind.

The children here are small programs of the tests' own, so that no test waits for TensorFlow.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from frostline_server.embedded import address_of, start
from frostline_server.jobs.channel import Frame
from frostline_server.jobs.processes import Child
from frostline_server.jobs.workbench import Rows, Workbench, WorkbenchFailureError
from frostline_zoo.errors import InvalidError, NotFoundError, UnavailableError

PROGRAM = """
import os, sys, time
from frostline_server.jobs.channel import Frame
from frostline_server.jobs.processes import enter_child

given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
channel = enter_child(int(given["--channel"]), int(given["--parent"]))
channel.send(Frame({"ready": True}))
while (frame := channel.receive()) is not None and "stop" not in frame.header:
    header = frame.header
    if header.get("call") == "import" or "die" in header:
        os.kill(os.getpid(), 9)
    elif header.get("recipe") == "missing":
        error = {"kind": "NotFoundError", "message": "no such base", "reason": "NOT_FOUND", "metadata": {"name": "b"}}
        channel.send(Frame({"number": header["number"], "error": error}))
    elif header.get("recipe") == "broken":
        channel.send(Frame({"number": header["number"], "error": {"id": "c0ffee"}}))
    elif header.get("recipe") == "deadly":
        time.sleep(0.3)
        os.kill(os.getpid(), 9)
    elif header.get("recipe") == "last":
        channel.send(Frame({"ready": False}))
        channel.send(Frame({"number": header["number"], "plans": []}))
        time.sleep(0.5)
        break
    elif header.get("recipe", "").startswith("raw "):
        os.write(int(given["--channel"]), bytes.fromhex(header["recipe"][4:]))
        time.sleep(1000)
    else:
        header.setdefault("number", 0)
        channel.send(Frame({**header, "pid": os.getpid()}, frame.payload))
"""

DEAF = """
import sys, time
from frostline_server.jobs.channel import Frame
from frostline_server.jobs.processes import enter_child

given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
channel = enter_child(int(given["--channel"]), int(given["--parent"]))
channel.send(Frame({"ready": True}))
time.sleep(1000)
"""

PARENT = """
import asyncio, sys
from frostline_server.jobs.processes import Child

async def main():
    child = Child([sys.executable, sys.argv[1]], print, print)
    child.start()
    await child.ready.wait()
    print("ready", flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    return [sys.executable, str(program)]


@pytest.fixture
def deaf(tmp_path: Path) -> list[str]:
    """A child that does not listen: neither to what it is told nor to the end of its channel."""
    program = tmp_path / "deaf.py"
    program.write_text(DEAF)
    return [sys.executable, str(program)]


def with_workbench(command: list[str], use: Callable[[Workbench], Awaitable[None]]) -> None:
    async def run() -> None:
        workbench = Workbench(command)
        workbench.start()
        try:
            await asyncio.wait_for(use(workbench), 30)
        finally:
            await workbench.stop(5)

    asyncio.run(run())


async def echo(workbench: Workbench) -> bytes:
    rows = Rows("uint8", (2,), b"abcd")
    return (await workbench.predict("sha256:0", "", rows)).data


def test_what_an_import_kills_is_the_file_s_fault_and_the_next_call_is_answered(command: list[str]) -> None:
    async def use(workbench: Workbench) -> None:
        with pytest.raises(InvalidError, match="made its reader crash"):
            await workbench.take_in(Path("hostile"), {})
        assert await echo(workbench) == b"abcd"

    with_workbench(command, use)


def test_a_process_that_ends_by_itself_loses_no_call(command: list[str]) -> None:
    async def use(workbench: Workbench) -> None:
        calls = [workbench.plan_recipe("last") for _ in range(3)], [echo(workbench) for _ in range(3)]
        assert await asyncio.gather(*calls[0], *calls[1]) == [[]] * 3 + [b"abcd"] * 3

    with_workbench(command, use)


def test_what_another_call_kills_is_to_be_tried_again(command: list[str]) -> None:
    async def use(workbench: Workbench) -> None:
        with pytest.raises(UnavailableError, match="died"):
            await workbench.check_recipe("deadly")
        assert await echo(workbench) == b"abcd"

    with_workbench(command, use)


@pytest.mark.parametrize(
    "sent",
    [
        b"Traceback (most recent call last):",
        b"\0\0\0\3\0\0\0\0{x}",
        b"\0\0\0\2\0\0\0\0[]",
        b"\0\0\0\2\0\0\0\0{}",
    ],
    ids=["text", "no JSON", "no object", "no number"],
)
def test_a_child_that_sends_nonsense_counts_as_dead_at_once(command: list[str], sent: bytes) -> None:
    async def use(workbench: Workbench) -> None:
        with pytest.raises(UnavailableError, match="died"):
            await workbench.check_recipe(f"raw {sent.hex()}")
        assert await echo(workbench) == b"abcd"

    with_workbench(command, use)


def test_refusals_come_back_as_they_were(command: list[str]) -> None:
    async def use(workbench: Workbench) -> None:
        with pytest.raises(NotFoundError, match="no such base") as refused:
            await workbench.check_recipe("missing")
        assert refused.value.metadata == {"name": "b"}
        with pytest.raises(WorkbenchFailureError, match="c0ffee"):
            await workbench.check_recipe("broken")

    with_workbench(command, use)


def test_callers_that_go_away_do_not_shift_the_answers(command: list[str]) -> None:
    async def use(workbench: Workbench) -> None:
        impatient = [asyncio.ensure_future(workbench.check_recipe(f"{number}")) for number in range(5)]
        await asyncio.sleep(0)
        for call in impatient:
            call.cancel()
        assert await asyncio.gather(*(echo(workbench) for _ in range(20))) == [b"abcd"] * 20

    with_workbench(command, use)


def test_a_stopped_workbench_says_so(command: list[str]) -> None:
    async def run() -> None:
        workbench = Workbench(command)
        workbench.start()
        await workbench.stop(5)
        with pytest.raises(UnavailableError, match="stopping"):
            await echo(workbench)

    asyncio.run(run())


def test_a_child_that_dies_is_replaced_and_its_owner_told(command: list[str]) -> None:
    async def run() -> None:
        deaths: list[tuple[str, bool]] = []
        answers: asyncio.Queue[int] = asyncio.Queue()

        async def died(owner: str, crashed: bool) -> None:
            deaths.append((owner, crashed))

        child = Child(command, lambda frame: answers.put_nowait(frame.header["pid"]), died)
        child.start()
        await child.send(Frame({"hello": True}))
        first, first_owner = await answers.get(), child.owner
        os.kill(first, signal.SIGKILL)
        while not deaths:
            await asyncio.sleep(0.01)
        await child.send(Frame({"hello": True}))
        assert await answers.get() != first
        assert deaths == [(first_owner, True)]
        await child.stop(5)
        assert deaths[1:] == [(child.owner, False)]

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_caller_that_went_away_keeps_the_blame_for_what_it_asked(command: list[str]) -> None:
    async def use(workbench: Workbench) -> None:
        await echo(workbench)
        impatient = asyncio.ensure_future(workbench.check_recipe("deadly"))
        await asyncio.sleep(0.1)
        impatient.cancel()
        assert await echo(workbench) == b"abcd"

    with_workbench(command, use)


def test_a_child_that_does_not_stop_is_killed(deaf: list[str]) -> None:
    async def run() -> None:
        async def died(owner: str, crashed: bool) -> None:
            pass

        others = children_of(os.getpid())
        child = Child(deaf, lambda frame: None, died)
        child.start()
        await child.ready.wait()
        (process,) = children_of(os.getpid()) - others
        await child.stop(0.2)
        wait_until(lambda: not is_alive(process))

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_child_that_hears_nothing_dies_with_its_server(deaf: list[str], tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    command = [sys.executable, str(tmp_path / "parent.py"), deaf[1]]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        (child,) = children_of(parent.pid)
        parent.kill()
        wait_until(lambda: not is_alive(child), seconds=3)


def test_no_child_outlives_a_killed_server(tmp_path: Path) -> None:
    server = start(tmp_path)
    try:
        address_of(server, tmp_path)
        wait_until(lambda: len(children_of(server.pid)) == 2)
        children = children_of(server.pid)
        server.kill()
        wait_until(lambda: not any(is_alive(child) for child in children), seconds=3)
    finally:
        server.kill()
        server.wait()


def test_a_child_whose_server_died_first_does_not_start(tmp_path: Path, command: list[str]) -> None:
    other_than_parent = str(os.getppid())
    ended = subprocess.run([*command, "--channel", "0", "--parent", other_than_parent, "--owner", "x"], timeout=30)
    assert ended.returncode == 1


def children_of(parent: int) -> set[int]:
    """Returns the processes whose parent is `parent`."""
    listed = Path(f"/proc/{parent}/task").glob("*/children")
    return {int(child) for children in listed for child in children.read_text().split()}


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
