"""What the core tells to whoever listens: telemetry today. The core knows no metric and no log."""

from collections.abc import Callable

import msgspec

from gateway.domain.join import Decision


class Decided(msgspec.Struct, frozen=True):
    """A join was decided. `operation` is `admit` or `preview`."""

    operation: str
    decision: Decision
    seconds: float


class LegReleased(msgspec.Struct, frozen=True):
    """A leg gave back its seat, or none was found (`found` is false)."""

    customer: str
    connection: str
    found: bool
    cause: str
    seconds: float


class StoreFailed(msgspec.Struct, frozen=True):
    """The store gave no answer to an operation. `unknown`: it may have been executed all the same."""

    operation: str
    unknown: bool
    error: str


class StoreConnected(msgspec.Struct, frozen=True):
    """The connection to the store is ready."""

    version: str


class StoreLost(msgspec.Struct, frozen=True):
    """The connection to the store was lost, or could not be made."""

    error: str


class StoreStalled(msgspec.Struct, frozen=True):
    """The breaker: the store has stopped to answer, so that calls are refused at once; or (`stalled` is false) it answers again."""

    stalled: bool


class StoreAnswered(msgspec.Struct, frozen=True):
    """The store answered a script after that time."""

    operation: str
    seconds: float


class CustomerChanged(msgspec.Struct, frozen=True):
    """Entitlements or status of a customer were replaced."""

    customer: str
    change: str
    version: int
    by: str


class LegConfirmed(msgspec.Struct, frozen=True):
    """A leg said that it is connected. `result`: confirmed, adopted or released."""

    customer: str
    result: str


class LegsReclaimed(msgspec.Struct, frozen=True):
    """Seats of legs that lapsed, or of a node that left (`cause`), were taken back."""

    customer: str
    legs: int
    cause: str


class SweepHeld(msgspec.Struct, frozen=True):
    """More than half of a bucket's legs have lapsed; they are not reclaimed before one more lease."""

    bucket: int
    lapsed: int
    legs: int


class EpochBegan(msgspec.Struct, frozen=True):
    """A bucket is kept by another server now, or was emptied. `lost`: something that this gateway was told is missing."""

    bucket: int
    epoch: int
    lost: bool


class Restored(msgspec.Struct, frozen=True):
    """What a bucket had lost was put back from what this gateway remembers."""

    bucket: int
    customers: int
    registers: int


class Recovered(msgspec.Struct, frozen=True):
    """Nodes have brought back the legs that a bucket had lost."""

    bucket: int


class JournalChanged(msgspec.Struct, frozen=True):
    """So many operations wait in the journal for the store."""

    pending: int


class OutboxPressed(msgspec.Struct, frozen=True):
    """The ledger is so far behind in a bucket that something gives way there, or (`now` is `none`) no longer.

    `before` and `now`: `none`, `denials_tallied`, `admits_refused`.
    """

    bucket: int
    before: str
    now: str
    entries: int


class LoadShed(msgspec.Struct, frozen=True):
    """The gateway is behind, or (`behind` is false) no longer: joins are decided without the store meanwhile."""

    behind: bool


Event = (
    Decided
    | LegReleased
    | LegConfirmed
    | LegsReclaimed
    | SweepHeld
    | EpochBegan
    | Restored
    | Recovered
    | JournalChanged
    | LoadShed
    | OutboxPressed
    | StoreFailed
    | StoreConnected
    | StoreLost
    | StoreStalled
    | StoreAnswered
    | CustomerChanged
)
Emit = Callable[[Event], None]
