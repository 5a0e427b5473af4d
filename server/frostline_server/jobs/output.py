"""What child processes print: it goes to the server's standard error, without what TensorFlow says to everybody."""

from __future__ import annotations

import asyncio
import os
import re
import sys

# TensorFlow 2.21 says what it finds out about the machine before it looks at TF_CPP_MIN_LOG_LEVEL. Its warnings and
# errors pass, but for the one that there is no GPU, and the one that a function is traced again and again: one line of
# ours makes many programs, and it takes them for the same one.
_UNHEARD = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog|I0000 |E0000 .*failed call to cuInit"
    rb"|WARNING:tensorflow:.* triggered tf\.function retracing"
)
_READ_BYTES = 1 << 16


async def pass_on(output: asyncio.StreamReader) -> None:
    """Passes on what a child prints, line by line, until it ends."""
    assert sys.__stderr__ is not None
    target, rest = sys.__stderr__.fileno(), b""
    while piece := await output.read(_READ_BYTES):
        *lines, rest = (rest + piece).split(b"\n")
        _write(target, lines)
    _write(target, [rest] if rest else [])


def _write(target: int, lines: list[bytes]) -> None:
    text = b"".join(line + b"\n" for line in lines if not _UNHEARD.match(line))
    while text:
        text = text[os.write(target, text) :]
