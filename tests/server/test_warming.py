"""A worker that is warm never again looks through all that it loaded."""

from __future__ import annotations

import gc

import pytest

from frostline_server.jobs.warming import warm_up


@pytest.mark.parametrize("train", [False, True])
def test_what_is_loaded_is_left_out_of_garbage_collections(train: bool) -> None:
    try:
        warm_up(train=train)
        assert gc.get_freeze_count() > len(gc.get_objects())
    finally:
        gc.unfreeze()
