"""Redis Sentinel with real processes: the master that the sentinels name is found, and an old one is left at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from counting import COUNT, Caller, keys
from redis_processes import RedisProcess, SentinelDeployment, until

from gateway.kernel.errors import StoreUnavailable
from gateway.kernel.store import Store, open_store


pytestmark = pytest.mark.faults

NO_FAULTS: dict[str, list[int]] = {"twice": [], "refused": [], "lost": []}


@pytest.fixture(scope="module")
def running() -> Iterator[SentinelDeployment]:
    """The deployment of this module."""
    deployment = SentinelDeployment()
    with asyncio.Runner() as runner:
        runner.run(deployment.__aenter__())
    yield deployment
    deployment.remove()


@pytest.fixture
async def deployment(running: SentinelDeployment) -> SentinelDeployment:
    """The deployment, whole again after what the test before did to it."""
    await running.heal()
    await (await running.master()).command("FLUSHALL")
    return running


@pytest.fixture
async def store(deployment: SentinelDeployment) -> AsyncIterator[Store]:
    """A store that knows the sentinels alone."""
    opened = open_store(deployment.url, (COUNT,))
    assert await opened.start(), opened.last_error
    yield opened
    await opened.close()


async def run_id(server: RedisProcess) -> str:
    """By which a server knows itself."""
    return (await server.info("server"))["run_id"]


async def change_of_master(deployment: SentinelDeployment, old: RedisProcess) -> None:
    """Waits until the sentinels that run name another master."""

    async def changed() -> bool:
        with contextlib.suppress(AssertionError):  # they do not agree yet
            return await deployment.master() is not old
        return False

    await until(changed, "the sentinels name another master")


async def test_a_failover_in_good_order_is_followed_and_the_old_master_gets_no_more_calls(
    deployment: SentinelDeployment, store: Store
) -> None:
    """Nothing is executed twice, what was refused was not executed, and the old master, still up and a master, hears nothing more."""
    old = await deployment.master()
    async with Caller(store) as caller:
        await caller.more(100)
        await deployment.failover()
        await change_of_master(deployment, old)
        await caller.more(100)
        heard = await old.command("HLEN", keys("b00")[0])
        await caller.more(100)
        assert heard == await old.command("HLEN", keys("b00")[0])

    new = await deployment.master()
    assert new is not old
    servers = {who for _, who in (await last_servers(store)).items()}
    assert await run_id(new) in servers
    assert NO_FAULTS | {"lost": (await caller.faults())["lost"]} == await caller.faults()
    assert caller.gap_s < 3


async def last_servers(store: Store) -> dict[int, str]:
    """The run_id that was passed with each id."""
    flat = await store.command("HGETALL", keys("b00")[1])
    return {int(flat[at]): flat[at + 1].decode() for at in range(0, len(flat), 2)}


async def test_a_master_that_is_killed_is_replaced(deployment: SentinelDeployment, store: Store) -> None:
    """Calls go on with the promoted replica; while there is no master, they are refused at once."""
    old = await deployment.master()
    async with Caller(store) as caller:
        await caller.more(100)
        old.kill()
        await change_of_master(deployment, old)
        await caller.more(100)

    faults = await caller.faults()
    assert ([], []) == (faults["twice"], faults["refused"])
    assert len(caller.refused) > 100
    assert caller.gap_s < 6


async def test_a_master_that_stands_still_is_left_when_the_sentinels_replace_it(
    deployment: SentinelDeployment, store: Store
) -> None:
    """The connection to it is open and silent; what was sent there runs when it wakes, and is lost with it."""
    old = await deployment.master()
    async with Caller(store) as caller:
        await caller.more(100)
        old.pause()
        await change_of_master(deployment, old)
        await caller.more(100)
        old.resume()
        await caller.more(100)

    faults = await caller.faults()
    assert ([], []) == (faults["twice"], faults["refused"])
    assert len(caller.unknown) < 100  # the breaker has refused the rest
    assert caller.gap_s < 6


async def test_connections_that_are_cut_are_made_again(deployment: SentinelDeployment, store: Store) -> None:
    """The master stays; each call was executed once or not at all, and none that was answered is missing."""
    master = await deployment.master()
    async with Caller(store) as caller:
        for _ in range(10):
            await caller.more(20)
            await master.command("CLIENT", "KILL", "TYPE", "normal")
        await caller.more(20)

    assert NO_FAULTS == await caller.faults()
    assert caller.gap_s < 0.5


async def test_a_master_that_is_made_a_replica_behind_the_sentinels_is_left(
    deployment: SentinelDeployment, store: Store
) -> None:
    """READONLY is a refusal: the store hangs up, and goes back when the named master is one again."""
    old = await deployment.master()
    new = (await deployment.replicas())[0]
    async with Caller(store) as caller:
        await caller.more(50)
        await new.command("REPLICAOF", "NO", "ONE")
        await old.command("REPLICAOF", *new.address)

        async def said_so() -> bool:
            return any("READONLY" in reason for reason in caller.refused.values())

        await until(said_so, "a call is answered with READONLY", 2)
        assert not store.is_ready
        await old.command("REPLICAOF", "NO", "ONE")
        await caller.more(50)

    faults = await caller.faults()
    assert ([], []) == (faults["twice"], faults["refused"])


async def test_a_store_serves_on_without_sentinels_and_finds_them_again(
    deployment: SentinelDeployment, store: Store
) -> None:
    """Sentinels decide who is master, they are not needed to talk to it; a store that begins without any says so and goes on trying."""
    for sentinel in deployment.sentinels:
        sentinel.kill()
    late = open_store(deployment.url, (COUNT,))
    assert not await late.start(0.2)
    assert "no sentinel names the master of mymaster" in str(late.last_error)
    with pytest.raises(StoreUnavailable):
        late.call(COUNT, keys("b00"), (1,), 0.15)

    async with Caller(store) as caller:
        await caller.more(300)
        for sentinel in deployment.sentinels:
            await sentinel.start()
        await until(ready(late), "the master is found", 3)
        await caller.more(50)
    await late.close()

    assert NO_FAULTS == await caller.faults()
    assert {} == caller.refused
    assert {} == caller.unknown


def ready(store: Store) -> Callable[[], Awaitable[bool]]:
    """A condition to wait for."""

    async def is_ready() -> bool:
        return store.is_ready

    return is_ready


async def test_one_sentinel_that_hangs_delays_nothing_for_long(deployment: SentinelDeployment) -> None:
    """A sentinel that accepts and does not answer costs half a second at most; the others are enough."""
    deployment.sentinels[0].pause()
    try:
        store = open_store(deployment.url, (COUNT,))
        assert await store.start(1.0), store.last_error
        await store.close()
    finally:
        deployment.sentinels[0].resume()
