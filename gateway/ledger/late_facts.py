"""What becomes known after a day was final: adjustments, never edits.

A day is final only when everything up to 24 h after its end was read, so what still changes it came later: a leg that ended more than a day
after it began, with its last sign of life in that day, or what a comparison with the store has found. So it is enough to look, every few
minutes, at

- stretches with an entry that was not looked at before, among the long ones (they have an index of their own) and among those of the last
  `WATCHED_DAYS` final days (in case entries were read late all the same), and versions of entitlements in the same way;
- all of these days where entries of the bucket are missing, or its store began anew.

Only the days that these touch are recomputed. Marks say for each bucket how far it was looked at; what waits to be adopted again is not
settled, and holds the mark back. A bucket in doubt is left for later.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Table, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.days import MINUTE_MS, day, day_at
from gateway.kernel.keys import bucket_of
from gateway.ledger import schema
from gateway.ledger.facts import fact, put_fact
from gateway.ledger.figures import DayRow, Figures, runs
from gateway.ledger.lease import Lease
from gateway.ledger.reading import LONG_HELD_MS


WATCH_EVERY_MS = 10 * MINUTE_MS
WATCHED_DAYS = 7
MARKS = "late_facts"
"""The fact that holds the marks."""

LATE_LEG, LATE_VERSION, RECONCILED = "late_leg", "late_version", "reconciled"
"""Causes of adjustments."""


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """How far a bucket was looked at: up to an entry, at its instant; and how many gaps were known."""

    epoch: int
    number: int
    at_ms: int
    gaps: int


class LateFacts:
    """Finds final days whose figures would be others now, and says so in adjustments."""

    def __init__(self, figures: Figures, lease: Lease) -> None:
        self._figures = figures
        self._database = figures.database
        self._lease = lease
        self._watched_ms: int | None = None

    async def run_once(self, now_ms: int) -> int:
        """Looks at what is new, every `WATCH_EVERY_MS`; how many adjustments were made. Raises LedgerUnavailable, LeaseLost."""
        if self._watched_ms is not None and 0 <= now_ms - self._watched_ms < WATCH_EVERY_MS:
            return 0
        async with self._database.reading() as connection:
            marks, settled = await _marks(connection), await _settled(connection)
            final = await _final(connection)
            touched: dict[str, dict[int, str]] = {}
            for customer, last in final.items():
                bucket = bucket_of(customer)
                if bucket in settled and marks.get(bucket) != settled[bucket]:
                    touched[customer] = await _touched(connection, customer, last, marks.get(bucket), settled[bucket])
        count = 0
        for customer, days in touched.items():
            count += await self._adjust(customer, days, now_ms)
        if any(marks.get(bucket) != mark for bucket, mark in settled.items()):
            await self._keep({**marks, **settled})
        self._watched_ms = now_ms
        return count

    async def _adjust(self, customer: str, days: Mapping[int, str], now_ms: int) -> int:
        count = 0
        for first, last in runs(sorted(days)):
            known = {(row.day, row.pool): row for row in await self._figures.overage(customer, first, last, now_ms)}
            fresh = {(row.day, row.pool): row for row in await self._figures.replayed(customer, first, last, now_ms)}
            made = [
                made
                for place in sorted(known.keys() | fresh.keys())
                if (made := _adjustment(customer, *place, known.get(place), fresh.get(place)))
            ]
            if made:
                rows = [{**row, "cause": days[row["day"]], "at_ms": now_ms} for row in made]
                async with self._database.writing() as connection:
                    await self._lease.hold(connection)
                    await connection.execute(schema.adjustments.insert(), rows)
                count += len(rows)
        return count

    async def _keep(self, marks: Mapping[int, Mark]) -> None:
        value = msgspec.json.encode({str(bucket): mark for bucket, mark in marks.items()}).decode()
        async with self._database.writing() as connection:
            await self._lease.hold(connection)
            await put_fact(connection, MARKS, value)


def _adjustment(
    customer: str, ordinal: int, pool: str, known: DayRow | None, fresh: DayRow | None
) -> dict[str, Any] | None:
    """The values of now, where they are others than those that are known."""
    before = known.current if known else (0, 0)
    peak, overage = (fresh.peak, fresh.overage) if fresh else (0, 0)
    if (peak, overage) == before:
        return None
    number = known.adjustments[-1].number + 1 if known and known.adjustments else 1
    return {"customer": customer, "day": ordinal, "pool": pool, "number": number, "peak": peak, "overage": overage}


async def _marks(connection: AsyncConnection) -> dict[int, Mark]:
    found = msgspec.json.decode(await fact(connection, MARKS) or "{}", type=dict[str, Mark])
    return {int(bucket): mark for bucket, mark in found.items()}


async def _settled(connection: AsyncConnection) -> dict[int, Mark]:
    """How far buckets can be looked at: up to what still waits to be adopted again."""
    positions, live, gaps = schema.positions, schema.live, schema.gaps
    counted = await connection.execute(select(gaps.c.bucket, func.count().label("gaps")).group_by(gaps.c.bucket))
    known = {row.bucket: row.gaps for row in counted}
    found = {
        row.bucket: Mark(row.epoch, row.number, row.at_ms, known.get(row.bucket, 0))
        for row in await connection.execute(select(positions).where(positions.c.doubt_ms.is_(None)))
    }
    waiting = select(live.c.bucket, live.c.freed_epoch, live.c.freed_number, live.c.freed_ms)
    for row in await connection.execute(waiting.where(live.c.freed_ms.is_not(None))):
        if row.bucket in found:
            mark = found[row.bucket]
            before = Mark(row.freed_epoch, row.freed_number - 1, row.freed_ms, mark.gaps)
            found[row.bucket] = min(mark, before, key=lambda each: (each.epoch, each.number))
    return found


async def _final(connection: AsyncConnection) -> dict[str, int]:
    """The last final day of each customer."""
    table = schema.closings
    last = select(table.c.customer, func.max(table.c.day).label("last")).where(table.c.state == "final")
    return {row.customer: row.last for row in await connection.execute(last.group_by(table.c.customer))}


async def _touched(
    connection: AsyncConnection, customer: str, last: int, mark: Mark | None, settled: Mark
) -> dict[int, str]:
    """Final days that what is new may have changed, each with the cause."""
    days: dict[int, str] = {}
    if mark is None or (mark.epoch, mark.gaps) != (settled.epoch, settled.gaps):
        days = dict.fromkeys(range(last - WATCHED_DAYS + 1, last + 1), RECONCILED)
    if mark is not None:  # else these were closed just now, with all that is known
        days.update(await _of_new_facts(connection, customer, last, mark))
    closings = schema.closings
    closed = select(closings.c.day).where(closings.c.customer == customer, closings.c.state == "final")
    final = set((await connection.execute(closed)).scalars()) if days else set()
    return {ordinal: cause for ordinal, cause in days.items() if ordinal in final}


async def _of_new_facts(connection: AsyncConnection, customer: str, last: int, mark: Mark) -> dict[int, str]:
    """Days up to the last final one that are touched by what came after the mark."""
    days: dict[int, str] = {}
    for from_ms, until_ms in await _new_times(connection, customer, day(last).end_ms, mark):
        ends = last if until_ms is None else min(day_at(until_ms).ordinal, last)
        days.update(dict.fromkeys(range(day_at(from_ms).ordinal, ends + 1), LATE_LEG))
    versions = schema.versions
    oldest = select(func.min(versions.c.at_ms)).where(
        versions.c.customer == customer, versions.c.at_ms < day(last).end_ms, _after(versions, "epoch", "number", mark)
    )
    since_ms = (await connection.execute(oldest)).scalar_one()
    if since_ms is not None:
        days.update(dict.fromkeys(range(day_at(since_ms).ordinal, last + 1), LATE_VERSION))
    return days


async def _new_times(
    connection: AsyncConnection, customer: str, end_ms: int, mark: Mark
) -> list[tuple[int, int | None]]:
    """The times of stretches that began before `end_ms`, and have an entry after the mark."""
    legs, live = schema.legs, schema.live
    watched_ms = day(day_at(end_ms - 1).ordinal - WATCHED_DAYS).start_ms
    recent = legs.c.held_ms.between(watched_ms, end_ms - 1)
    long = and_(schema.LONG, legs.c.freed_ms >= mark.at_ms, LONG_HELD_MS < end_ms)
    new = or_(_after(legs, "epoch", "number", mark), _after(legs, "freed_epoch", "freed_number", mark))
    times: list[tuple[int, int | None]] = []
    for part in (recent, long):
        found = await connection.execute(
            select(legs.c.held_ms, legs.c.freed_ms, legs.c.until_ms).where(legs.c.customer == customer, part, new)
        )
        times += [(row.held_ms, max(row.freed_ms, row.until_ms or 0)) for row in found]
    # One that was found in the store has a number below 0 (`reconcile`).
    begun = or_(_after(live, "epoch", "number", mark), live.c.number < 0)
    going = select(live.c.held_ms).where(live.c.customer == customer, live.c.held_ms < end_ms, begun)
    return [*times, *[(held_ms, None) for held_ms in (await connection.execute(going)).scalars()]]


def _after(table: Table, epoch: str, number: str, mark: Mark) -> ColumnElement[bool]:
    return or_(table.c[epoch] > mark.epoch, and_(table.c[epoch] == mark.epoch, table.c[number] > mark.number))
