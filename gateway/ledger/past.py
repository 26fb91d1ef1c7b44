"""What the kernel remembers of events and hosts after their legs have gone, as the ledger knows it: for a store that has lost it."""

import asyncio
import functools
from collections import defaultdict

from gateway.domain.billing.events import EventFigure
from gateway.domain.billing.stretch import Shape, Stretch
from gateway.domain.checks import EVENTS_USED, HOSTS_SEEN
from gateway.domain.claims import group_name
from gateway.domain.cycles import cycle_of
from gateway.domain.days import day, day_at
from gateway.domain.join import Service
from gateway.domain.plans.enterprise_hosts import EnterprisePlan
from gateway.domain.plans.event_terms import EventOrder
from gateway.domain.record import Record
from gateway.kernel.outcomes import Age, Mark
from gateway.ledger.database import Database
from gateway.ledger.event_replay import EventReplay
from gateway.ledger.positions import known_until_ms
from gateway.ledger.reading import names_by_id, read_stretches
from gateway.ledger.versions import newest_version
from gateway.stored_record import decode_record


Remembered = tuple[dict[str, list[Mark]], list[Age]]
"""Marks by set, and ages."""


async def remembered_past(database: Database, customer: str, now_ms: int) -> Remembered:
    """Events held under the customer's orders (T11.1, T11.5), and hosts of its current cycles (T3.3). Raises LedgerUnavailable."""
    async with database.reading() as connection:
        newest = await newest_version(connection, customer)
    record = await asyncio.to_thread(decode_record, *newest) if newest else None
    if record is None or record.customer is None:
        return {}, []
    today = day_at(now_ms).ordinal
    orders = {order.id for order in record.customer.subscriptions if isinstance(order, EventOrder)}
    marks, ages = await _of_events(database, customer, orders, now_ms)
    marks.update(await _of_hosts(database, record, today, now_ms))
    return marks, ages


async def _of_events(database: Database, customer: str, orders: set[str], now_ms: int) -> Remembered:
    if not orders:
        return {}, []
    marks: dict[str, list[Mark]] = defaultdict(list)
    ages: list[Age] = []
    async with database.reading() as connection:
        known_ms = await known_until_ms(connection, customer)
    for figure in (await EventReplay(database).events(customer, now_ms)).events:
        if figure.licensed_by in orders:
            marks[f"{EVENTS_USED} {figure.licensed_by}"].append(Mark(figure.event, figure.first_ms, figure.first_ms))
            ages.append(_age(figure, known_ms or now_ms))
    return dict(marks), ages


def _age(figure: EventFigure, known_ms: int) -> Age:
    """Of its attendees. One that goes on is told up to what is known, and as live since then, which counts only where the store has it."""
    return Age(
        group=group_name("attendees", Service.EVENT, figure.event),
        first_ms=figure.first_ms,
        since_ms=max(known_ms, figure.openings[-1].from_ms) if figure.live else None,
        summed_ms=sum([max((each.until_ms or known_ms) - each.from_ms, 0) for each in figure.openings]),
        peak=figure.peak_attendees,
        peak_at_ms=figure.peak_at_ms,
        joined=figure.joined_total,
        licensed_by=figure.licensed_by or "",
    )


async def _of_hosts(database: Database, record: Record, today: int, now_ms: int) -> dict[str, list[Mark]]:
    assert record.customer is not None, "looked at before"
    marks: dict[str, list[Mark]] = {}
    for plan in record.customer.subscriptions:
        if isinstance(plan, EnterprisePlan) and plan.active(today):
            cycle = cycle_of(today, plan.anchor_day)
            since_ms = day(cycle.first).start_ms
            async with database.reading() as connection:
                found = await read_stretches(
                    connection, record.customer.id, since_ms, now_ms, functools.partial(_is_under, plan.id)
                )
                first = _first_connected(found, since_ms)
                names = await names_by_id(connection, first)
            marks[f"{HOSTS_SEEN} {plan.id} {cycle.name}"] = [
                Mark(names[host].shown, at_ms, at_ms) for host, at_ms in sorted(first.items())
            ]
    return marks


def _is_under(plan: str, shape: Shape) -> bool:
    return shape.licensed_by == plan and not shape.would_deny


def _first_connected(found: list[Stretch], since_ms: int) -> dict[int, int]:
    """The owners of meetings, and since when each was seen."""
    first: dict[int, int] = {}
    for stretch in found:
        if stretch.host is not None and stretch.connected_ms is not None:
            at_ms = max(stretch.connected_ms, since_ms)
            first[stretch.host] = min(at_ms, first.get(stretch.host, at_ms))
    return first
