"""Pages of a list: how many rows, and where the next page starts.

A page token holds the key of the last row given, so that a page stays right while rows come and go.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, Select
from sqlalchemy.sql.elements import ColumnElement

from frostline_zoo.errors import InvalidError

_Key = TypeVar("_Key", str, int)

DEFAULT_PAGE_SIZE = 100
LARGEST_PAGE_SIZE = 1000


def read_page(
    connection: Connection,
    statement: Select[Any],
    key: ColumnElement[Any],
    *,
    of: str,
    page_size: int,
    page_token: str,
    newest_first: bool = False,
) -> tuple[Sequence[Row[Any]], str]:
    """Returns one page of a statement's rows, in the order of their `key`, and the next page's token.

    Args:
        connection: where to read.
        statement: the whole list. It selects `key`, whose values are text or whole numbers, all different.
        key: what the rows are ordered by.
        of: what is listed; a token is good for this list only.
        page_size: the most rows; 0: 100; more than 1,000 counts as 1,000.
        page_token: the token that came with the page before; empty: the first page.
        newest_first: whether the largest key comes first.

    Raises:
        InvalidError: `page_size` is negative, or `page_token` did not come from this list.
    """
    size = checked_page_size(page_size)
    if page_token:
        after = decode_token(of, page_token, key.type.python_type)
        statement = statement.where(key < after if newest_first else key > after)
    statement = statement.order_by(key.desc() if newest_first else key).limit(size + 1)
    rows = connection.execute(statement).all()
    more = len(rows) > size
    return rows[:size], encode_token(of, rows[size - 1]._mapping[key]) if more else ""


def checked_page_size(page_size: int) -> int:
    """Returns how many rows a page has. Raises InvalidError where `page_size` is negative."""
    if page_size < 0:
        raise InvalidError(
            f"page_size {page_size} is negative: leave it out for {DEFAULT_PAGE_SIZE}",
            reason="BAD_PAGE_SIZE",
            field="page_size",
        )
    return min(page_size or DEFAULT_PAGE_SIZE, LARGEST_PAGE_SIZE)


def encode_token(of: str, last: str | int) -> str:
    """Returns the token of the page after the row with the key `last`."""
    return base64.urlsafe_b64encode(json.dumps([of, last]).encode()).decode()


def decode_token(of: str, page_token: str, kind: type[_Key]) -> _Key:
    """Returns the key of the last row before the page. Raises InvalidError where the token is of another list."""
    try:
        listed, last = json.loads(base64.b64decode(page_token, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, TypeError):
        listed = last = None
    if listed != of or not isinstance(last, kind):
        message = "page_token did not come from this list: start without one"
        raise InvalidError(message, reason="BAD_PAGE_TOKEN", field="page_token")
    return last
