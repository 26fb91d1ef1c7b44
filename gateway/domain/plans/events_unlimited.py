"""The plan `events.unlimited` (T12): any number of events, as many at one time as there are licences.

- T12.1: a licence is a department's; the customer's live events, all departments together, are at most its licences.
- T11.2: attendees are all endpoints, presenters included, moderators not; concurrent.
- T11.3: above `max_attendees` an event is in overage, or refuses attendees when hard.
- T11.4: at most 100 moderators and presenters together.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from gateway.domain.customer import Identifier, Positive, Subscription
from gateway.domain.join import Join, Service
from gateway.domain.licensing import Licence, Limit, PlanTerms, ending_first
from gateway.domain.reasons import Reason


PANEL_MAX = 100
"""T11.4."""


class EventsUnlimited(Subscription):
    """`events.unlimited` (T12)."""

    service: ClassVar[Service] = Service.EVENT
    agrees_on: ClassVar[str] = "attendees_enforcement"

    plan: Literal["events.unlimited"]
    departments: Annotated[dict[Identifier, Positive], Field(min_length=1, max_length=1000)]
    """Licences of each department."""
    max_attendees: Positive
    attendees_enforcement: Literal["metered", "hard"] = "metered"


class EventsUnlimitedTerms(PlanTerms):
    """T12 on one day."""

    def __init__(self, subscriptions: Sequence[EventsUnlimited]) -> None:
        licences = sum(sum(subscription.departments.values()) for subscription in subscriptions)
        super().__init__(limits={"events": Limit(ceiling=licences)})
        self._subscriptions = {
            department: ending_first([held for held in subscriptions if department in held.departments])
            for subscription in subscriptions
            for department in subscription.departments
        }

    def license(self, join: Join) -> Licence | Reason:
        """T12.1: the department holds a licence."""
        held = self._subscriptions.get(join.department) if join.department else None
        if held is None:
            return Reason.DEPARTMENT_NOT_LICENSED
        hard = held.attendees_enforcement == "hard"
        attendees = Limit(ceiling=held.max_attendees if hard else None, committed=held.max_attendees)
        return Licence(held.id, {"attendees": attendees, "panel": Limit(ceiling=PANEL_MAX)}, counts_in=(held.id,))
