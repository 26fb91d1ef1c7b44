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

from gateway.domain.customer import (
    CustomerBase,
    MeetingsOrder,
    Order,
    Positive,
    Quantity,
    Subscription,
    TeamsSubscription,
)
from gateway.domain.join import Join
from gateway.domain.licensing import Licence, PlanTerms, by_end
from gateway.domain.limits import Limit
from gateway.domain.reasons import Reason


class Pool(Subscription):
    """A number of connections that may be in use at one time. `pool` is the group that counts them."""

    pool: ClassVar[str]

    committed: Quantity

    @property
    def refuses_above(self) -> int | None:
        """The number past which a join is refused; None: never."""
        return None

    def limits(self) -> dict[str, Limit]:
        """The pool, beside what the order limits (T4.3, T8.2)."""
        return {self.pool: Limit(self.refuses_above, self.committed), **super().limits()}


class ConcurrentConnections(Pool):
    """A pool that is metered or hard."""

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
        """`committed` when hard, else the ceiling."""
        return self.committed if self.enforcement == "hard" else self.ceiling


class MeetingsConcurrentConnections(ConcurrentConnections, MeetingsOrder):
    """`meetings.concurrent_connections` (T4)."""

    pool: ClassVar[str] = "ports"
    agrees_on: ClassVar[tuple[str, ...]] = ("enforcement", *Order.agrees_on)

    plan: Literal["meetings.concurrent_connections"]


class TeamsConcurrentConnections(ConcurrentConnections, TeamsSubscription):
    """`teams.concurrent_connections` (T8)."""

    pool: ClassVar[str] = "teams_ports"
    agrees_on: ClassVar[tuple[str, ...]] = ("enforcement",)

    plan: Literal["teams.concurrent_connections"]


class PoolTerms(PlanTerms):
    """A pool (T4, T8, T10) on one day: the licence it gives to each meeting."""

    def __init__(self, subscriptions: Sequence[Pool], customer: CustomerBase) -> None:
        self._licences = (_licence(subscriptions),)

    def license(self, join: Join) -> Sequence[Licence] | Reason:
        """T4.1, T8.1: the pool licenses any meeting."""
        return self._licences


def _licence(subscriptions: Sequence[Pool]) -> Licence:
    named = by_end(subscriptions)[0].id
    sizes = [held.endpoints_per_meeting for held in subscriptions if isinstance(held, MeetingsConcurrentConnections)]
    if not sizes:
        return Licence(named)
    return Licence(named, {"meeting": Limit(ceiling=max(sizes))}, host_begins=True)
