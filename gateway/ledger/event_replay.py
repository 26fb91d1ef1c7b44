"""Events of a customer by replay of what happened (T11.2 to T11.5, T12.2)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.billing.commitment import Version
from gateway.domain.billing.events import EventFigure, EventUse, OrderFigure, event_figures, order_figures
from gateway.domain.billing.stretch import Shape, Stretch
from gateway.domain.join import Role, Service
from gateway.domain.plans.event_terms import EventOrder
from gateway.ledger import schema
from gateway.ledger.chains import predecessors
from gateway.ledger.database import Database
from gateway.ledger.interning import MEETING
from gateway.ledger.reading import read_stretches
from gateway.ledger.versions import in_force_between, versions_of


@dataclass(frozen=True, slots=True)
class EventsReplayed:
    """Events in the order of their first openings, and what was used of each order that the customer ever held."""

    events: list[EventFigure]
    orders: list[OrderFigure]


class EventReplay:
    """Replays events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def events(self, customer: str, now_ms: int) -> EventsReplayed:
        """All events that the ledger knows, as of an instant. One whose name was forgotten shows its pseudonym. Raises LedgerUnavailable."""
        async with self._database.reading() as connection:
            versions = await versions_of(connection, customer)
            uses = await event_uses(connection, customer, 0, now_ms)
        orders = _orders(versions)
        figures = [_of_its_time(each, versions) for each in event_figures(uses, orders, now_ms)]
        return EventsReplayed(figures, order_figures(figures, orders))


async def event_uses(connection: AsyncConnection, customer: str, from_ms: int, now_ms: int) -> list[EventUse]:
    """The connected legs of events that were there at any time from an instant on, up to now.

    Meetings of one pseudonym are one; it is called by its name, as long as any of them has it.
    """
    stretches = await read_stretches(connection, customer, from_ms, now_ms + 1, _is_event)
    events = await _names(connection, customer, stretches)
    before = predecessors(stretches)
    return [
        EventUse(
            event=events[each.meeting],
            role=each.shape.role,
            licensed_by=each.shape.licensed_by,
            from_ms=each.connected_ms,
            until_ms=each.until_ms,
            joins=not _was_there(before.get(each.began), events[each.meeting], events),
        )
        for each in stretches
        if each.connected_ms is not None
    ]


def _is_event(shape: Shape) -> bool:
    return shape.service == Service.EVENT and not shape.would_deny


def _orders(versions: Sequence[Version]) -> dict[str, EventOrder]:
    """Every order, as it stood last."""
    held = [each for version in versions if version.customer for each in version.customer.subscriptions]
    return {each.id: each for each in held if isinstance(each, EventOrder)}


def _of_its_time(figure: EventFigure, versions: Sequence[Version]) -> EventFigure:
    """Attendees are judged by the order as it stood when there were most of them (T11.3): what is ordered later changes no past event."""
    order = _orders(in_force_between(versions, figure.peak_at_ms, figure.peak_at_ms + 1)).get(figure.licensed_by or "")
    if order is None:
        return figure
    over = max(0, figure.peak_attendees - order.max_attendees)
    return replace(figure, max_attendees=order.max_attendees, attendee_overage=over)


def _was_there(before: Stretch | None, event: str, events: dict[int, str]) -> bool:
    return before is not None and before.shape.role != Role.MODERATOR and events[before.meeting] == event


async def _names(connection: AsyncConnection, customer: str, stretches: Sequence[Stretch]) -> dict[int, str]:
    """What each meeting is called, by number."""
    if not stretches:
        return {}
    table = schema.names
    rows = await connection.execute(
        select(table.c.id, table.c.pseudonym, table.c.name).where(table.c.customer == customer, table.c.kind == MEETING)
    )
    pseudonyms: dict[int, str] = {}
    names: dict[str, str] = {}
    for number, pseudonym, name in rows:
        pseudonyms[number] = pseudonym
        if name is not None:
            names[pseudonym] = name
    return {number: names.get(pseudonym, pseudonym) for number, pseudonym in pseudonyms.items()}
