"""What of the base a recipe reuses, and what surgery it does on that. docs/recipes.md describes every key."""

from __future__ import annotations

from dataclasses import dataclass

from frostline_server.training.named import Named, Taken
from frostline_server.training.place import Place
from frostline_zoo.preprocessing import INTERPOLATIONS


@dataclass(frozen=True)
class Insertion:
    """A layer put behind `after`, a layer or an input of the base."""

    after: str | int
    layer: Named | Taken

    @classmethod
    def read(cls, place: Place) -> Insertion:
        """Reads `{after, layer}`."""
        fields = place.object("after", "layer")
        layer = _layer(place.required(fields, "layer"))
        if isinstance(layer, Taken) and layer.layer is None:
            fields["layer"].required({}, "layer")
        return cls(place.required(fields, "after").layer(), layer)


@dataclass(frozen=True)
class NewInput:
    """Another input shape; `resize`: how examples are resized where the layers do not allow it; None: refuse then."""

    shape: tuple[int | None, ...]
    resize: str | None = None

    @classmethod
    def read(cls, place: Place) -> NewInput:
        """Reads `{shape, resize}`."""
        fields = place.object("shape", "resize")
        sides = place.required(fields, "shape").items("write a list of sides without the batch, as in [64, 64, 3]", 1)
        shape = tuple(None if side.value is None else side.integer(1, 1 << 16) for side in sides)
        resize = fields["resize"].value if "resize" in fields else None
        if resize not in (None, *INTERPOLATIONS):
            fields["resize"].refuse(f"write one of {', '.join(INTERPOLATIONS)}")
        return cls(shape, resize)


@dataclass(frozen=True)
class Reuse:
    """What of the base is kept, and how it is changed.

    Attributes:
        through: the layers up to which it is kept; empty: all but those that make its outputs.
        drop: layers taken out; what they fed is fed by what fed them.
        replace: layers, by name or index as text, exchanged for others in all their places.
        insert: layers put in, those behind one layer from the bottom up.
        rename: new names of layers.
        input: another input shape.
    """

    through: tuple[str | int, ...] = ()
    drop: tuple[str | int, ...] = ()
    replace: tuple[tuple[str, Named | Taken], ...] = ()
    insert: tuple[Insertion, ...] = ()
    rename: tuple[tuple[str, str], ...] = ()
    input: NewInput | None = None

    @classmethod
    def read(cls, place: Place) -> Reuse:
        """Reads `{through, drop, replace, insert, rename, input}`."""
        fields = place.object("through", "drop", "replace", "insert", "rename", "input")
        fields = {key: part for key, part in fields.items() if part.value is not None}
        several = "write a list of layers' names or indices"
        through: tuple[str | int, ...] = ()
        if "through" in fields:
            is_list = isinstance(fields["through"].value, list)
            listed = fields["through"].items(several, 1) if is_list else [fields["through"]]
            through = tuple(layer.layer() for layer in listed)
        return cls(
            through,
            tuple(layer.layer() for layer in fields["drop"].items(several)) if "drop" in fields else (),
            tuple((layer, _layer(new)) for layer, new in _pairs(fields, "replace")),
            tuple(map(Insertion.read, fields["insert"].items("write a list, as in [{after: LAYER, layer: Dropout}]")))
            if "insert" in fields
            else (),
            tuple((layer, name.text("write the layer's new name")) for layer, name in _pairs(fields, "rename")),
            NewInput.read(fields["input"]) if "input" in fields else None,
        )

    @property
    def changes(self) -> bool:
        """Whether it changes what it keeps."""
        return bool(self.drop or self.replace or self.insert or self.rename or self.input)

    def taken(self) -> list[Taken]:
        """Returns the layers of other models, in order."""
        layers = [layer for _, layer in self.replace] + [each.layer for each in self.insert]
        return [layer for layer in layers if isinstance(layer, Taken)]


def _layer(place: Place) -> Named | Taken:
    if isinstance(place.value, dict) and "from" in place.value:
        return Taken.read(place)
    return Named.read(place)


def _pairs(fields: dict[str, Place], key: str) -> list[tuple[str, Place]]:
    if key not in fields:
        return []
    if not isinstance(fields[key].value, dict):
        fields[key].refuse("write an object of layers, as in {top: ...}")
    return list(fields[key].object(*fields[key].value).items())
