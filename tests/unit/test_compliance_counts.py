"""Findings about people against certified counts."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.catalogue import parse_customer
from gateway.domain.compliance import Finding, Observed, findings
from gateway.domain.compliance.counts import due_dates, missing
from gateway.domain.days import PACIFIC
from gateway.domain.history import History
from gateway.domain.record import Record


TERM = {"from": "2026-01-01", "to": "2027-12-31"}
"""Two years: certifications are due on 2026-01-01, 2026-12-02 and 2027-12-02."""
ENTERPRISES = [
    "meetings.corporate_access", "meetings.active_host_enterprise", "meetings.active_host_group", "teams.enterprise",
]  # fmt: skip
SHORT = {"meetings.active_host_enterprise": "T5.1", "meetings.active_host_group": "T6.1"}


def day(text: str) -> date:
    """A date."""
    return date.fromisoformat(text)


def dates(*texts: str) -> list[date]:
    """Dates."""
    return [day(text) for text in texts]


def noon_ms(text: str) -> int:
    """Pacific noon of a day."""
    return round(datetime.fromisoformat(f"{text}T12:00").replace(tzinfo=PACIFIC).timestamp() * 1000)


def certified(*made: tuple[str, int]) -> list[dict[str, Any]]:
    """Certifications as a catalogue has them."""
    return [{"certified_on": on, "count": count} for on, count in made]


def enterprise(plan: str = "meetings.corporate_access", *, reported_on: str | None = None, **fields: Any) -> Record:
    """A customer with one plan of every employee."""
    department = {"department": "sales"} if plan == "meetings.active_host_group" else {}
    held = {"id": "s", "plan": plan, "term": TERM, **department, **fields}
    customer = parse_customer({"id": "acme", "name": "Acme", "domains": ["acme.example"], "subscriptions": [held]})
    return Record(1, customer, history=History(reported={"s": day(reported_on)} if reported_on else {}))


def found(record: Record, today: str, rule: str, seen: Mapping[str, Sequence[int]] | None = None) -> list[Finding]:
    """Findings by that rule."""
    return [one for one in findings(record, day(today), Observed(hosts_seen=seen or {})) if one.rule == rule]


def spans(found: list[Finding]) -> list[tuple[str, str | None]]:
    """Since when, and due when."""
    return [(one.since, str(one.due) if one.due else None) for one in found]


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("2026-01-01", "2026-12-31", ["2026-01-01", "2026-12-02"]),
        ("2026-01-01", "2026-12-30", ["2026-01-01"]),
        ("2026-01-01", "2027-12-31", ["2026-01-01", "2026-12-02", "2027-12-02"]),
        ("2026-03-15", "2028-03-14", ["2026-03-15", "2027-02-13", "2028-02-14"]),
        ("2024-02-29", "2028-02-28", ["2024-02-29", "2025-01-29", "2026-01-29", "2027-01-29", "2028-01-30"]),
        ("2024-02-29", "2025-02-27", ["2024-02-29", "2025-01-29"]),
        ("2024-02-29", "2025-02-26", ["2024-02-29"]),
        ("9998-06-01", "9999-12-31", ["9998-06-01", "9999-05-02"]),
    ],
)
def test_T3_2_a_certification_is_due_with_the_order_and_30_days_before_each_anniversary(
    first: str, last: str, expected: list[str]
) -> None:
    """The anniversary on the day after the last day counts too; that of 29 February is the 28th, but for leap years."""
    assert dates(*expected) == list(due_dates(day(first), day(last)))


@pytest.mark.parametrize(
    ("certified_on", "today", "expected"),
    [
        ([], "2026-01-01", []),
        ([], "2026-01-02", ["2026-01-01"]),
        (["2025-12-10"], "2026-12-02", []),
        (["2025-12-10"], "2026-12-03", ["2026-12-02"]),
        (["2025-12-10", "2026-12-02"], "2027-12-02", []),
        (["2025-12-10", "2026-12-02"], "2027-12-03", ["2027-12-02"]),
        # One that is late still serves the due date it was for.
        (["2025-12-10", "2027-01-20"], "2027-01-19", ["2026-12-02"]),
        (["2025-12-10", "2027-01-20"], "2027-01-20", []),
        (["2025-12-10", "2027-01-20"], "2027-12-03", ["2027-12-02"]),
        # The order takes the earliest, however late, and a second one before the term serves nothing.
        (["2026-11-20"], "2026-12-03", ["2026-12-02"]),
        (["2025-12-10", "2025-12-11"], "2026-12-03", ["2026-12-02"]),
        (["2025-12-10", "2026-01-01"], "2026-12-03", ["2026-12-02"]),
        (["2025-12-10", "2026-01-02"], "2026-12-03", []),
        ([], "2027-12-31", ["2026-01-01", "2026-12-02", "2027-12-02"]),
    ],
)
def test_T3_2_every_due_date_needs_a_certification_of_its_own(
    certified_on: list[str], today: str, expected: list[str]
) -> None:
    """Each takes the earliest that is left and dated after the due date before it; it is missing from the day after."""
    assert dates(*expected) == missing(day("2026-01-01"), day("2027-12-31"), dates(*certified_on), day(today))


@given(
    first=st.dates(date(2020, 1, 1), date(2032, 12, 31)),
    length=st.integers(0, 2000),
    offsets=st.lists(st.integers(-60, 2100), max_size=8),
    age=st.integers(0, 2100),
)
def test_T3_2_missing_certifications_are_those_of_a_plain_marking(
    first: date, length: int, offsets: list[int], age: int
) -> None:
    """Each due date in turn marks the first usable certification of a plain list; those that find none are missing."""
    last, today = first + timedelta(days=length), first + timedelta(days=age)
    days = [first + timedelta(days=offset) for offset in offsets]
    due = [when for when in due_dates(first, last) if when < today]
    used: set[int] = set()
    expected: list[date] = []
    for position, when in enumerate(due):
        usable = [
            (made, index)
            for index, made in enumerate(days)
            if index not in used and made <= today and (position == 0 or made > due[position - 1])
        ]
        if usable:
            used.add(min(usable)[1])
        else:
            expected.append(when)

    assert expected == missing(first, last, days, today)


@pytest.mark.parametrize("plan", ENTERPRISES)
def test_T3_2_T5_5_T9_1_a_missing_certification_is_a_finding_with_its_due_date(plan: str) -> None:
    """From the day after that, for all plans that rest on a certified count."""
    record = enterprise(plan, certifications=certified(("2025-12-10", 1000)))

    assert [] == found(record, "2026-12-02", "T3.2")
    assert [("2026-12-03", "2026-12-02")] == spans(found(record, "2026-12-03", "T3.2"))
    assert [("2026-12-03", "2026-12-02")] == spans(found(record, "2027-06-01", "T3.2"))
    assert ["s"] == [one.subject for one in found(record, "2026-12-03", "T3.2")]


def test_T3_2_the_sentence_says_what_was_to_be_certified_and_when() -> None:
    """Employees with the order and before anniversaries; Teams licences for T9 unless those are for the whole company."""
    told = [one.detail for one in found(enterprise(), "2026-12-03", "T3.2")]
    licences = found(enterprise("teams.enterprise"), "2026-01-02", "T3.2")
    company_wide = found(enterprise("teams.enterprise", teams_licence="company_wide"), "2026-01-02", "T3.2")

    assert [
        "The number of employees was to be certified with the order, by 2026-01-01.",
        "The number of employees was to be certified 30 days before the anniversary of the first day, by 2026-12-02.",
    ] == told
    assert ["The number of Teams licences was to be certified with the order, by 2026-01-01."] == [
        one.detail for one in licences
    ]
    assert told[:1] == [one.detail for one in company_wide]


@pytest.mark.parametrize(("today", "expected"), [("2025-12-31", 0), ("2027-12-31", 3), ("2028-01-01", 0)])
def test_T3_2_a_subscription_that_is_not_in_force_has_no_findings(today: str, expected: int) -> None:
    """A missing certification of an ended term is history."""
    assert expected == len(found(enterprise(), today, "T3.2"))


def test_T3_2_a_certification_dated_in_the_future_is_not_made_yet() -> None:
    """It neither serves a due date nor is it the last certified count."""
    record = enterprise(certifications=certified(("2026-03-01", 10)), employee_count=1000)

    assert [("2026-01-02", "2026-01-01")] == spans(found(record, "2026-02-28", "T3.2"))
    assert [] == found(record, "2026-02-28", "T3.3")
    assert [] == found(record, "2026-03-01", "T3.2")
    assert 1 == len(found(record, "2026-03-01", "T3.3"))


@pytest.mark.parametrize("plan", ENTERPRISES)
@pytest.mark.parametrize(
    ("count", "last", "expected"),
    [(1099, 1000, 0), (1100, 1000, 1), (5, 5, 0), (6, 5, 1), (110, 101, 0), (112, 101, 1), (111, 101, 0), (1, 10, 0)],
)
def test_T3_3_a_reported_count_at_110_percent_of_the_last_certified_is_a_finding(
    plan: str, count: int, last: int, expected: int
) -> None:
    """109.9 % is none; the report is due 30 days after the day on which the count was reported."""
    certifications = certified(("2025-12-10", 7), ("2026-02-01", last))
    record = enterprise(plan, certifications=certifications, employee_count=count, reported_on="2026-05-06")

    assert [("2026-05-06", "2026-06-05")] * expected == spans(found(record, "2026-06-20", "T3.3"))


@pytest.mark.parametrize(("counts", "expected"), [((2, 1), 1), ((1, 2), 0)])
def test_T3_3_of_two_certifications_of_one_day_the_last_listed_counts(counts: tuple[int, int], expected: int) -> None:
    """It corrects the other."""
    made = certified(*[("2025-12-10", count) for count in counts])
    record = enterprise(certifications=made, employee_count=2, reported_on="2026-05-06")

    assert expected == len(found(record, "2026-05-09", "T3.3"))


def test_T3_3_as_many_distinct_hosts_are_a_finding_since_the_one_that_made_it_so() -> None:
    """11 hosts are 110 % of 10: since the Pacific day on which the eleventh was first seen, whatever came later."""
    record = enterprise(certifications=certified(("2025-12-10", 10)))
    ten = (noon_ms("2026-05-02"),) * 10
    evening_ms = noon_ms("2026-05-20") + 11 * 3_600_000
    grown = (*ten, noon_ms("2026-05-25"), evening_ms)

    assert [] == found(record, "2026-05-26", "T3.3", {"s": ten})
    assert [] == found(record, "2026-05-26", "T3.3", {"other": grown})
    detail = "12 people were hosts in cycle 2026-05, 10 were certified on 2025-12-10: report the increase."
    expected = [Finding("T3.3", "2026-05-20", "s", detail, day("2026-06-19"))]
    assert expected == found(record, "2026-05-26", "T3.3", {"s": grown})


def test_T3_3_the_cycle_is_named_by_the_anchor_day() -> None:
    """On 9 May the cycle of an anchor on the 10th is April's."""
    record = enterprise(certifications=certified(("2025-12-10", 1)), anchor_day=10)
    seen = {"s": (noon_ms("2026-05-01"), noon_ms("2026-05-02"))}

    assert "2 people were hosts in cycle 2026-04," in found(record, "2026-05-09", "T3.3", seen)[0].detail


def test_T3_3_where_reports_and_hosts_say_so_the_earlier_is_told() -> None:
    """It is one finding for a subscription, and one report that is due."""
    record = enterprise(certifications=certified(("2025-12-10", 1)), employee_count=2, reported_on="2026-05-03")
    before = {"s": (noon_ms("2026-05-01"), noon_ms("2026-05-02"))}
    after = {"s": (noon_ms("2026-05-01"), noon_ms("2026-05-04"))}

    assert [("2026-05-02", "2026-06-01")] == spans(found(record, "2026-05-09", "T3.3", before))
    assert [("2026-05-03", "2026-06-02")] == spans(found(record, "2026-05-09", "T3.3", after))
    assert "2 employees are reported, 1 were certified on 2025-12-10" in found(record, "2026-05-09", "T3.3")[0].detail


def test_T3_3_without_a_certified_count_there_is_nothing_to_compare_with() -> None:
    """Then the missing certification is the finding."""
    record = enterprise(employee_count=1000, reported_on="2026-05-03")

    assert ["T3.2"] == [one.rule for one in findings(record, day("2026-05-09"), Observed())]


@pytest.mark.parametrize(("today", "expected"), [("2027-12-31", 1), ("2028-01-01", 0)])
def test_T3_3_growth_counts_while_the_subscription_is_in_force(today: str, expected: int) -> None:
    """After the term it is no finding."""
    record = enterprise(certifications=certified(("2025-12-10", 1)), employee_count=9, reported_on="2026-05-03")

    assert expected == len(found(record, today, "T3.3"))


def listed(count: int, department: str | None = None) -> list[dict[str, Any]]:
    """Hosts as a catalogue has them."""
    own = {"department": department} if department else {}
    return [
        {"id": f"{department}{number}x@acme.example", "given_name": "Ann", "family_name": "Example", **own}
        for number in range(count)
    ]


@pytest.mark.parametrize(("accounts", "expected"), [(9, 1), (10, 0), (11, 0)])
def test_T5_1_fewer_accounts_than_employees_is_a_finding(accounts: int, expected: int) -> None:
    """The last certified count is what counts, not the reported one; no day is set for it."""
    record = enterprise(
        "meetings.active_host_enterprise",
        certifications=certified(("2025-12-10", 99), ("2026-02-01", 10)),
        hosts=listed(accounts),
        employee_count=1000,
    )
    detail = "9 of 10 employees have a host account; every one needs one."

    assert [Finding("T5.1", "2026-02-01", "s", detail)] * expected == found(record, "2026-05-09", "T5.1")


@pytest.mark.parametrize(("count", "expected"), [({}, []), ({"employee_count": 2}, ["2026-03-04"])])
def test_T5_1_without_a_certified_count_the_reported_one_counts(count: dict[str, int], expected: list[str]) -> None:
    """Since the day it was reported; with neither there is nothing to compare with."""
    record = enterprise("meetings.active_host_enterprise", reported_on="2026-03-04", hosts=listed(1), **count)

    assert expected == [one.since for one in found(record, "2026-05-09", "T5.1")]


def test_T5_1_accounts_are_missing_from_the_first_day_on_at_the_earliest() -> None:
    """A count certified with the order, before the term, holds from its first day."""
    record = enterprise("meetings.active_host_enterprise", certifications=certified(("2025-12-10", 10)))

    assert ["2026-01-01"] == [one.since for one in found(record, "2026-05-09", "T5.1")]


@pytest.mark.parametrize(("members", "expected"), [(2, 1), (3, 0)])
def test_T6_1_accounts_are_those_of_the_department(members: int, expected: int) -> None:
    """Hosts of another department, or of none, do not count."""
    hosts = [*listed(members, "sales"), *listed(5, "finance"), *listed(5)]
    record = enterprise("meetings.active_host_group", certifications=certified(("2025-12-10", 3)), hosts=hosts)
    detail = "2 of 3 members of the department sales have a host account; every one needs one."

    assert [Finding("T6.1", "2026-01-01", "s", detail)] * expected == found(record, "2026-05-09", "T6.1")
    assert [] == found(record, "2026-05-09", "T5.1")


def test_T3_1_other_plans_need_no_account_for_everybody() -> None:
    """Corporate Access and Teams Enterprise have no finding of missing accounts."""
    records = [
        enterprise(plan, certifications=certified(("2025-12-10", 10))) for plan in ENTERPRISES if plan not in SHORT
    ]

    assert [[], []] == [findings(record, day("2026-05-09"), Observed()) for record in records]
