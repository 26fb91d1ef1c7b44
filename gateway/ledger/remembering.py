"""What gateways remember of a day from what they were told: the third witness of the check. Gateways write it, the ledger reads it."""

from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.contract import POOL_OF_GROUP
from gateway.ledger import schema
from gateway.ledger.upserts import raise_to
from gateway.remembered import SeenRegister


class Remembered(msgspec.Struct, frozen=True):
    """The greatest counts of a pool, by its name in reports, that gateways were told of a day."""

    customer: str
    day: int
    pool: str
    peak: int
    overage: int


def remembered_of(customer: str, registers: Iterable[SeenRegister]) -> list[Remembered]:
    """What a gateway keeps on its disk, as the ledger does."""
    return [
        Remembered(customer, seen.day, POOL_OF_GROUP[seen.group], seen.peak, seen.overage)
        for seen in registers
        if seen.group in POOL_OF_GROUP
    ]


async def put_remembered(connection: AsyncConnection, rows: Sequence[Remembered]) -> None:
    """Merges with what is there: the greater of each stays, so that it may be told in any order, and again. Needs no lease."""
    # Always in one order, so that gateways that write at the same time do not wait for each other in a circle.
    ordered = sorted(rows, key=lambda row: (row.customer, row.day, row.pool))
    await raise_to(connection, schema.remembered, ("peak", "overage"), [msgspec.structs.asdict(row) for row in ordered])


async def remembered_between(
    connection: AsyncConnection, customer: str, first: int, last: int
) -> dict[tuple[int, str], Remembered]:
    """What is remembered of days, by day and pool."""
    table = schema.remembered
    found = await connection.execute(
        select(table).where(table.c.customer == customer, table.c.day.between(first, last))
    )
    return {(row.day, row.pool): Remembered(row.customer, row.day, row.pool, row.peak, row.overage) for row in found}
