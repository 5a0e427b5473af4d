"""Hostile Hugging Face folders that say what cannot be: no JSON, sizes past all, tensors that lie."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from safetensors.numpy import save

from tests.hostile.hdf5_samples import tensor_file
from tests.hostile.hugging_face_samples import CONFIG, INDEX, PROCESSOR, Folder, folder_sample
from tests.hostile.sample import EXHAUSTED, INVALID, Sample
from tests.zoo.hugging_face_samples import WEIGHTS, Array, arrays_of, members, with_arrays, with_config

MANY_SIDES = 400_000
MANY_ARRAYS = 100_001
MANY_LAYERS = 4_000
DEEP_LAYERS = 1_000
WIDE = 1_449  # of an image whose places are single pixels, more than a million


def samples() -> Iterator[Sample]:
    """Yields H06 to H13."""
    yield from _of_texts()
    yield from _of_sizes()
    yield from _of_tensors()
    yield from _of_images()
    yield from _of_many()


def _of_texts() -> Iterator[Sample]:
    """Yields JSON that no configuration is, in each of the files that are JSON."""
    bert, vit, sharded = members("bert"), members("vit"), members("bert_pretraining")
    deep = b"[" * 50_000 + b"]" * 50_000
    for letter, file, files in (("a", CONFIG, bert), ("b", PROCESSOR, vit), ("c", INDEX, sharded)):

        def with_text(text: bytes, file: str = file, files: Folder = files) -> Folder:
            return {**files, file: files.get(file, b"{}").rstrip().removesuffix(b"}").rstrip() + text + b"}"}

        more = b"," if file in files else b""
        for number, what, text, status, reason in [
            ("H06", "JSON 50,000 deep", more + b'"x":' + deep, INVALID, "LIMIT_DEPTH"),
            ("H07", "17 MiB of blanks", b" " * (17 << 20), EXHAUSTED, "LIMIT_INFLATE"),
            ("H08", "a key twice", more + b'"x":1,"x":2', INVALID, "BAD_JSON"),
        ]:
            yield folder_sample(number + letter, f"{what} in {file}", with_text(text), status, reason)
    for number, what, value in [
        ("H08d", "a number that is none", b"NaN"),
        ("H08e", "a number of 5,000 digits", b"9" * 5_000),
    ]:
        yield folder_sample(number, what, {**bert, CONFIG: _said(bert, "hidden_size", value)}, INVALID, "BAD_JSON")


def _said(files: Folder, key: str, value: bytes, file: str = CONFIG) -> bytes:
    """Returns a configuration in which a key has a value that Python's JSON does not write."""
    text = with_config(files, file, **{key: "it"})[file]
    return text.replace(json.dumps({key: "it"})[1:-1].encode(), f'"{key}": '.encode() + value)


def _of_sizes() -> Iterator[Sample]:
    wrong: tuple[Any, ...] = (10**9, 10**12, -16, 0, "16", True, 16.5, [16], {"a": 16})
    keys = ("hidden_size", "num_hidden_layers", "vocab_size", "num_attention_heads", "max_position_embeddings")
    bert = members("bert")
    for at, (key, value) in enumerate([(keys[at % len(keys)], value) for at, value in enumerate(wrong)]):
        yield folder_sample(
            f"H09{chr(97 + at)}", f"{key} {value}", with_config(bert, **{key: value}), INVALID, "BAD_CONFIG"
        )
    roberta, vit, resnet, timm = (members(name) for name in ("roberta_words", "vit", "resnet", "timm_vit"))
    past = {**bert, CONFIG: _said(bert, "layer_norm_eps", b"1e999")}
    for number, what, files, reason in [
        ("H09j", "an infinite number", past, "BAD_CONFIG"),
        ("H09k", "padding behind all positions", with_config(roberta, pad_token_id=23), "BAD_CONFIG"),
        ("H09l", "an image of 10^18 places", with_config(vit, image_size=10**9), "BAD_CONFIG"),
        ("H09m", "101 stages", with_config(resnet, depths=[1] * 101, hidden_sizes=[8] * 101), "BAD_CONFIG"),
        ("H09n", "what timm makes of a text", with_config(timm, model_args={"num_heads": "3"}), "BAD_CONFIG"),
        ("H10a", "16 million numbers", with_config(bert, hidden_size=1 << 24), "BAD_WEIGHTS"),
        ("H10b", "16 million layers", with_config(bert, num_hidden_layers=1 << 24), "BAD_WEIGHTS"),
        ("H10c", "16 million words", with_config(bert, vocab_size=1 << 24), "BAD_WEIGHTS"),
        ("H10d", "an image of 2^48 places", with_config(vit, image_size=1 << 24, patch_size=1), "BAD_WEIGHTS"),
        ("H10e", "16 million blocks", with_config(resnet, depths=[1 << 24, 1]), "BAD_WEIGHTS"),
        (
            "H10f",
            "heads that do not share the numbers out",
            with_config(bert, num_attention_heads=3),
            "UNSUPPORTED_MODEL",
        ),
        ("H10g", "more heads than numbers", with_config(bert, num_attention_heads=1 << 24), "UNSUPPORTED_MODEL"),
    ]:
        yield folder_sample(number, what, files, INVALID, reason)


def _of_tensors() -> Iterator[Sample]:
    bert, timm = members("bert"), members("timm_vit")
    name, entry = "pooler.dense.bias", {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    endless = '{"a":{"dtype":"F32","shape":[1e999],"data_offsets":[0,8]}}'
    half = f'{{"a\\ud800":{json.dumps(entry)}}}'
    sides = ",".join(["9" * 18] * MANY_SIDES)
    for number, what, content in [
        ("H11a", "a header longer than its file", tensor_file({"a": entry}, bytes(8), 1 << 40)),
        ("H11b", "tensors that overlap", tensor_file({"a": entry, "b": entry}, bytes(8))),
        ("H11j", "a name that is half a sign", tensor_file(half, bytes(8))),
        ("H11c", "an infinite side", tensor_file(endless, bytes(8))),
        (
            "H11d",
            "400,000 sides",
            tensor_file(f'{{"a":{{"dtype":"F32","shape":[{sides}],"data_offsets":[0,8]}}}}', b""),
        ),
    ]:
        yield folder_sample(number, what, {**bert, WEIGHTS: content}, INVALID, "BAD_SAFETENSORS")
    empty = np.zeros((0, 3, 1, 1), np.float32)
    nothing = {"patch_embed.proj.weight": empty, "patch_embed.proj.bias": np.zeros(0, np.float32)}
    nothing |= {"cls_token": np.zeros((1, 1, 0), np.float32), "pos_embed": np.zeros((1, (1 << 24) + 1, 0), np.float32)}
    for number, what, files in [
        ("H11e", "a tensor of another shape", with_arrays(bert, {name: np.zeros(17, np.float32)})),
        ("H11f", "a number for a vector", with_arrays(bert, {name: np.float32(1).reshape(())})),
        ("H11g", "whole numbers", with_arrays(bert, {name: np.zeros(16, np.int64)})),
        ("H11h", "a vector for a kernel", with_arrays(timm, {"patch_embed.proj.weight": np.zeros(3, np.float32)})),
        (
            "H11i",
            "16 million places of no numbers",
            with_config(with_arrays(timm, nothing), model_args={"img_size": 4096}),
        ),
    ]:
        yield folder_sample(number, what, files, INVALID, "BAD_WEIGHTS")


def _of_images() -> Iterator[Sample]:
    vit, resnet = members("vit_classes"), members("resnet")
    for number, what, files, reason in [
        ("H12a", "texts for a mean", with_config(vit, PROCESSOR, image_mean=["a", "b", "c"]), "BAD_CONFIG"),
        ("H12b", "an infinite mean", {**vit, PROCESSOR: b'{"image_mean": 1e999}'}, "BAD_CONFIG"),
        ("H12c", "a mean that is no number", {**vit, PROCESSOR: b'{"image_mean": NaN}'}, "BAD_JSON"),
        ("H12d", "a deviation of nearly nothing", {**vit, PROCESSOR: b'{"image_std": 1e-320}'}, "BAD_CONFIG"),
        ("H12e", "means of two channels", with_config(vit, PROCESSOR, image_mean=[0.5, 0.5]), "BAD_CONFIG"),
        ("H12f", "images of 10^18 places", with_config(resnet, PROCESSOR, size={"shortest_edge": 10**9}), "BAD_CONFIG"),
        ("H12g", "a list for a processor", {**vit, PROCESSOR: b"[1]"}, "BAD_CONFIG"),
    ]:
        yield folder_sample(number, what, files, INVALID, reason)
    large = with_config(resnet, PROCESSOR, size={"height": 1 << 24, "width": 1 << 24})
    yield folder_sample("H12h", "images of 2^48 places", large, EXHAUSTED, "LIMIT_OUTPUT")


def _of_many() -> Iterator[Sample]:
    bert = members("bert")
    body = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    many = tensor_file({f"{at}": body for at in range(MANY_ARRAYS)}, b"")
    yield folder_sample("H13a", "100,001 tensors of nothing", {**bert, WEIGHTS: many}, EXHAUSTED, "LIMIT_PARAMS")
    for number, layers in (("H13b", MANY_LAYERS), ("H13c", DEEP_LAYERS)):
        what = f"{layers:,} layers of one number"
        yield folder_sample(number, what, _tall(layers), EXHAUSTED, "LIMIT_LAYERS")
    yield folder_sample("H13d", "two million places of one number", _wide(), INVALID, "UNSUPPORTED_MODEL")


def _tall(layers: int) -> Folder:
    """Returns a BERT all of whose sides are 1."""
    small, first = {name: _ones(array.ndim) for name, array in arrays_of(members("bert")).items()}, "encoder.layer.0."
    more = {
        name.replace(first, f"encoder.layer.{at}."): small[name]
        for name in small
        if name.startswith(first)
        for at in range(layers)
    }
    sizes = ("hidden_size", "intermediate_size", "num_attention_heads", "vocab_size", "type_vocab_size")
    config = dict.fromkeys((*sizes, "max_position_embeddings"), 1) | {"num_hidden_layers": layers}
    return {**with_config(members("bert"), **config), WEIGHTS: save(small | more)}


def _wide() -> Folder:
    """Returns a ViT without layers, whose patches are single pixels of one number each."""
    timm = members("timm_vit")
    small = {name: _ones(array.ndim) for name, array in arrays_of(timm).items() if not name.startswith("blocks.")}
    small |= {"patch_embed.proj.weight": np.ones((1, 3, 1, 1), np.float16)}
    small |= {"pos_embed": np.ones((1, WIDE * WIDE + 1, 1), np.float16)}
    return {**with_config(timm, model_args={"img_size": WIDE, "num_heads": 1}), WEIGHTS: save(small)}


def _ones(rank: int) -> Array:
    return np.ones([1] * rank, np.float32)
