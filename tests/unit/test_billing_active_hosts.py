"""Active hosts by cycle, billed and termination quantities: T5.2 to T5.4."""

import itertools
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.billing.active_hosts import (
    ActiveHostFigures,
    HeldVersion,
    HostUse,
    Mean,
    MonthlyCount,
    active_host_figures,
    monthly_counts,
)
from gateway.domain.cycles import cycle_of
from gateway.domain.days import HOUR_MS, MINUTE_MS, PACIFIC, day, day_at
from gateway.domain.plans.active_host import ActiveHostEnterprise, ActiveHostGroup, ActiveHostPlan


YEAR = ("2026-01-01", "2026-12-31")
HALVES = [("2026-01-01", "2026-06-30"), ("2026-07-01", "2026-12-31")]


def at(text: str) -> int:
    """An instant in Pacific time, such as `2026-11-01T00:00`, in Unix milliseconds."""
    return round(datetime.fromisoformat(text).replace(tzinfo=PACIFIC).timestamp() * 1000)


def held(
    term: tuple[str, str] = YEAR,
    periods: Sequence[tuple[str, str]] = (),
    employees: Sequence[tuple[str, int]] = (("2026-01-01", 400),),
    **fields: Any,
) -> ActiveHostPlan:
    """An Active Host plan: 20 % of 400 employees unless stated."""
    given = {"base_percentage": 20, **fields}
    return ActiveHostEnterprise.model_validate(
        {
            "plan": "meetings.active_host_enterprise",
            "term": {"from": term[0], "to": term[1]},
            "subscription_periods": [{"from": first, "to": last} for first, last in periods],
            "certifications": [{"certified_on": on, "count": count} for on, count in employees],
            **given,
        }
    )


def hosting(day_text: str, hosts: int) -> list[HostUse]:
    """That many hosts with a minute of meeting each, on a day at noon."""
    noon = at(f"{day_text}T12:00")
    return [HostUse(f"host{number}", noon, noon + MINUTE_MS) for number in range(hosts)]


def monthly(counts: Iterable[int], year: int = 2026) -> list[HostUse]:
    """Counts of active hosts for the months from January on, each met on the 10th."""
    return [use for month, hosts in enumerate(counts, 1) for use in hosting(f"{year}-{month:02d}-10", hosts)]


def figures(plan: ActiveHostPlan, uses: Iterable[HostUse], now: str) -> ActiveHostFigures:
    """All figures of one version, as of an instant."""
    return active_host_figures([HeldVersion(0, plan)], uses, at(now))


def counted(plan: ActiveHostPlan, uses: Iterable[HostUse], now: str) -> dict[str, int]:
    """Hosts by cycle."""
    return {cycle.name: cycle.hosts for cycle in monthly_counts(plan, uses, at(now))}


def billed(found: ActiveHostFigures) -> list[tuple[int | None, str | None]]:
    """Billed quantity and the part that won, by period."""
    return [(period.billed, period.won) for period in found.periods]


def test_T5_2_a_host_is_active_once_in_a_cycle_and_once_in_each() -> None:
    """Three meetings of alice in January and one in February are one active host in each."""
    uses = [*hosting("2026-01-05", 1), *hosting("2026-01-06", 1), *hosting("2026-01-07", 2), *hosting("2026-02-01", 1)]

    assert {"2026-01": 2, "2026-02": 1} == counted(held(), uses, "2026-02-10T00:00")


@pytest.mark.parametrize(
    ("from_ms", "until_ms", "january", "february"),
    [
        (-1, 0, 1, 0),
        (-1, 1, 1, 1),
        (-1, None, 1, 1),
        (0, 1, 0, 1),
        (0, 0, 0, 1),
        (-1, -1, 1, 0),
    ],
)
def test_T5_2_a_meeting_live_at_the_first_instant_counts_for_the_new_cycle(
    from_ms: int, until_ms: int | None, january: int, february: int
) -> None:
    """To the millisecond: who left at the very instant is not live any more, who was there a millisecond longer is."""
    start = at("2026-02-01T00:00")
    use = HostUse("alice@acme.example", start + from_ms, None if until_ms is None else start + until_ms)

    assert {"2026-01": january, "2026-02": february} == counted(held(), [use], "2026-02-01T00:00:01")


def test_T5_2_a_meeting_over_months_counts_in_every_one_that_has_begun() -> None:
    """A leg that is live since 31 January counts in March from its first millisecond on, and nowhere before or ahead."""
    use = HostUse("alice", at("2026-01-31T23:00"), None)

    assert {"2026-01": 1, "2026-02": 1} == counted(held(), [use], "2026-02-28T23:59:59.999")
    assert {"2026-01": 1, "2026-02": 1, "2026-03": 1} == counted(held(), [use], "2026-03-01T00:00")


def test_T5_2_what_is_outside_the_term_or_still_ahead_is_not_counted() -> None:
    """A leg before the first day, after the last, or after the instant that is asked for, makes nobody active."""
    plan = held(("2026-01-01", "2026-02-28"))
    uses = [*hosting("2025-12-31", 1), *hosting("2026-03-01", 1), *hosting("2026-02-20", 1)]

    assert {"2026-01": 0, "2026-02": 0} == counted(plan, uses, "2026-02-20T11:59")
    assert {"2026-01": 0, "2026-02": 1} == counted(plan, uses, "2026-04-01T00:00")
    assert {} == counted(plan, uses, "2025-12-31T23:59")


def test_T5_2_a_leg_that_outlives_the_term_stays_counted_in_its_last_cycle_only() -> None:
    """The term ends on 28 February; a leg live since January makes no March."""
    plan = held(("2026-01-01", "2026-02-28"))

    assert {"2026-01": 1, "2026-02": 1} == counted(
        plan, [HostUse("a", at("2026-01-02T00:00"), None)], "2026-05-01T00:00"
    )


def test_T5_2_the_instant_at_which_the_term_ends_is_outside() -> None:
    """A leg of the last millisecond counts, one that begins with the day after does not."""
    end = at("2026-03-01T00:00")
    uses = [HostUse("alice", end - 1, end), HostUse("bob", end, end + 1)]

    assert {"2026-01": 0, "2026-02": 1} == counted(held(("2026-01-01", "2026-02-28")), uses, "2026-04-01T00:00")


def test_cycles_of_a_term_are_cut_at_its_ends_and_say_so() -> None:
    """A term from 15 January to 10 March has two partial cycles around a whole one; the last runs."""
    first, last = date(2026, 1, 15).toordinal(), date(2026, 3, 10).toordinal()
    found = monthly_counts(held(("2026-01-15", "2026-03-10")), [], at("2026-03-10T23:59"))

    assert (
        MonthlyCount("2026-01", first, date(2026, 1, 31).toordinal(), 0, partial=True, running=False),
        MonthlyCount(
            "2026-02", date(2026, 2, 1).toordinal(), date(2026, 2, 28).toordinal(), 0, partial=False, running=False
        ),
        MonthlyCount("2026-03", date(2026, 3, 1).toordinal(), last, 0, partial=True, running=True),
    ) == found


def test_an_anchor_of_31_in_a_leap_year() -> None:
    """Cycles begin on 31 January, 29 February, 31 March; one day is left of the last, and the first is a rest of December's."""
    found = monthly_counts(held(("2028-01-01", "2028-12-31"), anchor_day=31), [], at("2029-01-01T00:00"))
    first_days = [str(date.fromordinal(cycle.first)) for cycle in found]

    assert ["2028-01-01", "2028-01-31", "2028-02-29", "2028-03-31", "2028-04-30"] == first_days[:5]
    assert ("2028-12-31", "2028-12", 13) == (first_days[-1], found[-1].name, len(found))
    assert ["2027-12", "2028-12"] == [cycle.name for cycle in found if cycle.partial]


@pytest.mark.parametrize(("year", "last"), [(2026, "2026-02-28"), (2028, "2028-02-29")])
def test_the_last_day_of_february_is_of_february(year: int, last: str) -> None:
    """The last millisecond of 28 or 29 February counts in February, the next in March."""
    start = day(date.fromisoformat(last).toordinal()).end_ms
    uses = [HostUse("alice", start - 1, start), HostUse("bob", start, start + 1)]
    found = counted(held((f"{year}-01-01", f"{year}-12-31")), uses, f"{year}-03-02T00:00")

    assert {f"{year}-01": 0, f"{year}-02": 1, f"{year}-03": 1} == found


@pytest.mark.parametrize(
    ("anchor_day", "boundary", "before", "after"),
    [(9, "2026-03-09T07:00:00+00:00", "2026-02", "2026-03"), (2, "2026-11-02T08:00:00+00:00", "2026-10", "2026-11")],
)
def test_a_cycle_that_ends_with_a_day_of_23_or_25_hours(
    anchor_day: int, boundary: str, before: str, after: str
) -> None:
    """8 March has 23 hours and ends at 07:00 UTC, 1 November 25 and ends at 08:00 UTC: the cycle ends with them."""
    start = round(datetime.fromisoformat(boundary).timestamp() * 1000)
    uses = [HostUse("alice", start - 1, start), HostUse("bob", start, start + 1), HostUse("carol", start, start + 1)]
    found = {cycle.name: cycle.hosts for cycle in monthly_counts(held(anchor_day=anchor_day), uses, start + 1)}

    assert (1, 2) == (found[before], found[after])
    assert 3 == sum(found.values())


def test_T5_3_worked_example() -> None:
    """Two halves of a year, 20 % of 401 employees; months 3, 4, 5 make the mean.

    First period: (a) 20 % x 401 = 80.2, up to 81: billed 81.
    Second: (a) 81; (b) 81; the first ends on 30 June, its last seven days begin on 24 June; complete then: January to May, the last three are
    March 90, April 95, May 101; (c) = 286 / 3 = 95 1/3, up to 96: billed 96. June, with 300, is too late.
    """
    plan = held(periods=HALVES, employees=[("2025-12-15", 401)])
    first, second = figures(plan, monthly([10, 20, 90, 95, 101, 300]), "2026-07-01T00:00").periods

    assert (81, None, None, 81, "base") == (first.base, first.before, first.mean, first.billed, first.won)
    assert (81, 81, 96, "mean") == (second.base, second.before, second.billed, second.won)
    assert Mean(Fraction(286, 3), ("2026-03", "2026-04", "2026-05")) == second.mean


def test_T5_3_fractions_round_up_and_whole_numbers_stay() -> None:
    """20 % of 400 is 80 exactly; of 401 it is 80.2, and of 404 80.8: 81. 7 % of 100, of which floats make 7.000000000000001, is 7."""
    bases = [
        figures(held(employees=[("2026-01-01", count)], base_percentage=percent), [], "2026-01-01T00:00")
        .periods[0]
        .base
        for percent, count in [(20, 400), (20, 401), (20, 404), (29, 100), (7, 100), (100, 3), (1, 1)]
    ]

    assert [80, 81, 81, 29, 7, 3, 1] == bases
    assert [(80, "base"), (90, "mean")] == billed(
        figures(held(periods=HALVES), monthly([0, 0, 89, 90, 91]), "2026-07-01T00:00")
    )


def test_T5_3_each_part_can_win_and_of_equal_ones_the_first_is_named() -> None:
    """Thirds of a year, 20 % of 400 = 80, later 20 % of 600 = 120.

    Second period: told on 24 April of January 100, February 100, March 101; 301 / 3 up to 101: the mean.
    Third: told on 25 August; May, June, July are 0; 80 and 0 are below the 101 that were billed before.
    With 600 certified in August, the third is 120 by its base. With means that only reach 80, the base stays the reason.
    """
    thirds = [("2026-01-01", "2026-04-30"), ("2026-05-01", "2026-08-31"), ("2026-09-01", "2026-12-31")]
    more = [("2026-01-01", 400), ("2026-08-20", 600)]
    busy = monthly([100, 100, 101])

    assert [(80, "base"), (101, "mean"), (101, "before")] == billed(
        figures(held(periods=thirds), busy, "2026-12-01T00:00")
    )
    assert [(80, "base"), (101, "mean"), (120, "base")] == billed(
        figures(held(periods=thirds, employees=more), busy, "2026-12-01T00:00")
    )
    assert [(80, "base")] * 3 == billed(figures(held(periods=thirds), monthly([80] * 12), "2026-12-01T00:00"))


@pytest.mark.parametrize(
    ("anchor_day", "cycles"),
    [(24, ("2026-03", "2026-04", "2026-05")), (25, ("2026-02", "2026-03", "2026-04"))],
)
def test_T5_3_a_cycle_that_ends_the_day_before_the_last_seven_days_is_complete(
    anchor_day: int, cycles: tuple[str, ...]
) -> None:
    """The last seven days begin on 24 June: with anchor 24 May's cycle ended on the 23rd; with anchor 25 it runs for one more day."""
    found = figures(held(periods=HALVES, anchor_day=anchor_day), [], "2026-06-24T00:00").periods[1]

    assert found.mean
    assert cycles == found.mean.cycles


def test_T5_3_the_quantity_of_a_period_can_be_told_when_the_last_seven_days_of_the_one_before_begin() -> None:
    """A millisecond before 24 June there is one period; from then on two, the second not begun before 1 July."""
    plan = held(periods=HALVES)
    told = [
        figures(plan, [], now).periods for now in ("2026-06-23T23:59:59.999", "2026-06-24T00:00", "2026-07-01T00:00")
    ]

    assert [[True], [True, False], [True, True]] == [[period.begun for period in periods] for periods in told]


def test_T5_3_as_many_cycles_as_exist_and_partial_ones_are_not_complete() -> None:
    """A term from 15 January in periods of two months, cycles from the 1st.

    The first ends on 14 March, its last seven days begin on the 8th: January is cut, so February alone is complete; (c) = 9 / 1.
    """
    periods = [("2026-01-15", "2026-03-14"), ("2026-03-15", "2026-05-14")]
    plan = held(("2026-01-15", "2026-05-14"), periods, employees=[("2026-01-15", 10)])
    found = figures(
        plan, [*hosting("2026-01-20", 30), *hosting("2026-02-20", 9), *hosting("2026-03-05", 30)], "2026-04-01T00:00"
    )

    assert Mean(Fraction(9), ("2026-02",)) == found.periods[1].mean
    assert [(2, "base"), (9, "mean")] == billed(found)


def test_T5_3_without_a_complete_cycle_there_is_no_mean_and_earlier_periods_count_in_later_ones() -> None:
    """Periods of a month: January's last seven days begin before it is complete; the fifth period has January, February and March."""
    periods = [(f"2026-{month:02d}-01", last) for month, last in enumerate(
        ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"], 1
    )]  # fmt: skip
    found = figures(held(("2026-01-01", "2026-05-31"), periods), monthly([5, 6, 8, 100]), "2026-05-01T00:00").periods

    means = [period.mean.cycles if period.mean else None for period in found]
    assert [None, None, ("2026-01",), ("2026-01", "2026-02"), ("2026-01", "2026-02", "2026-03")] == means
    assert found[4].mean
    assert Fraction(19, 3) == found[4].mean.value


def test_T5_3_the_employee_count_is_the_last_certified_when_the_period_begins() -> None:
    """One of the first day counts, one of the day after does not; one that is only to come is not known yet."""
    made = [("2025-12-20", 100), ("2026-07-01", 200), ("2026-07-02", 900)]
    plan = held(periods=HALVES, employees=made)

    assert [100, 100] == [period.employees for period in figures(plan, [], "2026-06-30T00:00").periods]
    assert [100, 200] == [period.employees for period in figures(plan, [], "2026-08-01T00:00").periods]


def test_T5_3_a_certification_that_came_late_stands_for_the_one_with_the_order() -> None:
    """The earliest one serves; as long as there is none, the quantity cannot be told, and what is missing is named."""
    late = held(employees=[("2026-01-20", 150), ("2026-02-20", 900)])
    known, unknown = [figures(late, [], now).periods[0] for now in ("2026-03-01T00:00", "2026-01-19T00:00")]

    assert (150, 30, "base", ()) == (known.employees, known.billed, known.won, known.missing)
    assert (None, None, None, ("certifications",)) == (unknown.base, unknown.billed, unknown.won, unknown.missing)


def test_T5_3_what_is_missing_in_one_period_is_missing_in_those_after_it() -> None:
    """Without a base percentage nothing is billed by guess, not even where there is a mean."""
    plan = held(periods=HALVES, base_percentage=None)
    found = figures(plan, monthly([9] * 6), "2026-07-01T00:00").periods

    assert [(None, ("base_percentage",))] * 2 == [(period.billed, period.missing) for period in found]
    assert found[1].mean


def test_T5_3_a_period_after_one_that_cannot_be_told_names_what_that_one_lacks() -> None:
    """The percentage of the second period is known, and the quantity billed before is not."""
    versions = [
        HeldVersion(at("2026-01-01T00:00"), held(periods=HALVES, base_percentage=None)),
        HeldVersion(at("2026-05-01T00:00"), held(periods=HALVES)),
    ]
    second = active_host_figures(versions, [], at("2026-07-01T00:00")).periods[1]

    assert (80, None, None, ("base_percentage",)) == (second.base, second.before, second.billed, second.missing)


def test_T5_3_a_period_is_billed_by_the_base_percentage_in_force_when_it_begins() -> None:
    """20 % were ordered, entered on 5 January; 30 % from 1 May on change the second period and not the first."""
    versions = [
        HeldVersion(at("2026-01-05T10:00"), held(periods=HALVES)),
        HeldVersion(at("2026-05-01T10:00"), held(periods=HALVES, base_percentage=30)),
    ]
    found = active_host_figures(versions, [], at("2026-07-01T00:00"))

    assert [(80, "base"), (120, "base")] == billed(found)


def test_T5_3_the_average_of_now_is_of_the_last_three_complete_cycles() -> None:
    """On 31 May the running month is not in it; on 1 June it is."""
    plan, uses = held(), monthly([1, 2, 3, 5, 9])

    assert Mean(Fraction(10, 3), ("2026-02", "2026-03", "2026-04")) == figures(plan, uses, "2026-05-31T23:59").average
    assert Mean(Fraction(17, 3), ("2026-03", "2026-04", "2026-05")) == figures(plan, uses, "2026-06-01T00:00").average
    assert figures(plan, uses, "2026-01-31T23:59").average is None


def test_T5_4_worked_example() -> None:
    """A term of one period, 15 January to 10 March, 5 active hosts purchased.

    January (from the 15th) 7, February 5, March (to the 10th) 6: the greatest is 7, of a partial cycle; 7 - 5 = 2.
    """
    plan = held(("2026-01-15", "2026-03-10"), quantity=5)
    uses = [*hosting("2026-01-31", 7), *hosting("2026-02-10", 5), *hosting("2026-03-10", 6)]
    found = figures(plan, uses, "2026-03-11T00:00").termination

    assert found
    assert (True, 7, 5, 2) == (found.ended, found.peak, found.purchased, found.quantity)


@pytest.mark.parametrize(("hosts", "quantity"), [(79, 0), (80, 0), (81, 1)])
def test_T5_4_at_least_0_and_what_was_billed_where_no_purchase_is_stated(hosts: int, quantity: int) -> None:
    """The first period was billed 80; use at or below that leaves nothing to pay."""
    found = figures(held(), monthly([hosts]), "2027-01-01T00:00").termination

    assert found
    assert (80, quantity) == (found.purchased, found.quantity)


def test_T5_4_is_of_a_term_without_a_second_period_and_due_after_its_last_day() -> None:
    """On the last day the term has not ended; with two periods, or without a known purchase, there is no quantity."""
    running = figures(held(quantity=1), monthly([3]), "2026-12-31T23:59:59.999").termination
    unknown = figures(held(base_percentage=None), monthly([3]), "2027-01-01T00:00").termination

    assert running
    assert unknown
    assert (False, 2) == (running.ended, running.quantity)
    assert (True, 3, None, None) == (unknown.ended, unknown.peak, unknown.purchased, unknown.quantity)
    assert figures(held(periods=HALVES), monthly([3]), "2027-01-01T00:00").termination is None


def test_T6_1_a_department_has_the_same_figures() -> None:
    """The plan of a group is counted and billed as that of an enterprise."""
    fields = held(periods=HALVES).model_dump(by_alias=True, exclude={"id", "plan"})
    group = ActiveHostGroup.model_validate({**fields, "plan": "meetings.active_host_group", "department": "finance"})
    uses = monthly([0, 0, 90, 95, 101])

    assert figures(held(periods=HALVES), uses, "2026-07-01T00:00") == figures(group, uses, "2026-07-01T00:00")


@settings(max_examples=40, deadline=None)
@given(
    anchor_day=st.integers(1, 31),
    length_days=st.integers(1, 120),
    uses=st.lists(st.tuples(st.integers(0, 4), st.integers(-100, 2900), st.integers(0, 900)), max_size=6),
)
def test_T5_2_equals_a_model_that_looks_at_every_hour(
    anchor_day: int, length_days: int, uses: list[tuple[int, int, int]]
) -> None:
    """Hour by hour, over February and a change of clocks: who is live in an hour is active in the cycle of its day."""
    first = date(2028, 1, 20).toordinal()
    last = first + length_days - 1
    plan = held((str(date.fromordinal(first)), str(date.fromordinal(last))), anchor_day=anchor_day)
    start = day(first).start_ms
    expected: dict[str, set[int]] = {cycle_of(one, anchor_day).name: set() for one in range(first, last + 1)}
    for host, begin, hours in uses:
        for hour in range(begin, begin + max(hours, 1)):
            ordinal = day_at(start + hour * HOUR_MS).ordinal
            if first <= ordinal <= last:
                expected[cycle_of(ordinal, anchor_day).name].add(host)
    made = [HostUse(host, start + begin * HOUR_MS, start + (begin + hours) * HOUR_MS) for host, begin, hours in uses]

    found = monthly_counts(plan, made, day(last).end_ms)
    assert {name: len(hosts) for name, hosts in expected.items()} == {cycle.name: cycle.hosts for cycle in found}


@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.integers(0, 12), min_size=12, max_size=12),
    cuts=st.sets(st.integers(1, 11), max_size=6),
    percent=st.integers(1, 100),
    employees=st.integers(1, 40),
)
def test_T5_3_equals_a_model_in_whole_months(counts: list[int], cuts: set[int], percent: int, employees: int) -> None:
    """Periods of whole months: the mean is of the last three months before the last month of the period before."""
    edges = [0, *sorted(cuts), 12]
    spans = list(itertools.pairwise(edges))
    days = [(date(2026, begin + 1, 1), cycle_of(date(2026, end, 1).toordinal()).last) for begin, end in spans]
    periods = [(str(begin), str(date.fromordinal(last))) for begin, last in days]
    expected: list[int] = []
    for position in range(len(spans)):
        parts = [-(-percent * employees // 100), *expected[-1:]]
        complete = counts[: spans[position - 1][1] - 1][-3:] if position else []
        if complete:
            parts.append(-(-sum(complete) // len(complete)))
        expected.append(max(parts))
    plan = held(periods=periods, employees=[("2026-01-01", employees)], base_percentage=percent)

    found = figures(plan, monthly(counts), "2027-01-01T00:00")
    assert expected == [period.billed for period in found.periods]
