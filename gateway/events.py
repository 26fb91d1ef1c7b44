"""What the core tells to whoever listens: telemetry today. The core knows no metric and no log."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.domain.join import Decision


@dataclass(frozen=True, slots=True)
class Decided:
    """A join was decided. `operation` is `admit` or `preview`."""

    operation: str
    decision: Decision
    seconds: float


@dataclass(frozen=True, slots=True)
class LegReleased:
    """A leg gave back its seat, or none was found (`found` is false)."""

    customer: str
    connection: str
    found: bool
    cause: str
    seconds: float


@dataclass(frozen=True, slots=True)
class StoreFailed:
    """The store gave no answer to an operation. `unknown`: it may have been executed all the same."""

    operation: str
    unknown: bool
    error: str


@dataclass(frozen=True, slots=True)
class StoreConnected:
    """The connection to the store is ready."""

    version: str


@dataclass(frozen=True, slots=True)
class StoreLost:
    """The connection to the store was lost, or could not be made."""

    error: str


@dataclass(frozen=True, slots=True)
class StoreAnswered:
    """The store answered a script after that time."""

    operation: str
    seconds: float


@dataclass(frozen=True, slots=True)
class CustomerChanged:
    """Entitlements or status of a customer were replaced."""

    customer: str
    change: str
    version: int
    by: str


Event = Decided | LegReleased | StoreFailed | StoreConnected | StoreLost | StoreAnswered | CustomerChanged
Emit = Callable[[Event], None]
