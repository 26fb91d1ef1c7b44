"""Routes for people: customers and their entitlements, use, live connections, overage, suspension."""

import asyncio
import csv
import io
import re
from datetime import date, datetime

import msgspec
from aiohttp import web

from gateway.api import bodies, wire
from gateway.api.decisions import ADMISSION
from gateway.api.http import LARGE_BODY_BYTES_MAX, body_of, caller, json_response, query_of
from gateway.api.problems import ErrorDetail, Problem, decoded, invalid, invalid_catalogue
from gateway.domain.catalogue import CatalogueInvalid, parse_customer
from gateway.domain.changes import CustomerNotFound, StatusFinal, VersionMismatch, removed, replaced, with_status
from gateway.domain.customer import CUSTOMER_ID, PRINTABLE
from gateway.domain.days import PACIFIC
from gateway.domain.policy import Policy
from gateway.domain.record import Status
from gateway.entitlements import Entitlements
from gateway.kernel.outcomes import Released
from gateway.reports import Reports
from gateway.tokens import Scope, Token


ENTITLEMENTS = web.AppKey("ENTITLEMENTS", Entitlements)
REPORTS = web.AppKey("REPORTS", Reports)

PAGE_DEFAULT, PAGE_MAX = 100, 1000
REPORT_DAYS_MAX = 400
RELEASES_AT_ONCE = 100
CHANGES: dict[Status, str] = {"active": "resume", "suspended": "suspend", "terminated": "terminate"}


def routes() -> list[web.RouteDef]:
    """The routes of the admin listener."""
    one = "/v1/customers/{customer}"
    return [
        web.get("/v1/customers", list_customers),
        web.get(one, get_customer),
        web.put(one, put_customer),
        web.delete(one, delete_customer),
        web.get(f"{one}/usage", usage),
        web.get(f"{one}/connections", connections),
        web.delete(f"{one}/connections/{{connection:[^/]+}}", end_connection),
        web.get(f"{one}/overage", overage),
        web.post(f"{one}/suspend", suspend),
        web.post(f"{one}/resume", resume),
        web.post(f"{one}/terminate", terminate),
    ]


async def list_customers(request: web.Request) -> web.Response:
    """Customers in order of their ids."""
    token = caller(request, "read")
    query = query_of(request, ("after", "limit"))
    limit = _number(query, "limit", PAGE_DEFAULT, 1, PAGE_MAX)
    known = await request.app[REPORTS].customers()
    ids = sorted([customer for customer in known if customer > query.get("after", "") and token.covers(customer)])
    page = ids[:limit]
    policies = await asyncio.gather(*[request.app[ENTITLEMENTS].load(customer) for customer in page])
    listed = [
        bodies.summary_body(customer, policy.record)
        for customer, policy in zip(page, policies, strict=True)
        if policy.record.customer is not None
    ]
    return json_response(bodies.CustomersBody(tuple(listed), page[-1] if len(ids) > limit else None))


async def get_customer(request: web.Request) -> web.Response:
    """A customer as in the catalogue; `ETag` is the version."""
    customer, _ = _addressed(request, "read")
    query_of(request)
    policy = await _existing(request, customer)
    assert policy.record.customer is not None, "_existing has seen to it"
    return json_response(policy.record.customer.document(), headers={"ETag": f'"{policy.record.version}"'})


async def put_customer(request: web.Request) -> web.Response:
    """Installs a customer; with `If-Match` only over that version, with `If-None-Match: *` only a new one."""
    customer, token = _addressed(request, "admin")
    query_of(request)
    expected = _expected(request)
    new = "If-None-Match" in request.headers
    if new and request.headers["If-None-Match"].strip() != "*":
        raise invalid("If-None-Match", "is only ever *")
    data = decoded(msgspec.json.decode, await body_of(request, LARGE_BODY_BYTES_MAX))
    if isinstance(data, dict):
        data.setdefault("id", customer)
    try:
        parsed = await asyncio.to_thread(parse_customer, data)  # thousands of hosts take their time
    except CatalogueInvalid as error:
        raise invalid_catalogue(error.faults) from None
    if parsed.id != customer:
        raise invalid("$.id", "is not the customer of the URL")
    entitlements = request.app[ENTITLEMENTS]
    before = await entitlements.load(customer)
    if new:
        if before.record.customer is not None:
            raise Problem("conflict", "The customer exists already.")
        expected = before.record.version
    elif (
        "If-Match" in request.headers and before.record.customer is None
    ):  # RFC 9110: nothing matches what is not there
        raise Problem(
            "conflict", "There is no such customer.", [ErrorDetail("If-Match", "is given, and there is none")]
        )
    try:
        record = await entitlements.change(customer, replaced(parsed, expected), "install", token.id)
    except VersionMismatch as error:
        raise _mismatch(error) from None
    return json_response(parsed.document(), 201 if before.record.customer is None else 200, {"ETag": f'"{record.version}"'})


async def delete_customer(request: web.Request) -> web.Response:
    """Removes a customer; live connections stay until they are released."""
    customer, token = _addressed(request, "admin")
    query_of(request)
    try:
        await request.app[ENTITLEMENTS].change(customer, removed(customer, _expected(request)), "remove", token.id)
    except VersionMismatch as error:
        raise _mismatch(error) from None
    except CustomerNotFound:
        raise _not_found() from None
    return web.Response(status=204)


async def usage(request: web.Request) -> web.Response:
    """Live use, limits, today's registers."""
    customer, _ = _addressed(request, "read")
    query_of(request)
    found = await request.app[REPORTS].usage(customer)
    if found.policy.record.customer is None and not found.snapshot.live:
        raise _not_found()
    return json_response(bodies.usage_body(customer, found))


async def connections(request: web.Request) -> web.Response:
    """Live connections, paged."""
    customer, _ = _addressed(request, "read")
    query = query_of(request, ("cursor", "limit"))
    cursor = _number(query, "cursor", 0, 0, 2**64 - 1)
    limit = _number(query, "limit", PAGE_DEFAULT, 1, PAGE_MAX)
    await _existing(request, customer)
    following, page = await request.app[REPORTS].connections(customer, cursor, limit)
    found = tuple([bodies.connection_body(leg, info) for leg, info in page])
    return json_response(bodies.ConnectionsBody(found, str(following) if following else None))


async def end_connection(request: web.Request) -> web.Response:
    """An operator ends one connection: its seat is free, and its id stays refused for a while."""
    customer, _ = _addressed(request, "admin")
    query_of(request)
    connection = request.match_info["connection"]
    if not re.match(PRINTABLE, connection) or len(connection.encode()) > wire.CONNECTION_BYTES_MAX:
        raise invalid("connection", "is no id of a connection")
    await _existing(request, customer)
    outcome = await request.app[ADMISSION].release(customer, connection, cause="operator")
    if not isinstance(outcome, Released):
        raise Problem("not-found", "There is no such connection.")
    return web.Response(status=204)


async def overage(request: web.Request) -> web.Response:
    """A row per day and pool, as JSON or CSV; by default from the first of this month (Pacific) to today."""
    customer, _ = _addressed(request, "read")
    query = query_of(request, ("from", "to"))
    today = datetime.now(PACIFIC).date()
    last = _day(query, "to", today)
    first = _day(query, "from", min(today, last).replace(day=1))
    if last < first:
        raise invalid("to", "lies before `from`")
    if (last - first).days >= REPORT_DAYS_MAX:
        raise invalid("from", f"lies more than {REPORT_DAYS_MAX} days before `to`")
    await _existing(request, customer)
    rows = await request.app[REPORTS].overage(customer, first.toordinal(), last.toordinal())
    table = tuple([bodies.overage_body(row) for row in rows])
    if "text/csv" in request.headers.get("Accept", ""):
        return web.Response(text=_csv(table), content_type="text/csv", charset="utf-8")
    return json_response(bodies.OverageReport(customer, table))


async def suspend(request: web.Request) -> web.Response:
    """Refuses joins from now on; live connections stay unless `drop_live` (T20)."""
    return await _set_status(request, "suspended")


async def resume(request: web.Request) -> web.Response:
    """Ends a suspension."""
    return await _set_status(request, "active")


async def terminate(request: web.Request) -> web.Response:
    """Refuses joins for good."""
    return await _set_status(request, "terminated")


async def _set_status(request: web.Request, status: Status) -> web.Response:
    customer, token = _addressed(request, "admin")
    query_of(request)
    asked = wire.decode_status(await body_of(request))
    if status != "active" and asked.reason is None:
        raise invalid("$.reason", "is required")
    if status == "active" and asked.drop_live:
        raise invalid("$.drop_live", "does not go with resume")
    try:
        changed = with_status(customer, status, asked.reason, token.id)
        record = await request.app[ENTITLEMENTS].change(customer, changed, CHANGES[status], token.id)
    except CustomerNotFound:
        raise _not_found() from None
    except StatusFinal as error:
        raise Problem("conflict", f"{error}.") from None
    dropped = await _drop_live(request, customer) if asked.drop_live else 0
    return json_response(bodies.StatusBody(customer, record.version, record.status, dropped))


async def _drop_live(request: web.Request, customer: str) -> int:
    """Ends all live connections, a bounded number at a time."""
    admission = request.app[ADMISSION]
    dropped = 0
    async for page in request.app[REPORTS].each_connection(customer):
        for at in range(0, len(page), RELEASES_AT_ONCE):
            legs = page[at : at + RELEASES_AT_ONCE]
            ended = await asyncio.gather(
                *[admission.release(customer, leg.connection, cause="operator") for leg in legs]
            )
            dropped += sum(isinstance(outcome, Released) for outcome in ended)
    return dropped


def _addressed(request: web.Request, scope: Scope) -> tuple[str, Token]:
    """The customer of the URL and the caller, who may act on it. Raises Problem."""
    token = caller(request, scope)
    customer = request.match_info["customer"]
    if len(customer) > 64 or not re.match(CUSTOMER_ID, customer):
        raise invalid("customer", "is no id of a customer")
    if not token.covers(customer):
        raise Problem("forbidden", "The token is bound to other customers.")
    return customer, token


async def _existing(request: web.Request, customer: str) -> Policy:
    policy = await request.app[ENTITLEMENTS].load(customer)
    if policy.record.customer is None:
        raise _not_found()
    return policy


def _expected(request: web.Request) -> int | None:
    """The version of `If-Match`; None where any will do. Raises Problem."""
    text = request.headers.get("If-Match", "*").strip()
    if text == "*":
        return None
    found = re.fullmatch(r'"?([0-9]{1,15})"?', text)
    if not found:
        raise invalid("If-Match", "is no version of the entitlements")
    return int(found[1])


def _mismatch(error: VersionMismatch) -> Problem:
    return Problem("conflict", f"{error}; read them again.", [ErrorDetail("If-Match", f"is not {error.current}")])


def _not_found() -> Problem:
    return Problem("not-found", "There is no such customer.")


def _number(query: dict[str, str], name: str, default: int, least: int, most: int) -> int:
    text = query.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,20}", text) or not least <= int(text) <= most:
        raise invalid(name, f"is not a number from {least} to {most}")
    return int(text)


def _day(query: dict[str, str], name: str, default: date) -> date:
    if name not in query:
        return default
    try:
        found = date.fromisoformat(query[name]) if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", query[name]) else None
    except ValueError:
        found = None
    if found is None or not 2000 <= found.year <= 2200:
        raise invalid(name, "is not a date (YYYY-MM-DD)")
    return found


def _csv(rows: tuple[bodies.OverageBody, ...]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(bodies.OverageBody.__struct_fields__)
    writer.writerows([msgspec.structs.astuple(row) for row in rows])
    return text.getvalue()
