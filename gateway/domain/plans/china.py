"""The plan `access.china` (T17): a pool of concurrent connections by way of Premium Access China.

- T17.1: a leg with `access: china` counts in this pool and in its service's; metered (overage as T4.3) or hard.
- T17.2: the provider may end it on notice; from the day after `ends_on` nobody joins by it.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

from gateway.domain.customer import EndsOnNotice
from gateway.domain.plans.concurrent_connections import ConcurrentConnections
from gateway.domain.reasons import Reason


class ChinaAccess(ConcurrentConnections, EndsOnNotice):
    """`access.china` (T17)."""

    pool: ClassVar[str] = "china"
    agrees_on: ClassVar[tuple[str, ...]] = ("enforcement",)

    plan: Literal["access.china"]


def china_refusal(subscriptions: Sequence[ChinaAccess], day: int) -> Reason | None:
    """Why nobody joins by this access on a day (an ordinal): T17.2 where it was ended within its term, else T17.1; None: it is in force."""
    if any(held.active(day) for held in subscriptions):
        return None
    ended = any(held.term.contains(day) for held in subscriptions)
    return Reason.ACCESS_ENDED if ended else Reason.ACCESS_NOT_LICENSED
