"""What is fuzzed reads what it starts from, so that most of what a fuzzer tries is not refused at the first check."""

from __future__ import annotations

import pytest

from frostline_zoo.errors import ZooError
from tests.fuzz.targets import TARGETS, Target, without_checksums

READ = "read"
MOSTLY_HOSTILE = {"hdf5", "hdf5_weights", "safetensors"}
"""Targets that start from the hostile corpus, of which little is to be read."""


def told(target: Target, content: bytes) -> str:
    """Returns the reason by which a target refuses an input, or that it reads it."""
    try:
        target.read(content)
    except ZooError as refusal:
        return refusal.reason
    return READ


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.keras] * (name == "networks")) for name in TARGETS]
)
def test_a_target_says_of_its_seeds_without_checksums_what_it_says_with_them(name: str) -> None:
    target = TARGETS[name]()
    seeds = list(target.seeds())
    with_them = [told(target, seed) for seed in seeds]
    with without_checksums():
        without = [told(target, seed) for seed in seeds]
    assert without == with_them
    assert without.count(READ) > (0 if name in MOSTLY_HOSTILE else len(seeds) / 2)
