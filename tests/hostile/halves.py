"""Each half of the defence alone: the rules without the jail, the jail without the rules."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from frostline_zoo.errors import ExhaustedError, InvalidError, ZooError
from frostline_zoo.foreign.reader import answer, format_in, reader_for
from frostline_zoo.foreign.wire import decode
from tests.hostile.real_server import files_below
from tests.hostile.sample import EXHAUSTED, INVALID, TAKEN, Canaries, Sample

MOST_BYTES = 2_200_000_000
_STATUS = {InvalidError: INVALID, ExhaustedError: EXHAUSTED}


def by_the_rules_alone(sample: Sample) -> tuple[str, str]:
    """Returns how a sample's import ends, status and reason, where it is read in this process."""
    from frostline_zoo.networks.importer import take_in

    files, main = sample.files(), sample.name or "main"
    try:
        reader = reader_for(format_in(files, main, "auto"))
        take_in(decode(memoryview(b"".join(answer(reader, files, main)))))
    except ZooError as error:
        return _STATUS[type(error)], error.reason
    return TAKEN, ""


def harm_without_rules(
    samples: Iterable[Sample], canaries: Canaries, folder: Path, *, locked: bool
) -> dict[str, set[str]]:
    """Returns what each sample does, by its number, to a reader that does whatever a file asks of it.

    What can happen: a canary is read, written, changed or connected to; files are written outside of the reader's own
    folder, in the jail anywhere; in the open, the reader is brought down or made to take more than 2.2 GB, which in the
    jail is a refusal.

    Args:
        samples: what is read, each in a process of its own.
        canaries: reset for each.
        folder: a new one, for files.
        locked: whether the process first closes the locks of the jail on itself.
    """
    command = [sys.executable, "-m", "tests.hostile.unguarded", "locked" if locked else "open"]
    root = Path(__file__).parents[2]
    found = {}
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for sample in samples:
            paths, work = _laid_out(sample, folder / sample.number)
            canaries.reset()
            process.stdin.write(json.dumps([str(work), *map(str, paths)]) + "\n")
            process.stdin.flush()
            said = json.loads(process.stdout.readline())
            happened = {
                "read": said["has_read"],
                "written elsewhere": bool(_strays(folder / sample.number, paths, work, locked=locked)),
                "brought down": said["status"] != 0 and not locked,
                "much memory": said["peak_bytes"] > MOST_BYTES and not locked,
            }
            found[sample.number] = {what for what, has in happened.items() if has} | set(canaries.disturbed())
        process.stdin.close()
    canaries.reset()
    return found


def _laid_out(sample: Sample, folder: Path) -> tuple[list[Path], Path]:
    """Writes a sample's files; returns them, and a folder that anybody may write to."""
    paths = []
    for name, content in sample.contents.items():
        path = folder / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        paths.append(path)
    work = folder / "work" / "deeper"
    work.mkdir(parents=True)
    work.chmod(0o777)
    return paths, work


def _strays(folder: Path, sent: list[Path], work: Path, *, locked: bool) -> set[Path]:
    """Returns the files that a reader should not have made."""
    return files_below(folder) - set(sent) - (set() if locked else files_below(work))
