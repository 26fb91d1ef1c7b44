"""Reads stretches back: those of a customer that were there at any time between two instants."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Row, Select, Table, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.billing.entry import EntryId
from gateway.domain.billing.stretch import Shape, Stretch
from gateway.domain.days import DAY_MS
from gateway.ledger import schema


LONG_HELD_MS = schema.legs.c.held_ms + 0
"""`held_ms` beside `schema.LONG`: SQLite would take the primary key for the column itself, and look through all of a customer's past."""

_SHAPE = msgspec.json.Decoder(Shape)


async def stretches(connection: AsyncConnection, customer: str, from_ms: int, until_ms: int) -> list[Stretch]:
    """All stretches of a customer that held a seat, or were billed, at any time within [from_ms, until_ms); also those that go on.

    In no order that means anything. A stretch that was adopted again is billed longer than it held its seat, by at most 2 h.
    """
    found = [each async for each in each_stretch(connection, customer, from_ms, until_ms)]
    found += await going_on(connection, customer, until_ms)
    return found


async def each_stretch(
    connection: AsyncConnection, customer: str, from_ms: int, until_ms: int
) -> AsyncIterator[Stretch]:
    """Those of them that are over."""
    shapes = await shapes_of(connection, customer)
    legs = schema.legs
    ended_late = or_(legs.c.freed_ms > from_ms, legs.c.until_ms > from_ms)
    recent = and_(legs.c.held_ms >= from_ms - DAY_MS, legs.c.held_ms < until_ms, ended_late)
    long = and_(schema.LONG, legs.c.freed_ms > from_ms, LONG_HELD_MS < from_ms - DAY_MS)
    for part in (recent, long):
        rows = await connection.execute(_columns(legs).where(legs.c.customer == customer, part))
        for row in rows:
            yield stretch_of(row, shapes)


async def going_on(connection: AsyncConnection, customer: str, until_ms: int) -> list[Stretch]:
    """Stretches that go on, or were given up less than 2 h ago."""
    shapes, live = await shapes_of(connection, customer), schema.live
    rows = await connection.execute(_columns(live).where(live.c.customer == customer, live.c.held_ms < until_ms))
    return [stretch_of(row, shapes) for row in rows]


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


def _columns(table: Table) -> Select[Any]:
    wanted = (
        "customer", "epoch", "number", "held_ms", "connection", "shape", "meeting", "host", "person", "connected_ms",
        "until_ms", "freed_epoch", "freed_number", "freed_ms", "cause",
    )  # fmt: skip
    return select(*[table.c[name] for name in wanted])
