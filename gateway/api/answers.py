"""Answers to media servers. The OpenAPI document is made from these types."""

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from gateway.domain.days import instant
from gateway.domain.join import Decision, Join, Lease
from gateway.domain.messages import ADVICE
from gateway.domain.reasons import Reason


Mode = Literal["enforce", "shadow"]


class LimitBody(Struct, omit_defaults=True, frozen=True):
    """Use of one limit, this connection included."""

    limit: str
    used: int = -1
    committed: int | None = None
    ceiling: int | None = None


class LeaseBody(Struct, frozen=True):
    """How long the connection is counted without a further sign of life."""

    state: Literal["provisional", "connected"]
    expires_in_s: int


class AdmitDecision(Struct, tag_field="decision", tag="admit", frozen=True, kw_only=True):
    """The connection may join."""

    reason: Reason
    customer: str
    connection: str
    overage: bool
    mode: Mode
    licensed_by: str | UnsetType = UNSET
    counted_in: tuple[str, ...] = ()
    limits: tuple[LimitBody, ...] = ()
    lease: LeaseBody
    would_deny: Reason | UnsetType = UNSET
    meeting_host: str | UnsetType = UNSET
    decided_at: str


class DenyDecision(Struct, tag_field="decision", tag="deny", frozen=True, kw_only=True):
    """The connection may not join. `message` may be shown or spoken to who joins."""

    reason: Reason
    customer: str
    connection: str
    mode: Mode
    limits: tuple[LimitBody, ...] = ()
    busy_meeting: str | UnsetType = UNSET
    meeting_host: str | UnsetType = UNSET
    retry_after_s: int | UnsetType = UNSET
    message: str
    decided_at: str


class ReleaseResult(Struct, frozen=True):
    """Whether a seat was given back; `connected_s` where the connection had been connected."""

    released: bool
    connected_s: float | UnsetType = UNSET


class Confirmation(Struct, frozen=True):
    """What became of a connection that said it is connected. `released`: it has ended; `drop`: because an operator ended it."""

    result: Literal["confirmed", "adopted", "released"]
    customer: str
    connection: str
    lease: LeaseBody | UnsetType = UNSET
    drop: bool | UnsetType = UNSET


class BatchResult(Struct, frozen=True):
    """One result per operation, in order; a problem where an operation is at fault."""

    results: list[Any]


def confirmation_body(join: Join, result: str, lease: Lease | None, *, drop: bool) -> Confirmation:
    """What became of a connected leg, as it travels."""
    body = UNSET if lease is None else LeaseBody("connected", lease.expires_in_s)
    return Confirmation(result, join.customer, join.connection, body, drop or UNSET)  # type: ignore[arg-type] # one of its results


def decision_body(decision: Decision) -> AdmitDecision | DenyDecision:
    """A decision as it travels."""
    limits = tuple([LimitBody(use.limit, use.used, use.committed, use.ceiling) for use in decision.limits])
    mode: Mode = "shadow" if decision.mode == "shadow" else "enforce"
    if decision.admitted:
        assert decision.lease is not None, "every leg is covered by a lease"
        return AdmitDecision(
            reason=decision.reason,
            customer=decision.join.customer,
            connection=decision.join.connection,
            overage=decision.overage,
            mode=mode,
            licensed_by=decision.licensed_by or UNSET,
            counted_in=decision.counted_in,
            limits=limits,
            lease=LeaseBody("provisional" if decision.lease.provisional else "connected", decision.lease.expires_in_s),
            would_deny=decision.would_deny or UNSET,
            meeting_host=decision.meeting_host or UNSET,
            decided_at=instant(decision.decided_at_ms),
        )
    advice = ADVICE[decision.reason]
    return DenyDecision(
        reason=decision.reason,
        customer=decision.join.customer,
        connection=decision.join.connection,
        mode=mode,
        limits=limits,
        busy_meeting=decision.busy_meeting or UNSET,
        meeting_host=decision.meeting_host or UNSET,
        retry_after_s=UNSET if advice.retry_after_s is None else advice.retry_after_s,
        message=advice.message,
        decided_at=instant(decision.decided_at_ms),
    )
