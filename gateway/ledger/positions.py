"""How far the outbox of a customer was read."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.billing.entry import EntryId
from gateway.kernel.keys import bucket_of
from gateway.ledger import schema


async def is_in_doubt(connection: AsyncConnection, customer: str) -> bool:
    """Whether legs of the customer may have ended unheard of: its bucket is yet to be compared with the store."""
    row = await _row(connection, customer)
    return row is not None and row.doubt_ms is not None


async def known_until_ms(connection: AsyncConnection, customer: str) -> int | None:
    """The instant up to which all legs of the customer are known; None: nothing was read yet."""
    row = await _row(connection, customer)
    if row is None:
        return None
    return int(row.at_ms if row.doubt_ms is None else row.doubt_ms)


async def read_through(connection: AsyncConnection, customer: str) -> EntryId | None:
    """The last entry of the customer's bucket that is stored; None: nothing was read yet."""
    row = await _row(connection, customer)
    return None if row is None else EntryId(row.epoch, row.number)


async def _row(connection: AsyncConnection, customer: str) -> Any:
    table = schema.positions
    return (await connection.execute(select(table).where(table.c.bucket == bucket_of(customer)))).one_or_none()
