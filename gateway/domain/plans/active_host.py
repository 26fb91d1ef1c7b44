"""The plans `meetings.active_host_enterprise` (T5) and `meetings.active_host_group` (T6): billed by the hosts that are active in a cycle.

- T5.1: who may host, see `enterprise_hosts`; T2.3 to T2.7 hold.
- T5.3: the term is divided into subscription periods. Active hosts are counted in `cycles`.
- T6.1: as T5 for the members of one department, which are listed.
"""

import datetime as dt
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, StrictInt

from gateway.domain.customer import CustomerBase, Fault, Identifier, MeetingsOrder, Positive, Term
from gateway.domain.plans.enterprise_hosts import ENTRIES_MAX, EnterprisePlan


class ActiveHostPlan(EnterprisePlan, MeetingsOrder):
    """Active hosts, bought for subscription periods."""

    quantity: Positive | None = None
    """Active hosts purchased."""
    base_percentage: Annotated[StrictInt, Field(ge=1, le=100)] | None = None
    """The share of the employees that is billed at least (T5.3)."""
    subscription_periods: tuple[Term, ...] = Field(default=(), max_length=ENTRIES_MAX)
    """The term divided; left out, it is one period."""

    def faults(self, customer: CustomerBase, path: str) -> Iterator[Fault]:
        """T2.4 and T3.4 of hosts; the periods divide the term without a gap (T5.3)."""
        yield from super().faults(customer, path)
        if not self.subscription_periods:
            return
        first: dt.date | None = self.term.first
        for position, period in enumerate(self.subscription_periods):
            if period.first != first:
                due = "the term's first day" if position == 0 else "the day after the period before"
                where = f"{path}.subscription_periods[{position}].from"
                yield Fault(where, f"is {period.first}, and not {due}", "T5.3")
            first = period.last + dt.timedelta(days=1) if period.last < dt.date.max else None
        last = len(self.subscription_periods) - 1
        if self.subscription_periods[last].last != self.term.last:
            where = f"{path}.subscription_periods[{last}].to"
            message = f"is {self.subscription_periods[last].last}, and not the term's last day"
            yield Fault(where, message, "T5.3")


class ActiveHostEnterprise(ActiveHostPlan):
    """`meetings.active_host_enterprise` (T5)."""

    plan: Literal["meetings.active_host_enterprise"]


class ActiveHostGroup(ActiveHostPlan):
    """`meetings.active_host_group` (T6)."""

    plan: Literal["meetings.active_host_group"]
    department: Identifier

    def hosting_addresses(self) -> Iterator[str]:
        """The members of the department (T6.1)."""
        return (host.address for host in self.hosts if host.department == self.department)

    def hosting_domains(self, customer: CustomerBase) -> frozenset[str]:
        """None: a domain does not tell a department (T6.1)."""
        return frozenset()
