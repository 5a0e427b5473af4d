"""Names as people write them and as the wire does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from frostline_client import names
from frostline_client.errors import InvalidError
from frostline_client.wording import worded


@pytest.mark.parametrize(
    ("written", "wire"),
    [
        ("mnist", "models/mnist/tags/latest"),
        ("mnist:prod", "models/mnist/tags/prod"),
        ("mnist@3", "models/mnist/versions/3"),
        ("models/mnist/versions/3", "models/mnist/versions/3"),
        ("models/mnist/tags/prod", "models/mnist/tags/prod"),
    ],
)
def test_a_version_is_named_by_number_or_by_tag(written: str, wire: str) -> None:
    assert names.version_name(written) == wire


@pytest.mark.parametrize(
    ("form", "wrong", "message"),
    [
        (names.version_name, "mnist:", "'mnist:' does not name a model: write NAME, NAME:TAG or NAME@VERSION"),
        (names.version_name, "mnist@0", "'mnist@0' does not name a model"),
        (names.version_name, "mnist@1:prod", "'mnist@1:prod' does not name a model"),
        (names.model_name, "Up per", "'Up per' cannot name a model: use 1 to 63 of a-z 0-9 . _ -, starting with"),
        (names.dataset_name, "d@2", "'d@2' cannot name a dataset"),
        (names.dataset_version_name, "d:2", "'d:2' does not name a dataset: write NAME or NAME@VERSION"),
        (names.job_name, "abc", "'abc' is no job's id, which is 12 of a-z 0-9"),
    ],
)
def test_what_cannot_be_a_name_is_refused_as_it_was_written(
    form: Callable[[str], str], wrong: str, message: str
) -> None:
    with pytest.raises(InvalidError) as refused:
        form(wrong)
    assert refused.value.message.startswith(message)
    assert "models/" not in refused.value.message


@pytest.mark.parametrize(
    "wire", ["models/a.b", "models/a/versions/1", "models/a/tags/x", "datasets/d/versions/2", "jobs/abcdefghij12"]
)
def test_names_of_the_wire_come_back_from_their_short_form(wire: str) -> None:
    short = names.short_name(wire)
    found = []
    for form in (names.model_name, names.version_name, names.dataset_version_name, names.job_name):
        try:
            found.append(form(short))
        except InvalidError:
            continue
    assert wire in found
    assert "/" not in short


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("no models/a/versions/9: see the versions of models/a", "no a@9: see the versions of model a"),
        ("models/a/tags/prod has moved since", "a:prod has moved since"),
        ("datasets/d is used by jobs/abcdefghij12: wait", "dataset d is used by job abcdefghij12: wait"),
        ("no datasets/d/versions/3: its newest", "no d@3: its newest"),
        ("'models/a' does not name a model", "'models/a' does not name a model"),
        ("see https://example.org/models/a", "see https://example.org/models/a"),
    ],
)
def test_messages_name_things_as_people_do_but_for_what_somebody_wrote(message: str, shown: str) -> None:
    assert worded(message) == shown
