"""Assists are booked ahead (T18, T19). Days are far from any bound here: the bounds themselves are proved beside the rule."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from http_people import People
from plans import event_assist, meeting_assist
from support import ports, term


pytest_plugins = ("http_fixtures",)


def ahead(days: int) -> datetime:
    """An instant so many days from now, on a full hour."""
    return (datetime.now(UTC) + timedelta(days=days)).replace(minute=0, second=0, microsecond=0)


def asked(days: int, minutes: int = 60, kind: str = "meeting", **fields: Any) -> dict[str, Any]:
    """The body of a booking."""
    return {"kind": kind, "starts_at": ahead(days).isoformat(), "minutes": minutes, **fields}


async def test_T18_1_a_meeting_assist_is_booked_and_listed(people: People) -> None:
    """201 with the booking; the list is in order of beginnings, and outlives a change of the customer."""
    await people.hold(meeting_assist(), ports(5))

    later = await people.post("assists", asked(20, 90), status=201)
    sooner = await people.post("assists", asked(10, streams=True, id="ours-1"), status=201)
    await people.hold(meeting_assist(), ports(6))

    assert [True, True] == [later["booked"], sooner["booked"]]
    expected = {
        "id": "ours-1", "kind": "meeting", "starts_at": ahead(10).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "minutes": 60, "streams": True, "by": "loopback",
    }  # fmt: skip
    assert expected == {name: value for name, value in sooner["assist"].items() if name != "booked_at"}
    assert datetime.fromisoformat(sooner["assist"]["booked_at"]) <= datetime.now(UTC)
    assert later["assist"]["id"] not in {"", "ours-1"}
    assert {"customer": "acme", "assists": [sooner["assist"], later["assist"]]} == await people.get("assists")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (asked(20, 59), "assist_too_short"),
        (asked(1), "assist_too_late"),
        (asked(-1), "assist_too_late"),
        (asked(5, streams=True), "assist_too_late"),
        (asked(20, 119, "event"), "assist_too_short"),
        (asked(5, 120, "event"), "assist_too_late"),
    ],
    ids=["59 minutes", "a day ahead", "yesterday", "streaming, 5 days ahead", "event of 119 minutes", "event, 5 days ahead"],
)
async def test_T18_1_T19_1_what_is_too_short_or_too_late_is_refused(
    people: People, body: dict[str, Any], reason: str
) -> None:
    """A refusal is an answer, with a message for people; nothing is booked."""
    await people.hold(meeting_assist(), event_assist(), ports(5))

    answer = await people.post("assists", body)

    assert (False, reason) == (answer["booked"], answer["reason"])
    assert answer["message"].endswith(".")
    assert [] == (await people.get("assists"))["assists"]


@pytest.mark.parametrize("body", [asked(5), asked(20, 120, "event"), asked(20, streams=True)], ids=["meeting", "event", "streaming"])
async def test_T18_1_T19_1_what_is_long_and_early_enough_is_booked(people: People, body: dict[str, Any]) -> None:
    """The shortest ones, as late as they may be and some days to spare."""
    await people.hold(meeting_assist(), event_assist(), ports(5))

    assert (await people.post("assists", body, status=201))["booked"]


async def test_the_plan_must_be_in_force_on_the_day_of_the_assist(people: People) -> None:
    """Without it, with the one of the other kind, or with one that ends before: it has to be bought."""
    ends = datetime.now(UTC).date() + timedelta(days=10)
    await people.hold(meeting_assist(**term("2026-01-01", ends)), ports(5))

    answers = [await people.post("assists", body) for body in (asked(20, 120, "event"), asked(20))]

    assert [(False, "feature_not_licensed")] * 2 == [(answer["booked"], answer["reason"]) for answer in answers]
    assert ["assist.event" in answers[0]["message"], "assist.meeting" in answers[1]["message"]] == [True, True]
    assert (await people.post("assists", asked(5), status=201))["booked"]


async def test_a_booking_asked_for_again_under_its_id_is_the_same_booking(people: People) -> None:
    """Also at the same time: one is made. Another assist under the id is a conflict; without an id each is a new one."""
    await people.hold(meeting_assist(), ports(5))
    body = asked(20, id="ours-1")

    answers = await asyncio.gather(*[people.ask("POST", "assists", body) for _ in range(20)])

    assert {201: 1, 200: 19} == Counter(answer.status for answer in answers)
    assert 1 == len({answer.body for answer in answers})
    for fields in ({"minutes": 61}, {"starts_at": ahead(21).isoformat()}, {"streams": True}):
        assert [("$.id", None)] == await people.refused(409, "POST", "assists", {**body, **fields})
    assert 1 == len((await people.get("assists"))["assists"])
    for _ in range(2):
        await people.post("assists", asked(20), status=201)
    assert 3 == len((await people.get("assists"))["assists"])
