"""Prometheus metrics of customers: gauges, read from the store when they are scraped, and bounded in number.

The busiest customers are shown, and a gauge says how many were left out.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.reports import Reports, Usage


CUSTOMERS_READ_MAX = 5_000
READS_AT_ONCE = 100
FRESH_S = 1.0
"""Two scrapes within this time share one read of the store."""


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
