"""What the active subscriptions of a plan mean for a join, in the terms that policy compiles.

A plan's module turns its subscriptions into `PlanTerms`. Two things can come of a plan:

- *limits of the whole customer* on a level that is counted whatever licenses the meeting (`ports`, `hosts`), and
- a *licence* for a meeting, with limits that hold for meetings under that licence (`meeting`, `host`).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from gateway.domain.customer import Subscription
from gateway.domain.join import Join
from gateway.domain.reasons import Reason


S = TypeVar("S", bound=Subscription)


@dataclass(frozen=True, slots=True)
class Limit:
    """Bounds of one level. `ceiling` refuses, `committed` marks overage; None: no such bound."""

    ceiling: int | None = None
    committed: int | None = None


@dataclass(frozen=True, slots=True)
class Licence:
    """A subscription's permission for a meeting."""

    subscription: str
    limits: Mapping[str, Limit] = field(default_factory=dict)
    host_begins: bool = False
    """Whether a leg with the role host must come first (T4.4)."""
    counts_in: tuple[str, ...] = ()
    """Subscriptions whose quantity the meeting itself draws on, beside the pools of its legs."""


class PlanTerms(ABC):
    """The active subscriptions of one plan on one day. `limits` are the customer's; `counted_in` names the subscriptions they come from."""

    def __init__(self, *, limits: Mapping[str, Limit] | None = None, counted_in: Sequence[str] = ()) -> None:
        self.limits: Mapping[str, Limit] = limits or {}
        self.counted_in = tuple(counted_in)

    @abstractmethod
    def license(self, join: Join) -> Licence | Reason:
        """The licence under which the meeting of this join runs, or the reason why this plan gives none."""


def total(values: Sequence[int | None]) -> int | None:
    """Quantities of several subscriptions added up (T1.5); without a bound as soon as one has none."""
    present = [value for value in values if value is not None]
    return sum(present) if len(present) == len(values) else None


def ending_first(subscriptions: Sequence[S]) -> S:
    """The subscription that is drawn from first (T1.5)."""
    return min(subscriptions, key=lambda subscription: (subscription.term.last, subscription.id))
