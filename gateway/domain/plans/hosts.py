"""What the plans of hosts have in common: individuals that are listed, and licences that hold for meetings they own.

- T2.1, T3.4: a listed host outside the domains of the employees needs an approval on record.
- T2.2, T3.1: a meeting runs under a host that the plan covers, by its address or by its domain.
- T2.3: a host has at most one live meeting of the service.
- T2.4: generic names are refused when provisioned, and license nothing where a domain rule meets them.
- T2.6: at most 100 endpoints in a meeting, or `max_endpoints` of the order.
- T2.7: at most `simultaneous_hosts` hosts have a live meeting at one time, where that is stated.
"""

from collections.abc import Iterator, Sequence
from typing import ClassVar

from pydantic import Field

from gateway.domain.addresses import domain_of, is_generic, normal_address
from gateway.domain.customer import HOSTS_MAX, CustomerBase, Fault, MeetingsOrder, Positive, Subscription
from gateway.domain.enterprise import Approval, Host
from gateway.domain.join import Join
from gateway.domain.licensing import Licence, PlanTerms, by_end
from gateway.domain.limits import Limit
from gateway.domain.reasons import Reason


class HostPlan(Subscription):
    """A plan under which individuals host."""

    counts_hosts: ClassVar[bool] = False
    """Whether the hosts of a cycle are remembered (T3.3)."""
    listed_once_by: ClassVar[str] = "T2.1"
    approved_by: ClassVar[str] = "T2.1"
    """Rules that a listed host breaks which is there twice, or is no employee."""

    hosts: tuple[Host, ...] = Field(default=(), max_length=HOSTS_MAX)
    approvals: tuple[Approval, ...] = Field(default=(), max_length=HOSTS_MAX)
    simultaneous_hosts: Positive | None = None
    """At most so many hosts have a live meeting at one time (T2.7); None: not stated."""

    @property
    def one_meeting_at_a_time(self) -> bool:
        """Whether a host has at most one live meeting of the service (T2.3)."""
        return True

    @property
    def individuals_only(self) -> bool:
        """Whether generic names are refused (T2.4)."""
        return True

    def employee_domains(self, customer: CustomerBase) -> frozenset[str]:
        """Domains whose people are the customer's employees, case-folded."""
        return customer.own_domains

    def hosting_addresses(self) -> Iterator[str]:
        """Addresses that may host whatever their domain, in the form in which addresses are compared."""
        return (host.address for host in self.hosts)

    def hosting_domains(self, customer: CustomerBase) -> frozenset[str]:
        """Domains whose people may all host (T3.1)."""
        return frozenset()

    def limits(self) -> dict[str, Limit]:
        """T2.7, beside what the order limits; a plan that does not state it leaves the customer's hosts without that bound."""
        return {f"hosts:{self.service}": Limit(ceiling=self.simultaneous_hosts), **super().limits()}

    def faults(self, customer: CustomerBase, path: str) -> Iterator[Fault]:
        """T2.1, T2.4 and T3.4 at provisioning."""
        domains = self.employee_domains(customer)
        approved = {approval.address for approval in self.approvals}
        seen: set[str] = set()
        for position, host in enumerate(self.hosts):
            where = f"{path}.hosts[{position}]"
            if host.address in seen:
                message = "is listed twice (addresses compare case-folded, plus-tags removed)"
                yield Fault(f"{where}.id", message, self.listed_once_by)
            seen.add(host.address)
            if host.address not in approved and domain_of(host.address) not in domains:
                yield Fault(f"{where}.id", self.outside_message(), self.approved_by)
            if self.individuals_only and not host.is_individual:
                message = "is not an individual: a generic address, or given_name or family_name missing"
                yield Fault(where, f"{message}; `individual: true` overrides where that was audited", "T2.4")

    def outside_message(self) -> str:
        """What is said of a listed host that is no employee."""
        return "is outside the customer's domains, and no approval is on record"


class HostTerms(PlanTerms):
    """A plan of hosts on one day. Of several subscriptions that cover an owner, the one that ends first gives the licence (T1.5)."""

    def __init__(self, subscriptions: Sequence[HostPlan], customer: CustomerBase) -> None:
        self._licences: list[tuple[Licence]] = []
        self._by_address: dict[str, int] = {}
        self._by_domain: dict[tuple[str, bool], int] = {}
        for rank, subscription in enumerate(by_end(subscriptions)):
            self._licences.append((_licence(subscription),))
            for address in subscription.hosting_addresses():
                self._by_address.setdefault(address, rank)
            for domain in subscription.hosting_domains(customer):
                self._by_domain.setdefault((domain, False), rank)
                if not subscription.individuals_only:
                    self._by_domain.setdefault((domain, True), rank)

    def license(self, join: Join) -> Sequence[Licence] | Reason:
        """T2.2, T3.1: the owner is covered by address or by domain; a generic name by address only (T2.4)."""
        if not join.host:
            return Reason.HOST_NOT_LICENSED
        address = normal_address(join.host)
        ranks = [self._by_address.get(address)]
        if self._by_domain:
            ranks.append(self._by_domain.get((domain_of(address), is_generic(address))))
        found = [rank for rank in ranks if rank is not None]
        return self._licences[min(found)] if found else Reason.HOST_NOT_LICENSED


def _licence(subscription: HostPlan) -> Licence:
    limits: dict[str, Limit] = {}
    if subscription.one_meeting_at_a_time:
        limits["host"] = Limit(ceiling=1)
    if isinstance(subscription, MeetingsOrder):
        limits["meeting"] = Limit(ceiling=subscription.endpoints_per_meeting)
    return Licence(subscription.id, limits, by_host=True, counts_hosts=subscription.counts_hosts)
