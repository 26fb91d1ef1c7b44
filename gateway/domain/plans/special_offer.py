"""The plan `teams.special_offer` (T10): a few Teams gateway connections for a year.

- T10.1: 2 or 5 connections, 12 months from signing; 5 need at least 1,000 employees. What spans subscriptions and customers is in `catalogue`.
- T10.2: `one_touch` and `relay` are included only where they were bought.
- T10.3: above the quantity a leg is let in with a notice, or refused; the offer may be ended on notice.
- T8.1: the pool is that of all the customer's Teams meetings.
"""

import datetime as dt
from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from gateway.domain.customer import CivilDate, CustomerBase, EndsOnNotice, Fault, Identifier, Name, Positive
from gateway.domain.join import Service
from gateway.domain.plans.concurrent_connections import Pool


QUANTITIES = (2, 5)
EMPLOYEES_MIN = 1000
"""Of a company that is offered the larger quantity (T10.1)."""


class SpecialOffer(Pool, EndsOnNotice):
    """`teams.special_offer` (T10)."""

    service: ClassVar[Service | None] = Service.TEAMS
    pool: ClassVar[str] = "teams_ports"
    agrees_on: ClassVar[tuple[str, ...]] = ("enforcement",)

    plan: Literal["teams.special_offer"]
    enforcement: Literal["notify", "hard"] = "notify"
    """Above the quantity: let in, which is a finding, or refused (T10.3)."""
    signed_on: CivilDate
    company_group: Identifier
    """The company with its affiliates; it is offered once to all of them (T10.1)."""
    employee_count: Positive | None = None
    features: tuple[Literal["one_touch", "relay"], ...] = Field(default=(), max_length=2)
    """Features that were bought beside the offer (T10.2)."""
    partner: Name | None = None

    @property
    def refuses_above(self) -> int | None:
        """`committed` when hard; else nothing is refused (T10.3)."""
        return self.committed if self.enforcement == "hard" else None

    @property
    def included_features(self) -> frozenset[str]:
        """Only what was bought (T10.2)."""
        return frozenset(self.features)

    def faults(self, customer: CustomerBase, path: str) -> Iterator[Fault]:
        """T10.1, as far as one subscription tells."""
        yield from super().faults(customer, path)
        if self.committed not in QUANTITIES:
            yield Fault(f"{path}.committed", f"is {self.committed}; the offer is for 2 or 5 connections", "T10.1")
        last = twelve_months_from(self.signed_on)
        if (self.term.first, self.term.last) != (self.signed_on, last):
            yield Fault(f"{path}.term", f"is not the 12 months from signing, {self.signed_on} to {last}", "T10.1")
        employees = max(self.employee_count or 0, customer.employee_count or 0)
        if self.committed == QUANTITIES[1] and employees < EMPLOYEES_MIN:
            message = f"5 connections are offered from {EMPLOYEES_MIN} employees; {employees or 'none'} are stated"
            yield Fault(f"{path}.employee_count", message, "T10.1")


def twelve_months_from(first: dt.date) -> dt.date:
    """The last of 12 months: the day before the same date of the next year; from 29 February, 28 February."""
    if first.year == dt.MAXYEAR:
        return dt.date.max
    if (first.month, first.day) == (2, 29):
        return dt.date(first.year + 1, 2, 28)
    return first.replace(year=first.year + 1) - dt.timedelta(days=1)
