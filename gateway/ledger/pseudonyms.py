"""Stretches without names (T21.2): what they point to becomes a row of the same pseudonym that has no name, its twin."""

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, bindparam, case, or_, select, union
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.billing.stretch import READOPTION_MS
from gateway.domain.days import DAY_MS
from gateway.ledger import schema
from gateway.ledger.erasure import count_forgetting


AT_ONCE = 500
"""Stretches of one transaction."""

WHO = ("meeting", "host", "person", "node", "telephone")
GONE = ""
"""In place of the id of a connection: the stretch is pseudonymised."""


class Window(NamedTuple):
    """Stretches of a customer that ended in [from_ms, until_ms), and of short ones only those that began at `after_ms` or later."""

    customer: str
    from_ms: int
    until_ms: int
    after_ms: int = 0


async def is_due(connection: AsyncConnection, window: Window) -> bool:
    """Whether there is any."""
    return bool(await _rows(connection, window, 1))


async def pseudonymise(connection: AsyncConnection, window: Window) -> tuple[int, int]:
    """Some of them, at most AT_ONCE, and where to go on: from stretches that began then. None: all are done."""
    rows = await _rows(connection, window, AT_ONCE)
    if not rows:
        return 0, window.after_ms
    twins = await _twins(connection, window.customer, {getattr(row, of) for row in rows for of in WHO} - {None})
    legs = schema.legs
    changes = [
        {
            "at": row.held_ms, "of_epoch": row.epoch, "of_number": row.number,
            **{f"new_{of}": twins.get(getattr(row, of), getattr(row, of)) for of in WHO},
        }
        for row in rows
    ]  # fmt: skip
    place = and_(
        legs.c.customer == window.customer,
        legs.c.held_ms == bindparam("at"),
        legs.c.epoch == bindparam("of_epoch"),
        legs.c.number == bindparam("of_number"),
    )
    values: dict[str, Any] = {of: bindparam(f"new_{of}") for of in WHO}
    await connection.execute(legs.update().where(place).values(connection=GONE, **values), changes)
    short = [row.held_ms for row in rows if row.freed_ms - row.held_ms <= DAY_MS]
    return len(rows), max([window.after_ms, *short])


async def forget_unused(connection: AsyncConnection, customer: str) -> int:
    """Names that only stretches without names had, or nothing at all: their rows are twins from now on. How many."""
    names, legs, live = schema.names, schema.legs, schema.live
    named = [
        select(legs.c[of]).where(legs.c.customer == customer, legs.c.connection != GONE, legs.c[of].is_not(None))
        for of in WHO
    ]
    named += [select(live.c[of]).where(live.c.customer == customer, live.c[of].is_not(None)) for of in WHO]
    unused = and_(names.c.customer == customer, names.c.name.is_not(None), names.c.id.not_in(union(*named)))
    forgotten = await connection.execute(names.update().where(unused).values(name=None))
    if forgotten.rowcount:
        await count_forgetting(connection)
    return int(forgotten.rowcount)


async def _rows(connection: AsyncConnection, window: Window, count: int) -> list[Any]:
    legs = schema.legs
    ended_ms = case((legs.c.until_ms > legs.c.freed_ms, legs.c.until_ms), else_=legs.c.freed_ms)
    due = and_(
        legs.c.customer == window.customer,
        legs.c.connection != GONE,
        ended_ms >= window.from_ms,
        ended_ms < window.until_ms,
    )
    began_ms = max(window.after_ms, window.from_ms - DAY_MS - READOPTION_MS)
    short = and_(
        legs.c.held_ms >= began_ms, legs.c.held_ms < window.until_ms, legs.c.freed_ms - legs.c.held_ms <= DAY_MS
    )
    long = and_(schema.LONG, legs.c.freed_ms >= window.from_ms - READOPTION_MS, legs.c.freed_ms < window.until_ms)
    columns = [legs.c[name] for name in ("held_ms", "epoch", "number", "freed_ms", *WHO)]
    for part in (short, long):
        found = await connection.execute(select(*columns).where(due, part).order_by(legs.c.held_ms).limit(count))
        rows = list(found)
        if rows:
            return rows
    return []


async def _twins(connection: AsyncConnection, customer: str, ids: Collection[int]) -> dict[int, int]:
    """For the names among these numbers: the number of the row without a name; made where there is none."""
    names = schema.names
    rows = await connection.execute(
        select(names.c.id, names.c.kind, names.c.pseudonym).where(names.c.id.in_(ids), names.c.name.is_not(None))
    )
    named = {row.id: (row.kind, row.pseudonym) for row in rows}
    found = await _nameless(connection, customer, named.values())
    missing = sorted(set(named.values()) - found.keys())
    if missing:
        new = [{"customer": customer, "kind": kind, "name": None, "pseudonym": known_as} for kind, known_as in missing]
        await connection.execute(names.insert(), new)
        found = await _nameless(connection, customer, named.values())
    return {id_: found[known_as] for id_, known_as in named.items()}


async def _nameless(
    connection: AsyncConnection, customer: str, wanted: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], int]:
    names = schema.names
    by_kind: dict[str, set[str]] = {}
    for kind, known_as in wanted:
        by_kind.setdefault(kind, set()).add(known_as)
    if not by_kind:
        return {}
    parts: list[ColumnElement[bool]] = [
        and_(names.c.kind == kind, names.c.pseudonym.in_(known_as)) for kind, known_as in by_kind.items()
    ]
    rows = await connection.execute(
        select(names.c.id, names.c.kind, names.c.pseudonym).where(
            names.c.customer == customer, names.c.name.is_(None), or_(*parts)
        )
    )
    return {(row.kind, row.pseudonym): row.id for row in sorted(rows, key=lambda row: -row.id)}
