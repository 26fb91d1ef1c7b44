"""The three-way check of days: replay, the registers of the store, and what gateways remember. A difference is a finding with all values.

Findings are opened, and closed when what they say has gone; none is ever deleted.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from gateway.domain.days import HOUR_MS, Day, day_at, days_between
from gateway.kernel.kernel import DAYS_KEPT
from gateway.kernel.outcomes import Register
from gateway.ledger import schema
from gateway.ledger.comparing import Difference, Place, Witnesses, differences, kinds_told
from gateway.ledger.facts import fact, put_fact
from gateway.ledger.figures import Figures
from gateway.ledger.findings import days_with_findings, gaps_of_days, put_findings
from gateway.ledger.lease import Lease
from gateway.ledger.positions import is_in_doubt
from gateway.ledger.remembering import remembered_between
from gateway.ledger.replaying import DAYS_AT_ONCE
from gateway.ledger.versions import customers_of


CHECKED = "checked"
"""The fact that says up to which closing days were checked."""
AGAIN_EVERY_MS = HOUR_MS
"""How often days with open findings are checked again, apart from when they become final."""
AGAIN_MAX = 1_000

Registers = Callable[[str, Sequence[int]], Awaitable[Mapping[Place, Register]]]
"""Asks the store for the registers of a customer on days (ordinals): by day and pool, as reports name it. Days that are over are closed."""
Progress = Callable[[int, int], None]
"""Told how many of how many customer days are done."""


@dataclass(frozen=True, slots=True)
class Verified:
    """The result of a verification: how many days of customers were compared, those left out (their bucket is in doubt), and what differs."""

    days: int
    doubtful: tuple[str, ...]
    differences: tuple[tuple[str, Difference], ...]
    """Customer, and difference."""


class Check:
    """Checks days. `registers` None: without the store. `lease` None: nothing is written.

    One at a time, and not while `Closing` closes days.
    """

    def __init__(self, figures: Figures, lease: Lease | None, registers: Registers | None) -> None:
        self._figures = figures
        self._database = figures.database
        self._lease = lease
        self._registers = registers
        self._again_ms: int | None = None

    async def run_once(self, now_ms: int) -> int:
        """Checks the days that were closed since the last time, and now and then those with open findings; how many days.

        Raises:
            LedgerUnavailable, StoreError: the next call goes on where this one ended.
            LeaseLost: another process writes.
        """
        fresh = await self._just_closed()
        wanted = set(fresh)
        if self._again_ms is None or not 0 <= now_ms - self._again_ms < AGAIN_EVERY_MS:
            async with self._database.reading() as connection:
                wanted |= set(await days_with_findings(connection, AGAIN_MAX))
            self._again_ms = now_ms
        count, left = 0, set[str]()
        for customer, first, last in _ranges(wanted):
            if await self._check(customer, first, last, now_ms) is None:
                left.add(customer)
            else:
                count += last - first + 1
        if fresh:
            # What was left is looked at again.
            later = [at_ms - 1 for (customer, _), at_ms in fresh.items() if customer in left]
            await self._keep(min([max(fresh.values()), *later]))
        return count

    async def verify(
        self, customer: str | None, first: int, last: int, now_ms: int, progress: Progress = lambda _, __: None
    ) -> Verified:
        """Recomputes and compares days that are over, of one customer or all (None), from ordinal `first` to `last`. Raises as `run_once`."""
        last = min(last, day_at(now_ms).ordinal - 1)
        customers = await self._customers() if customer is None else [customer]
        total, done = len(customers) * max(last - first + 1, 0), 0
        doubtful: dict[str, None] = {}
        found: list[tuple[str, Difference]] = []
        for each in customers:
            for begin, end in _parts(first, last):
                differing = await self._check(each, begin, end, now_ms)
                if differing is None:
                    doubtful[each] = None
                else:
                    found += [(each, one) for one in differing]
                done += end - begin + 1
                progress(done, total)
        return Verified(total, tuple(doubtful), tuple(found))

    async def _check(self, customer: str, first: int, last: int, now_ms: int) -> list[Difference] | None:
        """What differs on days that are over, as it is written; None: the bucket is in doubt."""
        days = days_between(first, last)
        registers = await self._registers(customer, [each.ordinal for each in days]) if self._registers else None
        known = await self._witnesses(customer, days, registers, now_ms)
        if known is None:
            return None
        found = differences(known)
        if self._lease is not None:
            told = {each.ordinal: kinds_told(known, each.ordinal) for each in days}
            async with self._database.writing() as connection:
                await self._lease.hold(connection)
                await put_findings(connection, customer, told, found, now_ms)
        return found

    async def _witnesses(
        self, customer: str, days: Sequence[Day], registers: Mapping[Place, Register] | None, now_ms: int
    ) -> Witnesses | None:
        first, last = days[0].ordinal, days[-1].ordinal
        async with self._database.reading() as connection:
            if await is_in_doubt(connection, customer):
                return None
            replayed = await self._figures.replay(connection, customer, first, last, now_ms)
            closed, written = await self._figures.written(connection, customer, first, last)
            return Witnesses(
                replayed={(row.day, row.pool): row for row in replayed},
                registers=registers,
                remembered=await remembered_between(connection, customer, first, last),
                written={(row.day, row.pool): row for row in written},
                closed=frozenset(closed),
                gaps=await gaps_of_days(connection, customer, days),
                forgotten_before=day_at(now_ms).ordinal - DAYS_KEPT,
            )

    async def _just_closed(self) -> dict[tuple[str, int], int]:
        """Days that were closed since the last check: when."""
        closings = schema.closings
        async with self._database.reading() as connection:
            since_ms = int(await fact(connection, CHECKED) or -1)
            rows = await connection.execute(
                select(closings.c.customer, closings.c.day, closings.c.at_ms).where(closings.c.at_ms > since_ms)
            )
            return {(row.customer, row.day): row.at_ms for row in rows}

    async def _keep(self, checked_ms: int) -> None:
        if self._lease is not None:
            async with self._database.writing() as connection:
                await self._lease.hold(connection)
                await put_fact(connection, CHECKED, str(checked_ms))

    async def _customers(self) -> list[str]:
        async with self._database.reading() as connection:
            return await customers_of(connection)


def _parts(first: int, last: int) -> Iterator[tuple[int, int]]:
    for begin in range(first, last + 1, DAYS_AT_ONCE):
        yield begin, min(begin + DAYS_AT_ONCE - 1, last)


def _ranges(wanted: Iterable[tuple[str, int]]) -> list[tuple[str, int, int]]:
    """Days of customers as customer, first and last of bounded runs."""
    runs: list[tuple[str, int, int]] = []
    for customer, ordinal in sorted(wanted):
        of, first, last = runs[-1] if runs else ("", 0, 0)
        if runs and of == customer and ordinal == last + 1 and ordinal - first < DAYS_AT_ONCE:
            runs[-1] = customer, first, ordinal
        else:
            runs.append((customer, ordinal, ordinal))
    return runs
