"""Stock: how many of a stage's rows the store has, and how many have to be computed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from frostline_server.features.equals import missing_once
from frostline_server.features.segment import feature_keys
from frostline_server.features.store import FeatureStore
from frostline_server.training.frozen import Frozen, Level, Part


class Stock(NamedTuple):
    """Rows of one cut.

    Attributes:
        present: how many are in the store, or will be.
        missing: how many have to be computed, so that none is missing: of equal ones one.
    """

    present: int
    missing: int


def stock_of(
    frozen: Frozen,
    level: Level,
    parts: Sequence[tuple[Part, list[int]]],
    store: FeatureStore | None,
    beside: Collection[tuple[str, str]] = (),
) -> Stock:
    """Returns how many rows there are.

    Args:
        frozen: the network that they are of.
        level: the cut, and how its rows are kept.
        parts: the examples, and which views of them.
        store: where they may be; None: nowhere.
        beside: what other stages store, as digest and dtype, and so will be there.
    """
    present = missing = 0
    for part, views in parts:
        digests = part.examples.digests[part.places]
        tensors = frozen.tensors(level, is_image=part.examples.spec.is_image, with_views=views != [0])
        opened = [
            (tensor, store.open(tensor.digest, tensor.shape, tensor.kept_dtype))
            for tensor in tensors
            if store is not None and tensor.digest
        ]
        for view in views:
            there = np.full(len(part), bool(opened))
            for tensor, rows in opened:
                if (tensor.digest, tensor.kept_dtype) not in beside:
                    there &= rows.find(feature_keys(digests, view if tensor.varies else 0)).are_there
            present += int(there.sum())
            missing += len(missing_once(digests, ~there)[0])
    return Stock(present, missing)
