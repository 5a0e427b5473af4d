"""Prints what becomes of the hostile corpus, as a table: `python -m tests.hostile`, from the root of the repository."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.hostile.corpus import corpus, kind_of
from tests.hostile.exported_samples import samples as exported
from tests.hostile.halves import by_the_rules_alone, harm_without_rules
from tests.hostile.real_server import Outcome, real_server
from tests.hostile.sample import Canaries, Sample

_COLUMNS = (
    "file",
    "hostile",
    "refused",
    "by the rules alone",
    "harm with neither",
    "harm in the jail alone",
    "slowest, seconds",
    "most memory, MB",
)


def main(folder: Path) -> None:
    """Tries all samples, and prints."""
    for name in ("canaries", "corpus", "exported"):
        (folder / name).mkdir()
    canaries = Canaries(folder / "canaries")
    samples = corpus(canaries, folder / "corpus")
    hostile = [sample for sample in samples.values() if sample.is_hostile]
    benign = [sample for sample in samples.values() if not sample.is_hostile] + list(exported(folder / "exported"))
    with real_server(folder / "data") as server:
        server.warm_up(samples["B01"])
        taken = [server.send(sample, sample.number.lower()) for sample in benign]
        sent = {sample.number: server.send(sample, "hostile") for sample in hostile}
    alone = {sample.number: by_the_rules_alone(sample) for sample in hostile}
    harm = [harm_without_rules(hostile, canaries, folder / f"{locked}", locked=locked) for locked in (False, True)]

    def row(title: str, of: Sequence[Sample]) -> tuple[str, ...]:
        def count(has: Callable[[Sample], object]) -> str:
            return str(sum(bool(has(sample)) for sample in of))

        outcomes = [sent[sample.number] for sample in of]
        return (
            title,
            str(len(of)),
            count(lambda sample: sent[sample.number].fits(sample)),
            count(lambda sample: _fits(alone[sample.number], sample)),
            *(count(lambda sample, kind=kind: kind[sample.number]) for kind in harm),  # type: ignore[misc]
            f"{max(outcome.seconds for outcome in outcomes):.1f}",
            f"{max(outcome.jail_bytes for outcome in outcomes) / 1e6:.0f}",
        )

    kinds = dict.fromkeys(kind_of(sample) for sample in hostile)
    _print(_COLUMNS)
    _print(["---"] * len(_COLUMNS))
    for kind in kinds:
        _print(row(kind, [sample for sample in hostile if kind_of(sample) == kind]))
    _print(row("all", hostile))
    good = sum(outcome.fits(sample) for outcome, sample in zip(taken, benign, strict=True))
    print(f"\n{good} of {len(benign)} benign files are taken in.")
    largest = max(hostile, key=lambda sample: sent[sample.number].jail_bytes)
    print(f"The most memory is taken by {largest.number}, {largest.what}.")
    for sample in hostile:
        if not sent[sample.number].fits(sample) or not _fits(alone[sample.number], sample):
            print(f"{sample.number}, {sample.what}: {sent[sample.number]}, alone {alone[sample.number]}")


def _fits(found: tuple[str, str], sample: Sample) -> bool:
    return Outcome(*found, seconds=0, jail_bytes=0).fits(sample)


def _print(cells: Sequence[str]) -> None:
    print("|", " | ".join(cells), "|")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o777)
        main(Path(made))
