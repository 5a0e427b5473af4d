"""What a sample of the hostile corpus is, and the canaries that it must not reach."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from frostline_zoo.foreign.files import Files, Member

INVALID, EXHAUSTED, TAKEN = "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "OK"


@dataclass(frozen=True)
class Sample:
    """What somebody may send as one import.

    Attributes:
        number: as in the catalogue of threats: M... hostile, H... hostile Hugging Face folders, B... benign.
        what: in a few words.
        name: what its main file is called when it is sent; empty where nothing is said.
        content: the main file's bytes.
        status: how its import has to end.
        reasons: why, any one of them.
        beside: the other files by their names.
    """

    number: str
    what: str
    name: str
    content: bytes = field(repr=False)
    status: str
    reasons: tuple[str, ...] = ()
    beside: dict[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def is_hostile(self) -> bool:
        """Whether it must not be taken in."""
        return self.status != TAKEN

    @property
    def contents(self) -> dict[str, bytes]:
        """All files by name, the main one first."""
        return {self.name or "main": self.content, **self.beside}

    def files(self) -> Files:
        """Returns the files as a reader gets them."""
        contents = self.contents
        starts = accumulate(map(len, contents.values()), initial=0)
        members = [
            Member(name, start, len(content)) for (name, content), start in zip(contents.items(), starts, strict=False)
        ]
        return Files(b"".join(contents.values()), members)


class Canaries:
    """A secret that nobody may read, a file that nobody may write, and a port that nobody may connect to.

    Whoever runs on this machine could: it is not by permissions that they are kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secret, self.written = folder / "secret", folder / "written"
        self.text = "a canary's song, which is long enough to be found"
        self.secret.write_text(self.text)
        folder.chmod(0o777)
        self.secret.chmod(0o666)
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._count, daemon=True).start()

    def disturbed(self) -> list[str]:
        """Returns what has happened to them, but for being read."""
        happened = {
            "written": any(self._others()),
            "connected": self.connections > 0,
            "changed": self.secret.read_text() != self.text,
        }
        return [what for what, has in happened.items() if has]

    def reset(self) -> None:
        """Forgets what has happened."""
        self.connections = 0
        for path in self._others():
            path.unlink()
        self.secret.write_text(self.text)

    def _others(self) -> list[Path]:
        """Returns what is there beside the secret: saving a checkpoint adds endings to the name it is given."""
        return [path for path in self.folder.iterdir() if path != self.secret]

    def _count(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            self.connections += 1  # before whoever connected can know of it
            connection.close()
