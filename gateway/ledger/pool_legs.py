"""The legs of a customer by pool: when they were billed, and in which order they held seats.

Reports of a month may be of very many legs: rows are fetched as few columns, and everything else is done by whoever calls it in a thread.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Select, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.billing.concurrency import Interval, Step
from gateway.domain.billing.entry import Order
from gateway.domain.billing.stretch import Shape
from gateway.domain.contract import METERED_POOLS, POOL_OF_GROUP
from gateway.ledger.reading import overlapping, shapes_of
from gateway.ledger.stretches import LOST, RECLAIMED


_COLUMNS = (
    "epoch", "number", "held_ms", "connection", "shape", "connected_ms", "until_ms", "freed_epoch", "freed_number", "freed_ms", "cause",
)  # fmt: skip


Time = tuple[int, int]
"""[from, until), in ms."""


@dataclass(frozen=True, slots=True)
class Read:
    """Stretches of a customer as they are stored, and what they are."""

    rows: Sequence[Any]
    shapes: dict[int, Shape]


@dataclass(slots=True)
class PoolLegs:
    """The stretches of one pool."""

    intervals: list[Interval] = field(default_factory=list)
    """Those that are billed."""
    deltas: dict[Order, list[int]] = field(default_factory=dict)
    """By entry: its instant (ms), and by how much it changed the seats."""
    bridged: list[Time] = field(default_factory=list)
    """Times that are billed without a seat: a leg was reclaimed, and adopted again within 2 h."""
    doubtful: list[Time] = field(default_factory=list)
    """Stretches of which the store, or the ledger, did not know the beginning or the end."""

    def steps(self) -> list[Step]:
        """The changes of the seats held."""
        return [Step(at_ms, entry, delta) for entry, (at_ms, delta) in self.deltas.items()]

    def is_empty_at(self, ms: int) -> bool:
        """Whether nobody held a seat, or was billed, at that instant."""
        billed = any(each.from_ms <= ms and (each.until_ms is None or ms < each.until_ms) for each in self.intervals)
        return not billed and not sum([delta for at_ms, delta in self.deltas.values() if at_ms < ms])

    def count(self, entry: Order, at_ms: int, delta: int) -> None:
        """An entry changed the seats. A move is one: what it gives back in this pool, and takes again, is one step."""
        step = self.deltas.get(entry)
        if step is None:
            self.deltas[entry] = [at_ms, delta]
        else:
            step[1] += delta


async def read_legs(connection: AsyncConnection, customer: str, from_ms: int, until_ms: int) -> Read:
    """Stretches that held a seat, or were billed, at any time within [from_ms, until_ms]; also those that go on, or have ended at `from_ms`."""
    shapes = await shapes_of(connection, customer)
    rows: list[Any] = []
    for table, part in overlapping(from_ms - 1, until_ms + 1):
        found = await connection.execute(_columns(table).where(table.c.customer == customer, part))
        rows += await asyncio.to_thread(found.all)
    return Read(rows, shapes)


def by_pool(read: Read) -> dict[str, PoolLegs]:
    """The legs of each metered pool. Runs in a thread; a month may have 100,000 rows, hence the plain tuples."""
    pools = {pool: PoolLegs() for pool in METERED_POOLS}
    counted_in = {
        number: (shape.adopted, [pools[POOL_OF_GROUP[group]] for group in shape.pools if group in POOL_OF_GROUP])
        for number, shape in read.shapes.items()
    }
    before = _before(read.rows)
    for (
        epoch,
        number,
        held_ms,
        _,
        shape,
        connected_ms,
        until_ms,
        freed_epoch,
        freed_number,
        freed_ms,
        cause,
    ) in read.rows:
        began, freed = (epoch, number), None if freed_epoch is None else (freed_epoch, freed_number)
        adopted, counting = counted_in[shape]
        for legs in counting:
            legs.count(began, held_ms, 1)
            if freed is not None:
                legs.count(freed, freed_ms, -1)
                if until_ms is not None and until_ms > freed_ms:
                    legs.bridged.append((freed_ms, until_ms))
                if cause == LOST or number < 0:
                    legs.doubtful.append((held_ms, max(freed_ms, until_ms or 0)))
            if connected_ms is not None:
                legs.intervals.append(Interval(connected_ms, until_ms, adopted, _origin(began, before)))
    return pools


def _origin(began: Order, before: Mapping[Order, Order]) -> Order:
    """The entry with which the leg of a stretch came to be."""
    while (earlier := before.get(began)) is not None:
        began = earlier
    return began


def _before(rows: Sequence[Any]) -> dict[Order, Order]:
    """Of stretches that go on with another one, by one entry or by an adoption: where that one began. By the entries that they began with."""
    by_entry: dict[Order, Order] = {}
    by_adoption: dict[tuple[str, int], Order] = {}
    for row in rows:
        if row.freed_epoch is None or row.cause == "released":
            continue
        began = row.epoch, row.number
        if row.cause in {"moved", LOST}:
            by_entry[row.freed_epoch, row.freed_number] = began
        if row.cause in RECLAIMED and row.until_ms is not None and row.until_ms >= row.freed_ms:
            by_adoption[row.connection, row.until_ms] = began
    if not by_entry and not by_adoption:
        return {}
    before: dict[Order, Order] = {}
    for row in rows:
        began = row.epoch, row.number
        earlier = by_entry.get(began) or by_adoption.get((row.connection, row.held_ms))
        if earlier is not None and earlier < began:
            before[began] = earlier
    return before


def _columns(table: Table) -> Select[Any]:
    return select(*[table.c[name] for name in _COLUMNS])
