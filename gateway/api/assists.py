"""Routes for people: booking assists (T18.1, T19.1)."""

import datetime as dt
import secrets

import msgspec
from aiohttp import web

from gateway.api import report_bodies
from gateway.api.addressed import ENTITLEMENTS, ONE, addressed, existing, no_customer
from gateway.api.http import body_of, json_response, query_of
from gateway.api.problems import ErrorDetail, Problem, invalid
from gateway.api.requests import decode_assist
from gateway.domain.assists import ASSISTS, Booking, refusal
from gateway.domain.changes import Change, CustomerNotFound, TooMany, booked
from gateway.domain.days import day_at
from gateway.domain.record import Record


YEARS = (2000, 2200)
"""In which an assist can be."""


class _NotBooked(Exception):
    """The record stays as it is; `answer` says why."""

    def __init__(self, answer: report_bodies.AssistBooked | report_bodies.AssistRefused) -> None:
        super().__init__()
        self.answer = answer


class _IdTaken(Exception):
    """Another assist was booked under the id."""


def routes() -> list[web.RouteDef]:
    """The routes of assists."""
    return [web.post(f"{ONE}/assists", book), web.get(f"{ONE}/assists", list_assists)]


async def book(request: web.Request) -> web.Response:
    """Books an assist: 201; 200 where it was booked under this id before, or is refused, which is an answer and not a fault."""
    customer, token = addressed(request, "admin")
    query_of(request)
    asked = decode_assist(await body_of(request))
    if not YEARS[0] <= asked.starts_at.year <= YEARS[1]:
        raise invalid("$.starts_at", f"is not in the years {YEARS[0]} to {YEARS[1]}")
    booking = Booking(
        id=asked.id or secrets.token_hex(8),
        kind=asked.kind,
        starts_at_ms=_milliseconds(asked.starts_at),
        minutes=asked.minutes,
        streams=asked.streams,
        by=token.id or None,
    )
    try:
        record = await request.app[ENTITLEMENTS].change(customer, _booked(customer, booking), "book", token.id)
    except _NotBooked as kept:
        return json_response(kept.answer)
    except _IdTaken:
        message = "is the id of another booking"
        raise Problem("conflict", f"$.id {message}.", [ErrorDetail("$.id", message)]) from None
    except CustomerNotFound:
        raise no_customer() from None
    except TooMany as error:
        raise Problem("conflict", f"{str(error).capitalize()}.") from None
    made = next(each for each in record.assists if each.id == booking.id)
    return json_response(report_bodies.AssistBooked(report_bodies.assist_body(made)), 201)


async def list_assists(request: web.Request) -> web.Response:
    """Booked assists in order of their beginnings; those that ended more than 400 days ago are forgotten."""
    customer, _ = addressed(request, "read")
    query_of(request)
    record = (await existing(request, customer)).record
    assists = tuple([report_bodies.assist_body(booking) for booking in record.assists])
    return json_response(report_bodies.AssistsBody(customer, assists))


def _booked(customer: str, booking: Booking) -> Change:
    """Everything is decided by the record that is replaced, so that two callers with one id make one booking.

    Raises, beside what `booked` does: _NotBooked, _IdTaken.
    """

    def changed(record: Record, now_ms: int) -> Record:
        if record.customer is None:
            raise CustomerNotFound(customer)
        earlier = next((each for each in record.assists if each.id == booking.id), None)
        if earlier is not None:
            if msgspec.structs.replace(earlier, booked_at_ms=booking.booked_at_ms, by=booking.by) != booking:
                raise _IdTaken
            raise _NotBooked(report_bodies.AssistBooked(report_bodies.assist_body(earlier)))
        refused = _refusal(record, booking, now_ms)
        if refused is not None:
            raise _NotBooked(refused)
        return booked(customer, msgspec.structs.replace(booking, booked_at_ms=now_ms))(record, now_ms)

    return changed


def _refusal(record: Record, booking: Booking, now_ms: int) -> report_bodies.AssistRefused | None:
    """The plan in force on the Pacific day of the assist, then T18.1 or T19.1."""
    assert record.customer is not None, "looked at before"
    plan, on = f"assist.{booking.kind}", day_at(booking.starts_at_ms)
    if not any(held.plan == plan and held.active(on.ordinal) for held in record.customer.subscriptions):
        message = f"{ASSISTS[booking.kind]} needs a subscription of {plan} that is in force on {on.date} (Pacific)."
        return report_bodies.AssistRefused("feature_not_licensed", message)
    found = refusal(booking.kind, booking.starts_at_ms, booking.minutes, booking.streams, now_ms)
    return report_bodies.AssistRefused(found.code.value, found.message) if found else None


def _milliseconds(instant: dt.datetime) -> int:
    return (instant - dt.datetime.fromtimestamp(0, dt.UTC)) // dt.timedelta(milliseconds=1)
