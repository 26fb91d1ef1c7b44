"""What the plans have in common under which every employee may host (T3, T5, T6, T9).

- T3.1: an address in the customer's domains, in those of entities it controls by 50 % or more, listed or approved may host.
- T3.2, T3.3: certified and reported counts of employees are kept here; the findings are in `compliance`.
- T3.4: affiliates and contractors need an approval on record.
"""

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field, StrictInt

from gateway.domain.addresses import is_generic
from gateway.domain.customer import CustomerBase, Positive
from gateway.domain.enterprise import Certification, Entity
from gateway.domain.plans.hosts import HostPlan


ENTRIES_MAX = 1000
"""Entities and certifications of one subscription."""


class EnterprisePlan(HostPlan):
    """A plan under which every employee may host."""

    counts_hosts: ClassVar[bool] = True
    listed_once_by: ClassVar[str] = "T3.1"
    approved_by: ClassVar[str] = "T3.4"

    entities: tuple[Entity, ...] = Field(default=(), max_length=ENTRIES_MAX)
    employee_count: Positive | None = None
    """The count last reported (T3.3): of employees, or what the plan calls its Enterprise Count (T9.1)."""
    certifications: tuple[Certification, ...] = Field(default=(), max_length=ENTRIES_MAX)
    anchor_day: Annotated[StrictInt, Field(ge=1, le=31)] = 1
    """The day of the month on which a cycle begins; past a month's end, its last day."""

    def employee_domains(self, customer: CustomerBase) -> frozenset[str]:
        """The customer's, and those of entities it controls (T3.1)."""
        controlled = [
            domain.casefold() for entity in self.entities if entity.is_controlled for domain in entity.domains
        ]
        return customer.own_domains.union(controlled)

    def hosting_addresses(self) -> Iterator[str]:
        """Who is listed, and who is approved unless the name is generic (T2.4, T3.4)."""
        yield from super().hosting_addresses()
        for approval in self.approvals:
            if not (self.individuals_only and is_generic(approval.address)):
                yield approval.address

    def hosting_domains(self, customer: CustomerBase) -> frozenset[str]:
        """T3.1: every employee may host."""
        return self.employee_domains(customer)

    def outside_message(self) -> str:
        """What is said of a listed host that is no employee (T3.4)."""
        return "is outside the domains of the customer and of entities it controls by 50 % or more, and no approval is on record"
