"""Response bodies of the routes that people use: customers, their use, what became of a change. Reports are in `report_bodies`."""

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from gateway.domain.days import day, instant
from gateway.domain.record import Record
from gateway.reports import PoolUse, Usage


StatusName = Literal["active", "suspended", "terminated"]


class PoolBody(Struct, frozen=True):
    """Use of a pool now and, where it is metered, the greatest of today."""

    pool: str
    used: int
    committed: int | UnsetType = UNSET
    ceiling: int | UnsetType = UNSET
    peak: int | UnsetType = UNSET
    peak_at: str | UnsetType = UNSET
    overage: int | UnsetType = UNSET
    overage_at: str | UnsetType = UNSET


class SuspendedHostBody(Struct, frozen=True):
    """A host whose meetings are refused: why, since when, by whom (T20.1)."""

    host: str
    reason: str
    at: str
    by: str | UnsetType = UNSET


class UsageBody(Struct, frozen=True):
    """A customer now. `denied` and `would_deny` count since the customer was first installed; `suspended_hosts` only where there are any."""

    customer: str
    version: int
    status: StatusName
    mode: str
    day: str
    at: str
    live: int
    shadow_live: int
    pools: tuple[PoolBody, ...]
    denied: dict[str, int]
    would_deny: dict[str, int]
    suspended_hosts: tuple[SuspendedHostBody, ...] | UnsetType = UNSET


class CustomerSummary(Struct, frozen=True):
    """A customer in a list."""

    customer: str
    name: str
    version: int
    status: StatusName
    mode: str
    plans: tuple[str, ...]


class CustomersBody(Struct, frozen=True):
    """A page of customers in order of their ids; `next` is what `after` must be for the next page."""

    customers: tuple[CustomerSummary, ...]
    next: str | None


class HostStatusBody(Struct, frozen=True):
    """What became of a host, named by its address as addresses are compared; `dropped` as in `StatusBody`."""

    customer: str
    host: str
    version: int
    status: Literal["active", "suspended"]
    dropped: int


class MeetingEndedBody(Struct, frozen=True):
    """How many live connections of a meeting an operator has ended."""

    customer: str
    service: str
    meeting: str
    ended: int


class CountBody(Struct, frozen=True):
    """A count that was certified or reported, and the subscription in which it stands now."""

    customer: str
    subscription: str
    version: int
    count: int


class StatusBody(Struct, frozen=True):
    """What became of a customer; `dropped` counts the live connections that were ended."""

    customer: str
    version: int
    status: StatusName
    dropped: int


def pool_body(use: PoolUse) -> PoolBody:
    """Use of a pool as it travels."""
    register = use.register
    return PoolBody(
        pool=use.pool,
        used=use.used,
        committed=given(use.committed),
        ceiling=given(use.ceiling),
        peak=register.peak if register else UNSET,
        peak_at=instant(register.peak_at_ms) if register else UNSET,
        overage=register.overage if register else UNSET,
        overage_at=instant(register.overage_at_ms) if register and register.overage else UNSET,
    )


def usage_body(customer: str, usage: Usage) -> UsageBody:
    """Use of a customer as it travels."""
    snapshot, record = usage.snapshot, usage.policy.record
    return UsageBody(
        customer=customer,
        version=snapshot.version,
        status=record.status,
        mode=usage.policy.mode,
        day=day(snapshot.day).date.isoformat(),
        at=instant(snapshot.now_ms),
        live=snapshot.live,
        shadow_live=snapshot.shadow_live,
        pools=tuple([pool_body(use) for use in usage.pools]),
        denied={reason.value: count for reason, count in snapshot.denied.items()},
        would_deny={reason.value: count for reason, count in snapshot.would_deny.items()},
        suspended_hosts=_suspended_hosts(record) or UNSET,
    )


def summary_body(customer: str, record: Record) -> CustomerSummary:
    """A customer in a list."""
    assert record.customer is not None, "removed customers are not listed"
    return CustomerSummary(
        customer=customer,
        name=record.customer.name,
        version=record.version,
        status=record.status,
        mode=record.customer.mode,
        plans=tuple([subscription.plan for subscription in record.customer.subscriptions]),
    )


def _suspended_hosts(record: Record) -> tuple[SuspendedHostBody, ...]:
    return tuple(
        [
            SuspendedHostBody(host, found.reason, instant(found.at_ms), found.by or UNSET)
            for host, found in sorted(record.suspended_hosts.items())
        ]
    )


def given(value: Any) -> Any:
    """The value, for a field that is left out where there is none."""
    return UNSET if value is None else value
