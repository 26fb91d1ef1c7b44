"""Routes that are answered from the ledger: active hosts and calling; and overage, where there is a ledger that can be read.

A gateway only reads the ledger here. Where it is away that is a fault of its own (503, `ledger-unavailable`), and never one of the store.
"""

import contextlib
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web

from gateway.api import ledger_bodies
from gateway.api.addressed import ONE, addressed, existing
from gateway.api.http import json_response, query_of
from gateway.api.problems import Problem, invalid
from gateway.clock import now_ms
from gateway.domain.days import MINUTE_MS, PACIFIC, day_at
from gateway.ledger.calling_reports import CallingReports
from gateway.ledger.database import Database, LedgerUnavailable
from gateway.ledger.figures import DayRow, Figures
from gateway.ledger.host_reports import HostReports, cycle_named
from gateway.ledger.status import read_until_ms


RETRY_AFTER_S = 30
BEHIND_MS = 5 * MINUTE_MS
"""A ledger that is further behind knows less of today than the registers; it may have been taken over by another one."""


@dataclass(frozen=True, slots=True)
class LedgerAccess:
    """The ledger of a gateway; None: it has none."""

    database: Database | None = None
    figures: Figures | None = None
    """Shared by all requests, because it keeps what customers were committed to."""

    @classmethod
    def to(cls, database: Database | None) -> "LedgerAccess":
        """To a database, or to none."""
        return cls(database, Figures(database) if database is not None else None)

    def there(self) -> Database:
        """The database. Raises Problem."""
        if self.database is None:
            raise Problem("not-found", "This gateway has no ledger, from which alone this could be told.")
        return self.database


LEDGER = web.AppKey("LEDGER", LedgerAccess)


def routes() -> list[web.RouteDef]:
    """The routes of the ledger's reports."""
    return [web.get(f"{ONE}/active-hosts", active_hosts), web.get(f"{ONE}/calling", calling)]


async def active_hosts(request: web.Request) -> web.Response:
    """Active hosts of a cycle, as JSON or CSV; by default of the current month (T5.2 - T5.4)."""
    customer, cycle, database = await _asked(request)
    with _reading():
        reports = await HostReports(database).active_hosts(customer, cycle, now_ms())
    report = ledger_bodies.hosts_body(customer, cycle, reports)
    if wants_csv(request):
        return csv_response(ledger_bodies.HOST_COLUMNS, ledger_bodies.host_rows(report))
    return json_response(report)


async def calling(request: web.Request) -> web.Response:
    """Minutes and charges of a cycle, as JSON or CSV; by default of the current month (T15.4, T16.2)."""
    customer, cycle, database = await _asked(request)
    with _reading():
        months = await CallingReports(database).calling(customer, cycle, now_ms())
    report = ledger_bodies.calling_body(customer, cycle, months)
    if wants_csv(request):
        return csv_response(ledger_bodies.CALLING_COLUMNS, ledger_bodies.calling_rows(report))
    return json_response(report)


async def overage_rows(access: LedgerAccess, customer: str, first: int, last: int) -> list[DayRow] | None:
    """Overage by the ledger; None where the registers are to answer.

    That is where there is no ledger, it is away, it has not read so far, or it has nothing of these days.
    """
    if access.figures is None:
        return None
    try:
        read_ms = await read_until_ms(access.figures.database)
        if read_ms < now_ms() - BEHIND_MS and last >= day_at(read_ms).ordinal:
            return None
        return await access.figures.overage(customer, first, last, now_ms()) or None
    except LedgerUnavailable:
        return None


def ledger_unavailable() -> Problem:
    """The ledger is away; decisions do not need it."""
    return Problem(
        "ledger-unavailable",
        "The ledger cannot be read now. Decisions are made without it.",
        headers={"Retry-After": str(RETRY_AFTER_S)},
        retry_after_s=RETRY_AFTER_S,
    )


def wants_csv(request: web.Request) -> bool:
    """Whether the caller asks for a table as CSV."""
    return "text/csv" in request.headers.get("Accept", "")


def csv_response(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> web.Response:
    """A table with a line of names; nothing stands where there is none."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(rows)
    return web.Response(text=text.getvalue(), content_type="text/csv", charset="utf-8")


async def _asked(request: web.Request) -> tuple[str, str, Database]:
    """Customer, cycle and where to read. Raises Problem."""
    customer, _ = addressed(request, "read")
    query = query_of(request, ("cycle",))
    cycle = query.get("cycle", f"{datetime.now(PACIFIC):%Y-%m}")
    try:
        cycle_named(cycle)
    except ValueError as error:
        raise invalid("cycle", str(error)) from None
    await existing(request, customer)
    return customer, cycle, request.app[LEDGER].there()


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except LedgerUnavailable:
        raise ledger_unavailable() from None
