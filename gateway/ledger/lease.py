"""Who may write: one ledger process at a time, by a lease in the database."""

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import now_ms
from gateway.ledger import schema
from gateway.ledger.database import Database
from gateway.ledger.upserts import insert_new


WRITER = "writer"
LEASE_S = 15.0


class LeaseLost(Exception):
    """Somebody else writes now; nothing of this transaction was written."""


class Lease:
    """The right to write, as long as it is renewed.

    Every transaction renews it, and fails if it was lost: a paused writer cannot write late.
    """

    def __init__(self, holder: str, name: str = WRITER, lease_s: float = LEASE_S) -> None:
        self.holder = holder
        self._name = name
        self._lease_s = lease_s

    async def acquire(self, database: Database) -> bool:
        """Takes it where nobody has it, or its time is over. Raises LedgerUnavailable."""
        before_ms, table = now_ms(), schema.leases
        async with database.writing() as connection:
            await insert_new(connection, table, [{"name": self._name, "holder": self.holder, "until_ms": 0}])
            taken = await connection.execute(
                table.update()
                .where(table.c.name == self._name, or_(table.c.holder == self.holder, table.c.until_ms < before_ms))
                .values(holder=self.holder, until_ms=self._until_ms())
            )
            return bool(taken.rowcount)

    async def hold(self, connection: AsyncConnection) -> None:
        """Renews it within a transaction. Raises LeaseLost."""
        table = schema.leases
        held = await connection.execute(
            table.update()
            .where(table.c.name == self._name, table.c.holder == self.holder)
            .values(until_ms=self._until_ms())
        )
        if not held.rowcount:
            raise LeaseLost(f"another process than {self.holder} writes the ledger")

    async def release(self, database: Database) -> None:
        """Gives it up, so that the next one need not wait. Raises LedgerUnavailable."""
        table = schema.leases
        async with database.writing() as connection:
            await connection.execute(
                table.update().where(table.c.name == self._name, table.c.holder == self.holder).values(until_ms=0)
            )

    def _until_ms(self) -> int:
        return now_ms() + round(self._lease_s * 1000)


async def writer_at(database: Database, now_ms: int) -> str | None:
    """Who writes now; None: nobody. Raises LedgerUnavailable."""
    table = schema.leases
    async with database.reading() as connection:
        rows = await connection.execute(select(table.c.holder).where(table.c.name == WRITER, table.c.until_ms > now_ms))
        return rows.scalar_one_or_none()
