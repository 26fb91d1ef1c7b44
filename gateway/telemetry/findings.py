"""Prometheus metrics of compliance: how many findings there are, by customer and rule.

Findings are made from all that is remembered of a customer, too much to read for every customer at every scrape. So a scrape shows what is
known and, at most once a minute, sets off a look at some customers, one after the other; the next look goes on where this one ended.
"""

import asyncio
import bisect
import contextlib
import time
from collections import Counter
from collections.abc import Iterable

import structlog
from aiohttp import web
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.compliance_reports import ComplianceReports
from gateway.kernel.errors import StoreError
from gateway.reports import Reports


LOOK_EVERY_S = 60.0
LOOKED_AT_MAX = 200
"""Customers of one look; all of 10,000 have been looked at within the hour."""

_log = structlog.get_logger("gateway")


class FindingMetrics(Collector):
    """Gauges of findings, of at most `shown_max` customers: those with the most."""

    def __init__(self, compliance: ComplianceReports, reports: Reports, shown_max: int) -> None:
        self._compliance = compliance
        self._reports = reports
        self._shown_max = shown_max
        self._found: dict[str, Counter[str]] = {}
        self._last = ""
        self._began_at = -LOOK_EVERY_S
        self._looking: asyncio.Task[None] | None = None

    def refresh(self) -> None:
        """Sets off a look at some customers, unless there was one within a minute, or is one; nobody waits for it."""
        is_due = time.monotonic() - self._began_at >= LOOK_EVERY_S
        if is_due and self._shown_max and (self._looking is None or self._looking.done()):
            self._began_at = time.monotonic()
            self._looking = asyncio.create_task(self._look(), name="findings")

    async def stop(self, _: web.Application) -> None:
        """Ends a look that is under way."""
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking

    async def _look(self) -> None:
        with contextlib.suppress(StoreError):  # the core has told of it; what is known stays as it is
            known = sorted(await self._reports.customers())
            after = bisect.bisect_right(known, self._last)
            for customer in [*known[after:], *known[:after]][:LOOKED_AT_MAX]:
                self._last = customer
                await self._look_at(customer)

    async def _look_at(self, customer: str) -> None:
        try:
            found = Counter([finding.rule for finding in await self._compliance.findings(customer)])
        except StoreError:
            raise
        except Exception:  # noqa: BLE001 - one customer must not hide the findings of all others
            _log.exception("findings.failed", customer=customer)
            return
        self._found.pop(customer, None)
        if found:
            self._found[customer] = found

    def collect(self) -> Iterable[Metric]:
        """The gauges."""
        gauge = GaugeMetricFamily(
            "gateway_compliance_findings",
            "What does not comply, by rule of the terms; looked at every now and then.",
            labels=["customer", "rule"],
        )
        most = sorted(self._found.items(), key=lambda entry: (-entry[1].total(), entry[0]))
        for customer, found in most[: self._shown_max]:
            for rule, count in sorted(found.items()):
                gauge.add_metric([customer, rule], count)
        yield gauge
        yield GaugeMetricFamily(
            "gateway_compliance_customers_omitted",
            "Customers with findings and without series of their own.",
            value=max(0, len(most) - self._shown_max),
        )
