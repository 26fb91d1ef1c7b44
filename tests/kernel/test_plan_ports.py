"""Concurrent connections on a real store: pools, the host who comes first, resale, what is said of every leg (T1, T4)."""

from typing import Any

import pytest
from plans import premium_calling
from stage import HOUR_MS, TODAY, Refusal, Stage, opened, refusal, use
from support import Clock, named_hosts, ports, term

from gateway.core import Core
from gateway.kernel.outcomes import Spell


ALICE, ANN = "alice@acme.example", "ann@globex.example"
WAIT: Refusal = ("host_not_present", "The meeting begins when its host joins", {})
NOON_MS = TODAY.start_ms + 12 * HOUR_MS


@pytest.fixture
async def stage(core: Core, clock: Clock) -> Stage:
    """Noon of an ordinary day."""
    return await opened(core, clock)


async def test_T4_1_hard_connections_are_refused_above_what_was_ordered(stage: Stage) -> None:
    """All legs of the service together, over two meetings; a seat that is given back lets the next one in."""
    await stage.hold(ports(3))
    await stage.fill(2, "m1")
    last = await stage.ask("last", "m2")
    assert {"ports": (3, 3, 3), "meeting": (1, None, 100)} == use(last)
    assert (False, ("meetings.concurrent_connections",)) == (last.overage, last.counted_in)

    full = ("ports_full", "All connections of this plan are in use", {"ports": (3, 3, 3)})
    assert full == refusal(await stage.ask("more", "m1"))
    await stage.leave("last")
    assert "admitted" == await stage.told("more", "m1")


async def test_T4_1_metered_connections_are_overage_above_what_was_ordered_and_refused_above_the_ceiling(
    stage: Stage,
) -> None:
    """Two committed and a ceiling of three."""
    await stage.hold(ports(2, enforcement="metered", ceiling=3))
    decisions = [await stage.ask(leg) for leg in "abc"]
    assert [False, False, True] == [decision.overage for decision in decisions]
    assert (3, 2, 3) == use(decisions[2])["ports"]

    full = ("ports_full", "All connections of this plan are in use", {"ports": (3, 2, 3)})
    assert full == refusal(await stage.ask("d"))
    assert {("2026-06-10", "ports"): (2, 3, 1)} == await stage.overage(TODAY, TODAY)


async def test_T4_1_a_host_plan_licenses_its_meetings_and_their_legs_count_all_the_same(stage: Stage) -> None:
    """The ports are full of Alice's legs; a meeting without a host is licensed by them, and has no room."""
    await stage.hold(named_hosts("alice", id="hosts"), ports(2, id="ports"))
    await stage.fill(1, "m1", host=ALICE)
    hosted = await stage.ask("b", "m1", host=ALICE)
    assert ("hosts", ("ports",)) == (hosted.licensed_by, hosted.counted_in)

    assert "ports_full" == await stage.told("c", "m2")
    await stage.leave("b")
    assert "ports" == (await stage.ask("d", "m2")).licensed_by


async def test_T4_2_every_leg_counts_one(stage: Stage) -> None:
    """Web, app, rooms, and a telephone of each calling; one person on all of them is as many."""
    await stage.hold(ports(99), premium_calling())
    for endpoint in ("web", "app", "h323", "sip", "other"):
        await stage.ask(endpoint, endpoint=endpoint, person=ALICE)
    for calling in ("toll", "toll_free", "international", "call_me", "premium"):
        await stage.ask(calling, endpoint="pstn", calling=calling, person=ALICE)

    assert 10 == (await stage.pools())["ports"]


async def test_T4_2_paired_endpoints_are_two_connections(stage: Stage) -> None:
    """Alice on the web and on the telephone fills two ports."""
    await stage.hold(ports(2))
    await stage.fill(1, person=ALICE, host=ALICE)
    assert "admitted" == await stage.told("b", person=ALICE, host=ALICE, endpoint="pstn")
    assert "ports_full" == await stage.told("c")


async def test_T4_4_guests_wait_for_the_host_and_pass_after_one_has_been_there(stage: Stage) -> None:
    """Also after the host has left, as long as the meeting is live; when it has emptied, guests wait again."""
    await stage.hold(ports(9))
    assert WAIT == refusal(await stage.ask("guest", host=ALICE, role="participant"))
    await stage.fill(1, prefix="host", host=ALICE)
    assert "admitted" == await stage.told("guest", host=ALICE, role="participant")
    await stage.leave("host0")
    assert "admitted" == await stage.told("late", host=ALICE, role="participant")

    await stage.leave("guest", "late")
    assert WAIT == refusal(await stage.ask("again", host=ALICE, role="participant"))


async def test_T4_4_only_meetings_that_ports_license_wait_for_a_host(stage: Stage) -> None:
    """Beside a host plan, a guest begins Alice's meeting, and waits in Ann's."""
    await stage.hold(named_hosts("alice"), ports(9))

    assert "admitted" == await stage.told("a", "m1", host=ALICE, role="participant")
    assert WAIT == refusal(await stage.ask("b", "m2", host=ANN, role="participant"))


async def test_T4_4_who_moves_between_meetings_of_one_owner_waits_for_nobody(stage: Stage) -> None:
    """A guest moves on into Alice's next meeting before her, and the next guest waits; into somebody else's no guest moves."""
    await stage.hold(ports(9))
    await stage.fill(1, "m1", prefix="host", host=ALICE)
    for leg in ("guest", "other"):
        await stage.ask(leg, "m1", host=ALICE, role="participant")

    assert WAIT == refusal(await stage.moved("other", "m9", "m1", host=ANN, role="participant"))
    moved = await stage.moved("guest", "m2", "m1", host="Alice+next@acme.example", role="participant")
    assert "admitted" == moved.reason.value
    assert {"ports": (3, 9, 9), "meeting": (1, None, 100)} == use(moved)
    assert WAIT == refusal(await stage.ask("late", "m2", host=ALICE, role="participant"))


async def test_T4_4_the_time_without_a_host_is_remembered(stage: Stage) -> None:
    """From the host's leaving to the next host leg, and again to the end of the meeting."""
    await stage.hold(ports(9))
    await stage.fill(1, prefix="host")
    await stage.ask("guest", role="participant")
    await stage.at(NOON_MS + 60_000)
    await stage.leave("host0")
    await stage.at(NOON_MS + 90_000)
    group = "meeting:meeting:m1"
    assert (Spell(group, NOON_MS + 60_000, None),) == (await stage.past()).spells
    await stage.ask("back")
    await stage.at(NOON_MS + 120_000)
    await stage.leave("back")
    await stage.at(NOON_MS + 180_000)
    await stage.leave("guest")

    expected = (Spell(group, NOON_MS + 60_000, NOON_MS + 90_000), Spell(group, NOON_MS + 120_000, NOON_MS + 180_000))
    assert expected == (await stage.past()).spells


async def test_T4_5_a_foreign_owner_is_remembered_and_let_in(stage: Stage) -> None:
    """When a leg of the meeting is connected; one that never was leaves nothing."""
    await stage.hold(ports(9))
    await stage.ask("a", "m1", host="Ann+x@Globex.example")
    await stage.ask("b", "m2", host="ben@globex.example", node="n1")
    await stage.ask("c", "m3", host=ALICE)
    await stage.leave("a", "b", "c")

    assert {"foreign 2026-06": {ANN: True}} == await stage.marks()


async def test_T1_1_a_service_is_not_licensed_where_it_was_never_held(stage: Stage) -> None:
    """Teams and events beside ports."""
    await stage.hold(ports(1))
    told: Refusal = ("service_not_licensed", "This kind of meeting is not part of the subscription", {})
    assert told == refusal(await stage.ask("a", service="teams", endpoint="sip"))
    assert told == refusal(await stage.ask("b", service="event"))


async def test_T1_1_a_subscription_of_another_time_is_inactive(stage: Stage) -> None:
    """One that ended and one that has not begun."""
    await stage.hold(
        ports(1, id="old", **term("2025-01-01", "2026-06-09")), ports(1, id="new", **term("2026-06-11", "2026-12-31"))
    )
    told: Refusal = ("subscription_inactive", "The subscription is not active today", {})
    assert told == refusal(await stage.ask("a"))


async def test_T1_2_audio_only_legs_are_tallied(stage: Stage) -> None:
    """Audio by media or by telephone alone; a telephone with another leg of its person in the meeting is none."""
    await stage.hold(ports(99))
    await stage.ask("video")
    await stage.ask("audio", media="audio")
    await stage.ask("phone", endpoint="pstn")
    assert (3, 2) == await stage.tallies()
    await stage.ask("alices phone", endpoint="pstn", person=ALICE)
    assert (4, 3) == await stage.tallies()

    await stage.ask("alices web", person="Alice+x@acme.example")
    assert (5, 2) == await stage.tallies()
    await stage.ask("alices second phone", endpoint="pstn", person=ALICE)
    assert (6, 2) == await stage.tallies()
    await stage.ask("alice elsewhere", "m2", endpoint="pstn", person=ALICE)
    assert (7, 3) == await stage.tallies()


async def test_T1_2_tallies_are_those_of_a_day(stage: Stage) -> None:
    """They begin anew at midnight, and the day before keeps its own."""
    await stage.hold(ports(99))
    await stage.ask("a", media="audio")
    await stage.at(TODAY.end_ms)
    await stage.ask("b")

    assert (1, 0) == await stage.tallies()
    assert {TODAY.ordinal: (1, 1)} == await stage.core.kernel.joined("acme", [TODAY.ordinal])


async def test_T1_3_streaming_needs_to_be_in_the_order(stage: Stage) -> None:
    """Of the service; one order of several is enough."""
    asked: dict[str, Any] = {"features": ("streaming",)}
    await stage.hold(ports(9))
    told: Refusal = ("feature_not_included", "This feature is not part of the subscription", {})
    assert told == refusal(await stage.ask("a", **asked))

    await stage.hold(ports(9, id="plain"), ports(9, id="streaming", features=["streaming"]))
    assert "admitted" == await stage.told("b", **asked)


async def test_T1_3_a_meeting_that_streams_has_the_endpoints_of_the_order(stage: Stage) -> None:
    """Two from the leg on that says so, whoever joins; three were in another meeting without. It ends when the meeting has emptied."""
    await stage.hold(ports(99, features=["streaming"], streaming={"max_endpoints": 2}))
    await stage.fill(3, "m1", prefix="plain")
    full = ("meeting_full", "The meeting is full", {"meeting": (3, None, 2)})
    assert full == refusal(await stage.ask("late", "m1", features=("streaming",)))

    await stage.ask("a", "m2", features=("streaming",))
    await stage.ask("b", "m2")
    assert ("meeting_full", "The meeting is full", {"meeting": (2, None, 2)}) == refusal(await stage.ask("c", "m2"))
    await stage.leave("a")
    await stage.ask("d", "m2")
    assert "meeting_full" == await stage.told("e", "m2"), "the leg that began to stream has left, the meeting streams"
    await stage.leave("b", "d")
    await stage.fill(3, "m2", prefix="anew")


async def test_T1_5_two_subscriptions_of_one_plan_add_up(stage: Stage) -> None:
    """Two and three are five; the one that ends first licenses, both are counted in."""
    await stage.hold(ports(2, id="later"), ports(3, id="sooner", **term("2026-01-01", "2026-12-31")))
    await stage.fill(4)
    last = await stage.ask("last")
    assert ("sooner", ("later", "sooner"), (5, 5, 5)) == (last.licensed_by, last.counted_in, use(last)["ports"])

    assert "ports_full" == await stage.told("more")
