"""The feature store: what was appended is read back bit for bit, and what was changed on disk is never read."""

from __future__ import annotations

import os
import random
from mmap import PAGESIZE
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load

from frostline_server.features import rows, side_by_side
from frostline_server.features.segment import feature_keys, key_hashes, row_hashes, segment_bytes
from frostline_server.features.store import FeatureStore, TrunkRows
from frostline_zoo.errors import ExhaustedError

TRUNK = "sha256:" + "a1" * 32
OTHER = "sha256:" + "b2" * 32
RNG = np.random.default_rng(0)


def keys(count: int, seed: int = 1) -> np.ndarray:
    return feature_keys(np.random.default_rng(seed).integers(0, 256, (count, 32), dtype=np.uint8))


def filled(root: Path, count: int = 50, shape: tuple[int, ...] = (3, 5)) -> tuple[np.ndarray, np.ndarray]:
    rows = RNG.standard_normal((count, *shape)).astype(np.float32)
    trunk = FeatureStore(root).open(TRUNK, shape, "float32")
    for start in range(0, count, 20):
        trunk.append(keys(count)[start : start + 20], rows[start : start + 20])
    return keys(count), rows


def read(trunk: TrunkRows, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    out = np.full((len(wanted), *trunk.shape), np.nan, trunk.dtype)
    return trunk.read(trunk.find(wanted), out), out


@pytest.mark.parametrize(
    ("shape", "dtype"), [((3, 5), "float32"), ((), "float32"), ((7,), "float16"), ((2, 2), "float64")]
)
def test_rows_come_back_bit_for_bit_in_any_order(tmp_path: Path, shape: tuple[int, ...], dtype: str) -> None:
    rows = RNG.standard_normal((30, *shape)).astype(dtype)
    FeatureStore(tmp_path).open(TRUNK, shape, dtype).append(keys(30), rows)
    order = RNG.permutation(30)
    present, out = read(FeatureStore(tmp_path).open(TRUNK, shape, dtype), keys(30)[order])
    assert present.all()
    assert out.tobytes() == rows[order].tobytes()


def test_rows_come_in_pieces_into_one_file_where_they_begin_with_a_page(tmp_path: Path) -> None:
    rows, store = RNG.standard_normal((30, 3)).astype(np.float32), FeatureStore(tmp_path)
    store.append(store.open(TRUNK, (3,), "float32"), keys(30), rows[:7], rows[7:8], rows[8:])
    present, out = read(store.open(TRUNK, (3,), "float32"), keys(30))
    assert present.all()
    assert out.tobytes() == rows.tobytes()
    (segment,) = tmp_path.rglob("*.safetensors")
    content = segment.read_bytes()
    assert load(content)["rows"].tobytes() == rows.tobytes()
    assert content.index(rows.tobytes()) % PAGESIZE == 0
    assert len(content) == segment_bytes(30, 12)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((3, 5), "float32"), ((7,), "float16"), ((4, 512), "float32"), ((0,), "float32")]
)
def test_rows_come_back_from_the_disk_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], dtype: str
) -> None:
    monkeypatch.setattr(TrunkRows, "_is_on_disk", lambda *_: True)  # whatever the system keeps in memory of new files
    rows = RNG.standard_normal((50, *shape)).astype(dtype)
    trunk = FeatureStore(tmp_path).open(TRUNK, shape, dtype)
    for start in range(0, 40, 20):
        trunk.append(keys(40)[start : start + 20], rows[start : start + 20])
    order = RNG.permutation(50)
    wanted = np.concatenate([keys(40), keys(10, seed=7)])[order]
    present, out = read(trunk, wanted)
    assert (present == (order < 40)).all()
    assert out[present].tobytes() == rows[order][present].tobytes()
    if not rows[0].nbytes:
        return
    first, second = sorted(tmp_path.rglob("*.safetensors"))
    first.unlink()
    content = bytearray(second.read_bytes())
    content[-1] ^= 1  # of the last row's last number
    second.write_bytes(content)
    present, out = read(trunk, wanted)
    assert (present == ((order >= 20) & (order < 39))).all()
    assert out[present].tobytes() == rows[order][present].tobytes()
    second.write_bytes(content[:-1])
    assert not read(trunk, wanted)[0].any()


def test_rows_of_other_examples_trunks_and_views_are_not_there(tmp_path: Path) -> None:
    stored, _ = filled(tmp_path)
    store = FeatureStore(tmp_path)
    assert not read(store.open(TRUNK, (3, 5), "float32"), keys(50, seed=2))[0].any()
    assert not read(store.open(OTHER, (3, 5), "float32"), stored)[0].any()
    another_view = stored.copy()
    another_view[:, 4] = 1
    assert not read(store.open(TRUNK, (3, 5), "float32"), another_view)[0].any()


def test_a_hundred_random_injuries_never_change_a_row_that_is_read(tmp_path: Path) -> None:
    stored, rows = filled(tmp_path)
    whole = {path: path.read_bytes() for path in tmp_path.rglob("*.safetensors")}
    chance = random.Random(0)
    lost = 0
    for _ in range(100):
        for path, content in whole.items():
            path.write_bytes(content)
        injure(chance, list(whole))
        present, out = read(FeatureStore(tmp_path).open(TRUNK, (3, 5), "float32"), stored)
        assert (out[present] == rows[present]).all()
        lost += not present.all()
    assert lost == 100  # every injury hit something, so every one was seen


def injure(chance: random.Random, paths: list[Path]) -> None:
    path = chance.choice(paths)
    content = bytearray(path.read_bytes())
    body = 8 + int.from_bytes(content[:8], "little")
    kind = chance.randrange(5)
    if kind == 0:  # one bit
        content[chance.randrange(body, len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
    elif kind == 1:  # cut short
        path.write_bytes(content[: chance.randrange(len(content))])
    elif kind == 2:
        path.unlink()
    elif kind == 3:  # two rows swapped
        content[-120:-60], content[-60:] = content[-60:], content[-120:-60]
        path.write_bytes(content)
    else:  # two keys swapped: each row and its checksum are what was once stored, under the other's key
        one = len(content) - (len(content) - body) // (60 + 48) * 60 - 40
        content[one - 40 : one], content[one : one + 40] = content[one : one + 40], content[one - 40 : one]
        path.write_bytes(content)


def test_a_row_that_is_computed_again_replaces_the_injured_one(tmp_path: Path) -> None:
    stored, rows = filled(tmp_path)
    path = sorted(tmp_path.rglob("*.safetensors"))[0]
    content = bytearray(path.read_bytes())
    content[-1] ^= 255
    path.write_bytes(content)
    trunk = FeatureStore(tmp_path).open(TRUNK, (3, 5), "float32")
    missing = ~read(trunk, stored)[0]
    assert missing.sum() == 1
    trunk.append(stored[missing], rows[missing])
    assert read(FeatureStore(tmp_path).open(TRUNK, (3, 5), "float32"), stored)[0].all()


def test_another_trunks_segment_in_the_folder_is_not_read(tmp_path: Path) -> None:
    stored, rows = filled(tmp_path)
    FeatureStore(tmp_path).open(OTHER, (3, 5), "float32").append(stored, rows)
    for path in (tmp_path / TRUNK[7:] / "float32").glob("*.safetensors"):
        path.rename(tmp_path / OTHER[7:] / "float32" / f"9{path.name[1:]}")
    trunk = FeatureStore(tmp_path).open(OTHER, (3, 5), "float32")
    assert not read(trunk, stored)[0].any()


def test_trunks_are_listed_with_rows_and_bytes(tmp_path: Path) -> None:
    filled(tmp_path)
    (info,) = FeatureStore(tmp_path).trunks()
    assert (info.digest, info.row_count, info.shape, info.dtype) == (TRUNK, 50, (3, 5), "float32")
    assert info.size_bytes == sum(path.stat().st_size for path in tmp_path.rglob("*.safetensors"))


def test_rows_of_another_dtype_in_the_folder_are_not_read(tmp_path: Path) -> None:
    rows, store = RNG.standard_normal((20, 8)).astype(np.float16), FeatureStore(tmp_path)
    store.open(TRUNK, (8,), "float16").append(keys(20), rows)
    (segment,) = tmp_path.rglob("*.safetensors")
    (tmp_path / TRUNK[7:] / "bfloat16").mkdir()
    segment.rename(tmp_path / TRUNK[7:] / "bfloat16" / segment.name)
    other = store.open(TRUNK, (8,), "bfloat16")
    assert other.find(keys(20)).are_there.all()
    assert not read(other, keys(20))[0].any()


@pytest.mark.parametrize("size", [1, 3, 16, 100, 240, 1000])
def test_the_hash_sees_every_flipped_bit_and_the_same_bit_in_several_places(size: int) -> None:
    row = RNG.integers(0, 256, (1, size), np.uint8)
    before = row_hashes(row)[0]
    for place in range(size):
        for bit in range(8):
            flipped = row.copy()
            flipped[0, place] ^= 1 << bit
            assert row_hashes(flipped)[0] != before
    for step in (1, 2, 4, 8):
        for bit in range(8):
            flipped = row.copy()
            flipped[0, ::step] ^= 1 << bit
            assert row_hashes(flipped)[0] != before


def test_a_row_is_not_taken_for_that_of_a_key_with_the_same_hash(tmp_path: Path) -> None:
    one = keys(1)
    other = one.copy()
    other[0, 1] ^= np.uint64(1)  # the hash is made of the other words
    assert key_hashes(one) == key_hashes(other)
    trunk = FeatureStore(tmp_path).open(TRUNK, (3,), "float32")
    trunk.append(one, np.ones((1, 3), np.float32))
    assert not read(trunk, other)[0].any()
    trunk.append(other, np.zeros((1, 3), np.float32))
    assert read(trunk, other)[1].tolist() == [[0, 0, 0]]
    assert not read(trunk, one)[0].any()  # computed again, which costs time and nothing else


def test_views_of_one_example_have_keys_of_different_hashes() -> None:
    digest = RNG.integers(0, 256, (1, 32), np.uint8)
    assert len({int(key_hashes(feature_keys(digest, view))[0]) for view in range(1000)}) == 1000


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("on_disk", [True, False])
def test_rows_are_read_in_the_order_of_the_disk_and_in_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_order: bool, on_disk: bool
) -> None:
    monkeypatch.setattr(TrunkRows, "_is_on_disk", lambda *_: on_disk)
    stored, rows = filled(tmp_path)
    trunk = FeatureStore(tmp_path).open(TRUNK, (3, 5), "float32")
    found = trunk.find(stored)
    order = np.argsort(found.addresses) if in_order else RNG.permutation(50)
    out = np.empty_like(rows)
    assert trunk.read(found.at(order), out).all()
    assert out.tobytes() == rows[order].tobytes()


def test_rows_that_were_found_before_others_were_stored_are_known_to_be_old(tmp_path: Path) -> None:
    stored, rows = filled(tmp_path)
    trunk = FeatureStore(tmp_path).open(TRUNK, (3, 5), "float32")
    found, order = trunk.find(stored), RNG.permutation(50)
    assert trunk.is_newest(found)
    out = np.empty_like(rows)
    assert trunk.read(found.at(order), out).all()
    assert (out == rows[order]).all()
    trunk.append(keys(10, seed=3), rows[:10])
    assert not trunk.is_newest(found)


def test_rows_of_a_file_that_was_cut_short_after_they_were_found_are_not_touched(tmp_path: Path) -> None:
    """To touch what a mapped file has lost would end the process."""
    filled(tmp_path)
    trunk = FeatureStore(tmp_path).open(TRUNK, (3, 5), "float32")
    found = trunk.find(keys(50))
    for path in tmp_path.rglob("*.safetensors"):
        os.truncate(path, 100)
    assert not trunk.read(found, np.empty((50, 3, 5), np.float32)).any()


def test_a_file_that_is_cut_short_while_rows_are_read_is_found_out(tmp_path: Path, monkeypatch: Any) -> None:
    trunk = FeatureStore(tmp_path).open(TRUNK, (1 << 20,), "uint8")
    trunk.append(keys(24), np.ones((24, 1 << 20), np.uint8))
    (segment,) = tmp_path.rglob("*.safetensors")

    def and_then_cut_short(rows_of: np.ndarray) -> np.ndarray:
        hashes = row_hashes(rows_of)
        calls.append(len(rows_of))
        if len(calls) == 8:
            os.truncate(segment, 100)
        return hashes

    calls: list[int] = []
    monkeypatch.setattr(rows, "row_hashes", and_then_cut_short)
    present = trunk.read(trunk.find(keys(24)), np.empty((24, 1 << 20), np.uint8))
    assert present.tolist() == [True] * 8 + [False] * 16


def test_rows_for_which_there_are_no_addresses_leave_no_file(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(side_by_side, "_MOST_ADDRESSES", 1 << 16)
    trunk = FeatureStore(tmp_path).open(TRUNK, (1 << 10,), "uint8")
    trunk.append(keys(50), np.ones((50, 1 << 10), np.uint8))
    with pytest.raises(ExhaustedError, match="no addresses"):
        trunk.append(keys(50, seed=2), np.ones((50, 1 << 10), np.uint8))
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1
