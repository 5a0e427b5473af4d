"""Hostile HDF5 files, and tensor files that lie."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.hostile.keras_samples import dense, keras_file, lambda_layer, layer, network, pickled, weights
from tests.hostile.sample import EXHAUSTED, INVALID, TAKEN, Canaries, Sample

_OUTSIDE = ("EXTERNAL_REFERENCE",)
_BAD = ("BAD_HDF5",)


def legacy_file(*layers: dict[str, Any], **more: Any) -> bytes:
    """Returns a network as Keras 2 saved it; `more`: options of its datasets."""
    entry = {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 4], "dtype": "float32", "name": "x"}}
    plain = [{"class_name": each["class_name"], "config": each["config"]} for each in layers]
    config = {"class_name": "Sequential", "config": {"name": "n", "layers": [entry, *plain]}}
    content = io.BytesIO()
    with h5py.File(content, "w", **({"userblock_size": 512} if more.pop("userblock", False) else {})) as file:
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = "2.15.0"
        group = file.create_group("model_weights/d")
        group.attrs["weight_names"] = [b"d/kernel:0", b"d/bias:0"]
        group.create_dataset("d/kernel:0", data=np.ones((4, 3), "float32"), **more)
        group.create_dataset("d/bias:0", data=np.zeros(3, "float32"), **more)
    return content.getvalue()


def with_member(add: Callable[[h5py.Group], None]) -> bytes:
    """Returns a legacy file to one of whose groups something was added."""
    content = io.BytesIO(legacy_file(dense()))
    with h5py.File(content, "r+") as file:
        add(file.create_group("model_weights/more"))
    return content.getvalue()


def with_secret(canaries: Canaries) -> bytes:
    """Returns a good file in which the secret itself stands: who reads the file, reads that."""
    text = np.frombuffer(canaries.text.encode(), "u1")
    return with_member(lambda group: group.create_dataset("w", data=text))


def samples(canaries: Canaries, folder: Path) -> Iterator[Sample]:
    """Yields M23 to M33 but for M30, M59, M61 to M66, M74, M75, and benign ones; `folder` is for files of its own."""
    secret = str(canaries.secret)
    other = folder / "other.h5"
    with h5py.File(other, "w") as file:
        file["secret"] = np.frombuffer(canaries.text.encode(), "u1")

    def external_link(group: h5py.Group) -> None:
        group["w"] = h5py.ExternalLink(str(other), "secret")

    def soft_links(group: h5py.Group) -> None:
        group["a"], group["b"] = h5py.SoftLink("/model_weights/more/b"), h5py.SoftLink("/model_weights/more/a")

    def outside(group: h5py.Group) -> None:
        group.create_dataset("w", (16,), "u1", external=[(secret, 0, 16)])

    def virtual(group: h5py.Group) -> None:
        layout = h5py.VirtualLayout((16,), "u1")
        layout[:] = h5py.VirtualSource(str(other), "secret", (len(canaries.text),))[:16]
        group.create_virtual_dataset("w", layout)

    def bomb(group: h5py.Group) -> None:
        group.create_dataset("w", (200_000_000,), "f4", compression="gzip")

    def words(group: h5py.Group) -> None:
        group.create_dataset("w", data=["a", "b"])

    def references(group: h5py.Group) -> None:
        group.create_dataset("w", (2,), h5py.ref_dtype)

    def cycle(group: h5py.Group) -> None:
        group["w"] = group

    def unknown_filter(group: h5py.Group) -> None:
        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_chunk((4,))
        made.set_filter(32_099, h5py.h5z.FLAG_OPTIONAL, ())
        h5py.h5d.create(group.id, b"w", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((4,)), made)

    for number, what, add, status, reasons in [
        ("M23", "a link to another file", external_link, INVALID, _OUTSIDE),
        ("M24", "links in a circle", soft_links, INVALID, _OUTSIDE),
        ("M25", "numbers in another file", outside, INVALID, _OUTSIDE),
        ("M26", "a virtual array of another file", virtual, INVALID, _OUTSIDE),
        ("M27", "800 MB in 6 KiB", bomb, EXHAUSTED, ("LIMIT_INFLATE",)),
        ("M28a", "texts", words, INVALID, _BAD),
        ("M28b", "references", references, INVALID, _BAD),
        ("M29", "a group in itself", cycle, INVALID, _BAD),
        ("M33", "an unknown filter", unknown_filter, INVALID, _BAD),
    ]:
        yield Sample(number, what, "x.h5", with_member(add), status, reasons)
    in_archive = keras_file(network(dense()), h5=weights_with(external_link))
    yield Sample("M23k", "a link in an archive", "x.keras", in_archive, INVALID, _OUTSIDE)
    yield Sample("M31", "a lambda layer", "x.h5", legacy_file(lambda_layer(canaries)), INVALID, ("UNSAFE_LAYER",))
    block = b"#!/bin/sh\n" + legacy_file(dense(), userblock=True)[10:]
    yield Sample("M32a", "a script before it", "x.h5", block, INVALID, ("UNKNOWN_FORMAT",))
    inner = keras_file(network(dense()), h5=block)
    yield Sample("M32b", "a script before it, in an archive", "x.keras", inner, INVALID, _BAD)
    yield from _tensor_files(canaries)
    yield Sample("M74", "an empty file", "x.keras", b"", INVALID, ("UNKNOWN_FORMAT",))
    yield Sample("M75a", "HDF5 named .keras", "x.keras", legacy_file(dense()), INVALID, ("UNKNOWN_FORMAT",))
    yield Sample("M75b", ".keras named .h5", "x.h5", keras_file(network(dense())), INVALID, ("UNKNOWN_FORMAT",))
    yield Sample("B06", "a network of Keras 2", "x.h5", legacy_file(dense()), TAKEN)
    drop = layer("Dropout", name="drop", rate=0.5)
    yield Sample("B07", "one with dropout", "", legacy_file(dense(), drop), TAKEN)
    packed = legacy_file(dense(), compression="gzip", shuffle=True, fletcher32=True, chunks=True)
    yield Sample("B08", "one whose weights are packed", "x.hdf5", packed, TAKEN)


def weights_with(add: Callable[[h5py.Group], None]) -> bytes:
    content = io.BytesIO(weights())
    with h5py.File(content, "r+") as file:
        add(file.create_group("more"))
    return content.getvalue()


def tensor_file(header: str | dict[str, Any], body: bytes, header_bytes: int | None = None) -> bytes:
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack("<Q", len(text) if header_bytes is None else header_bytes) + text + body


def _tensor_files(canaries: Canaries) -> Iterator[Sample]:
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    text = json.dumps(entry)
    bad, body = ("BAD_SAFETENSORS",), bytes(8)
    many = "{" + ",".join(f'"tensor_{number}":{text}' for number in range(200_000)) + "}"
    for number, what, content, status, reasons in [
        ("M59", "a pickle", pickled(canaries), INVALID, ("UNSAFE_FORMAT",)),
        ("M61", "a header longer than the file", tensor_file({"a": entry}, body, 1 << 40), INVALID, bad),
        ("M62", "a header of 14 MB", tensor_file(many, body), EXHAUSTED, ("LIMIT_HEADER",)),
        ("M63", "tensors that overlap", tensor_file({"a": entry, "b": entry}, body), INVALID, bad),
        ("M64", "a shape that does not fit", tensor_file({"a": {**entry, "shape": [3]}}, body), INVALID, bad),
        ("M65", "a name twice", tensor_file(f'{{"a":{text},"a":{text}}}', body), INVALID, bad),
        ("M66", "bytes behind the last tensor", tensor_file({"a": entry}, body + b"PK\x05\x06"), INVALID, bad),
    ]:
        yield Sample(number, what, "x.safetensors", content, status, reasons)
