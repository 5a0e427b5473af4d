"""The files of one import, in one piece of memory: bytes, and which of them are whose."""

from __future__ import annotations

import io
import mmap
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self, cast

from typing_extensions import Buffer

from frostline_zoo.errors import InvalidError


class Member(NamedTuple):
    """One file of an import: its name, which may have folders in it, and where its bytes are, in bytes."""

    name: str
    offset: int
    size: int


def leads_out(name: str) -> bool:
    """Whether a member's name is a path that, on some system, leads out of the folder it is put into."""
    is_absolute = name.startswith("/") or name[1:2] == ":"  # C:x is of another drive
    return is_absolute or "\\" in name or "\0" in name or ".." in name.split("/")


def checked_member_name(name: str, field: str) -> str:
    """Returns `name` where it can name a file of an import: nothing that could lead out of a folder, or mislead an eye.

    Raises:
        InvalidError: it cannot; `field` says where it stood.
    """
    if (
        not 0 < len(name) <= 200
        or not name.isprintable()  # marks that turn the direction of writing are not
        or leads_out(name)
        or any(part in ("", ".") for part in name.split("/"))
    ):
        text = f"{name[:80]!r} cannot name a file of an import: use a relative name without .., of 1 to 200 characters"
        raise InvalidError(text, reason="BAD_NAME", field=field)
    return name


class Files(Mapping[str, bytes]):
    """The files by name."""

    def __init__(self, content: Buffer, members: Sequence[Member]) -> None:
        self._content = memoryview(content)
        self._members = {member.name: member for member in members}

    @classmethod
    def of(cls, path: Path, beside: Sequence[Path] = ()) -> Self:
        """Returns a file on disk, mapped where it is alone, with others beside it."""
        size = path.stat().st_size
        if beside:
            contents = [each.read_bytes() for each in (path, *beside)]
            starts = accumulate(map(len, contents), initial=0)
            members = [
                Member(each.name, start, len(content))
                for each, start, content in zip((path, *beside), starts, contents, strict=False)
            ]
            return cls(b"".join(contents), members)
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        return cls(content, [Member(path.name, 0, size)])

    def view(self, name: str) -> memoryview:
        """Returns a file's bytes, not copied. Raises KeyError."""
        _, offset, size = self._members[name]
        return self._content[offset : offset + size]

    def open(self, name: str) -> BinaryIO:
        """Returns a file to be read from, not copied. Raises KeyError."""
        return reading(self.view(name))

    def views(self) -> dict[str, memoryview]:
        """Returns all files' bytes, not copied."""
        return {name: self.view(name) for name in self}

    def __getitem__(self, name: str) -> bytes:
        return bytes(self.view(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


def reading(content: memoryview) -> BinaryIO:
    """Returns bytes in memory as a file to be read from, not copied.

    A read takes no more memory than there are bytes, whatever size a damaged header asks for.
    """
    return cast(BinaryIO, _Reading(content))


class _Reading(io.RawIOBase):
    """Bytes in memory as a file."""

    def __init__(self, content: memoryview) -> None:
        self._content = content
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        rest = len(self._content) - self._at
        piece = bytes(self._content[self._at : self._at + (rest if size is None or size < 0 else min(size, rest))])
        self._at += len(piece)
        return piece

    def readinto(self, buffer: Buffer) -> int:
        piece = self._content[self._at : self._at + memoryview(buffer).nbytes]
        memoryview(buffer).cast("B")[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._content)}[whence]
        if start + offset < 0:
            raise ValueError("a place before the start")
        self._at = min(start + offset, len(self._content))
        return self._at
