"""Makes the folders of this directory: small networks as transformers and timm save them, and what PyTorch computes.

    python -m venv pytorch
    pytorch/bin/pip install torch==2.13.0 transformers==5.24.0 safetensors numpy huggingface_hub pyyaml
    pytorch/bin/pip install --no-deps timm==1.0.31
    pytorch/bin/python tests/zoo/hugging_face/make.py

Weights are drawn at random, and rounded so that they pack well; what counts is which layers there are.
"""

from __future__ import annotations

import gzip
import sys
import tarfile
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch


class _Class(type):
    """A class that has whatever it is asked for."""

    def __getattr__(cls, name: str) -> str:
        if name.startswith("_"):
            raise AttributeError(name)
        return name


class _Torchvision(types.ModuleType):
    """Stands in for torchvision, of which timm imports names and these networks use nothing."""

    __path__: ClassVar[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return _Class(name, (torch.nn.Module,), {})


import transformers as hf  # noqa: E402 - before the stand-in, which it would take for torchvision

for _name in ("", "ops", "ops.misc", "transforms", "transforms.functional", "datasets"):
    _full = f"torchvision.{_name}".rstrip(".")
    sys.modules[_full] = _module = _Torchvision(_full)
    if _name:
        setattr(sys.modules[_full.rpartition(".")[0]], _full.rpartition(".")[2], _module)

import timm  # noqa: E402
from timm.models._hub import save_for_hf  # noqa: E402

FOLDER = Path(__file__).parent
Arrays = dict[str, Any]
WORDS = {"vocab_size": 40, "max_position_embeddings": 24}
TEXT = {**WORDS, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
SHORT_TEXT = {**WORDS, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24}
IMAGE = {
    **{"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24},
    **{"image_size": [24, 16], "patch_size": 8, "layer_norm_eps": 1e-6},
}
STAGES = {"embedding_size": 8, "hidden_sizes": [8, 12], "depths": [1, 2]}


def drawn(model: Any) -> Any:
    """Gives a network weights of all sizes."""
    chance = torch.Generator().manual_seed(7)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            numbers = torch.randn(value.shape, generator=chance) * 0.2
            numbers = numbers.abs() + 0.5 if name.endswith("running_var") else numbers
            is_factor = value.ndim == 1 and name.endswith("weight")
            value.copy_(torch.round((numbers + is_factor) * 64) / 64)
    return model.eval()


def texts(model: Any, folder: Path, **saved: Any) -> Arrays:
    """Saves a network of token ids, and runs it on rows of which some end in padding, or begin with it."""
    drawn(model).save_pretrained(folder, **saved)
    padding = model.config.pad_token_id
    ids = np.random.default_rng(1).integers(3, 40, (4, 10))
    ids[1, 7:] = ids[2, 1:] = ids[3, :2] = padding
    given = torch.tensor(ids)
    return {"x": ids.astype("int32")} | outputs(model(given, attention_mask=(given != padding).long()))


def images(model: Any, folder: Path, size: tuple[int, int], processor: Any = None) -> Arrays:
    """Saves a network of images, and runs it on some; they, and feature maps, are kept with channels last."""
    drawn(model).save_pretrained(folder)
    if processor is not None:
        processor.save_pretrained(folder)
    x = pixels(size)
    return {"x": x} | outputs(model(torch.tensor(x).permute(0, 3, 1, 2)))


def timm_images(name: str, folder: Path, size: tuple[int, int], **arguments: Any) -> Arrays:
    """Does the same for a network of timm."""
    model = drawn(timm.create_model(name, **arguments))
    save_for_hf(model, str(folder), safe_serialization=True, data_config={"input_size": (3, *size)})
    x = pixels(size)
    return {"x": x, "y_logits": model(torch.tensor(x).permute(0, 3, 1, 2)).numpy()}


def pixels(size: tuple[int, int]) -> Any:
    """Returns three images as a network takes them, with channels last."""
    return np.round(np.random.default_rng(2).normal(size=(3, *size, 3)) * 8).astype("float32") / 8


def outputs(made: Any) -> Arrays:
    """Returns what a network puts out, feature maps with channels last."""
    arrays = {key: value for key, value in made.items() if key not in ("cls_logits", "distillation_logits")}
    turned = {key: value.permute(0, 2, 3, 1).squeeze() if value.ndim == 4 else value for key, value in arrays.items()}
    return {f"y_{key}": value.numpy() for key, value in turned.items()}


def _bert(kind: str, **keys: Any) -> Any:
    return getattr(hf, f"Bert{kind}")(hf.BertConfig(**TEXT, **keys))


def _roberta(kind: str, **keys: Any) -> Any:
    return getattr(hf, f"Roberta{kind}")(hf.RobertaConfig(**TEXT, type_vocab_size=1, layer_norm_eps=1e-5, **keys))


def _distilbert(kind: str, **keys: Any) -> Any:
    return getattr(hf, f"DistilBert{kind}")(hf.DistilBertConfig(**SHORT_TEXT, **keys))


_PROCESSOR = {"size": {"height": 24, "width": 16}, "resample": 3, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2] * 3}
NETWORKS: dict[str, Callable[[Path], Arrays]] = {
    "bert": lambda folder: texts(_bert("Model"), folder),
    "bert_classes": lambda folder: texts(_bert("ForSequenceClassification", num_labels=3, hidden_act="relu"), folder),
    "bert_pretraining": lambda folder: texts(_bert("ForPreTraining"), folder, max_shard_size="12KB"),
    "bert_tokens": lambda folder: texts(_bert("ForTokenClassification", hidden_act="gelu_new"), folder),
    "bert_answers": lambda folder: texts(_bert("ForQuestionAnswering", hidden_act="quick_gelu"), folder),
    "distilbert_classes": lambda folder: texts(_distilbert("ForSequenceClassification"), folder),
    "distilbert_words": lambda folder: texts(_distilbert("ForMaskedLM"), folder),
    "roberta_classes": lambda folder: texts(_roberta("ForSequenceClassification"), folder),
    "roberta_words": lambda folder: texts(_roberta("ForMaskedLM"), folder),
    "xlm_roberta": lambda folder: texts(hf.XLMRobertaModel(hf.XLMRobertaConfig(**TEXT, hidden_act="silu")), folder),
    "camembert_tokens": lambda folder: texts(
        hf.CamembertForTokenClassification(hf.CamembertConfig(**TEXT, num_labels=4)), folder
    ),
    "vit": lambda folder: images(hf.ViTModel(hf.ViTConfig(**IMAGE)), folder, (24, 16)),
    "vit_classes": lambda folder: images(
        hf.ViTForImageClassification(hf.ViTConfig(**IMAGE, num_labels=3, qkv_bias=False)),
        folder,
        (24, 16),
        hf.ViTImageProcessor(**_PROCESSOR),
    ),
    "deit_classes": lambda folder: images(
        hf.DeiTForImageClassificationWithTeacher(hf.DeiTConfig(**IMAGE, num_labels=3)), folder, (24, 16)
    ),
    "resnet": lambda folder: images(
        hf.ResNetModel(hf.ResNetConfig(**STAGES, layer_type="bottleneck", downsample_in_bottleneck=True)),
        folder,
        (32, 32),
        hf.ConvNextImageProcessor(size={"shortest_edge": 32}, crop_pct=0.9),
    ),
    "resnet_classes": lambda folder: images(
        hf.ResNetForImageClassification(hf.ResNetConfig(**STAGES, layer_type="basic", downsample_in_first_stage=True)),
        folder,
        (32, 32),
        hf.ConvNextImageProcessor(size={"shortest_edge": 32}, do_rescale=False, do_normalize=False, resample=2),
    ),
    "timm_resnet18": lambda folder: timm_images(
        "resnet18", folder, (32, 32), layers=(2, 1, 1, 1), channels=(4, 4, 6, 8), num_classes=3
    ),
    "timm_resnet50d": lambda folder: timm_images(
        "resnet50d", folder, (30, 22), layers=(1, 1, 2, 1), channels=(2, 3, 4, 4), stem_width=8, num_classes=3
    ),
    "timm_resnext50": lambda folder: timm_images(
        "resnext50_32x4d",
        folder,
        (32, 32),
        layers=(1, 1, 1, 1),
        channels=(2, 2, 4, 4),
        cardinality=2,
        base_width=64,
        num_classes=0,
    ),
    "timm_vit": lambda folder: timm_images(
        "vit_tiny_patch16_224", folder, (24, 16), img_size=(24, 16), patch_size=8, embed_dim=12, depth=2, num_classes=3
    ),
}


def _without_times(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mtime = member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    for network, make in NETWORKS.items():
        with tempfile.TemporaryDirectory() as made:
            arrays = make(Path(made, network))
            packed = gzip.GzipFile(FOLDER / f"{network}.tar.gz", "w", mtime=0)
            with packed, tarfile.open(fileobj=packed, mode="w") as archive:
                archive.add(Path(made, network), network, filter=_without_times)
        np.savez_compressed(FOLDER / f"{network}.npz", **arrays)
