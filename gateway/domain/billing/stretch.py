"""Stretches: a leg from its admit, adoption or move to the next move or its end.

A stretch holds a seat from `held_ms` to `freed_ms`, and is billed from `connected_ms` to `until_ms`: a leg counts from connected to release,
or to its last sign of life where it was reclaimed. One that was reclaimed too early and is adopted again within `READOPTION_MS` is billed
without a gap: then `until_ms` is the instant of its adoption.
"""

import msgspec

from gateway.domain.billing.entry import EntryId
from gateway.domain.days import HOUR_MS


READOPTION_MS = 2 * HOUR_MS
"""So long a leg that was reclaimed, or lost with the store, is waited for. A day is closed no earlier."""


class Shape(msgspec.Struct, frozen=True, array_like=True):
    """What a leg is, apart from who, where and when. Stored as an array: fields are only ever added at the end."""

    service: str
    endpoint: str
    role: str
    pools: tuple[str, ...] = ()
    """Groups with a commitment in which it was counted: values of `REPORTED_POOLS`."""
    licensed_by: str | None = None
    counted_in: tuple[str, ...] = ()
    department: str | None = None
    room: str | None = None
    country: str | None = None
    calling: str | None = None
    number_country: str | None = None
    number_class: str | None = None
    access_country: str | None = None
    access_class: str | None = None
    access: str | None = None
    audio_only: bool = False
    adopted: bool = False
    """Counted without a check, because it was there."""
    would_deny: str = ""
    """In shadow mode: the reason for which it would have been denied; it is counted nowhere."""


class Stretch(msgspec.Struct, frozen=True):
    """A stretch as reports read it. `meeting`, `host` and `person` are ids of names; instants are Unix milliseconds."""

    customer: str
    began: EntryId
    held_ms: int
    connection: str
    shape: Shape
    meeting: int
    host: int | None = None
    person: int | None = None
    connected_ms: int | None = None
    """None: never confirmed, and not billed."""
    until_ms: int | None = None
    """None: still connected."""
    freed: EntryId | None = None
    freed_ms: int | None = None
    """None: it still holds its seat."""
    cause: str = ""
    """`released`, `operator`, `unanswered`, `moved`, `lapsed`, `departed`, `lost`; empty: it goes on."""
