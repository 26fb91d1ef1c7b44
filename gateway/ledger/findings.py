"""Findings and gaps as rows: findings are opened, changed and closed, never deleted."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.days import Day, instant
from gateway.kernel.keys import bucket_of
from gateway.ledger import schema
from gateway.ledger.comparing import KINDS, Difference


async def put_findings(
    connection: AsyncConnection,
    customer: str,
    told: Mapping[int, AbstractSet[str]],
    found: Sequence[Difference],
    now_ms: int,
) -> None:
    """Opens what was found, and closes what has gone.

    `told`: of each day that was looked at, the kinds that could be told; findings of other kinds stay as they are. One that comes again is
    opened again, at the instant at which it did.
    """
    table = schema.findings
    rows = await connection.execute(
        select(table).where(
            table.c.customer == customer, table.c.day.between(min(told), max(told)), table.c.kind.in_(sorted(KINDS))
        )
    )
    known = {(row.day, row.pool, row.kind): row for row in rows}
    for each in found:
        row = known.pop((each.day, each.pool, each.kind), None)
        values = {
            "replayed": each.replayed, "registered": each.registered, "remembered": each.remembered, "detail": each.detail,
        }  # fmt: skip
        if row is None:
            key = {"customer": customer, "day": each.day, "pool": each.pool, "kind": each.kind}
            await connection.execute(table.insert().values(**key, **values, opened_ms=now_ms))
        elif row.closed_ms is not None:
            again = table.update().where(table.c.id == row.id)
            await connection.execute(again.values(**values, opened_ms=now_ms, closed_ms=None))
        elif any(row._mapping[name] != value for name, value in values.items()):  # noqa: SLF001 - the public name for it
            await connection.execute(table.update().where(table.c.id == row.id).values(**values))
    gone = [
        row.id for row in known.values() if row.closed_ms is None and row.kind in told.get(row.day, frozenset[str]())
    ]
    if gone:
        await connection.execute(table.update().where(table.c.id.in_(gone)).values(closed_ms=now_ms))


async def days_with_findings(connection: AsyncConnection, most: int) -> list[tuple[str, int]]:
    """Customer and day of findings of the check that are open; the newest of them, at most so many."""
    table = schema.findings
    still = select(table.c.customer, table.c.day).where(table.c.closed_ms.is_(None), table.c.kind.in_(sorted(KINDS)))
    found = await connection.execute(still.distinct().order_by(table.c.day.desc(), table.c.customer).limit(most))
    return [(row.customer, row.day) for row in found]


async def gaps_of_days(connection: AsyncConnection, customer: str, days: Sequence[Day]) -> dict[int, str]:
    """Which days gaps in the customer's bucket touch, with what is missing in words."""
    table = schema.gaps
    found = await connection.execute(
        select(table).where(table.c.bucket == bucket_of(customer)).order_by(table.c.epoch, table.c.first)
    )
    gaps = [
        (
            0 if row.from_ms is None else row.from_ms,
            row.found_ms if row.until_ms is None else row.until_ms,
            _named(row.epoch, row.first, row.last, row.from_ms, row.until_ms, row.cause),
        )
        for row in found
    ]
    return {
        each.ordinal: "; ".join(names)
        for each in days
        if (names := [name for from_ms, until_ms, name in gaps if from_ms < each.end_ms and until_ms >= each.start_ms])
    }


def _named(
    epoch: int, first: int, last: int | None, from_ms: int | None, until_ms: int | None, cause: str
) -> str:  # fmt: skip
    numbers = f"{epoch}-{first} to {epoch}-{last}" if last is not None else f"{epoch}-{first} and on"
    begins = "the beginning" if from_ms is None else instant(from_ms)
    ends = "it was found" if until_ms is None else instant(until_ms)
    return f"entries {numbers} are missing ({cause}), between {begins} and {ends}"
