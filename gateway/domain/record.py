"""What the store holds of a customer: its entitlements at one version, its status, and what was noted about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from gateway.domain.assists import Booking
from gateway.domain.catalogue import Customer
from gateway.domain.history import History


Status = Literal["active", "suspended", "terminated"]


class Suspension(msgspec.Struct, frozen=True):
    """Who suspended a host, when and why (T20.1)."""

    reason: str
    at_ms: int
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A customer at one version; `customer` is None where there is none (any more)."""

    version: int
    customer: Customer | None = None
    status: Status = "active"
    status_reason: str | None = None
    status_at_ms: int | None = None
    status_by: str | None = None
    suspended_hosts: Mapping[str, Suspension] = field(default_factory=dict)
    """By normal address."""
    history: History = field(default_factory=History)
    """What is remembered of earlier versions, for findings (T2.5, T3.3)."""
    assists: tuple[Booking, ...] = ()
    """Booked assists in order of their beginnings (T18, T19)."""
