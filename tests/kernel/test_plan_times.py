"""Instants at which a plan begins, ends or refuses, to the millisecond; time is set, not waited for."""

from typing import Any

import pytest
from plans import (
    china,
    corporate,
    dolby_rooms,
    global_audio,
    network_rooms,
    per_event,
    premium_calling,
    special_offer,
    teams_enterprise,
    teams_hosts,
)
from stage import HOUR_MS, MINUTE_MS, TODAY, Refusal, Stage, day_of, opened, refusal
from support import Clock, events, named_hosts, ports, teams_ports, term

from gateway.core import Core
from gateway.domain.days import Day, day


NOON_MS = TODAY.start_ms + 12 * HOUR_MS
HOST: dict[str, Any] = {"host": "alice@acme.example"}
TEAMS: dict[str, Any] = {"service": "teams", "endpoint": "sip", **HOST}
EVENT: dict[str, Any] = {"service": "event", "department": "finance"}
ROOM: dict[str, Any] = {"room": "boardroom", "role": "participant", "endpoint": "h323"}
CALL_ME: dict[str, Any] = {"endpoint": "pstn", "calling": "call_me"}
INACTIVE = "subscription_inactive"
OVER: Refusal = ("event_over_time", "The time of this event is over", {})
PLANS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "T2": (named_hosts("alice"), HOST, INACTIVE),
    "T3": (corporate(), HOST, INACTIVE),
    "T4": (ports(99), {}, INACTIVE),
    "T7": (teams_hosts("alice"), TEAMS, INACTIVE),
    "T8": (teams_ports(99), TEAMS, INACTIVE),
    "T9": (teams_enterprise(), TEAMS, INACTIVE),
    "T11": (per_event(1), EVENT, INACTIVE),
    "T12": (events(), EVENT, INACTIVE),
    "T13": (dolby_rooms("boardroom"), ROOM, "room_not_licensed"),
    "T14": (network_rooms("boardroom"), ROOM, "room_not_licensed"),
    "T15": (premium_calling(), CALL_ME, "feature_not_licensed"),
    "T16": (global_audio(), CALL_ME, "feature_not_licensed"),
    "T17": (china(99), {"access": "china"}, "access_not_licensed"),
}
LONG_DAYS = [day_of("2026-03-08"), day_of("2026-11-01")]
hours_of_days = pytest.mark.parametrize(
    ("which", "hours"), list(zip(LONG_DAYS, (23, 25), strict=True)), ids=["23 hours", "25 hours"]
)


@pytest.fixture
async def stage(core: Core, clock: Clock) -> Stage:
    """Noon of an ordinary day."""
    return await opened(core, clock)


@pytest.mark.parametrize(("plan", "fields", "reason"), PLANS.values(), ids=PLANS)
async def test_T1_1_a_term_begins_and_ends_with_its_days(
    stage: Stage, plan: dict[str, Any], fields: dict[str, Any], reason: str
) -> None:
    """Let in from the first millisecond of the first day to the last of the last one, refused on either side."""
    beside = [] if reason == INACTIVE else [ports(99)]
    last = day(TODAY.ordinal + 1)
    await stage.at(TODAY.start_ms - 1)
    await stage.hold(*beside, {**plan, **term(TODAY.date, last.date)})
    if beside:
        await stage.ask("host")
    found: list[str] = []
    for instant in (TODAY.start_ms - 1, TODAY.start_ms, last.end_ms - 1, last.end_ms):
        await stage.at(instant)
        found.append(await stage.told(f"leg{instant}", **fields))

    assert [reason, "admitted", "admitted", reason] == found


@hours_of_days
async def test_T1_1_a_term_ends_when_the_23_or_25_hours_of_its_last_day_are_over(
    stage: Stage, which: Day, hours: int
) -> None:
    """Let in in the last millisecond of the day, refused in the next one."""
    await stage.at(which.start_ms)
    await stage.hold(ports(9, **term(which.date, which.date)))
    await stage.at(which.start_ms + hours * HOUR_MS - 1)
    assert "admitted" == await stage.told("a")
    await stage.at(which.start_ms + hours * HOUR_MS)

    assert INACTIVE == await stage.told("b")


async def test_T10_3_the_offer_ends_after_the_day_of_the_notice(stage: Stage) -> None:
    """The last millisecond of `ends_on` is let in; legs that stay are held at the last commitment."""
    await stage.hold(special_offer(2, ends_on=str(TODAY.date)))
    await stage.at(TODAY.end_ms - 1)
    await stage.fill(3, **TEAMS)
    await stage.at(TODAY.end_ms)

    assert (INACTIVE, "The subscription is not active today", {}) == refusal(await stage.ask("d", **TEAMS))
    following = day(TODAY.ordinal + 1)
    found = await stage.overage(TODAY, following)
    assert [(2, 3, 1)] * 2 == [found[str(each.date), "teams_ports"] for each in (TODAY, following)]


async def test_T17_2_access_is_ended_on_notice_and_not_licensed_after_its_term(stage: Stage) -> None:
    """From the day after `ends_on` it has ended; from the day after the term there is no such subscription."""
    last = day(TODAY.ordinal + 1)
    await stage.hold(ports(9), china(9, ends_on=str(TODAY.date), **term(TODAY.date, last.date)))
    found: list[str] = []
    for instant in (TODAY.end_ms - 1, TODAY.end_ms, last.end_ms - 1, last.end_ms):
        await stage.at(instant)
        found.append(await stage.told(f"leg{instant}", access="china"))

    assert ["admitted", "access_ended", "access_ended", "access_not_licensed"] == found


@pytest.mark.parametrize(("plan", "hours"), [(per_event, 2), (events, 8)], ids=["T11", "T12"])
async def test_T11_5_T12_2_hard_durations_refuse_at_the_included_time_summed_over_openings(
    stage: Stage, plan: Any, hours: int
) -> None:
    """Let in a millisecond before and refused at it; while the event is closed, time stands still. Another event has its own time."""
    await stage.hold(plan(duration_enforcement="hard", **({"quantity": 2} if plan is per_event else {})))
    await stage.ask("a", "e1", **EVENT)
    await stage.at(NOON_MS + HOUR_MS)
    await stage.leave("a")
    reopened_ms = NOON_MS + 3 * HOUR_MS + 1
    await stage.at(reopened_ms)
    await stage.ask("b", "e1", **EVENT)
    over_ms = reopened_ms + (hours - 1) * HOUR_MS
    await stage.at(over_ms - 1)
    assert "admitted" == await stage.told("c", "e1", **EVENT)

    await stage.at(over_ms)
    for role in ("attendee", "presenter"):
        assert OVER == refusal(await stage.ask("d", "e1", role=role, **EVENT))
    await stage.leave("b", "c")
    assert OVER == refusal(await stage.ask("e", "e1", **EVENT)), "it cannot be opened again either"
    assert "admitted" == await stage.told("f", "e2", **EVENT)


@pytest.mark.parametrize(("plan", "hours"), [(per_event, 2), (events, 8)], ids=["T11", "T12"])
async def test_T11_5_T12_2_metered_durations_let_in_and_report_begun_minutes(
    stage: Stage, plan: Any, hours: int
) -> None:
    """None at the included time, one from the next millisecond on, two after a whole minute and a millisecond."""
    await stage.hold(plan())
    live = "first"
    await stage.ask(live, "e1", **EVENT)
    over_ms = NOON_MS + hours * HOUR_MS
    found: list[tuple[int, int | None]] = []
    for beyond_ms in (-1, 0, 1, MINUTE_MS, MINUTE_MS + 1):
        await stage.at(over_ms + beyond_ms)
        # Closed for no time at all: the live time of an event that is closed is exact.
        await stage.leave(live)
        (event,) = await stage.core.events.events("acme")
        live = f"leg{beyond_ms}"
        assert "admitted" == await stage.told(live, "e1", **EVENT)
        found.append((event.live_ms - hours * HOUR_MS, event.duration_overage_minutes))

    assert [(-1, 0), (0, 0), (1, 1), (MINUTE_MS, 1), (MINUTE_MS + 1, 2)] == found


async def test_T11_5_time_without_presenters_and_attendees_is_no_live_time(stage: Stage) -> None:
    """Moderators rehearse for an hour before, and stay for an hour after."""
    await stage.hold(per_event(1, duration_enforcement="hard"))
    await stage.ask("mod", "e1", role="moderator", **EVENT)
    await stage.at(NOON_MS + HOUR_MS)
    await stage.ask("a", "e1", role="presenter", **EVENT)
    await stage.at(NOON_MS + 2 * HOUR_MS)
    await stage.leave("a")
    await stage.at(NOON_MS + 3 * HOUR_MS)

    (event,) = await stage.core.events.events("acme")
    assert (False, HOUR_MS) == (event.live, event.live_ms)


@hours_of_days
async def test_T11_5_durations_are_hours_that_pass_whatever_the_clocks_say(
    stage: Stage, which: Day, hours: int
) -> None:
    """Two hours over the change of clocks, and eight from midnight."""
    await stage.at(which.start_ms)
    await stage.hold(per_event(1, duration_enforcement="hard"))
    await stage.at(which.start_ms + HOUR_MS)
    await stage.ask("a", "e1", **EVENT)
    await stage.at(which.start_ms + 3 * HOUR_MS - 1)
    assert "admitted" == await stage.told("b", "e1", **EVENT)
    await stage.at(which.start_ms + 3 * HOUR_MS)
    assert OVER == refusal(await stage.ask("c", "e1", **EVENT))
    assert hours * HOUR_MS == which.end_ms - which.start_ms


async def test_T11_5_an_event_over_midnight_is_one_event(stage: Stage) -> None:
    """Used once, and its time runs on."""
    await stage.hold(per_event(1, duration_enforcement="hard"))
    await stage.at(TODAY.end_ms - HOUR_MS)
    await stage.ask("a", "e1", **EVENT)
    await stage.at(TODAY.end_ms + HOUR_MS - 1)
    assert "admitted" == await stage.told("b", "e1", **EVENT)
    await stage.at(TODAY.end_ms + HOUR_MS)

    assert OVER == refusal(await stage.ask("c", "e1", **EVENT))
    assert {"events events.per_event": {"e1": True}} == await stage.marks()


@pytest.mark.parametrize(
    ("plan", "fields"), [(corporate(), HOST), (ports(99), {}), (per_event(), EVENT)], ids=["T3", "T4", "T11"]
)
async def test_T1_3_a_meeting_that_streams_too_long_lets_nobody_in(
    stage: Stage, plan: dict[str, Any], fields: dict[str, Any]
) -> None:
    """From the first leg that says so, which is not the first; to the millisecond. Live legs stay, and it ends when the meeting has emptied."""
    await stage.hold({**plan, "features": ["streaming"], "streaming": {"max_minutes": 30}})
    await stage.ask("a", **fields)
    streams_ms = NOON_MS + 10 * MINUTE_MS
    await stage.at(streams_ms)
    await stage.ask("b", features=("streaming",), **fields)
    await stage.at(streams_ms + 20 * MINUTE_MS)
    await stage.ask("c", features=("streaming",), **fields)
    await stage.at(streams_ms + 30 * MINUTE_MS - 1)
    assert "admitted" == await stage.told("d", **fields)
    await stage.at(streams_ms + 30 * MINUTE_MS)

    told: Refusal = ("streaming_over_time", "The time for streaming this meeting is over", {})
    assert told == refusal(await stage.ask("e", **fields))
    assert 4 == (await stage.core.reports.usage("acme")).snapshot.live
    await stage.leave("a", "b", "c", "d")
    assert "admitted" == await stage.told("f", **fields)


async def test_T1_3_a_meeting_that_does_not_stream_may_last(stage: Stage) -> None:
    """However long."""
    await stage.hold(ports(9, features=["streaming"], streaming={"max_minutes": 1}))
    await stage.ask("a")
    await stage.at(NOON_MS + 11 * HOUR_MS)

    assert "admitted" == await stage.told("b")
