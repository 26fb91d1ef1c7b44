"""Looking for people in everything that a ledger's database is made of."""

from pathlib import Path

import msgspec
from sqlalchemy import select

from gateway.ledger import schema
from gateway.ledger.database import Database


async def traces_in(database: Database, *needles: str) -> list[str]:
    """Where these texts stand, whatever their case: in any row of any table, and in the bytes of SQLite's files."""
    found = []
    async with database.reading() as connection:
        for table in schema.metadata.sorted_tables:
            for row in await connection.execute(select(table)):
                text = "\x1f".join(
                    [each.decode() if isinstance(each, bytes) else str(each) for each in row if not _is_key(each)]
                )
                found += [f"{table.name}: {needle}" for needle in needles if needle.casefold() in text.casefold()]
    if database.kind == "sqlite":
        path = Path(str(database.engine.url.database))
        for each in (path, path.with_name(f"{path.name}-wal")):
            content = each.read_bytes().lower() if each.exists() else b""
            found += [f"{each.name}: {needle}" for needle in needles if needle.lower().encode() in content]
    return found


async def named(database: Database, customer: str = "acme") -> list[tuple[str, str]]:
    """Kind and name of all names that are known."""
    names = schema.names
    async with database.reading() as connection:
        rows = await connection.execute(
            select(names.c.kind, names.c.name).where(names.c.customer == customer, names.c.name.is_not(None))
        )
        return sorted([(row.kind, row.name) for row in rows])


async def connections(database: Database, customer: str = "acme") -> list[str]:
    """Ids of connections of all stretches that are over, in the order in which they began."""
    legs = schema.legs
    async with database.reading() as connection:
        rows = await connection.execute(
            select(legs.c.connection).where(legs.c.customer == customer).order_by(legs.c.held_ms, legs.c.number)
        )
        return [row.connection for row in rows]


async def documents(database: Database, customer: str = "acme") -> list[dict[str, object]]:
    """The documents of all versions."""
    table = schema.versions
    async with database.reading() as connection:
        rows = await connection.execute(
            select(table.c.document).where(table.c.customer == customer).order_by(table.c.version)
        )
        return [msgspec.json.decode(row.document) for row in rows]


def _is_key(value: object) -> bool:
    if not isinstance(value, bytes):
        return False
    try:
        value.decode()
    except UnicodeDecodeError:
        return True
    return False
