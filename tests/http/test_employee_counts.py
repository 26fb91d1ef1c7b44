"""Counts of employees that are certified and reported (T3.2, T3.3), and what becomes of the findings."""

from datetime import date, datetime, timedelta
from typing import Any

from http_people import People
from plans import active_enterprise, corporate, teams_enterprise
from support import ports, term

from gateway.domain.days import PACIFIC


pytest_plugins = ("http_fixtures",)


def today() -> date:
    """The Pacific day."""
    return datetime.now(PACIFIC).date()


def begun(**fields: Any) -> dict[str, Any]:
    """A subscription that counts employees, since ten days."""
    return corporate(id="corp", **term(today() - timedelta(days=10), today() + timedelta(days=300)), **fields)


async def found(people: People) -> list[tuple[str, str, str]]:
    """Findings: rule, subject, due date."""
    findings = (await people.get("compliance"))["findings"]
    return [(each["rule"], each["subject"], each["due"]) for each in findings]


async def test_T3_2_a_certification_ends_the_finding_that_one_is_missing(people: People) -> None:
    """Due with the order; it stands in the entitlements, dated today where no date was given."""
    await people.hold(begun())
    due = str(today() - timedelta(days=10))
    assert [("T3.2", "corp", due)] == await found(people)

    answer = await people.post("certifications", {"count": 250, "certified_by": "Dana Example"})

    assert {"customer": "acme", "subscription": "corp", "version": 2, "count": 250} == answer
    held = (await people.get(""))["subscriptions"][0]
    assert [{"certified_on": str(today()), "count": 250, "certified_by": "Dana Example"}] == held["certifications"]
    assert [] == await found(people)


async def test_T3_3_a_reported_count_of_110_percent_is_a_finding(people: People) -> None:
    """Not 109 of 100, but 110; the increase is to be reported within 30 days."""
    await people.hold(begun())
    await people.post("certifications", {"count": 100, "certified_on": str(today() - timedelta(days=5))})
    await people.post("employee-count", {"count": 109})
    assert [] == await found(people)

    answer = await people.post("employee-count", {"count": 110, "subscription": "corp"})

    assert {"customer": "acme", "subscription": "corp", "version": 4, "count": 110} == answer
    assert [("T3.3", "corp", str(today() + timedelta(days=30)))] == await found(people)


async def test_where_more_than_one_subscription_counts_employees_it_must_be_named(people: People) -> None:
    """Left out, or one that counts none: nothing is changed."""
    await people.hold(active_enterprise(id="hosts"), teams_enterprise(id="teams"), ports(5, id="ports"))

    for path in ("certifications", "employee-count"):
        for body in ({"count": 10}, {"count": 10, "subscription": "ports"}, {"count": 10, "subscription": "none"}):
            assert [("$.subscription", None)] == await people.refused(409, "POST", path, body)
        assert "teams" == (await people.post(path, {"count": 10, "subscription": "teams"}))["subscription"]
    held = {each["id"]: each for each in (await people.get(""))["subscriptions"]}
    assert {"hosts": (None, None), "teams": (10, 1), "ports": (None, None)} == {
        name: (each.get("employee_count"), len(each["certifications"]) if "certifications" in each else None)
        for name, each in held.items()
    }


async def test_a_certification_that_makes_the_customer_invalid_is_refused_whole(people: People) -> None:
    """A subscription holds 1,000 certifications; the fault names the place in the customer."""
    certified = [{"certified_on": "2026-01-01", "count": 1}] * 1000
    await people.hold(begun(certifications=certified))

    refused = await people.refused(422, "POST", "certifications", {"count": 10})

    assert [("$.subscriptions[0].certifications", None)] == refused
    assert 1000 == len((await people.get(""))["subscriptions"][0]["certifications"])


async def test_a_certification_is_not_of_a_day_to_come(people: People) -> None:
    """Tomorrow it is already in most of the world; the day after it is nowhere."""
    await people.hold(begun())

    future = {"count": 10, "certified_on": str(today() + timedelta(days=3))}
    assert [("$.certified_on", None)] == await people.refused(422, "POST", "certifications", future)
    tomorrow = {"count": 10, "certified_on": str(today() + timedelta(days=1))}
    assert 2 == (await people.post("certifications", tomorrow))["version"]
