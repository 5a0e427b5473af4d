"""FeatureService: what is cached is listed and pruned, through a real server on a real folder of features."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from frostline.v1 import feature_service_pb2 as pb
from frostline.v1.feature_service_pb2_grpc import FeatureServiceStub
from frostline_server.embedded import serve
from frostline_server.features.segment import feature_keys
from frostline_server.features.store import FeatureStore

TRUNKS = ["sha256:" + digit * 64 for digit in "abc"]
GIBIBYTE = 1 << 30


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Path]]:
    """The service, and the folder of its features."""
    data = tmp_path_factory.mktemp("cached")
    served = serve(data, workers=False, options=["--feature-bytes", "1GiB"])
    with served as address, grpc.insecure_channel(address) as channel:
        yield FeatureServiceStub(channel), data / "features"


@pytest.fixture
def service(cached: tuple[Any, Path]) -> Any:
    """The service with four entries: three trunks of forty rows, the first one in two dtypes."""
    service, folder = cached
    service.PruneFeatures(pb.PruneFeaturesRequest(all=True))
    store = FeatureStore(folder)
    keys = feature_keys(np.random.default_rng(1).integers(0, 256, (40, 32), dtype=np.uint8))
    for trunk, dtype in [(TRUNKS[0], "float16"), *((trunk, "float32") for trunk in TRUNKS)]:
        rows = store.open(trunk, (3, 2), dtype)
        store.append(rows, keys, np.ones((40, 3, 2), dtype))
        store.note_use(rows, 0, 40, 0.25)
    store.note_use(store.open(TRUNKS[1], (3, 2), "float32"), 400, 0, None)
    return service


def listed(service: Any, page_size: int = 0) -> list[tuple[str, str]]:
    """Returns the identities of all trunks, read in pages of `page_size`."""
    found, request = [], pb.ListTrunksRequest(page_size=page_size)
    while True:
        page = service.ListTrunks(request)
        found += [(trunk.digest, trunk.dtype) for trunk in page.trunks]
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


def prune(service: Any, **which: Any) -> tuple[int, int]:
    answer = service.PruneFeatures(pb.PruneFeaturesRequest(**which))
    return answer.row_count, answer.in_use_count


def test_a_trunk_is_listed_with_how_it_was_used(service: Any) -> None:
    page = service.ListTrunks(pb.ListTrunksRequest())
    used = page.trunks[2]
    assert (used.digest, used.dtype, used.shape, used.row_count) == (TRUNKS[1], "float32", "3,2", 40)
    assert (used.hit_count, used.miss_count, used.seconds_per_row) == (400, 40, 0.25)
    assert datetime.now(UTC) - used.last_use_time.ToDatetime(UTC) < timedelta(minutes=1)
    assert page.total_size_bytes == sum(trunk.size_bytes for trunk in page.trunks) > 40 * 6 * (3 * 4 + 2)
    assert page.budget_bytes == GIBIBYTE


@pytest.mark.parametrize("page_size", [1, 2, 3, 4])
def test_pages_go_by_digest_and_dtype(service: Any, page_size: int) -> None:
    everything = [(TRUNKS[0], "float16"), *((trunk, "float32") for trunk in TRUNKS)]
    assert listed(service, page_size) == everything


def test_a_trunk_is_pruned_in_every_dtype(service: Any) -> None:
    assert prune(service, digest=TRUNKS[0]) == (80, 0)
    assert listed(service) == [(TRUNKS[1], "float32"), (TRUNKS[2], "float32")]


def test_validating_removes_nothing_and_says_what_would_go(service: Any) -> None:
    assert prune(service, all=True, validate_only=True) == (160, 0)
    assert len(listed(service)) == 4
    assert prune(service, all=True) == (160, 0)
    assert listed(service) == []
    assert prune(service, all=True) == (0, 0)


def test_what_was_not_used_for_long_is_pruned(service: Any, cached: tuple[Any, Path]) -> None:
    use = cached[1] / ("c" * 64) / "float32" / "use.json"
    old = datetime.now(UTC) - timedelta(days=31)
    use.write_text(json.dumps(json.loads(use.read_text()) | {"last_used": old.isoformat()}))
    assert prune(service, unused_for_seconds=32 * 86400) == (0, 0)
    assert prune(service, unused_for_seconds=30 * 86400) == (40, 0)
    assert (TRUNKS[2], "float32") not in listed(service)
    assert prune(service, unused_for_seconds=(1 << 63) - 1) == (0, 0)


def test_what_a_running_job_reads_stays(service: Any, cached: tuple[Any, Path]) -> None:
    with FeatureStore(cached[1]).reading(TRUNKS[1], "float32"):
        assert prune(service, all=True) == (120, 1)
        assert listed(service) == [(TRUNKS[1], "float32")]
    assert prune(service, all=True) == (40, 0)


def test_a_server_that_starts_with_less_disk_for_features_evicts_the_rest(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "features")
    for number in range(3):
        keys = feature_keys(np.random.default_rng(number).integers(0, 256, (40, 32), dtype=np.uint8))
        store.append(store.open(TRUNKS[number], (4000,), "float32"), keys, np.ones((40, 4000), np.float32))
    options = ["--feature-bytes", "1MiB"]
    with serve(tmp_path, workers=False, options=options) as address, grpc.insecure_channel(address) as channel:
        trunks = FeatureServiceStub(channel).ListTrunks(pb.ListTrunksRequest()).trunks
    assert sorted(trunk.row_count for trunk in trunks) == [0, 0, 40]


@pytest.mark.parametrize(
    ("which", "code", "message"),
    [
        ({}, "INVALID_ARGUMENT", "nothing is chosen: give model, unused_for_seconds, digest or all"),
        ({"all": False}, "INVALID_ARGUMENT", "nothing is chosen"),
        ({"unused_for_seconds": -1}, "INVALID_ARGUMENT", "unused_for_seconds -1 is negative"),
        ({"digest": "abc"}, "INVALID_ARGUMENT", "'abc' is not a digest"),
        ({"digest": "sha256:" + "d" * 64}, "NOT_FOUND", "no features of trunk sha256:dddd"),
        ({"model": "models/nowhere"}, "NOT_FOUND", "no models/nowhere"),
        ({"model": "nowhere"}, "INVALID_ARGUMENT", "nowhere"),
    ],
)
def test_what_chooses_nothing_is_refused(service: Any, which: dict[str, Any], code: str, message: str) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        prune(service, **which)
    assert (refused.value.code().name, message in refused.value.details()) == (code, True)
    assert len(listed(service)) == 4


def test_a_token_of_another_list_is_refused(service: Any) -> None:
    with pytest.raises(grpc.RpcError, match="page_token did not come from this list"):
        service.ListTrunks(pb.ListTrunksRequest(page_token="W10="))


def test_a_list_reads_no_rows(service: Any, cached: tuple[Any, Path]) -> None:
    for path in cached[1].glob("*/*/*.safetensors"):
        os.truncate(path, path.stat().st_size - 16)
    assert len(listed(service)) == 4
