"""Every hostile file is refused by a real server, and leaves nothing; every benign one is taken in.

And each half of the defence alone: the rules without the jail, the jail without the rules. `python -m tests.hostile`
prints the table.
"""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.hostile.halves import MOST_BYTES, by_the_rules_alone, harm_without_rules
from tests.hostile.hdf5_samples import with_secret
from tests.hostile.real_server import RealServer
from tests.hostile.sample import EXHAUSTED, INVALID, TAKEN, Canaries, Sample

MOST_SECONDS = 15
MOST_GROWTH_BYTES = 50_000_000
AT_ONCE = 20
FLIPPED = 12
NAMES = ["a\0b", "..", "../a", "%2e%2e", "a\u202eb", "a\\b", "a;b", "a b", "A", "a/b", "", "x" * 64]


def test_every_hostile_file_is_refused_and_leaves_nothing(
    server: RealServer, hostile: list[Sample], canaries: Canaries
) -> None:
    canaries.reset()
    before, models = server.stored(), server.model_names()
    found = {sample.number: server.send(sample, "hostile") for sample in hostile}
    assert {sample.number: found[sample.number] for sample in hostile if not found[sample.number].fits(sample)} == {}
    slow = [sample for sample in hostile if found[sample.number].seconds > MOST_SECONDS]  # or the machine was busy
    assert [sample for sample in slow if server.send(sample, "hostile").seconds > MOST_SECONDS] == []
    assert 0 < max(outcome.jail_bytes for outcome in found.values()) <= MOST_BYTES
    assert (server.stored(), server.model_names()) == (before, models)
    assert list((server.data / "staging").iterdir()) == []
    assert canaries.disturbed() == []


@pytest.mark.keras
def test_every_benign_file_is_taken_in(server: RealServer, benign: list[Sample], canaries: Canaries) -> None:
    canaries.reset()
    assert {sample.number[:3] for sample in benign} == {f"B{number:02}" for number in range(1, 18)}
    found = {sample.number: server.send(sample, sample.number.lower()) for sample in benign}
    assert {number: outcome for number, outcome in found.items() if outcome.status != TAKEN} == {}
    assert canaries.disturbed() == []  # what stands beside some of them would act if it were read


def test_many_hostile_files_at_once_neither_stop_the_server_nor_fill_its_memory(
    server: RealServer, hostile: list[Sample]
) -> None:
    largest = sorted(hostile, key=lambda sample: len(sample.content))[-AT_ONCE:]
    before, server.watch.server_bytes = server.watch.server_now(), 0
    for _ in range(2):  # what is kept of the first would be there beside the second
        with ThreadPoolExecutor(AT_ONCE) as threads:
            sent = [threads.submit(server.send, sample, "hostile") for sample in largest]
            while not all(each.done() for each in sent):
                assert server.is_serving()
        ended = [(each.result(), sample) for each, sample in zip(sent, largest, strict=True)]
        assert [(outcome, sample) for outcome, sample in ended if not outcome.fits(sample)] == []
    assert server.watch.server_bytes - before <= MOST_GROWTH_BYTES
    assert server.is_serving()


def test_files_with_flipped_bits_are_read_or_refused(server: RealServer, corpus: dict[str, Sample]) -> None:
    """M30. What a bit changes may be a number, and then the file is another good one."""
    random_bits = random.Random(30)
    good = corpus["B06"].content
    for _ in range(FLIPPED):
        content = bytearray(good)
        for _ in range(8):
            content[random_bits.randrange(8, len(content))] ^= 1 << random_bits.randrange(8)
        outcome = server.send(Sample("M30", "flipped bits", "x.h5", bytes(content), INVALID), "flipped")
        assert outcome.status in (TAKEN, INVALID, EXHAUSTED), outcome
    assert list((server.data / "staging").iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_names_that_mislead_are_refused(server: RealServer, corpus: dict[str, Sample], name: str) -> None:
    """M76."""
    assert server.send(corpus["B06"], name).status == INVALID


@pytest.mark.keras
def test_the_rules_alone_refuse_every_hostile_file(hostile: list[Sample], canaries: Canaries) -> None:
    canaries.reset()
    found = {sample.number: by_the_rules_alone(sample) for sample in hostile}
    wrong = [
        (sample.number, found[sample.number])
        for sample in hostile
        if found[sample.number][0] != sample.status or found[sample.number][1] not in sample.reasons
    ]
    assert wrong == []
    assert canaries.disturbed() == []


def test_the_jail_alone_holds_a_reader_without_rules(hostile: list[Sample], canaries: Canaries, tmp_path: Path) -> None:
    control = Sample("C01", "what it is sent, it can read", "x.h5", with_secret(canaries), TAKEN)
    in_the_open = harm_without_rules([*hostile, control], canaries, tmp_path / "open", locked=False)
    assert len([number for number, harm in in_the_open.items() if harm]) > len(hostile) // 3
    assert set().union(*in_the_open.values()) >= {"read", "written", "changed", "connected", "written elsewhere"}
    locked = harm_without_rules([*hostile, control], canaries, tmp_path / "locked", locked=True)
    assert {number: harm for number, harm in locked.items() if harm} == {"C01": {"read"}}
