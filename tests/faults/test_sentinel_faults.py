"""Faults of a master with two replicas and three sentinels: failovers, an isolated master, replicas and sentinels that are gone (F12 - F17)."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from fault_isolation import Isolable
from fault_judge import overshoot
from fault_play import HARD, JOINS_PER_S, OPEN, POOLS, Outcome, judged, play
from fault_proxy import BLACK_HOLE, CALM, ChaosProxy
from fault_world import World, measured, world
from redis_processes import RedisProcess, until


pytestmark = [
    pytest.mark.faults, pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module"),
]  # fmt: skip

BEAT_S = 1.0
NODES_KNOWN_S = 6.0
DOWN_AFTER_S = 1.0
REPLICA_LAG_MAX_S = 2.0
ISOLATED_S = 5.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployment() -> AsyncIterator[Isolable]:
    """One for all tests of this module; each leaves it whole."""
    async with Isolable() as made:
        yield made


@contextlib.asynccontextmanager
async def two_sides(deployment: Isolable, name: str) -> AsyncIterator[tuple[World, list[list[ChaosProxy]]]]:
    """Gateways that reach the sentinels through proxies, three for each; and those proxies."""
    async with contextlib.AsyncExitStack() as stack:
        sides = [
            [await stack.enter_async_context(ChaosProxy(f"127.0.0.1:{one.port}")) for one in deployment.sentinels]
            for _ in range(2)
        ]

        def url(at: int) -> str:
            hosts = ",".join(f"127.0.0.1:{way.port}" for way in sides[at])
            return f"redis+sentinel://{hosts}/{deployment.name}/0"

        await deployment.settled()
        await (await deployment.master()).command("FLUSHALL")
        scene = await stack.enter_async_context(world(url, name=name))
        yield scene, sides


async def judged_at_master(outcome: Outcome, deployment: Isolable) -> Outcome:
    """What holds when the deployment is whole again."""
    await deployment.heal()
    master = await deployment.master()
    return await judged(outcome, master.url, master.port, wait_s=5.0, ghosts=True)


async def test_F12_a_failover_in_good_order_costs_little_time_and_no_seat(deployment: Isolable) -> None:
    """SENTINEL FAILOVER under load: decisions go on within three seconds, recovering included; no limit is passed, no live leg is lost."""
    async with two_sides(deployment, "F12") as (scene, _):

        async def fault() -> None:
            await deployment.failover()
            await asyncio.sleep(2.0)

        outcome = await play(scene, fault, beat_s=BEAT_S, before_s=NODES_KNOWN_S, after_s=3.0)
        await judged_at_master(outcome, deployment)

    assert outcome.gap_s < 2.0 + BEAT_S
    assert {} == outcome.beyond_bounds()


async def test_F13_a_master_that_is_killed_is_replaced(deployment: Isolable) -> None:
    """SIGKILL under load: decisions go on when the sentinels have chosen another, and what was acknowledged and lost comes back."""
    async with two_sides(deployment, "F13") as (scene, _):

        async def fault() -> None:
            (await deployment.master()).kill()
            await asyncio.sleep(2.0)

        outcome = await play(scene, fault, beat_s=BEAT_S, before_s=NODES_KNOWN_S, after_s=4.0)
        await judged_at_master(outcome, deployment)

    assert outcome.gap_s < DOWN_AFTER_S + 3.0
    assert {} == outcome.beyond_bounds()


async def test_F14_a_master_that_is_cut_off_with_all_gateways_refuses_and_leaves_it_to_policy(
    deployment: Isolable,
) -> None:
    """Nobody hears of the new master: the old one takes no writes once its replicas are silent, and what it took until then is bounded."""
    async with two_sides(deployment, "F14") as (scene, sides):

        async def fault() -> None:
            await isolate(deployment, sides)

        outcome = await play(scene, fault, beat_s=BEAT_S, before_s=NODES_KNOWN_S, after_s=4.0)
        late = [call for call in outcome.meanwhile if call.began > outcome.began + REPLICA_LAG_MAX_S + 1.5]
        await judged_at_master(outcome, deployment)

    assert {"store_unavailable"} == {call.reason for call in late if call.customer == HARD.customer}
    assert {"degraded"} == {call.reason for call in late if call.customer == OPEN.customer}
    assert {} == outcome.beyond_bounds()


async def test_F15_a_master_that_is_cut_off_with_one_gateway_passes_no_limit_by_more_than_its_bound(
    deployment: Isolable,
) -> None:
    """One gateway stays with the old master, the other goes to the new one: both admit for at most the time until the old one refuses."""
    async with two_sides(deployment, "F15") as (scene, sides):
        changed: list[float] = []

        async def fault() -> None:
            old = await deployment.master()
            watcher = asyncio.create_task(another_master(deployment, old))
            await isolate(deployment, sides[:1])
            changed.append(await watcher)

        outcome = await play(scene, fault, beat_s=BEAT_S, before_s=NODES_KNOWN_S, after_s=4.0)
        old = [
            call.ended for call in outcome.meanwhile if call.through == 0 and call.reason in {"admitted", "ports_full"}
        ]
        window_s = max(0.0, max(old) - changed[0])
        await judged_at_master(outcome, deployment)

    passed = overshoot(scene.history, HARD.customer, HARD.ceiling or 0)
    bound = min(HARD.ceiling or 0, round(JOINS_PER_S * window_s) + 1)
    measured(both_masters_s=round(window_s, 2), overshoot=passed, bound=bound)
    assert window_s < REPLICA_LAG_MAX_S + 1.0
    assert passed <= bound


async def another_master(deployment: Isolable, old: RedisProcess) -> float:
    """When most sentinels name another master."""

    async def changed() -> bool:
        return await deployment.master() is not old

    await until(changed, "the sentinels name another master", ISOLATED_S)
    return time.monotonic()


async def isolate(deployment: Isolable, sides: list[list[ChaosProxy]]) -> None:
    """Replicas and sentinels lose the master, and the gateways of these sides the sentinels, for a while; then all is as it was."""
    master = await deployment.master()
    for way in [way for side in sides for way in side]:
        way.weather = BLACK_HOLE
    await deployment.isolate(master)
    await asyncio.sleep(ISOLATED_S)
    await deployment.rejoin(master)
    for way in [way for side in sides for way in side]:
        way.weather = CALM


async def test_F16_one_replica_that_is_lost_changes_nothing_the_second_leaves_joins_to_policy(
    deployment: Isolable,
) -> None:
    """With one replica left decisions go on; with none the master refuses writes (NOREPLICAS), nothing is executed, and policy answers."""
    async with two_sides(deployment, "F16") as (scene, _):
        marks: list[float] = []

        async def fault() -> None:
            replicas = await deployment.replicas()
            replicas[0].kill()
            await asyncio.sleep(REPLICA_LAG_MAX_S + 1.5)
            marks.append(time.monotonic())
            replicas[1].kill()
            await asyncio.sleep(REPLICA_LAG_MAX_S + 1.5)
            marks.append(time.monotonic())
            await asyncio.sleep(1.0)

        outcome = await play(scene, fault, beat_s=BEAT_S, after_s=0.5)
        await judged_at_master(outcome, deployment)

    first = [call for call in outcome.meanwhile if call.ended < marks[0]]
    last = [call for call in outcome.meanwhile if call.began > marks[1] and call.ended < marks[1] + 1.0]
    assert {call.reason for call in first} <= {"admitted", "ports_full"}
    assert {"store_unavailable"} == {call.reason for call in last if call.customer == HARD.customer}
    assert {"degraded"} == {call.reason for call in last if call.customer == OPEN.customer}


async def test_F17_sentinels_that_are_lost_stop_no_decision(deployment: Isolable) -> None:
    """One of three, then two: decisions go on without a gap."""
    async with two_sides(deployment, "F17") as (scene, _):

        async def fault() -> None:
            for sentinel in deployment.sentinels[1:]:
                sentinel.kill()
                await asyncio.sleep(2.0)

        outcome = await play(scene, fault, pools=POOLS, beat_s=BEAT_S)
        await judged_at_master(outcome, deployment)

    assert outcome.reasons(meanwhile=True).keys() <= {"admitted", "ports_full"}
    assert outcome.gap_s < 0.5
