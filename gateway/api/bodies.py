"""Response bodies of the routes that people use."""

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from gateway.domain.days import day, instant
from gateway.domain.record import Record
from gateway.kernel.outcomes import Leg
from gateway.legs import LegInfo
from gateway.reports import OverageRow, PoolUse, Usage


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


class UsageBody(Struct, frozen=True):
    """A customer now. `denied` and `would_deny` count since the customer was first installed."""

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


class ConnectionBody(Struct, frozen=True):
    """A live connection."""

    connection: str
    service: str
    meeting: str
    endpoint: str
    role: str
    state: Literal["provisional", "connected"]
    admitted_at: str
    host: str | UnsetType = UNSET
    person: str | UnsetType = UNSET
    department: str | UnsetType = UNSET
    node: str | UnsetType = UNSET
    connected_at: str | UnsetType = UNSET
    lease_expires_at: str | UnsetType = UNSET
    licensed_by: str | UnsetType = UNSET
    would_deny: str | UnsetType = UNSET


class ConnectionsBody(Struct, frozen=True):
    """A page of live connections. A connection that lives throughout the listing is seen once or more; `next` leads to the next page."""

    connections: tuple[ConnectionBody, ...]
    next: str | None


class OverageBody(Struct, frozen=True):
    """A pool on a Pacific day. `held_peak` counts seats held, `peak` is its upper bound of what was connected."""

    day: str
    pool: str
    committed: int
    peak: int
    overage: int
    peak_at: str
    held_peak: int
    adopted: int
    final: bool


class OverageReport(Struct, frozen=True):
    """Rows in order of day and pool."""

    customer: str
    rows: tuple[OverageBody, ...]


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
        committed=_given(use.committed),
        ceiling=_given(use.ceiling),
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
    )


def connection_body(leg: Leg, info: LegInfo) -> ConnectionBody:
    """A live connection as it travels."""
    return ConnectionBody(
        connection=leg.connection,
        service=info.service,
        meeting=info.meeting,
        endpoint=info.endpoint,
        role=info.role,
        state="provisional" if leg.connected_ms is None else "connected",
        admitted_at=instant(leg.admitted_ms),
        host=_given(info.host),
        person=_given(info.person),
        department=_given(info.department),
        node=leg.node or UNSET,
        connected_at=instant(leg.connected_ms) if leg.connected_ms is not None else UNSET,
        lease_expires_at=instant(leg.expires_ms) if leg.expires_ms is not None else UNSET,
        licensed_by=_given(info.licensed_by),
        would_deny=leg.would_deny or UNSET,
    )


def overage_body(row: OverageRow) -> OverageBody:
    """A row of the overage report as it travels."""
    register = row.register
    return OverageBody(
        day=day(row.day).date.isoformat(),
        pool=row.pool,
        committed=register.committed,
        peak=register.peak,
        overage=register.overage,
        peak_at=instant(register.peak_at_ms),
        held_peak=register.peak,
        adopted=0,
        final=row.final,
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


def _given(value: Any) -> Any:
    return UNSET if value is None else value
