"""Why a figure is what it is: its commitment, its instant, and every leg that was connected then."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.billing.commitment import Span
from gateway.domain.billing.entry import EntryId
from gateway.domain.billing.stretch import Stretch
from gateway.domain.contract import REPORTED_POOLS
from gateway.domain.days import day as day_of
from gateway.domain.days import day_at
from gateway.ledger import schema
from gateway.ledger.figures import DayRow, Figures
from gateway.ledger.findings import gaps_of_days
from gateway.ledger.reading import names_by_id, read_stretches
from gateway.stored_record import decode_record


LEGS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class ExplainedLeg:
    """A stretch of a leg that counted; meeting and host by name, or by pseudonym where that was forgotten. Instants are Unix ms."""

    connection: str
    endpoint: str
    meeting: str
    host: str | None
    connected_ms: int
    until_ms: int | None
    """None: it goes on."""
    cause: str
    """Why it ended; empty: it goes on."""
    entry: EntryId
    """With which it began."""
    adopted: bool


@dataclass(frozen=True, slots=True)
class ExplainedCommitment:
    """A commitment, and where it comes from: the version in force, and the subscriptions (each with its part) that add up to it (T1.5)."""

    committed: int
    since_ms: int
    ended_ms: int | None
    """Since when there is none, and this, the last one, is held (T1.4)."""
    version: int
    by: str
    subscriptions: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class ExplainedFinding:
    """A finding about the day; `closed_ms` None: it is open."""

    kind: str
    pool: str
    replayed: int | None
    registered: int | None
    remembered: int | None
    detail: str
    opened_ms: int
    closed_ms: int | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a figure is what it is. `figure` None: there is nothing to report, and nothing to explain but gaps and findings."""

    customer: str
    day: int
    pool: str
    figure: DayRow | None
    at_ms: int | None
    """The instant that decides: of the greatest overage, or of the peak where there is none."""
    commitment: ExplainedCommitment | None
    connected: int
    """How many legs were connected at that instant, by what is known now."""
    legs: tuple[ExplainedLeg, ...]
    """In the order in which they were connected; the first ones, where there are very many."""
    left_out: int
    gap: str | None
    """Entries that are missing on that day."""
    findings: tuple[ExplainedFinding, ...]


async def explain(
    figures: Figures, customer: str, day: int, pool: str, now_ms: int, *, legs_max: int = LEGS_MAX
) -> Explanation:
    """Explains the figure of a pool, by its name in reports, on a day (ordinal). Raises LedgerUnavailable."""
    rows = await figures.overage(customer, day, day, now_ms)
    row = next((each for each in rows if each.pool == pool), None)
    async with figures.database.reading() as connection:
        gaps = await gaps_of_days(connection, customer, [day_of(day)])
        findings = await _findings(connection, customer, day, pool)
        if row is None:
            return Explanation(customer, day, pool, None, None, None, 0, (), 0, gaps.get(day), findings)
        at_ms = row.peak_at_ms if row.overage_at_ms is None else row.overage_at_ms
        span = (await figures.commitments(connection, customer))[pool].at(at_ms)
        there = await _there(connection, customer, pool, at_ms, span)
        return Explanation(
            customer, day, pool, row, at_ms,
            await _commitment(connection, customer, pool, at_ms, span) if span else None,
            len(there), await _named(connection, there[:legs_max]), max(len(there) - legs_max, 0),
            gaps.get(day), findings,
        )  # fmt: skip


async def _there(connection: AsyncConnection, customer: str, pool: str, at_ms: int, span: Span | None) -> list[Stretch]:
    """Stretches that are billed in the pool at an instant, in the order in which they were connected."""
    ended_ms = span.ended_ms if span else None
    read = await read_stretches(connection, customer, at_ms if ended_ms is None else ended_ms - 1, at_ms + 1)
    held = [each for each in read if REPORTED_POOLS[pool] in each.shape.pools and each.connected_ms is not None]
    held.sort(key=_connected)
    counted = held if ended_ms is None else _stayed(held, ended_ms)
    return [
        each
        for each in counted
        if _connected(each)[0] <= at_ms and (each.until_ms is None or at_ms < each.until_ms)
    ]  # fmt: skip


def _stayed(held: Sequence[Stretch], ended_ms: int) -> list[Stretch]:
    """Those of legs that were in the pool before its commitment ended (T1.4), also where these have moved since."""
    stayed: list[Stretch] = []
    by_entry: set[tuple[EntryId | None, int | None]] = set()
    by_adoption: set[tuple[str, int | None]] = set()
    for each in held:
        if each.until_ms is not None and each.until_ms < ended_ms:
            continue
        connected_ms = _connected(each)[0]
        goes_on = (each.began, connected_ms) in by_entry or (each.connection, connected_ms) in by_adoption
        if connected_ms < ended_ms or goes_on:
            stayed.append(each)
            by_entry.add((each.freed, each.until_ms))
            by_adoption.add((each.connection, each.until_ms))
    return stayed


def _connected(stretch: Stretch) -> tuple[int, EntryId]:
    return stretch.connected_ms or 0, stretch.began


async def _commitment(
    connection: AsyncConnection, customer: str, pool: str, at_ms: int, span: Span
) -> ExplainedCommitment:
    """Where a commitment comes from: the version in force while it held, and its subscriptions of that day."""
    table = schema.versions
    in_force_ms = at_ms if span.ended_ms is None else span.ended_ms - 1
    newest = (
        select(table.c.version, table.c.by, table.c.document)
        .where(table.c.customer == customer, table.c.at_ms <= in_force_ms)
        .order_by(table.c.version.desc())
    )
    for row in await connection.execute(newest):
        if row.document:
            found = await asyncio.to_thread(_parts, row, day_at(in_force_ms).ordinal, REPORTED_POOLS[pool])
            return ExplainedCommitment(span.committed, span.from_ms, span.ended_ms, row.version, row.by, found)
    return ExplainedCommitment(span.committed, span.from_ms, span.ended_ms, 0, "", ())


def _parts(row: Any, ordinal: int, group: str) -> tuple[tuple[str, int], ...]:
    customer = decode_record(row.version, bytes(row.document)).customer
    held = [each for each in customer.subscriptions if each.active(ordinal)] if customer else []
    limits = [(each.id, each.limits().get(group)) for each in held]
    return tuple([(id_, limit.committed) for id_, limit in limits if limit and limit.committed is not None])


async def _named(connection: AsyncConnection, found: Sequence[Stretch]) -> tuple[ExplainedLeg, ...]:
    ids = {each.meeting for each in found} | {each.host for each in found if each.host is not None}
    names = await names_by_id(connection, ids)
    return tuple(
        [
            ExplainedLeg(
                each.connection, each.shape.endpoint, names[each.meeting].shown,
                None if each.host is None else names[each.host].shown,
                each.connected_ms or 0, each.until_ms, each.cause, each.began, each.shape.adopted,
            )
            for each in found
        ]
    )  # fmt: skip


async def _findings(
    connection: AsyncConnection, customer: str, day: int, pool: str
) -> tuple[ExplainedFinding, ...]:  # fmt: skip
    table = schema.findings
    rows = await connection.execute(
        select(table)
        .where(table.c.customer == customer, table.c.day == day, table.c.pool.in_([pool, ""]))
        .order_by(table.c.kind)
    )
    return tuple(
        [
            ExplainedFinding(
                row.kind, row.pool, row.replayed, row.registered, row.remembered, row.detail, row.opened_ms, row.closed_ms
            )
            for row in rows
        ]
    )  # fmt: skip
