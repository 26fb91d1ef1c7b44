"""The plan `meetings.named_host` (T2): a licence for each individual who hosts.

- T2.1: at most `quantity` hosts, employees only; an address outside the customer's domains needs an approval on record.
- T2.2: a meeting runs under a provisioned host.
- T2.3: a host has at most one live meeting of the service.
- T2.4: generic names are refused when provisioned; an audited `individual: true` overrides.
- T2.6: at most 100 endpoints in a meeting, or `max_endpoints` of the order.
- T2.7: at most `simultaneous_hosts` hosts have a live meeting at one time, where that is stated.
"""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from pydantic import Field, StrictBool

from gateway.domain.addresses import domain_of, is_generic, normal_address
from gateway.domain.customer import (
    HOSTS_MAX,
    CivilDate,
    CustomerBase,
    Fault,
    Identifier,
    Model,
    Name,
    Positive,
    Subscription,
)
from gateway.domain.join import Join, Service
from gateway.domain.licensing import Licence, Limit, PlanTerms, ending_first, total
from gateway.domain.plans.concurrent_connections import ENDPOINTS_PER_MEETING
from gateway.domain.reasons import Reason


class NamedHost(Model):
    """An individual who may host."""

    id: Identifier
    given_name: Name | None = None
    family_name: Name | None = None
    individual: StrictBool = False
    """An auditor has seen that a generic name is one person's after all (T2.4)."""


class Approval(Model):
    """The provider's consent that somebody outside the customer's domains may host (T2.1)."""

    id: Identifier
    approved_by: Name
    approved_on: CivilDate


class MeetingsNamedHost(Subscription):
    """`meetings.named_host` (T2)."""

    service: ClassVar[Service] = Service.MEETING

    plan: Literal["meetings.named_host"]
    quantity: Positive
    hosts: tuple[NamedHost, ...] = Field(default=(), max_length=HOSTS_MAX)
    approvals: tuple[Approval, ...] = Field(default=(), max_length=HOSTS_MAX)
    simultaneous_hosts: Positive | None = None
    max_endpoints: Positive | None = None

    def faults(self, customer: CustomerBase, path: str) -> Iterator[Fault]:
        """T2.1 and T2.4 at provisioning."""
        if len(self.hosts) > self.quantity:
            yield Fault(f"{path}.hosts", f"{len(self.hosts)} hosts for a quantity of {self.quantity}", "T2.1")
        approved = {normal_address(approval.id) for approval in self.approvals}
        seen: set[str] = set()
        for position, host in enumerate(self.hosts):
            where = f"{path}.hosts[{position}]"
            address = normal_address(host.id)
            if address in seen:
                yield Fault(f"{where}.id", "is listed twice (addresses compare case-folded, plus-tags removed)", "T2.1")
            seen.add(address)
            if address not in approved and not customer.employs(domain_of(host.id)):
                yield Fault(f"{where}.id", "is outside the customer's domains, and no approval is on record", "T2.1")
            if not host.individual and (is_generic(host.id) or not host.given_name or not host.family_name):
                message = "is not an individual: a generic address, or given_name or family_name missing"
                yield Fault(where, f"{message}; `individual: true` overrides where that was audited", "T2.4")


class NamedHostTerms(PlanTerms):
    """T2 on one day."""

    def __init__(self, subscriptions: Sequence[MeetingsNamedHost]) -> None:
        simultaneous = total([subscription.simultaneous_hosts for subscription in subscriptions])
        super().__init__(limits={"hosts": Limit(ceiling=simultaneous)} if simultaneous is not None else {})
        holders: dict[str, list[MeetingsNamedHost]] = {}
        for subscription in subscriptions:
            for host in subscription.hosts:
                holders.setdefault(normal_address(host.id), []).append(subscription)
        self._subscriptions = {address: ending_first(held) for address, held in holders.items()}
        self._licences = {subscription.id: _licence(subscription) for subscription in subscriptions}

    def license(self, join: Join) -> Licence | Reason:
        """T2.2, T2.3, T2.6."""
        held = self._subscriptions.get(normal_address(join.host)) if join.host else None
        return self._licences[held.id] if held else Reason.HOST_NOT_LICENSED


def _licence(subscription: MeetingsNamedHost) -> Licence:
    size = subscription.max_endpoints or ENDPOINTS_PER_MEETING
    return Licence(subscription.id, {"host": Limit(ceiling=1), "meeting": Limit(ceiling=size)})
