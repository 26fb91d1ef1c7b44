"""Stretches as rows: those that go on, and those that are over."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, FromClause, and_, cast, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.billing.entry import EntryId
from gateway.kernel.keys import bucket_of
from gateway.ledger import schema
from gateway.ledger.entries import Seen
from gateway.ledger.interning import MEETING, NODE, PERSON, TELEPHONE, Name
from gateway.ledger.stretches import Going, Key, Leg
from gateway.ledger.upserts import listed


def names_of(going: Going) -> Iterator[Name]:
    """The names that stand in a stretch. An owner and who joins are people alike."""
    seen, customer = going.seen, going.customer
    yield customer, MEETING, seen.meeting
    for kind, name in ((PERSON, seen.host), (PERSON, seen.person), (NODE, seen.node), (TELEPHONE, seen.telephone)):
        if name is not None:
            yield customer, kind, name


def going_row(going: Going, names: Mapping[Name, int], shapes: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    """As `live` holds it."""
    return {
        "customer": going.customer,
        "connection": going.connection,
        "bucket": bucket_of(going.customer),
        **_common(going, names, shapes),
    }


def closed_row(going: Going, names: Mapping[Name, int], shapes: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    """As `legs` holds it, when it is over."""
    return {"customer": going.customer, "connection": going.connection, **_common(going, names, shapes)}


async def read_going(connection: AsyncConnection, keys: Iterable[Key]) -> dict[Key, Going]:
    """Those of the legs that the database has as live."""
    wanted = list(keys)
    if not wanted:
        return {}
    rows = listed(connection, wanted, ("customer", "connection"))
    table = schema.live
    return await read_where(
        connection, (table.c.customer == rows.c.customer) & (table.c.connection == rows.c.connection), beside=rows
    )


async def read_ended(connection: AsyncConnection, legs: Iterable[Leg]) -> set[Leg]:
    """Those of the legs that are over, as far as the database knows."""
    wanted = [(customer, name, str(held_ms)) for customer, name, held_ms in sorted(set(legs))]
    if not wanted:
        return set()
    rows, table = listed(connection, wanted, ("customer", "connection", "held_ms")), schema.legs
    same = and_(
        table.c.customer == rows.c.customer,
        table.c.held_ms == cast(rows.c.held_ms, BigInteger),
        table.c.connection == rows.c.connection,
    )
    found = await connection.execute(
        select(table.c.customer, table.c.connection, table.c.held_ms).select_from(rows.join(table, same))
    )
    return {(row.customer, row.connection, row.held_ms) for row in found}


async def read_where(
    connection: AsyncConnection, condition: ColumnElement[bool], beside: FromClause | None = None
) -> dict[Key, Going]:
    """Live stretches for which the condition holds, with the names that stand in them; `beside`: what else it speaks of."""
    table = schema.live
    of = {kind: schema.names.alias() for kind in ("meeting", "host", "person", "node", "telephone")}
    joined = table if beside is None else beside.join(table, condition)
    joined = joined.join(schema.shapes, schema.shapes.c.id == table.c.shape)
    for column, name in of.items():
        joined = joined.outerjoin(name, name.c.id == table.c[column])
    # A name that was forgotten goes on as its pseudonym.
    shown = [
        value
        for column, name in of.items()
        for value in (name.c.name.label(column), name.c.pseudonym.label(f"{column}_pseudonym"))
    ]
    own = [column for column in table.columns if column.name not in of and column.name not in {"shape", "bucket"}]
    rows = await connection.execute(select(*own, schema.shapes.c.shape, *shown).select_from(joined).where(condition))
    return {(row.customer, row.connection): _going(row) for row in rows}


def _going(row: Any) -> Going:
    seen = Seen(
        row.shape, row.held_ms, row.connected_ms, row.meeting or row.meeting_pseudonym, row.host or row.host_pseudonym,
        row.person or row.person_pseudonym, row.node or row.node_pseudonym, row.telephone or row.telephone_pseudonym,
    )  # fmt: skip
    freed = None if row.freed_epoch is None else EntryId(row.freed_epoch, row.freed_number)
    return Going(
        row.customer, row.connection, EntryId(row.epoch, row.number), row.held_ms, row.connected_ms, seen,
        freed, row.freed_ms, row.until_ms, row.cause or "",
    )  # fmt: skip


def _common(going: Going, names: Mapping[Name, int], shapes: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    seen, customer = going.seen, going.customer

    def number(kind: str, name: str | None) -> int | None:
        return None if name is None else names[customer, kind, name]

    return {
        "held_ms": going.held_ms,
        "epoch": going.began.epoch,
        "number": going.began.number,
        "connected_ms": going.connected_ms,
        "freed_ms": going.freed_ms,
        "freed_epoch": going.freed.epoch if going.freed else None,
        "freed_number": going.freed.number if going.freed else None,
        "until_ms": going.until_ms,
        "cause": going.cause,
        "shape": shapes[customer, seen.shape],
        "meeting": names[customer, MEETING, seen.meeting],
        "host": number(PERSON, seen.host),
        "person": number(PERSON, seen.person),
        "node": number(NODE, seen.node),
        "telephone": number(TELEPHONE, seen.telephone),
    }
