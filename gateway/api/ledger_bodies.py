"""Response bodies of reports that only the ledger can make: active hosts, calling, rate cards.

Amounts of money are strings with all their digits. Means are strings with two decimals, rounded up as the terms round (T5.3).
"""

import math
from fractions import Fraction
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from gateway.api.bodies import given
from gateway.api.report_bodies import EventBody
from gateway.domain.billing.active_hosts import Mean, MonthlyCount, PeriodQuantity
from gateway.domain.billing.calling import CallingMonth, CallingRow
from gateway.domain.billing.events import EventFigure
from gateway.domain.days import MINUTE_MS, day, instant
from gateway.ledger.event_replay import EventsReplayed
from gateway.ledger.host_reports import HostReport


class CycleBody(Struct, frozen=True):
    """The hosts that were active in a cycle (T5.2). `partial`: the term cuts it; `running`: it is not over."""

    cycle: str
    first: str
    last: str
    active_hosts: int
    partial: bool
    running: bool


class MeanBody(Struct, frozen=True):
    """The mean of complete cycles, at most three."""

    mean: str
    cycles: tuple[str, ...]


class PeriodBody(Struct, frozen=True):
    """What is billed for a subscription period (T5.3): the greatest of its parts; `by` says which. `missing`: what it lacks."""

    first: str
    last: str
    billed: int | None
    by: Literal["base", "before", "mean"] | None
    base: int | None
    before: int | None
    mean: MeanBody | None
    employees: int | None
    base_percentage: int | None
    begun: bool
    missing: tuple[str, ...]


class TerminationBody(Struct, frozen=True):
    """T5.4; while the term runs, what would be due if nothing more happened. `quantity` is null where it is not known what was purchased."""

    ended: bool
    peak: int
    purchased: int | None
    quantity: int | None


class SubscriptionHosts(Struct, frozen=True):
    """One subscription; figures are as of `as_of`, the end of the cycle or now. `cycles` are those of its term up to the one asked for."""

    subscription: str
    plan: str
    as_of: str
    active_hosts: int
    cycles: tuple[CycleBody, ...]
    average: MeanBody | None
    periods: tuple[PeriodBody, ...]
    termination: TerminationBody | None


class ActiveHostsReport(Struct, frozen=True):
    """Active hosts of a cycle, by subscription."""

    customer: str
    cycle: str
    subscriptions: tuple[SubscriptionHosts, ...]


class CallingRowBody(Struct, frozen=True):
    """Legs of one country, kind and number class. `minutes` are billed ones; `charge` is left out where no leg is rated."""

    country: str | None
    calling: str
    number_class: str
    legs: int
    minutes: str
    charge: str | UnsetType = UNSET
    unrated_legs: int | UnsetType = UNSET
    unrated: tuple[str, ...] | UnsetType = UNSET


class CallingMonthBody(Struct, frozen=True):
    """The calling of a cycle under a subscription; null: on days without one. Amounts are left out where no rate card tells the currency."""

    subscription: str | None
    running: bool
    rows: tuple[CallingRowBody, ...]
    discount_percent: int
    unrated_legs: int
    currency: str | UnsetType = UNSET
    gross: str | UnsetType = UNSET
    discounted: str | UnsetType = UNSET
    monthly_fee: str | UnsetType = UNSET
    deduction: str | UnsetType = UNSET
    due: str | UnsetType = UNSET


class OrderBody(Struct, frozen=True):
    """What was used of an order of events."""

    order: str
    events: int
    attendee_overage: int
    duration_overage_minutes: int


class EventsReport(Struct, frozen=True):
    """Events by replay, in order of their first openings, and their orders. `licensed_by` is empty where no order licensed it."""

    customer: str
    events: tuple[EventBody, ...]
    orders: tuple[OrderBody, ...]


class CallingReport(Struct, frozen=True):
    """Calling of a cycle (T15.4, T16.2)."""

    customer: str
    cycle: str
    subscriptions: tuple[CallingMonthBody, ...]


HOST_COLUMNS = ("subscription", *CycleBody.__struct_fields__)
CALLING_COLUMNS = (
    "cycle", "subscription", "country", "calling", "number_class", "legs", "minutes", "currency", "charge", "unrated_legs",
)  # fmt: skip


def hosts_body(customer: str, cycle: str, reports: list[HostReport]) -> ActiveHostsReport:
    """Active hosts as they travel."""
    return ActiveHostsReport(customer, cycle, tuple([_subscription(report) for report in reports]))


def calling_body(customer: str, cycle: str, months: list[CallingMonth]) -> CallingReport:
    """Calling as it travels."""
    return CallingReport(customer, cycle, tuple([_month(month) for month in months]))


def events_body(customer: str, found: EventsReplayed) -> EventsReport:
    """Events as they travel."""
    orders = [
        OrderBody(each.order, each.events, each.attendee_overage, each.duration_overage_minutes)
        for each in found.orders
    ]
    return EventsReport(customer, tuple([_event(figure) for figure in found.events]), tuple(orders))


def host_rows(report: ActiveHostsReport) -> list[list[Any]]:
    """A row per subscription and cycle, as `HOST_COLUMNS`."""
    return [
        [each.subscription, *[getattr(count, name) for name in CycleBody.__struct_fields__]]
        for each in report.subscriptions
        for count in each.cycles
    ]


def calling_rows(report: CallingReport) -> list[list[Any]]:
    """A row per subscription, country, kind and class, as `CALLING_COLUMNS`; None where there is nothing."""
    return [
        [
            report.cycle, month.subscription, row.country, row.calling, row.number_class, row.legs, row.minutes,
            month.currency or None, row.charge or None, row.unrated_legs or 0,
        ]
        for month in report.subscriptions
        for row in month.rows
    ]  # fmt: skip


def _subscription(report: HostReport) -> SubscriptionHosts:
    figures = report.figures
    ended = figures.termination
    return SubscriptionHosts(
        subscription=report.subscription,
        plan=report.plan,
        as_of=instant(report.as_of_ms),
        active_hosts=report.cycle.hosts,
        cycles=tuple([_count(count) for count in figures.cycles if count.first <= report.cycle.first]),
        average=_mean(figures.average),
        periods=tuple([_period(period) for period in figures.periods]),
        termination=TerminationBody(ended.ended, ended.peak, ended.purchased, ended.quantity) if ended else None,
    )


def _count(count: MonthlyCount) -> CycleBody:
    return CycleBody(count.name, _date(count.first), _date(count.last), count.hosts, count.partial, count.running)


def _mean(mean: Mean | None) -> MeanBody | None:
    return MeanBody(_hundredths(mean.value), mean.cycles) if mean else None


def _period(period: PeriodQuantity) -> PeriodBody:
    return PeriodBody(
        first=_date(period.first),
        last=_date(period.last),
        billed=period.billed,
        by=period.won,
        base=period.base,
        before=period.before,
        mean=_mean(period.mean),
        employees=period.employees,
        base_percentage=period.base_percentage,
        begun=period.begun,
        missing=period.missing,
    )


def _event(figure: EventFigure) -> EventBody:
    return EventBody(
        event=figure.event,
        licensed_by=figure.licensed_by or "",
        first_at=instant(figure.first_ms),
        live=figure.live,
        peak_attendees=figure.peak_attendees,
        peak_at=instant(figure.peak_at_ms),
        joined_total=figure.joined_total,
        peak_panel=figure.peak_panel,
        minutes=-(-figure.live_ms // MINUTE_MS),
        max_attendees=given(figure.max_attendees),
        attendee_overage=given(figure.attendee_overage),
        duration_overage_minutes=given(figure.duration_overage_minutes),
    )


def _month(month: CallingMonth) -> CallingMonthBody:
    amounts = {name: getattr(month, name) for name in ("gross", "discounted", "monthly_fee", "deduction", "due")}
    return CallingMonthBody(
        subscription=month.subscription,
        running=month.running,
        rows=tuple([_row(row) for row in month.rows]),
        discount_percent=month.discount_percent,
        unrated_legs=month.unrated_legs,
        currency=given(month.currency),
        **{name: UNSET if amount is None else format(amount, "f") for name, amount in amounts.items()},
    )


def _row(row: CallingRow) -> CallingRowBody:
    return CallingRowBody(
        country=row.country,
        calling=row.calling,
        number_class=row.number_class,
        legs=row.legs,
        minutes=_hundredths(Fraction(1000 * row.billed_s, MINUTE_MS)),
        charge=UNSET if row.charge is None else format(row.charge, "f"),
        unrated_legs=row.unrated_legs or UNSET,
        unrated=row.unrated or UNSET,
    )


def _hundredths(value: Fraction) -> str:
    whole, rest = divmod(math.ceil(value * 100), 100)
    return f"{whole}.{rest:02d}"


def _date(ordinal: int) -> str:
    return day(ordinal).date.isoformat()
