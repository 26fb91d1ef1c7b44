"""Plans that sell concurrent connections: `meetings.concurrent_connections` ("Ports", T4) and `teams.concurrent_connections` (T8).

- T4.1, T8.1: all legs of the service together count against `committed`, metered (with an optional ceiling) or hard. T4 also licenses
  meetings whose host no host plan covers; T8 licenses every Teams meeting of the customer.
- T4.2: every leg counts one.
- T4.3, T8.2: the register of a day is the greatest use above the commitment of the moment; a leg that spans midnight counts at 00:00.
- T4.4: in meetings that T4 licenses, a leg with the role host comes first.
- T2.6: at most 100 endpoints in a meeting, or `max_endpoints` of the order.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import model_validator

from gateway.domain.customer import Positive, Quantity, Subscription
from gateway.domain.join import Join, Service
from gateway.domain.licensing import Licence, Limit, PlanTerms, ending_first, total
from gateway.domain.reasons import Reason


ENDPOINTS_PER_MEETING = 100
"""T2.6, where the order states no other number."""


class ConcurrentConnections(Subscription):
    """A pool of concurrent connections. `pool` is the level that counts them."""

    pool: ClassVar[str]
    agrees_on: ClassVar[str] = "enforcement"

    committed: Quantity
    enforcement: Literal["metered", "hard"]
    ceiling: Positive | None = None

    @model_validator(mode="after")
    def _ceiling_fits(self) -> "ConcurrentConnections":
        if self.ceiling is not None and self.enforcement == "hard":
            raise ValueError("a ceiling goes with metered enforcement; hard enforcement refuses at committed")
        if self.ceiling is not None and self.ceiling < self.committed:
            raise ValueError("ceiling is below committed")
        return self

    @property
    def refuses_above(self) -> int | None:
        """The number past which a join is refused."""
        return self.committed if self.enforcement == "hard" else self.ceiling


class MeetingsConcurrentConnections(ConcurrentConnections):
    """`meetings.concurrent_connections` (T4)."""

    service: ClassVar[Service] = Service.MEETING
    pool: ClassVar[str] = "ports"

    plan: Literal["meetings.concurrent_connections"]
    max_endpoints: Positive | None = None


class TeamsConcurrentConnections(ConcurrentConnections):
    """`teams.concurrent_connections` (T8)."""

    service: ClassVar[Service] = Service.TEAMS
    pool: ClassVar[str] = "teams_ports"

    plan: Literal["teams.concurrent_connections"]


class PoolTerms(PlanTerms):
    """A pool's limits for the whole customer, and the licence it gives to each meeting."""

    def __init__(self, subscriptions: Sequence[ConcurrentConnections], *, licence: Licence) -> None:
        limit = Limit(
            ceiling=total([subscription.refuses_above for subscription in subscriptions]),
            committed=sum(subscription.committed for subscription in subscriptions),
        )
        super().__init__(
            limits={subscriptions[0].pool: limit},
            counted_in=[subscription.id for subscription in subscriptions],
        )
        self._licence = licence

    def license(self, join: Join) -> Licence | Reason:
        """T4.1, T8.1: the pool licenses any meeting."""
        return self._licence


def meetings_terms(subscriptions: Sequence[MeetingsConcurrentConnections]) -> PoolTerms:
    """T4 on one day."""
    sizes = [subscription.max_endpoints or ENDPOINTS_PER_MEETING for subscription in subscriptions]
    licence = Licence(ending_first(subscriptions).id, {"meeting": Limit(ceiling=max(sizes))}, host_begins=True)
    return PoolTerms(subscriptions, licence=licence)


def teams_terms(subscriptions: Sequence[TeamsConcurrentConnections]) -> PoolTerms:
    """T8 on one day."""
    return PoolTerms(subscriptions, licence=Licence(ending_first(subscriptions).id))
