"""What a sample of the hostile corpus is, and the canaries that it must not reach."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path

INVALID, EXHAUSTED, TAKEN = "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "OK"


@dataclass(frozen=True)
class Sample:
    """One file that somebody may send.

    Attributes:
        number: as in the catalogue of threats: M... hostile, B... benign.
        what: in a few words.
        name: what it is called when it is sent.
        content: its bytes.
        status: how its import has to end.
        reasons: why, any one of them.
    """

    number: str
    what: str
    name: str
    content: bytes = field(repr=False)
    status: str
    reasons: tuple[str, ...] = ()


class Canaries:
    """A secret that nobody may read, a file that nobody may write, and a port that nobody may connect to."""

    def __init__(self, folder: Path) -> None:
        self.secret, self.written = folder / "secret", folder / "written"
        self.text = "a canary's song, which is long enough to be found"
        self.secret.write_text(self.text)
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._count, daemon=True).start()

    def disturbed(self) -> list[str]:
        """Returns what has happened to them, but for being read."""
        happened = {
            "written": self.written.exists(),
            "connected": self.connections > 0,
            "changed": self.secret.read_text() != self.text,
        }
        return [what for what, has in happened.items() if has]

    def reset(self) -> None:
        """Forgets what has happened."""
        self.connections = 0
        self.written.unlink(missing_ok=True)
        self.secret.write_text(self.text)

    def _count(self) -> None:
        while True:
            self._listener.accept()[0].close()
            self.connections += 1
