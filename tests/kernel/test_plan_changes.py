"""Plans that are added, changed and ended under live legs: no count is lost, and the next join follows the new state (T1.4, T1.5).

That counters are what the legs say is verified after every test.
"""

from typing import Any

import pytest
from plans import china, corporate, dolby_rooms, network_rooms, per_event, special_offer
from stage import TODAY, Refusal, Stage, opened, refusal, use
from support import Clock, events, named_hosts, ports, teams_ports, term

from gateway.core import Core
from gateway.domain.days import day


ALICE, BOB = "alice@acme.example", "bob@acme.example"
ENDS = term(TODAY.date, TODAY.date)
FOLLOWING, THIRD = day(TODAY.ordinal + 1), day(TODAY.ordinal + 2)
FINANCE: dict[str, Any] = {"service": "event", "department": "finance"}
GUEST: dict[str, Any] = {"role": "participant", "endpoint": "h323"}
PHONE: dict[str, Any] = {"endpoint": "pstn"}
IN_USE: Refusal = ("room_in_use", "This room is in another meeting", {"room": (1, None, 1)})
EXHAUSTED: Refusal = (
    "events_exhausted", "All events of the subscription have been held", {"events": (1, None, 1)},
)  # fmt: skip


@pytest.fixture
async def stage(core: Core, clock: Clock) -> Stage:
    """Noon of an ordinary day."""
    return await opened(core, clock)


METERED: dict[str, tuple[list[dict[str, Any]], dict[str, Any], str]] = {
    "ports": ([ports(1, enforcement="metered", **ENDS)], {}, "subscription_inactive"),
    "teams_ports": (
        [teams_ports(1, enforcement="metered", **ENDS)],
        {"service": "teams", "endpoint": "sip"},
        "subscription_inactive",
    ),
    "china": (
        [ports(9), china(1, enforcement="metered", **ENDS)],
        {"access": "china"},
        "access_not_licensed",
    ),
    "pstn": ([corporate(pstn_limit=1, **ENDS)], {"host": ALICE, **PHONE}, "subscription_inactive"),
    "event_pstn": ([per_event(pstn_limit=1, **ENDS)], {**FINANCE, **PHONE}, "subscription_inactive"),
}


@pytest.mark.parametrize("pool", METERED)
async def test_T1_4_legs_that_outlive_the_term_are_held_at_the_last_commitment(stage: Stage, pool: str) -> None:
    """Three over one committed: two of overage on the next day; one stays for the third day, which has none; then it is over."""
    held, fields, reason = METERED[pool]
    await stage.hold(*held)
    await stage.fill(3, **fields)
    await stage.at(FOLLOWING.start_ms)
    assert reason == await stage.told("late", **fields)
    await stage.leave("fill0", "fill1")
    await stage.at(THIRD.start_ms)
    await stage.leave("fill2")
    fourth = day(THIRD.ordinal + 1)
    await stage.at(fourth.start_ms)

    found = {date: row for (date, name), row in (await stage.overage(TODAY, fourth)).items() if name == pool}
    assert {"2026-06-10": (1, 3, 2), "2026-06-11": (1, 3, 2), "2026-06-12": (1, 1, 0)} == found


async def test_T1_4_ports_take_over_from_a_host_plan_that_ends_under_its_live_meeting(stage: Stage) -> None:
    """Its legs stay counted; the meeting's host has been there, so guests pass; the host is not bound to one meeting any more."""
    await stage.hold(named_hosts("alice", id="hosts", **ENDS), ports(4, id="ports"))
    await stage.ask("a", host=ALICE)
    await stage.ask("b", host=ALICE, role="participant")
    assert {"hosts": 1, "ports": 2} == await stage.pools()
    await stage.at(FOLLOWING.start_ms)

    guest = await stage.ask("c", host=ALICE, role="participant")
    assert ("admitted", "ports") == (guest.reason.value, guest.licensed_by)
    assert {"ports": (3, 4, 4), "meeting": (3, None, 100)} == use(guest)
    assert "admitted" == await stage.told("d", "m2", host=ALICE)
    assert "ports_full" == await stage.told("e", host=ALICE)
    await stage.leave("a", "b", "c")
    assert "admitted" == await stage.told("f", "m2", host=ALICE)
    await stage.leave("d", "f")
    assert {"ports": 0} == await stage.pools()


async def test_T4_4_T1_4_a_meeting_that_never_had_a_host_leg_waits_for_one_when_ports_take_over(stage: Stage) -> None:
    """Under the host plan it needed none; guests who are in it stay, and its first host leg lets the next ones in."""
    await stage.hold(named_hosts("alice", **ENDS), ports(9))
    await stage.ask("a", host=ALICE, role="participant")
    await stage.at(FOLLOWING.start_ms)

    assert "host_not_present" == await stage.told("b", host=ALICE, role="participant")
    assert "admitted" == await stage.told("c", host=ALICE)
    assert "admitted" == await stage.told("d", host=ALICE, role="participant")
    assert {"hosts": 1, "ports": 3} == await stage.pools()


async def test_T2_3_a_host_plan_that_is_added_finds_the_meetings_that_its_host_has(stage: Stage) -> None:
    """Alice has two that ports license: more legs of theirs pass, a third meeting is refused until both have emptied."""
    await stage.hold(ports(9))
    await stage.ask("a", "m1", host=ALICE)
    await stage.ask("b", "m2", host=ALICE)
    await stage.hold(ports(9), named_hosts("alice", id="hosts"))

    assert "hosts" == (await stage.ask("c", "m1", host=ALICE)).licensed_by
    refused = await stage.ask("d", "m3", host=ALICE)
    assert ("host_busy", {"host": (2, None, 1)}) == (refused.reason.value, use(refused))
    await stage.leave("a", "c")
    assert "host_busy" == await stage.told("d", "m3", host=ALICE)
    await stage.leave("b")
    assert "admitted" == await stage.told("d", "m3", host=ALICE)
    assert {"hosts": 1, "ports": 1} == await stage.pools()


async def test_T2_1_a_host_who_is_removed_under_a_live_meeting_hosts_no_more(stage: Stage) -> None:
    """Live legs stay, nobody joins; provisioned again, everything goes on where it was."""
    await stage.hold(named_hosts("alice", "bob", simultaneous_hosts=1))
    await stage.ask("a", host=ALICE)
    await stage.hold(named_hosts("bob", simultaneous_hosts=1))
    assert "host_not_licensed" == await stage.told("b", host=ALICE)
    assert "hosts_full" == await stage.told("c", "m2", host=BOB)

    await stage.hold(named_hosts("alice", "bob", simultaneous_hosts=1))
    assert {"meeting": (2, None, 100), "hosts": (1, None, 1), "host": (1, None, 1)} == use(
        await stage.ask("b", host=ALICE)
    )
    await stage.leave("a", "b")
    assert "admitted" == await stage.told("d", "m2", host=BOB)


async def test_T2_6_T2_7_limits_that_are_lowered_under_live_legs_refuse_until_use_is_below(stage: Stage) -> None:
    """Three endpoints where two may be, two hosts where one may be: nobody is dropped."""
    await stage.hold(corporate())
    await stage.fill(3, "m1", host=ALICE)
    await stage.fill(1, "m2", prefix="b", host=BOB)
    await stage.hold(corporate(max_endpoints=2, simultaneous_hosts=1))

    assert ("meeting_full", "The meeting is full", {"meeting": (3, None, 2)}) == refusal(
        await stage.ask("c", host=ALICE)
    )
    assert "hosts_full" == await stage.told("d", "m3", host="carol@acme.example")
    await stage.leave("fill0")
    assert "meeting_full" == await stage.told("c", host=ALICE)
    await stage.leave("fill1")
    assert "admitted" == await stage.told("c", host=ALICE)
    await stage.leave("b0")
    assert "hosts_full" == await stage.told("d", "m3", host="carol@acme.example")
    await stage.leave("c", "fill2")
    assert "admitted" == await stage.told("d", "m3", host="carol@acme.example")


async def test_T1_4_events_that_were_bought_take_over_from_an_unlimited_plan_that_ends_under_its_event(
    stage: Stage,
) -> None:
    """The next attendee's leg uses one of them, once; what had been a licence in use is given back when the event empties."""
    await stage.hold(events(id="unlimited", **ENDS), per_event(1, id="pack"))
    assert "unlimited" == (await stage.ask("a", "e1", **FINANCE)).licensed_by
    assert {} == await stage.marks()
    await stage.at(FOLLOWING.start_ms)

    for leg in "bc":
        taken = await stage.ask(leg, "e1", **FINANCE)
        assert ("pack", ("pack",)) == (taken.licensed_by, taken.counted_in)
    assert {"attendees": (4, 1000, None)} == use(await stage.ask("d", "e1", **FINANCE))
    assert {"events pack": {"e1": True}} == await stage.marks()
    assert EXHAUSTED == refusal(await stage.ask("e", "e2", **FINANCE))
    assert {"events": 1} == await stage.pools()
    await stage.leave("a", "b", "c", "d")
    assert {} == await stage.pools()
    (event,) = await stage.core.events.events("acme")
    assert ("pack", 4, 4) == (event.licensed_by, event.peak_attendees, event.joined_total)


async def test_T1_4_an_event_whose_plan_ends_with_nothing_left_keeps_its_legs_only(stage: Stage) -> None:
    """Its attendees stay; who comes finds no event left, or no subscription."""
    await stage.hold(events(**ENDS), per_event(1))
    await stage.ask("a", "e1", service="event", department="finance")
    await stage.at(FOLLOWING.start_ms)
    await stage.ask("b", "e2", **FINANCE)

    assert EXHAUSTED == refusal(await stage.ask("c", "e1", **FINANCE))
    assert 2 == (await stage.core.reports.usage("acme")).snapshot.live
    await stage.hold(events(**ENDS))
    assert "subscription_inactive" == await stage.told("d", "e1", **FINANCE)


async def test_T12_1_licences_that_are_lowered_under_live_events_refuse_the_next_one(stage: Stage) -> None:
    """Two events of two licences; with one licence both go on, and none begins until both have ended."""
    await stage.hold(events(departments={"finance": 2}))
    for event in ("e1", "e2"):
        await stage.ask(event, event, **FINANCE)
    await stage.hold(events(departments={"finance": 1}))

    assert "admitted" == await stage.told("b", "e2", **FINANCE)
    refused = await stage.ask("c", "e3", **FINANCE)
    assert ("events_concurrent_full", {"events": (2, None, 1)}) == (refused.reason.value, use(refused))
    await stage.leave("e1")
    assert "events_concurrent_full" == await stage.told("c", "e3", **FINANCE)
    await stage.leave("e2", "b")
    assert "admitted" == await stage.told("c", "e3", **FINANCE)


async def test_T12_1_a_plan_that_is_added_takes_over_an_event_that_was_bought_only_when_it_opens_anew(
    stage: Stage,
) -> None:
    """As long as it is live, it stays under what it was drawn from, and takes no licence."""
    await stage.hold(per_event(1, id="pack"))
    await stage.ask("a", "e1", **FINANCE)
    await stage.hold(per_event(1, id="pack"), events(id="unlimited"))

    assert "pack" == (await stage.ask("b", "e1", **FINANCE)).licensed_by
    assert "unlimited" == (await stage.ask("c", "e2", **FINANCE)).licensed_by
    await stage.leave("a", "b", "c")
    again = await stage.ask("d", "e1", **FINANCE)
    assert ("unlimited", (1, None, 1)) == (again.licensed_by, use(again)["events"])


@pytest.mark.parametrize("rooms", [dolby_rooms, network_rooms], ids=["T13", "T14"])
async def test_T13_1_a_licence_removed_while_its_room_is_in_a_meeting_loses_no_count(stage: Stage, rooms: Any) -> None:
    """The room's leg stays, further ones are refused; licensed again, it is still in that meeting, and free when it has left."""
    await stage.hold(ports(9), rooms("boardroom"))
    for meeting in ("m1", "m2"):
        await stage.ask(f"host {meeting}", meeting)
    await stage.ask("a", "m1", room="boardroom", **GUEST)
    await stage.hold(ports(9))
    assert "room_not_licensed" == await stage.told("b", "m1", room="boardroom", **GUEST)
    assert {"ports": 3} == await stage.pools()

    await stage.hold(ports(9), rooms("boardroom"))
    assert IN_USE == refusal(await stage.ask("c", "m2", room="boardroom", **GUEST))
    await stage.hold(ports(9))
    await stage.leave("a")
    await stage.hold(ports(9), rooms("boardroom"))
    assert "admitted" == await stage.told("c", "m2", room="boardroom", **GUEST)


async def test_T13_1_a_room_that_changes_its_plan_is_the_same_room(stage: Stage) -> None:
    """From T13 to T14 while it is in a meeting."""
    await stage.hold(ports(9), dolby_rooms("boardroom"))
    for meeting in ("m1", "m2"):
        await stage.ask(f"host {meeting}", meeting)
    await stage.ask("a", "m1", room="boardroom", **GUEST)
    await stage.hold(ports(9), network_rooms("boardroom"))

    assert "admitted" == await stage.told("b", "m1", room="boardroom", **GUEST)
    assert IN_USE == refusal(await stage.ask("c", "m2", room="boardroom", **GUEST))


async def test_T1_5_one_subscription_of_two_ends_under_their_legs(stage: Stage) -> None:
    """Five of two and three; from the next day on two: nobody is dropped, nobody joins until one is left, and the licence is the other's."""
    await stage.hold(ports(2, id="stays"), ports(3, id="ends", **ENDS))
    await stage.fill(5)
    await stage.at(FOLLOWING.start_ms)

    refused = await stage.ask("a")
    assert ("ports_full", {"ports": (5, 2, 2)}) == (refused.reason.value, use(refused))
    await stage.leave("fill0", "fill1", "fill2")
    assert "ports_full" == await stage.told("a")
    await stage.leave("fill3")
    last = await stage.ask("a")
    assert ("stays", ("stays",)) == (last.licensed_by, last.counted_in)
    expected = {("2026-06-10", "ports"): (5, 5, 0), ("2026-06-11", "ports"): (2, 5, 3)}
    assert expected == await stage.overage(TODAY, FOLLOWING)


async def test_T10_3_a_paid_subscription_goes_on_when_the_offer_ends_under_their_legs(stage: Stage) -> None:
    """Two of the offer and one paid: the legs stay above what is committed then, and the next one is overage too."""
    paid = teams_ports(1, enforcement="metered", id="paid", **term("2026-01-02", "2026-12-31"))
    await stage.hold(special_offer(2, id="offer", ends_on=str(TODAY.date)), paid)
    await stage.fill(3, service="teams", endpoint="sip")
    await stage.at(FOLLOWING.start_ms)
    last = await stage.ask("d", service="teams", endpoint="sip")

    assert (True, "paid", ("paid",)) == (last.overage, last.licensed_by, last.counted_in)
    expected = {("2026-06-10", "teams_ports"): (3, 3, 0), ("2026-06-11", "teams_ports"): (1, 4, 3)}
    assert expected == await stage.overage(TODAY, FOLLOWING)


async def test_T15_3_a_telephone_limit_that_is_added_finds_the_telephones_that_are_there(stage: Stage) -> None:
    """Two of one: refused until one is left; taken away again, telephones join freely."""
    await stage.hold(ports(9))
    await stage.fill(2, **PHONE)
    await stage.hold(ports(9, pstn_limit=2, pstn_enforcement="hard"))
    refused = await stage.ask("a", **PHONE)
    assert ("pstn_full", {"pstn": (2, 2, 2)}) == (refused.reason.value, use(refused))
    await stage.leave("fill0")
    assert (2, 2, 2) == use(await stage.ask("a", **PHONE))["pstn"]

    await stage.hold(ports(9))
    assert {"ports": (3, 9, 9), "meeting": (3, None, 100)} == use(await stage.ask("b", **PHONE))


async def test_T17_1_a_pool_that_is_removed_under_its_legs_and_comes_back_has_them_still(stage: Stage) -> None:
    """Two from China: without the subscription nobody joins from there, with it the pool is as full as before."""
    await stage.hold(ports(9), china(2))
    await stage.fill(2, access="china")
    await stage.hold(ports(9))
    assert "access_not_licensed" == await stage.told("a", access="china")
    await stage.leave("fill0")
    await stage.hold(ports(9), china(1))

    refused = await stage.ask("a", access="china")
    assert ("china_full", {"china": (1, 1, 1)}) == (refused.reason.value, use(refused))


async def test_T1_4_legs_move_out_of_a_meeting_whose_plan_has_ended(stage: Stage) -> None:
    """They give back what they held under the old plan, and take what the new one says; the host counts as one until all have left."""
    await stage.hold(named_hosts("alice", **ENDS), ports(9, id="ports"))
    for leg in "ab":
        await stage.ask(leg, "m1", host=ALICE)
    await stage.at(FOLLOWING.start_ms)

    moved = [await stage.moved(leg, "m2", "m1", host=ALICE) for leg in "ab"]
    assert ["ports", "ports"] == [decision.licensed_by for decision in moved]
    assert [(1, None, 100), (2, None, 100)] == [use(decision)["meeting"] for decision in moved]
    assert {"hosts": 1, "ports": 2} == await stage.pools()
    await stage.leave("a", "b")
    assert {"ports": 0} == await stage.pools()


async def test_T2_3_T1_4_a_busy_host_is_never_named_a_meeting_that_has_emptied(stage: Stage) -> None:
    """Two meetings from before the plan was held; the one that went live last empties first, and the other still makes busy."""
    await stage.hold(ports(9))
    for meeting in ("m1", "m2"):
        await stage.ask(meeting, meeting, host=ALICE)
    await stage.hold(ports(9), named_hosts("alice"))
    assert "m2" == (await stage.ask("a", "m3", host=ALICE)).busy_meeting
    await stage.leave("m2")
    busy = await stage.ask("a", "m3", host=ALICE)

    assert "host_busy" == busy.reason.value
    assert busy.busy_meeting in {"m1", None}, (
        "of meetings that a later plan finds live, only the last one's name is kept"
    )
