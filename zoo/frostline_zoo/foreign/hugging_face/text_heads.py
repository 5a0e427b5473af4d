"""Heads on networks of text, by the end of an architecture's name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from frostline_zoo.foreign.canvas.convolutions import dense
from frostline_zoo.foreign.canvas.held import Constant, Held
from frostline_zoo.foreign.hugging_face.config import Config
from frostline_zoo.foreign.hugging_face.encoder import Settings
from frostline_zoo.foreign.hugging_face.layers import Layers, turned
from frostline_zoo.foreign.hugging_face.places import first_place


@dataclass(frozen=True)
class Body:
    """What a head stands on.

    Attributes:
        layers: draws the head.
        config: the network's.
        prefix: what the names of the body's arrays begin with.
        settings: the encoder's.
        words: the table of word embeddings, (words, numbers).
        hidden: what the encoder puts out, (batch, places, numbers).
        longest: the most places.
    """

    layers: Layers
    config: Config
    prefix: str
    settings: Settings
    words: Constant
    hidden: Held
    longest: int

    def first(self, name: str) -> Held:
        """Returns what stands at the first place."""
        return first_place(self.layers.canvas, name, self.hidden, self.longest)

    @property
    def has_pooler(self) -> bool:
        """Whether there are weights for one."""
        return f"{self.prefix}pooler.dense.weight" in self.layers.arrays

    def pooled(self) -> Held:
        """Returns the first place's product, which BERT has for whole texts."""
        x = self.first("pooler.first_place")
        x = self.layers.dense("pooler.dense", f"{self.prefix}pooler.dense", x, x.shape[-1])
        return self.layers.activation("pooler.activation", x, "tanh")

    def classified(self, name: str, x: Held, dropout: float) -> Held:
        """Returns a product, in front of which training drops a part."""
        return self.layers.dense(name, name, self.layers.dropout(f"{name}.dropout", x, dropout), None)

    @property
    def classifier_dropout(self) -> float:
        """What training drops in front of a classifier."""
        return self.config.rate("classifier_dropout", self.settings.dropout)


Head = Callable[[Body], list[Held]]
Heads = dict[str, Head]


def _model(body: Body) -> list[Held]:
    return [body.hidden, body.pooled()] if body.has_pooler else [body.hidden]


def _words(body: Body, wide: str, norm: str, decoder: str, bias: str, activation: str) -> Held:
    """Returns a score for each word at each place; the last kernel is the table of word embeddings, turned."""
    layers, arrays = body.layers, body.layers.arrays
    x = layers.dense(wide, wide, body.hidden, body.hidden.shape[-1])
    x = layers.activation(f"{wide}.activation", x, activation)
    x = layers.layer_norm(norm, norm, x, body.settings.epsilon)
    words, numbers = body.words.array.shape
    kernel = body.words
    if f"{decoder}.weight" in arrays:
        kernel = arrays.take(f"{decoder}.weight", words, numbers)
    else:
        layers.canvas.report.notes.append(f"{decoder} has a copy of the word embeddings, which trains apart from them")
    made = dense(layers.canvas, decoder, x, -1, turned(kernel), arrays.take(bias, words))
    arrays.leave_out(lambda name: name == f"{decoder}.bias", f"{bias} is the same", layers.canvas.report)
    return made


def _bert_pretraining(body: Body) -> list[Held]:
    """Words, and where there are weights for it, whether one text follows another, or the pooler without that."""
    place = "cls.predictions"
    transform = f"{place}.transform"
    names = (f"{transform}.dense", f"{transform}.LayerNorm", f"{place}.decoder", f"{place}.bias")
    outputs = [_words(body, *names, body.settings.activation)]
    if body.has_pooler:
        pooled, follows = body.pooled(), "cls.seq_relationship"
        has_follows = f"{follows}.weight" in body.layers.arrays
        outputs.append(body.layers.dense(follows, follows, pooled, 2) if has_follows else pooled)
    return outputs


def _bert_classes(body: Body) -> list[Held]:
    return [body.classified("classifier", body.pooled(), body.classifier_dropout)]


def _roberta_words(body: Body) -> list[Held]:
    words = _words(body, "lm_head.dense", "lm_head.layer_norm", "lm_head.decoder", "lm_head.bias", "gelu")
    return [words, body.pooled()] if body.has_pooler else [words]


def _roberta_classes(body: Body) -> list[Held]:
    x = body.layers.dropout("classifier.dropout", body.first("classifier.first_place"), body.classifier_dropout)
    x = body.layers.dense("classifier.dense", "classifier.dense", x, x.shape[-1])
    x = body.layers.activation("classifier.activation", x, "tanh")
    return [body.classified("classifier.out_proj", x, body.classifier_dropout)]


def _distilbert_words(body: Body) -> list[Held]:
    names = ("vocab_transform", "vocab_layer_norm", "vocab_projector", "vocab_projector.bias")
    return [_words(body, *names, body.settings.activation)]


def _distilbert_classes(body: Body) -> list[Held]:
    x = body.first("first_place")
    x = body.layers.dense("pre_classifier", "pre_classifier", x, x.shape[-1])
    x = body.layers.activation("pre_classifier.activation", x, "relu")
    return [body.classified("classifier", x, body.config.rate("seq_classif_dropout", 0.2))]


def _tokens(body: Body) -> list[Held]:
    return [body.classified("classifier", body.hidden, body.classifier_dropout)]


def _answers(body: Body) -> list[Held]:
    body.layers.canvas.report.notes.append(
        "at each place the output is a score for an answer's start, and one for its end"
    )
    return [body.classified("qa_outputs", body.hidden, body.config.rate("qa_dropout"))]


_ANY: Heads = {"Model": _model, "ForTokenClassification": _tokens, "ForQuestionAnswering": _answers}
BERT: Heads = _ANY | {
    "ForSequenceClassification": _bert_classes,
    "ForMaskedLM": _bert_pretraining,
    "ForPreTraining": _bert_pretraining,
}
ROBERTA: Heads = _ANY | {"ForSequenceClassification": _roberta_classes, "ForMaskedLM": _roberta_words}
DISTILBERT: Heads = _ANY | {"ForSequenceClassification": _distilbert_classes, "ForMaskedLM": _distilbert_words}
