"""Things of Keras, spelled as recipes spell them: `{"Dense": {"units": 5, "activation": "softmax"}}`.

The client has no Keras, so any name may be called; whether it is one, and takes these arguments, the server says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from frostline_client.errors import InvalidError

Spelled = dict[str, Any]


def speller(
    kind: str, name: str, positional: Mapping[str, Sequence[str]], default: Sequence[str] = ()
) -> Callable[..., Spelled]:
    """Returns the function that spells the thing `name`.

    Args:
        kind: what it is, for messages, such as `layers`.
        positional: by thing, the names of the arguments that Keras takes by position, in its order.
        default: the same for things that `positional` does not list.

    Raises:
        AttributeError: the name is private, and so no thing of Keras.
    """
    if name.startswith("_"):
        raise AttributeError(name)
    order = positional.get(name, default)

    def spell(*values: Any, **arguments: Any) -> Spelled:
        if len(values) > len(order):
            raise InvalidError(f"{kind}.{name} takes {len(order)} arguments by position here: name the others")
        named = dict(zip(order, values, strict=False))
        if twice := named.keys() & arguments.keys():
            raise InvalidError(f"{kind}.{name} has its {min(twice)} twice: by position and by name")
        return {name: {key: plain(value) for key, value in (named | arguments).items()}}

    spell.__name__ = spell.__qualname__ = name
    spell.__doc__ = f"Spells keras.{kind}.{name} for a recipe."
    return spell


def plain(value: Any) -> Any:
    """Returns `value` as JSON has it: tuples and arrays as lists, NumPy's numbers as Python's."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list | tuple) else value
