"""Reads those stretches of a customer whose shape is wanted, and tells which of them are one leg."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import Any

from sqlalchemy import Table, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.billing.entry import EntryId
from gateway.domain.billing.stretch import Shape, Stretch
from gateway.domain.days import DAY_MS
from gateway.ledger import schema
from gateway.ledger.reading import shapes_of, stretch_of


COLUMNS = (
    "customer", "epoch", "number", "held_ms", "connection", "shape", "meeting", "host", "person", "connected_ms", "until_ms",
    "freed_epoch", "freed_number", "freed_ms", "cause",
)  # fmt: skip


async def selected(
    connection: AsyncConnection, customer: str, from_ms: int, until_ms: int, wanted: Callable[[Shape], bool]
) -> list[Stretch]:
    """As `reading.stretches`, only those whose shape is wanted; a report of a few kinds need not read all of a customer."""
    shapes = {id_: shape for id_, shape in (await shapes_of(connection, customer)).items() if wanted(shape)}
    if not shapes:
        return []
    legs, live = schema.legs, schema.live
    ended_late = or_(legs.c.freed_ms > from_ms, legs.c.until_ms > from_ms)
    recent = and_(legs.c.held_ms >= from_ms - DAY_MS, legs.c.held_ms < until_ms, ended_late)
    long = and_(schema.LONG, legs.c.freed_ms > from_ms, legs.c.held_ms < from_ms - DAY_MS)
    found: list[Stretch] = []
    for table, part in ((legs, recent), (legs, long), (live, live.c.held_ms < until_ms)):
        rows = await connection.execute(
            select(*_columns(table)).where(table.c.customer == customer, part, table.c.shape.in_(shapes))
        )
        found += [stretch_of(row, shapes) for row in rows]
    return found


def predecessors(stretches: Collection[Stretch]) -> dict[EntryId, Stretch]:
    """By the entry with which a billed stretch began, the one that it goes on with: the leg moved, or was adopted again without a gap.

    A move ends one stretch and begins the next with the same entry. One that was reclaimed is found by its connection, as long as that is kept.
    """
    billed = [each for each in stretches if each.connected_ms is not None and each.until_ms is not None]
    by_entry = {each.freed: each for each in billed if each.freed is not None}
    by_end: dict[tuple[str, int | None], list[Stretch]] = defaultdict(list)
    for each in billed:
        if each.connection:
            by_end[each.connection, each.until_ms].append(each)
    found: dict[EntryId, Stretch] = {}
    for each in stretches:
        if each.connected_ms is None:
            continue
        before = by_entry.get(each.began)
        if before is None or before.until_ms != each.connected_ms:
            earlier = [one for one in by_end.get((each.connection, each.connected_ms), ()) if one.began < each.began]
            before = max(earlier, key=lambda one: one.began, default=None)
        if before is not None:
            found[each.began] = before
    return found


def whole_legs(stretches: Iterable[Stretch]) -> list[list[Stretch]]:
    """Billed stretches, those of one leg together and in their order."""
    ordered = sorted([each for each in stretches if each.connected_ms is not None], key=lambda each: each.began)
    before = predecessors(ordered)
    chains: dict[EntryId, list[Stretch]] = {}
    for each in ordered:
        chain = chains.get(before[each.began].began) if each.began in before else None
        if chain is None:
            chain = []
        chain.append(each)
        chains[each.began] = chain
    return list({id(chain): chain for chain in chains.values()}.values())


def _columns(table: Table) -> list[Any]:
    return [table.c[name] for name in COLUMNS]
