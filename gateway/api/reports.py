"""Routes for people: what a customer uses, what it used, and what does not comply."""

from datetime import datetime

from aiohttp import web

from gateway.api import bodies, report_bodies
from gateway.api.addressed import (
    ONE,
    PAGE_DEFAULT,
    PAGE_MAX,
    REPORTS,
    addressed,
    day_of,
    existing,
    no_customer,
    number_of,
)
from gateway.api.http import json_response, query_of
from gateway.api.ledger_reports import LEDGER, csv_response, overage_rows, wants_csv
from gateway.api.problems import invalid
from gateway.compliance_reports import ComplianceReports
from gateway.domain.days import PACIFIC
from gateway.event_reports import EventReports


COMPLIANCE = web.AppKey("COMPLIANCE", ComplianceReports)
EVENTS = web.AppKey("EVENTS", EventReports)

REPORT_DAYS_MAX = 400


def routes() -> list[web.RouteDef]:
    """The routes of reports."""
    return [
        web.get(f"{ONE}/usage", usage),
        web.get(f"{ONE}/connections", connections),
        web.get(f"{ONE}/overage", overage),
        web.get(f"{ONE}/events", events),
        web.get(f"{ONE}/compliance", compliance),
    ]


async def usage(request: web.Request) -> web.Response:
    """Live use, limits, today's registers, hosts that are suspended (T20.1)."""
    customer, _ = addressed(request, "read")
    query_of(request)
    found = await request.app[REPORTS].usage(customer)
    if found.policy.record.customer is None and not found.snapshot.live:
        raise no_customer()
    return json_response(bodies.usage_body(customer, found))


async def connections(request: web.Request) -> web.Response:
    """Live connections, paged."""
    customer, _ = addressed(request, "read")
    query = query_of(request, ("cursor", "limit"))
    cursor = number_of(query, "cursor", 0, 0, 2**64 - 1)
    limit = number_of(query, "limit", PAGE_DEFAULT, 1, PAGE_MAX)
    await existing(request, customer)
    following, page = await request.app[REPORTS].connections(customer, cursor, limit)
    found = tuple([report_bodies.connection_body(leg, info) for leg, info in page])
    return json_response(report_bodies.ConnectionsBody(found, str(following) if following else None))


async def overage(request: web.Request) -> web.Response:
    """A row per day and pool, as JSON or CSV, of the ledger; by default from the first of this month (Pacific) to today."""
    customer, _ = addressed(request, "read")
    query = query_of(request, ("from", "to"))
    today = datetime.now(PACIFIC).date()
    last = day_of(query, "to", today)
    first = day_of(query, "from", min(today, last).replace(day=1))
    if last < first:
        raise invalid("to", "lies before `from`")
    if (last - first).days >= REPORT_DAYS_MAX:
        raise invalid("from", f"lies more than {REPORT_DAYS_MAX} days before `to`")
    await existing(request, customer)
    report = await _overage(request, customer, first.toordinal(), last.toordinal())
    if wants_csv(request):
        return csv_response(report_bodies.OVERAGE_COLUMNS, [report_bodies.overage_cells(row) for row in report.rows])
    return json_response(report)


async def events(request: web.Request) -> web.Response:
    """Events that were held, and are (T11.2, T11.3, T11.5)."""
    customer, _ = addressed(request, "read")
    query_of(request)
    await existing(request, customer)
    held = await request.app[EVENTS].events(customer)
    return json_response(report_bodies.EventsBody(customer, tuple([report_bodies.event_body(event) for event in held])))


async def compliance(request: web.Request) -> web.Response:
    """What does not comply with the terms today; a finding never refuses a join."""
    customer, _ = addressed(request, "read")
    query_of(request)
    await existing(request, customer)
    found = await request.app[COMPLIANCE].findings(customer)
    findings = tuple([report_bodies.finding_body(finding) for finding in found])
    return json_response(report_bodies.ComplianceBody(customer, findings))


async def _overage(request: web.Request, customer: str, first: int, last: int) -> report_bodies.OverageReport:
    """By the ledger, otherwise by the registers of the store."""
    found = await overage_rows(request.app[LEDGER], customer, first, last)
    if found is not None:
        of_ledger = tuple([report_bodies.ledger_overage_body(row) for row in found])
        return report_bodies.OverageReport(customer, "ledger", of_ledger)
    registers = await request.app[REPORTS].overage(customer, first, last)
    rows = tuple([report_bodies.overage_body(row) for row in registers])
    return report_bodies.OverageReport(customer, "registers", rows)
