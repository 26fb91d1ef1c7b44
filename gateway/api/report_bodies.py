"""Response bodies of reports: live connections, overage, events, findings, assists."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from gateway.api.bodies import given
from gateway.domain.assists import Booking
from gateway.domain.billing.day_state import DayState
from gateway.domain.compliance import Finding
from gateway.domain.days import MINUTE_MS, day, instant
from gateway.event_reports import EventHeld
from gateway.kernel.outcomes import Leg
from gateway.ledger.figures import DayRow
from gateway.legs import LegInfo
from gateway.reports import OverageRow


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


class AdjustmentBody(Struct, frozen=True):
    """What a final figure would be with what became known later."""

    peak: int
    overage: int
    cause: str
    at: str


class OverageBody(Struct, frozen=True):
    """A pool on a Pacific day. `peak` counts legs that were connected, `held_peak` seats held, its upper bound.

    Registers know only seats: there `peak` is that bound. `adjustments` are there where facts came after a figure was final, the latest last.
    """

    day: str
    pool: str
    committed: int
    peak: int
    overage: int
    peak_at: str
    held_peak: int
    adopted: int
    final: bool
    state: DayState | UnsetType = UNSET
    adjustments: tuple[AdjustmentBody, ...] | UnsetType = UNSET


class OverageReport(Struct, frozen=True):
    """Rows in order of day and pool. `source`: computed from what happened, or the store's registers where there is no ledger to ask."""

    customer: str
    source: Literal["ledger", "registers"]
    rows: tuple[OverageBody, ...]


class EventBody(Struct, frozen=True):
    """An event: attendees at one time and ever, panel, live time (T11.2 - T11.5).

    `minutes` are begun ones, summed over its openings. The overages are left out where the subscription that licensed it is not held any more.
    """

    event: str
    licensed_by: str
    first_at: str
    live: bool
    peak_attendees: int
    peak_at: str
    joined_total: int
    peak_panel: int
    minutes: int
    max_attendees: int | UnsetType = UNSET
    attendee_overage: int | UnsetType = UNSET
    duration_overage_minutes: int | UnsetType = UNSET


class EventsBody(Struct, frozen=True):
    """Events in order of their first openings."""

    customer: str
    events: tuple[EventBody, ...]


class FindingBody(Struct, frozen=True):
    """Something that does not comply with a rule of the terms. `due`: the Pacific day by which the customer has to act."""

    rule: str
    since: str
    subject: str
    detail: str
    due: str | UnsetType = UNSET


class ComplianceBody(Struct, frozen=True):
    """Findings of today, in the order of rules."""

    customer: str
    findings: tuple[FindingBody, ...]


class AssistBody(Struct, frozen=True):
    """A booked assist."""

    id: str
    kind: Literal["meeting", "event"]
    starts_at: str
    minutes: int
    streams: bool
    booked_at: str
    by: str | UnsetType = UNSET


class AssistsBody(Struct, frozen=True):
    """Booked assists in order of their beginnings."""

    customer: str
    assists: tuple[AssistBody, ...]


class AssistBooked(Struct, frozen=True):
    """An assist that is booked."""

    assist: AssistBody
    booked: bool = True


AssistReason = Literal["feature_not_licensed", "assist_too_short", "assist_too_late"]


class AssistRefused(Struct, frozen=True):
    """An assist that is not booked: the reason for programs, the message for people."""

    reason: AssistReason
    message: str
    booked: bool = False


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
        host=given(info.host),
        person=given(info.person),
        department=given(info.department),
        node=leg.node or UNSET,
        connected_at=instant(leg.connected_ms) if leg.connected_ms is not None else UNSET,
        lease_expires_at=instant(leg.expires_ms) if leg.expires_ms is not None else UNSET,
        licensed_by=given(info.licensed_by),
        would_deny=leg.would_deny or UNSET,
    )


def ledger_overage_body(row: DayRow) -> OverageBody:
    """A row of the overage report as it travels, from the ledger."""
    adjustments = [AdjustmentBody(each.peak, each.overage, each.cause, instant(each.at_ms)) for each in row.adjustments]
    return OverageBody(
        day=day(row.day).date.isoformat(),
        pool=row.pool,
        committed=row.committed,
        peak=row.peak,
        overage=row.overage,
        peak_at=instant(row.peak_at_ms),
        held_peak=row.held_peak,
        adopted=row.adopted,
        final=row.state == "final",
        state=row.state,
        adjustments=tuple(adjustments) or UNSET,
    )


OVERAGE_COLUMNS = (
    "day", "pool", "committed", "peak", "overage", "peak_at", "held_peak", "adopted", "final", "state", "adjusted_peak",
    "adjusted_overage",
)  # fmt: skip


def overage_cells(row: OverageBody) -> list[object]:
    """A row as `OVERAGE_COLUMNS`; None where there is nothing. Of adjustments the latest holds."""
    latest = row.adjustments[-1] if row.adjustments else None
    adjusted = [latest.peak, latest.overage] if latest else [None, None]
    return [
        row.day, row.pool, row.committed, row.peak, row.overage, row.peak_at, row.held_peak, row.adopted, row.final,
        row.state or None, *adjusted,
    ]  # fmt: skip


def overage_body(row: OverageRow) -> OverageBody:
    """A row of the overage report as it travels, from the registers."""
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


def event_body(held: EventHeld) -> EventBody:
    """An event as it travels."""
    return EventBody(
        event=held.event,
        licensed_by=held.licensed_by,
        first_at=instant(held.first_ms),
        live=held.live,
        peak_attendees=held.peak_attendees,
        peak_at=instant(held.peak_at_ms),
        joined_total=held.joined_total,
        peak_panel=held.peak_panel,
        minutes=-(-held.live_ms // MINUTE_MS),
        max_attendees=given(held.max_attendees),
        attendee_overage=given(held.attendee_overage),
        duration_overage_minutes=given(held.duration_overage_minutes),
    )


def finding_body(finding: Finding) -> FindingBody:
    """A finding as it travels."""
    due = finding.due.isoformat() if finding.due else UNSET
    return FindingBody(finding.rule, finding.since, finding.subject, finding.detail, due)


def assist_body(booking: Booking) -> AssistBody:
    """A booking as it travels."""
    return AssistBody(
        id=booking.id,
        kind=booking.kind,
        starts_at=instant(booking.starts_at_ms),
        minutes=booking.minutes,
        streams=booking.streams,
        booked_at=instant(booking.booked_at_ms),
        by=booking.by or UNSET,
    )
