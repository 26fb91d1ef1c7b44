"""Tells the ledger, from a gateway's disk, what that gateway was told of the last days."""

import asyncio

import structlog

from gateway.disk import MemoryFailed
from gateway.kernel.keys import BUCKETS
from gateway.ledger.database import Database, LedgerUnavailable
from gateway.ledger.remembering import put_remembered, remembered_of
from gateway.memory import Memory


EVERY_S = 600.0
"""Often enough that all of a day is told before it is closed, 2 h after its end."""
DAYS_TOLD = 3
"""The days before are told of by then."""

_log = structlog.get_logger("gateway.ledger")


async def tell_what_is_remembered(memory: Memory, database: Database) -> None:
    """Goes on as long as the gateway does."""
    while True:
        await asyncio.sleep(EVERY_S)
        try:
            for bucket in range(BUCKETS):
                await tell_bucket(memory, database, bucket)
        except (MemoryFailed, LedgerUnavailable) as error:
            _log.warning("ledger.not_told", error=str(error))
        except Exception:  # noqa: BLE001 - logged with its trace; the next time is soon
            _log.exception("ledger.not_told")


async def tell_bucket(memory: Memory, database: Database, bucket: int) -> None:
    """Tells of the customers of a bucket. Raises MemoryFailed, LedgerUnavailable."""
    rows = []
    for customer in await memory.customers_of(bucket):
        registers = await memory.registers_of(customer)
        latest = max([seen.day for seen in registers], default=0)
        rows += remembered_of(customer, [seen for seen in registers if seen.day > latest - DAYS_TOLD])
    if rows:
        async with database.writing() as connection:
            await put_remembered(connection, rows)
