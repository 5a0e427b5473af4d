"""Request ids: once, and answered alike."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy import Engine, func, insert, select, update

from frostline_zoo.catalogue.database import now, reading
from frostline_zoo.catalogue.requests import KEPT, forget_old, once
from frostline_zoo.catalogue.tables import models, requests
from frostline_zoo.digests import digest_of
from frostline_zoo.errors import AlreadyExistsError, InvalidError

ID = str(uuid4())


def create(engine: Engine, request_id: str, body: bytes = b"body", answer: bytes = b"answer") -> bytes:
    with engine.begin() as connection:

        def make() -> bytes:
            count = connection.scalar(select(func.count()).select_from(models))
            connection.execute(insert(models).values(name=f"m{count}", created=now()))
            return answer

        return once(connection, "Create", request_id, digest_of(body), make)


def count_models(engine: Engine) -> int:
    with reading(engine) as connection:
        return connection.scalar(select(func.count()).select_from(models)) or 0


def test_a_repeated_request_takes_effect_once_and_is_answered_alike(engine: Engine) -> None:
    assert create(engine, ID, answer=b"first") == b"first"
    assert create(engine, ID, answer=b"second") == b"first"
    assert count_models(engine) == 1


def test_a_request_without_an_id_takes_effect_every_time(engine: Engine) -> None:
    for _ in range(2):
        create(engine, "")
    assert count_models(engine) == 2


def test_an_id_that_was_used_for_another_request_is_refused(engine: Engine) -> None:
    create(engine, ID)
    with pytest.raises(AlreadyExistsError, match=ID):
        create(engine, ID, body=b"other")
    assert count_models(engine) == 1


def test_an_id_is_forgotten_where_its_request_failed(engine: Engine) -> None:
    def fail() -> bytes:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), engine.begin() as connection:
        once(connection, "Create", ID, digest_of(b"body"), fail)
    assert create(engine, ID) == b"answer"


@pytest.mark.parametrize("text", ["7", "x" * 5000, ID.upper() + "!"])
def test_an_id_that_is_not_a_uuid_is_refused(engine: Engine, text: str) -> None:
    with pytest.raises(InvalidError, match="UUID"):
        create(engine, text)


def test_an_id_is_forgotten_after_a_week(engine: Engine) -> None:
    create(engine, ID)
    with engine.begin() as connection:
        connection.execute(update(requests).values(created=now() - KEPT * 1.01))
        forget_old(connection)
    create(engine, ID)
    assert count_models(engine) == 2
