"""Reports of what does not comply, and of events, as people read them."""

from datetime import UTC, datetime

from callers import Callers
from http_people import People
from plans import per_event
from support import ports


pytest_plugins = ("http_fixtures",)


async def test_T4_5_a_meeting_of_an_outsider_is_reported_and_not_refused(callers: Callers, people: People) -> None:
    """The finding names rule, owner and day; where all is in order there is none."""
    await callers.install(ports(5))
    await callers.admit("a", meeting="m1", host="alice@acme.example")
    assert {"customer": "acme", "findings": []} == await people.get("compliance")

    assert "admitted" == (await callers.admit("b", meeting="m2", host="zoe@globex.example"))["reason"]

    (finding,) = (await people.get("compliance"))["findings"]
    assert ("T4.5", "zoe@globex.example") == (finding["rule"], finding["subject"])
    assert {"rule", "since", "subject", "detail"} == set(finding)
    assert datetime.fromisoformat(finding["since"]) <= datetime.now(UTC)


async def test_T11_2_T11_3_an_event_is_reported_with_its_attendees_and_overage(
    callers: Callers, people: People
) -> None:
    """Moderators are no attendees; who came back is counted again in all that ever joined."""
    await callers.install(per_event(2, max_attendees=1, id="events-2026"))
    for leg, role in (("m", "moderator"), ("a", "presenter"), ("b", "attendee")):
        await callers.admit(leg, meeting="e1", service="event", role=role)
    await callers.release("b")
    await callers.admit("c", meeting="e1", service="event")

    body = await people.get("events")

    (held,) = body["events"]
    assert "acme" == body["customer"]
    assert {
        "event": "e1", "licensed_by": "events-2026", "live": True, "peak_attendees": 2, "joined_total": 3, "peak_panel": 2,
        "max_attendees": 1, "attendee_overage": 1, "duration_overage_minutes": 0,
    } == {name: value for name, value in held.items() if name not in {"first_at", "peak_at", "minutes"}}  # fmt: skip
    assert held["minutes"] in {0, 1}
    assert held["first_at"] <= held["peak_at"]
    assert datetime.fromisoformat(held["first_at"]) <= datetime.now(UTC)


async def test_an_event_outlives_its_legs_and_its_subscription(callers: Callers, people: People) -> None:
    """What is above the order is left out where nobody holds the order any more."""
    await callers.install(per_event(2, id="events-2026"))
    await callers.admit("a", meeting="e1", service="event")
    await callers.release("a")
    await callers.install(ports(5))

    (held,) = (await people.get("events"))["events"]

    assert ("e1", False, 1) == (held["event"], held["live"], held["peak_attendees"])
    assert {"max_attendees", "attendee_overage", "duration_overage_minutes"}.isdisjoint(held)
