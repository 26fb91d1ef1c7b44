"""People and companies as the catalogue names them: hosts, approvals, controlled entities, certified counts. Shared by the plans of hosts."""

import functools
from typing import Annotated

from pydantic import Field, StrictBool, StrictInt

from gateway.domain.addresses import is_generic, normal_address
from gateway.domain.customer import CivilDate, Domain, Identifier, Model, Name, Positive


CONTROL_PERCENT = 50
"""The share from which an entity is under the customer's control (T3.1)."""


class Host(Model):
    """An individual who may host."""

    id: Identifier
    given_name: Name | None = None
    family_name: Name | None = None
    individual: StrictBool = False
    """An auditor has seen that a generic name is one person's after all (T2.4)."""
    department: Identifier | None = None

    @functools.cached_property
    def address(self) -> str:
        """The id in the form in which addresses are compared."""
        return normal_address(self.id)

    @property
    def is_individual(self) -> bool:
        """Whether it is one person's by its names, or by audit (T2.4)."""
        return self.individual or bool(self.given_name and self.family_name and not is_generic(self.id))


class Approval(Model):
    """The provider's consent that somebody outside the customer's domains may host (T2.1, T3.4)."""

    id: Identifier
    approved_by: Name
    approved_on: CivilDate

    @functools.cached_property
    def address(self) -> str:
        """The id in the form in which addresses are compared."""
        return normal_address(self.id)


class Entity(Model):
    """A legal entity that the customer controls; its people are employees at 50 % or more (T3.1)."""

    name: Name
    domains: Annotated[tuple[Domain, ...], Field(min_length=1, max_length=1000)]
    controlled_percent: Annotated[StrictInt, Field(ge=0, le=100)]

    @property
    def is_controlled(self) -> bool:
        """Whether its people are the customer's employees (T3.1)."""
        return self.controlled_percent >= CONTROL_PERCENT


class Certification(Model):
    """A count that an officer of the customer vouches for (T3.2): employees, or what the plan calls its Enterprise Count (T9.1)."""

    certified_on: CivilDate
    count: Positive
    certified_by: Name | None = None
