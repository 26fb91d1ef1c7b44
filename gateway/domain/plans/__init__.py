"""The plans that can be held: one module each, and this table of them.

To add a plan: write its module (a `Subscription` with its fields and faults, and a function that turns the active subscriptions into
`PlanTerms`), then add the class to `AnySubscription` and the function to `TERMS`. Where several plans could license one meeting, the one that
comes first in `TERMS` does.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import Field

from gateway.domain.licensing import PlanTerms
from gateway.domain.plans import concurrent_connections, events_unlimited, named_host


AnySubscription = Annotated[
    named_host.MeetingsNamedHost
    | concurrent_connections.MeetingsConcurrentConnections
    | concurrent_connections.TeamsConcurrentConnections
    | events_unlimited.EventsUnlimited,
    Field(discriminator="plan"),
]

TERMS: dict[type, Callable[[Sequence[Any]], PlanTerms]] = {
    named_host.MeetingsNamedHost: named_host.NamedHostTerms,
    concurrent_connections.MeetingsConcurrentConnections: concurrent_connections.meetings_terms,
    concurrent_connections.TeamsConcurrentConnections: concurrent_connections.teams_terms,
    events_unlimited.EventsUnlimited: events_unlimited.EventsUnlimitedTerms,
}
