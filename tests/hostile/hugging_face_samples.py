"""Hostile Hugging Face folders that lead elsewhere: code and pickles beside them, weights at addresses."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from safetensors.numpy import save

from tests.hostile.keras_samples import archive, pickled
from tests.hostile.sample import INVALID, TAKEN, Canaries, Sample
from tests.zoo.hugging_face_samples import WEIGHTS, arrays_of, members, with_config

CONFIG, PROCESSOR, INDEX = "config.json", "preprocessor_config.json", f"{WEIGHTS}.index.json"
PICKLE, CODE = "pytorch_model.bin", "evil.py"
FAMILIES = {
    "B13": ("bert_classes", "distilbert_words", "roberta_words", "bert_pretraining"),
    "B14": ("vit_classes", "deit_classes"),
    "B15": ("resnet", "resnet_classes"),
    "B16": ("timm_vit", "timm_resnet18", "timm_resnet50d", "timm_resnext50"),
}
Folder = Mapping[str, bytes]


def samples(canaries: Canaries) -> Iterator[Sample]:
    """Yields H01 to H05, and benign ones."""
    yield from _of_code(canaries)
    yield from _of_places(canaries)
    yield from _benign(canaries)


def folder_sample(number: str, what: str, files: Folder, status: str, *reasons: str) -> Sample:
    """Returns a sample of a folder's files."""
    beside = {name: content for name, content in files.items() if name != CONFIG}
    return Sample(number, what, CONFIG, files[CONFIG], status, reasons, beside)


def _without(files: Folder, *names: str) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if name not in names}


def code_that_writes(canaries: Canaries) -> bytes:
    """Returns a module of Python that writes the canary where it is imported."""
    return f"open({str(canaries.written)!r}, 'w').close()".encode()


def _of_code(canaries: Canaries) -> Iterator[Sample]:
    good, vit, code = members("bert"), members("vit"), {CODE: code_that_writes(canaries)}
    own, elsewhere = {"AutoModel": "evil.Evil"}, {"AutoModel": f"http://127.0.0.1:{canaries.port}/x--evil.Evil"}
    for number, what, files in [
        ("H01a", "code of its own", with_config(good, auto_map=own) | code),
        ("H01b", "code of its own, at an address", with_config(good, auto_map=elsewhere)),
        ("H01c", "code for its images", with_config(vit, PROCESSOR, auto_map={"AutoImageProcessor": "evil.E"}) | code),
    ]:
        yield folder_sample(number, what, files, INVALID, "UNSAFE_LAYER")
    command = {"_name_or_path": f"touch {canaries.written}"}
    for number, what, changed in [
        ("H02a", "os.system for an architecture", {"architectures": ["os.system"]}),
        ("H02b", "os.system for a model type", {"model_type": "os.system"}),
        ("H02c", "os.system for an activation", {"hidden_act": "os.system"}),
    ]:
        yield folder_sample(number, what, with_config(good, **changed, **command), INVALID, "UNSUPPORTED_MODEL")
    evil, bare = pickled(canaries), _without(good, WEIGHTS)
    index = json.dumps({"weight_map": dict.fromkeys(arrays_of(good), PICKLE)}).encode()
    saved_by_torch = archive(("x/data.pkl", evil), ("x/version", b"3"))
    for number, what, files in [
        ("H03a", "weights in a pickle", {**bare, PICKLE: evil}),
        ("H03b", "weights in pickles, with an index", {**bare, f"{PICKLE}.index.json": index, PICKLE: evil}),
        ("H03c", "an index of safetensors that names a pickle", {**bare, INDEX: index, PICKLE: evil}),
        ("H03d", "a pickle named as safetensors", {**bare, WEIGHTS: evil}),
        ("H03e", "what PyTorch saves named as safetensors", {**bare, WEIGHTS: saved_by_torch}),
    ]:
        yield folder_sample(number, what, files, INVALID, "UNSAFE_FORMAT")


def _of_places(canaries: Canaries) -> Iterator[Sample]:
    good = members("bert")
    bare, secret, url = _without(good, WEIGHTS), str(canaries.secret), f"http://127.0.0.1:{canaries.port}/x"
    adapter = {"adapter_config.json": json.dumps({"base_model_name_or_path": url}).encode()}
    for number, what, files in [
        ("H04a", "weights at an address", with_config(bare, _name_or_path=url)),
        ("H04b", "an adapter of a network at an address", {**bare, **adapter, "adapter_model.safetensors": save({})}),
        (
            "H04c",
            "weights at an address, as timm says it",
            with_config(_without(members("timm_vit"), WEIGHTS), pretrained_cfg={"url": url, "file": secret}),
        ),
    ]:
        yield folder_sample(number, what, files, INVALID, "BAD_WEIGHTS")
    for number, what, place in [
        ("H05a", "a file above the folder", "../" * 20 + secret.lstrip("/")),
        ("H05b", "a file at a path", secret),
        ("H05c", "a file at an address", url),
        ("H05d", "a file that was not sent", "secret"),
    ]:
        index = json.dumps({"weight_map": dict.fromkeys(arrays_of(good), place)}).encode()
        yield folder_sample(number, what, {**bare, INDEX: index}, INVALID, "EXTERNAL_REFERENCE")
    itself = json.dumps({"weight_map": {"a": INDEX}}).encode()
    yield folder_sample("H05e", "an index that names itself", {**bare, INDEX: itself}, INVALID, "BAD_SAFETENSORS")


def _benign(canaries: Canaries) -> Iterator[Sample]:
    for number, names in FAMILIES.items():
        for letter, name in zip("abcd", names, strict=False):
            yield folder_sample(f"{number}{letter}", name, members(name), TAKEN)
    url = f"http://127.0.0.1:{canaries.port}/x"
    ignored = {PICKLE: pickled(canaries), CODE: code_that_writes(canaries), "README.md": b"# A network"}
    files = with_config(members("bert"), _name_or_path=url, trust_remote_code=True) | ignored
    yield folder_sample("B17", "one with a pickle, code and an address beside, which nothing reads", files, TAKEN)
