"""Reads stretches back: those of a customer that were there at any time between two instants."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import BigInteger, ColumnElement, CursorResult, Row, Table, and_, cast, or_, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.billing.entry import EntryId
from gateway.domain.billing.stretch import READOPTION_MS, Shape, Stretch
from gateway.domain.days import DAY_MS
from gateway.ledger import schema
from gateway.ledger.upserts import listed


LONG_HELD_MS = schema.legs.c.held_ms + 0
"""`held_ms` beside `schema.LONG`: SQLite would take the primary key for the column itself, and look through all of a customer's past."""

_COLUMNS = (
    "customer", "epoch", "number", "held_ms", "connection", "shape", "meeting", "host", "person", "connected_ms",
    "until_ms", "freed_epoch", "freed_number", "freed_ms", "cause",
)  # fmt: skip

SHAPES_MAX = 1_000
"""So many may be named in a statement; of more, what is not wanted is left out afterwards."""

_SHAPE = msgspec.json.Decoder(Shape)


class KnownAs(NamedTuple):
    """A name, None where it was forgotten, and its pseudonym."""

    name: str | None
    pseudonym: str

    @property
    def shown(self) -> str:
        """What it is called by now."""
        return self.pseudonym if self.name is None else self.name


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
        columns = [table.c[name] for name in _COLUMNS]
        few = table.c.shape.in_(shapes) if len(shapes) <= SHAPES_MAX else true()
        rows = await connection.execute(select(*columns).where(table.c.customer == customer, part, few))
        found += await asyncio.to_thread(_stretches, rows, shapes)  # a month may have very many
    return found


def overlapping(from_ms: int, until_ms: int) -> tuple[tuple[Table, ColumnElement[bool]], ...]:
    """Where the stretches are that were there at any time within [from_ms, until_ms), by ranges of keys: recent ones, long ones, live ones."""
    legs, live = schema.legs, schema.live
    ended_late = or_(legs.c.freed_ms > from_ms, legs.c.until_ms > from_ms)
    # One that was adopted again is billed after its seat was freed, so that one of just a day may reach further than a day.
    look_back_ms = from_ms - DAY_MS - READOPTION_MS
    recent = and_(legs.c.held_ms >= look_back_ms, legs.c.held_ms < until_ms, ended_late)
    long = and_(schema.LONG, legs.c.freed_ms > from_ms - READOPTION_MS, ended_late, LONG_HELD_MS < look_back_ms)
    return (legs, recent), (legs, long), (live, live.c.held_ms < until_ms)


async def shapes_of(connection: AsyncConnection, customer: str) -> dict[int, Shape]:
    """What the legs of a customer are, by number."""
    table = schema.shapes
    rows = await connection.execute(select(table.c.id, table.c.shape).where(table.c.customer == customer))
    return {id_: _SHAPE.decode(shape) for id_, shape in rows}


async def names_by_id(connection: AsyncConnection, ids: Iterable[int]) -> dict[int, KnownAs]:
    """What is known of the names with these numbers, however many they are."""
    table, rows = schema.names, listed(connection, [(str(id_),) for id_ in sorted(set(ids))], ("id",))
    found = await connection.execute(
        select(table.c.id, table.c.name, table.c.pseudonym).join(rows, table.c.id == cast(rows.c.id, BigInteger))
    )
    return {row.id: KnownAs(row.name, row.pseudonym) for row in found}


def _stretches(rows: CursorResult[Any], shapes: dict[int, Shape]) -> list[Stretch]:
    return [_stretch(row, shapes) for row in rows if row.shape in shapes]


def _stretch(row: Row[Any], shapes: dict[int, Shape]) -> Stretch:
    freed = None if row.freed_epoch is None else EntryId(row.freed_epoch, row.freed_number)
    return Stretch(
        row.customer, EntryId(row.epoch, row.number), row.held_ms, row.connection, shapes[row.shape],
        row.meeting, row.host, row.person, row.connected_ms, row.until_ms, freed, row.freed_ms, row.cause or "",
    )  # fmt: skip
