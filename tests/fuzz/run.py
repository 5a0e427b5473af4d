"""Fuzzes one target until a time in seconds since 1970: `python run.py TARGET UNTIL FOLDER`.

What it finds does not end it: each place where something other than a refusal comes out is written once to
FOLDER/findings, the input and its traceback, and fuzzing goes on. A crash, or what hangs in C, does end it; HDF5's are
written to FOLDER/hdf5 instead.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import resource
import signal
import sys
import time
import traceback
from pathlib import Path
from random import Random
from types import FrameType

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))
with atheris.instrument_imports(include=["frostline_zoo", "zipfile", "tarfile"]):
    from frostline_zoo.errors import ExhaustedError, InvalidError, ZooError
    from tests.fuzz.targets import TARGETS, without_checksums

    NAME, UNTIL, FOLDER = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3])
    TARGET = TARGETS[NAME]()

SLOW_SECONDS = 3  # of processor time
STUCK_SECONDS = 120  # of time on the clock, which runs on while others compute
STUCK_IN_HDF5_SECONDS = 20
LARGEST_BYTES = 64 << 10
_REASON = re.compile(r"[A-Z][A-Z0-9_]{1,39}")
_LONGEST_MESSAGE = 2_000


class TookTooLongError(BaseException):
    """An input took more than SLOW_SECONDS of processor time."""


class BadRefusalError(Exception):
    """A refusal is none that can be told to a client."""


def main() -> None:
    for below in ("corpus", "seeds", "findings", "hdf5"):
        (FOLDER / below).mkdir(parents=True, exist_ok=True)
    for content in TARGET.seeds():
        (FOLDER / "seeds" / hashlib.sha256(content).hexdigest()[:16]).write_bytes(content)
    signal.signal(signal.SIGVTALRM, _too_long)
    resource.setrlimit(resource.RLIMIT_AS, (TARGET.memory_bytes, TARGET.memory_bytes))
    stuck_seconds = STUCK_IN_HDF5_SECONDS if TARGET.has_hdf5 else STUCK_SECONDS
    options = {
        "max_total_time": max(1, round(UNTIL - time.time())),
        "max_len": LARGEST_BYTES,
        "timeout": stuck_seconds,
        "report_slow_units": stuck_seconds,
        "rss_limit_mb": 0,  # the address space is limited
        "artifact_prefix": f"{FOLDER}/{'hdf5' if TARGET.has_hdf5 else 'findings'}/",
    }
    arguments = [*(f"-{key}={value}" for key, value in options.items()), str(FOLDER / "corpus"), str(FOLDER / "seeds")]
    more = {"custom_mutator": changed} if TARGET.change is not None else {}
    with without_checksums():
        atheris.Setup([sys.argv[0], *arguments], tried, **more)
        atheris.Fuzz()


def tried(content: bytes) -> None:
    """Reads one input, and writes down what it ends in where that is neither a network nor a refusal."""
    signal.setitimer(signal.ITIMER_VIRTUAL, SLOW_SECONDS)
    found: BaseException | None = None
    try:
        TARGET.read(content)
    except (InvalidError, ExhaustedError) as refusal:
        found = _fault_of(refusal)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        found = error
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    if found is not None:
        _write(found, content)


def changed(content: bytes, longest: int, seed: int) -> bytes:
    """Returns the next input: a whole file with something in it changed, or now and then bytes changed anywhere."""
    random = Random(seed)
    if TARGET.change is not None and random.random() < 0.8:
        with contextlib.suppress(Exception):  # it is none of its kind any more
            return TARGET.change(content, random)[:longest]
    return bytes(atheris.Mutate(content, longest))


def _too_long(signum: int, frame: FrameType | None) -> None:
    raise TookTooLongError


def _fault_of(refusal: ZooError) -> BaseException | None:
    message = refusal.message
    if message.isprintable() and len(message) <= _LONGEST_MESSAGE and _REASON.fullmatch(refusal.reason):
        return None
    return BadRefusalError(f"{refusal.reason}: {message!r}").with_traceback(refusal.__traceback__)


def _write(error: BaseException, content: bytes) -> None:
    """Writes what was found, unless something was found at that place before."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "frostline_zoo/" in frame.filename]
    place = [f"{Path(frame.filename).name}:{frame.name}:{frame.line}" for frame in frames[-2:]]
    key = hashlib.sha256(repr((type(error).__name__, place)).encode()).hexdigest()[:12]
    found = FOLDER / "findings" / f"{type(error).__name__}-{key}"
    if not found.exists():
        found.write_bytes(content)
        found.with_name(f"{found.name}.txt").write_text("".join(traceback.format_exception(error)))


if __name__ == "__main__":
    main()
