"""The legs of a customer by pool: when they were billed, and in which order they held seats.

Reports of a month may be of very many legs: rows are fetched as few columns, and everything else is done by whoever calls it in a thread.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Select, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.billing.concurrency import Interval, Step
from gateway.domain.billing.entry import EntryId
from gateway.domain.billing.stretch import Shape
from gateway.domain.contract import METERED_POOLS, REPORTED_POOLS
from gateway.ledger.reading import overlapping, shapes_of
from gateway.ledger.stretches import LOST


_COLUMNS = (
    "epoch", "number", "held_ms", "connection", "shape", "connected_ms", "until_ms", "freed_epoch", "freed_number", "freed_ms", "cause",
)  # fmt: skip
_POOL_OF_GROUP = {REPORTED_POOLS[pool]: pool for pool in METERED_POOLS}

ENDED = frozenset({"released", "operator", "unanswered", "moved"})
"""Causes after which a leg is not waited for."""

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
    deltas: dict[EntryId, list[int]] = field(default_factory=dict)
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

    def _count(self, entry: EntryId, at_ms: int, delta: int) -> None:
        # A move is one entry: what it gives back in this pool, and takes again, is one step.
        self.deltas.setdefault(entry, [at_ms, 0])[1] += delta

    def add(self, row: Any, began: EntryId, freed: EntryId | None, origin: EntryId, *, adopted: bool) -> None:
        """Takes a stretch, with the entries of its ends; `origin` is the entry with which its leg came to be."""
        self._count(began, row.held_ms, 1)
        if freed is not None:
            freed_ms, until_ms = row.freed_ms, row.until_ms
            self._count(freed, freed_ms, -1)
            if until_ms is not None and until_ms > freed_ms:
                self.bridged.append((freed_ms, until_ms))
            if row.cause == LOST or row.number < 0:
                self.doubtful.append((row.held_ms, max(freed_ms, until_ms or 0)))
        if row.connected_ms is not None:
            self.intervals.append(Interval(row.connected_ms, row.until_ms, adopted, origin))


async def read_legs(connection: AsyncConnection, customer: str, from_ms: int, until_ms: int) -> Read:
    """Stretches that held a seat, or were billed, at any time within [from_ms, until_ms]; also those that go on, or have ended at `from_ms`."""
    shapes = await shapes_of(connection, customer)
    rows: list[Any] = []
    for table, part in overlapping(from_ms - 1, until_ms + 1):
        found = await connection.execute(_columns(table).where(table.c.customer == customer, part))
        rows += await asyncio.to_thread(found.all)
    return Read(rows, shapes)


def by_pool(read: Read) -> dict[str, PoolLegs]:
    """The legs of each metered pool. Runs in a thread."""
    pools = {pool: PoolLegs() for pool in METERED_POOLS}
    ends = [
        (
            EntryId(row.epoch, row.number),
            None if row.freed_epoch is None else EntryId(row.freed_epoch, row.freed_number),
        )
        for row in read.rows
    ]
    before = _before(read.rows, ends)
    for row, (began, freed) in zip(read.rows, ends, strict=True):
        shape, origin = read.shapes[row.shape], began
        while (earlier := before.get(origin)) is not None:
            origin = earlier
        for group in shape.pools:
            if group in _POOL_OF_GROUP:
                pools[_POOL_OF_GROUP[group]].add(row, began, freed, origin, adopted=shape.adopted)
    return pools


def _before(rows: Sequence[Any], ends: Sequence[tuple[EntryId, EntryId | None]]) -> dict[EntryId, EntryId]:
    """Of stretches that go on with another one, by one entry or by an adoption: where that one began. By the entries that they began with."""
    by_entry: dict[EntryId, EntryId] = {}
    by_adoption: dict[tuple[str, int], EntryId] = {}
    for row, (began, freed) in zip(rows, ends, strict=True):
        if freed is None or row.cause == "released":
            continue
        if row.cause in {"moved", LOST}:
            by_entry[freed] = began
        if row.cause not in ENDED and row.until_ms is not None and row.until_ms >= row.freed_ms:
            by_adoption[row.connection, row.until_ms] = began
    before: dict[EntryId, EntryId] = {}
    for row, (began, _) in zip(rows, ends, strict=True):
        earlier = by_entry.get(began) or by_adoption.get((row.connection, row.held_ms))
        if earlier is not None and earlier < began:
            before[began] = earlier
    return before


def _columns(table: Table) -> Select[Any]:
    return select(*[table.c[name] for name in _COLUMNS])
