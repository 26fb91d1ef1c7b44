"""Replays days of a customer from its stretches and its commitments: what is billed, and what the registers of the store must say."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.billing.commitment import CommitmentTimeline, Install
from gateway.domain.billing.concurrency import PoolDay, SeatRegister, Step, held_of_days, peaks
from gateway.domain.billing.entry import EntryId
from gateway.domain.contract import METERED_POOLS
from gateway.domain.days import Day, day_at, days_between
from gateway.ledger.commitments import Timelines
from gateway.ledger.pool_legs import PoolLegs, Time, by_pool, read_legs


DAYS_AT_ONCE = 31
"""So many days are replayed from one reading."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """A pool on a day. `billed` counts connected legs (T4.3), `held` the seats, in the order of entries; None: there is nothing to report."""

    day: int
    pool: str
    billed: PoolDay | None
    held: SeatRegister | None
    bridged: int
    """Legs billed for a while without a seat, because they were reclaimed too early: so many more may be billed than held one."""
    doubtful: int
    """Legs of which the store, or the ledger, did not know the beginning or the end."""


async def replay(
    connection: AsyncConnection, customer: str, commitments: Timelines, first: int, last: int, now_ms: int
) -> list[Replayed]:
    """The days from ordinal `first` to `last`, both included, in order of day and pool; a bounded number of them is read at once."""
    return [row async for rows in each_part(connection, customer, commitments, first, last, now_ms) for row in rows]


async def each_part(
    connection: AsyncConnection, customer: str, commitments: Timelines, first: int, last: int, now_ms: int
) -> AsyncIterator[list[Replayed]]:
    """The same, part by part."""
    for begin in range(first, last + 1, DAYS_AT_ONCE):
        days = days_between(begin, min(begin + DAYS_AT_ONCE - 1, last))
        if days[0].start_ms > now_ms or not any(pool.spans for pool in commitments.values()):
            continue
        from_ms, until_ms = days[0].start_ms, min(days[-1].end_ms, now_ms)
        read = await read_legs(connection, customer, from_ms, until_ms)
        pools = await asyncio.to_thread(by_pool, read)
        earlier_ms = _looks_back_to(pools, commitments, from_ms)
        if earlier_ms < from_ms:
            read = await read_legs(connection, customer, earlier_ms, until_ms)
            pools = await asyncio.to_thread(by_pool, read)
        yield await asyncio.to_thread(replayed_days, pools, commitments, days, now_ms)


def _looks_back_to(pools: Mapping[str, PoolLegs], commitments: Timelines, from_ms: int) -> int:
    """The instant from which on stretches are needed: where a commitment has ended, who was there then is what counts (T1.4).

    Where nobody is in such a pool at `from_ms`, nobody has stayed.
    """
    earliest_ms = from_ms
    for pool, timeline in commitments.items():
        span = timeline.at(from_ms)
        if span is not None and span.ended_ms is not None and not pools[pool].is_empty_at(from_ms):
            earliest_ms = min(earliest_ms, day_at(span.ended_ms - 1).start_ms)
    return earliest_ms


def replayed_days(
    pools: Mapping[str, PoolLegs], commitments: Timelines, days: Sequence[Day], now_ms: int
) -> list[Replayed]:
    """Days that follow each other, from the legs of each pool. Runs in a thread."""
    found: list[Replayed] = []
    for pool in METERED_POOLS:
        timeline, legs = commitments[pool], pools[pool]
        if not timeline.spans:
            continue
        billed = {row.day: row for row in peaks(legs.intervals, days, timeline, now_ms)}
        steps = legs.steps()
        held = held_of_days(steps, days, _in_order(timeline, steps), now_ms)
        for day in days:
            if day.ordinal in billed or day.ordinal in held:
                bridged, doubtful = _within(legs.bridged, day), _within(legs.doubtful, day)
                of_day = billed.get(day.ordinal), held.get(day.ordinal)
                found.append(Replayed(day.ordinal, pool, *of_day, bridged, doubtful))
    return sorted(found, key=lambda row: row.day)


def _in_order(timeline: CommitmentTimeline, steps: Sequence[Step]) -> CommitmentTimeline:
    """Versions that no entry tells (see `commitments`) take the place that their instant gives them among the steps."""
    installs: list[Install] = []
    told = EntryId(0, 0)
    for install in timeline.installs:
        entry = install.entry
        if entry in (told, EntryId(0, 0)):
            entry = EntryId(*max([step.entry for step in steps if step.at_ms <= install.at_ms], default=told))
        installs.append(install._replace(entry=max(entry, told)))
        told = install.entry
    return CommitmentTimeline(installs) if tuple(installs) != timeline.installs else timeline


def _within(times: Sequence[Time], day: Day) -> int:
    return sum([from_ms < day.end_ms and until_ms >= day.start_ms for from_ms, until_ms in times])
