"""Files that can be read from their start to their end."""

from __future__ import annotations

import stat
from pathlib import Path

from frostline_client.errors import InvalidError


def check_ends(path: Path) -> None:
    """Checks that what is at a path has an end: a pipe is waited for, and a device may go on for ever.

    Raises:
        OSError: it is not there.
        InvalidError: it is neither a file nor a folder.
    """
    if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
        raise InvalidError(f"{path} is a pipe, a socket or a device: name a file or folder", reason="BAD_FILE")
