"""Entitlements as they were: every version that was installed, who and when."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.record import Record
from gateway.ledger import schema
from gateway.ledger.database import Database
from gateway.stored_record import decode_record


async def newest_record(database: Database, customer: str) -> Record | None:
    """The newest version that is known; None: none is. Raises LedgerUnavailable."""
    async with database.reading() as connection:
        return await newest(connection, customer)


async def newest(connection: AsyncConnection, customer: str) -> Record | None:
    """The newest version, within a transaction."""
    table = schema.versions
    statement = select(table.c.version, table.c.document).where(table.c.customer == customer)
    row = (await connection.execute(statement.order_by(table.c.version.desc()).limit(1))).first()
    return decode_record(row.version, bytes(row.document)) if row else None
