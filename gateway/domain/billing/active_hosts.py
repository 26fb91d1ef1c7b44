"""Active hosts by cycle, and the quantities that are billed from them (T5.2 to T5.4; T6.1 has the same figures).

How the terms are read:

- A use counts in every cycle that it overlaps: T5.2 asks for a connected leg in the cycle, or one that is live at its first instant. Uses are
  half-open, so a leg that ends at the very instant does not count for the new cycle; one that begins and ends in one millisecond counts.
- Cycles are cut to the term. One that is cut at either end is partial: it counts for T5.4, which says so, and not for the mean of T5.3, which
  asks for complete ones.
- The mean of a period's quantity is taken in the period before it, when that one's last seven days begin: of the last three cycles that have
  ended by then. One whose last day is the day before has ended. Which periods the cycles lie in makes no difference.
- "The quantity billed before" is that of the period before in the same term. So quantities never fall, and a new subscription begins anew.
- The base percentage is that of the version in force when the period begins; the employee count is the last that was certified up to the
  period's first day. Where there was none yet, the earliest that came later stands for it, as it does where T3.2 asks what is missing.
- What cannot be told is None and `missing` names what it lacks. Nothing is guessed.

Arithmetic is exact; fractions round up, once.
"""

import math
from bisect import bisect_right
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Literal

from gateway.domain.compliance.counts import last_certification
from gateway.domain.cycles import cycle_of
from gateway.domain.days import day, day_at
from gateway.domain.plans.active_host import ActiveHostPlan


MEAN_CYCLES = 3
LAST_DAYS = 7
"""T5.3."""

Part = Literal["base", "before", "mean"]


@dataclass(frozen=True, slots=True)
class HostUse:
    """The time in which a connected leg was in a meeting of this host, licensed by the subscription; `until_ms` None: still live."""

    host: Hashable
    from_ms: int
    until_ms: int | None


@dataclass(frozen=True, slots=True)
class HeldVersion:
    """The subscription as it stands in one version of the entitlements, in force from an instant on."""

    from_ms: int
    held: ActiveHostPlan


@dataclass(frozen=True, slots=True)
class MonthlyCount:
    """The Monthly Active Host Count of a cycle: ordinals of its first and last day inside the term."""

    name: str
    first: int
    last: int
    hosts: int
    partial: bool
    """Whether the term's first or last day cuts it."""
    running: bool
    """Whether it has not ended yet."""


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean count of some cycles, and their names in order."""

    value: Fraction
    cycles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PeriodQuantity:
    """What is billed for a subscription period (T5.3), with the parts that it is the greatest of."""

    first: int
    last: int
    begun: bool
    """False: it can be told already, and a certification made until the first day may still change it."""
    employees: int | None
    base_percentage: int | None
    base: int | None
    """(a), rounded up."""
    before: int | None
    """(b); None for the first period."""
    mean: Mean | None
    """(c), exact; None for the first period, and where no cycle was complete."""
    billed: int | None
    won: Part | None
    """The part that is billed; of equal ones the first."""
    missing: tuple[str, ...]
    """Fields of the catalogue without which the quantity cannot be told."""


@dataclass(frozen=True, slots=True)
class Termination:
    """The termination quantity of a term without a second period (T5.4)."""

    ended: bool
    """Whether the term is over; before that it is what would be due if nothing more happened."""
    peak: int
    """The greatest monthly count, of partial cycles too."""
    purchased: int | None
    """The order's `quantity`; left out, what the first period was billed."""
    quantity: int | None


@dataclass(frozen=True, slots=True)
class ActiveHostFigures:
    """All figures of one subscription."""

    cycles: tuple[MonthlyCount, ...]
    """From the term's first to the one that runs."""
    average: Mean | None
    """What the mean of T5.3 would be if it were taken now."""
    periods: tuple[PeriodQuantity, ...]
    """Those whose quantity can be told: begun, or the one before is in its last seven days."""
    termination: Termination | None
    """None where the term has a second period."""


def active_host_figures(versions: Sequence[HeldVersion], uses: Iterable[HostUse], now_ms: int) -> ActiveHostFigures:
    """T5.2, T5.3, T5.4 as of an instant.

    `versions` are of one subscription, in order, at least one. Term, periods, anchor day, certifications and `quantity` are those of the last.
    """
    assert versions, "a subscription has a version"
    held, today = versions[-1].held, day_at(now_ms).ordinal
    cycles = monthly_counts(held, uses, now_ms)
    periods = _periods(versions, cycles, today)
    return ActiveHostFigures(cycles, _mean(cycles, today), periods, _termination(held, cycles, periods, today))


def monthly_counts(held: ActiveHostPlan, uses: Iterable[HostUse], now_ms: int) -> tuple[MonthlyCount, ...]:
    """The hosts that were active in each cycle of the term that has begun (T5.2)."""
    today, begin, end = day_at(now_ms).ordinal, held.term.first.toordinal(), held.term.last.toordinal()
    spans: list[tuple[str, int, int, bool]] = []
    first = begin
    while first <= min(today, end):
        cycle = cycle_of(first, held.anchor_day)
        last = min(cycle.last, end)
        spans.append((cycle.name, first, last, (first, last) != (cycle.first, cycle.last)))
        first = last + 1
    hosts = _active([(day(first).start_ms, day(last).end_ms) for _, first, last, _ in spans], uses, now_ms)
    return tuple(
        [
            MonthlyCount(name, first, last, len(active), partial, today <= last)
            for (name, first, last, partial), active in zip(spans, hosts, strict=True)
        ]
    )


def _active(spans: Sequence[tuple[int, int]], uses: Iterable[HostUse], now_ms: int) -> list[set[Hashable]]:
    """The hosts of each span; spans are half-open, and follow each other without a gap."""
    starts = [start for start, _ in spans]
    found: list[set[Hashable]] = [set() for _ in spans]
    for use in uses:
        if use.from_ms > now_ms:
            continue
        position = max(bisect_right(starts, use.from_ms) - 1, 0)
        while position < len(spans) and _touches(use, *spans[position]):
            found[position].add(use.host)
            position += 1
    return found


def _touches(use: HostUse, start_ms: int, end_ms: int) -> bool:
    live_at_start = use.until_ms is None or use.until_ms > start_ms
    return use.from_ms < end_ms and (use.from_ms >= start_ms or live_at_start)


def _mean(cycles: Sequence[MonthlyCount], by: int) -> Mean | None:
    """Of the last three cycles that are complete when the day `by` begins."""
    complete = [cycle for cycle in cycles if cycle.last < by and not cycle.partial][-MEAN_CYCLES:]
    if not complete:
        return None
    value = Fraction(sum([cycle.hosts for cycle in complete]), len(complete))
    return Mean(value, tuple([cycle.name for cycle in complete]))


def _periods(versions: Sequence[HeldVersion], cycles: Sequence[MonthlyCount], today: int) -> tuple[PeriodQuantity, ...]:
    held = versions[-1].held
    found: list[PeriodQuantity] = []
    for period in held.subscription_periods or (held.term,):
        before = found[-1] if found else None
        told_on = before.last - LAST_DAYS + 1 if before else period.first.toordinal()
        if today < told_on:
            break
        mean = _mean(cycles, told_on) if before else None
        employees = _certified(held, period.first, date.fromordinal(today))
        percentage = _in_force(versions, day(period.first.toordinal()).start_ms).base_percentage
        found.append(
            _quantity(period.first.toordinal(), period.last.toordinal(), today, employees, percentage, before, mean)
        )
    return tuple(found)


def _quantity(
    first: int,
    last: int,
    today: int,
    employees: int | None,
    percentage: int | None,
    before: PeriodQuantity | None,
    mean: Mean | None,
) -> PeriodQuantity:
    base = math.ceil(Fraction(percentage * employees, 100)) if percentage and employees else None
    billed_before = before.billed if before else None
    parts: list[tuple[Part, int | None]] = [("base", base)]
    if before:
        parts.append(("before", billed_before))
    if mean:
        parts.append(("mean", math.ceil(mean.value)))
    known = [(part, quantity) for part, quantity in parts if quantity is not None]
    won, billed = max(known, key=lambda part: part[1]) if len(known) == len(parts) else (None, None)
    lacking = {"base_percentage": percentage is None, "certifications": employees is None}
    missing = {name for name, lacks in lacking.items() if lacks}.union(before.missing if before else ())
    return PeriodQuantity(
        first=first,
        last=last,
        begun=first <= today,
        employees=employees,
        base_percentage=percentage,
        base=base,
        before=billed_before,
        mean=mean,
        billed=billed,
        won=won,
        missing=tuple(sorted(missing)),
    )


def _certified(held: ActiveHostPlan, on: date, today: date) -> int | None:
    """The count that holds for a period that begins `on` a day, as far as is known today."""
    last = last_certification(held, min(on, today))
    if last is None:
        later = [made for made in held.certifications if made.certified_on <= today]
        last = min(later, key=lambda made: made.certified_on, default=None)
    return last.count if last else None


def _in_force(versions: Sequence[HeldVersion], at_ms: int) -> ActiveHostPlan:
    """The version in force at an instant; before all of them the first, because a term may begin before it is entered."""
    return next((version.held for version in reversed(versions) if version.from_ms <= at_ms), versions[0].held)


def _termination(
    held: ActiveHostPlan, cycles: Sequence[MonthlyCount], periods: Sequence[PeriodQuantity], today: int
) -> Termination | None:
    if len(held.subscription_periods) > 1:
        return None
    peak = max([cycle.hosts for cycle in cycles], default=0)
    purchased = held.quantity if held.quantity is not None else (periods[0].billed if periods else None)
    return Termination(
        ended=today > held.term.last.toordinal(),
        peak=peak,
        purchased=purchased,
        quantity=None if purchased is None else max(0, peak - purchased),
    )
