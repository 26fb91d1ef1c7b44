"""Prometheus metrics.

Series of decisions carry bounded labels only. Series of customers are gauges, read from the store when they are scraped, and bounded in number:
the busiest customers are shown, and a gauge says how many were left out.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from gateway.api.http import caller, query_of
from gateway.api.problems import Problem
from gateway.events import (
    CustomerChanged,
    Decided,
    Event,
    LegReleased,
    StoreAnswered,
    StoreConnected,
    StoreFailed,
    StoreLost,
)
from gateway.kernel.errors import StoreError
from gateway.reports import Reports, Usage


LATENCY_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)
CUSTOMERS_READ_MAX = 5_000
READS_AT_ONCE = 100
FRESH_S = 1.0
"""Two scrapes within this time share one read of the store."""


M = TypeVar("M", Counter, Histogram)


class Metrics:
    """All metrics of a gateway, on a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._children: dict[tuple[object, tuple[str, ...]], Any] = {}
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._decisions = Counter(
            "gateway_decisions",
            "Joins decided.",
            ["operation", "service", "endpoint", "decision", "reason"],
            registry=self.registry,
        )
        self._decision_seconds = Histogram(
            "gateway_decision_seconds",
            "Time to decide a join.",
            ["operation"],
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self._overage = Counter(
            "gateway_overage_admissions", "Joins admitted above the commitment.", ["service"], registry=self.registry
        )
        self._releases = Counter(
            "gateway_releases", "Releases, by whether a seat was held.", ["found", "cause"], registry=self.registry
        )
        self._store_seconds = Histogram(
            "gateway_store_seconds",
            "Time until the store answered.",
            ["operation"],
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self._store_errors = Counter(
            "gateway_store_errors",
            "Operations without an answer; outcome unknown: it may have been executed.",
            ["operation", "outcome"],
            registry=self.registry,
        )
        self._store_up = Gauge(
            "gateway_store_up", "Whether the connection to the store is ready.", registry=self.registry
        )
        self._store_connects = Counter(
            "gateway_store_connects", "Connections made to the store.", registry=self.registry
        )
        self._changes = Counter(
            "gateway_customer_changes", "Changes of entitlements.", ["change"], registry=self.registry
        )

    def listen(self, event: Event) -> None:
        """Counts an event."""
        match event:
            case StoreAnswered(operation=operation, seconds=seconds):
                self._child(self._store_seconds, operation).observe(seconds)
            case Decided(operation=operation, decision=decision, seconds=seconds):
                join = decision.join
                verdict = "admit" if decision.admitted else "deny"
                self._child(self._decisions, operation, join.service, join.endpoint, verdict, decision.reason).inc()
                self._child(self._decision_seconds, operation).observe(seconds)
                if decision.overage and operation == "admit":
                    self._child(self._overage, join.service).inc()
            case LegReleased():
                cause = event.cause if event.cause in {"released", "operator"} else "other"
                self._releases.labels(str(event.found).lower(), cause).inc()
            case StoreFailed():
                self._store_errors.labels(event.operation, "unknown" if event.unknown else "not_executed").inc()
            case StoreConnected():
                self._store_up.set(1)
                self._store_connects.inc()
            case StoreLost():
                self._store_up.set(0)
            case CustomerChanged():
                self._changes.labels(event.change).inc()

    def _child(self, metric: M, *labels: str) -> M:
        """The series of a metric with these labels. Kept at hand: looking one up costs more than counting."""
        key = (metric, labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return child


class CustomerMetrics(Collector):
    """Gauges per customer and pool, from the last read of the store."""

    def __init__(self, reports: Reports, shown_max: int) -> None:
        self._reports = reports
        self._shown_max = shown_max
        self._shown: list[tuple[str, Usage]] = []
        self._omitted = 0
        self._read_at = -FRESH_S
        self._lock = asyncio.Lock()

    async def refresh(self) -> None:
        """Reads the store, unless that was done just now. Raises StoreError."""
        async with self._lock:
            if time.monotonic() - self._read_at < FRESH_S:
                return
            known = sorted(await self._reports.customers())
            read: list[tuple[str, Usage]] = []
            for at in range(0, min(len(known), CUSTOMERS_READ_MAX), READS_AT_ONCE):
                names = known[at : at + READS_AT_ONCE]
                usages = await asyncio.gather(*[self._reports.usage(name) for name in names])
                read += [
                    (name, usage)
                    for name, usage in zip(names, usages, strict=True)
                    if usage.pools or usage.snapshot.live
                ]
            read.sort(key=lambda entry: -entry[1].snapshot.live)
            self._omitted = len(known) - min(len(known), CUSTOMERS_READ_MAX) + max(0, len(read) - self._shown_max)
            self._shown = read[: self._shown_max]
            self._read_at = time.monotonic()

    def collect(self) -> Iterable[Metric]:
        """The gauges."""
        yield GaugeMetricFamily(
            "gateway_customers_omitted", "Customers without series of their own.", value=self._omitted
        )
        live = GaugeMetricFamily(
            "gateway_customer_connections", "Live connections of a customer, all services.", labels=["customer"]
        )
        shadow = GaugeMetricFamily(
            "gateway_customer_shadow_connections",
            "Live connections that enforcement would have denied.",
            labels=["customer"],
        )
        for customer, usage in self._shown:
            live.add_metric([customer], usage.snapshot.live)
            shadow.add_metric([customer], usage.snapshot.shadow_live)
        yield live
        yield shadow
        yield from self._pools()

    def _pools(self) -> Iterator[Metric]:
        described = {
            "used": "Use of a pool now.",
            "committed": "Quantity ordered.",
            "ceiling": "Number past which a join is refused.",
            "peak": "Greatest use of this Pacific day.",
            "overage": "Greatest use above the commitment of this Pacific day; the bill comes from the overage report.",
        }
        families = {
            name: GaugeMetricFamily(f"gateway_pool_{name}", text, labels=["customer", "pool"])
            for name, text in described.items()
        }
        for customer, usage in self._shown:
            for pool in usage.pools:
                register = pool.register
                values = {
                    "used": pool.used,
                    "committed": pool.committed,
                    "ceiling": pool.ceiling,
                    "peak": register.peak if register else None,
                    "overage": register.overage if register else None,
                }
                for name, value in values.items():
                    if value is not None:
                        families[name].add_metric([customer, pool.pool], value)
        yield from families.values()


def routes(metrics: Metrics, customers: CustomerMetrics) -> list[web.RouteDef]:
    """The scrape endpoint."""
    metrics.registry.register(customers)

    async def scrape(request: web.Request) -> web.Response:
        """All metrics, in the format that the scraper asks for."""
        token = caller(request, "read")
        query_of(request)
        if token.customers:
            raise Problem("forbidden", "The metrics show all customers; the token is bound to some.")
        with contextlib.suppress(StoreError):  # without a store the other metrics matter most; gateway_store_up says so
            await customers.refresh()
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(metrics.registry), headers={"Content-Type": content_type})

    return [web.get("/metrics", scrape)]
