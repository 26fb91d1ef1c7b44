"""A finding, and what findings are made from beside the record."""

import datetime as dt
from collections.abc import Mapping, Sequence

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """One thing that does not comply. People appear by their address only, telephone numbers never (T21.1)."""

    rule: str
    """The rule of the terms, such as `T3.2`."""
    since: str
    """A Pacific date, or an instant as RFC 3339 in UTC where an instant is known."""
    subject: str
    """The id of what it is about: a subscription, a meeting, a room, an owner's address, the customer."""
    detail: str
    """A sentence for people."""
    due: dt.date | None = None
    """The Pacific day by which the customer has to act; None: none is set."""


class Observed(msgspec.Struct, frozen=True):
    """What the store has seen of a customer; instants in Unix milliseconds, days as ordinals (`gateway.domain.days`)."""

    hosts_seen: Mapping[str, Sequence[int]] = msgspec.field(default_factory=dict)
    """T3.3: by subscription id, when each distinct host of its current cycle was first seen."""
    audio_days: Mapping[int, tuple[int, int]] = msgspec.field(default_factory=dict)
    """T1.2: by day, how many legs there were, and how many of them were audio-only."""
    unhosted: Sequence[tuple[str, int, int | None]] = ()
    """T4.4: meetings that were live without a host leg, from when to when; None while it lasts."""
    foreign_owners: Mapping[str, int] = msgspec.field(default_factory=dict)
    """T4.5: owners of meetings outside the customer's domains, and when each was first seen."""
    abroad: Mapping[tuple[str, str], int] = msgspec.field(default_factory=dict)
    """T13.5: by room and country (ISO 3166-1 alpha-2), when a leg was first seen there."""
    excess: Mapping[int, tuple[int, int]] = msgspec.field(default_factory=dict)
    """T10.3: by day, the overage of `teams_ports`, and when it was reached."""
