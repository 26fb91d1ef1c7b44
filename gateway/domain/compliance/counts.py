"""Findings about people against certified counts: certifications (T3.2), growth (T3.3), accounts (T5.1, T6.1).

They hold for the plans of enterprises: T3, T5, T6 (T5.5) and T9 (T9.1).
"""

import datetime as dt
from collections.abc import Iterator, Sequence

from gateway.domain.catalogue import Customer
from gateway.domain.compliance.finding import Finding, Observed
from gateway.domain.cycles import cycle_of
from gateway.domain.days import day_at
from gateway.domain.enterprise import Certification
from gateway.domain.history import History, held_of
from gateway.domain.plans.active_host import ActiveHostGroup, ActiveHostPlan
from gateway.domain.plans.enterprise_hosts import EnterprisePlan
from gateway.domain.plans.teams_enterprise import TeamsEnterprise


CERTIFIED_AHEAD = dt.timedelta(days=30)
"""T3.2: before an anniversary."""
REPORTED_WITHIN = dt.timedelta(days=30)
"""T3.3: after a count has grown."""


def count_findings(customer: Customer, history: History, today: dt.date, observed: Observed) -> Iterator[Finding]:
    """T3.2, T3.3, T5.1 and T6.1 for every subscription in force today."""
    for held in held_of(customer, EnterprisePlan):
        if not held.active(today.toordinal()):
            continue
        reported_on = history.reported.get(held.id)
        yield from _uncertified(held, today)
        yield from _growth(held, reported_on, observed.hosts_seen.get(held.id, ()), today)
        if isinstance(held, ActiveHostPlan):
            yield from _accounts(held, reported_on, today)


def due_dates(first: dt.date, last: dt.date) -> Iterator[dt.date]:
    """When a term from `first` to `last` wants certifications (T3.2), in order.

    The first day, for the one with the order; then 30 days before every anniversary of it, the day after the last day included. The anniversary
    of 29 February is the 28th where a year has no 29th.
    """
    yield first
    for year in range(first.year + 1, dt.MAXYEAR + 1):
        try:
            anniversary = first.replace(year=year)
        except ValueError:
            anniversary = dt.date(year, 2, 28)
        if anniversary - dt.timedelta(days=1) > last:
            return
        yield anniversary - CERTIFIED_AHEAD


def missing(first: dt.date, last: dt.date, certified: Sequence[dt.date], today: dt.date) -> list[dt.date]:
    """The due dates before today that have no certification (T3.2).

    Each needs its own: the order takes the earliest, every later one the earliest that is left and dated after the due date before it.
    """
    left = sorted([day for day in certified if day <= today], reverse=True)
    found: list[dt.date] = []
    previous = dt.date.min
    for due in due_dates(first, last):
        if due >= today:
            break
        while left and left[-1] <= previous:
            left.pop()
        if left:
            left.pop()
        else:
            found.append(due)
        previous = due
    return found


def last_certification(held: EnterprisePlan, today: dt.date) -> Certification | None:
    """The certification with the latest date up to today; of several on one day the last listed."""
    made = [certification for certification in held.certifications if certification.certified_on <= today]
    return max(reversed(made), key=lambda certification: certification.certified_on, default=None)


def _uncertified(held: EnterprisePlan, today: dt.date) -> Iterator[Finding]:
    first = held.term.first
    dates = [certification.certified_on for certification in held.certifications]
    for due in missing(first, held.term.last, dates, today):
        occasion = "with the order" if due == first else "30 days before the anniversary of the first day"
        detail = f"The number of {_counted(held)} was to be certified {occasion}, by {due}."
        yield Finding("T3.2", str(due + dt.timedelta(days=1)), held.id, detail, due)


def _growth(
    held: EnterprisePlan, reported_on: dt.date | None, seen: Sequence[int], today: dt.date
) -> Iterator[Finding]:
    last = last_certification(held, today)
    if last is None:
        return
    enough = -(-11 * last.count // 10)  # the least number that is 110 % or more
    against = f"{last.count} were certified on {last.certified_on}"
    found: list[tuple[dt.date, str]] = []
    if held.employee_count is not None and held.employee_count >= enough:
        since = reported_on or last.certified_on
        found.append((since, f"{held.employee_count} {_counted(held)} are reported, {against}: report the increase."))
    if len(seen) >= enough:
        cycle = cycle_of(today.toordinal(), held.anchor_day).name
        since = day_at(sorted(seen)[enough - 1]).date
        found.append((since, f"{len(seen)} people were hosts in cycle {cycle}, {against}: report the increase."))
    if found:
        since, detail = min(found, key=lambda one: one[0])
        yield Finding("T3.3", str(since), held.id, detail, since + REPORTED_WITHIN)


def _accounts(held: ActiveHostPlan, reported_on: dt.date | None, today: dt.date) -> Iterator[Finding]:
    """`since` is the day from which the count holds: when an account was taken away is not remembered."""
    last = last_certification(held, today)
    people = last.count if last else held.employee_count
    if people is None:
        return
    rule, members, accounts = "T5.1", "employees", len(held.hosts)
    if isinstance(held, ActiveHostGroup):
        rule, members = "T6.1", f"members of the department {held.department}"
        accounts = sum(host.department == held.department for host in held.hosts)
    if accounts < people:
        since = max((last.certified_on if last else reported_on) or held.term.first, held.term.first)
        detail = f"{accounts} of {people} {members} have a host account; every one needs one."
        yield Finding(rule, str(since), held.id, detail)


def _counted(held: EnterprisePlan) -> str:
    """What the plan counts: T9.1 counts Teams licences, unless those are for everybody in the company."""
    return "Teams licences" if isinstance(held, TeamsEnterprise) and held.teams_licence is None else "employees"
