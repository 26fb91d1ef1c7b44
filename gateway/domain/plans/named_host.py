"""The plans `meetings.named_host` (T2) and `teams.named_host` (T7): a licence for each individual who hosts.

- T2.1, T7.2: at most `quantity` hosts, employees only; an address outside the customer's domains needs an approval on record.
- T2.2, T7.2: a meeting runs under a provisioned host.
- T2.3, T2.4, T2.6, T2.7: see `hosts`; T2.6 is of Meetings alone.
"""

from collections.abc import Iterator
from typing import Literal

from gateway.domain.customer import CustomerBase, Fault, MeetingsOrder, Positive, TeamsSubscription
from gateway.domain.plans.hosts import HostPlan


class NamedHostPlan(HostPlan):
    """A number of licences that are given to individuals."""

    quantity: Positive

    def faults(self, customer: CustomerBase, path: str) -> Iterator[Fault]:
        """T2.1 and T2.4 at provisioning."""
        if len(self.hosts) > self.quantity:
            yield Fault(f"{path}.hosts", f"{len(self.hosts)} hosts for a quantity of {self.quantity}", "T2.1")
        yield from super().faults(customer, path)


class MeetingsNamedHost(NamedHostPlan, MeetingsOrder):
    """`meetings.named_host` (T2)."""

    plan: Literal["meetings.named_host"]


class TeamsNamedHost(NamedHostPlan, TeamsSubscription):
    """`teams.named_host` (T7)."""

    plan: Literal["teams.named_host"]
