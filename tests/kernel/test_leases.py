"""Leases: legs live as long as somebody says so, and what has lapsed is given back; never because the way to the store was cut."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from http_client import everything_in
from live_legs import BUCKET, NOON_MS, Life, living
from plans import network_rooms, per_event
from stage import TODAY, day_of
from support import Clock, admit, customer, events, install, join, named_hosts, ports, told

from gateway.core import Core
from gateway.domain.days import day
from gateway.kernel.keys import bucket_of


MakeCore = Callable[[], Awaitable[Core]]

LEASE_S = 30
TOMBSTONE_S = 120
ALICE, BOB = "alice@acme.example", "bob@acme.example"


@pytest.fixture
async def life(core: Core, clock: Clock, store_url: str) -> Life:
    """Noon of an ordinary day, and sweeps have gone on for a while."""
    made = await living(core, clock, store_url)
    await made.watched()
    return made


async def connect(life: Life, *legs: str, **fields: Any) -> None:
    """Legs of a node are let in and confirmed."""
    for leg in legs:
        assert "admitted" == await life.told(leg, node="media-1", **fields)
        await life.confirm(leg, node="media-1", **fields)


# Renewing


async def test_a_leg_that_its_node_lists_lives_one_lease_longer(life: Life) -> None:
    """From the heartbeat on; what the list lacks keeps what it has."""
    await life.hold(ports(3))
    await connect(life, "a", "b")
    await life.later(10)

    assert (1, [], []) == await life.beat("a")

    assert {"a": LEASE_S, "b": LEASE_S - 10} == await life.leases()


async def test_a_heartbeat_never_shortens_a_lease(life: Life) -> None:
    """A leg that may ring for longer does."""
    await life.hold(ports(3))
    await life.ask("ringing", node="media-1", lease_s=300)
    await life.ask("long")

    assert (2, [], []) == await life.beat("ringing", "long")

    assert {"ringing": 300, "long": 12 * 3600} == await life.leases()


async def test_a_list_that_comes_late_or_twice_does_nothing_worse(life: Life) -> None:
    """The same page again renews again; one that was overtaken by a release renews nothing."""
    await life.hold(ports(3))
    await connect(life, "a", "b")
    for _ in range(2):
        assert (2, [], []) == await life.beat("a", "b")
    await life.leave("b")

    assert (1, [], []) == await life.beat("a", "b")

    assert {"a": LEASE_S} == await life.leases()


async def test_a_heartbeat_is_told_what_is_unknown_and_what_an_operator_ended(life: Life) -> None:
    """What was released just now is neither: the release and the list have crossed."""
    await life.hold(ports(9))
    await connect(life, "a", "ended", "left")
    await life.core.admission.release("acme", "ended", cause="operator")
    await life.leave("left")

    assert (1, ["never"], ["ended"]) == await life.beat("a", "ended", "left", "never")


async def test_a_node_is_told_for_two_minutes_that_an_operator_ended_a_leg(life: Life) -> None:
    """Longer than it is without a heartbeat while it lives; after that the leg is unknown like any that was never heard of."""
    await life.hold(ports(9))
    await connect(life, "ended")
    await life.core.admission.release("acme", "ended", cause="operator")

    for seconds, told_so in ((0, True), (TOMBSTONE_S - 1, True), (1, False)):
        await life.later(seconds)
        assert (0, [] if told_so else ["ended"], ["ended"] if told_so else []) == await life.beat("ended")


async def test_a_heartbeat_speaks_of_several_customers(life: Life) -> None:
    """Each leg is one of its customer's; of a customer that is not known all is unknown."""
    globex = customer(ports(2), id="globex", domains=["globex.example"])
    await install(life.core.entitlements, globex)
    await life.hold(ports(2))
    await connect(life, "a")
    await life.core.admission.confirm(join("b", customer="globex", node="media-1"))

    listed = {"acme": ["a", "b"], "globex": ["a", "b"], "nobody": ["a"]}
    beat = await life.core.heartbeats.beat("media-1", listed, page=1, pages=1)

    assert 2 == beat.renewed
    assert {"acme": ["b"], "globex": ["a"], "nobody": ["a"]} == beat.unknown


async def test_a_page_of_more_legs_than_one_script_takes_is_renewed_whole(life: Life) -> None:
    """1,203 legs in three scripts, with the unknown ones where they belong."""
    await life.hold(ports(1300))
    legs = [f"leg{number}" for number in range(1200)]
    await asyncio.gather(*[admit(life.core, join(leg, f"m{at // 50}", node="media-1")) for at, leg in enumerate(legs)])
    await life.later(20)
    listed = [*legs]
    for place in (0, 600, 1202):
        listed.insert(place, f"unknown{place}")

    assert (1200, ["unknown0", "unknown600", "unknown1202"], []) == await life.beat(*listed)

    assert {LEASE_S} == set((await life.leases()).values())


async def test_who_asks_again_keeps_what_was_let_in(life: Life) -> None:
    """A provisional leg lives one more of its leases; one that its node keeps alive is left to the node."""
    await life.hold(ports(9))
    await life.ask("ringing", lease_s=40)
    await life.ask("with node", node="media-1")
    await connect(life, "connected")
    await life.later(15)

    for leg, said in (("ringing", {"lease_s": 40}), ("with node", {"node": "media-1"}), ("connected", {})):
        assert "replayed" == await life.told(leg, **said)

    assert {"ringing": 40, "with node": LEASE_S, "connected": LEASE_S - 15} == await life.leases()


async def test_a_move_leaves_a_leg_its_lease_and_its_node(life: Life) -> None:
    """Unless another node says that it has the leg now."""
    await life.hold(ports(9))
    await connect(life, "a")
    await life.later(10)

    for meeting, origin, said, owner in (("m2", "m1", {}, "media-1"), ("m3", "m2", {"node": "media-2"}, "media-2")):
        assert "admitted" == told(await life.moved("a", meeting, origin, **said))
        leg = await life.leg("a")
        assert leg is not None
        assert (owner, NOON_MS + 30_000, {"a": LEASE_S - 10}) == (leg.node, leg.connected_ms, await life.leases())


# Pages of a heartbeat


async def nodes(life: Life) -> dict[str, tuple[int, int | None, int | None, int]]:
    """Seconds since noon of the last sign of life, of the last complete heartbeat, of one with nothing unknown; and how many legs it held."""

    def since(at_ms: int | None) -> int | None:
        return None if at_ms is None else (at_ms - NOON_MS) // 1000

    return {
        each.node: (since(each.last_ms) or 0, since(each.full_ms), since(each.whole_ms), each.legs)
        for each in await life.core.heartbeats.nodes()
    }


async def page(life: Life, number: int, pages: int, *connections: str) -> None:
    """One page of a heartbeat."""
    await life.core.heartbeats.beat("media-1", {"acme": connections} if connections else {}, page=number, pages=pages)


@pytest.mark.parametrize(
    ("pages", "full"),
    [
        ([(1, 1)], True),
        ([(1, 3), (2, 3), (3, 3)], True),
        ([(1, 3), (3, 3), (2, 3)], False),
        ([(1, 3), (2, 3), (2, 3), (3, 3)], True),
        ([(1, 3), (2, 3), (3, 3), (3, 3)], True),
        ([(2, 3), (3, 3)], False),
        ([(1, 3), (3, 3)], False),
        ([(1, 3), (2, 3)], False),
        ([(1, 2), (2, 3), (3, 3)], False),
        ([(1, 3), (1, 2), (2, 2)], True),
    ],
    ids=["one", "in order", "out of order", "one twice", "the last twice", "no first", "a gap", "no last", "mixed", "begun again"],
)  # fmt: skip
async def test_a_heartbeat_is_complete_with_all_its_pages_in_order(
    life: Life, pages: list[tuple[int, int]], full: bool
) -> None:
    """Each page says that the node lives, and only all of them, in order, what it holds; pages that come twice change nothing."""
    await life.at(NOON_MS + 60_000)
    for number, of in pages:
        await page(life, number, of)

    assert {"media-1": (60, 60 if full else None, 60 if full else None, 0)} == await nodes(life)


async def test_a_heartbeat_is_whole_when_nothing_in_it_was_unknown(life: Life) -> None:
    """On any of its pages; the one before it does not count."""
    await life.hold(ports(9))
    await connect(life, "a", "b")
    await life.at(NOON_MS + 60_000)
    await page(life, 1, 2, "a", "unknown")
    await page(life, 2, 2, "b")
    assert {"media-1": (60, 60, None, 3)} == await nodes(life)

    await life.later(10)
    await page(life, 1, 2, "a")
    assert {"media-1": (70, 60, None, 3)} == await nodes(life)
    await page(life, 2, 2, "b")

    assert {"media-1": (70, 70, 70, 2)} == await nodes(life)


async def test_nodes_are_forgotten_a_day_after_their_last_word(life: Life) -> None:
    """And at once when they leave."""
    await page(life, 1, 1)
    await life.core.heartbeats.beat("media-2", {}, page=1, pages=1)
    await life.core.heartbeats.leave("media-2")
    assert ["media-1"] == list(await nodes(life))

    await life.later(24 * 3600)
    assert ["media-1"] == list(await nodes(life))
    await life.later(1)

    assert [] == list(await nodes(life))


# Sweeping


async def test_a_leg_that_nobody_lists_any_more_is_reclaimed_after_its_lease(life: Life) -> None:
    """Not a millisecond before; its last sign of life is told, and its id is free at once."""
    await life.hold(ports(2))
    await connect(life, "a", "b")
    await life.swept_later(10)
    await life.beat("a", "b")
    await life.swept_later(10)
    await life.beat("b")
    assert 0 == await life.swept_later(19)
    await life.later(0.999)
    assert {"a": 0.001, "b": 10.001} == await life.leases()
    now_ms = life.now_ms + 1

    await life.later(0.001)
    assert 0 == await life.sweep()  # somebody swept less than two seconds ago
    await life.later(2)
    assert 1 == await life.sweep()

    told = {"op": "reclaim", "at": str(now_ms + 2000), "customer": "acme", "connection": "a", "cause": "lapsed"}
    assert [{**told, "alive": str(now_ms - 30_000)}] == await life.entries("reclaim")
    assert {"b": 8} == await life.leases()
    assert "admitted" == await life.told("a")


async def test_a_reclaimed_leg_that_is_alive_is_adopted_again(life: Life) -> None:
    """There is no tombstone: the node lists it, hears that it is unknown, and confirms it, above a limit that is full by then."""
    await life.hold(ports(1))
    await connect(life, "a")
    assert 1 == await life.swept_later(LEASE_S)
    assert "admitted" == await life.told("b")

    assert (0, ["a"], []) == await life.beat("a")
    assert "adopted" == (await life.confirm("a", node="media-1")).result

    assert 2 == (await life.counts())["ports"]
    assert "ports_full" == await life.told("c")


HELD: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "hosts and rooms": (
        [named_hosts("alice", "bob"), ports(9), network_rooms("boardroom")],
        [{"host": ALICE}, {"host": ALICE, "role": "participant", "room": "boardroom"}, {"host": BOB, "meeting": "m2"}],
    ),
    "a host that leaves guests alone": (
        [ports(9)],
        [{}, {"role": "participant", "lease_s": 300}],
    ),
    "events": (
        [events(), per_event(2, id="e")],
        [
            {"service": "event", "role": "presenter", "department": "finance"},
            {"service": "event", "role": "moderator", "department": "finance"},
            {"service": "event", "role": "attendee", "department": "sales", "meeting": "m2"},
        ],
    ),
    "persons": (
        [ports(9)],
        [{"media": "audio"}, {"person": "pat@acme.example"}, {"person": "pat@acme.example"}],
    ),
}
"""What is held, and the legs that lapse; those with a lease of their own stay."""


async def stored(life: Life) -> dict[str, Any]:
    """All that is kept of the customer but what says when, and who left how."""
    found = await everything_in(life.url)
    kept = {name: found[name][1] for name in found if name.endswith((":groups", ":past", ":leases"))}
    legs = next(found[name][1] for name in found if name.endswith(":legs"))
    return {**kept, "legs": sorted(name for name, value in legs.items() if not value.startswith(b"-"))}


@pytest.mark.parametrize("confirmed", [True, False], ids=["connected", "provisional"])
@pytest.mark.parametrize("held", list(HELD))
async def test_a_reclaim_gives_back_exactly_what_a_release_does(life: Life, held: str, confirmed: bool) -> None:
    """Groups and their parents, marks, running times, what is bound: the same is stored after either."""
    subscriptions, legs = HELD[held]
    await life.hold(*subscriptions)
    for number, fields in enumerate(legs):
        said = {"node": "media-1", **fields}
        assert "admitted" == await life.told(f"leg{number}", **said), fields
        if confirmed and "lease_s" not in fields:
            await life.confirm(f"leg{number}", **said)
    lapsing = [f"leg{number}" for number, fields in enumerate(legs) if "lease_s" not in fields]
    before = await life.core.store.command("DUMP", f"gateway:{{b{BUCKET:02d}}}:acme:groups")
    keys = [f"gateway:{{b{BUCKET:02d}}}:acme:{key}" for key in ("groups", "legs", "leases", "past")]
    dumps = {key: await life.core.store.command("DUMP", key) for key in keys}
    assert before
    await life.swept_later(20)
    await life.later(LEASE_S - 20)
    assert len(lapsing) == await life.sweep()
    reclaimed = await stored(life)

    for key, dump in dumps.items():
        await life.redis("RESTORE", key, 0, dump, "REPLACE")
    for leg in lapsing:
        await life.leave(leg)

    assert await stored(life) == reclaimed
    assert len(lapsing) == len(await life.entries("reclaim"))


async def test_the_last_sign_of_life_is_never_before_the_leg(life: Life) -> None:
    """A leg that was let in and never heard of again has lived for no time; one with a lease of its own since its last confirmation."""
    await life.hold(ports(9))
    await life.ask("silent", node="media-1")
    await life.ask("alone", lease_s=20)
    await life.swept_later(5)
    await life.confirm("alone", lease_s=20)

    assert 2 == await life.swept_later(LEASE_S - 5)

    alive = {each["connection"]: int(each["alive"]) - life.now_ms for each in await life.entries("reclaim")}
    assert {"silent": -LEASE_S * 1000, "alone": 5000 - LEASE_S * 1000} == alive


async def test_legs_of_several_customers_of_a_bucket_are_reclaimed_together(life: Life) -> None:
    """Each of its own customer, and more than one script takes."""
    name = next(f"c{number}" for number in range(1000) if bucket_of(f"c{number}") == BUCKET)
    await install(life.core.entitlements, customer(ports(200), id=name, domains=[f"{name}.example"]))
    await life.hold(ports(200))
    await asyncio.gather(*[admit(life.core, join(f"long{each}", f"m{each // 50}")) for each in range(200)])
    await life.hold(ports(300))
    for asked in (join(f"leg{each}", "x", customer=of, node="media-1") for of in ("acme", name) for each in range(70)):
        assert "admitted" == told(await admit(life.core, asked))

    assert 140 == await life.swept_later(LEASE_S)

    live = [(await life.core.reports.usage(of)).snapshot.live for of in ("acme", name)]
    assert [200, 0] == live


async def test_T4_3_a_sweep_may_be_the_first_thing_on_a_new_day(life: Life) -> None:
    """The seat was taken at midnight, and is given back on the new day."""
    await life.hold(ports(2))
    await life.at(day(TODAY.ordinal + 1).start_ms - 60_000)
    await life.watched()
    await connect(life, "a")

    assert 1 == await life.swept_later(LEASE_S)

    assert day(TODAY.ordinal + 1).start_ms == life.now_ms
    days = await life.overage(TODAY, day_of("2026-06-11"))
    assert {("2026-06-10", "ports"): (2, 1, 0), ("2026-06-11", "ports"): (2, 1, 0)} == days
    assert [0, 1] == [(await life.core.reports.usage("acme")).snapshot.live, len(await life.entries("reclaim"))]


async def test_two_sweepers_and_joins_at_one_time_leave_exact_counts(life: Life, make_core: MakeCore) -> None:
    """Thirty legs lapse while thirty others join and some leave; each lapsed leg is reclaimed once."""
    other = await make_core()
    await life.hold(ports(200))
    await asyncio.gather(*[admit(life.core, join(f"long{each}")) for each in range(40)])
    await asyncio.gather(*[admit(life.core, join(f"ghost{each}", node="media-1")) for each in range(30)])
    await life.swept_later(20)
    await life.later(10)

    async def leave(leg: str) -> None:
        await other.admission.release("acme", leg)

    counts, _, _ = await asyncio.gather(
        asyncio.gather(*[core.sweeper.sweep(BUCKET, period_s=0) for core in (life.core, other)]),
        asyncio.gather(*[admit([life.core, other][each % 2], join(f"new{each}")) for each in range(30)]),
        asyncio.gather(*[leave(f"ghost{each}") for each in range(0, 30, 3)]),
    )

    reclaimed = await life.entries("reclaim")
    assert 30 == len(reclaimed) + sum(each["connection"].startswith("ghost") for each in await life.entries("release"))
    assert len(reclaimed) == sum(counts)
    assert {"long": 40, "new": 30} == {
        kind: sum(leg.startswith(kind) for leg in await life.leases()) for kind in ("long", "new")
    }
    assert 70 == (await life.counts())["ports"]


# Guards


async def test_one_gateway_at_a_time_sweeps_a_bucket(life: Life, make_core: MakeCore) -> None:
    """Whoever comes within two seconds leaves it to the first, whichever gateway that was."""
    other = await make_core()
    await life.hold(ports(9))
    await life.ask("a", lease_s=20)
    await life.ask("b", lease_s=21)
    await life.swept_later(10)
    await life.later(10)

    assert [0, 1] == sorted(await asyncio.gather(life.sweep(), life.sweep(other)))
    await life.later(1.999)
    assert 0 == await life.sweep(other)
    await life.later(0.001)

    assert 1 == await life.sweep(other)


async def test_nothing_is_reclaimed_for_a_lease_after_nobody_swept_for_ten_seconds(life: Life) -> None:
    """What kept gateways from sweeping may have kept nodes from renewing: they get one lease to say what they have."""
    await life.hold(ports(9))
    await connect(life, "a", "b")
    await life.later(10.001)
    await life.later(LEASE_S)

    assert 0 == await life.sweep()
    assert 0 == await life.swept_later(LEASE_S - 10)
    assert (1, [], []) == await life.beat("a")

    assert 1 == await life.swept_later(10)
    assert {"a": 20} == await life.leases()


async def test_ten_seconds_between_two_sweeps_are_no_silence(life: Life) -> None:
    """Gateways are late now and then."""
    await life.hold(ports(9))
    await connect(life, "a")

    assert 1 == await life.swept_later(LEASE_S)


async def test_a_clock_that_goes_back_reclaims_nothing_for_a_lease(life: Life) -> None:
    """After a failover to a server whose clock is behind, as after any silence."""
    await life.hold(ports(9))
    await life.ask("a", lease_s=1)
    await life.later(5)
    await life.at(life.now_ms - 1000)
    await life.redis("HSET", f"gateway:{{b{BUCKET:02d}}}:meta", "swept", life.now_ms + 1)

    assert 0 == await life.sweep()
    assert 0 == await life.swept_later(LEASE_S - 1)

    assert 1 == await life.swept_later(2)


async def test_a_first_sweep_reclaims_nothing_for_a_lease(core: Core, clock: Clock, store_url: str) -> None:
    """Nobody knows how long nobody has swept."""
    life = await living(core, clock, store_url)
    await life.hold(ports(9))
    await life.ask("a", lease_s=1)
    await life.later(LEASE_S + 1)

    assert 0 == await life.sweep()
    assert 0 == await life.swept_later(LEASE_S - 1)

    assert 1 == await life.swept_later(2)


async def test_more_than_half_of_a_bucket_waits_one_more_lease(life: Life) -> None:
    """It is likelier that something is wrong than that so many have gone at once; when they have, they are reclaimed then."""
    await life.hold(ports(99))
    await connect(life, *[f"leg{number}" for number in range(21)])
    await life.fill(20, prefix="long")

    assert 0 == await life.swept_later(LEASE_S)
    assert 0 == await life.swept_later(LEASE_S - 1)
    assert 21 == await life.swept_later(2)

    assert 0 == await life.swept_later(2)
    assert "held" not in await life.guards()


async def test_what_comes_back_while_it_is_held_keeps_its_seat(life: Life) -> None:
    """And the next incident is held again."""
    await life.hold(ports(99))
    legs = [f"leg{number}" for number in range(30)]
    await connect(life, *legs)
    assert 0 == await life.swept_later(LEASE_S + 10)
    assert (29, [], []) == await life.beat(*legs[:29])

    assert 1 == await life.swept_later(2)
    assert 0 == await life.swept_later(LEASE_S - 2)
    assert 0 == await life.swept_later(LEASE_S - 1)

    assert 29 == await life.swept_later(2)


@pytest.mark.parametrize(("lapsing", "staying", "held"), [(20, 0, False), (21, 21, False), (21, 20, True)])
async def test_few_legs_and_half_of_them_are_not_held(life: Life, lapsing: int, staying: int, held: bool) -> None:
    """Up to twenty, or half of a bucket."""
    await life.hold(ports(99))
    await connect(life, *[f"leg{number}" for number in range(lapsing)])
    await life.fill(staying, prefix="long")

    assert (0 if held else lapsing) == await life.swept_later(LEASE_S)


async def test_more_than_one_round_takes_is_reclaimed_over_some_rounds(life: Life) -> None:
    """2,000 legs a round, so that nobody waits for long; the rest is not held up as if it were another incident."""
    await life.hold(ports(5000))
    legs = [f"leg{number}" for number in range(2100)]
    await asyncio.gather(*[admit(life.core, join(leg, f"m{at // 50}", node="media-1")) for at, leg in enumerate(legs)])
    await life.fill(1, "other", prefix="long")
    assert 0 == await life.swept_later(2 * LEASE_S - 10)

    assert 2000 == await life.swept_later(10)
    assert 100 == await life.swept_later(2)

    assert 1 == (await life.counts())["ports"]


# Lapsed legs that stand in a full limit


FULL: dict[str, tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]]] = {
    "ports_full": ([ports(1)], {}, {"meeting": "m2"}),
    "host_busy": ([named_hosts("alice")], {"host": ALICE}, {"meeting": "m2"}),
    "hosts_full": ([named_hosts("alice", "bob", simultaneous_hosts=1)], {"host": ALICE}, {"host": BOB, "meeting": "m2"}),
    "meeting_full": ([named_hosts("alice", max_endpoints=1)], {"host": ALICE}, {}),
    "room_in_use": ([ports(9), network_rooms("boardroom")], {"room": "boardroom", "role": "participant", "meeting": "r1"},
        {"meeting": "r2"}),
    "events_concurrent_full": ([events()], {"service": "event", "role": "presenter", "department": "finance"},
        {"meeting": "m2"}),
    "events_exhausted": ([per_event(1)], {"service": "event", "role": "presenter"}, {"meeting": "m2"}),
}  # fmt: skip
"""What is held, the leg that becomes a ghost, and what else the next one says."""


async def ghost_in(life: Life, reason: str) -> tuple[dict[str, Any], Life]:
    """A leg that has lapsed stands in the only place; the join that finds it there."""
    held, first, more = FULL[reason]
    await life.hold(*held)
    if "room" in first:
        for meeting in ("r1", "r2"):
            await life.ask(f"host-{meeting}", meeting)
    assert "admitted" == await life.told("ghost", node="media-1", **first)
    await life.swept_later(20)
    await life.later(9.999)
    assert reason == await life.told("early", **{**first, **more})
    await life.later(0.001)
    return {**first, **more}, life


@pytest.mark.parametrize("reason", list(FULL))
async def test_a_lapsed_leg_costs_nobody_a_seat(life: Life, reason: str) -> None:
    """The join that meets it reclaims it, and is let in; one millisecond before it was denied. It is tallied once, for that one."""
    asked, _ = await ghost_in(life, reason)

    assert "admitted" == await life.told("b", **asked)

    assert ["ghost"] == [each["connection"] for each in await life.entries("reclaim")]
    denied = (await life.core.reports.usage("acme")).snapshot.denied
    assert {reason: 1} == {each.value: count for each, count in denied.items()}
    assert 1 == len(await life.entries("deny"))


async def test_a_lapsed_leg_does_not_hinder_a_move(life: Life) -> None:
    """A host goes on to the meeting for which a ghost held the only host place."""
    await life.hold(named_hosts("alice", "bob", simultaneous_hosts=1), ports(9))
    await life.ask("ghost", "m1", host=ALICE, node="media-1")
    await life.ask("b", "m2")
    await life.swept_later(20)
    await life.later(10)

    assert "admitted" == told(await life.moved("b", "m3", "m2", host=BOB))

    assert ["ghost"] == [each["connection"] for each in await life.entries("reclaim")]
    assert {} == dict((await life.core.reports.usage("acme")).snapshot.denied)


async def test_in_shadow_mode_nobody_would_be_denied_for_a_lapsed_leg(life: Life) -> None:
    """The seat is there, and the leg takes it."""
    await life.hold(ports(1), mode="shadow")
    await life.ask("ghost", node="media-1")
    await life.swept_later(20)
    await life.later(10)

    assert "admitted" == await life.told("b")

    snapshot = (await life.core.reports.usage("acme")).snapshot
    assert (1, 0, {}) == (snapshot.live, snapshot.shadow_live, dict(snapshot.would_deny))


async def test_a_full_limit_without_a_lapsed_leg_of_it_denies_after_one_look(life: Life) -> None:
    """A lapsed leg elsewhere is reclaimed, the denial is tallied once."""
    await life.hold(ports(9), named_hosts("alice", simultaneous_hosts=1))
    await life.ask("ghost", "m9", node="media-1")
    await life.ask("a", "m1", host=ALICE)
    await life.swept_later(20)
    await life.later(10)

    assert "host_busy" == await life.told("b", "m2", host=ALICE)

    assert {"a": 12 * 3600 - 30} == await life.leases()
    assert 1 == len(await life.entries("deny"))


async def test_a_denial_that_is_no_limit_reclaims_nothing(life: Life) -> None:
    """No lapsed leg can be why a feature is not licensed, or no host is there."""
    await life.hold(ports(9))
    await life.ask("ghost", "m9", node="media-1")
    await life.swept_later(20)
    await life.later(10)

    assert "host_not_present" == await life.told("b", "m2", role="participant")
    assert "access_not_licensed" == await life.told("c", "m2", access="china")

    assert [] == await life.entries("reclaim")


async def test_a_preview_reclaims_nothing(life: Life) -> None:
    """It writes nothing, and says what would be answered if nobody did."""
    await life.hold(ports(1))
    await life.ask("ghost", node="media-1")
    await life.swept_later(20)
    await life.later(10)

    assert "ports_full" == told(await life.core.admission.preview(join("b")))

    assert [] == await life.entries("reclaim")


async def test_grace_holds_for_whoever_asks(life: Life) -> None:
    """After a silence a full limit is full for one more lease: the lapsed leg may be alive."""
    await life.hold(ports(1))
    await life.ask("ghost", node="media-1")
    await life.later(LEASE_S + 11)

    assert "ports_full" == await life.told("b")
    assert 0 == await life.swept_later(LEASE_S - 1)
    assert "ports_full" == await life.told("b")
    await life.later(1)

    assert "admitted" == await life.told("b")


async def test_what_is_held_is_held_for_whoever_asks(life: Life) -> None:
    """More than half of the bucket has lapsed: nobody gets one of these seats before one more lease."""
    await life.hold(ports(21))
    await connect(life, *[f"leg{number}" for number in range(21)])
    await life.swept_later(LEASE_S)
    assert "ports_full" == await life.told("b")
    await life.swept_later(LEASE_S - 1)
    assert "ports_full" == await life.told("b")
    await life.later(1)

    assert "admitted" == await life.told("b")


async def test_many_who_meet_lapsed_legs_share_one_look(life: Life, make_core: MakeCore) -> None:
    """Forty joins over two gateways, ten seats of ghosts: ten are let in."""
    other = await make_core()
    await life.hold(ports(10))
    await asyncio.gather(*[admit(life.core, join(f"ghost{each}", node="media-1")) for each in range(10)])
    await life.swept_later(20)
    await life.later(10)

    decisions = await asyncio.gather(*[admit([life.core, other][each % 2], join(f"leg{each}")) for each in range(40)])

    assert 10 == sum(decision.admitted for decision in decisions)
    assert 10 == len(await life.entries("reclaim"))
    assert 30 == len(await life.entries("deny"))


async def test_who_reclaims_for_one_customer_does_not_stop_the_sweep_of_the_others(life: Life) -> None:
    """One with a full limit and ghosts without pause reclaims every second; the ghost of another one is reclaimed all the same."""
    name = next(f"c{number}" for number in range(1000) if bucket_of(f"c{number}") == BUCKET)
    await install(life.core.entitlements, customer(ports(9), id=name, domains=[f"{name}.example"]))
    await life.hold(ports(1))
    await admit(life.core, join("ghost", customer=name, node="media-1"))
    await life.swept_later(20)

    reclaimed = 0
    for number in range(14):
        await life.ask(f"ghost{number}", lease_s=1)
        await life.later(1)
        reclaimed += await life.sweep()

    assert 1 == sum(each["customer"] == name for each in await life.entries("reclaim"))
    assert reclaimed >= 1


# A node that leaves


async def test_a_node_that_leaves_gives_back_what_it_owns(life: Life) -> None:
    """Not what another one took over since, nor what has no node; of all customers, at once, and without a tombstone."""
    name = next(f"c{number}" for number in range(1000) if bucket_of(f"c{number}") != BUCKET)
    await install(life.core.entitlements, customer(ports(200), id=name, domains=[f"{name}.example"]))
    await life.hold(ports(99))
    await connect(life, "a", "b", "taken over")
    await life.confirm("taken over", node="media-2")
    await life.ask("ringing", node="media-1", lease_s=300)
    await life.ask("alone")
    for each in range(70):
        await life.core.admission.confirm(join(f"leg{each}", customer=name, node="media-1"))
    await page(life, 1, 1, "a", "b")
    await life.later(5)

    assert 73 == await life.core.heartbeats.leave("media-1")

    assert {"taken over": 25, "alone": 12 * 3600 - 5} == await life.leases()
    told = {(each["connection"], each["cause"], int(each["alive"])) for each in await life.entries("reclaim")}
    assert {(leg, "departed", life.now_ms) for leg in ("a", "b", "ringing")} == told
    assert {} == await nodes(life)
    assert 0 == await life.core.heartbeats.leave("media-1")
    assert (0, ["a"], []) == await life.beat("a")


async def test_a_leg_that_another_node_takes_over_meanwhile_stays(life: Life) -> None:
    """Between the reading of who owns what and the end of the legs: the store looks once more."""
    await life.hold(ports(9))
    await connect(life, "a", "taken over")
    await life.confirm("taken over", node="media-2")

    assert 1 == await life.core.liveness.depart("acme", "media-1", ["a", "taken over", "unknown"])

    assert {"taken over": LEASE_S} == await life.leases()


async def test_T4_3_a_node_may_leave_as_the_first_thing_on_a_new_day(life: Life) -> None:
    """The day before is closed with its legs."""
    await life.hold(ports(2))
    await connect(life, "a")
    await life.at(day(TODAY.ordinal + 1).start_ms)

    assert 1 == await life.core.heartbeats.leave("media-1")

    days = await life.overage(TODAY, day_of("2026-06-11"))
    assert {("2026-06-10", "ports"): (2, 1, 0), ("2026-06-11", "ports"): (2, 1, 0)} == days


# What nobody heard that it was let in


@pytest.mark.parametrize("said", [{"node": "media-1"}, {"lease_s": 40}, {}], ids=["node", "lease", "neither"])
async def test_a_leg_whose_admit_nobody_heard_of_is_given_back(life: Life, said: dict[str, Any]) -> None:
    """Without a tombstone: the caller was refused, and may ask again with the same id."""
    await life.hold(ports(1))
    await life.ask("a", **said)
    await life.later(1)

    await life.unanswered("a", await life.attempt("a"))

    assert ({}, {}) == (await life.leases(), await life.counts())
    assert ["unanswered"] == [each["cause"] for each in await life.entries("release")]
    assert "admitted" == await life.told("a", **said)


async def test_of_several_admits_of_a_leg_the_last_one_counts(life: Life) -> None:
    """One that was answered keeps the leg, whatever became of the one before; where the last was not heard, it is given back."""
    await life.hold(ports(1))
    attempts = []
    for _ in range(2):
        await life.ask("a", node="media-1")
        attempts.append(await life.attempt("a"))
        await life.later(1)

    await life.unanswered("a", attempts[0])
    assert ["a"] == list(await life.leases())
    await life.unanswered("a", attempts[1])

    assert {} == await life.leases()


async def replayed(life: Life) -> None:
    """The caller asks again, and is answered."""
    await life.ask("a", node="media-1")


async def confirmed(life: Life) -> None:
    """The leg is connected."""
    await life.confirm("a", node="media-1")


async def moved(life: Life) -> None:
    """It has gone on to another meeting."""
    await life.moved("a", "m2", "m1")


async def adopted(life: Life) -> None:
    """It was reclaimed, and adopted again."""
    await life.core.heartbeats.leave("media-1")
    await life.confirm("a", node="media-1")


async def adopted_and_moved(life: Life) -> None:
    """And it has gone on to another meeting since."""
    await adopted(life)
    await moved(life)


@pytest.mark.parametrize("sign", [replayed, confirmed, moved, adopted, adopted_and_moved])
async def test_a_leg_that_was_heard_of_since_is_not_given_back(
    life: Life, sign: Callable[[Life], Awaitable[None]]
) -> None:
    """Somebody has it after all: it was asked again, connected, moved or adopted."""
    await life.hold(ports(1))
    await life.ask("a", node="media-1")
    attempt_ms = await life.attempt("a")
    await life.later(1)
    await sign(life)

    await life.unanswered("a", attempt_ms)

    assert ["a"] == list(await life.leases())
    assert [] == await life.entries("release")


async def test_what_never_was_let_in_leaves_nothing(life: Life) -> None:
    """Neither a tombstone: the next admit of the id is a new one."""
    await life.hold(ports(1))

    await life.unanswered("a", life.now_ms)
    await life.core.kernel.release("nobody", "a", cause="unanswered", attempt=life.now_ms)

    assert "admitted" == await life.told("a")


async def test_a_release_stands_over_what_nobody_heard_of(life: Life) -> None:
    """Its tombstone stays: the caller has ended the id for good."""
    await life.hold(ports(1))
    await life.ask("a")
    attempt_ms = await life.attempt("a")
    await life.leave("a")

    await life.unanswered("a", attempt_ms)

    assert "already_released" == await life.told("a")
