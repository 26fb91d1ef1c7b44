"""Overage by day and pool, from the ledger (T4.3, T8.2): what is closed as it was written, what is not by replay."""

import itertools
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.billing.concurrency import SeatRegister
from gateway.domain.billing.day_state import DayState, state_of_day
from gateway.domain.contract import METERED_POOLS
from gateway.domain.days import day as day_of
from gateway.domain.days import day_at
from gateway.ledger import schema
from gateway.ledger.commitments import Commitments, Timelines
from gateway.ledger.database import Database
from gateway.ledger.replaying import Replayed, replay


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What a final figure would be with what became known since: the values as of `at_ms`, and why."""

    number: int
    peak: int
    overage: int
    cause: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class DayRow:
    """The figures of a pool on a day. Instants are Unix ms, `day` is a Pacific ordinal.

    `peak` and `overage` are of connected legs; once final they stay, and `adjustments` say what became known later.
    """

    day: int
    pool: str
    committed: int
    """At the instant of the greatest overage, or of the peak where there is none."""
    peak: int
    overage: int
    peak_at_ms: int
    held_peak: int
    """Of seats held, connected or not."""
    adopted: int
    """How many of the legs at the peak had been counted without a check."""
    state: DayState
    adjustments: tuple[Adjustment, ...] = ()
    overage_at_ms: int | None = None
    """None: there is none."""

    @property
    def current(self) -> tuple[int, int]:
        """Peak and overage with all that is known now."""
        return (
            (self.adjustments[-1].peak, self.adjustments[-1].overage) if self.adjustments else (self.peak, self.overage)
        )


class Figures:
    """Figures of customers. Reads only; safe to share."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._commitments = Commitments()

    async def overage(self, customer: str, first: int, last: int, now_ms: int) -> list[DayRow]:
        """A row for each day from ordinal `first` to `last` and each pool with figures, in order of day and pool. Raises LedgerUnavailable."""
        async with self.database.reading() as connection:
            states, rows = await self.written(connection, customer, first, last)
            last = min(last, day_at(now_ms).ordinal)
            for begin, end in runs([ordinal for ordinal in range(first, last + 1) if ordinal not in states]):
                rows += day_rows(await self.replay(connection, customer, begin, end, now_ms), now_ms)
        return sorted(rows, key=_place)

    async def replayed(self, customer: str, first: int, last: int, now_ms: int) -> list[DayRow]:
        """The same, all of it recomputed from stretches; without adjustments. Raises LedgerUnavailable."""
        async with self.database.reading() as connection:
            return day_rows(await self.replay(connection, customer, first, last, now_ms), now_ms)

    async def held(self, customer: str, first: int, last: int, now_ms: int) -> dict[tuple[int, str], SeatRegister]:
        """What the registers of the store must say, by day and pool. Raises LedgerUnavailable."""
        async with self.database.reading() as connection:
            rows = await self.replay(connection, customer, first, last, now_ms)
        return {(row.day, row.pool): row.held for row in rows if row.held is not None}

    async def replay(
        self, connection: AsyncConnection, customer: str, first: int, last: int, now_ms: int
    ) -> list[Replayed]:
        """Days replayed, as the transaction sees them."""
        commitments = await self.commitments(connection, customer)
        return await replay(connection, customer, commitments, first, min(last, day_at(now_ms).ordinal), now_ms)

    async def commitments(self, connection: AsyncConnection, customer: str) -> Timelines:
        """The commitments of a customer over time."""
        return await self._commitments.of(connection, customer)

    async def written(
        self, connection: AsyncConnection, customer: str, first: int, last: int
    ) -> tuple[dict[int, DayState], list[DayRow]]:
        """Which of the days are closed or final, and their figures as they were written."""
        table, states = schema.days, await _states(connection, customer, first, last)
        adjusted = await adjustments_of(connection, customer, first, last)
        found = await connection.execute(
            select(table).where(table.c.customer == customer, table.c.day.between(first, last))
        )
        rows = [_row(row, states[row.day], adjusted.pop((row.day, row.pool), ())) for row in found if row.day in states]
        if adjusted:
            commitments = await self.commitments(connection, customer)
            rows += [
                _nothing_but(day, pool, commitments, states[day], known)
                for (day, pool), known in adjusted.items()
                if day in states
            ]
        return states, rows


def day_rows(rows: Iterable[Replayed], now_ms: int) -> list[DayRow]:
    """Replayed days as figures. As long as nobody has closed a day, it is provisional."""
    return [
        DayRow(
            row.day, row.pool, row.billed.committed, row.billed.peak, row.billed.overage, row.billed.peak_at_ms,
            row.held.peak if row.held else 0, row.billed.adopted,
            "open" if state_of_day(day_of(row.day), now_ms) == "open" else "provisional", (), row.billed.overage_at_ms,
        )
        for row in rows
        if row.billed is not None
    ]  # fmt: skip


async def adjustments_of(
    connection: AsyncConnection, customer: str, first: int, last: int
) -> dict[tuple[int, str], tuple[Adjustment, ...]]:
    """Adjustments of days by day and pool, in the order of finding out."""
    table = schema.adjustments
    found = await connection.execute(
        select(table)
        .where(table.c.customer == customer, table.c.day.between(first, last))
        .order_by(table.c.day, table.c.pool, table.c.number)
    )
    known: dict[tuple[int, str], list[Adjustment]] = defaultdict(list)
    for row in found:
        known[row.day, row.pool].append(Adjustment(row.number, row.peak, row.overage, row.cause, row.at_ms))
    return {key: tuple(each) for key, each in known.items()}


async def _states(connection: AsyncConnection, customer: str, first: int, last: int) -> dict[int, DayState]:
    """Which of the days are closed, or final."""
    table = schema.closings
    found = await connection.execute(
        select(table.c.day, table.c.state).where(table.c.customer == customer, table.c.day.between(first, last))
    )
    return {row.day: row.state for row in found}


def _row(row: Any, state: DayState, adjusted: tuple[Adjustment, ...]) -> DayRow:
    return DayRow(
        row.day, row.pool, row.committed, row.peak, row.overage, row.peak_at_ms, row.held_peak, row.adopted, state, adjusted,
        row.overage_at_ms if row.overage else None,
    )  # fmt: skip


def _nothing_but(
    day: int, pool: str, commitments: Timelines, state: DayState, adjusted: tuple[Adjustment, ...]
) -> DayRow:
    """A pool of which nothing was known when the day became final."""
    within = day_of(day)
    span = next(commitments[pool].between(within.start_ms, within.end_ms), None)
    return DayRow(day, pool, span.committed if span else 0, 0, 0, within.start_ms, 0, 0, state, adjusted)


def runs(ordinals: Iterable[int]) -> list[tuple[int, int]]:
    """First and last of each run of days that follow each other."""
    runs = itertools.groupby(enumerate(ordinals), key=lambda each: each[1] - each[0])
    return [(run[0], run[-1]) for _, group in runs if (run := [ordinal for _, ordinal in group])]


def _place(row: DayRow) -> tuple[int, int]:
    return row.day, METERED_POOLS.index(row.pool)
