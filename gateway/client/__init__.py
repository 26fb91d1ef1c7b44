"""The client of media servers: asks gateways for decisions, keeps a node's legs alive, and holds on when no gateway answers.

It needs aiohttp and msgspec, and nothing else of this project: it can be copied, or taken as the pattern for another language.
docs/client.md says how it is used and what each failure does.
"""

from gateway.client.client import GatewayClient
from gateway.client.errors import FieldFault, RequestRefused
from gateway.client.heartbeats import Heartbeats, OnDrop, Roster, RosterSource
from gateway.client.joins import JoinFields
from gateway.client.results import Confirmed, Decision, Lease, Left, LimitUse, Released
from gateway.client.stats import Stats


__all__ = [
    "Confirmed",
    "Decision",
    "FieldFault",
    "GatewayClient",
    "Heartbeats",
    "JoinFields",
    "Lease",
    "Left",
    "LimitUse",
    "OnDrop",
    "Released",
    "RequestRefused",
    "Roster",
    "RosterSource",
    "Stats",
]
