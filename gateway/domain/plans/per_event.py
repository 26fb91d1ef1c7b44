"""The plan `events.per_event` (T11): a number of events that may be held in the term.

- T11.1: `quantity` events in the term, drawn from the subscription that ends first (T1.5); unused ones expire with it.
- T11.2 - T11.5: see `event_terms`; an event includes 2 hours.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from gateway.domain.customer import CustomerBase, Positive
from gateway.domain.days import HOUR_MS
from gateway.domain.join import Join
from gateway.domain.licensing import Licence, PlanTerms, by_end
from gateway.domain.plans.event_terms import EventOrder, event_licence
from gateway.domain.reasons import Reason


EVENT_DURATION_MS = 2 * HOUR_MS
"""T11.5."""


class EventsPerEvent(EventOrder):
    """`events.per_event` (T11)."""

    duration_ms: ClassVar[int] = EVENT_DURATION_MS

    plan: Literal["events.per_event"]
    quantity: Positive
    """Events that may be held."""


class PerEventTerms(PlanTerms):
    """T11 on one day."""

    def __init__(self, subscriptions: Sequence[EventsPerEvent], customer: CustomerBase) -> None:
        self._licences = tuple([replace(event_licence(held), events_held=held.quantity) for held in by_end(subscriptions)])

    def license(self, join: Join) -> Sequence[Licence] | Reason:
        """T11.1: every subscription that may have events left, the one that ends first before the others."""
        return self._licences
