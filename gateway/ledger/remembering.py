"""What gateways remember of a day from what they were told: the third witness of the check. Gateways write it, the ledger reads it."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import case, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.contract import METERED_POOLS, REPORTED_POOLS
from gateway.ledger import schema
from gateway.remembered import SeenRegister


_POOL_OF_GROUP = {REPORTED_POOLS[pool]: pool for pool in METERED_POOLS}


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
        Remembered(customer, seen.day, _POOL_OF_GROUP[seen.group], seen.peak, seen.overage)
        for seen in registers
        if seen.group in _POOL_OF_GROUP
    ]


async def put_remembered(connection: AsyncConnection, rows: Sequence[Remembered]) -> None:
    """Merges with what is there: the greater of each stays, so that it may be told in any order, and again. Needs no lease."""
    if rows:
        table = schema.remembered
        insert: Any = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)
        greater = {
            name: case((insert.excluded[name] > table.c[name], insert.excluded[name]), else_=table.c[name])
            for name in ("peak", "overage")
        }
        # Always in one order, so that gateways that write at the same time do not wait for each other in a circle.
        ordered = sorted(rows, key=lambda row: (row.customer, row.day, row.pool))
        await connection.execute(
            insert.on_conflict_do_update(index_elements=table.primary_key, set_=greater),
            [msgspec.structs.asdict(row) for row in ordered],
        )


async def remembered_between(
    connection: AsyncConnection, customer: str, first: int, last: int
) -> dict[tuple[int, str], Remembered]:
    """What is remembered of days, by day and pool."""
    table = schema.remembered
    found = await connection.execute(
        select(table).where(table.c.customer == customer, table.c.day.between(first, last))
    )
    return {(row.day, row.pool): Remembered(row.customer, row.day, row.pool, row.peak, row.overage) for row in found}
