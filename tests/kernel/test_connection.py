"""The store connection: answers meet their calls, and what is not known is said to be unknown."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from redis.asyncio import Redis
from support import admit, customer, install, join, ports, set_status, told

from gateway.app import Core
from gateway.kernel.connection import StoreConnection
from gateway.kernel.errors import OutcomeUnknown, StoreUnavailable


@pytest.fixture
async def redis(store_url: str) -> AsyncIterator[Redis]:
    """A plain client of the same store, to do harm with."""
    client = Redis.from_url(store_url, protocol=2)
    yield client
    await client.aclose()


async def test_many_calls_at_a_time_get_each_their_own_answer(core: Core) -> None:
    """5,000 echoes under way on one connection come back in order."""
    calls = [core.store.command("ECHO", str(number)) for number in range(5000)]

    assert [str(number).encode() for number in range(5000)] == await asyncio.gather(*calls)


async def test_an_answer_that_comes_too_late_is_not_given_to_the_next_call(core: Core, redis: Redis) -> None:
    """A call that timed out keeps its place in the queue, so later calls get their own answers."""
    await redis.client_pause(300, all=True)
    with pytest.raises(OutcomeUnknown, match="no answer in time"):
        await core.store.command("ECHO", "late", timeout_s=0.05)

    answers = await asyncio.gather(*[core.store.command("ECHO", text) for text in ("1", "2")])
    assert [b"1", b"2"] == answers


async def test_scripts_that_the_store_forgot_are_loaded_again(core: Core, redis: Redis) -> None:
    """After SCRIPT FLUSH every decision is made, none twice."""
    await install(core.entitlements, customer(ports(100)))
    await redis.script_flush()

    decisions = await asyncio.gather(*[admit(core, join(f"c{number}")) for number in range(50)])

    assert ["admitted"] * 50 == [told(decision) for decision in decisions]
    assert 50 == (await core.reports.usage("acme")).snapshot.live


async def test_a_connection_that_was_cut_is_made_again_and_no_seat_is_taken_twice(core: Core, redis: Redis) -> None:
    """Connections are killed under joins: each join is decided once, or its outcome is unknown; a retry tells which."""
    await install(core.entitlements, customer(ports(200)))
    await core.store.command("ECHO", "ready")

    async def ask(leg: str) -> None:
        while True:
            with contextlib.suppress(OutcomeUnknown, StoreUnavailable):
                await admit(core, join(leg, meeting=leg))
                return
            await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as group:
        for number in range(200):
            group.create_task(ask(f"c{number}"))
        for _ in range(20):
            await redis.client_kill_filter(_type="normal", skipme=True)
            await asyncio.sleep(0.01)

    assert 200 == (await core.reports.usage("acme")).snapshot.live


async def test_without_a_connection_calls_are_refused_at_once(tmp_path: object) -> None:
    """Nobody waits for a store that is not there."""
    store = StoreConnection(f"unix://{tmp_path}/nothing.sock", ())
    assert not await store.start(0.1)

    with pytest.raises(StoreUnavailable, match="not connected"):
        store.command("PING")
    await store.close()


async def test_a_join_that_reaches_the_store_after_its_deadline_takes_nothing(core: Core, redis: Redis) -> None:
    """The store was paused for longer than the caller waits: the abandoned call runs later and does nothing."""
    await install(core.entitlements, customer(ports(1)))
    await redis.client_pause(400, all=True)

    with pytest.raises(OutcomeUnknown):
        await core.admission.admit(join("a"), wait_s=0.1)

    await core.store.command("PING")
    assert 0 == (await core.reports.usage("acme")).snapshot.live
    assert "admitted" == told(await admit(core, join("b")))


async def test_a_store_without_memory_refuses_joins_and_still_frees_seats(core: Core, redis: Redis) -> None:
    """Out of memory, an admit is not executed, while preview and release are."""
    await install(core.entitlements, customer(ports(5)))
    await admit(core, join("a"))
    await redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreUnavailable, match="OOM"):
            await core.kernel.admit(
                join("b"),
                (await core.entitlements.policy("acme")).claims(join("b")),
                deadline_ms=core.kernel.store_now_ms() + 5000,
                lease_ms=1000,
                connected=True,
                infos=[b"[]"],
            )
        assert "admitted" == told(await core.admission.preview(join("b")))
        assert hasattr(await core.admission.release("acme", "a"), "admitted_ms")
    finally:
        await redis.config_set("maxmemory", 0)
    assert 0 == (await core.reports.usage("acme")).snapshot.live


async def test_two_changes_at_a_time_are_both_kept(make_core: Callable[[], Awaitable[Core]]) -> None:
    """A suspension and new limits, through two gateways at once: neither undoes the other."""
    gateways = [await make_core(), await make_core()]
    for number in range(20):
        await install(gateways[0].entitlements, customer(ports(1)))
        await asyncio.gather(
            set_status(gateways[0].entitlements, "suspended", reason="test"),
            install(gateways[1].entitlements, customer(ports(number))),
        )
        policy = await gateways[0].entitlements.load("acme")
        limit = policy.limit("ports")
        assert ("suspended", number) == (policy.record.status, limit.committed if limit else None)
        await set_status(gateways[1].entitlements, "active", reason=None)
