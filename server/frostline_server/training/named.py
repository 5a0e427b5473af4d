"""Things that a recipe names: of Keras by name and arguments, of the zoo by model and layer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from frostline_server.training.place import Place, named_by
from frostline_zoo.names import parse_model_reference


@dataclass(frozen=True)
class Named:
    """A thing of Keras by its name and arguments; `path` is where the recipe says so."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    path: str = ""

    @classmethod
    def read(cls, place: Place) -> Named:
        """Reads `Adam` or `{Adam: {learning_rate: 0.01}}`."""
        if isinstance(place.value, str) and place.value:
            return cls(place.value, {}, place.path)
        if isinstance(place.value, dict) and len(place.value) == 1:
            name, arguments = next(iter(place.value.items()))
            if arguments is None or isinstance(arguments, dict):
                return cls(name, arguments or {}, place.path)
        place.refuse("write a Keras name, or one name with its arguments, as in {Dense: {units: 5}}")

    def to_json(self) -> dict[str, Any]:
        """Returns `{name: arguments}`."""
        return {self.name: self.arguments}


@dataclass(frozen=True)
class Taken:
    """A layer of another model, with its weights.

    Attributes:
        model: as NAME, NAME:TAG or NAME@VERSION.
        layer: its name there or its index; None: the name of the layer that it replaces.
        path: where the recipe says so.
    """

    model: str
    layer: str | int | None
    path: str = ""

    @classmethod
    def read(cls, place: Place) -> Taken:
        """Reads `{from: MODEL, layer: LAYER}`."""
        fields = place.object("from", "layer")
        model = place.required(fields, "from").text("write a model: NAME, NAME:TAG or NAME@VERSION")
        with named_by(f"{place.path}.from"):
            parse_model_reference(model)
        return cls(model, fields["layer"].layer() if "layer" in fields else None, place.path)
