"""The store connection: answers meet their calls, and what is not known is said to be unknown."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from counting import COUNT, keys, script
from redis.asyncio import Redis
from redis_processes import Standalone, until
from support import admit, customer, install, join, ports, set_status, told

from gateway.core import Core
from gateway.kernel.arguments import attempt_of
from gateway.kernel.connection import StoreConnection
from gateway.kernel.errors import OutcomeUnknown, StoreUnavailable
from gateway.kernel.store import Store, check_url, open_store


@pytest.fixture
async def redis(store_url: str) -> AsyncIterator[Redis]:
    """A plain client of the same store, to do harm with."""
    client = Redis.from_url(store_url, protocol=2)
    yield client
    await client.aclose()


class Told:
    """What a store told of itself, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.stalled_s: list[float] = []

    def store_connected(self, version: str) -> None:
        """A connection is ready."""
        self.events.append("connected")

    def store_lost(self, error: str) -> None:
        """It was lost, or could not be made."""
        self.events.append("lost")

    def store_stalled(self, seconds: float) -> None:
        """The breaker has opened."""
        self.events.append("stalled")
        self.stalled_s.append(seconds)

    def store_answers(self) -> None:
        """It has closed."""
        self.events.append("answers")


@pytest.fixture
async def server() -> AsyncIterator[Standalone]:
    """A Redis of one test's own, to break."""
    async with Standalone(enable_debug_command="yes") as running:
        yield running


@pytest.fixture
def told_of() -> Told:
    """What the store of `own_store` told."""
    return Told()


@pytest.fixture
async def own_store(server: Standalone, told_of: Told) -> AsyncIterator[Store]:
    """A store on that Redis."""
    store = open_store(server.url, (COUNT,), told_of)
    assert await store.start(), store.last_error
    yield store
    await store.close()


def count(store: Store, number: int, timeout_s: float = 0.15) -> asyncio.Future[int]:
    """One call, which is counted."""
    return store.call(COUNT, keys("b00"), (number,), timeout_s)


async def counted(server: Standalone) -> dict[str, str]:
    """How often each call was executed."""
    flat = await server.command("HGETALL", "{b00}:counts")
    return dict(zip(flat[::2], flat[1::2], strict=True))


async def refused_after(store: Store) -> tuple[list[asyncio.Future[int]], float]:
    """Calls every 5 ms until one is refused: those that were taken, and after how long."""
    began = time.monotonic()
    taken: list[asyncio.Future[int]] = []
    while time.monotonic() < began + 1:
        try:
            taken.append(count(store, len(taken)))
        except StoreUnavailable as error:
            assert "has not answered" in str(error)  # noqa: PT017 - which of many calls is refused is not known before
            break
        await asyncio.sleep(0.005)
    return taken, time.monotonic() - began


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


async def test_what_cannot_be_sent_leaves_no_gap(core: Core) -> None:
    """A command that cannot be written raises, and later calls get their own answers."""
    nothing: Any = None
    with pytest.raises(TypeError):
        core.store.command("ECHO", nothing)

    assert [b"1", b"2"] == await asyncio.gather(*[core.store.command("ECHO", text) for text in ("1", "2")])


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

    async def live() -> int:
        while True:  # the last kill may not have been noticed yet
            with contextlib.suppress(OutcomeUnknown, StoreUnavailable):
                return (await core.reports.usage("acme")).snapshot.live
            await asyncio.sleep(0.02)

    assert 200 == await asyncio.wait_for(live(), 10)


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
                attempt=attempt_of(core.kernel.store_now_ms() + 5000),
                lease_ms=1000,
                connected=True,
                final=True,
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


async def test_a_store_that_stands_still_is_asked_no_more_until_it_answers(
    server: Standalone, own_store: Store, told_of: Told
) -> None:
    """The breaker opens a quarter of a second after the first unanswered call, refuses at once, and closes when answers flow again."""
    server.pause()
    taken, opened_s = await refused_after(own_store)
    began = time.monotonic()
    for number in range(100):
        with pytest.raises(StoreUnavailable):
            count(own_store, 1000 + number)
    refusing_s = time.monotonic() - began
    server.resume()

    outcomes = await asyncio.gather(*taken, return_exceptions=True)
    await asyncio.wait_for(taken_again(own_store), 1)

    assert {OutcomeUnknown} == {type(outcome) for outcome in outcomes[:10]}
    assert {str(number): "1" for number in range(len(taken))} == {
        number: times for number, times in (await counted(server)).items() if number != "again"
    }
    assert ["connected", "stalled", "answers"] == told_of.events
    assert 0.25 <= opened_s < 0.4
    assert 0.25 <= told_of.stalled_s[0] < 0.4
    assert refusing_s < 0.1


async def taken_again(store: Store) -> None:
    """Waits until a call is taken and answered."""
    while True:
        with contextlib.suppress(StoreUnavailable, OutcomeUnknown):
            await store.call(COUNT, keys("b00"), ("again",), 0.15)
            return
        await asyncio.sleep(0.005)


async def test_a_connection_on_which_nothing_comes_is_given_up(
    server: Standalone, own_store: Store, told_of: Told
) -> None:
    """After two seconds of silence the store hangs up; a report under way is unknown then, and a new connection is made when it can be."""
    server.pause()
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown, match=r"no answer for 2\.0 s"):
        await own_store.command("PING")
    silent_s = time.monotonic() - began
    with pytest.raises(StoreUnavailable, match="not connected"):
        count(own_store, 1)
    server.resume()

    await until(own_store_is_ready(own_store), "it is connected again", 2)
    assert 1 == await count(own_store, 2, 1.0)
    assert {"2": "1"} == await counted(server)
    assert "stalled" not in told_of.events
    assert 2.0 <= silent_s < 2.3


def own_store_is_ready(store: Store) -> Callable[[], Awaitable[bool]]:
    """A condition to wait for."""

    async def is_ready() -> bool:
        return store.is_ready

    return is_ready


async def test_a_slow_report_alone_does_not_open_the_breaker(own_store: Store, told_of: Told) -> None:
    """Redis works on a report for half a second: a decision that comes late is taken, one that waits behind it too long opens the breaker."""
    report = own_store.command("DEBUG", "SLEEP", "0.4")
    await asyncio.sleep(0.3)
    assert 1 == await count(own_store, 1)
    assert b"OK" == await report
    assert ["connected"] == told_of.events

    report = own_store.command("DEBUG", "SLEEP", "0.4")
    waiting, _ = await refused_after(own_store)
    assert b"OK" == await report
    await asyncio.gather(*waiting, taken_again(own_store), return_exceptions=True)
    assert ["connected", "stalled", "answers"] == told_of.events


async def test_a_server_that_has_become_a_replica_is_left(server: Standalone, own_store: Store) -> None:
    """READONLY is a refusal; no call goes there as long as it is a replica."""
    async with Standalone() as other:
        await server.command("REPLICAOF", *other.address)
        with pytest.raises(StoreUnavailable, match="READONLY"):
            await count(own_store, 1)
        with pytest.raises(StoreUnavailable, match="has become a replica"):
            count(own_store, 2)
        await until(is_turned_away(own_store), "it says why", 2)

        await server.command("REPLICAOF", "NO", "ONE")
        await until(own_store_is_ready(own_store), "it is a master again", 2)
        assert 1 == await count(own_store, 3)
        assert {"3": "1"} == await counted(server)


def is_turned_away(store: Store) -> Callable[[], Awaitable[bool]]:
    """A condition to wait for."""

    async def says_why() -> bool:
        return store.last_error == "the server is no master but a slave"

    return says_why


async def test_what_fails_within_a_script_is_unknown_because_it_may_have_written(
    server: Standalone, own_store: Store
) -> None:
    """Redis refuses scripts that begin with #!lua before their first line; an error inside a script leaves what was written."""
    begun = script("begun", b"redis.call('SET', KEYS[1], 'written') redis.call('LPUSH', KEYS[1], 1)")
    undeclared = script("undeclared", b"redis.call('SET', KEYS[1], 'not written')")
    declared = script("declared", b"#!lua\nredis.call('SET', KEYS[1], 'not written')")

    with pytest.raises(OutcomeUnknown, match="WRONGTYPE"):
        await own_store.call(begun, (b"a",), (), 1.0)
    await server.command("CONFIG", "SET", "maxmemory", 1)
    with pytest.raises(OutcomeUnknown, match="OOM"):
        await own_store.call(undeclared, (b"b",), (), 1.0)
    with pytest.raises(StoreUnavailable, match="OOM"):
        await own_store.call(declared, (b"c",), (), 1.0)

    assert ["written", None, None] == await server.command("MGET", "a", "b", "c")


async def test_whatever_goes_wrong_while_connecting_is_followed_by_another_attempt(server: Standalone) -> None:
    """A peer that talks nonsense, one that hangs up at once, and one that is not there: when Redis is, it is found."""
    answers = [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"$-5\r\n", b"*1\r\n+x\r\n"]

    async def nonsense(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answers.pop() if answers else b"")
        writer.close()

    server.kill()
    peer = await asyncio.start_server(nonsense, *server.address)
    store = open_store(server.url, (COUNT,))
    assert not await store.start(0.3)
    assert [] == answers
    peer.close()
    await peer.wait_closed()
    await server.start()

    await until(own_store_is_ready(store), "Redis is found", 2)
    assert 1 == await count(store, 1)
    await store.close()


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379/0",
        "rediss://user:p%40ss@redis.acme.example",
        "unix:///run/redis.sock?db=2",
        "redis+sentinel://user:secret@h1:26379,h2,[::1]:26379/mymaster/1?sentinel_username=watch&sentinel_password=a%26b",
        "rediss+cluster://:secret@h1:7000,h2:7001?ssl_ca_certs=/etc/ca.pem",
    ],
)
def test_urls_of_every_kind_of_store_are_taken(url: str) -> None:
    """One server, a socket, sentinels, a cluster, with and without TLS."""
    check_url(url)
    assert not open_store(url, ()).is_ready


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http://secret", "the scheme is not one of"),
        ("redis://h:secret", "cannot be read"),
        ("redis://h/secret", "the database is not a number"),
        ("redis://h?secret=1", "an option that is not known"),
        ("unix://secret", "the path of the socket is missing"),
        ("redis+sentinel://u:secret@h1,h2", "the name of the service"),
        ("redis+sentinel://h1/mymaster/secret", "the database is not a number"),
        ("redis+sentinel://u:secret@h1,,h2/mymaster", "a host is missing"),
        ("redis+cluster://u:secret@h1:x", "cannot be read"),
        ("redis+cluster://u:secret@h1/1", "a cluster has no database"),
        ("redis+cluster://u:secret@", "a host is missing"),
    ],
)
def test_what_is_wrong_with_a_url_is_said_without_quoting_it(url: str, fault: str) -> None:
    """A URL may hold a password, and its fault ends in a log."""
    with pytest.raises(ValueError, match=fault) as caught:
        check_url(url)
    assert "secret" not in str(caught.value)
