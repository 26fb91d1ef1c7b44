"""Active hosts of a customer from what happened (T5.2 to T5.4, T6.1)."""

import asyncio
import calendar
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.billing.active_hosts import (
    ActiveHostFigures,
    HeldVersion,
    HostUse,
    MonthlyCount,
    active_host_figures,
)
from gateway.domain.billing.commitment import Version
from gateway.domain.billing.stretch import Shape, Stretch
from gateway.domain.cycles import Cycle, cycle_of
from gateway.domain.days import DAY_MS, YEARS, day
from gateway.domain.plans.active_host import ActiveHostPlan
from gateway.ledger import schema
from gateway.ledger.database import Database
from gateway.ledger.reading import names_by_id, read_stretches, shapes_of
from gateway.ledger.versions import versions_of


_NAME = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class HostReport:
    """One subscription in one cycle. `figures` are as of `as_of_ms`: the end of the cycle, or now where it runs."""

    subscription: str
    plan: str
    as_of_ms: int
    cycle: MonthlyCount
    figures: ActiveHostFigures


def cycle_named(name: str, anchor_day: int = 1) -> Cycle:
    """The cycle with a name such as `2026-11`. Raises ValueError."""
    found = _NAME.fullmatch(name)
    if found is None or int(found[1]) not in YEARS:
        raise ValueError("is no cycle, which is named as the month it begins in (YYYY-MM)")
    year, month = int(found[1]), int(found[2])
    return cycle_of(date(year, month, calendar.monthrange(year, month)[1]).toordinal(), anchor_day)


class HostReports:
    """Reads active hosts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def active_hosts(self, customer: str, cycle: str, now_ms: int) -> list[HostReport]:
        """A report for each Active Host subscription whose term has a day in the cycle that has begun, in the order of their ids.

        Distinct hosts are told by their pseudonyms, so that one whose name was forgotten is still the same. Raises LedgerUnavailable, and
        ValueError for a name that is none of a cycle.
        """
        cycle_named(cycle)
        async with self._database.reading() as connection:
            versions = await versions_of(connection, customer)
            shapes = await shapes_of(connection, customer) if versions else {}
            reports = [
                await _report(connection, customer, cycle, held, now_ms, shapes)
                for held in _subscriptions(versions, cycle, now_ms)
            ]
        return [report for report in reports if report is not None]


async def _report(
    connection: AsyncConnection,
    customer: str,
    cycle: str,
    held: Sequence[HeldVersion],
    now_ms: int,
    shapes: dict[int, Shape],
) -> HostReport | None:
    plan = held[-1].held
    as_of_ms = min(now_ms, day(cycle_named(cycle, plan.anchor_day).last).end_ms)
    licensed = {number for number, shape in shapes.items() if shape.licensed_by == plan.id and not shape.would_deny}
    uses = await _uses(connection, customer, plan, licensed, as_of_ms) if licensed else []
    figures = await asyncio.to_thread(active_host_figures, held, uses, as_of_ms)
    counted = next((count for count in figures.cycles if count.name == cycle), None)
    return HostReport(plan.id, plan.plan, as_of_ms, counted, figures) if counted else None


def _subscriptions(versions: Sequence[Version], cycle: str, now_ms: int) -> Iterator[list[HeldVersion]]:
    """By subscription, its versions until the cycle was over; where its term was replaced, those of the last one with a day in the cycle."""
    found: dict[str, list[HeldVersion]] = {}
    for version in versions:
        for each in version.customer.subscriptions if version.customer else ():
            if isinstance(each, ActiveHostPlan) and _concerns(each, version.since_ms, cycle, now_ms):
                before = [other for other in found.get(each.id, ()) if other.held.term.first == each.term.first]
                found[each.id] = [*before, HeldVersion(version.since_ms, each)]
    for _, held in sorted(found.items()):
        yield held


def _concerns(plan: ActiveHostPlan, since_ms: int, name: str, now_ms: int) -> bool:
    cycle = cycle_named(name, plan.anchor_day)
    in_term = plan.term.first.toordinal() <= cycle.last and plan.term.last.toordinal() >= cycle.first
    return in_term and since_ms <= min(now_ms, day(cycle.last).end_ms)


async def _uses(
    connection: AsyncConnection, customer: str, plan: ActiveHostPlan, licensed: Collection[int], as_of_ms: int
) -> list[HostUse]:
    """Who owned connected legs in the term, up to an instant.

    Of legs that begin in one cycle, one use from the first beginning to the last end touches the same cycles as all of them, so that the
    database need not tell each.
    """
    begin_ms = day(plan.term.first.toordinal()).start_ms
    found: list[HostUse] = []
    for start_ms, end_ms in _spans(plan, as_of_ms):
        rows = await connection.execute(_begun_between(customer, licensed, start_ms, end_ms))
        found += [HostUse(host, from_ms, until_ms) for host, from_ms, until_ms in rows]

    def counts(shape: Shape) -> bool:
        return shape.licensed_by == plan.id and not shape.would_deny

    at_begin = await read_stretches(connection, customer, begin_ms, begin_ms + 1, counts)
    live = await read_stretches(connection, customer, as_of_ms, as_of_ms + 1, counts)
    return found + await _hosts_of(connection, [*at_begin, *live])


def _spans(plan: ActiveHostPlan, as_of_ms: int) -> Iterator[tuple[int, int]]:
    first, end = plan.term.first.toordinal(), plan.term.last.toordinal()
    while first <= end and day(first).start_ms < as_of_ms:
        last = min(cycle_of(first, plan.anchor_day).last, end)
        yield day(first).start_ms, min(day(last).end_ms, as_of_ms)
        first = last + 1


def _begun_between(customer: str, licensed: Collection[int], start_ms: int, end_ms: int) -> Any:
    legs, names = schema.legs, schema.names
    return (
        select(names.c.pseudonym, func.min(legs.c.connected_ms), func.max(legs.c.until_ms))
        .join(names, names.c.id == legs.c.host)
        .where(
            legs.c.customer == customer,
            # A seat is held for at most a day before it is connected.
            legs.c.held_ms >= start_ms - 2 * DAY_MS,
            legs.c.held_ms < end_ms + DAY_MS,
            legs.c.connected_ms >= start_ms,
            legs.c.connected_ms < end_ms,
            legs.c.shape.in_(licensed),
        )
        .group_by(names.c.pseudonym)
    )


async def _hosts_of(connection: AsyncConnection, stretches: Sequence[Stretch]) -> list[HostUse]:
    names = await names_by_id(connection, [each.host for each in stretches if each.host is not None])
    return [
        HostUse(names[each.host].pseudonym, each.connected_ms, each.until_ms)
        for each in stretches
        if each.host is not None and each.connected_ms is not None
    ]
