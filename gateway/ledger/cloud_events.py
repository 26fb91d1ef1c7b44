"""Usage by day, for metering systems: rows from the ledger, and each of them as a CloudEvent (version 1.0, JSON).

An event's id follows from what it is about: a repeated export gives the same events, and a receiver drops those that it has. Of one day up to
three kinds of event are told, each of a type of its own: the figures when the day was closed (2 h after its end), when it was final (24 h),
and every later adjustment. So a meter adds up `final` and `adjusted`, by their `overage_change`; `closed` is for those who cannot wait, and is
not to be added to them.
"""

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.days import day as day_of
from gateway.domain.days import instant
from gateway.ledger import schema
from gateway.ledger.facts import ID, fact
from gateway.ledger.figures import DayRow, adjustments_of


TYPE = "admission-gateway.usage.day"
"""Followed by the state, or by `adjusted`."""
SOURCE = "urn:admission-gateway:ledger"
BATCH_TYPE = "application/cloudevents-batch+json"

PROVISIONAL, ADJUSTED = "provisional", "adjusted"

_FORMAT = JSONFormat()


class Usage(msgspec.Struct, frozen=True):
    """One row of an export: the figures of a customer's day and pool, or an adjustment of them.

    `peak_change` and `overage_change` are what they add to what was exported as final before: all of it where that is nothing.
    """

    customer: str
    day: dt.date
    pool: str
    state: str
    """`closed`, `final`, `provisional` or `adjusted`."""
    peak: int
    overage: int
    peak_change: int
    overage_change: int
    number: int | None = None
    """Of the adjustment; None: these are the figures themselves."""
    committed: int | None = None
    peak_at: str | None = None
    held_peak: int | None = None
    adopted: int | None = None
    cause: str | None = None
    adjusted_at: str | None = None


async def source_of(connection: AsyncConnection) -> str:
    """What the events of this ledger have as their source: two ledgers are two sources."""
    id_ = await fact(connection, ID)
    return f"{SOURCE}:{id_}" if id_ else SOURCE


async def settled_usage(connection: AsyncConnection, customer: str, first: int, last: int) -> list[Usage]:
    """Days (ordinals) that are closed or final, as they were written, and their adjustments; by day, pool and number."""
    days = schema.days
    rows = await connection.execute(
        select(days)
        .where(days.c.customer == customer, days.c.day.between(first, last))
        .order_by(days.c.day, days.c.pool)
    )
    figures = {(row.day, row.pool): row for row in rows}
    adjusted = await adjustments_of(connection, customer, first, last)
    found: list[Usage] = []
    for ordinal, pool in sorted(figures.keys() | adjusted.keys()):
        figure, peak, overage = figures.get((ordinal, pool)), 0, 0
        if figure is not None:
            found.append(_figures(customer, figure, figure.state))
            peak, overage = figure.peak, figure.overage
        for each in adjusted.get((ordinal, pool), ()):
            found.append(
                Usage(
                    customer, day_of(ordinal).date, pool, ADJUSTED, each.peak, each.overage, each.peak - peak,
                    each.overage - overage, each.number, cause=each.cause, adjusted_at=instant(each.at_ms),
                )
            )  # fmt: skip
            peak, overage = each.peak, each.overage
    return found


def provisional_usage(customer: str, figures: Iterable[DayRow]) -> list[Usage]:
    """Those of the figures that are of days which have ended, and were not closed yet."""
    return [_figures(customer, figure, PROVISIONAL) for figure in figures if figure.state == PROVISIONAL]


def cloud_event(usage: Usage, source: str) -> CloudEvent:
    """The event that tells a row. Raises CloudEventValidationError where it would be none."""
    end_ms = day_of(usage.day.toordinal()).end_ms
    attributes = {
        "specversion": "1.0",
        "type": f"{TYPE}.{usage.state}",
        "id": event_id(usage),
        "source": source,
        "subject": usage.customer,
        "time": dt.datetime.fromtimestamp(end_ms / 1000, dt.UTC),
        "datacontenttype": "application/json",
    }
    return CloudEvent(attributes, {name: value for name, value in row_of(usage).items() if value is not None})


def event_id(usage: Usage) -> str:
    """The same for the same row, another one for another. Provisional figures change, so theirs are part of it."""
    what = usage.state
    if usage.number is not None:
        what = f"{what}-{usage.number}"
    elif usage.state == PROVISIONAL:
        what = f"{what}-{hashlib.sha256(msgspec.json.encode(usage)).hexdigest()[:16]}"
    return f"{usage.customer}/{usage.day}/{usage.pool}/{what}"


def encoded(event: CloudEvent) -> bytes:
    """An event in the JSON format."""
    return _FORMAT.write(event)


def batch(events: Iterable[bytes]) -> bytes:
    """Encoded events in the JSON batch format."""
    return b"[" + b",".join(events) + b"]"


def row_of(usage: Usage) -> Mapping[str, Any]:
    """A row as columns, in their order: texts, whole numbers, None."""
    return {**msgspec.structs.asdict(usage), "day": str(usage.day)}


def _figures(customer: str, figure: Any, state: str) -> Usage:
    return Usage(
        customer, day_of(figure.day).date, figure.pool, state, figure.peak, figure.overage, figure.peak, figure.overage,
        None, figure.committed, instant(figure.peak_at_ms), figure.held_peak, figure.adopted,
    )  # fmt: skip
