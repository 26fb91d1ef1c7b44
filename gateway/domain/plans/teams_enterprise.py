"""The plan `teams.enterprise` (T9): every Teams user of the customer may host through the gateway.

- T9.1: who may host, see `enterprise_hosts`; T2.3 holds, T2.4 does not.
"""

from typing import Literal

from gateway.domain.customer import TeamsSubscription
from gateway.domain.plans.enterprise_hosts import EnterprisePlan


class TeamsEnterprise(EnterprisePlan, TeamsSubscription):
    """`teams.enterprise` (T9)."""

    plan: Literal["teams.enterprise"]
    teams_licence: Literal["company_wide"] | None = None
    """Where Teams is licensed for the whole company, the Enterprise Count is that of the employees (T9.1)."""

    @property
    def individuals_only(self) -> bool:
        """T2.4 does not hold."""
        return False
