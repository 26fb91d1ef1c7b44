"""Confirming: a leg that was let in is connected; one that the store does not know is there all the same, and is counted without a check."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from live_legs import NOON_MS, Life, living
from plans import china, dolby_rooms, network_rooms, per_event, premium_calling
from stage import TODAY, day_of
from support import Clock, admit, customer, events, install, join, named_hosts, ports, set_status, teams_ports, told

from gateway.admission import ConnectionConflict, CustomerUnknown
from gateway.core import Core
from gateway.decisions import Confirmation
from gateway.domain.days import day
from gateway.domain.join import Lease
from gateway.kernel.past import read_past


MakeCore = Callable[[], Awaitable[Core]]

LONG_S = 12 * 3600
TOMBSTONE_S = 120
ALICE, BOB = "alice@acme.example", "bob@acme.example"


@pytest.fixture
async def life(core: Core, clock: Clock, store_url: str) -> Life:
    """Noon of an ordinary day."""
    return await living(core, clock, store_url)


def confirmed(seconds: int) -> Confirmation:
    """The answer for a leg that was known."""
    return Confirmation("confirmed", Lease(provisional=False, expires_in_s=seconds))


def adopted(seconds: int) -> Confirmation:
    """The answer for a leg that is known from now on."""
    return Confirmation("adopted", Lease(provisional=False, expires_in_s=seconds))


@pytest.mark.parametrize(
    ("said", "before_s", "after_s"),
    [
        ({"node": "media-1"}, 30, 30),
        ({"node": "media-1", "lease_s": 60}, 60, 30),
        ({"node": "media-1", "lease_s": 10}, 10, 30),
        ({"lease_s": 45}, 45, 45),
        ({}, LONG_S, LONG_S),
    ],
    ids=["node", "node and longer lease", "node and shorter lease", "lease alone", "neither"],
)
async def test_a_confirmation_begins_the_lease_that_covers_a_connected_leg(
    life: Life, said: dict[str, Any], before_s: int, after_s: int
) -> None:
    """A node's leg lives as long as its node says so, one with a lease that long from now, one with neither for half a day."""
    await life.hold(ports(2))
    await life.ask("a", **said)
    assert {"a": before_s} == await life.leases()
    counts = await life.counts()
    await life.later(5)

    assert confirmed(after_s) == await life.confirm("a", **said)

    leg = await life.leg("a")
    assert leg is not None
    assert {"a": after_s} == await life.leases()
    assert (NOON_MS, NOON_MS + (5000 if said else 0)) == (leg.admitted_ms, leg.connected_ms)
    assert (after_s * 1000, False) == (leg.lease_ms, leg.adopted)
    assert counts == await life.counts()


async def test_a_leg_is_connected_once_and_only_that_is_told(life: Life) -> None:
    """Confirmations that come again move the lease, not the time since when it is connected, and add no entry to the outbox."""
    await life.hold(ports(2))
    await life.ask("a", lease_s=45)
    for _ in range(3):
        await life.later(20)
        assert confirmed(45) == await life.confirm("a", lease_s=45)

    leg = await life.leg("a")
    assert leg is not None
    assert NOON_MS + 20_000 == leg.connected_ms
    assert {"a": 45} == await life.leases()
    told = {"op": "confirm", "at": str(NOON_MS + 20_000), "customer": "acme", "connection": "a"}
    assert [told] == await life.entries("confirm", "adopt")


async def test_the_node_that_was_given_last_owns_the_leg(life: Life) -> None:
    """Only its release ends the leg; a confirmation without a node leaves the owner, and the lease that the owner keeps."""
    await life.hold(ports(2))
    await life.ask("a", node="media-1")
    await life.confirm("a", node="media-1")
    await life.later(10)

    assert confirmed(30) == await life.confirm("a", node="media-2")
    assert confirmed(30) == await life.confirm("a")

    leg = await life.leg("a")
    assert leg is not None
    assert ("media-2", 30_000, NOON_MS) == (leg.node, leg.lease_ms, leg.connected_ms)
    await life.core.admission.release("acme", "a", node="media-1")
    assert {"a": 30} == await life.leases()
    await life.core.admission.release("acme", "a", node="media-2")
    assert {} == await life.leases()
    assert 1 == len(await life.entries("confirm"))


async def test_a_leg_without_a_lease_gets_that_of_the_node_that_confirms_it(life: Life) -> None:
    """A media server that takes over a leg keeps it alive from then on."""
    await life.hold(ports(2))
    await life.ask("a")

    assert confirmed(30) == await life.confirm("a", node="media-1")

    assert {"a": 30} == await life.leases()
    assert 1 == (await life.beat("a"))[0]


async def test_T11_1_an_event_is_used_from_its_first_connected_leg_on(life: Life) -> None:
    """Legs that only ring use it for as long as they are there; the first of them to connect uses it for good."""
    await life.hold(per_event(2, id="e"))
    for connection in ("a", "b"):
        await life.ask(connection, "e1", service="event", role="presenter", node="media-1")
    await life.ask("c", "e2", service="event", role="presenter", node="media-1")
    assert {"events e": {"e1": False, "e2": False}} == await life.marks()

    await life.confirm("b", "e1", service="event", role="presenter", node="media-1")
    assert {"events e": {"e1": True, "e2": False}} == await life.marks()
    await life.leave("a", "b", "c")

    assert {"events e": {"e1": True}} == await life.marks()
    assert "admitted" == await life.told("d", "e2", service="event", role="presenter")
    assert "events_exhausted" == await life.told("e", "e3", service="event", role="presenter")


async def test_T4_5_T13_5_what_findings_are_made_of_is_noted_with_the_first_connected_leg(life: Life) -> None:
    """Owners of other domains and rooms abroad: what only rang is forgotten when it goes, what was connected stays."""
    await life.hold(ports(9, id="p"), dolby_rooms("boardroom", "huddle"))
    fields = {"host": "eve@globex.example", "node": "media-1"}
    await life.ask("a", "m1", **fields)
    await life.ask("b", "m1", role="participant", room="boardroom", country="FR", **fields)
    await life.ask("c", "m2", host="mallory@globex.example", node="media-1")
    await life.ask("d", "m2", role="participant", room="huddle", country="FR", node="media-1")

    await life.confirm("b", "m1", role="participant", room="boardroom", country="FR", **fields)
    await life.leave("a", "b", "c", "d")

    noted = {"foreign 2026-06": {"eve@globex.example": True}, "abroad 2026-06": {"boardroom FR": True}}
    assert noted == await life.marks()


async def test_a_mark_is_made_final_at_the_time_of_the_confirmation(life: Life) -> None:
    """It was made when the leg was let in."""
    await life.hold(per_event(2, id="e"))
    await life.ask("a", "e1", service="event", role="presenter", node="media-1")
    await life.later(7)
    await life.confirm("a", "e1", service="event", role="presenter", node="media-1")
    await life.later(7)
    await life.confirm("a", "e1", service="event", role="presenter", node="media-1")

    (mark,) = (await read_past(life.core.kernel, "acme")).marks["events e"]

    assert ("e1", NOON_MS, NOON_MS + 7000) == (mark.member, mark.made_ms, mark.connected_ms)


async def test_T1_2_legs_and_persons_are_counted_when_they_join_not_when_they_connect(life: Life) -> None:
    """Neither a confirmation nor an adoption is a leg that joins; a person that was adopted counts as somebody who is there."""
    await life.hold(ports(9), premium_calling())
    phone = {"endpoint": "pstn", "calling": "toll", "person": "pat@acme.example", "node": "media-1"}
    await life.ask("first", media="audio")
    await life.ask("a", **phone)
    assert (2, 2) == await life.tallies()

    await life.confirm("a", **phone)
    await life.confirm("b", person="sam@acme.example", node="media-1")
    assert (2, 2) == await life.tallies()
    await life.ask("c", **{**phone, "person": "sam@acme.example"})

    assert (3, 2) == await life.tallies()
    await life.leave("first", "a", "b", "c")
    assert {} == await life.counts()


FULL: dict[str, tuple[list[dict[str, Any]], dict[str, Any], list[dict[str, Any]]]] = {
    "ports": ([ports(1)], {}, [{}, {}]),
    "teams_ports": ([teams_ports(1)], {"service": "teams", "endpoint": "sip"}, [{}, {}]),
    "pstn": ([ports(9, pstn_limit=1, pstn_enforcement="hard"), premium_calling()],
        {"endpoint": "pstn", "calling": "toll"}, [{}, {}]),
    "china": ([ports(9), china(1)], {"access": "china"}, [{}, {}]),
    "meeting": ([named_hosts("alice", max_endpoints=1)], {"host": ALICE}, [{}, {}]),
    "hosts": ([named_hosts("alice", "bob", "carol", simultaneous_hosts=1)], {"host": ALICE},
        [{"host": BOB, "meeting": "m2"}, {"host": "carol@acme.example", "meeting": "m3"}]),
    "host": ([named_hosts("alice")], {"host": ALICE}, [{"meeting": "m2"}, {"meeting": "m3"}]),
    "room": ([ports(9), network_rooms("boardroom")], {"room": "boardroom", "role": "participant"},
        [{"meeting": "m2"}, {"meeting": "m3"}]),
    "events": ([events()], {"service": "event", "role": "presenter", "department": "finance"},
        [{"meeting": "m2"}, {"meeting": "m3"}]),
    "attendees": ([events(1, attendees_enforcement="hard")],
        {"service": "event", "role": "presenter", "department": "finance"}, [{}, {}]),
}  # fmt: skip
"""What is held, the join that fills its limit, and what else the next two say."""


@pytest.mark.parametrize("limit", list(FULL))
async def test_an_unknown_leg_is_counted_above_every_limit(life: Life, limit: str) -> None:
    """It is there, so nothing refuses it; the next join is refused, and when the leg goes there is as much room as before."""
    held, first, more = FULL[limit]
    await life.hold(*held)
    if "room" in first:
        for meeting in ("m1", "m2", "m3"):
            await life.ask(f"host-{meeting}", meeting)
    assert "admitted" == await life.told("a", **first)
    before = await life.counts()
    refused = await life.told("b", **{**first, **more[0]})
    assert refused.endswith(("_full", "_busy", "_in_use"))

    assert adopted(30) == await life.confirm("b", node="media-1", **{**first, **more[0]})

    after = await life.counts()
    raised = [group for group in before if after[group] == before[group] + 1 and group.partition(":")[0] == limit]
    assert 1 == len(raised)
    assert refused == await life.told("c", **{**first, **more[1]})
    await life.leave("b")
    assert before == await life.counts()
    assert ["b", "b"] == [each["connection"] for each in await life.entries("adopt", "release")]


async def test_T4_4_an_unknown_guest_is_counted_where_no_host_has_come_yet(life: Life) -> None:
    """The host may be unknown as well, and comes with its own confirmation."""
    await life.hold(ports(9))
    assert "host_not_present" == await life.told("a", role="participant")

    assert adopted(30) == await life.confirm("a", role="participant", node="media-1")

    assert {"ports": 1, "meeting:meeting:m1": 1} == await life.counts()
    assert "host_not_present" == await life.told("b", role="participant")


async def test_T11_1_T11_5_an_unknown_presenter_uses_an_event_above_what_is_held(life: Life) -> None:
    """Its event is marked and lives; but it is not counted as one more that joined."""
    await life.hold(per_event(1, id="e"))
    presenter = {"service": "event", "role": "presenter"}
    await life.ask("a", "e1", **presenter)

    await life.confirm("b", "e1", node="media-1", **presenter)
    await life.confirm("c", "e2", node="media-1", **presenter)

    assert {"events e": {"e1": True, "e2": True}} == await life.marks()
    ages = (await life.past()).ages
    assert {("attendees:event:e1", 2, 1, NOON_MS), ("attendees:event:e2", 1, 0, NOON_MS)} == {
        (age.group, age.peak, age.joined, age.since_ms) for age in ages if age.group.startswith("attendees")
    }
    await life.later(60)
    await life.leave("a", "b", "c")
    assert {60_000} == {age.live_ms(life.now_ms) for age in (await life.past()).ages}


async def test_T4_3_an_unknown_leg_raises_the_register_of_the_day(life: Life) -> None:
    """Above the commitment it is overage, as any leg."""
    await life.hold(ports(2, enforcement="metered"))
    await life.fill(2)

    for connection in ("a", "b"):
        await life.confirm(connection, node="media-1")

    assert {("2026-06-10", "ports"): (2, 4, 2)} == await life.overage(TODAY, TODAY)
    legs = {name: await life.leg(name) for name in ("a", "fill1")}
    assert {"a": (True, True), "fill1": (False, False)} == {
        name: (leg.overage, leg.adopted) for name, leg in legs.items() if leg
    }


async def test_in_shadow_mode_an_unknown_leg_takes_nothing_where_it_would_be_denied(life: Life) -> None:
    """Within the limits it takes its seat; neither is tallied, because neither asked to be let in."""
    await life.hold(ports(1), mode="shadow")
    await life.confirm("a", node="media-1")
    await life.confirm("b", node="media-1")

    snapshot = (await life.core.reports.usage("acme")).snapshot

    assert (2, 1, 1) == (snapshot.live, snapshot.shadow_live, (await life.counts())["ports"])
    assert ({}, {}, 0) == (dict(snapshot.denied), dict(snapshot.would_deny), snapshot.joined)
    leg = await life.leg("b")
    assert leg is not None
    assert ("ports_full", True, ()) == (leg.would_deny, leg.adopted, leg.groups)
    await life.leave("b", "a")


async def test_T20_1_a_leg_of_a_suspended_customer_is_there_all_the_same(life: Life) -> None:
    """Nobody joins any more, but who is there is not ended by the gateway; it is live, and its seat is given back when it goes."""
    await life.hold(ports(2))
    await set_status(life.core.entitlements, "suspended")
    assert "customer_suspended" == await life.told("a")

    assert adopted(30) == await life.confirm("a", node="media-1")

    assert {"a": 30} == await life.leases()
    assert 1 == (await life.core.reports.usage("acme")).snapshot.live
    await life.leave("a")
    assert {} == await life.leases()


async def test_a_leg_of_nobody_is_not_counted(life: Life) -> None:
    """There is no customer to count it for; nothing is written."""
    with pytest.raises(CustomerUnknown):
        await life.confirm("a", node="media-1")

    assert [] == await life.entries("adopt", "confirm", "deny")
    assert {} == await life.leases()
    assert [] == await life.redis("KEYS", "*:acme:*")


async def test_a_leg_that_was_released_is_not_adopted_for_two_minutes(life: Life) -> None:
    """Its confirmation and its release have crossed; after that the id is unknown, and a leg that says it is there is there."""
    await life.hold(ports(2))
    await life.ask("a", node="media-1")
    await life.leave("a")

    for seconds in (0, TOMBSTONE_S - 1):
        await life.later(seconds)
        assert Confirmation("released") == await life.confirm("a", node="media-1")
    assert {} == await life.counts()
    await life.later(1)

    assert adopted(30) == await life.confirm("a", node="media-1")


async def test_a_leg_that_an_operator_ended_is_to_be_dropped(life: Life) -> None:
    """The node that still has it is told so."""
    await life.hold(ports(2))
    await life.ask("a", node="media-1")
    await life.core.admission.release("acme", "a", cause="operator")

    assert Confirmation("released", drop=True) == await life.confirm("a", node="media-1")

    assert {} == await life.counts()


async def test_a_leg_that_is_something_else_is_a_conflict(life: Life) -> None:
    """Nothing changes, neither its lease nor who owns it."""
    await life.hold(ports(2))
    await life.ask("a", "m1", node="media-1")
    await life.later(10)

    with pytest.raises(ConnectionConflict):
        await life.confirm("a", "m2", node="media-2")

    leg = await life.leg("a")
    assert leg is not None
    assert ("media-1", None, {"a": 20}) == (leg.node, leg.connected_ms, await life.leases())


async def test_T4_3_an_adoption_may_be_the_first_thing_on_a_new_day(life: Life) -> None:
    """The day before is closed without it, and the new one begins with it."""
    await life.hold(ports(1))
    await life.ask("a")
    await life.at(day(TODAY.ordinal + 1).start_ms)

    assert adopted(30) == await life.confirm("b", node="media-1")

    assert {("2026-06-10", "ports"): (1, 1, 0), ("2026-06-11", "ports"): (1, 2, 1)} == await life.overage(
        TODAY, day_of("2026-06-11")
    )


async def test_a_known_leg_is_confirmed_on_a_new_day(life: Life) -> None:
    """Its seat is carried over midnight by whatever comes next."""
    await life.hold(ports(1))
    await life.ask("a", lease_s=300)
    await life.at(day(TODAY.ordinal + 1).start_ms)

    assert confirmed(300) == await life.confirm("a", lease_s=300)

    assert {("2026-06-10", "ports"): (1, 1, 0), ("2026-06-11", "ports"): (1, 1, 0)} == await life.overage(
        TODAY, day_of("2026-06-11")
    )


async def test_an_adoption_goes_by_the_entitlements_of_now(life: Life, make_core: MakeCore) -> None:
    """Also on a gateway with an old copy of them."""
    other = await make_core()
    await life.hold(ports(2, id="old"))
    await admit(other, join("a"))
    await life.hold(ports(1, id="new", enforcement="metered"))

    await other.admission.confirm(join("b", node="media-1"))

    leg = await life.leg("b")
    assert leg is not None
    assert (True, True) == (leg.overage, b"new" in leg.info)


async def test_an_adoption_goes_by_the_facts_of_the_live_meeting(life: Life, make_core: MakeCore) -> None:
    """A meeting belongs to who has opened it, whatever a gateway has heard of it before, or the leg says."""
    other = await make_core()
    await life.hold(named_hosts("alice", "bob"))
    await admit(other, join("a", host=ALICE))
    await life.leave("a")
    await life.ask("b", host=BOB)

    await other.admission.confirm(join("c", host=ALICE, role="participant", node="media-1"))

    chain = {"meeting:meeting:m1": 2, f"host:meeting:{BOB}": 1, "hosts:meeting": 1}
    assert chain == {name: count for name, count in (await life.counts()).items() if name in chain or "alice" in name}


async def test_an_adopted_leg_is_known_from_then_on(life: Life) -> None:
    """An admit of it is answered as any that comes again, another confirmation and a move as of any leg."""
    await life.hold(ports(2))
    assert adopted(30) == await life.confirm("a", node="media-1")

    decision = await life.ask("a", node="media-1")
    assert ("replayed", Lease(provisional=False, expires_in_s=30)) == (told(decision), decision.lease)
    assert confirmed(30) == await life.confirm("a", node="media-1")
    assert "admitted" == told(await life.moved("a", "m2", "m1"))

    leg = await life.leg("a")
    assert leg is not None
    assert leg.adopted
    assert {"ports": 1, "meeting:meeting:m2": 1, "hosting:meeting:m2": 1} == await life.counts()
    assert (0, 0) == await life.tallies()


async def test_many_confirmations_of_one_unknown_leg_count_it_once(life: Life, make_core: MakeCore) -> None:
    """Over two gateways at one time: one adopts it, the others confirm it."""
    other = await make_core()
    await life.hold(ports(1))
    cores = [life.core, other] * 20

    answers = await asyncio.gather(*[core.admission.confirm(join("a", node="media-1")) for core in cores])

    assert (1, 39) == tuple([sum(each.result == what for each in answers) for what in ("adopted", "confirmed")])
    assert {"ports": 1, "meeting:meeting:m1": 1, "hosting:meeting:m1": 1} == await life.counts()
    assert 1 == len(await life.entries("adopt", "confirm"))


async def test_adoptions_and_joins_at_one_time_leave_exact_counts(life: Life, make_core: MakeCore) -> None:
    """Ten seats, forty legs that are there and forty that ask: all of the former are counted, and whoever was let in was within the limit."""
    other = await make_core()
    await life.hold(ports(10))
    joins = [admit([life.core, other][each % 2], join(f"ask{each}")) for each in range(40)]
    adoptions = [
        [life.core, other][each % 2].admission.confirm(join(f"is{each}", node="media-1")) for each in range(40)
    ]

    decisions, _ = await asyncio.gather(asyncio.gather(*joins), asyncio.gather(*adoptions))

    admitted = sum(decision.admitted for decision in decisions)
    assert admitted <= 10
    assert (await life.counts())["ports"] == 40 + admitted
    assert {("2026-06-10", "ports"): (10, 40 + admitted, 30 + admitted)} == await life.overage(TODAY, TODAY)


async def test_an_adoption_leaves_room_for_another_customer(life: Life) -> None:
    """Legs of two customers with the same id are two legs."""
    await life.hold(ports(1))
    await install(life.core.entitlements, customer(ports(1), id="globex", domains=["globex.example"]))
    await life.confirm("a", node="media-1")

    await life.core.admission.confirm(join("a", customer="globex", node="media-1"))

    assert [1, 1] == [(await life.core.reports.usage(name)).snapshot.live for name in ("acme", "globex")]
