"""Hugging Face folders that are refused: kinds that are not known, pickles, and parts that do not fit one another."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from frostline_zoo.errors import ZooError
from frostline_zoo.foreign.files import Files, Member
from frostline_zoo.foreign.hugging_face_reader import hugging_face_folder
from frostline_zoo.foreign.reader import answer
from frostline_zoo.foreign.wire import decode, encode
from tests.zoo.hugging_face_samples import WEIGHTS, arrays_of, draft_of, members, with_arrays, with_config

Folder = dict[str, bytes]
INDEX = f"{WEIGHTS}.index.json"


def refusal(files: Mapping[str, bytes]) -> tuple[str, str]:
    with pytest.raises(ZooError) as refused:
        draft_of(files)
    assert refused.value.message.isprintable()
    return refused.value.reason, refused.value.message


UNKNOWN: dict[str, tuple[str, dict[str, Any], str]] = {
    "a model type": (
        "bert",
        {"model_type": "llama"},
        "the model type 'llama' is not taken in: known are bert, distilb",
    ),
    "a type that misleads": ("bert", {"model_type": "ber\nt\u202e"}, r"'ber\nt\u202e' is not taken in"),
    "an architecture": ("bert", {"architectures": ["BertLMHeadModel"]}, "known are BertModel, BertForTokenClassific"),
    "another's head": (
        "vit",
        {"architectures": ["DeiTModel"]},
        "known are ViTModel, ViTForImageClassification; others",
    ),
    "relative positions": ("bert", {"position_embedding_type": "relative_key"}, "save it with 'absolute', or as ONNX"),
    "a decoder": ("roberta_words", {"is_decoder": True}, "has is_decoder 'True', which no layers here say"),
    "an activation": ("bert", {"hidden_act": "gelu_10"}, "the activation 'gelu_10' is not taken in: known are gelu,"),
    "heads": ("bert", {"num_attention_heads": 3}, "shares 16 numbers out among 3 heads"),
    "a layer type": ("resnet", {"layer_type": "odd"}, "save it with 'bottleneck'"),
    "one of timm": ("timm_resnet18", {"architecture": "resnetv2_50"}, "the architecture of timm 'resnetv2_50' is not"),
    "how timm made it": (
        "timm_vit",
        {"model_args": {"reg_tokens": 4}},
        "was made with 'reg_tokens', which is not known",
    ),
    "how timm pools": ("timm_resnet18", {"global_pool": "max"}, "has global_pool 'max', which no layers here say"),
    "how timm made it pool, resnet": (
        "timm_resnet18",
        {"model_args": {"global_pool": "max"}},
        "has model_args.global_pool 'max', which no layers here say: save it with 'avg', or as ONNX",
    ),
    "how timm made it pool, vit": (
        "timm_vit",
        {"model_args": {"global_pool": "avg"}},
        "has model_args.global_pool 'avg', which no layers here say: save it with 'token', or as ONNX",
    ),
    "how timm's weights pool": (
        "timm_vit",
        {"pretrained_cfg": {"global_pool": "avg"}},
        "has pretrained_cfg.global_pool 'avg', which no",
    ),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_a_network_that_is_not_known_is_refused_by_its_name_with_those_that_are(case: str) -> None:
    name, changed, told = UNKNOWN[case]
    reason, message = refusal(with_config(members(name), **changed))
    assert reason == "UNSUPPORTED_MODEL"
    assert told in message


BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "no kind": ("bert", {"model_type": None}, "it names no network"),
    "no size": ("bert", {"hidden_size": None}, "it has no hidden_size, which is a whole number from 1 on"),
    "a text for a number": ("bert", {"num_hidden_layers": "2"}, "it has another kind of num_hidden_layers"),
    "a truth for a number": ("bert", {"num_hidden_layers": True}, "it has another kind of num_hidden_layers"),
    "a number past all": ("bert", {"vocab_size": 10**30}, "it has another kind of vocab_size"),
    "a rate of one": (
        "bert",
        {"hidden_dropout_prob": 1},
        "it has another kind of hidden_dropout_prob, which is a rate",
    ),
    "three sides": (
        "vit",
        {"image_size": [8, 8, 8]},
        "it has another kind of image_size, which is a height and a width",
    ),
    "stages without depths": ("resnet", {"depths": [1]}, "hidden_sizes and depths are not of one length"),
    "a list for an object": ("timm_vit", {"model_args": [1]}, "it has another kind of model_args, which is an object"),
    "one deviation of none": (
        "timm_vit",
        {"pretrained_cfg": {"std": [0.0], "mean": [1]}},
        "means and deviations of images",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_configuration_that_says_nonsense_is_refused_by_its_key(case: str) -> None:
    name, changed, told = BAD[case]
    reason, message = refusal(with_config(members(name), **changed))
    assert reason == "BAD_CONFIG"
    assert told in message


@pytest.mark.parametrize(
    ("name", "changed", "told"),
    [
        ("bert", {"num_hidden_layers": 3}, "the folder's weights have no encoder.layer.2.attention.self.query.weight"),
        (
            "bert",
            {"hidden_size": 32},
            "word_embeddings.weight has the shape (40, 16), where config.json asks for (40, 32)",
        ),
        (
            "bert",
            {"max_position_embeddings": 25},
            "position_embeddings.weight has the shape (24, 16), where config.json",
        ),
        (
            "vit",
            {"image_size": 32},
            "position_embeddings has the shape (1, 7, 16), where config.json asks for (1, 17, 16)",
        ),
        (
            "vit",
            {"num_channels": 1},
            "projection.weight has the shape (16, 3, 8, 8), where config.json asks for (16, 1, 8, 8)",
        ),
        (
            "resnet",
            {"embedding_size": 9},
            "convolution.weight has the shape (8, 3, 7, 7), where config.json asks for (9, 3, 7, 7)",
        ),
        (
            "distilbert_classes",
            {"architectures": ["DistilBertForMaskedLM"]},
            "the folder's weights have no vocab_transform",
        ),
    ],
)
def test_weights_that_the_configuration_does_not_ask_for_are_refused(
    name: str, changed: dict[str, Any], told: str
) -> None:
    reason, message = refusal(with_config(members(name), **changed))
    assert reason == "BAD_WEIGHTS"
    assert told in message


def test_an_array_that_is_missing_or_holds_no_floats_is_refused_by_its_name() -> None:
    files, name = members("timm_resnet18"), "layer2.0.bn1.running_mean"
    assert refusal(with_arrays(files, {name: None})) == (
        "BAD_WEIGHTS",
        f"the folder's weights have no {name}: save the network again, its configuration and weights together",
    )
    whole = arrays_of(files)[name].astype(np.int64)
    assert f"{name} holds int64 and no floats" in refusal(with_arrays(files, {name: whole}))[1]
    assert refusal(with_arrays(files, {"layer2.0.downsample.0.weight": None}))[0] in (
        "BAD_WEIGHTS",
        "UNSUPPORTED_MODEL",
    )


def test_what_nothing_takes_is_reported() -> None:
    report = draft_of(with_arrays(members("bert"), {"extra.weight": np.ones((2, 2), np.float32)})).report
    assert report.unexpected == ["extra.weight"]


def test_a_name_that_would_move_a_terminals_cursor_is_told_escaped() -> None:
    made = draft_of(with_arrays(members("bert"), {"a\x1b[2J\n\u202e": np.ones(2, np.float32)}))
    arrived: Any = decode(memoryview(b"".join(encode(made))))
    assert arrived.report.unexpected == [r"a\x1b[2J\n\u202e"]


@pytest.mark.parametrize("pickle", ["pytorch_model.bin", "model.pt", "pytorch_model-00001-of-00002.bin"])
def test_a_folder_with_pickles_alone_is_refused_with_the_mend(pickle: str) -> None:
    files = members("bert")
    reason, message = refusal({"config.json": files["config.json"], pickle: b"\x80\x02."})
    assert (reason, message.endswith("and is not taken in: save them as safetensors")) == ("UNSAFE_FORMAT", True)
    assert draft_of({**files, pickle: b"\x80\x02."}).layers


def test_a_folder_without_weights_is_refused() -> None:
    reason, message = refusal({"config.json": members("bert")["config.json"]})
    assert reason == "BAD_WEIGHTS"
    assert "no model.safetensors and no model.safetensors.index.json" in message


def with_index(change: Callable[[dict[str, str]], Any]) -> Folder:
    files = members("bert_pretraining")
    index = json.loads(files[INDEX])
    index["weight_map"] = change(index["weight_map"])
    return {**files, INDEX: json.dumps(index).encode()}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda places: list(places), "does not say which file holds which array"),
        (lambda places: places | {"x": 3}, "does not say which file holds which array"),
        (lambda places: places | {"x": min(places.values())}, "names the array 'x', which no file holds"),
    ],
)
def test_an_index_that_leads_elsewhere_is_refused(change: Callable[[dict[str, str]], Any], told: str) -> None:
    reason, message = refusal(with_index(change))
    assert reason == "BAD_WEIGHTS"
    assert told in message


@pytest.mark.parametrize("place", ["../secret", "/etc/passwd", "http://127.0.0.1/x", "secret"])
def test_an_index_that_names_what_was_not_sent_is_refused(place: str) -> None:
    reason, message = refusal(with_index(lambda places: places | {"x": place}))
    assert (reason, f"names the file {place!r}, which was not sent along" in message) == ("EXTERNAL_REFERENCE", True)


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json"])
def test_code_of_its_own_is_refused(file: str) -> None:
    reason, message = refusal(with_config(members("vit"), file, auto_map={"AutoModel": "evil.Evil"}))
    assert (reason, "has code of its own (auto_map), which is never run" in message) == ("UNSAFE_LAYER", True)


@pytest.mark.parametrize("content", [b"\x80\x04.", b"PK\x03\x04", b"7z\xbc\xaf\x27\x1c"])
def test_a_pickle_that_is_named_as_weights_is_refused_with_the_mend(content: bytes) -> None:
    assert refusal({**members("bert"), WEIGHTS: content})[0] == "UNSAFE_FORMAT"
    index = with_index(lambda places: dict.fromkeys(places, "pytorch_model.bin"))
    assert refusal({**index, "pytorch_model.bin": content})[0] == "UNSAFE_FORMAT"


def test_half_a_surrogate_pair_in_a_name_is_refused() -> None:
    """No message can hold it."""
    header = json.dumps({"a\ud800": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    content = len(header).to_bytes(8, "little") + header + bytes(4)
    assert refusal({**members("bert"), WEIGHTS: content})[0] == "BAD_SAFETENSORS"


def test_a_key_twice_is_refused_since_another_reader_might_take_the_other_value() -> None:
    files = members("bert")
    twice = files["config.json"].replace(b"{", b'{"model_type": "llama", ', 1)
    assert refusal({**files, "config.json": twice})[0] == "BAD_JSON"


def test_an_array_of_no_numbers_is_refused_whatever_its_other_sides() -> None:
    empty = {"patch_embed.proj.weight": np.zeros((0, 3, 8, 8), np.float32)}
    reason, message = refusal(with_arrays(members("timm_vit"), empty))
    assert (reason, "which holds no numbers" in message) == ("BAD_WEIGHTS", True)


def test_padding_that_leaves_no_positions_is_refused() -> None:
    reason, message = refusal(with_config(members("roberta_words"), pad_token_id=23))
    assert (reason, "pad_token_id leaves no positions" in message) == ("BAD_CONFIG", True)


def test_an_array_in_two_of_the_files_is_refused() -> None:
    files = members("bert_pretraining")
    one, *_ = sorted(name for name in files if name.endswith(".safetensors"))
    twice = with_index(lambda places: places | {"x": "twice.safetensors"}) | {"twice.safetensors": files[one]}
    assert "two of the files" in refusal(twice)[1]


@pytest.mark.parametrize("name", ["bert", "vit_classes", "timm_resnet50d"])
@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_folder_is_refused_or_read_but_never_stumbled_over(name: str, seed: int) -> None:
    files, chance = members(name), np.random.default_rng(seed)
    contents = {each: bytearray(content) for each, content in files.items()}
    for _ in range(chance.integers(1, 4)):
        content = contents[chance.choice(sorted(contents))]
        content[chance.integers(min(len(content), 2000))] ^= 1 << chance.integers(7)
    at, listed = 0, []
    for each, content in contents.items():
        listed.append(Member(each, at, len(content)))
        at += len(content)
    with suppress(ZooError):
        list(answer(hugging_face_folder, Files(b"".join(contents.values()), listed), "config.json"))
