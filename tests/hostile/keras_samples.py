"""Hostile .keras files, and archives that are none: written by hand, with payloads that work where they are run."""

from __future__ import annotations

import base64
import io
import json
import marshal
import struct
import warnings
import zipfile
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from tests.hostile.sample import EXHAUSTED, INVALID, TAKEN, Canaries, Sample

Config = dict[str, Any]


def layer(class_name: str, module: str = "keras.layers", registered: str | None = None, **config: Any) -> Config:
    return {"module": module, "class_name": class_name, "config": config, "registered_name": registered}


def network(*layers: Config) -> Config:
    """Returns the configuration of a network of four numbers whose layers are these."""
    stack = [layer("InputLayer", batch_shape=[None, 4], dtype="float32", name="x"), *layers]
    return layer("Sequential", "keras", name="n", layers=stack, build_input_shape=[None, 4])


def dense(units: int = 3, **config: Any) -> Config:
    return layer("Dense", **{"name": "d", "units": units, **config})


def weights(dtype: Any = "float32", **more: Any) -> bytes:
    """Returns the HDF5 file of a dense layer 4 -> 3; `more`: options of its datasets."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        group = file.create_group("layers/dense/vars")
        group.create_dataset("0", data=np.ones((4, 3), dtype), **more)
        group.create_dataset("1", data=np.zeros(3, dtype), **more)
    return content.getvalue()


def archive(*members: tuple[str | zipfile.ZipInfo, bytes], packed: bool = False) -> bytes:
    content = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(content, "w", kind) as file:
        for name, data in members:
            file.writestr(name, data)
    return content.getvalue()


def keras_file(config: Any, *more: tuple[str | zipfile.ZipInfo, bytes], h5: bytes | None = None) -> bytes:
    metadata = json.dumps({"keras_version": "3.15.1", "date_saved": "2026-01-01@00:00:00"}).encode()
    parts = (("metadata.json", metadata), ("config.json", json.dumps(config).encode()))
    return archive(*parts, ("model.weights.h5", weights() if h5 is None else h5), *more)


def code_that_writes(canaries: Canaries) -> str:
    """Returns a function as Keras marshals those of lambda layers; called, it writes the canary."""
    scope: dict[str, Any] = {}
    exec(f"def payload(x):\n    open({str(canaries.written)!r}, 'w').close()\n    return x", scope)
    return base64.b64encode(marshal.dumps(scope["payload"].__code__)).decode()


def lambda_layer(canaries: Canaries) -> Config:
    code = {"class_name": "__lambda__", "config": {"code": code_that_writes(canaries), "defaults": None}}
    return layer("Lambda", name="evil", function=code)


def samples(canaries: Canaries) -> Iterator[Sample]:
    """Yields M01 to M22, M58, M60, M67, and benign ones."""
    yield from _of_configurations(canaries)
    yield from _of_archives(canaries)
    yield from _benign()


def _of_configurations(canaries: Canaries) -> Iterator[Sample]:
    evil, url = lambda_layer(canaries), f"http://127.0.0.1:{canaries.port}/words"
    write, read = str(canaries.written), str(canaries.secret)
    unsafe = ("UNSAFE_LAYER",)
    inner = layer("Sequential", "keras", name="inner", layers=[evil], build_input_shape=[None, 4])
    outside = ("EXTERNAL_REFERENCE", "UNSAFE_LAYER")  # these layers are not on the allow-list to begin with
    for number, what, config, reasons in [
        ("M01", "a lambda layer", network(evil), unsafe),
        ("M02a", "a lambda layer in a wrapper", network(layer("TimeDistributed", name="t", layer=evil)), unsafe),
        ("M02b", "a lambda layer in an inner network", network(inner), unsafe),
        ("M03a", "os.system", network(layer("system", "os", command=f"touch {write}")), unsafe),
        ("M03b", "builtins.exec", network(layer("exec", "builtins", name=f"open({write!r}, 'w')")), unsafe),
        ("M04", "get_file", network(layer("get_file", "keras.utils", fname="x", origin=url)), unsafe),
        ("M05", "enable_unsafe", network(layer("enable_unsafe_deserialization", "keras.config")), unsafe),
        ("M06", "words from a file", network(layer("StringLookup", name="s", vocabulary=read)), outside),
        ("M07a", "words from an address", network(layer("TextVectorization", name="s", vocabulary=url)), outside),
        ("M07b", "numbers from an address", network(layer("IntegerLookup", name="s", vocabulary=url)), outside),
        ("M07c", "units from an address", network(dense(units=url)), ("EXTERNAL_REFERENCE",)),  # type: ignore[arg-type]
        ("M08", "a module of PyTorch", network(layer("TorchModuleWrapper", name="t", module="gASV")), unsafe),
        ("M09", "a SavedModel", network(layer("TFSMLayer", name="t", filepath=read)), unsafe),
        ("M10", "a name that leads out", network(dense(name="../../x")), ("BAD_NAME",)),
        ("M11", "a registered class", network(layer("Dense", "mine", "mine>Dense", name="d", units=3)), unsafe),
        ("M12", "what is no layer", network(layer("FeatureSpace", "keras.utils", name="d")), unsafe),
        ("M20a", "60 million units for 12 numbers", network(dense(60_000_000)), ("BAD_WEIGHTS",)),
    ]:
        yield Sample(number, what, "x.keras", keras_file(config), INVALID, reasons)
    large = keras_file(network(dense(60_000), dense(60_000, name="e")))
    yield Sample("M20b", "14 GB of weights", "x.keras", large, EXHAUSTED, ("LIMIT_PARAMS",))
    deep = archive(("config.json", b"[" * 50_000 + b"]" * 50_000), ("model.weights.h5", weights()))
    yield Sample("M19", "JSON 50,000 deep", "x.keras", deep, INVALID, ("LIMIT_DEPTH",))


def pickled(canaries: Canaries) -> bytes:
    """Returns a pickle that writes the canary where it is loaded."""
    command = f"touch {canaries.written}".encode()
    return b"\x80\x04cposix\nsystem\nX" + struct.pack("<I", len(command)) + command + b"\x85R."


def _of_archives(canaries: Canaries) -> Iterator[Sample]:
    good, evil = network(dense()), pickled(canaries)
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    bad, unsafe = ("BAD_ARCHIVE",), ("UNSAFE_FORMAT",)
    whole = keras_file(good)
    for number, what, content, reasons in [
        ("M13", "a member above the folder", keras_file(good, ("../../evil", b"x")), bad),
        ("M14a", "an absolute member", keras_file(good, (str(canaries.written), b"x")), bad),
        ("M14b", "a member with backslashes", keras_file(good, ("a\\..\\..\\evil", b"x")), bad),
        ("M15", "a member that is a link", keras_file(good, (link, str(canaries.secret).encode())), bad),
        ("M16", "a configuration twice", keras_file(good, ("config.json", b"{}")), bad),
        ("M18", "members that overlap", overlapping(), bad),
        ("M21", "a member longer than it says", _patched(whole, 22, struct.pack("<I", 10)), bad),
        ("M22a", "an encrypted member", _patched(whole, 6, b"\x01\x00"), bad),
        ("M22b", "a member packed in an unknown way", _patched(whole, 8, b"\x63\x00"), bad),
        ("M58", "what PyTorch saves", archive(("x/data.pkl", evil), ("x/version", b"3")), unsafe),
        ("M60", "a TorchScript", archive(("x/code/m.py", b""), ("x/constants.pkl", evil)), unsafe),
        ("M67", "a packed pickle", b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(40), unsafe),
    ]:
        yield Sample(number, what, "", content, INVALID, reasons)
    yield Sample("M17", "600 MiB of blanks in 599 KiB", "x.keras", blanks(), EXHAUSTED, ("LIMIT_INFLATE",))


def blanks() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file, file.open("config.json", "w") as member:
        member.write(json.dumps(network(dense())).encode())
        for _ in range(600):
            member.write(b" " * (1 << 20))
    return content.getvalue()


def overlapping() -> bytes:
    alone = archive(("model.weights.h5", b"weights"))
    content = bytearray(archive(("config.json", alone[: alone.find(b"PK\x01\x02")]), ("model.weights.h5", b"weights")))
    struct.pack_into("<L", content, content.rfind(b"PK\x01\x02") + 42, 30 + len("config.json"))
    return bytes(content)


def _patched(content: bytes, at: int, value: bytes) -> bytes:
    """Returns an archive with a field of its last member's headers changed; the one in the directory is 2 further."""
    changed = bytearray(content)
    for signature, offset in ((b"PK\x03\x04", at), (b"PK\x01\x02", at + 2)):
        start = changed.rfind(signature) + offset
        changed[start : start + len(value)] = value
    return bytes(changed)


def _benign() -> Iterator[Sample]:
    good = network(dense())
    softened = network(
        dense(), layer("Dropout", name="drop", rate=0.5), layer("Activation", name="a", activation="relu")
    )
    half = weights("float16")
    packed = weights(compression="gzip", chunks=True)
    yield Sample("B01", "a plain network", "x.keras", keras_file(good), TAKEN)
    yield Sample("B02", "one with dropout", "x.keras", keras_file(softened), TAKEN)
    yield Sample("B03", "one of half precision", "x.keras", keras_file(network(dense(dtype="float16")), h5=half), TAKEN)
    yield Sample("B04", "one whose weights are packed", "x.keras", keras_file(good, h5=packed), TAKEN)
    yield Sample("B05", "one with assets", "", keras_file(good, ("assets/words.txt", b"a\nb")), TAKEN)
