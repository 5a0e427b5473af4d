"""Tarballs read as data: regular files into memory, with every byte counted. Nothing is unpacked to disk."""

from __future__ import annotations

import io
import tarfile
import zlib

from frostline_zoo.errors import ExhaustedError
from frostline_zoo.foreign.archive import MAX_EXPANSION, MAX_MEMBERS, bad

MAX_BYTES = 4 << 30
_SMALL = 1 << 20
_GZIP = b"\x1f\x8b"


def members_of(content: bytes) -> dict[str, bytes]:
    """Returns the files in a tarball, packed by gzip or not, by their names.

    Raises:
        InvalidError: it is damaged, or a member is a link, a device, doubled, or named like a path out of the archive.
        ExhaustedError: it unpacks to more than 20 times its size or 4 GiB (LIMIT_INFLATE), or to too many files.
    """
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(_unpacked(content)), mode="r:") as archive:
            for count, member in enumerate(archive):
                if count >= MAX_MEMBERS:
                    raise ExhaustedError(f"the archive has more than {MAX_MEMBERS} members", reason="LIMIT_MEMBERS")
                name = member.name.removeprefix("./")
                _check(member, name)
                if name in found:
                    raise bad(f"it holds {name[:80]!r} twice")
                file = archive.extractfile(member) if member.isreg() else None
                if file is not None:
                    found[name] = file.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error, ValueError, RecursionError) as error:
        raise bad("it is damaged or cut short") from error
    return found


def _unpacked(content: bytes) -> bytes:
    if content[:2] != _GZIP:
        return content
    limit = min(MAX_BYTES, _SMALL + MAX_EXPANSION * len(content))
    unpacking = zlib.decompressobj(wbits=31)
    whole = unpacking.decompress(content, limit + 1)
    if len(whole) > limit:
        raise ExhaustedError(f"the archive unpacks to more than {limit:,} bytes", reason="LIMIT_INFLATE")
    if not unpacking.eof:
        raise bad("it is cut short")
    return whole


def _check(member: tarfile.TarInfo, name: str) -> None:
    if name.startswith("/") or "\\" in name or "\0" in name or ".." in name.split("/"):
        raise bad(f"the member {name[:80]!r} points outside of it")
    if not (member.isreg() or member.isdir()) or member.issparse():
        raise bad(f"the member {name[:80]!r} is a link, a device or has holes")
