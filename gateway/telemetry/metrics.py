"""Prometheus metrics of what a gateway does. Their labels are bounded; series of customers are in `customers` and `findings`."""

import contextlib
from typing import Any, TypeVar

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from gateway.api.http import caller, query_of
from gateway.api.problems import Problem
from gateway.events import (
    CustomerChanged,
    Decided,
    EpochBegan,
    Event,
    JournalChanged,
    LegConfirmed,
    LegReleased,
    LegsReclaimed,
    LoadShed,
    OutboxPressed,
    Recovered,
    Restored,
    StoreAnswered,
    StoreConnected,
    StoreFailed,
    StoreLost,
    StoreStalled,
    SweepHeld,
)
from gateway.kernel.errors import StoreError
from gateway.telemetry.customers import CustomerMetrics
from gateway.telemetry.findings import FindingMetrics
from gateway.telemetry.ledger import LedgerMetrics


LATENCY_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)
CHANGES = frozenset({
    "install", "restore", "remove", "suspend", "resume", "terminate", "suspend_host", "resume_host", "certify", "report_count", "book",
    "forget",
})  # fmt: skip
"""Changes of customers by name; all others count as `other`."""
PRESSURES = ("denials_tallied", "admits_refused")

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
        self._changes = Counter("gateway_customer_changes", "Changes of customers.", ["change"], registry=self.registry)
        self._define_liveness()

    def _define_liveness(self) -> None:
        self._confirmed = self._counter("gateway_confirmations", "Legs that said they are connected.", "result")
        self._reclaimed = self._counter("gateway_legs_reclaimed", "Seats taken back without a release.", "cause")
        self._held = self._counter(
            "gateway_sweeps_held", "Sweeps that would have taken over half of a bucket, and wait."
        )
        self._epochs = self._counter(
            "gateway_store_epochs", "Buckets that were met on another or an emptied store.", "lost"
        )
        self._recovered = self._counter(
            "gateway_buckets_recovered", "Buckets whose nodes have brought back what was lost."
        )
        self._restored = self._counter("gateway_restored", "What was put back into the store from disk.", "what")
        self._journal = Gauge(
            "gateway_journal_entries", "Operations that wait on disk for the store.", registry=self.registry
        )
        self._stalled = Gauge(
            "gateway_store_breaker_open",
            "Whether calls are refused at once, as the store does not answer.",
            registry=self.registry,
        )
        self._behind = Gauge(
            "gateway_behind", "Whether joins are decided without the store to catch up.", registry=self.registry
        )
        self._pressed = Gauge(
            "gateway_outbox_pressed_buckets",
            "Buckets in which the ledger is so far behind that something gives way.",
            ["pressure"],
            registry=self.registry,
        )
        for pressure in PRESSURES:
            self._pressed.labels(pressure).set(0)

    def _counter(self, name: str, description: str, *labels: str) -> Counter:
        return Counter(name, description, labels, registry=self.registry)

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
                self._changes.labels(event.change if event.change in CHANGES else "other").inc()
            case _:
                self._listen_to_liveness(event)

    def _listen_to_liveness(self, event: Event) -> None:
        match event:
            case LegConfirmed():
                self._child(self._confirmed, event.result).inc()
            case LegsReclaimed():
                self._reclaimed.labels(event.cause).inc(event.legs)
            case SweepHeld():
                self._held.inc()
            case EpochBegan():
                self._epochs.labels(str(event.lost).lower()).inc()
            case Recovered():
                self._recovered.inc()
            case Restored():
                self._restored.labels("customers").inc(event.customers)
                self._restored.labels("registers").inc(event.registers)
            case JournalChanged():
                self._journal.set(event.pending)
            case StoreStalled():
                self._stalled.set(event.stalled)
            case LoadShed():
                self._behind.set(event.behind)
            case OutboxPressed():
                for pressure in PRESSURES:
                    self._pressed.labels(pressure).inc((event.now == pressure) - (event.before == pressure))

    def _child(self, metric: M, *labels: str) -> M:
        """The series of a metric with these labels. Kept at hand: looking one up costs more than counting."""
        key = (metric, labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return child


def routes(
    metrics: Metrics, customers: CustomerMetrics, findings: FindingMetrics, ledger: LedgerMetrics
) -> list[web.RouteDef]:
    """The scrape endpoint."""
    for collector in (customers, findings, ledger):
        metrics.registry.register(collector)

    async def scrape(request: web.Request) -> web.Response:
        """All metrics, in the format that the scraper asks for."""
        token = caller(request, "read")
        query_of(request)
        if token.customers:
            raise Problem("forbidden", "The metrics show all customers; the token is bound to some.")
        with contextlib.suppress(StoreError):  # without a store the other metrics matter most; gateway_store_up says so
            await customers.refresh()
        findings.refresh()
        await ledger.refresh()
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(metrics.registry), headers={"Content-Type": content_type})

    return [web.get("/metrics", scrape)]
