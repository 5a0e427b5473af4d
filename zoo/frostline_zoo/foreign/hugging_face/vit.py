"""Vision transformers: vit and deit of transformers, and the plain ones of timm."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from frostline_zoo.foreign.canvas import activations
from frostline_zoo.foreign.canvas.held import Constant, Held
from frostline_zoo.foreign.canvas.shapes import joined
from frostline_zoo.foreign.hugging_face.config import Config
from frostline_zoo.foreign.hugging_face.encoder import Encoder, Names, Settings
from frostline_zoo.foreign.hugging_face.images import image_input
from frostline_zoo.foreign.hugging_face.layers import Layers
from frostline_zoo.foreign.hugging_face.places import first_place, learned, reshaped, without_first
from frostline_zoo.foreign.hugging_face.refusals import unknown
from frostline_zoo.foreign.hugging_face.timm import require_pooling, timm_arguments, timm_size


@dataclass(frozen=True)
class _Parts:
    """The names of a network's parts."""

    patches: str
    tokens: tuple[str, ...]
    positions: str
    encoder: str
    norm: str
    names: Names


_VIT = _Parts(
    patches="embeddings.patch_embeddings.projection",
    tokens=("embeddings.cls_token",),
    positions="embeddings.position_embeddings",
    encoder="encoder.layer",
    norm="layernorm",
    names=Names(
        attention="attention",
        inputs=("attention.attention.query", "attention.attention.key", "attention.attention.value"),
        output="attention.output.dense",
        attention_norm="layernorm_before",
        wide="intermediate.dense",
        narrow="output.dense",
        norm="layernorm_after",
    ),
)
_DEIT = replace(_VIT, tokens=("embeddings.cls_token", "embeddings.distillation_token"))
_TIMM = _Parts(
    patches="patch_embed.proj",
    tokens=("cls_token",),
    positions="pos_embed",
    encoder="blocks",
    norm="norm",
    names=Names("attn", ("attn.qkv",), "attn.proj", "norm1", "mlp.fc1", "mlp.fc2", "norm2"),
)
TYPES = {"vit": ("ViT", _VIT), "deit": ("DeiT", _DEIT)}
_HEADS = ("Model", "ForImageClassification", "ForImageClassificationWithTeacher")
TIMM_NAMES = re.compile(r"(vit_(tiny|small|base|large|huge)|deit_(tiny|small|base))_patch\d{1,2}_\d{2,3}")
_TIMM_ARGUMENTS = ("img_size", "patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio", "qkv_bias")
_TIMM_HEADS = {"tiny": 3, "small": 6, "base": 12, "large": 16, "huge": 16}
_MOST_LAYERS = 1000


def draw_vit(layers: Layers, config: Config) -> list[Held]:
    """Draws a network whose model type is one of `TYPES`, and returns its outputs.

    Raises:
        InvalidError: as `draw_bert`.
    """
    kind = config.word("model_type")
    classes, parts = TYPES[kind]
    heads = _HEADS[: 3 if kind == "deit" else 2]
    named = (config.words("architectures") or [f"{classes}Model"])[0]
    head = named.removeprefix(classes)
    if head not in heads:
        raise unknown("architecture", named, [classes + each for each in heads])
    prefix = f"{kind}." if f"{kind}.{parts.positions}" in layers.arrays else ""
    settings = Settings(
        heads=config.whole("num_attention_heads"),
        wide=config.whole("intermediate_size"),
        activation=config.word("hidden_act", "gelu"),
        epsilon=config.number("layer_norm_eps", 1e-12),
        dropout=config.rate("hidden_dropout_prob"),
        attention_dropout=config.rate("attention_probs_dropout_prob"),
    )
    size, patch = config.pair("image_size", 224), config.pair("patch_size", 16)
    x = image_input(layers.canvas, size, config.whole("num_channels", 3))
    x = _places(layers, parts, prefix, x, config.whole("hidden_size"), patch, settings)
    x = _encoded(layers, parts, prefix, x, config.whole("num_hidden_layers"), settings)
    mask = f"{prefix}embeddings.mask_token"
    layers.arrays.leave_out(lambda name: name == mask, "it stands for places that training hides", layers.canvas.report)
    if head == "Model":
        return [x, _pooled(layers, prefix, x, config)] if f"{prefix}pooler.dense.weight" in layers.arrays else [x]
    if head == "ForImageClassification":
        return [_classified(layers, "classifier", x)]
    taught = without_first(layers.canvas, "distillation_classifier.places", x)
    both = [_classified(layers, "cls_classifier", x), _classified(layers, "distillation_classifier", taught)]
    return [activations.merged(layers.canvas, "logits", "Average", both)]


def draw_timm_vit(layers: Layers, config: Config) -> list[Held]:
    """Draws a network of timm whose architecture matches `TIMM_NAMES`. Raises InvalidError as `draw_vit`."""
    arrays, arguments = layers.arrays, timm_arguments(config, _TIMM_ARGUMENTS)
    require_pooling(config, "token")
    numbers, channels, *patch = arrays.shape(f"{_TIMM.patches}.weight", 4)
    settings = Settings(
        heads=arguments.whole("num_heads", _TIMM_HEADS[config.word("architecture").split("_")[1]]),
        wide=None,
        activation="gelu",
        epsilon=1e-6,
        dropout=arguments.rate("proj_drop_rate"),
        attention_dropout=arguments.rate("attn_drop_rate"),
    )
    size = arguments.pair("img_size") if "img_size" in arguments else timm_size(config)
    x = image_input(layers.canvas, size, channels)
    x = _places(layers, _TIMM, "", x, numbers, (patch[0], patch[1]), settings)
    depth = sum(f"{_TIMM.encoder}.{at}.norm1.weight" in arrays for at in range(_MOST_LAYERS))
    x = _encoded(layers, _TIMM, "", x, depth, settings)
    return [_classified(layers, "head", x) if "head.weight" in arrays else _first(layers, "first_place", x)]


def _places(
    layers: Layers, parts: _Parts, prefix: str, x: Held, numbers: int, patch: tuple[int, int], settings: Settings
) -> Held:
    """Returns an image's patches as places, those that are learned in front, all with their positions added."""
    canvas, arrays = layers.canvas, layers.arrays
    x = layers.convolution(parts.patches, prefix + parts.patches, x, filters=numbers, size=patch, stride=patch)
    height, width = (side or 0 for side in x.shape[2:])
    x = reshaped(canvas, "patches", x, (None, height * width, numbers))
    tables = [_rows(arrays.take(prefix + name, 1, 1, numbers)) for name in parts.tokens]
    tokens = [learned(layers, name, table, x) for name, table in zip(parts.tokens, tables, strict=True)]
    x = joined(canvas, "places", [*tokens, x], 1)
    positions = _rows(arrays.take(prefix + parts.positions, 1, x.shape[1], numbers))
    x = layers.sum("places.sum", x, learned(layers, parts.positions, positions, x))
    return layers.dropout("places.dropout", x, settings.dropout)


def _encoded(layers: Layers, parts: _Parts, prefix: str, x: Held, depth: int, settings: Settings) -> Held:
    encoder = Encoder(layers, prefix, parts.names, settings)
    for at in range(depth):
        x = encoder.normed_before(f"{parts.encoder}.{at}", x)
    return layers.layer_norm(parts.norm, prefix + parts.norm, x, settings.epsilon)


def _first(layers: Layers, name: str, x: Held) -> Held:
    return first_place(layers.canvas, name, x, x.shape[1] or 1)


def _classified(layers: Layers, name: str, x: Held) -> Held:
    return layers.dense(name, name, _first(layers, f"{name}.first_place", x), None)


def _pooled(layers: Layers, prefix: str, x: Held, config: Config) -> Held:
    x = _first(layers, "pooler.first_place", x)
    x = layers.dense("pooler.dense", f"{prefix}pooler.dense", x, config.whole("pooler_output_size", x.shape[1]))
    return layers.activation("pooler.activation", x, config.word("pooler_act", "tanh"))


def _rows(table: Constant) -> Constant:
    return replace(table, array=table.array[0])
