"""The text format of Protocol Buffers, in which Caffe describes networks, parsed in one loop to a limited depth.

name: "net"  layer { name: "conv" convolution_param { pad: [1, 1] } }
"""

from __future__ import annotations

import re
from typing import Self

from frostline_zoo.errors import ExhaustedError, InvalidError
from frostline_zoo.foreign.caffe_network.refusals import bad_caffe

MAX_BYTES = 1 << 20
_MAX_DEPTH = 100
_TOKEN = re.compile(
    r"""\s+ | \#[^\n]* | (?P<mark>[{}<>\[\]:,;]) | (?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
    r""" | (?P<word>[A-Za-z0-9_.+-]+)""",
    re.VERBOSE,
)
_CLOSES = {"}": "{", ">": "<"}


class Message:
    """One message: for each field its values, in the order of the text."""

    def __init__(self) -> None:
        self.fields: dict[str, list[str | Message]] = {}

    def messages(self, key: str) -> list[Message]:
        """Returns the values of a field that are messages."""
        return [value for value in self.fields.get(key, []) if isinstance(value, Message)]

    def message(self, key: str) -> Message:
        """Returns the last value of a field that is a message; an empty one where there is none."""
        return (self.messages(key) or [Message()])[-1]

    def words(self, key: str) -> list[str]:
        """Returns the values of a field that are none."""
        return [value for value in self.fields.get(key, []) if isinstance(value, str)]

    def word(self, key: str, default: str = "") -> str:
        """Returns the last value of a field."""
        return (self.words(key) or [default])[-1]

    def ints(self, key: str) -> list[int]:
        """Returns the values of a field as whole numbers. Raises InvalidError."""
        try:
            return [int(value, 0) for value in self.words(key)]
        except ValueError as error:
            raise bad_caffe(f"{key} is no whole number") from error

    def int(self, key: str, default: int) -> int:
        """Returns the last value of a field as a whole number. Raises InvalidError."""
        return (self.ints(key) or [default])[-1]

    def float(self, key: str, default: float) -> float:
        """Returns the last value of a field as a number. Raises InvalidError."""
        try:
            return float((self.words(key) or [str(default)])[-1].rstrip("f"))
        except ValueError as error:
            raise bad_caffe(f"{key} is no number") from error

    def bool(self, key: str, default: bool) -> bool:
        """Returns the last value of a field as true or false."""
        return self.word(key, str(default)).lower() in ("true", "1", "t")

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Returns the message that a text writes.

        Raises:
            InvalidError: it writes none (BAD_CAFFE), or is nested more than 100 deep (LIMIT_DEPTH).
            ExhaustedError: it is longer than 1 MiB (LIMIT_HEADER).
        """
        if len(content) > MAX_BYTES:
            raise ExhaustedError("the .prototxt is longer than 1 MiB: take a smaller network", reason="LIMIT_HEADER")
        top = cls()
        stack: list[tuple[Message, str]] = [(top, "")]
        key, listing, follows = "", False, False
        for kind, token in _tokens(content.decode("utf-8", "replace")):
            here = stack[-1][0]
            if kind == "mark" and token in "{<" and key:
                inner = Message()
                here.fields.setdefault(key, []).append(inner)
                stack.append((inner, token))
                if len(stack) > _MAX_DEPTH:
                    text = f"the .prototxt is nested more than {_MAX_DEPTH} deep: send the one that Caffe wrote"
                    raise InvalidError(text, reason="LIMIT_DEPTH")
                key, follows = "", False
            elif kind == "mark" and token in "}>" and not (key or listing) and stack[-1][1] == _CLOSES[token]:
                stack.pop()
            elif kind == "mark" and token == ":" and key and not follows:
                follows = True
            elif kind == "mark" and token == "[" and key and follows and not listing:
                listing = True
            elif kind == "mark" and token == "]" and listing:
                key, listing, follows = "", False, False
            elif kind == "mark" and token in ",;" and (listing or not key):
                continue
            elif kind != "mark" and key and follows:
                here.fields.setdefault(key, []).append(token)
                if not listing:
                    key, follows = "", False
            elif kind == "word" and not key:
                key = token
            else:
                raise bad_caffe(f"its .prototxt has {token[:20]!r} where that cannot stand")
        if len(stack) > 1 or key:
            raise bad_caffe("its .prototxt breaks off")
        return top


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise bad_caffe(f"its .prototxt has {text[at]!r} where that cannot stand")
        at = match.end()
        if match.lastgroup is not None:
            token = match[match.lastgroup]
            found.append((match.lastgroup, token[1:-1] if match.lastgroup == "text" else token))
    return found
