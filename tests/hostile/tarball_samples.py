"""Hostile tarballs: links, devices, headers without end, and bombs where a SavedModel is expected."""

from __future__ import annotations

import io
import struct
import tarfile
import zlib
from collections.abc import Iterator

from tests.hostile.sample import EXHAUSTED, INVALID, Canaries, Sample
from tests.hostile.saved_model_samples import FILES

MEBIBYTE = 1 << 20
BOMB_MEBIBYTES = 600


def samples(canaries: Canaries) -> Iterator[Sample]:
    """Yields M46 and M47."""
    folder, secret = str(canaries.folder), str(canaries.secret)
    through, file = _member("variables", tarfile.SYMTYPE, folder), _member("variables/written")
    hard, onto = _member("variables", tarfile.LNKTYPE, secret), _member("variables")
    above = "../" * 20 + str(canaries.written).lstrip("/")
    for number, what, members in [
        ("M46a", "a link, and a file through it", [through, file]),
        ("M46b", "a link out of it", [_member("saved_model.pb", tarfile.SYMTYPE, secret)]),
        ("M46c", "a hard link to another file, and that written", [hard, onto]),
        ("M46d", "a device", [_member("saved_model.pb", tarfile.CHRTYPE)]),
        ("M46e", "a pipe", [_member("saved_model.pb", tarfile.FIFOTYPE)]),
        ("M46f", "a file above the folder", [_member(above)]),
        ("M46g", "a file somewhere else", [_member(str(canaries.written))]),
        ("M46h", "headers of headers", [_member("x" * 200)] * 2_000),
    ]:
        content = _chained(members) if number == "M46h" else _tarball(members)
        yield Sample(number, what, "x.tar", content, INVALID, ("BAD_ARCHIVE",))
    what = f"{BOMB_MEBIBYTES} MiB in 600 KiB"
    yield Sample("M47a", what, "x.tar.gz", _bomb(), EXHAUSTED, ("LIMIT_INFLATE",))
    many = _tarball([_member(str(number)) for number in range(10_001)], b"")
    yield Sample("M47b", "10,001 members", "x.tar", many, EXHAUSTED, ("LIMIT_MEMBERS",))


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.devmajor, made.devminor = kind, link, 1, 5
    return made


def _tarball(members: list[tarfile.TarInfo], content: bytes = b"changed") -> bytes:
    """Returns a tarball of a good graph and of members, those that are files with that content."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for member in members:
            member.size = len(content) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(content))
        graph = _member("good/saved_model.pb")
        graph.size = len(FILES["saved_model.pb"])
        archive.addfile(graph, io.BytesIO(FILES["saved_model.pb"]))
    return whole.getvalue()


def _chained(members: list[tarfile.TarInfo]) -> bytes:
    """Returns a tarball whose headers say again and again that the next one has a long name."""
    long = members[0].tobuf(tarfile.GNU_FORMAT)
    return long[: -tarfile.BLOCKSIZE] * len(members) + _tarball([])


def _bomb() -> bytes:
    """Returns a packed tarball of one file of nothing but zeros, written a mebibyte at a time."""
    header = _member("variables/variables.data-00000-of-00001")
    header.size = BOMB_MEBIBYTES * MEBIBYTE
    start, zeros, packing = header.tobuf(), bytes(MEBIBYTE), zlib.compressobj(wbits=-15)
    pieces = [packing.compress(start) + packing.flush(zlib.Z_FULL_FLUSH)]
    piece = packing.compress(zeros) + packing.flush(zlib.Z_FULL_FLUSH)
    checksum = zlib.crc32(start)
    for _ in range(BOMB_MEBIBYTES):
        checksum = zlib.crc32(zeros, checksum)
    pieces += [piece] * BOMB_MEBIBYTES
    pieces.append(packing.flush())
    size = len(start) + BOMB_MEBIBYTES * MEBIBYTE
    return b"\x1f\x8b\x08" + bytes(7) + b"".join(pieces) + struct.pack("<II", checksum, size)
