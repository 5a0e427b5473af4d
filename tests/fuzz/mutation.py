"""Changes of structured inputs: messages, JSON and text, so that most of what is tried gets past the first parser."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Literal

from google.protobuf.descriptor import FieldDescriptor

Change = Callable[[bytes, Random], bytes]
"""Gives bytes that differ a little."""

SEPARATOR = b"\n--------\n"
"""Stands between the files of an input that has several."""

NUMBERS = (0, 1, -1, 2, 3, 4, 5, 7, 8, 9, 16, 100, 255, 1 << 16, (1 << 31) - 1, -(1 << 31), 1 << 40, (1 << 63) - 1)
_TOKEN = re.compile(r"\"[^\"]*\"|'[^']*'|[A-Za-z0-9_.+-]+|\S")


def in_one_of(*changes: Change | None) -> Change:
    """Returns what changes one file of several; a file whose change is None stays as it is."""

    def change(content: bytes, random: Random) -> bytes:
        parts = content.split(SEPARATOR)
        at = random.choice([at for at, each in enumerate(changes) if each is not None and at < len(parts)] or [0])
        chosen = changes[at]
        if chosen is not None:
            parts[at] = chosen(parts[at], random)
        return SEPARATOR.join(parts)

    return change


def in_header(order: Literal["big", "little"], change: Change) -> Change:
    """Returns what changes a header that stands behind its length in eight bytes."""

    def changed(content: bytes, random: Random) -> bytes:
        size = int.from_bytes(content[:8], order)
        header = change(content[8 : 8 + size], random)
        return len(header).to_bytes(8, order) + header + content[8 + size :]

    return changed


def of_messages(kind: Any, words: Sequence[str]) -> Change:
    """Returns what changes a message of Protocol Buffers; `kind` is its class."""

    def change(content: bytes, random: Random) -> bytes:
        message = kind.FromString(content)
        for _ in range(random.choice((1, 1, 2, 4))):
            _change_message(message, random, words)
        return bytes(message.SerializeToString())

    return change


def of_json(words: Sequence[str]) -> Change:
    """Returns what changes a value in a JSON text."""

    def change(content: bytes, random: Random) -> bytes:
        value = json.loads(content)
        for _ in range(random.choice((1, 1, 2, 4))):
            places = list(_places(value))
            if places:
                holder, key = random.choice(places)
                _change_place(holder, key, random, places, words)
        return json.dumps(value).encode()

    return change


def of_text(words: Sequence[str]) -> Change:
    """Returns what changes the tokens of a text."""

    def change(content: bytes, random: Random) -> bytes:
        tokens = _TOKEN.findall(content.decode())
        for _ in range(random.choice((1, 1, 2, 4))):
            at = random.randrange(len(tokens) + 1)
            kind = random.randrange(5)
            if kind == 0:
                del tokens[at : at + random.choice((1, 1, 2, 5))]
            elif kind == 1:
                tokens[at:at] = tokens[at : at + random.choice((1, 3, 9))]
            elif kind == 2 and tokens:
                tokens[at : at + 1] = [random.choice(tokens)]
            else:
                tokens[at : at + 1] = [random.choice(words) if kind == 3 else str(random.choice(NUMBERS))]
        return " ".join(tokens).encode()

    return change


def _messages(message: Any) -> list[Any]:
    found = [message]
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for inner in value if field.label == FieldDescriptor.LABEL_REPEATED else [value]:
                found += _messages(inner)
    return found


def _change_message(top: Any, random: Random, words: Sequence[str]) -> None:
    everything = _messages(top)
    message = random.choice(everything)
    fields = [field for field, _ in message.ListFields()]
    field = random.choice(fields if fields and random.random() < 0.8 else message.DESCRIPTOR.fields)
    alike = [each for each in everything if each.DESCRIPTOR is field.message_type]
    if field.label == FieldDescriptor.LABEL_REPEATED:
        _change_list(getattr(message, field.name), field, alike, random, words)
    elif random.random() < 0.15:
        message.ClearField(field.name)
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        getattr(message, field.name).SetInParent()
        if alike:
            getattr(message, field.name).CopyFrom(_copied(random.choice(alike)))
    else:
        _set(message, field, _scalar(field, getattr(message, field.name), everything, random, words))


def _change_list(values: Any, field: Any, alike: list[Any], random: Random, words: Sequence[str]) -> None:
    kind, at = random.randrange(4), random.randrange(len(values)) if len(values) else 0
    if kind == 0 and len(values):
        del values[at]
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        if alike and kind < 3:
            values.append(_copied(random.choice(alike)))
        elif len(values) > 1:
            values[at].CopyFrom(_copied(random.choice(values)))
        else:
            values.add()
    else:
        scalar = _scalar(field, values[at] if len(values) else None, [], random, words)
        try:
            if kind == 1 or not len(values):
                values.append(scalar)
            else:
                values[at] = scalar
        except ValueError:  # a number that the field cannot hold
            return


def _copied(message: Any) -> Any:
    return type(message).FromString(message.SerializeToString())


def _set(message: Any, field: Any, value: Any) -> None:
    try:
        setattr(message, field.name, value)
    except ValueError:  # a number that the field cannot hold
        return


def _scalar(field: Any, now: Any, everything: list[Any], random: Random, words: Sequence[str]) -> Any:
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        others = [getattr(each, other.name) for each in everything for other, _ in each.ListFields() if other is field]
        plain = [each for each in others if isinstance(each, str | bytes)]
        made = random.choice(plain) if plain and random.random() < 0.5 else random.choice(words)
        is_bytes = field.type == FieldDescriptor.TYPE_BYTES
        if is_bytes and now and random.random() < 0.5:
            return now[: random.randrange(len(now) + 1)] if random.random() < 0.5 else now + bytes(random.randrange(9))
        return made.encode() if is_bytes and isinstance(made, str) else made
    if field.cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return random.choice((0.0, 1.0, -1.0, 0.5, 1e30, float("nan"), float("inf"), float(random.randrange(10))))
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return not now
    return random.choice(NUMBERS) if random.random() < 0.6 else int(now or 0) + random.choice((1, -1))


def _places(value: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        here = waiting.pop()
        keys: list[Any] = []
        if isinstance(here, dict | list):
            keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        found += [(here, key) for key in keys]
        waiting += [here[key] for key in keys]
    return found


def _change_place(holder: Any, key: Any, random: Random, places: list[tuple[Any, Any]], words: Sequence[str]) -> None:
    kind = random.randrange(6)
    if kind == 0:
        del holder[key]
    elif kind == 1:
        other, at = random.choice(places)
        if at in other if isinstance(other, dict) else at < len(other):
            holder[key] = json.loads(json.dumps(other[at]))
    elif kind == 2:
        holder[key] = random.choice(NUMBERS)
    elif kind == 3:
        holder[key] = random.choice(words)
    elif kind == 4 and isinstance(holder, list):
        holder.insert(key, holder[key])
    elif kind == 4:
        holder[random.choice(words)] = holder[key]
    else:
        holder[key] = random.choice((None, True, False, [], {}, "", 1.5, 1e300, [holder[key]], {"a": 1}, [1, 2, 3]))
