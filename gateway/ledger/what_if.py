"""A customer's past, replayed against another contract for one pool.

The legs that were let in are let in again, in the order of their entries, with another ceiling: one whose connection would pass it is denied,
and does not count from then on, with all that it went on with. Legs that were counted without a check (adopted) and those that were there when
the first day began are there in any case. Seats decide who is let in, connected legs what is billed, as in the store (T4.1, T4.3).

What this cannot know: who was refused then. A higher ceiling would have let in some of them, and nothing tells how long they would have stayed;
`denied_then` counts them by reason for the whole customer, retries and joins for other reasons included. Nor does it know who would have come
again after being denied here, or would have gone because a meeting's owner was denied. Legs that were let in under `mode: shadow` against the
limits count nowhere, here as there.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.billing.commitment import CommitmentTimeline, Install, timelines
from gateway.domain.billing.concurrency import Interval, PoolDay, peaks
from gateway.domain.billing.entry import EntryId
from gateway.domain.billing.stretch import Shape, Stretch
from gateway.domain.contract import REPORTED_POOLS
from gateway.domain.days import Day, day_at, days_between
from gateway.ledger import schema
from gateway.ledger.chains import predecessors
from gateway.ledger.commitments import in_order
from gateway.ledger.database import Database
from gateway.ledger.reading import read_stretches
from gateway.ledger.versions import versions_of


@dataclass(frozen=True, slots=True)
class OtherContract:
    """What the pool would have been: `ceiling` None lets everybody in."""

    committed: int
    ceiling: int | None = None


@dataclass(frozen=True, slots=True)
class DayCompared:
    """A day under both contracts. `then` is None where the pool had no commitment; `denied` are joins that would have been refused."""

    day: int
    then: PoolDay | None
    other: PoolDay
    denied: int


@dataclass(frozen=True, slots=True)
class WhatIf:
    """All days, and what was refused then, by reason, for the whole customer."""

    days: tuple[DayCompared, ...]
    denied_then: dict[str, int]

    @property
    def days_over_then(self) -> int:
        """Days with overage under the contract that there was."""
        return sum([bool(each.then and each.then.overage) for each in self.days])

    @property
    def days_over(self) -> int:
        """Days with overage under the other one."""
        return sum([bool(each.other.overage) for each in self.days])

    @property
    def overage_then(self) -> int:
        """The days' overages, added up."""
        return sum([each.then.overage for each in self.days if each.then])

    @property
    def overage(self) -> int:
        """The same under the other contract."""
        return sum([each.other.overage for each in self.days])

    @property
    def denied(self) -> int:
        """Joins that would have been refused."""
        return sum([each.denied for each in self.days])


async def what_if(
    database: Database, customer: str, pool: str, other: OtherContract, first: int, last: int, now_ms: int
) -> WhatIf:
    """Replays the days from ordinal `first` to `last`, as far as they have begun. Raises LedgerUnavailable."""
    group = REPORTED_POOLS[pool]
    days = [day for day in days_between(first, last) if day.start_ms <= now_ms]
    if not days:
        return WhatIf((), {})

    def counts(shape: Shape) -> bool:
        return group in shape.pools and not shape.would_deny

    async with database.reading() as connection:
        versions = await versions_of(connection, customer)
        stretches = await read_stretches(connection, customer, days[0].start_ms, days[-1].end_ms, counts)
        denied_then = await _denied_then(connection, customer, first, last)
    timeline = timelines(in_order(versions))[pool]
    compared = await asyncio.to_thread(_compare, stretches, timeline, other, days, now_ms)
    return WhatIf(tuple(compared), denied_then)


def _compare(
    stretches: Sequence[Stretch], timeline: CommitmentTimeline, other: OtherContract, days: Sequence[Day], now_ms: int
) -> list[DayCompared]:
    first = _first_stretches(stretches)
    denied = set(_denied(stretches, first, other.ceiling, days[0].start_ms))
    then = {row.day: row for row in peaks(_intervals(stretches, first), days, timeline, now_ms)}
    kept = [each for each in stretches if first[each.began] not in denied]
    start_ms, ordinal = days[0].start_ms, days[0].ordinal
    constant = CommitmentTimeline([Install(start_ms, EntryId(0, 0), ((ordinal, other.committed),))])
    rows = peaks(_intervals(kept, first), days, constant, now_ms)
    by_day = Counter(day_at(each.held_ms).ordinal for each in stretches if each.began in denied)
    return [DayCompared(row.day, then.get(row.day), row, by_day[row.day]) for row in rows]


def _first_stretches(stretches: Collection[Stretch]) -> dict[EntryId, EntryId]:
    """By the entry of each stretch, that of the first one of its leg: who moves has been let in."""
    before = predecessors(stretches)
    moved_from = {each.freed: each.began for each in stretches if each.freed is not None}
    first: dict[EntryId, EntryId] = {}
    for each in sorted(stretches, key=lambda each: each.began):
        earlier = before[each.began].began if each.began in before else moved_from.get(each.began)
        first[each.began] = first.get(earlier, each.began) if earlier is not None else each.began
    return first


def _denied(
    stretches: Collection[Stretch], first: dict[EntryId, EntryId], ceiling: int | None, start_ms: int
) -> Iterator[EntryId]:
    """The legs that the ceiling refuses, by the entries with which they began."""
    if ceiling is None:
        return
    held, denied = 0, set[EntryId]()
    for _, takes, each in sorted(_steps(stretches), key=lambda step: step[:2]):
        leg = first[each.began]
        if leg in denied:
            continue
        if not takes:
            held -= 1
        elif leg != each.began or each.shape.adopted or each.held_ms < start_ms or held < ceiling:
            held += 1
        else:
            denied.add(leg)
            yield leg


def _steps(stretches: Collection[Stretch]) -> Iterator[tuple[EntryId, bool, Stretch]]:
    """Seats given back (False) and taken, by entry; who moves gives back first."""
    for each in stretches:
        yield each.began, True, each
        if each.freed is not None:
            yield each.freed, False, each


def _intervals(stretches: Collection[Stretch], first: dict[EntryId, EntryId]) -> list[Interval]:
    return [
        Interval(each.connected_ms, each.until_ms, each.shape.adopted, first[each.began])
        for each in stretches
        if each.connected_ms is not None
    ]


async def _denied_then(connection: AsyncConnection, customer: str, first: int, last: int) -> dict[str, int]:
    table = schema.denials
    total = func.sum(table.c.count)
    rows = await connection.execute(
        select(table.c.reason, total)
        .where(table.c.customer == customer, table.c.day >= first, table.c.day <= last)
        .group_by(table.c.reason)
        .order_by(total.desc(), table.c.reason)
    )
    return {reason: int(count) for reason, count in rows}
