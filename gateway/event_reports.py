"""Events that were held, and are: peaks, attendees, live time, and what is above the order (T11.2, T11.3, T11.5, T12.2)."""

from dataclasses import dataclass

from gateway.domain.claims import level_of, member_of
from gateway.domain.days import MINUTE_MS
from gateway.domain.plans.event_terms import EventOrder
from gateway.entitlements import Entitlements
from gateway.kernel.kernel import Kernel
from gateway.kernel.outcomes import Age
from gateway.kernel.past import read_past


@dataclass(frozen=True, slots=True)
class EventHeld:
    """One event. Counts are of seats held; `live_ms` is summed over its openings, up to now while it is live."""

    event: str
    licensed_by: str
    first_ms: int
    live: bool
    peak_attendees: int
    peak_at_ms: int
    joined_total: int
    peak_panel: int
    live_ms: int
    max_attendees: int | None
    """Of the order that licensed it; None where the customer does not hold that any more, like the overages."""
    attendee_overage: int | None
    duration_overage_minutes: int | None
    """Begun minutes beyond the included duration."""


class EventReports:
    """Reads what is remembered of events."""

    def __init__(self, kernel: Kernel, entitlements: Entitlements) -> None:
        self._kernel = kernel
        self._entitlements = entitlements

    async def events(self, customer: str) -> list[EventHeld]:
        """All events that are remembered, in the order of their first openings. Raises StoreError."""
        policy = await self._entitlements.load(customer)
        held = policy.record.customer.subscriptions if policy.record.customer else ()
        orders = {order.id: order for order in held if isinstance(order, EventOrder)}
        past = await read_past(self._kernel, customer)
        panels = {member_of(age.group): age.peak for age in past.ages if level_of(age.group) == "panel"}
        now_ms = self._kernel.store_now_ms()
        return [
            _event(age, orders.get(age.licensed_by), panels.get(member_of(age.group), 0), now_ms)
            for age in past.ages
            if level_of(age.group) == "attendees"
        ]


def _event(age: Age, order: EventOrder | None, panel: int, now_ms: int) -> EventHeld:
    live_ms = age.live_ms(now_ms)
    return EventHeld(
        event=member_of(age.group),
        licensed_by=age.licensed_by,
        first_ms=age.first_ms,
        live=age.since_ms is not None,
        peak_attendees=age.peak,
        peak_at_ms=age.peak_at_ms,
        joined_total=age.joined,
        peak_panel=panel,
        live_ms=live_ms,
        max_attendees=order.max_attendees if order else None,
        attendee_overage=max(0, age.peak - order.max_attendees) if order else None,
        duration_overage_minutes=-(min(0, order.duration_ms - live_ms) // MINUTE_MS) if order else None,
    )
