"""What the operations answer."""

from typing import Any, Literal

import msgspec


GATEWAY_AWAY = "gateway_away"
STORE_UNAVAILABLE = "store_unavailable"
AWAY_MESSAGE = "Joining is not possible right now. Please try again in a moment."

_OUTAGES = frozenset({GATEWAY_AWAY, STORE_UNAVAILABLE, "degraded", "too_late"})
_UNCOUNTED = frozenset({GATEWAY_AWAY, "degraded"})


class LimitUse(msgspec.Struct, frozen=True):
    """Use of one limit, the connection asked about included."""

    limit: str
    used: int | None = None
    committed: int | None = None
    ceiling: int | None = None


class Lease(msgspec.Struct, frozen=True):
    """How long a leg is counted without a further sign of life. `state`: `provisional` until it is confirmed, then `connected`."""

    state: str
    expires_in_s: float


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a connection may join, and why.

    `reason` is the gateway's, or `gateway_away` where none answered and `when_away` decided. `message` may be shown or spoken to who
    joins. `raw` is the whole answer, with what a newer gateway says besides.
    """

    admitted: bool
    reason: str
    customer: str
    connection: str
    message: str | None = None
    overage: bool = False
    mode: str = "enforce"
    licensed_by: str | None = None
    counted_in: tuple[str, ...] = ()
    limits: tuple[LimitUse, ...] = ()
    lease: Lease | None = None
    retry_after_s: float | None = None
    would_deny: str | None = None
    busy_meeting: str | None = None
    meeting_host: str | None = None
    decided_at: str | None = None
    raw: dict[str, Any] = {}

    @property
    def outage(self) -> bool:
        """Whether this was decided without a count: by no limit, whatever it says."""
        return self.reason in _OUTAGES

    @property
    def counted(self) -> bool:
        """Whether the leg holds a seat of which the gateway knew when it answered. A heartbeat brings in the others."""
        return self.admitted and self.reason not in _UNCOUNTED


class Confirmed(msgspec.Struct, frozen=True):
    """What became of a leg that was said to be connected.

    `confirmed`: it was known. `adopted`: it was not, and is counted now, whatever the limits. `released`: it has ended for the gateway;
    with `drop` an operator ended it, and the call is to be ended. `gateway_away`: nobody answered; the heartbeat tells of it again.
    """

    result: Literal["confirmed", "adopted", "released", "gateway_away"]
    customer: str = ""
    connection: str = ""
    lease: Lease | None = None
    drop: bool = False


class Released(msgspec.Struct, frozen=True):
    """Whether a seat was given back; `pending` where no gateway answered and the release is tried again in the background."""

    released: bool
    connected_s: float | None = None
    pending: bool = False


class Left(msgspec.Struct, frozen=True):
    """Whether the gateway heard that the node left, and how many of its legs lapsed by that."""

    heard: bool
    reclaimed: int = 0


class Beat(msgspec.Struct, frozen=True):
    """The answer to one page of a heartbeat."""

    renewed: int
    unknown: dict[str, list[str]] = {}
    drop: dict[str, list[str]] = {}
    next_in_s: float = 10.0


class _Verdict(msgspec.Struct, frozen=True):
    decision: Literal["admit", "deny"]


def read_decision(document: dict[str, Any]) -> Decision:
    """A decision as a gateway sent it. Raises msgspec.ValidationError."""
    admitted = msgspec.convert(document, _Verdict).decision == "admit"
    return msgspec.convert({**document, "admitted": admitted, "raw": document}, Decision)


def read_confirmed(document: dict[str, Any]) -> Confirmed:
    """The answer to a confirm. Raises as `read_decision`."""
    return msgspec.convert(document, Confirmed)


def read_released(document: dict[str, Any]) -> Released:
    """The answer to a release. Raises as `read_decision`."""
    return msgspec.convert(document, Released)


def read_left(document: dict[str, Any]) -> Left:
    """The answer to a node that left. Raises as `read_decision`."""
    return msgspec.convert({**document, "heard": True}, Left)


def read_beat(document: dict[str, Any]) -> Beat:
    """The answer to a page of a heartbeat. Raises as `read_decision`."""
    return msgspec.convert(document, Beat)


def away(customer: str, connection: str, *, admitted: bool) -> Decision:
    """What the client decides itself because no gateway answered."""
    message = None if admitted else AWAY_MESSAGE
    return Decision(admitted=admitted, reason=GATEWAY_AWAY, customer=customer, connection=connection, message=message)


def without_store(customer: str, connection: str, problem: dict[str, Any]) -> Decision:
    """The refusal of a gateway whose store does not answer, where the customer's policy is to refuse then."""
    retry_after_s = problem.get("retry_after_s")
    return Decision(
        admitted=False,
        reason=STORE_UNAVAILABLE,
        customer=customer,
        connection=connection,
        message=AWAY_MESSAGE,
        retry_after_s=retry_after_s if isinstance(retry_after_s, int | float) else None,
        raw=problem,
    )
