"""What the plans of events (T11, T12) have in common.

- T11.2: attendees are all endpoints, presenters included, moderators not; concurrent.
- T11.3: above `max_attendees` an event is in overage, or refuses attendees when hard.
- T11.4: at most 100 moderators and presenters together.
- T11.5: live time is included up to the plan's `duration_ms`; beyond it an event is in overage, or refuses joins when hard.
"""

from typing import ClassVar, Literal

from gateway.domain.customer import Order, Positive
from gateway.domain.join import Service
from gateway.domain.licensing import Licence
from gateway.domain.limits import Limit


PANEL_MAX = 100
"""T11.4."""


class EventOrder(Order):
    """An order of events; `duration_ms` is the live time that an event includes, metered or hard (T11.5, T12.2)."""

    service: ClassVar[Service] = Service.EVENT
    agrees_on: ClassVar[tuple[str, ...]] = (*Order.agrees_on, "attendees_enforcement", "duration_enforcement")
    duration_ms: ClassVar[int]

    max_attendees: Positive
    attendees_enforcement: Literal["metered", "hard"] = "metered"
    duration_enforcement: Literal["metered", "hard"] = "metered"


def event_licence(held: EventOrder) -> Licence:
    """The licence that an order gives to each of its events: T11.3, T11.4, T11.5."""
    ceiling = held.max_attendees if held.attendees_enforcement == "hard" else None
    return Licence(
        held.id,
        {"attendees": Limit(ceiling=ceiling, committed=held.max_attendees), "panel": Limit(ceiling=PANEL_MAX)},
        counts_in=(held.id,),
        duration_ms=held.duration_ms if held.duration_enforcement == "hard" else None,
    )
