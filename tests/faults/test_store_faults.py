"""Faults of one Redis: it stands still, is busy, cuts its callers off, crashes, is full, cannot write (F5 - F8, F10, F23 - F25, F37)."""

import asyncio
import contextlib
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
from fault_judge import reasons
from fault_play import BOUNDED, HARD, OPEN, Outcome, judged, play
from fault_world import Pool, World, eventually, measured, world
from redis.exceptions import RedisError
from redis_processes import Standalone


pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

BEAT_S = 1.0
NODES_KNOWN_S = 6.0
"""Until every gateway has heard which nodes there are; a loss before that is over only after a lease."""
STALL_S = 1.2
ANSWER_S = 0.5
"""Budget of a decision (0.15 s), once more after an outage, and what a busy machine adds."""

SHARE = (BOUNDED.ceiling or 0) // 2
"""What one of two gateways may let in without the store, at most."""

Stall = Callable[[Standalone], Awaitable[None]]


async def stopped(store: Standalone) -> None:
    """SIGSTOP."""
    store.pause()
    await asyncio.sleep(STALL_S)
    store.resume()


async def asleep(store: Standalone) -> None:
    """DEBUG SLEEP."""
    await store.command("DEBUG", "SLEEP", str(STALL_S))


async def pausing_clients(store: Standalone) -> None:
    """CLIENT PAUSE."""
    await store.command("CLIENT", "PAUSE", int(STALL_S * 1000), "ALL")
    await asyncio.sleep(STALL_S)


async def in_a_long_script(store: Standalone) -> None:
    """A script without an end; past its threshold Redis answers BUSY."""
    await store.command("CONFIG", "SET", "busy-reply-threshold", 100)

    async def loop() -> None:
        with contextlib.suppress(RedisError):
            await store.command("EVAL", "while true do end", 0)

    busy = asyncio.create_task(loop())
    await asyncio.sleep(STALL_S)
    await store.command("SCRIPT", "KILL")
    await busy


def assert_governed_by_policy(outcome: Outcome) -> None:
    """While the store does not answer, each customer gets what it chose, in time, and told as what it is (I11)."""
    assert {"store_unavailable"} == set(outcome.reasons(HARD.customer, meanwhile=True))
    assert {"degraded"} == set(outcome.reasons(OPEN.customer, meanwhile=True))
    assert outcome.reasons(BOUNDED.customer, meanwhile=True).keys() <= {"degraded", "store_unavailable"}
    let_in = [call for call in outcome.meanwhile if call.customer == BOUNDED.customer and call.reason == "degraded"]
    gateways = Counter(call.through for call in let_in)
    assert SHARE >= max(gateways.values(), default=0)
    assert ANSWER_S > max(call.ended - call.began for call in outcome.meanwhile)


@pytest.mark.parametrize("stall", [stopped, asleep, pausing_clients, in_a_long_script])
async def test_F5_F6_while_redis_stands_still_each_customer_gets_what_it_chose(stall: Stall) -> None:
    """Refused as an outage, let in as degraded, or that within a bound; afterwards nothing is left of it, and decisions go on."""
    async with (
        Standalone(enable_debug_command="yes") as store,
        world(store, name=f"F5-{stall.__name__}") as scene,
    ):
        outcome = await judged(await play(scene, lambda: stall(store), beat_s=BEAT_S), store.url, store.port)

    assert_governed_by_policy(outcome)
    assert {} == outcome.beyond_bounds()
    assert outcome.gap_s < STALL_S + 1.0


async def test_F7_connections_that_are_cut_every_100_ms_cost_no_effect_twice() -> None:
    """For two seconds every connection to Redis is killed ten times a second: unknown outcomes are asked again, and count once."""
    async with Standalone() as store, world(store, name="F7") as scene:

        async def fault() -> None:
            for _ in range(20):
                await store.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                await asyncio.sleep(0.1)

        outcome = await judged(await play(scene, fault, beat_s=BEAT_S), store.url, store.port)

    assert {} == outcome.beyond_bounds()
    assert outcome.reasons(meanwhile=True)["admitted"] > 0


@pytest.mark.parametrize("away_s", [0.2, 2.0])
async def test_F8_a_redis_that_is_killed_and_comes_back_has_lost_nothing(away_s: float) -> None:
    """With its append-only file it knows all legs again: none is lost, none counts twice, and decisions go on within two seconds."""
    async with Standalone() as store, world(store, name=f"F8-{away_s}") as scene:

        async def fault() -> None:
            store.kill()
            await asyncio.sleep(away_s)
            await store.start()

        outcome = await judged(await play(scene, fault, beat_s=BEAT_S, after_s=3.0), store.url, store.port)

    assert {} == outcome.beyond_bounds()
    assert outcome.gap_s < away_s + BEAT_S + 2.0


async def flushed(store: Standalone) -> None:
    """FLUSHALL."""
    await store.command("FLUSHALL")


async def started_empty(store: Standalone) -> None:
    """The disk is gone as well."""
    store.kill()
    shutil.rmtree(store.folder / "appendonlydir")
    await store.start()


@pytest.mark.parametrize("loss", [flushed, started_empty])
async def test_F10_a_redis_that_has_lost_everything_is_told_by_the_media_servers(loss: Stall) -> None:
    """Counts are the truth again within a heartbeat period and two seconds, limits and peaks of the day are back, and no limit was passed."""
    async with Standalone() as store, world(store, name=f"F10-{loss.__name__}") as scene:
        took: list[float] = []

        async def fault() -> None:
            await loss(store)
            took.append(await legs_are_back(scene))

        outcome = await judged(await play(scene, fault, beat_s=BEAT_S, before_s=NODES_KNOWN_S), store.url, store.port)

    measured(legs_back_s=round(took[0], 2))
    assert took[0] < BEAT_S + 2.0
    assert {} == outcome.beyond_bounds()


async def legs_are_back(scene: World) -> float:
    """Waits until the store knows every leg that has been live for a while; how long that took (s)."""
    steady = scene.history.live(OPEN.customer)[OPEN.customer]

    async def known() -> bool:
        missing = await scene.differences(OPEN.customer)
        return not (missing.get(OPEN.customer, set()) & steady & scene.history.live(OPEN.customer)[OPEN.customer])

    return await eventually(known, "every leg is known again", 15.0)


async def test_F23_scripts_that_are_flushed_are_loaded_again_within_the_request() -> None:
    """SCRIPT FLUSH ten times under load: every join gets a decision of the store."""
    async with Standalone() as store, world(store, name="F23") as scene:

        async def fault() -> None:
            for _ in range(10):
                await store.command("SCRIPT", "FLUSH")
                await asyncio.sleep(0.1)

        outcome = await judged(await play(scene, fault), store.url, store.port)

    assert outcome.reasons(meanwhile=True).keys() <= {"admitted", "ports_full"}
    assert outcome.gap_s < 0.5


async def test_F24_a_full_redis_refuses_joins_and_still_takes_back_seats_and_heartbeats() -> None:
    """Out of memory, an admit is governed by policy and changes nothing; releases and heartbeats go through."""
    async with Standalone() as store, world(store, name="F24") as scene:
        released: list[int] = []

        async def fault() -> None:
            await store.command("CONFIG", "SET", "maxmemory", 1)
            await released_and_beaten(scene, released)
            await store.command("CONFIG", "SET", "maxmemory", 0)

        outcome = await judged(await play(scene, fault, beat_s=BEAT_S), store.url, store.port)

    assert_governed_by_policy(outcome)
    assert [200, 200, 200] == released
    assert {} == outcome.beyond_bounds()


async def released_and_beaten(scene: World, released: list[int]) -> None:
    """Each media server gives back a steady leg, and beats twice."""
    beats = [server.beats_answered for server in scene.media]
    for server in scene.media:
        customer, connection = next(leg for leg in server.legs if leg[0] == OPEN.customer)
        server.end_quietly(customer, connection)
        body = {"customer": customer, "connection": connection, "node": server.node}
        answer = await server.ask("release", customer, connection, "/v1/release", body)
        released.append(answer.status)

    async def beaten() -> bool:
        return all(server.beats_answered > before + 1 for server, before in zip(scene.media, beats, strict=True))

    await eventually(beaten, "every media server has beaten twice", 4 * BEAT_S)


async def test_F25_a_redis_that_cannot_write_its_disk_leaves_joins_to_policy() -> None:
    """MISCONF: nothing is executed, everybody is told so, and it is over as soon as the disk can be written."""
    async with Standalone() as store, world(store, name="F25") as scene:
        in_the_way = store.folder / "dump.rdb"

        async def fault() -> None:
            in_the_way.mkdir()
            await store.command("CONFIG", "SET", "save", "3600 1")
            await store.command("BGSAVE")
            await eventually(lambda: saved(store, "err"), "a snapshot has failed", 5.0)
            scene.history.add("invoke", "", "", "", operation="misconf")
            await asyncio.sleep(1.0)
            in_the_way.rmdir()
            await store.command("BGSAVE")
            await eventually(lambda: saved(store, "ok"), "a snapshot was written", 5.0)

        outcome = await judged(await play(scene, fault, beat_s=BEAT_S), store.url, store.port)

    since = next(event.at for event in scene.history.events if event.operation == "misconf")
    calls = [call for call in outcome.meanwhile if since <= call.began and call.ended < since + 1.0]
    assert {"store_unavailable"} == set(reasons([call for call in calls if call.customer == HARD.customer]))
    assert {"degraded"} == set(reasons([call for call in calls if call.customer == OPEN.customer]))


async def saved(store: Standalone, status: str) -> bool:
    """How the last snapshot ended."""
    info = await store.info("persistence")
    return info["rdb_bgsave_in_progress"] == "0" and info["rdb_last_bgsave_status"] == status


async def test_F37_a_limit_that_is_lowered_below_what_is_live_ends_no_call() -> None:
    """Twelve legs, then six ports: all twelve stay; the thirteenth comes in when seven have gone."""
    async with Standalone() as store, world(store, name="F37") as scene:
        await scene.install(Pool("lowered", 12))
        (server,) = await scene.media_servers(1)
        for _ in range(12):
            await server.join("lowered")
        await scene.install(Pool("lowered", 6), through=1)
        heard = [(await server.join("lowered"))[1].reason]
        legs = list(server.legs)
        for customer, connection in legs[:6]:
            await server.end(customer, connection)
        heard.append((await server.join("lowered"))[1].reason)
        await server.end(*legs[6])
        heard.append((await server.join("lowered"))[1].reason)
        await scene.counts_agree("lowered")
        live = scene.history.live("lowered")["lowered"]

    assert ["ports_full", "ports_full", "admitted"] == heard
    assert 6 == len(live)
