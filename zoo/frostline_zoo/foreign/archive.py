"""Zip archives read as data: named members into memory, with every byte counted. Nothing is unpacked to disk."""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from frostline_zoo.errors import ExhaustedError, InvalidError
from frostline_zoo.foreign.files import leads_out, reading
from frostline_zoo.foreign.formats import unsafe_format

MAX_MEMBERS = 10_000
MAX_EXPANSION = 20
_SMALL = 1 << 20
_HEADER_BYTES = 30
_LENGTHS_AT = (26, 28)  # of the name and of what else stands between a member's header and its bytes
_PICKLED = ("data.pkl", "constants.pkl")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class Archive:
    """An archive whose members have been checked against one another."""

    names: frozenset[str]
    _file: zipfile.ZipFile
    _content: memoryview

    def read(self, name: str, limit_bytes: int) -> memoryview:
        """Returns a member's bytes, not copied where they are not packed.

        Raises:
            InvalidError: there is none of that name, or it is damaged.
            ExhaustedError: it unpacks to more than `limit_bytes`, or to more than 20 times its packed size.
        """
        if name not in self.names:
            raise bad(f"it has no {name}")
        info = self._file.getinfo(name)
        if info.file_size > min(limit_bytes, _SMALL + MAX_EXPANSION * info.compress_size):
            raise ExhaustedError(f"{name} unpacks to {info.file_size:,} bytes, too much", reason="LIMIT_INFLATE")
        with self._file.open(info) as member:  # which checks what stands before them
            content = self._stored(info) if _is_stored(info) else memoryview(member.read(info.file_size + 1))
        if len(content) != info.file_size:
            raise bad(f"{name} is not as long as it says")
        return content

    def _stored(self, info: zipfile.ZipInfo) -> memoryview:
        header = self._content[info.header_offset : info.header_offset + _HEADER_BYTES]
        before = _HEADER_BYTES + sum(int.from_bytes(header[at : at + 2], "little") for at in _LENGTHS_AT)
        start = info.header_offset + before
        content = self._content[start : start + info.compress_size]
        if zlib.crc32(content) != info.CRC:
            raise bad(f"{info.filename[:80]!r} is damaged")
        return content


def _is_stored(info: zipfile.ZipInfo) -> bool:
    return info.compress_type == zipfile.ZIP_STORED


@contextmanager
def opened_archive(content: memoryview) -> Iterator[Archive]:
    """Opens an archive, its list of members checked.

    Raises:
        InvalidError: it is damaged, or a member overlaps another, is encrypted, doubled, a link, or named like a path
            out of the archive (BAD_ARCHIVE); it is what PyTorch saves, which can run code (UNSAFE_FORMAT).
        ExhaustedError: it has too many members (LIMIT_MEMBERS).
    """
    try:
        with zipfile.ZipFile(reading(content)) as file:
            members = file.infolist()
            _check(members)
            yield Archive(frozenset(info.filename for info in members), file, content)
    except (zipfile.BadZipFile, EOFError, OSError, zlib.error, NotImplementedError, RuntimeError, ValueError) as error:
        raise bad("it is damaged or cut short") from error


def bad(what: str) -> InvalidError:
    """Returns the refusal of a damaged archive."""
    return InvalidError(f"the archive cannot be read: {what}; save the network again", reason="BAD_ARCHIVE")


def _check(members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MAX_MEMBERS:
        raise ExhaustedError(f"the archive has more than {MAX_MEMBERS} members", reason="LIMIT_MEMBERS")
    names: set[str] = set()
    end = 0
    for info in sorted(members, key=lambda member: member.header_offset):
        name = info.orig_filename
        if name.rpartition("/")[2] in _PICKLED:
            raise unsafe_format("a pickle in an archive, as PyTorch saves")
        if leads_out(name):
            raise bad(f"the member {name[:80]!r} points outside of it")
        if name in names:
            raise bad(f"it holds {name[:80]!r} twice")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise bad(f"the member {name[:80]!r} is a link")
        if info.flag_bits & 1 or info.compress_type not in _METHODS:
            raise bad(f"the member {name[:80]!r} is encrypted or packed in an unknown way")
        if info.header_offset < end:
            raise bad(f"the member {name[:80]!r} overlaps another")
        names.add(name)
        end = info.header_offset + _HEADER_BYTES + len(name.encode()) + info.compress_size
