"""Findings end to end: real joins and changes at set times, and then exactly these findings and no others."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pytest
from plans import corporate, dolby_rooms, special_offer, teams_enterprise
from support import Clock, admit, customer, install, join, named_hosts, ports, term, told

from gateway.core import Core
from gateway.domain.changes import certified, removed, reported
from gateway.domain.compliance import Finding
from gateway.domain.days import day
from gateway.housekeeping import Housekeeping


HOUR_MS, MINUTE_MS = 3_600_000, 60_000
TODAY = date(2026, 6, 10)
ALICE, ZOE = "alice@acme.example", "zoe@globex.example"
YEAR = term("2026-01-01", "2026-12-31")


@dataclass
class Stage:
    """A gateway at a time of the test's choice."""

    core: Core
    clock: Clock

    async def on(self, on: date, hours: float = 12) -> None:
        """It is that time of the day, which is one of 24 hours."""
        await self.clock.set(day(on.toordinal()).start_ms + round(hours * HOUR_MS))
        await self.core.kernel.entitlements("acme")

    async def holds(self, *subscriptions: dict[str, Any], **fields: Any) -> None:
        """From now on the customer holds these."""
        await install(self.core.entitlements, customer(*subscriptions, **fields))

    async def admits(self, *legs: str, meeting: str = "m1", **fields: Any) -> None:
        """All of them get in."""
        for leg in legs:
            assert told(await admit(self.core, join(leg, meeting, **fields))) == "admitted"

    async def release(self, *legs: str) -> None:
        """Legs end."""
        for leg in legs:
            await self.core.admission.release("acme", leg)

    async def findings(self) -> list[Finding]:
        """All findings of the customer."""
        return await self.core.compliance.findings("acme")

    async def found(self) -> list[tuple[str, str]]:
        """Rules of the findings, with their `since`."""
        return [(finding.rule, finding.since) for finding in await self.findings()]


@pytest.fixture
async def stage(core: Core, clock: Clock) -> Stage:
    """Noon of an ordinary day."""
    made = Stage(core, clock)
    await made.on(TODAY)
    return made


async def test_there_is_no_finding_about_a_customer_that_complies_or_is_not_there(stage: Stage) -> None:
    """It holds a bit of everything, uses it within the terms, and moves, leaves and comes back."""
    assert [] == await stage.findings()
    certification = {"certified_on": "2026-01-01", "count": 10}
    await stage.holds(
        corporate(certifications=[certification], employee_count=10, **YEAR),
        ports(99, **YEAR), dolby_rooms("attic", **YEAR), teams_enterprise(certifications=[certification], **YEAR),
    )  # fmt: skip
    for number in range(10):
        await stage.admits(f"h{number}", meeting=f"m{number}", host=f"p{number}@acme.example")
        await stage.admits(
            f"p{number}", meeting=f"m{number}", host=f"p{number}@acme.example", endpoint="pstn", role="participant"
        )
    await stage.admits("room", meeting="m1", host="p1@acme.example", room="attic", country="US", role="participant")
    await stage.admits("t", meeting="t1", host=ALICE, service="teams", endpoint="sip")
    await stage.release("h1", "p1", "room")
    assert [] == await stage.findings()
    await stage.core.entitlements.change("acme", removed("acme", None), "remove")
    assert [] == await stage.findings()


async def test_T1_2_over_half_of_20_legs_of_a_day_are_audio_only(stage: Stage) -> None:
    """11 of 20 are a finding on the day itself, and for 35 days after it; which day it was is what it says."""
    await stage.holds(ports(30))
    await stage.admits(*[f"web{number}" for number in range(9)])
    await stage.admits(*[f"sound{number}" for number in range(6)], media="audio")
    await stage.admits(*[f"phone{number}" for number in range(4)], endpoint="pstn")
    assert [] == await stage.findings(), "19 legs"
    await stage.admits("last", endpoint="pstn", person="ann@acme.example")
    detail = "11 of 20 legs on 2026-06-10 were audio-only; the service is no audio bridge."
    expected = [Finding("T1.2", "2026-06-10", "acme", detail)]
    assert expected == await stage.findings()
    await stage.on(TODAY + timedelta(days=1), 0)
    assert expected == await stage.findings()
    await stage.release("last")
    await stage.on(TODAY + timedelta(days=35))
    assert expected == await stage.findings()
    await stage.on(TODAY + timedelta(days=36))
    assert [] == await stage.findings()


async def test_T1_2_half_of_20_legs_are_no_finding(stage: Stage) -> None:
    """Nor is a telephone whose person is in the meeting by another leg, whichever came first."""
    await stage.holds(ports(40))
    await stage.admits(*[f"web{number}" for number in range(8)])
    await stage.admits(*[f"sound{number}" for number in range(9)], media="audio")
    await stage.admits("phone", endpoint="pstn", person="ann@acme.example")
    await stage.admits("web-of-phone", person="Ann+x@acme.example")
    await stage.admits("ben", person="ben@acme.example")
    await stage.admits("phone-of-ben", endpoint="pstn", person="ben@acme.example")
    assert [] == await stage.findings(), "9 of 21"
    await stage.admits("cat", endpoint="pstn", person="cat@acme.example")
    assert [] == await stage.findings(), "10 of 22"
    await stage.admits("sound", "sounds", media="audio")
    assert [] == await stage.findings(), "12 of 24"
    await stage.admits("one-more", endpoint="pstn")
    assert [("T1.2", "2026-06-10")] == await stage.found(), "13 of 25"


async def test_T1_2_each_day_is_judged_for_itself(stage: Stage) -> None:
    """A leg counts on the day on which it joined: the ones that stay over midnight are none of the next."""
    await stage.holds(ports(99))
    await stage.admits(*[f"a{number}" for number in range(20)], media="audio")
    await stage.on(TODAY + timedelta(days=1))
    await stage.admits(*[f"b{number}" for number in range(20)])
    await stage.on(TODAY + timedelta(days=2))
    await stage.admits(*[f"c{number}" for number in range(19)], media="audio")
    assert [("T1.2", "2026-06-10")] == await stage.found()
    await stage.admits("c", media="audio")
    assert [("T1.2", "2026-06-10"), ("T1.2", "2026-06-12")] == await stage.found()


async def test_T2_5_a_seat_that_changes_person_twice_within_30_days(stage: Stage) -> None:
    """Alice, then Bob, then Eve 29 days later: a finding from that day on, until the first of the two changes is forgotten."""
    await stage.holds(named_hosts("alice", id="hosts"))
    await stage.on(TODAY + timedelta(days=10))
    await stage.holds(named_hosts("bob", id="hosts"))
    assert [] == await stage.findings()
    await stage.on(TODAY + timedelta(days=39))
    await stage.holds(named_hosts("eve", id="hosts"))
    detail = "The seat of eve@acme.example changed person on 2026-06-20, 2026-07-19: more than once in 30 days."
    expected = [Finding("T2.5", "2026-07-19", "hosts", detail)]
    assert expected == await stage.findings()
    await stage.on(TODAY + timedelta(days=69))
    assert expected == await stage.findings()
    await stage.on(TODAY + timedelta(days=70))
    await stage.admits("a", host="eve@acme.example")
    assert [] == await stage.findings()


async def test_T2_5_a_seat_that_changes_person_after_30_days_or_back_is_no_finding(stage: Stage) -> None:
    """30 days between two changes are enough; a spelling is no change, and somebody who comes back takes the own seat."""
    await stage.holds(named_hosts("alice", "zed", id="hosts"))
    for days, held in (
        (10, ("bob", "zed")),
        (11, ("BOB", "zed")),
        (12, ("bob",)),
        (13, ("bob", "zed")),
        (40, ("eve", "zed")),
    ):
        await stage.on(TODAY + timedelta(days=days))
        await stage.holds(named_hosts(*held, quantity=2, id="hosts"))
    assert [] == await stage.findings()


async def test_T3_3_hosts_of_a_cycle_at_110_percent_of_the_certified_count(stage: Stage) -> None:
    """The 11th of 10 that were certified is a finding with its day, due 30 days later; the next cycle begins with none."""
    await stage.holds(corporate(id="all", certifications=[{"certified_on": "2026-01-01", "count": 10}], **YEAR))
    for number in range(10):
        await stage.admits(f"a{number}", meeting=f"m{number}", host=f"p{number}@acme.example")
    await stage.admits("coming", meeting="m11", host="p11@acme.example", node="media-1")
    await stage.admits("again", meeting="m1", host="P1+x@acme.example")
    assert [] == await stage.findings(), "who has not connected is no host"
    await stage.on(TODAY + timedelta(days=2))
    await stage.admits("eleventh", meeting="m10", host="p10@acme.example")
    detail = "11 people were hosts in cycle 2026-06, 10 were certified on 2026-01-01: report the increase."
    assert [Finding("T3.3", "2026-06-12", "all", detail, date(2026, 7, 12))] == await stage.findings()
    await stage.on(date(2026, 7, 1))
    assert [] == await stage.findings()


async def test_T3_3_T3_2_reports_and_certifications_through_the_operations(stage: Stage) -> None:
    """A reported count 10 % above the certified one is a finding until it is certified; a missing certification is one, with its due date."""
    await stage.holds(corporate(id="all", **YEAR))
    missing = "The number of employees was to be certified with the order, by 2026-01-01."
    uncertified = Finding("T3.2", "2026-01-02", "all", missing, date(2026, 1, 1))
    assert [uncertified] == await stage.findings()
    await stage.core.entitlements.change(
        "acme", certified("acme", "all", 100, date(2026, 1, 1), "Carla Ruiz"), "certify"
    )
    assert [] == await stage.findings()
    await stage.core.entitlements.change("acme", reported("acme", "all", 109), "report")
    assert [] == await stage.findings()
    await stage.core.entitlements.change("acme", reported("acme", "all", 110), "report")
    detail = "110 employees are reported, 100 were certified on 2026-01-01: report the increase."
    assert [Finding("T3.3", "2026-06-10", "all", detail, date(2026, 7, 10))] == await stage.findings()
    await stage.core.entitlements.change("acme", certified("acme", "all", 110, None, None), "certify")
    assert [] == await stage.findings()


async def test_T4_4_a_live_meeting_without_a_host(stage: Stage) -> None:
    """With its first and last minute; one that lasts says so, and a new host does not undo what was."""
    await stage.holds(ports(9))
    await stage.admits("h", host=ALICE)
    await stage.admits("p", host=ALICE, role="participant")
    await stage.on(TODAY, 12 + 90 / 3600)
    await stage.release("h")
    lasting = "The meeting m1 was live without a host from 2026-06-10T19:01:00.000Z, and still is."
    assert [Finding("T4.4", "2026-06-10T19:01:00.000Z", "m1", lasting)] == await stage.findings()
    await stage.on(TODAY, 12 + 6 / 60)
    await stage.admits("h2", host=ALICE)
    over = "The meeting m1 was live without a host from 2026-06-10T19:01:00.000Z, until 2026-06-10T19:06:00.000Z."
    assert [Finding("T4.4", "2026-06-10T19:01:00.000Z", "m1", over)] == await stage.findings()


async def test_T4_5_meetings_of_owners_outside_the_domains(stage: Stage) -> None:
    """Once for each owner, from when it was first seen; none any more when the domain has become the customer's."""
    await stage.holds(ports(9))
    await stage.admits("a", meeting="m1", host="Zoe+sales@Globex.example")
    await stage.on(TODAY + timedelta(days=30))
    await stage.admits("b", meeting="m2", host=ZOE)
    await stage.admits("c", meeting="m3", host=ALICE)
    detail = "A meeting was owned by zoe@globex.example, outside the customer's domains (resale)."
    assert [Finding("T4.5", "2026-06-10T19:00:00.000Z", ZOE, detail)] == await stage.findings()
    await stage.holds(ports(9), domains=["acme.example", "globex.example"])
    assert [] == await stage.findings()


async def test_T10_3_above_the_quantity_of_a_special_offer(stage: Stage) -> None:
    """The greatest excess of each day, from when it was reached; none where the offer refuses."""
    await stage.holds(special_offer(2, id="offer"))
    room_system = {"service": "teams", "endpoint": "sip"}
    await stage.admits("a", "b", meeting="t1", **room_system)
    assert [] == await stage.findings()
    await stage.admits("c", meeting="t2", **room_system)
    await stage.on(TODAY, 13)
    await stage.admits("d", meeting="t2", **room_system)
    detail = "2 connections above the quantity at one time on 2026-06-10: contact the customer."
    first = Finding("T10.3", "2026-06-10T20:00:00.000Z", "offer", detail)
    assert [first] == await stage.findings()
    await stage.on(TODAY + timedelta(days=1), 1)
    await stage.release("a")
    await stage.on(TODAY + timedelta(days=2))
    await stage.release("b", "c", "d")
    found = await stage.findings()
    assert [first, ("T10.3", "2026-06-11T07:00:00.000Z"), ("T10.3", "2026-06-12T07:00:00.000Z")] == [
        found[0], *[(finding.rule, finding.since) for finding in found[1:]]
    ]  # fmt: skip
    assert "1 connection above the quantity at one time on 2026-06-12: contact the customer." == found[2].detail
    await stage.holds(special_offer(2, id="offer", enforcement="hard"))
    assert [] == await stage.findings()


async def test_T13_5_a_room_outside_its_territory(stage: Stage) -> None:
    """Once for each country, from when it was first seen there; none where the territory has been widened since."""
    await stage.holds(ports(9), dolby_rooms("Attic", territory=["US", "CA"]))
    await stage.admits("h", host=ALICE)
    for leg, country in (("a", "US"), ("b", "CA"), ("c", "FR"), ("d", "FR"), ("e", None)):
        await stage.admits(leg, host=ALICE, room="Attic", country=country, role="participant", endpoint="sip")
    detail = "The room attic was used in FR; its licence is for CA, US."
    assert [Finding("T13.5", "2026-06-10T19:00:00.000Z", "attic", detail)] == await stage.findings()
    await stage.holds(ports(9), dolby_rooms("Attic", territory=["US", "FR"]))
    assert [] == await stage.findings(), "CA was within the territory when it was there"


async def test_findings_of_all_rules_stand_in_the_order_of_the_rules(stage: Stage) -> None:
    """One customer that breaks six rules; in October the ones that are remembered by days and months are gone."""
    plans = (
        ports(99),
        dolby_rooms("attic"),
        corporate(id="all", certifications=[{"certified_on": "2026-01-01", "count": 1}], **YEAR),
    )
    await stage.holds(*plans, named_hosts("ann", id="hosts"))
    for name in ("bob", "cat"):
        await stage.holds(*plans, named_hosts(name, id="hosts"))
    await stage.admits("h", meeting="foreign", host=ZOE)
    await stage.admits(
        *[f"s{number}" for number in range(19)], meeting="foreign", host=ZOE, media="audio", role="participant"
    )
    await stage.release("h")
    await stage.admits("c1", meeting="c1", host="c1@acme.example")
    await stage.admits("c2", meeting="c2", host="c2@acme.example")
    await stage.admits("room", meeting="c1", host="c1@acme.example", room="attic", country="FR", role="participant")
    assert ["T1.2", "T2.5", "T3.3", "T4.4", "T4.5", "T13.5"] == [rule for rule, _ in await stage.found()]
    await stage.release("c1", "c2", "room", *[f"s{number}" for number in range(19)])
    await Housekeeping(stage.core.kernel, stage.core.entitlements).run()
    assert ["T1.2", "T2.5", "T3.3", "T4.4", "T4.5", "T13.5"] == [rule for rule, _ in await stage.found()]
    await stage.on(date(2026, 10, 1))
    await Housekeeping(stage.core.kernel, stage.core.entitlements).run()
    assert [] == await stage.findings()
