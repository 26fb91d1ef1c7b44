"""The plans that can be held: one module each, and this table of them.

To add a plan: write its module (a `Subscription` with its fields and faults and, if it licenses meetings, a function that turns the active
subscriptions and their customer into `PlanTerms`), then add the class to `AnySubscription` and the function to `TERMS`. Where several plans
could license one meeting, the one that comes first in `TERMS` does.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import Field

from gateway.domain.customer import CustomerBase
from gateway.domain.licensing import PlanTerms
from gateway.domain.plans import (
    active_host,
    assist_plans,
    calling,
    china,
    concurrent_connections,
    corporate_access,
    events_unlimited,
    named_host,
    per_event,
    rooms,
    special_offer,
    teams_enterprise,
)
from gateway.domain.plans.hosts import HostTerms


AnySubscription = Annotated[
    named_host.MeetingsNamedHost
    | corporate_access.CorporateAccess
    | concurrent_connections.MeetingsConcurrentConnections
    | active_host.ActiveHostEnterprise
    | active_host.ActiveHostGroup
    | named_host.TeamsNamedHost
    | concurrent_connections.TeamsConcurrentConnections
    | teams_enterprise.TeamsEnterprise
    | special_offer.SpecialOffer
    | per_event.EventsPerEvent
    | events_unlimited.EventsUnlimited
    | rooms.DolbyRooms
    | rooms.NetworkRooms
    | calling.PremiumCalling
    | calling.GlobalAudio
    | china.ChinaAccess
    | assist_plans.MeetingAssist
    | assist_plans.EventAssist,
    Field(discriminator="plan"),
]

TERMS: dict[type, Callable[[Sequence[Any], CustomerBase], PlanTerms]] = {
    named_host.MeetingsNamedHost: HostTerms,
    corporate_access.CorporateAccess: HostTerms,
    active_host.ActiveHostEnterprise: HostTerms,
    active_host.ActiveHostGroup: HostTerms,
    concurrent_connections.MeetingsConcurrentConnections: concurrent_connections.PoolTerms,
    named_host.TeamsNamedHost: HostTerms,
    teams_enterprise.TeamsEnterprise: HostTerms,
    concurrent_connections.TeamsConcurrentConnections: concurrent_connections.PoolTerms,
    special_offer.SpecialOffer: concurrent_connections.PoolTerms,
    events_unlimited.EventsUnlimited: events_unlimited.EventsUnlimitedTerms,
    per_event.EventsPerEvent: per_event.PerEventTerms,
}
"""Plans that license meetings, in that order; rooms, calling, access and assists are asked where they matter."""
