"""The files of an import as they arrive, one after the other, and which of the bytes are whose."""

from __future__ import annotations

from frostline_zoo.errors import ExhaustedError, InvalidError
from frostline_zoo.foreign.files import Member

MAX_FILES = 1_000


class Arriving:
    """Counts files and bytes, and refuses too many; `size` is in bytes."""

    def __init__(self, largest_bytes: int) -> None:
        self.size = 0
        self._largest = largest_bytes
        self._starts: list[tuple[str, int]] = []

    def file(self, name: str) -> None:
        """Begins a file. Raises ExhaustedError."""
        self._starts.append((name, self.size))
        if len(self._starts) > MAX_FILES:
            raise ExhaustedError(f"an import has at most {MAX_FILES} files", reason="LIMIT_MEMBERS")

    def data(self, piece: bytes) -> None:
        """Takes the next bytes of the file. Raises ExhaustedError."""
        self.size += len(piece)
        if self.size > self._largest:
            raise too_large(self._largest)

    def members(self) -> list[Member]:
        """Returns the files. Raises InvalidError where two have one name."""
        if len(dict(self._starts)) != len(self._starts):
            raise InvalidError("two files of the import have one name", reason="BAD_NAME", field="member.name")
        ends = [*(start for _, start in self._starts[1:]), self.size]
        return [Member(name, start, end - start) for (name, start), end in zip(self._starts, ends, strict=True)]


def too_large(largest_bytes: int, what: str = "the file") -> ExhaustedError:
    """Returns the refusal of an import that is larger than the server takes."""
    return ExhaustedError(f"{what} is too large: this server takes at most {largest_bytes} bytes", reason="TOO_LARGE")
