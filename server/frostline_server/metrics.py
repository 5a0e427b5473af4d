"""Metrics for Prometheus: read from the tables and the disk when they are asked for, so that they outlive processes.

docs/operations.md lists them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from frostline_server.features.store import FeatureStore
from frostline_server.jail.locks import Sandbox
from frostline_server.jobs.totals import Totals
from frostline_server.services.calls import CallCounter
from frostline_server.settings import host_and_port


class Metrics:
    """A server's metrics, and where they are served."""

    def __init__(self, address: str, totals: Totals, features: FeatureStore, sandbox: Sandbox) -> None:
        """`address` is HOST:PORT; port 0 takes a free one."""
        self._address = address
        self._registry = CollectorRegistry()
        self._registry.register(_Stored(totals, features, sandbox))
        ProcessCollector(registry=self._registry)
        self.calls = CallCounter(self._registry)
        self._serving: tuple[WSGIServer, threading.Thread] | None = None

    def start(self) -> str:
        """Starts to serve, in a thread; returns HOST:PORT.

        Raises:
            OSError: the address cannot be listened on.
        """
        host, port = host_and_port(self._address)
        self._serving = start_http_server(port, host, self._registry)
        return f"{self._address.rpartition(':')[0]}:{self._serving[0].server_port}"

    def stop(self) -> None:
        """Stops to serve."""
        if self._serving is not None:
            server, thread = self._serving
            server.shutdown()
            server.server_close()
            thread.join()


class _Stored(Collector):
    """What the tables and the disk tell."""

    def __init__(self, totals: Totals, features: FeatureStore, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._totals = totals
        self._features = features

    def describe(self) -> list[Metric]:
        """Returns nothing, or registering would read everything."""
        return []

    def collect(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily("frostline_jobs", "Jobs, by state.", labels=["state"])
        for state, count in self._totals.states().items():
            jobs.add_metric([state.lower()], count)
        yield jobs
        sums = self._totals.stages()
        for name, text, value in [
            (
                "feature_rows_computed",
                "Rows of features that trunks computed.",
                sums.rows_computed,
            ),
            ("feature_rows_reused", "Rows of features that were there.", sums.rows_reused),
            ("feature_seconds_saved", "What keeping features saved.", sums.seconds_saved),
            ("fill_seconds", "Time spent filling features.", sums.fill_seconds),
            ("train_seconds", "Time spent in epochs.", sums.train_seconds),
        ]:
            yield CounterMetricFamily(f"frostline_{name}", text, value=value)
        yield from self._of_features()
        yield GaugeMetricFamily(
            "frostline_sandbox_complete", "Whether files are read in a full jail.", value=self._sandbox.complete
        )

    def _of_features(self) -> Iterator[Metric]:
        trunks = self._features.trunks()
        yield GaugeMetricFamily(
            "frostline_feature_bytes", "Disk that features take.", value=sum(trunk.size_bytes for trunk in trunks)
        )
        if self._features.budget_bytes is not None:
            yield GaugeMetricFamily(
                "frostline_feature_budget_bytes", "Disk that features may take.", value=self._features.budget_bytes
            )
        hits = CounterMetricFamily("frostline_feature_hits", "Rows that jobs found.", labels=["trunk", "dtype"])
        misses = CounterMetricFamily("frostline_feature_misses", "Rows that jobs computed.", labels=["trunk", "dtype"])
        for trunk in trunks:
            labels = [trunk.digest.removeprefix("sha256:")[:12], trunk.dtype]
            hits.add_metric(labels, trunk.hits)
            misses.add_metric(labels, trunk.misses)
        yield hits
        yield misses
