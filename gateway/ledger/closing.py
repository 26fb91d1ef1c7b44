"""Closes the days of customers: closed 2 h after their end, final 24 h after it (`domain.billing.day_state`), and then never written again.

A day waits as long as the reader is behind it, or its bucket is in doubt. What comes later becomes adjustments, see `late_facts`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.billing.day_state import FINAL_MS, PROVISIONAL_MS
from gateway.domain.days import day_at
from gateway.ledger import schema
from gateway.ledger.figures import DayRow, Figures, day_rows
from gateway.ledger.late_facts import LateFacts
from gateway.ledger.lease import Lease
from gateway.ledger.positions import is_in_doubt
from gateway.ledger.replaying import DAYS_AT_ONCE
from gateway.ledger.upserts import put


CLOSED, FINAL = "closed", "final"

ReadUntil = Callable[[str], int]
"""The store's instant (ms) up to which everything that happened to a customer is known to be read."""


@dataclass(slots=True)
class _Reached:
    """The last days of a customer that are closed, and final."""

    closed: int
    final: int


class Closing:
    """Closes days; one at a time, in the process that holds the lease.

    The first day of a customer is that of its first entitlements: before them it has no figures.
    """

    def __init__(self, figures: Figures, lease: Lease, read_until_ms: ReadUntil) -> None:
        self._figures = figures
        self._database = figures.database
        self._lease = lease
        self._read_until_ms = read_until_ms
        self._late = LateFacts(figures, lease)
        self._reached: dict[str, _Reached] | None = None

    async def run_once(self, now_ms: int) -> int:
        """Closes what is due at `now_ms`, and makes adjustments of final days; how many days were closed or became final.

        Raises:
            LedgerUnavailable: the next call goes on where this one ended.
            LeaseLost: another process writes.
        """
        count = 0
        try:
            for customer, reached in (await self._known()).items():
                for state, first, last in _due(reached, min(now_ms, self._read_until_ms(customer))):
                    if not await self._close(customer, state, first, last, now_ms):
                        break
                    reached.closed = max(reached.closed, last)
                    reached.final = last if state == FINAL else reached.final
                    count += last - first + 1
        except BaseException:
            self._reached = None  # what was written is not known, or another process has gone on
            raise
        await self._late.run_once(now_ms)
        return count

    async def _known(self) -> dict[str, _Reached]:
        versions, closings = schema.versions, schema.closings
        async with self._database.reading() as connection:
            begun = select(versions.c.customer, func.min(versions.c.at_ms)).group_by(versions.c.customer)
            before = {customer: day_at(at_ms).ordinal - 1 for customer, at_ms in await connection.execute(begun)}
            if self._reached is None:
                self._reached = {}
                last = select(closings.c.customer, closings.c.state, func.max(closings.c.day))
                for customer, state, ordinal in await connection.execute(
                    last.group_by(closings.c.customer, closings.c.state)
                ):
                    none = before.get(customer, ordinal)
                    reached = self._reached.setdefault(customer, _Reached(none, none))
                    reached.closed = max(reached.closed, ordinal)
                    reached.final = max(reached.final, ordinal) if state == FINAL else reached.final
        for customer, ordinal in before.items():
            self._reached.setdefault(customer, _Reached(ordinal, ordinal))
        return self._reached

    async def _close(self, customer: str, state: str, first: int, last: int, now_ms: int) -> bool:
        """Writes the figures of days as they are known now; not where the bucket is in doubt."""
        async with self._database.reading() as connection:
            if await is_in_doubt(connection, customer):
                return False
            replayed = await self._figures.replay(connection, customer, first, last, now_ms)
        rows = day_rows(replayed, now_ms)
        async with self._database.writing() as connection:
            await self._lease.hold(connection)
            await _write(connection, customer, state, first, last, rows, now_ms)
        return True


def _due(reached: _Reached, until_ms: int) -> Iterator[tuple[str, int, int]]:
    """Days whose time has come: the state that they reach, the first and the last of a bounded number of them. Moves with `reached`."""
    # The last days that had ended so long ago.
    last_final, last_closed = [day_at(until_ms - waits_ms).ordinal - 1 for waits_ms in (FINAL_MS, PROVISIONAL_MS)]
    while reached.final < last_final:
        yield FINAL, reached.final + 1, min(reached.final + DAYS_AT_ONCE, last_final)
    while reached.closed < last_closed:
        yield CLOSED, reached.closed + 1, min(reached.closed + DAYS_AT_ONCE, last_closed)


async def _write(
    connection: AsyncConnection, customer: str, state: str, first: int, last: int, rows: Sequence[DayRow], now_ms: int
) -> None:
    days, closings = schema.days, schema.closings
    written = select(func.max(closings.c.day)).where(closings.c.customer == customer, closings.c.state == FINAL)
    final = (await connection.execute(written)).scalar_one()
    first = first if final is None else max(first, final + 1)  # never again, whoever made it final
    await connection.execute(days.delete().where(days.c.customer == customer, days.c.day.between(first, last)))
    made = [
        {
            "customer": customer, "day": row.day, "pool": row.pool, "committed": row.committed, "peak": row.peak,
            "peak_at_ms": row.peak_at_ms, "overage": row.overage,
            "overage_at_ms": row.peak_at_ms if row.overage_at_ms is None else row.overage_at_ms,
            "held_peak": row.held_peak, "adopted": row.adopted, "state": state, "computed_ms": now_ms,
        }
        for row in rows
        if row.day >= first
    ]  # fmt: skip
    if made:
        await connection.execute(days.insert(), made)
    closed = [
        {"customer": customer, "day": ordinal, "state": state, "at_ms": now_ms}
        for ordinal in range(first, last + 1)
    ]  # fmt: skip
    await put(connection, closings, closed)
