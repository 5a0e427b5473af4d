"""What the server's child processes print."""

from __future__ import annotations

import asyncio
import sys

import pytest

from frostline_server.jobs.output import pass_on

SAYS = """
import os
os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\\n")
os.write(2, b"I0000 00:00:1795377596.611909    1799 port.cc:153] oneDNN custom operations are on.\\nE0000 00:00:17")
os.write(2, b"95 9 cuda_platform.cc:52] failed call to cuInit: UNKNOWN\\nW0000 00:00:1 9 a.cc:1] memory is short\\n")
os.write(2, b"WARNING:tensorflow:5 out of the last 11 calls to <function f> triggered tf.function retracing. It\\n")
os.write(2, b"WARNING:tensorflow:a layer is odd\\n")
os.write(1, b"Traceback: it died")
"""


def test_a_worker_says_all_but_tensorflows_greetings(capfd: pytest.CaptureFixture[str]) -> None:
    async def run() -> None:
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SAYS, stdout=pipe, stderr=asyncio.subprocess.STDOUT
        )
        assert child.stdout is not None
        await pass_on(child.stdout)
        await child.wait()

    asyncio.run(run())
    assert (
        capfd.readouterr().err
        == "W0000 00:00:1 9 a.cc:1] memory is short\nWARNING:tensorflow:a layer is odd\nTraceback: it died\n"
    )
