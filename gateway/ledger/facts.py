"""Facts about the ledger itself, each a text under a name."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.ledger import schema
from gateway.ledger.upserts import put


ID = "id"
"""Names the ledger: it stands in the store that it reads, too."""

READ_MS = "read_ms"
"""The store's instant up to which everything that happened is stored."""

FORGETTINGS = "forgettings"
"""Counts how often names were forgotten: what is held in memory may name somebody who is not to be known any more."""


async def fact(connection: AsyncConnection, name: str) -> str | None:
    """What is kept under a name; None: nothing."""
    table = schema.facts
    found = await connection.execute(select(table.c.value).where(table.c.name == name))
    return found.scalar_one_or_none()


async def put_fact(connection: AsyncConnection, name: str, value: str) -> None:
    """Keeps a text under a name, in place of what was there."""
    await put(connection, schema.facts, [{"name": name, "value": value}])
