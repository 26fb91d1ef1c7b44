"""How far the ledger is: written by the process that writes it, read by gateways for their metrics and by whoever asks."""

import msgspec
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.ledger import schema
from gateway.ledger.database import Database
from gateway.ledger.deliveries import OPEN
from gateway.ledger.facts import ID, READ_MS, fact, put_fact


class LedgerStatus(msgspec.Struct, frozen=True):
    """How far the ledger is. Instants are Unix milliseconds."""

    id: str = ""
    read_ms: int = 0
    """Everything that happened until then is stored."""
    gaps: int = 0
    doubts: int = 0
    """Buckets whose live legs are yet to be compared with the store."""
    findings: int = 0
    """Open ones."""
    deliveries: int = 0
    """Notices that wait to be delivered, those too that were tried and are to be tried again."""

    def lag_s(self, now_ms: int) -> float:
        """How long ago what is read next happened, at most: by the clocks of two machines."""
        return max(0, now_ms - self.read_ms) / 1000


async def put_status(connection: AsyncConnection, read_ms: int) -> None:
    """Writes how far the reader is."""
    await put_fact(connection, READ_MS, str(read_ms))


async def read_until_ms(database: Database) -> int:
    """The store's instant up to which everything that happened is stored; 0 before anything was read. Raises LedgerUnavailable."""
    async with database.reading() as connection:
        return int(await fact(connection, READ_MS) or 0)


async def read_status(database: Database) -> LedgerStatus:
    """How far the ledger is. Raises LedgerUnavailable."""
    async with database.reading() as connection:
        facts = {row.name: row.value for row in await connection.execute(select(schema.facts))}
        positions, deliveries = schema.positions, schema.deliveries
        counts = [
            (await connection.execute(statement)).scalar_one()
            for statement in (
                select(func.count()).select_from(schema.gaps),
                select(func.count()).select_from(positions).where(positions.c.doubt_ms.is_not(None)),
                select(func.count()).select_from(schema.findings).where(schema.findings.c.closed_ms.is_(None)),
                select(func.count()).select_from(deliveries).where(OPEN),
            )
        ]
    return LedgerStatus(facts.get(ID, ""), int(facts.get(READ_MS, 0)), *counts)
