"""Faults of a Redis Cluster: a primary dies, a replica takes over, slots move under load (F20 - F22)."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from fault_play import HARD, Outcome, judged, play
from fault_world import world
from redis.crc import key_slot
from redis_processes import ClusterDeployment, RedisProcess

from gateway.kernel.keys import bucket_key, bucket_of


pytestmark = [
    pytest.mark.faults, pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module"),
]  # fmt: skip

BEAT_S = 1.0
NODES_KNOWN_S = 6.0
NODE_TIMEOUT_S = 2.0
SLOT = key_slot(bucket_key("meta", bucket_of(HARD.customer)).encode())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster() -> AsyncIterator[ClusterDeployment]:
    """One for all tests of this module; each leaves it whole."""
    async with ClusterDeployment(node_timeout_ms=int(NODE_TIMEOUT_S * 1000)) as made:
        yield made


async def emptied(cluster: ClusterDeployment) -> str:
    """Its URL, when nothing is left in it of the test before."""
    for node in cluster.nodes:
        if await is_primary(node):
            await node.command("FLUSHALL")
    return cluster.url


async def judged_in_cluster(outcome: Outcome, cluster: ClusterDeployment) -> Outcome:
    """What holds when the cluster is whole again."""
    for node in cluster.nodes:
        if not node.runs:
            await node.start()
    await cluster.settled()
    primaries = [node.port for node in cluster.nodes if await is_primary(node)]
    return await judged(outcome, cluster.url, *primaries, wait_s=5.0, ghosts=True)


async def test_F20_a_primary_that_is_killed_is_replaced(cluster: ClusterDeployment) -> None:
    """SIGKILL of the primary of a customer that is in use: decisions go on when its replica has taken over."""
    url = await emptied(cluster)
    async with world(lambda _: url, name="F20") as scene:

        async def fault() -> None:
            (await cluster.owner(SLOT)).kill()
            await asyncio.sleep(NODE_TIMEOUT_S + 2.5)

        outcome = await play(
            scene, fault, pools=[HARD], beat_s=BEAT_S, before_s=NODES_KNOWN_S, after_s=4.0, steady=HARD
        )
        await judged_in_cluster(outcome, cluster)

    assert outcome.gap_s < NODE_TIMEOUT_S + 4.0
    assert {} == outcome.beyond_bounds()


async def test_F21_a_failover_in_good_order_is_followed(cluster: ClusterDeployment) -> None:
    """CLUSTER FAILOVER under load: nothing counts twice, nothing is lost, decisions go on within a second."""
    url = await emptied(cluster)
    async with world(lambda _: url, name="F21") as scene:

        async def fault() -> None:
            replica = await cluster.replica_of(await cluster.owner(SLOT))
            await replica.command("CLUSTER", "FAILOVER")
            await asyncio.sleep(2.0)

        outcome = await play(scene, fault, beat_s=BEAT_S, before_s=NODES_KNOWN_S, after_s=3.0)
        await judged_in_cluster(outcome, cluster)

    assert outcome.gap_s < 2.0
    assert {} == outcome.beyond_bounds()


async def test_F22_a_slot_that_moves_under_load_loses_nothing(cluster: ClusterDeployment) -> None:
    """Keys of a customer in use move one by one (ASK, TRYAGAIN), then the slot (MOVED): every join is answered, nothing counts twice."""
    url = await emptied(cluster)
    async with world(lambda _: url, name="F22") as scene:

        async def fault() -> None:
            owner = await cluster.owner(SLOT)
            (other, *_) = [node for node in cluster.nodes if node is not owner and await is_primary(node)]
            await cluster.begin_migration(SLOT, other)
            for key in await owner.command("CLUSTER", "GETKEYSINSLOT", SLOT, 100):
                await cluster.migrate_key(key, owner, other)
                await asyncio.sleep(0.05)
            await cluster.move_slot(SLOT, other)

        outcome = await play(scene, fault, beat_s=BEAT_S, before_s=NODES_KNOWN_S, after_s=3.0)
        await judged_in_cluster(outcome, cluster)

    assert outcome.gap_s < 1.0
    assert {} == outcome.beyond_bounds()


async def is_primary(node: RedisProcess) -> bool:
    """Whether a node has slots."""
    return bool((await node.command("ROLE"))[0] == "master")
