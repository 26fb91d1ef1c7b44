"""The plan `events.unlimited` (T12): any number of events, as many at one time as there are licences.

- T12.1: a licence is a department's; the customer's live events, all departments together, are at most its licences.
- T12.2: T11.2 - T11.5 hold (see `event_terms`), with 8 hours; a full plan leaves events to T11 only with `fallback: per_event`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from gateway.domain.customer import CustomerBase, Identifier, Positive
from gateway.domain.days import HOUR_MS
from gateway.domain.join import Join
from gateway.domain.licensing import Licence, PlanTerms, by_end
from gateway.domain.limits import Limit
from gateway.domain.plans.event_terms import EventOrder, event_licence
from gateway.domain.reasons import Reason


EVENT_DURATION_MS = 8 * HOUR_MS
"""T12.2."""


class EventsUnlimited(EventOrder):
    """`events.unlimited` (T12)."""

    duration_ms: ClassVar[int] = EVENT_DURATION_MS

    plan: Literal["events.unlimited"]
    departments: Annotated[dict[Identifier, Positive], Field(min_length=1, max_length=1000)]
    """Licences of each department."""
    fallback: Literal["per_event"] | None = None
    """Where an event goes that finds all licences in use (T12.2); None: it is refused."""

    def limits(self) -> dict[str, Limit]:
        """T12.1: events at one time, all departments together; beside what the order limits."""
        return {"events:event": Limit(ceiling=sum(self.departments.values())), **super().limits()}


class EventsUnlimitedTerms(PlanTerms):
    """T12 on one day."""

    def __init__(self, subscriptions: Sequence[EventsUnlimited], customer: CustomerBase) -> None:
        licences = {held.id: _licence(held) for held in subscriptions}
        holders: dict[str, list[EventsUnlimited]] = {}
        for held in subscriptions:
            for department in held.departments:
                holders.setdefault(department, []).append(held)
        self._licences = {
            department: tuple([licences[each.id] for each in by_end(held)])
            for department, held in holders.items()
        }

    def license(self, join: Join) -> Sequence[Licence] | Reason:
        """T12.1: the department holds a licence; of several, the one that ends first before the others (T1.5)."""
        return self._licences.get(join.department or "", Reason.DEPARTMENT_NOT_LICENSED)


def _licence(held: EventsUnlimited) -> Licence:
    return replace(event_licence(held), concurrent=True, fallback=held.fallback == "per_event")
