"""Token ids of any number of places: the input of networks of text, and what follows from it.

A network takes ids alone. What else transformers would be given follows from them, by layers without weights: the
attention mask is where the padding id is not; positions are counted; token types are all 0.
"""

from __future__ import annotations

from functools import cached_property

from frostline_zoo.foreign.canvas import activations
from frostline_zoo.foreign.canvas.canvas import Canvas
from frostline_zoo.foreign.canvas.held import Held, as_is
from frostline_zoo.foreign.hugging_face.places import first_place, reshaped

INPUT = "input_ids"


class Tokens:
    """The input: ids (batch, places), of which one is padding, and up to `longest` places."""

    def __init__(self, canvas: Canvas, padding: int, longest: int) -> None:
        self.ids = canvas.input(INPUT, (None, None), as_is(2), "int32")
        self.longest = longest
        self._canvas = canvas
        self._padding = padding
        note = f"the input is token ids, up to {longest} of them; id {padding} is padding, which nothing attends to"
        canvas.report.notes.append(note)

    def mask(self) -> Held:
        """Returns the attention mask, (batch, 1, places): 0 where no place attends to."""
        return reshaped(self._canvas, "mask", self._are_tokens, (None, 1, None))

    def types(self) -> Held:
        """Returns the token type, (batch, 1)."""
        return self._zero

    def positions(self, *, of_tokens_alone: bool) -> Held:
        """Returns each place's row in the table of positions, (batch, places), as numbers that are rounded down.

        They count from 0 on; of tokens alone, from the padding's id + 1 on, and padding itself has its id's row.
        """
        canvas, before = self._canvas, -0.5  # half a row more: however the numbers are rounded, they are in theirs
        if of_tokens_alone:
            counted, before = self._counted(self._are_tokens), self._padding + 0.5
            counted = activations.merged(canvas, "positions.of_tokens", "Multiply", [counted, self._are_tokens])
        else:
            counted = self._counted(
                canvas.layer("positions.ones", "Rescaling", self.ids, {"scale": 0.0, "offset": 1.0})
            )
        few = activations.merged(canvas, "positions.few", "Add", [counted, self._zero])
        return activations.scaled(canvas, "positions", few, float(self.longest), before)

    @cached_property
    def _zero(self) -> Held:
        """(batch, 1), 0. More than `longest` places do not fit into it, so that whatever it is part of refuses them."""
        zeros = self._canvas.layer("zero.places", "Rescaling", self.ids, {"scale": 0.0, "offset": 0.0})
        return first_place(
            self._canvas, "zero", reshaped(self._canvas, "zero.column", zeros, (None, None, 1)), self.longest
        )

    @cached_property
    def _are_tokens(self) -> Held:
        """(batch, places), 1 for a token and 0 for padding: how far an id is from the padding's, up to 1."""
        config = {"scale": 1.0, "offset": float(-self._padding)}
        above = self._canvas.layer("mask.above", "Rescaling", self.ids, config)
        below = activations.scaled(self._canvas, "mask.below", above, -1.0)
        apart = activations.merged(self._canvas, "mask.apart", "Maximum", [above, below])
        return activations.relu(self._canvas, "mask.tokens", apart, max_value=1.0)

    def _counted(self, x: Held) -> Held:
        """Returns the sum of each place and all before it, divided by `longest`."""
        window = self.longest
        column = reshaped(self._canvas, "positions.column", x, (None, None, 1))
        padded = self._canvas.layer("positions.padded", "ZeroPadding1D", column, {"padding": [window - 1, 0]})
        config = {"pool_size": window, "strides": 1, "padding": "valid"}
        averages = self._canvas.layer("positions.averages", "AveragePooling1D", padded, config)
        return reshaped(self._canvas, "positions.counted", averages, (None, None))
