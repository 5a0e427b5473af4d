"""Networks and programs that stay from job to job: a job comes to what it would in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from frostline_server.training.zoo import ZooAccess
from frostline_zoo.errors import CorruptError
from frostline_zoo.graph import subgraph

pytestmark = pytest.mark.keras
Digits = Callable[..., tuple[np.ndarray, np.ndarray]]
Runs = Callable[..., Any]
Bits = Callable[[str], dict[str, bytes]]

HEAD = [{"Dense": {"units": 5, "activation": "softmax", "name": "top"}}]
DEEP = [{"Dense": {"units": 12, "activation": "elu", "name": f"h{number}"}} for number in (1, 2, 3)] + HEAD
CHILD: dict[str, Any] = {"base": "base", "reuse": {"through": "h3"}, "head": HEAD, "stages": [{"epochs": 2}]}
UNCACHED = {**CHILD, "cache": False}  # runs the base's layers, which stored features would stand in for


def opened(zoo: ZooAccess) -> ZooAccess:
    """Returns the zoo as another process would open it."""
    return ZooAccess(zoo.engine, zoo.blobs, zoo.models, zoo.datasets, zoo.features)


def stop_after(epochs: int, run: Runs, name: str, **keys: Any) -> None:
    """Runs a recipe until so many epochs have ended, and cancels it."""
    from frostline_server.training.events import EpochEnded
    from frostline_server.training.filling import Cancelled

    ended: list[EpochEnded] = []

    def note(event: Any) -> None:
        if isinstance(event, EpochEnded):
            ended.append(event)

    with pytest.raises(Cancelled):
        run(name, on=note, stop=lambda: len(ended) == epochs, **keys)


@pytest.fixture
def base(digits: Digits, run: Runs) -> None:
    digits("digits", count=60)
    run("base", head=DEEP, stages=[{"epochs": 1}])


THAWING = [{"epochs": 1}, {"freeze": {"through": "h1"}, "epochs": 2}]
THEN_FREEZING = [{"freeze": "none", "epochs": 1}, {"epochs": 1}]


@pytest.mark.parametrize("stages", [THAWING, THEN_FREEZING], ids=["thawing", "then freezing"])
def test_a_job_that_trains_the_base_leaves_it_to_the_next_job_as_it_was(
    base: None, zoo: ZooAccess, run: Runs, bits: Bits, stages: list[dict[str, Any]]
) -> None:
    from frostline_server.training.programs import Programs

    run("before", **UNCACHED)
    run("thawed", **{**CHILD, "stages": stages})
    assert bits("thawed")["h3/kernel"] != bits("base")["h3/kernel"]
    run("after", **UNCACHED)
    run("elsewhere", within=opened(zoo), compiled=Programs(), **UNCACHED)
    assert bits("after") == bits("elsewhere") == bits("before")


def test_a_job_that_goes_on_after_it_trained_the_base_leaves_it_as_it_was(
    base: None, zoo: ZooAccess, run: Runs, bits: Bits
) -> None:
    from frostline_server.training.programs import Programs

    keys = {**CHILD, "stages": [{"freeze": "none", "epochs": 1}, {"epochs": 2}]}
    stop_after(2, run, "resumed", **keys)
    another = opened(zoo)
    run("resumed", within=another, **keys)
    run("after", within=another, compiled=Programs(), **UNCACHED)
    run("elsewhere", within=opened(zoo), compiled=Programs(), **UNCACHED)
    assert bits("after") == bits("elsewhere")


def test_a_job_that_goes_on_leaves_no_program_over_the_layers_that_it_had_trained(
    base: None, zoo: ZooAccess, run: Runs, bits: Bits
) -> None:
    from frostline_server.training.programs import Programs

    keys = {**CHILD, "stages": THEN_FREEZING}
    stop_after(1, run, "resumed", **keys)
    here, compiled = opened(zoo), Programs()  # the process after a restart
    run("before", within=here, compiled=compiled, **UNCACHED)
    run("resumed", within=here, compiled=compiled, **keys)
    run("after", within=here, compiled=compiled, **UNCACHED)
    assert bits("after") == bits("before")


def test_a_program_that_trains_again_leaves_no_trunk_over_the_layers_of_the_job_before(
    base: None, zoo: ZooAccess, run: Runs, bits: Bits
) -> None:
    from frostline_server.training.programs import Programs

    compiled = Programs()
    run("first", compiled=compiled, **{**UNCACHED, "stages": THEN_FREEZING})
    faster = [{**THEN_FREEZING[0], "optimizer": {"Adam": {"learning_rate": 0.05}}}, THEN_FREEZING[1]]
    run("second", compiled=compiled, **{**UNCACHED, "stages": faster})
    run("child", compiled=compiled, **{**UNCACHED, "base": "first"})
    run("elsewhere", within=opened(zoo), compiled=Programs(), **{**UNCACHED, "base": "first"})
    assert bits("child") == bits("elsewhere")


def test_a_base_that_has_changed_on_disk_is_refused_although_it_is_built(base: None, zoo: ZooAccess, run: Runs) -> None:
    run("first", **CHILD)
    path = zoo.blobs.local_path(zoo.manifest_of("base").layer("h1").blob)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptError, match="has changed on the server's disk"):
        run("second", **CHILD)


def test_what_jobs_build_upon_a_network_is_taken_off_again(base: None, zoo: ZooAccess, run: Runs) -> None:
    within = opened(zoo)
    for number in range(3):
        run(f"child-{number}", within=within, **CHILD)
    from frostline_zoo.networks.build import build

    kept = subgraph(zoo.manifest_of("base"), "h3")
    assert within.built.network_of(kept, zoo.blobs.get, build).layers["h3"]._outbound_nodes == []


def test_another_learning_rate_runs_the_program_that_is_there_and_trains_as_it_says(
    base: None, zoo: ZooAccess, run: Runs, bits: Bits
) -> None:
    from frostline_server.training.programs import Programs

    def keys(rate: float) -> dict[str, Any]:
        return {**CHILD, "stages": [{"epochs": 2, "optimizer": {"SGD": {"learning_rate": rate, "momentum": 0.5}}}]}

    run("slow", **keys(0.01))
    run("fast", **keys(0.1))
    run("fresh", compiled=Programs(), **keys(0.1))
    assert bits("fast") == bits("fresh") != bits("slow")


def test_the_chance_of_a_bases_own_layers_follows_from_the_recipes_seed(
    digits: Digits, add_network: Callable[[str, Any], None], zoo: ZooAccess, run: Runs, bits: Bits
) -> None:
    import keras

    from frostline_server.training.programs import Programs

    digits("digits", count=60)
    below, drop, above = keras.layers.Dense(12, name="h1"), keras.layers.Dropout(0.5), keras.layers.Dense(8, name="h3")
    add_network("base", keras.Sequential([keras.Input((16,)), below, drop, above]))
    keys = {**CHILD, "stages": [{"freeze": {"through": "h1"}, "epochs": 2}]}
    for name in ("once", "twice"):
        run(name, within=opened(zoo), compiled=Programs(), **keys)
    assert bits("once") == bits("twice")
