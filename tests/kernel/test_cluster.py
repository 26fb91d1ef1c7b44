"""Redis Cluster with real processes: calls follow their slot, are executed once, and find the replica that was promoted."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from counting import COUNT, Caller, keys
from redis.crc import key_slot
from redis_processes import ClusterDeployment, RedisProcess, until

from gateway.domain.billing.entry import EntryId
from gateway.kernel import scripts
from gateway.kernel.cluster import ClusterStore
from gateway.kernel.errors import OutcomeUnknown, StoreUnavailable
from gateway.kernel.handshake import Address
from gateway.kernel.keys import bucket_key
from gateway.kernel.outbox import Outbox, Trimmed
from gateway.kernel.store import Store, open_store


pytestmark = pytest.mark.faults

NO_FAULTS: dict[str, list[int]] = {"twice": [], "refused": [], "lost": []}


@pytest.fixture(scope="module")
def running() -> Iterator[ClusterDeployment]:
    """The cluster of this module."""
    cluster = ClusterDeployment()
    with asyncio.Runner() as runner:
        runner.run(cluster.__aenter__())
    yield cluster
    cluster.remove()


@pytest.fixture
async def cluster(running: ClusterDeployment) -> ClusterDeployment:
    """The cluster, whole again and empty after what the test before did to it."""
    for node in running.nodes:
        if not node.runs:
            await node.start()
    await running.settled()
    for node in running.nodes:
        if (await node.command("ROLE"))[0] == "master":
            await node.command("FLUSHALL")
    return running


@pytest.fixture
async def store(cluster: ClusterDeployment) -> AsyncIterator[Store]:
    """A store that was told of two nodes."""
    opened = open_store(cluster.url, (COUNT,))
    assert await opened.start(5), opened.last_error
    yield opened
    await opened.close()


def slot(tag: str) -> int:
    """The slot of a tag."""
    return int(key_slot(tag.encode()))


async def run_id(node: RedisProcess) -> str:
    """By which a node knows itself."""
    return (await node.info("server"))["run_id"]


async def servers(store: Store, tag: str) -> dict[int, str]:
    """The run_id that was passed with each id."""
    flat = await store.command("HGETALL", keys(tag)[1])
    return {int(flat[at]): flat[at + 1].decode() for at in range(0, len(flat), 2)}


async def another_primary(cluster: ClusterDeployment, owner: RedisProcess) -> RedisProcess:
    """A primary that does not have the slot."""
    for at in (0, 8000, 16000):
        if (node := await cluster.owner(at)) is not owner:
            return node
    raise AssertionError("there is but one primary")


def tags() -> list[str]:
    """Tags of the buckets, which spread over all primaries."""
    return [f"b{number:02d}" for number in range(64)]


async def test_each_call_runs_where_its_keys_are(cluster: ClusterDeployment, store: Store) -> None:
    """64 buckets at once: every script runs on the primary that has its slot, and is told that server's run_id."""
    assert [1] * 64 == await asyncio.gather(*[store.call(COUNT, keys(tag), (7,), 1.0) for tag in tags()])

    expected = {tag: {7: await run_id(await cluster.owner(slot(tag)))} for tag in tags()}
    assert expected == {tag: await servers(store, tag) for tag in tags()}
    assert 3 == len({run for told in expected.values() for run in told.values()})


async def test_the_clock_of_a_key_is_that_of_its_server(store: Store) -> None:
    """Estimates are never ahead of the server that has the key, and are right to the round trip."""
    for tag in tags():
        estimate = store.store_now_ms(keys(tag)[0])
        assert 0 <= time.time_ns() // 1_000_000 - estimate < 100  # the servers have this machine's clock
    assert 0 <= time.time_ns() // 1_000_000 - store.store_now_ms() < 100
    store.observe_clock(1_000, keys("b00")[0])
    assert store.store_now_ms(keys("b00")[0]) < 2_000
    assert store.store_now_ms() < 2_000


async def test_a_slot_that_has_moved_is_followed(cluster: ClusterDeployment, store: Store) -> None:
    """MOVED: the call runs once, on the new owner, with the new owner's run_id; later calls go there directly."""
    owner = await cluster.owner(slot("moved"))
    target = await another_primary(cluster, owner)
    await cluster.move_slot(slot("moved"), target)

    assert [1] * 50 == await asyncio.gather(*[store.call(COUNT, keys("moved"), (one,), 1.0) for one in range(50)])

    assert dict.fromkeys(range(50), await run_id(target)) == await servers(store, "moved")
    assert isinstance(store, ClusterStore)
    assert store._slots[slot("moved")] is store._nodes[Address(*target.address)]


async def test_calls_go_through_the_migration_of_their_slot(cluster: ClusterDeployment, store: Store) -> None:
    """While keys move one by one (TRYAGAIN), after they moved (ASK) and after their slot did (MOVED), every call is executed exactly once."""
    source = await cluster.owner(slot("moving"))
    target = await another_primary(cluster, source)
    async with Caller(store, "moving", timeout_s=5.0) as caller:
        await caller.more(50)
        await cluster.begin_migration(slot("moving"), target)
        await caller.more(50)
        await cluster.migrate_key(keys("moving")[0].decode(), source, target)
        waits_from = len(caller.answered)
        await asyncio.sleep(0.1)  # one key here, one there: nothing can be executed
        waited = len(caller.answered) - waits_from
        await cluster.migrate_key(keys("moving")[1].decode(), source, target)
        await caller.more(50)
        asked = max(caller.answered)
        await cluster.move_slot(slot("moving"), target)
        await caller.more(50)

    ran_on = await servers(store, "moving")
    assert waited <= 2  # answers that were on their way
    assert {await run_id(source), await run_id(target)} == set(ran_on.values())
    assert await run_id(target) == ran_on[asked]
    assert NO_FAULTS == await caller.faults()
    assert {} == caller.refused
    assert {} == caller.unknown
    assert sorted(caller.answered) == sorted(await caller.executed())


async def test_asking_survives_a_script_that_the_target_has_forgotten(cluster: ClusterDeployment, store: Store) -> None:
    """NOSCRIPT after ASK: the script is loaded and the call asked for again, on one connection."""
    source = await cluster.owner(slot("asking"))
    target = await another_primary(cluster, source)
    assert 1 == await store.call(COUNT, keys("asking"), (1,), 1.0)
    await cluster.begin_migration(slot("asking"), target)
    for key in keys("asking"):
        await cluster.migrate_key(key.decode(), source, target)
    await target.command("SCRIPT", "FLUSH")

    assert [1] * 20 == await asyncio.gather(*[store.call(COUNT, keys("asking"), (one,), 1.0) for one in range(2, 22)])

    await cluster.move_slot(slot("asking"), target)
    assert [await run_id(source)] + [await run_id(target)] * 20 == list(
        dict(sorted((await servers(store, "asking")).items())).values()
    )


async def test_a_slot_that_is_half_here_and_half_there_for_too_long_is_refused(
    cluster: ClusterDeployment, store: Store
) -> None:
    """TRYAGAIN until the call's time is over: it was not executed, and says so."""
    source = await cluster.owner(slot("half"))
    target = await another_primary(cluster, source)
    assert 1 == await store.call(COUNT, keys("half"), (1,), 1.0)
    await cluster.begin_migration(slot("half"), target)
    await cluster.migrate_key(keys("half")[0].decode(), source, target)

    with pytest.raises(StoreUnavailable, match="TRYAGAIN"):
        await store.call(COUNT, keys("half"), (2,), 0.1)

    await cluster.migrate_key(keys("half")[1].decode(), source, target)
    await cluster.move_slot(slot("half"), target)
    assert 1 == await store.call(COUNT, keys("half"), (2,), 1.0)


async def test_a_failover_by_hand_loses_no_call(cluster: ClusterDeployment, store: Store) -> None:
    """CLUSTER FAILOVER: calls wait, are redirected, and each is executed exactly once."""
    primary = await cluster.owner(slot("b00"))
    replica = await cluster.replica_of(primary)
    async with Caller(store, timeout_s=5.0) as caller:
        await caller.more(50)
        await replica.command("CLUSTER", "FAILOVER")
        await until(owns(cluster, replica), "the replica has the slot")
        await caller.more(100)

    assert NO_FAULTS == await caller.faults()
    assert {} == caller.refused
    assert {} == caller.unknown
    assert await run_id(replica) in (await servers(store, "b00")).values()


def owns(cluster: ClusterDeployment, node: RedisProcess) -> Callable[[], Awaitable[bool]]:
    """A condition to wait for."""

    async def has_slot() -> bool:
        return await cluster.owner(slot("b00")) is node

    return has_slot


async def test_a_primary_that_is_killed_is_replaced_and_the_others_serve_on(
    cluster: ClusterDeployment, store: Store
) -> None:
    """Its slots are refused until its replica is promoted; the slots of other primaries do not notice. A new store finds its way as well."""
    primary = await cluster.owner(slot("b00"))
    replica = await cluster.replica_of(primary)
    owners = {tag: await cluster.owner(slot(tag)) for tag in tags()}
    elsewhere = next(tag for tag, owner in owners.items() if owner is not primary)
    async with Caller(store) as caller, Caller(store, elsewhere) as other:
        await caller.more(100)
        primary.kill()
        await until(owns(cluster, replica), "the replica is promoted")
        await caller.more(100)
    late = open_store(cluster.url, (COUNT,))
    assert await late.start(5), late.last_error
    await late.close()

    faults = await caller.faults()
    assert ([], []) == (faults["twice"], faults["refused"])
    assert len(caller.refused) > 100
    assert caller.gap_s < 8
    assert NO_FAULTS == await other.faults()
    assert ({}, {}) == (other.refused, other.unknown)


async def test_a_primary_that_stands_still_is_replaced(cluster: ClusterDeployment, store: Store) -> None:
    """The breaker refuses what would wait behind it, the promoted replica takes over, and the old primary joins as a replica."""
    primary = await cluster.owner(slot("b00"))
    replica = await cluster.replica_of(primary)
    async with Caller(store) as caller:
        await caller.more(100)
        primary.pause()
        try:
            await until(promoted(replica), "the replica is promoted")
            await caller.more(100)
        finally:
            primary.resume()
        await caller.more(100)

    faults = await caller.faults()
    assert ([], []) == (faults["twice"], faults["refused"])
    assert len(caller.unknown) < 100
    assert caller.gap_s < 8


def promoted(replica: RedisProcess) -> Callable[[], Awaitable[bool]]:
    """A condition to wait for."""

    async def is_primary() -> bool:
        return bool((await replica.command("ROLE"))[0] == "master")

    return is_primary


async def test_a_closed_store_leaves_no_call_waiting(cluster: ClusterDeployment) -> None:
    """Calls that wait for a half-moved slot end when the store is closed."""
    source = await cluster.owner(slot("closing"))
    target = await another_primary(cluster, source)
    store = open_store(cluster.url, (COUNT,))
    assert await store.start(5), store.last_error
    assert 1 == await store.call(COUNT, keys("closing"), (1,), 1.0)
    await cluster.begin_migration(slot("closing"), target)
    await cluster.migrate_key(keys("closing")[0].decode(), source, target)
    calls = [store.call(COUNT, keys("closing"), (one,), 5.0) for one in range(2, 12)]
    await asyncio.sleep(0.05)
    await store.close()

    outcomes = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 1)
    assert {StoreUnavailable, OutcomeUnknown} >= {type(outcome) for outcome in outcomes}
    await cluster.migrate_key(keys("closing")[1].decode(), source, target)
    await cluster.move_slot(slot("closing"), target)


async def test_outboxes_are_read_and_trimmed_on_all_primaries_that_answer(
    cluster: ClusterDeployment, store: Store
) -> None:
    """64 buckets in one turn; where a primary is stopped, those of the others all the same."""
    outbox = Outbox(store, scripts.load(), timeout_s=0.5)
    for bucket in range(64):
        for number in range(3):
            await store.command("XADD", bucket_key("outbox", bucket), f"7-{number}", "op", "recovered", "at", bucket)

    pages = await outbox.read_many(dict.fromkeys(range(64), EntryId(7, 0)), 10)
    trimmed = [await outbox.trim(bucket, EntryId(7, 1), "ledger", 0) for bucket in range(64)]

    assert {bucket: [EntryId(7, 1), EntryId(7, 2)] for bucket in range(64)} == {
        bucket: [entry.id for entry in page] for bucket, page in pages.items()
    }
    assert [Trimmed(2, 1)] * 64 == trimmed
    assert [1] * 64 == await outbox.lengths()
    stopped = await cluster.owner(slot(tags()[0]))
    elsewhere = {bucket: 1 for bucket in range(64) if await cluster.owner(slot(tags()[bucket])) is not stopped}
    stopped.pause()
    try:
        assert elsewhere == await outbox.known_lengths()
    finally:
        stopped.resume()
