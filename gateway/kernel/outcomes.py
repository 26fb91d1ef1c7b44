"""What the kernel answers, as values. Times are the store's, in Unix milliseconds."""

from collections.abc import Mapping, Sequence

import msgspec

from gateway.domain.claims import Alternative, Check
from gateway.domain.reasons import Reason


class Admitted(msgspec.Struct, frozen=True):
    """All claims of an alternative were taken. `counts` holds, per group of the join, its use with this leg."""

    now_ms: int
    alternative: Alternative
    overage: bool
    counts: Mapping[str, int]


class Shadowed(msgspec.Struct, frozen=True):
    """A check failed, and shadow mode let the leg in all the same; nothing was taken."""

    now_ms: int
    check: Check
    use: int


class Denied(msgspec.Struct, frozen=True):
    """A check failed; nothing was taken. `use` is the count that stood against it; `child` who holds the group."""

    now_ms: int
    check: Check
    use: int
    child: str


class Replayed(msgspec.Struct, frozen=True):
    """The connection is known with the same fingerprint: its first decision, and the figures of now."""

    now_ms: int
    admitted_ms: int
    connected_ms: int | None
    left_ms: int
    """Of its lease."""
    overage: bool
    would_deny: Reason | None
    info: bytes
    counts: Mapping[str, int]


class Conflict(msgspec.Struct, frozen=True):
    """The connection is known with another fingerprint."""

    now_ms: int


class AlreadyReleased(msgspec.Struct, frozen=True):
    """A tombstone stands under the connection's id."""

    now_ms: int


class Late(msgspec.Struct, frozen=True):
    """The deadline had passed when the store came to it; nothing was done."""

    now_ms: int


class Stale(msgspec.Struct, frozen=True):
    """The claims were compiled from another version, or for another day, than hold now."""

    now_ms: int
    version: int
    day: int


class DayOver(msgspec.Struct, frozen=True):
    """The open day of the customer's registers is over; they must be rolled first."""

    now_ms: int
    version: int
    day: int


class Bound(msgspec.Struct, frozen=True):
    """The meeting is live with other facts than the claims were compiled for; None: it is not live any more."""

    now_ms: int
    facts: str | None


class Unknown(msgspec.Struct, frozen=True):
    """There is no such leg to move."""

    now_ms: int


class Moved(msgspec.Struct, frozen=True):
    """The leg is no longer where it was when it was looked at; it must be looked at again."""

    now_ms: int


class Recovering(msgspec.Struct, frozen=True):
    """The store has lost something that nodes are bringing back; no limit can be judged."""

    now_ms: int


class Full(msgspec.Struct, frozen=True):
    """The outbox has no room for more that the ledger has not read; nothing new is decided."""

    now_ms: int


class Lapsed(msgspec.Struct, frozen=True):
    """A limit is full, and lapsed legs of the customer may stand in it."""

    now_ms: int


class Confirmed(msgspec.Struct, frozen=True):
    """The leg is known, and connected."""

    now_ms: int
    admitted_ms: int
    connected_ms: int
    lease_ms: int


class Adopted(msgspec.Struct, frozen=True):
    """The leg was not known, and is counted now."""

    now_ms: int
    lease_ms: int


class Dead(msgspec.Struct, frozen=True):
    """The leg was released, or ended by an operator (cause `operator`)."""

    now_ms: int
    cause: str


class Nobody(msgspec.Struct, frozen=True):
    """The customer is not known."""

    now_ms: int


class Released(msgspec.Struct, frozen=True):
    """The leg gave back what it took. `connected_ms` is None where it was never connected."""

    now_ms: int
    admitted_ms: int
    connected_ms: int | None


class NotReleased(msgspec.Struct, frozen=True):
    """No such leg (which leaves a tombstone), or one that another node owns."""

    now_ms: int
    foreign: bool


class Installed(msgspec.Struct, frozen=True):
    """The entitlements were replaced."""

    now_ms: int
    version: int


class VersionConflict(msgspec.Struct, frozen=True):
    """The entitlements are not of the version that was to be replaced."""

    now_ms: int
    version: int


class Entitlements(msgspec.Struct, frozen=True):
    """What is installed; version 0 where nothing ever was. `day` is the one that the registers stand at."""

    now_ms: int
    version: int
    day: int
    document: bytes


class Register(msgspec.Struct, frozen=True):
    """Greatest use of a metered group in a day, and the greatest above the commitment of its moment (T4.3)."""

    committed: int
    peak: int
    peak_at_ms: int
    overage: int
    overage_at_ms: int

    @staticmethod
    def parse(packed: bytes) -> "Register | None":
        """From its stored form; None where there is none."""
        return Register(*[int(part) for part in packed.split()]) if packed else None


class Snapshot(msgspec.Struct, frozen=True):
    """Use of a customer at one moment. `groups` holds count and register; tallies count denials since the customer was installed."""

    now_ms: int
    version: int
    day: int
    live: int
    shadow_live: int
    joined: int
    """Legs that joined on the open day."""
    audio: int
    """How many of them were audio-only (T1.2)."""
    groups: Mapping[str, tuple[int, Register | None]]
    denied: Mapping[Reason, int]
    would_deny: Mapping[Reason, int]


class Leg(msgspec.Struct, frozen=True):
    """A live leg as it is stored. `groups` are the first groups of its chains; `info` is the gateway's own description."""

    connection: str
    admitted_ms: int
    connected_ms: int | None
    lease_ms: int
    node: str
    groups: tuple[str, ...]
    overage: bool
    would_deny: str
    info: bytes
    fingerprint: str = ""
    expires_ms: int | None = None
    adopted: bool = False
    """Counted without a check, because it was there."""


class Mark(msgspec.Struct, frozen=True):
    """A member of a set that is remembered; `connected_ms` is None while it is pending."""

    member: str
    made_ms: int
    connected_ms: int | None


class Age(msgspec.Struct, frozen=True):
    """How long a group has been live, over all its openings. `since_ms` is None while it is not live; `joined` counts all its legs ever."""

    group: str
    first_ms: int
    since_ms: int | None
    summed_ms: int
    peak: int
    peak_at_ms: int
    joined: int
    licensed_by: str

    def live_ms(self, now_ms: int) -> int:
        """Live time up to now."""
        return self.summed_ms + (max(0, now_ms - self.since_ms) if self.since_ms is not None else 0)


class Spell(msgspec.Struct, frozen=True):
    """A time in which a group was live without the one that should attend it; `until_ms` is None while it lasts."""

    group: str
    since_ms: int
    until_ms: int | None


class Past(msgspec.Struct, frozen=True):
    """What is remembered after legs have gone. `marks` by set."""

    marks: Mapping[str, Sequence[Mark]]
    ages: Sequence[Age]
    spells: Sequence[Spell]


DecisionOutcome = (
    Admitted
    | Shadowed
    | Denied
    | Replayed
    | Conflict
    | AlreadyReleased
    | Late
    | Stale
    | DayOver
    | Bound
    | Unknown
    | Moved
    | Recovering
    | Full
    | Lapsed
)

ConfirmOutcome = Confirmed | Adopted | Dead | Nobody | Conflict | Stale | DayOver | Bound
