"""Request ids: a request that is repeated takes effect once, and is answered as it was the first time."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import Connection, delete, insert, select

from frostline_zoo.catalogue.database import now
from frostline_zoo.catalogue.tables import requests
from frostline_zoo.errors import AlreadyExistsError, InvalidError

KEPT = timedelta(days=7)


def once(connection: Connection, method: str, request_id: str, request_digest: str, make: Callable[[], bytes]) -> bytes:
    """Returns what `make` returns; for a request that is repeated, what it returned the first time.

    The answer is written in the caller's transaction, with whatever `make` writes there: both or neither.

    Args:
        connection: in a writing transaction.
        method: the call, such as `ImportModel`.
        request_id: a UUID chosen by the client; empty: always make.
        request_digest: the digest of what is asked for.
        make: takes effect, and returns the answer's bytes.

    Raises:
        AlreadyExistsError: the id was used for another request.
        InvalidError: the id is not a UUID.
    """
    answer = answered(connection, method, request_id, request_digest)
    if answer is not None:
        return answer
    answer = make()
    if request_id:
        row = {"method": method, "request_id": request_id, "request_digest": request_digest, "response": answer}
        connection.execute(insert(requests).values(**row, created=now()))
    return answer


def answered(connection: Connection, method: str, request_id: str, request_digest: str) -> bytes | None:
    """Returns what the request was answered the first time; None where this is the first time.

    Raises:
        AlreadyExistsError: the id was used for another request.
        InvalidError: the id is not a UUID.
    """
    if not checked_request_id(request_id):
        return None
    found = connection.execute(
        select(requests.c.request_digest, requests.c.response)
        .where(requests.c.method == method)
        .where(requests.c.request_id == request_id)
    ).one_or_none()
    if found is None:
        return None
    if found.request_digest != request_digest:
        message = f"request_id {request_id} was used for another request: choose a new one"
        raise AlreadyExistsError(message, reason="REQUEST_ID_REUSED", request_id=request_id)
    answer: bytes = found.response
    return answer


def checked_request_id(request_id: str) -> str:
    """Returns `request_id` where it is empty or a UUID. Raises InvalidError."""
    try:
        if request_id and str(uuid.UUID(request_id)) != request_id:
            raise ValueError(request_id)
    except ValueError:
        message = f"request_id {request_id[:80]!r} is not a UUID: write it as in {uuid.UUID(int=0)}"
        raise InvalidError(message, reason="BAD_REQUEST_ID", field="request_id") from None
    return request_id


def forget_old(connection: Connection) -> None:
    """Forgets requests of more than a week ago."""
    connection.execute(delete(requests).where(requests.c.created < now() - KEPT))
