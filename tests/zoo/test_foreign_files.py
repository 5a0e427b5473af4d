"""Names of files in imports and archives: one rule says which lead out of a folder. What is said of an empty file."""

from __future__ import annotations

import io
import tarfile
import zipfile

import pytest

from frostline_zoo.errors import InvalidError
from frostline_zoo.foreign.archive import opened_archive
from frostline_zoo.foreign.files import checked_member_name
from frostline_zoo.foreign.formats import FORMATS, format_of
from frostline_zoo.foreign.tarball import members_of

LEADS_OUT = ["../x", "a/../../x", "/x", "a\\x", "C:x", "a\0x"]


def zipped(name: str) -> memoryview:
    content, info = io.BytesIO(), zipfile.ZipInfo("x")
    info.filename = name  # which would be cut at a NUL above
    with zipfile.ZipFile(content, "w") as file:
        file.writestr(info, b"x")
    return memoryview(content.getvalue())


def tarred(name: str) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as file:
        file.addfile(tarfile.TarInfo(name))
    return content.getvalue()


@pytest.mark.parametrize("name", LEADS_OUT)
def test_a_name_that_leads_out_is_refused_wherever_it_stands(name: str) -> None:
    with pytest.raises(InvalidError, match="cannot name a file of an import"):
        checked_member_name(name, "member.name")
    with pytest.raises(InvalidError, match="points outside of it"), opened_archive(zipped(name)):
        pass
    if "\0" not in name:  # where a name in a tarball ends
        with pytest.raises(InvalidError, match="points outside of it"):
            members_of(tarred(name))


@pytest.mark.parametrize("name", ["x", "a/b.x", "a..b", "layer:0"])
def test_a_name_that_stays_within_is_taken_wherever_it_stands(name: str) -> None:
    assert checked_member_name(name, "member.name") == name
    with opened_archive(zipped(name)) as archive:
        assert archive.names == {name}
    assert list(members_of(tarred(name))) == [name]


def test_an_empty_file_is_told_all_formats() -> None:
    with pytest.raises(InvalidError) as refused:
        format_of("x.onnx", b"")
    assert all(format in refused.value.message for format in FORMATS)
