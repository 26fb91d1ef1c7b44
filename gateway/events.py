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


Event = Decided | LegReleased | StoreFailed | StoreConnected | StoreLost | StoreAnswered | CustomerChanged
Emit = Callable[[Event], None]
