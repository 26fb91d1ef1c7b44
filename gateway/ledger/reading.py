"""Reads stretches back: those of a customer that were there at any time between two instants."""

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Row, Table, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.billing.entry import EntryId
from gateway.domain.billing.stretch import Shape, Stretch
from gateway.domain.days import DAY_MS
from gateway.ledger import schema


LONG_HELD_MS = schema.legs.c.held_ms + 0
"""`held_ms` beside `schema.LONG`: SQLite would take the primary key for the column itself, and look through all of a customer's past."""

COLUMNS = (
    "customer", "epoch", "number", "held_ms", "connection", "shape", "meeting", "host", "person", "connected_ms",
    "until_ms", "freed_epoch", "freed_number", "freed_ms", "cause",
)  # fmt: skip

LONG_HELD_MS = schema.legs.c.held_ms + 0
"""`held_ms` beside `schema.LONG`: SQLite would take the primary key for the column itself, and look through all of a customer's past."""

_SHAPE = msgspec.json.Decoder(Shape)


async def read_stretches(
    connection: AsyncConnection,
    customer: str,
    from_ms: int,
    until_ms: int,
    wanted: Callable[[Shape], bool] = lambda _: True,
) -> list[Stretch]:
    """All stretches of a customer that held a seat, or were billed, at any time within [from_ms, until_ms); also those that go on.

    `wanted`: a report of a few kinds of leg need not read all. In no order that means anything. A stretch that was adopted again is billed
    longer than it held its seat, by at most 2 h.
    """
    shapes = {id_: shape for id_, shape in (await shapes_of(connection, customer)).items() if wanted(shape)}
    found: list[Stretch] = []
    for table, part in overlapping(from_ms, until_ms) if shapes else ():
        columns = [table.c[name] for name in COLUMNS]
        rows = await connection.execute(
            select(*columns).where(table.c.customer == customer, part, table.c.shape.in_(shapes))
        )
        found += [stretch_of(row, shapes) for row in rows]
    return found


def overlapping(from_ms: int, until_ms: int) -> tuple[tuple[Table, ColumnElement[bool]], ...]:
    """Where the stretches are that were there at any time within [from_ms, until_ms), by ranges of keys: recent ones, long ones, live ones."""
    legs, live = schema.legs, schema.live
    ended_late = or_(legs.c.freed_ms > from_ms, legs.c.until_ms > from_ms)
    recent = and_(legs.c.held_ms >= from_ms - DAY_MS, legs.c.held_ms < until_ms, ended_late)
    long = and_(schema.LONG, legs.c.freed_ms > from_ms, LONG_HELD_MS < from_ms - DAY_MS)
    return (legs, recent), (legs, long), (live, live.c.held_ms < until_ms)


async def shapes_of(connection: AsyncConnection, customer: str) -> dict[int, Shape]:
    """What the legs of a customer are, by number."""
    table = schema.shapes
    rows = await connection.execute(select(table.c.id, table.c.shape).where(table.c.customer == customer))
    return {id_: _SHAPE.decode(shape) for id_, shape in rows}


async def names_by_id(connection: AsyncConnection, customer: str, condition: ColumnElement[bool]) -> dict[int, str]:
    """Names, or their pseudonyms where they were forgotten, by number."""
    table = schema.names
    rows = await connection.execute(
        select(table.c.id, table.c.name, table.c.pseudonym).where(table.c.customer == customer, condition)
    )
    return {id_: name if name is not None else pseudonym for id_, name, pseudonym in rows}


def stretch_of(row: Row[Any], shapes: dict[int, Shape]) -> Stretch:
    """A stretch from its row in `legs` or `live`."""
    freed = None if row.freed_epoch is None else EntryId(row.freed_epoch, row.freed_number)
    return Stretch(
        row.customer, EntryId(row.epoch, row.number), row.held_ms, row.connection, shapes[row.shape],
        row.meeting, row.host, row.person, row.connected_ms, row.until_ms, freed, row.freed_ms, row.cause or "",
    )  # fmt: skip
