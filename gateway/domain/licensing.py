"""Licences for meetings: what the active subscriptions of a plan give to the meeting of a join.

A plan's module turns its subscriptions into `PlanTerms`. Limits of the whole customer come from the subscriptions themselves
(`Subscription.limits`), whatever licenses a meeting; limits of a licence hold for the meetings under it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from gateway.domain.customer import Subscription
from gateway.domain.join import Join
from gateway.domain.limits import Limit
from gateway.domain.reasons import Reason


S = TypeVar("S", bound=Subscription)


@dataclass(frozen=True, slots=True)
class Licence:
    """A subscription's permission for a meeting."""

    subscription: str
    limits: Mapping[str, Limit] = field(default_factory=dict)
    """Limits by level: `meeting`, `host`; `attendees`, `panel`."""
    by_host: bool = False
    """Whether it is the owner's licence; then the owner's live meetings are among the customer's hosts (T2.7)."""
    host_begins: bool = False
    """Whether a leg with the role host must come first (T4.4)."""
    counts_in: tuple[str, ...] = ()
    """Subscriptions whose quantity the meeting itself draws on, beside the pools of its legs."""
    concurrent: bool = False
    """Whether the event is one of those that may be live at one time (T12.1)."""
    events_held: int | None = None
    """How many events may be held under the subscription in its term (T11.1); None: any number."""
    duration_ms: int | None = None
    """How long an event may be live, summed over its openings, before joins are refused (T11.5); None: no such bound."""
    fallback: bool = False
    """Whether the next plan may license an event that this one has no room for (T12.2)."""
    counts_hosts: bool = False
    """Whether the hosts of the current cycle are remembered (T3.3)."""


class PlanTerms(ABC):
    """The active subscriptions of one plan on one day."""

    @abstractmethod
    def license(self, join: Join) -> Sequence[Licence] | Reason:
        """The licences under which the meeting of this join may run, the preferred first, or the reason why this plan gives none."""


def by_end(subscriptions: Iterable[S]) -> list[S]:
    """Subscriptions in the order in which they are drawn from: the one that ends first before the others (T1.5)."""
    return sorted(subscriptions, key=lambda subscription: (subscription.term.last, subscription.id))
