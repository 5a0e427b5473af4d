"""BERT and its like: bert, distilbert, roberta, xlm-roberta and camembert of transformers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from frostline_zoo.foreign.canvas.held import Constant, Held
from frostline_zoo.foreign.hugging_face import text
from frostline_zoo.foreign.hugging_face.config import Config
from frostline_zoo.foreign.hugging_face.encoder import Encoder, Names, Settings
from frostline_zoo.foreign.hugging_face.layers import Layers
from frostline_zoo.foreign.hugging_face.refusals import bad_config, unknown
from frostline_zoo.foreign.hugging_face.text_heads import BERT, DISTILBERT, ROBERTA, Body, Heads

_EPSILON = 1e-12  # transformers' own, of DistilBERT always


@dataclass(frozen=True)
class _Keys:
    """Under which keys a configuration says what."""

    numbers: str = "hidden_size"
    wide: str = "intermediate_size"
    layers: str = "num_hidden_layers"
    heads: str = "num_attention_heads"
    activation: str = "hidden_act"
    dropout: str = "hidden_dropout_prob"
    attention_dropout: str = "attention_probs_dropout_prob"


@dataclass(frozen=True)
class _Family:
    """What networks of one model type have in common.

    Attributes:
        prefix: what their arrays' names begin with, where a head stands on the network.
        classes: what their architectures' names begin with.
        keys: those of their configuration.
        encoder: where the layers are.
        names: those of a layer's parts.
        heads: which heads may stand on them, by the end of their architectures' names.
        padding: the id of padding, where the configuration has none.
        has_types: whether they have token types.
        counts_tokens_alone: whether positions are those of tokens, padding not counted.
    """

    prefix: str
    classes: str
    keys: _Keys
    encoder: str
    names: Names
    heads: Heads
    padding: int = 0
    has_types: bool = True
    counts_tokens_alone: bool = False


_BERT = _Family(
    "bert",
    "Bert",
    _Keys(),
    "encoder.layer",
    Names(
        attention="attention",
        inputs=("attention.self.query", "attention.self.key", "attention.self.value"),
        output="attention.output.dense",
        attention_norm="attention.output.LayerNorm",
        wide="intermediate.dense",
        narrow="output.dense",
        norm="output.LayerNorm",
    ),
    BERT,
)
_ROBERTA = replace(_BERT, prefix="roberta", classes="Roberta", heads=ROBERTA, padding=1, counts_tokens_alone=True)
_DISTILBERT = _Family(
    "distilbert",
    "DistilBert",
    _Keys("dim", "hidden_dim", "n_layers", "n_heads", "activation", "dropout", "attention_dropout"),
    "transformer.layer",
    Names(
        attention="attention",
        inputs=("attention.q_lin", "attention.k_lin", "attention.v_lin"),
        output="attention.out_lin",
        attention_norm="sa_layer_norm",
        wide="ffn.lin1",
        narrow="ffn.lin2",
        norm="output_layer_norm",
    ),
    DISTILBERT,
    has_types=False,
)
FAMILIES = {
    "bert": _BERT,
    "distilbert": _DISTILBERT,
    "roberta": _ROBERTA,
    "xlm-roberta": replace(_ROBERTA, classes="XLMRoberta"),
    "camembert": replace(_ROBERTA, classes="Camembert"),
}


def draw_bert(layers: Layers, config: Config) -> list[Held]:
    """Draws a network whose model type is one of `FAMILIES`, and returns its outputs.

    Raises:
        InvalidError: its head is not known, its configuration asks for what no layers say (UNSUPPORTED_MODEL), or its
            arrays are not those that the configuration asks for (BAD_WEIGHTS, BAD_CONFIG).
    """
    family = FAMILIES[config.word("model_type")]
    named = (config.words("architectures") or [f"{family.classes}Model"])[0]
    head = family.heads.get(named.removeprefix(family.classes))
    if head is None:
        raise unknown("architecture", named, [family.classes + each for each in family.heads])
    for key, wanted in (("position_embedding_type", "absolute"), ("is_decoder", False), ("add_cross_attention", False)):
        config.require(key, wanted, wanted)
    outputs = head(_body(layers, config, family))
    buffers = ("embeddings.position_ids", "embeddings.token_type_ids")
    why = "positions and token types follow from the input"
    layers.arrays.leave_out(lambda name: name.endswith(buffers), why, layers.canvas.report)
    return outputs


def _body(layers: Layers, config: Config, family: _Family) -> Body:
    """Draws what a head stands on."""
    canvas, keys = layers.canvas, family.keys
    prefix = f"{family.prefix}."
    if f"{prefix}embeddings.word_embeddings.weight" not in layers.arrays:
        prefix = ""
    numbers, rows = config.whole(keys.numbers), config.whole("max_position_embeddings")
    settings = Settings(
        heads=config.whole(keys.heads),
        wide=config.whole(keys.wide),
        activation=config.word(keys.activation, "gelu"),
        epsilon=config.number("layer_norm_eps", _EPSILON),
        dropout=config.rate(keys.dropout, 0.1),
        attention_dropout=config.rate(keys.attention_dropout, 0.1),
    )
    padding = config.whole("pad_token_id", family.padding, least=0)
    longest = rows - padding - 1 if family.counts_tokens_alone else rows
    if longest < 1:
        raise bad_config("pad_token_id leaves no positions, which count from it on")
    tokens = text.Tokens(canvas, padding, longest)

    def table(part: str, rows: int) -> Constant:
        return layers.arrays.take(f"{prefix}embeddings.{part}.weight", rows, numbers)

    words = table("word_embeddings", config.whole("vocab_size"))
    parts = [layers.embedding("embeddings.word_embeddings", words, tokens.ids)]
    if family.has_types:
        types = table("token_type_embeddings", config.whole("type_vocab_size", 2))
        parts.append(layers.embedding("embeddings.token_type_embeddings", types, tokens.types()))
        if len(types.array) > 1:
            canvas.report.notes.append("token types are 0 at all places: a second sentence is not told from the first")
    places = tokens.positions(of_tokens_alone=family.counts_tokens_alone)
    parts.append(layers.embedding("embeddings.position_embeddings", table("position_embeddings", rows), places))
    x = layers.sum("embeddings.sum", *parts)
    x = layers.layer_norm("embeddings.LayerNorm", f"{prefix}embeddings.LayerNorm", x, settings.epsilon)
    x = layers.dropout("embeddings.dropout", x, settings.dropout)
    mask = tokens.mask()
    encoder = Encoder(layers, prefix, family.names, settings)
    for at in range(config.whole(keys.layers)):
        x = encoder.normed_after(f"{family.encoder}.{at}", x, mask)
    return Body(layers, config, prefix, settings, words, x, tokens.longest)
