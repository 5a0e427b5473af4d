"""Weights are read where they lie in a file: a copy of them all is memory that the jail has not."""

from __future__ import annotations

import io
import tarfile
import zipfile
from typing import Any

import numpy as np

from frostline_zoo.foreign.archive import opened_archive
from frostline_zoo.foreign.onnx_reader import read_onnx
from frostline_zoo.foreign.tarball import members_of
from tests.zoo.onnx_samples import files_of, model, node, numbers

CONTENT = bytes(range(256)) * 16


def lies_in(part: Any, whole: bytes | memoryview) -> bool:
    array = part if isinstance(part, np.ndarray) else np.frombuffer(part, np.uint8)
    return np.shares_memory(array, np.frombuffer(whole, np.uint8))


def test_a_member_of_an_archive_that_is_not_packed() -> None:
    for kind, in_place in ((zipfile.ZIP_STORED, True), (zipfile.ZIP_DEFLATED, False)):
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", kind) as file:
            file.writestr("a/b", CONTENT)
        whole = made.getvalue()
        with opened_archive(memoryview(whole)) as archive:
            content = archive.read("a/b", len(CONTENT))
        assert (bytes(content), lies_in(content, whole)) == (CONTENT, in_place)


def test_a_member_of_a_tarball_that_is_not_packed() -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as file:
        member = tarfile.TarInfo("a/b")
        member.size = len(CONTENT)
        file.addfile(member, io.BytesIO(CONTENT))
    whole = made.getvalue()
    found = members_of(whole)
    assert (bytes(found["a/b"]), lies_in(found["a/b"], whole)) == (CONTENT, True)


def test_the_tensors_of_an_onnx_file() -> None:
    nodes = [node("Gemm", "x w -> t", transB=1), node("Reshape", "t to -> u"), node("Conv", "u k -> y")]
    weights = {"w": numbers(32, 4), "to": np.array([0, 2, 4, 4]), "k": numbers(3, 2, 3, 3)}
    whole = model(nodes, (1, 4), weights).SerializeToString()
    files = files_of(net__onnx=whole)
    kept = [array for layer in read_onnx(files, "net.onnx").layers for array in layer.weights]
    assert [lies_in(array, files.view("net.onnx")) for array in kept] == [True, True]
