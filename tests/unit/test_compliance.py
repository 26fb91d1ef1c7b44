"""Findings about what connections were used for."""

from datetime import date, datetime
from typing import Any

import msgspec
import pytest

from gateway.domain.catalogue import parse_customer
from gateway.domain.compliance import Finding, Observed, findings
from gateway.domain.days import PACIFIC
from gateway.domain.history import History, Seat, followed
from gateway.domain.record import Record


TERM = {"from": "2026-01-01", "to": "2026-12-31"}
TODAY = date(2026, 11, 22)
SEEN_MS = round(datetime(2026, 11, 20, 9, 30, 15, tzinfo=PACIFIC).timestamp() * 1000)
SEEN = "2026-11-20T17:30:15.000Z"


def ordinal(text: str) -> int:
    """A day."""
    return date.fromisoformat(text).toordinal()


def record(*subscriptions: dict[str, Any], history: History | None = None, **fields: Any) -> Record:
    """A customer that holds these."""
    held = [{"term": TERM, **subscription} for subscription in subscriptions]
    data = {"id": "acme", "name": "Acme", "domains": ["acme.example"], "subscriptions": held, **fields}
    return Record(1, parse_customer(data), history=history or History())


def ports(**fields: Any) -> dict[str, Any]:
    """A subscription beside which room licences may be held."""
    return {"plan": "meetings.concurrent_connections", "committed": 10, "enforcement": "metered", **fields}


def named(*names: str, **fields: Any) -> dict[str, Any]:
    """One seat after another."""
    hosts = [{"id": f"{name}@acme.example", "given_name": "Ann", "family_name": "Example"} for name in names]
    return {"id": "s", "plan": "meetings.named_host", "quantity": 1, "hosts": hosts, **fields}


@pytest.mark.parametrize(
    ("legs", "audio_only", "expected"), [(20, 11, 1), (19, 19, 0), (20, 10, 0), (21, 10, 0), (21, 11, 1), (0, 0, 0)]
)
def test_T1_2_a_day_of_over_half_audio_only_legs_is_a_finding(legs: int, audio_only: int, expected: int) -> None:
    """Of at least 20 legs; exactly half is none."""
    observed = Observed(audio_days={ordinal("2026-11-20"): (legs, audio_only)})
    detail = f"{audio_only} of {legs} legs on 2026-11-20 were audio-only; the service is no audio bridge."

    assert [Finding("T1.2", "2026-11-20", "acme", detail)] * expected == findings(record(), TODAY, observed)


def shared(*changes: str, plan: str = "meetings.named_host", today: date = TODAY) -> list[Finding]:
    """What is found where a seat changed person on these days."""
    seat = Seat(None, tuple([date.fromisoformat(day) for day in changes]))
    history = History({"s": {"bob@acme.example": seat}})
    return findings(record(named("bob", plan=plan), history=history), today, Observed())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (["2026-11-20"], []),
        (["2026-11-20", "2026-11-20"], ["2026-11-20"]),
        (["2026-10-22", "2026-11-20"], ["2026-11-20"]),
        (["2026-10-21", "2026-11-20"], []),
        (["2026-10-01", "2026-10-15", "2026-11-20"], ["2026-10-15"]),
        (["2026-10-01", "2026-10-15", "2026-10-20"], ["2026-10-15"]),
    ],
)
def test_T2_5_a_seat_that_changes_person_more_than_once_in_30_days_is_a_finding(
    changes: list[str], expected: list[str]
) -> None:
    """Two changes 29 days apart are within 30 days, 30 days apart they are not; the first change that was too many is told."""
    assert expected == [one.since for one in shared(*changes)]


def test_T2_5_the_seat_is_told_by_its_holder_and_its_days() -> None:
    """It holds for named hosts of the Teams gateway as well."""
    detail = "The seat of bob@acme.example changed person on 2026-11-02, 2026-11-10: more than once in 30 days."

    for plan in ("meetings.named_host", "teams.named_host"):
        assert [Finding("T2.5", "2026-11-10", "s", detail)] == shared("2026-11-02", "2026-11-10", plan=plan)


@pytest.mark.parametrize(("today", "expected"), [("2026-12-31", 1), ("2027-01-01", 0)])
def test_T2_5_seats_count_while_the_subscription_is_in_force(today: str, expected: int) -> None:
    """After its term they are no finding."""
    assert expected == len(shared("2026-12-01", "2026-12-20", today=date.fromisoformat(today)))


@pytest.mark.parametrize(("today", "expected"), [("2026-10-30", 1), ("2026-10-31", 0)])
def test_T2_5_the_finding_ends_when_a_change_is_60_days_old(today: str, expected: int) -> None:
    """Whether the catalogue changed since or not."""
    assert expected == len(shared("2026-09-01", "2026-09-20", today=date.fromisoformat(today)))


def test_T2_5_a_seat_that_is_handed_on_twice_is_found_from_the_history() -> None:
    """Ann, Bob and Cyd in one seat within a month: two changes."""
    versions = [record(named(name)).customer for name in ("ann", "bob", "cyd")]
    days = [date(2026, 11, 1), date(2026, 11, 9), date(2026, 11, 21)]
    history = History()
    for before, after, day in zip([None, *versions], versions, days, strict=False):
        history = followed(history, before, after, day)

    assert [("T2.5", "2026-11-21")] == [
        (one.rule, one.since) for one in findings(Record(3, versions[-1], history=history), TODAY, Observed())
    ]


@pytest.mark.parametrize(
    ("last_ms", "ended"), [(None, "and still is"), (SEEN_MS + 600_000, "until 2026-11-20T17:40:00.000Z")]
)
def test_T4_4_a_live_meeting_without_a_host_leg_is_a_finding(last_ms: int | None, ended: str) -> None:
    """With its first and last minute."""
    found = findings(record(), TODAY, Observed(unhosted=(("m1", SEEN_MS, last_ms),)))
    detail = f"The meeting m1 was live without a host from 2026-11-20T17:30:00.000Z, {ended}."

    assert [Finding("T4.4", "2026-11-20T17:30:00.000Z", "m1", detail)] == found


def test_T4_5_a_meeting_of_an_owner_outside_the_customers_domains_is_a_finding() -> None:
    """A subdomain is outside unless it is listed; a domain that is the customer's by now is not."""
    owners = dict.fromkeys(["mallory@globex.example", "ann@sub.acme.example", "ann@ACME.example"], SEEN_MS)
    found = findings(record(), TODAY, Observed(foreign_owners=owners))

    assert ["ann@sub.acme.example", "mallory@globex.example"] == [one.subject for one in found]
    detail = "A meeting was owned by mallory@globex.example, outside the customer's domains (resale)."
    assert Finding("T4.5", SEEN, "mallory@globex.example", detail) == found[1]


def offer(**fields: Any) -> dict[str, Any]:
    """A special offer of 2 connections for 2026."""
    return {
        "id": "offer", "plan": "teams.special_offer", "committed": 2, "enforcement": "notify",
        "signed_on": "2026-01-01", "company_group": "acme", **fields,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "day", "overage", "expected"),
    [
        ({}, "2026-11-20", 3, 1),
        ({}, "2026-11-20", 0, 0),
        ({}, "2026-01-01", 3, 1),
        ({}, "2025-12-31", 3, 0),
        ({"enforcement": "hard"}, "2026-11-20", 3, 0),
        ({"ends_on": "2026-11-21"}, "2026-11-20", 3, 0),
        ({"ends_on": "2026-11-22"}, "2026-11-20", 3, 1),
    ],
)
def test_T10_3_use_above_a_special_offer_is_an_excess_notice(
    fields: dict[str, Any], day: str, overage: int, expected: int
) -> None:
    """For a day of its term with overage, while it is in force and lets in above the quantity."""
    found = findings(record(offer(**fields)), TODAY, Observed(excess={ordinal(day): (overage, SEEN_MS)}))
    detail = f"3 connections above the quantity at one time on {day}: contact the customer."

    assert [Finding("T10.3", SEEN, "offer", detail)] * expected == found


def test_T10_3_other_pools_of_the_teams_gateway_have_no_excess_notice() -> None:
    """Their overage is charged (T8.2)."""
    paid = {"plan": "teams.concurrent_connections", "committed": 2, "enforcement": "metered"}

    assert [] == findings(record(paid), TODAY, Observed(excess={ordinal("2026-11-20"): (3, SEEN_MS)}))


@pytest.mark.parametrize(
    ("room", "country", "expected"),
    [("Board", "FR", 1), ("board", "FR", 1), ("Board", "GB", 0), ("other", "FR", 0), ("network", "FR", 0)],
)
def test_T13_5_a_room_seen_outside_its_territory_is_a_finding(room: str, country: str, expected: int) -> None:
    """Of a Dolby room in force; a network room has no territory."""
    dolby = {
        "plan": "rooms.dolby_raas", "quantity": 2, "rooms": [{"id": "Board", "territory": ["US", "GB"]}],
    }  # fmt: skip
    network = {"plan": "rooms.network_room", "quantity": 1, "rooms": [{"id": "network"}]}
    held = record(ports(), dolby, network)
    detail = f"The room {room} was used in FR; its licence is for GB, US."

    assert [Finding("T13.5", SEEN, room, detail)] * expected == findings(
        held, TODAY, Observed(abroad={(room, country): SEEN_MS})
    )


def test_T13_5_an_ended_licence_is_history() -> None:
    """No finding after its last day."""
    ended = {"from": "2026-01-01", "to": "2026-11-21"}
    dolby = {"plan": "rooms.dolby_raas", "term": ended, "quantity": 1, "rooms": [{"id": "Board"}]}

    assert [] == findings(record(ports(), dolby), TODAY, Observed(abroad={("Board", "FR"): SEEN_MS}))


def test_findings_are_in_the_order_of_rules_then_of_time() -> None:
    """T10.3 comes after T4.5, and of one rule the earlier comes first."""
    observed = Observed(
        audio_days={ordinal("2026-11-20"): (20, 20), ordinal("2026-11-19"): (20, 20)},
        foreign_owners={"mallory@globex.example": SEEN_MS},
        unhosted=(("m1", SEEN_MS, None),),
        excess={ordinal("2026-11-20"): (1, SEEN_MS)},
    )
    found = findings(record(offer()), TODAY, observed)

    assert ["T1.2", "T1.2", "T4.4", "T4.5", "T10.3"] == [one.rule for one in found]
    assert ["2026-11-19", "2026-11-20"] == [one.since for one in found[:2]]


def test_a_customer_that_is_gone_has_no_findings() -> None:
    """Nor does one of which nothing was seen."""
    observed = Observed(audio_days={ordinal("2026-11-20"): (20, 20)})

    assert [] == findings(Record(1), TODAY, observed)
    assert [] == findings(record(named("ann"), ports()), TODAY, Observed())


def test_a_finding_survives_its_document() -> None:
    """Its due date is a date again; none is none."""
    found = Finding("T3.2", "2026-12-03", "s", "A sentence.", date(2026, 12, 2))

    assert found == msgspec.json.decode(msgspec.json.encode(found), type=Finding)
