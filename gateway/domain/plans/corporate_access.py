"""The plan `meetings.corporate_access` (T3): every employee may host.

- T3.1: who may host, see `enterprise_hosts`; T2.3 and T2.4 hold unless `one_meeting_per_host: false`.
"""

from typing import Literal

from pydantic import StrictBool

from gateway.domain.customer import MeetingsOrder
from gateway.domain.plans.enterprise_hosts import EnterprisePlan


class CorporateAccess(EnterprisePlan, MeetingsOrder):
    """`meetings.corporate_access` (T3)."""

    plan: Literal["meetings.corporate_access"]
    one_meeting_per_host: StrictBool = True

    @property
    def one_meeting_at_a_time(self) -> bool:
        """T2.3 holds unless the order says otherwise (T3.1)."""
        return self.one_meeting_per_host

    @property
    def individuals_only(self) -> bool:
        """T2.4 holds unless the order says otherwise (T3.1)."""
        return self.one_meeting_per_host
