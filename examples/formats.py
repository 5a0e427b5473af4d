"""Prints the worked examples of docs/formats.md: `python examples/formats.py`. tests/test_formats.py compares the two.

Every figure comes from the code that the server runs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from xxhash import xxh3_64_hexdigest

from frostline_server.features.segment import feature_keys, key_hashes, row_hashes, write_segment
from frostline_server.features.side_by_side import PAGE_BYTES
from frostline_zoo.blobs.local import LocalBlobStore
from frostline_zoo.digests import canonical_json, digest_of, digest_of_json
from frostline_zoo.examples.lists import ExampleList
from frostline_zoo.examples.shards import shard_pieces
from frostline_zoo.examples.spec import ExampleSpec, contents_digests
from frostline_zoo.identity import layer_digest, reduced_config, trunk_digests
from frostline_zoo.manifest import Call, Input, Layer, Manifest, Parameter, TensorRef
from frostline_zoo.tensors import decode_tensors, encode_tensors


def canonical() -> Iterator[str]:
    """Canonical JSON and the digest of a value of a kind."""
    value = {"units": 5, "activation": "softmax", "scale": [1.0, 0.1, 1e-07], "name": "Köln", "bias": None}
    yield canonical_json(value).decode()
    yield digest_of_json("layer", value)


def tensors() -> Iterator[str]:
    """A layer's blob: 16 bytes a line, its digest, and its place in the data folder."""
    content = encode_tensors({"kernel": np.array([[1, 2], [3, 4]], "f4"), "bias": np.array([0.5, -1], "f4")})
    for start in range(0, len(content), 16):
        line = content[start : start + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in line)
        yield f"{start:04x}  {line.hex(' '):<47}  {text}"
    yield f"{len(content)} bytes, {digest_of(content)}"
    with tempfile.TemporaryDirectory() as data:
        store = LocalBlobStore(Path(data))
        yield f"DATA/{store.local_path(store.put(content)).relative_to(data)}"


def networks() -> Iterator[str]:
    """A network of one dense layer: what is hashed, and the digests, from its weights up to its manifest."""
    blob = digest_of(encode_tensors({"kernel": np.array([[1, 2], [3, 4]], "f4"), "bias": np.array([0.5, -1], "f4")}))
    config = {"units": 2, "activation": "relu", "use_bias": True, "dtype": "float32", "bias_initializer": None}
    parameters = (Parameter("kernel", (2, 2), "float32"), Parameter("bias", (2,), "float32"))
    call = Call([{"tensor": ["x", 0, 0]}])
    layer = Layer("low", "Dense", config, layer_digest("Dense", config, blob), blob, parameters, True, (call,))
    manifest = Manifest((Input("x", (2,), "float32"),), (layer,), (TensorRef("low"),))
    yield from _hashed("layer", {"class": "Dense", "config": reduced_config("Dense", config), "weights": blob})
    entry = {"index": 0, "shape": [2], "dtype": "float32", "preprocessing": manifest.preprocessing.to_json()}
    yield from _hashed("input", entry)
    digests = trunk_digests(manifest)
    below = {"tensor": digests[TensorRef("x")]}
    made = {"layer": layer.digest, "args": [below], "kwargs": {}, "output": 0}
    yield from _hashed("trunk", made)
    yield f"trunk digest of low's output: {digests[TensorRef('low')]}"
    yield f"manifest: {len(manifest.encode())} bytes, {manifest.digest}"


def _hashed(kind: str, value: Any) -> Iterator[str]:
    yield f"{kind} {canonical_json(value).decode()}"
    yield f"  {digest_of_json(kind, value)}"


def datasets() -> Iterator[str]:
    """Two examples, the shard that holds them, and the list of a dataset with their labels."""
    spec, rows = ExampleSpec("uint8", (2,)), np.array([[1, 2], [3, 4]], np.uint8)
    digests = contents_digests(spec, [row.tobytes() for row in rows])
    for row, digest in zip(rows, digests, strict=True):
        yield f'SHA-256("frostline.example.v1\\n{spec}\\n" {row.tobytes().hex(" ")})'
        yield f"  {digest.tobytes().hex()}"
    shard = b"".join(bytes(piece) for piece in shard_pieces(spec, digests, [rows.tobytes()], []))
    listed = ExampleList(digests, np.array([0, 1])).encode()
    for what, content in (("shard", shard), ("list", listed)):
        yield f"{what} {content[8 : content.index(b'}}') + 2].decode()}"
        yield f"  {len(content)} bytes, {digest_of(content)}"


def features() -> Iterator[str]:
    """A segment with one row, for the example (1, 2) and a made-up trunk."""
    trunk = digest_of(b"a trunk")
    digests = contents_digests(ExampleSpec("uint8", (2,)), [bytes([1, 2])])
    keys, rows = feature_keys(digests), np.array([[1.0, 2.0, 3.0]], "f4").view(np.uint8)
    yield f"owner         {trunk} float32"
    yield f"example       sha256:{digests.tobytes().hex()}"
    yield f"key           {' '.join(f'{word:016x}' for word in keys[0])}"
    yield f"row           {rows.tobytes().hex(' ', 4)}"
    yield f"XXH3(owner)   {xxh3_64_hexdigest(f'{trunk} float32'.encode())}"
    yield f"h(key)        {key_hashes(keys)[0]:016x}"
    yield f"XXH3(row)     {row_hashes(rows)[0]:016x}"
    with tempfile.TemporaryDirectory() as folder:
        path = write_segment(Path(folder), 0, f"{trunk} float32", keys, [rows])
        yield f"checksum      {decode_tensors(path.read_bytes())['checksums'][0]:016x}"
        yield f"segment       a page and {path.stat().st_size - PAGE_BYTES} bytes"


EXAMPLES = (canonical, tensors, networks, datasets, features)

if __name__ == "__main__":
    for example in EXAMPLES:
        print(f"# {example.__doc__}", *example(), "", sep="\n")
