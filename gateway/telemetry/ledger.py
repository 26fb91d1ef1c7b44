"""Prometheus metrics of the ledger: how far it is, what it found; read from its database when they are scraped."""

import asyncio
import time
from collections.abc import Iterable

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.clock import now_ms
from gateway.ledger.database import Database, LedgerUnavailable
from gateway.ledger.status import LedgerStatus, read_status


FRESH_S = 1.0
TIMEOUT_S = 2.0
"""A scrape does not wait longer for the database."""


class LedgerMetrics(Collector):
    """Gauges of the ledger, from the last read of its database; without one there are none."""

    def __init__(self, database: Database | None) -> None:
        self._database = database
        self._status: LedgerStatus | None = None
        self._read_at = -FRESH_S
        self._lock = asyncio.Lock()

    async def refresh(self) -> None:
        """Reads the database, unless that was done just now."""
        async with self._lock:
            if self._database is None or time.monotonic() - self._read_at < FRESH_S:
                return
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    self._status = await read_status(self._database)
            except (LedgerUnavailable, TimeoutError):
                self._status = None
            self._read_at = time.monotonic()

    def collect(self) -> Iterable[Metric]:
        """The gauges."""
        if self._database is None:
            return
        status = self._status
        yield GaugeMetricFamily(
            "gateway_ledger_up", "Whether the database of the ledger answers.", value=int(status is not None)
        )
        if status is None:
            return
        values = {
            "lag_seconds": (
                "How long ago what the ledger reads next happened.",
                status.lag_s(now_ms()),
            ),
            "gaps": ("Runs of outbox entries that were never read.", status.gaps),
            "doubts": ("Buckets whose live legs are yet to be compared with the store.", status.doubts),
            "findings": ("Open differences between replay, registers and what gateways remember.", status.findings),
            "notices_waiting": ("Notices that wait to be delivered.", status.deliveries),
        }
        for name, (text, value) in values.items():
            yield GaugeMetricFamily(f"gateway_ledger_{name}", text, value=value)
