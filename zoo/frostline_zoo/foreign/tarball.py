"""Tarballs read as data: regular files into memory, with every byte counted. Nothing is unpacked to disk."""

from __future__ import annotations

import tarfile
import zlib

from frostline_zoo.errors import ExhaustedError
from frostline_zoo.foreign.archive import MAX_EXPANSION, MAX_MEMBERS, bad
from frostline_zoo.foreign.files import leads_out, reading

MAX_BYTES = 4 << 30
_SMALL = 1 << 20
_GZIP = b"\x1f\x8b"
_PIECE_BYTES = 1 << 20
# The latter of headers that tarfile takes for whole.
_DAMAGED = (tarfile.TarError, EOFError, OSError, zlib.error, ValueError, IndexError, OverflowError, RecursionError)


def members_of(content: bytes | memoryview) -> dict[str, memoryview]:
    """Returns the files in a tarball, packed by gzip or not, by their names, as views of one piece of memory.

    Raises:
        InvalidError: it is damaged, or a member is a link, a device, doubled, or named like a path out of the archive.
        ExhaustedError: it unpacks to more than 20 times its size or 4 GiB (LIMIT_INFLATE), or to too many files.
    """
    found: dict[str, memoryview] = {}
    try:
        whole = _unpacked(memoryview(content))
        with tarfile.open(fileobj=reading(whole), mode="r:") as archive:
            for count, member in enumerate(archive):
                if count >= MAX_MEMBERS:
                    raise ExhaustedError(f"the archive has more than {MAX_MEMBERS} members", reason="LIMIT_MEMBERS")
                name = member.name.removeprefix("./")
                _check(member, name)
                if name in found:
                    raise bad(f"it holds {name[:80]!r} twice")
                if member.isreg():
                    found[name] = whole[member.offset_data : member.offset_data + member.size]
                    if len(found[name]) != member.size:
                        raise bad("it is cut short")
    except _DAMAGED as error:
        raise bad("it is damaged or cut short") from error
    return found


def _unpacked(content: memoryview) -> memoryview:
    if content[:2] != _GZIP:
        return content
    limit = min(MAX_BYTES, _SMALL + MAX_EXPANSION * len(content))
    unpacking, whole = zlib.decompressobj(wbits=31), bytearray()
    for start in range(0, len(content), _PIECE_BYTES):  # piece by piece, so that it is in memory once
        whole += unpacking.decompress(content[start : start + _PIECE_BYTES], limit + 1 - len(whole))
        if len(whole) > limit:
            raise ExhaustedError(f"the archive unpacks to more than {limit:,} bytes", reason="LIMIT_INFLATE")
        if unpacking.eof:
            return memoryview(whole)
    raise bad("it is cut short")


def _check(member: tarfile.TarInfo, name: str) -> None:
    if leads_out(name):
        raise bad(f"the member {name[:80]!r} points outside of it")
    if not (member.isreg() or member.isdir()) or member.issparse():
        raise bad(f"the member {name[:80]!r} is a link, a device or has holes")
