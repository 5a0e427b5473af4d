"""Names as people write them and as the wire does."""

from __future__ import annotations

import pytest

from frostline_client import names


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


@pytest.mark.parametrize("name", ["mnist:", "mnist@", "mnist@1:prod"])
def test_half_a_name_stays_one_that_the_server_refuses(name: str) -> None:
    wire = names.version_name(name)
    assert wire.endswith("/") or ":" in wire


@pytest.mark.parametrize(
    "wire", ["models/a.b", "models/a/versions/1", "models/a/tags/x", "datasets/d/versions/2", "jobs/j"]
)
def test_names_of_the_wire_come_back_from_their_short_form(wire: str) -> None:
    short = names.short_name(wire)
    forms = [names.model_name, names.version_name, names.dataset_name, names.job_name]
    assert wire in [form(short) for form in forms]
    assert "/" not in short
