"""Routes for operators: suspend, resume and terminate (T20.1), end legs and meetings (T20.2). Who did what is logged; who is a host is not."""

import asyncio
import re
from collections.abc import Callable
from typing import Literal

import structlog
from aiohttp import web

from gateway.api import bodies, wire
from gateway.api.addressed import ENTITLEMENTS, ONE, REPORTS, addressed, existing, id_in_url, no_customer
from gateway.api.decisions import ADMISSION
from gateway.api.http import body_of, json_response, query_of
from gateway.api.problems import Problem, invalid
from gateway.api.requests import StatusRequest, decode_status
from gateway.domain.addresses import normal_address
from gateway.domain.changes import (
    ChangeRefused,
    CustomerNotFound,
    StatusFinal,
    host_resumed,
    host_suspended,
    with_status,
)
from gateway.domain.customer import PRINTABLE
from gateway.domain.join import Service
from gateway.domain.record import Status
from gateway.kernel.outcomes import Released
from gateway.legs import LegInfo, info_of


RELEASES_AT_ONCE = 100
PASSES_MAX = 10
"""Looks at the legs of a meeting that somebody joins again and again."""

CHANGES: dict[Status, str] = {"active": "resume", "suspended": "suspend", "terminated": "terminate"}

_log = structlog.get_logger("gateway.api")


def routes() -> list[web.RouteDef]:
    """The routes of operators."""
    return [
        web.delete(f"{ONE}/connections/{{connection:[^/]+}}", end_connection),
        web.delete(f"{ONE}/meetings/{{service}}/{{meeting:[^/]+}}", end_meeting),
        web.post(f"{ONE}/suspend", suspend),
        web.post(f"{ONE}/resume", resume),
        web.post(f"{ONE}/terminate", terminate),
        web.post(f"{ONE}/hosts/{{host:[^/]+}}/suspend", suspend_host),
        web.post(f"{ONE}/hosts/{{host:[^/]+}}/resume", resume_host),
    ]


async def end_connection(request: web.Request) -> web.Response:
    """An operator ends one connection: its seat is free, and its id stays refused for a while."""
    customer, token = addressed(request, "admin")
    query_of(request)
    connection = request.match_info["connection"]
    if not re.match(PRINTABLE, connection) or len(connection.encode()) > wire.CONNECTION_BYTES_MAX:
        raise invalid("connection", "is no id of a connection")
    await existing(request, customer)
    outcome = await request.app[ADMISSION].release(customer, connection, cause="operator")
    if not isinstance(outcome, Released):
        raise Problem("not-found", "There is no such connection.")
    _log.info("leg.ended", customer=customer, connection=connection, by=token.id)
    return web.Response(status=204)


async def end_meeting(request: web.Request) -> web.Response:
    """An operator ends all legs of a meeting. Who joins meanwhile is ended too; the meeting may be joined again afterwards."""
    customer, token = addressed(request, "admin")
    query_of(request)
    service, meeting = request.match_info["service"], id_in_url(request, "meeting")
    if service not in set(Service):
        raise invalid("service", f"is one of {', '.join(Service)}")
    await existing(request, customer)

    def of_meeting(info: LegInfo) -> bool:
        return (info.service, info.meeting) == (service, meeting)

    found = ended = 0
    try:
        for _ in range(PASSES_MAX):
            seen, released = await _end_legs(request, customer, of_meeting)
            found, ended = found + seen, ended + released
            if not seen:
                break
    finally:  # what was ended before the store went away was ended
        if ended:
            _log.info("meeting.ended", customer=customer, service=service, meeting=meeting, legs=ended, by=token.id)
    if not found:
        raise Problem("not-found", "There is no such live meeting.")
    return json_response(bodies.MeetingEndedBody(customer, service, meeting, ended))


async def suspend(request: web.Request) -> web.Response:
    """Refuses joins from now on (T20.1); live connections stay unless `drop_live` (T20.2)."""
    return await _set_status(request, "suspended")


async def resume(request: web.Request) -> web.Response:
    """Ends a suspension."""
    return await _set_status(request, "active")


async def terminate(request: web.Request) -> web.Response:
    """Refuses joins for good."""
    return await _set_status(request, "terminated")


async def suspend_host(request: web.Request) -> web.Response:
    """Refuses joins of meetings that one host owns (T20.1); their live connections stay unless `drop_live` (T20.2)."""
    return await _set_host_status(request, "suspended")


async def resume_host(request: web.Request) -> web.Response:
    """Ends the suspension of a host."""
    return await _set_host_status(request, "active")


async def _set_status(request: web.Request, status: Status) -> web.Response:
    customer, token = addressed(request, "admin")
    query_of(request)
    asked = await _asked(request, resumes=status == "active")
    try:
        changed = with_status(customer, status, asked.reason, token.id)
        record = await request.app[ENTITLEMENTS].change(customer, changed, CHANGES[status], token.id)
    except CustomerNotFound:
        raise no_customer() from None
    except StatusFinal as error:
        raise Problem("conflict", f"{error}.") from None
    dropped = await _drop(request, customer, lambda _: True, token.id) if asked.drop_live else 0
    return json_response(bodies.StatusBody(customer, record.version, record.status, dropped))


async def _set_host_status(request: web.Request, status: Literal["active", "suspended"]) -> web.Response:
    customer, token = addressed(request, "admin")
    host = normal_address(id_in_url(request, "host"))
    query_of(request)
    resumes = status == "active"
    asked = await _asked(request, resumes=resumes)
    changed = host_resumed(customer, host) if resumes else host_suspended(customer, host, asked.reason or "", token.id)
    change = "resume_host" if resumes else "suspend_host"
    try:
        record = await request.app[ENTITLEMENTS].change(customer, changed, change, token.id)
    except CustomerNotFound:
        raise no_customer() from None
    except ChangeRefused as error:
        raise Problem("conflict", f"{str(error).capitalize()}.") from None
    dropped = await _drop(request, customer, lambda info: info.host == host, token.id) if asked.drop_live else 0
    return json_response(bodies.HostStatusBody(customer, host, record.version, status, dropped))


async def _asked(request: web.Request, *, resumes: bool) -> StatusRequest:
    asked = decode_status(await body_of(request))
    if not resumes and asked.reason is None:
        raise invalid("$.reason", "is required")
    if resumes and asked.drop_live:
        raise invalid("$.drop_live", "does not go with resume")
    return asked


async def _drop(request: web.Request, customer: str, wanted: Callable[[LegInfo], bool], by: str) -> int:
    """Ends live legs that nobody can join to any more (T20.2): one look at them is enough. How many."""
    _, ended = await _end_legs(request, customer, wanted)
    _log.info("legs.dropped", customer=customer, legs=ended, by=by)
    return ended


async def _end_legs(request: web.Request, customer: str, wanted: Callable[[LegInfo], bool]) -> tuple[int, int]:
    """Ends live legs as an operator does, a bounded number at a time. How many were found, and how many of them ended by this."""
    admission = request.app[ADMISSION]
    found = ended = 0
    async for page in request.app[REPORTS].each_connection(customer):
        legs = [leg.connection for leg in page if wanted(info_of(leg.info))]
        found += len(legs)
        for at in range(0, len(legs), RELEASES_AT_ONCE):
            some = legs[at : at + RELEASES_AT_ONCE]
            outcomes = await asyncio.gather(*[admission.release(customer, leg, cause="operator") for leg in some])
            ended += sum(isinstance(outcome, Released) for outcome in outcomes)
    return found, ended
