"""The client of media servers: one decision within a deadline, whatever happens on the way; no seat is left taken."""

import ast
import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from callers import Callers
from conftest import RedisServer
from fault_proxy import BLACK_HOLE, CALM, NO_REPLIES, REFUSING, ChaosProxy, Weather
from support import RunningGateway, join_data, ports

import gateway.client
from gateway.client import Decision, GatewayClient, Lease, LimitUse, Released, RequestRefused
from gateway.client.backlog import Backlog
from gateway.client.heartbeats import CONNECTION, CUSTOMER
from gateway.domain.customer import CUSTOMER_ID, PRINTABLE


pytest_plugins = ("http_fixtures",)

SOON_S = 10.0
NOBODY = "http://127.0.0.1:1"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def proxy(gateway: RunningGateway) -> AsyncIterator[ChaosProxy]:
    """A way to the gateway that has weather."""
    async with ChaosProxy(urlsplit(gateway.url).netloc) as way:
        yield way


@pytest.fixture
async def some_way() -> AsyncIterator[ChaosProxy]:
    """A way to a server that admits whoever asks."""

    async def welcoming(request: web.Request) -> web.Response:
        return admitted(await request.json())

    async with peer(welcoming) as url, ChaosProxy(urlsplit(url).netloc) as way:
        yield way


def through(proxy: ChaosProxy, *more: str, deadline_s: float = 0.4, **options: Any) -> GatewayClient:
    """A client that goes through the proxy."""
    return GatewayClient([f"http://127.0.0.1:{proxy.port}", *more], deadline_s=deadline_s, **options)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Returns when the condition holds."""
    async with asyncio.timeout(SOON_S):
        while not await holds():  # noqa: ASYNC110 - another process knows
            await asyncio.sleep(0.02)


async def until_live(callers: Callers, count: int) -> None:
    """Returns when the customer has so many legs."""

    async def holds() -> bool:
        return bool(count == (await callers.usage())["live"])

    await until(holds)


@asynccontextmanager
async def peer(handler: Handler) -> AsyncIterator[str]:
    """The URL of a server that answers so."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(app, host="127.0.0.1") as server:
        yield str(server.make_url("/"))


def admitted(body: dict[str, Any]) -> web.Response:
    """The least that a gateway answers to an admit."""
    return web.json_response(
        {"decision": "admit", "reason": "admitted", **{n: body[n] for n in ("customer", "connection")}}
    )


async def test_a_decision_tells_all_that_the_gateway_says(gateway: RunningGateway, callers: Callers) -> None:
    """The first leg of one port is admitted with its lease and limits, the second is denied with words to speak.

    An unknown endpoint (422), a live id with another meeting (409) and a move of a leg that is not there (404) are raised at once, with
    the field that is at fault: one attempt each. A leg is previewed, admitted, moved and released by keywords and by mappings; nobody
    listens at the first URL of its client: that one is tried once.
    """
    await callers.install(ports(1, id="ports-2026"))
    faults = []

    async with GatewayClient([gateway.url, gateway.url]) as client:
        first, second = [await client.admit(join_data(name)) for name in ("a", "b")]
        for call in (
            client.admit(join_data("b", endpoint="fax")),
            client.admit(join_data("a", meeting="m2")),
            client.move(join_data("c"), origin="m2"),
        ):
            with pytest.raises(RequestRefused) as refused:
                await call
            faults.append((refused.value.status, refused.value.kind, refused.value.path))
        await client.release("acme", "a")
    async with GatewayClient([NOBODY, gateway.url], node="media-1") as other:
        where = {"customer": "acme", "connection": "c", "service": "meeting", "endpoint": "sip", "role": "host"}
        decisions = [
            await other.preview(where, meeting="m1"),
            await other.admit(
                customer="acme", connection="c", service="meeting", meeting="m1", endpoint="sip", role="host"
            ),
            await other.move({**where, "meeting": "m2"}, origin="m1"),
            await other.move({**where, "meeting": "m3", "from": "m2"}),
        ]
        released = [await other.release("acme", "c") for _ in range(2)]

    assert (True, True, False, "admitted") == (first.admitted, first.counted, first.outage, first.reason)
    assert ("ports-2026", ("ports-2026",)) == (first.licensed_by, first.counted_in)
    assert LimitUse("ports", 1, 1, 1) in first.limits
    assert isinstance(first.lease, Lease)
    assert "connected" == first.lease.state
    assert (False, False, False, "ports_full", 5) == (
        second.admitted, second.counted, second.outage, second.reason, second.retry_after_s,
    )  # fmt: skip
    assert "All connections of this plan are in use. Please try again in a moment." == second.message
    assert "deny" == second.raw["decision"]
    assert [
        (422, "invalid", "$.endpoint"), (409, "conflict", "$.connection"), (404, "not-found", "$.connection"),
    ] == faults  # fmt: skip
    assert "is not live" == refused.value.message
    assert (6, 0, 0) == (client.stats.attempts, client.stats.retries, client.stats.away)
    assert ["admitted"] * 4 == [each.reason for each in decisions]
    assert [(True, False), (False, False)] == [(each.released, each.pending) for each in released]
    assert (7, 1) == (other.stats.attempts, other.stats.retries)


async def test_answers_that_are_lost_leave_no_seat_taken(
    gateway: RunningGateway, callers: Callers, proxy: ChaosProxy
) -> None:
    """An admit whose answer was lost is asked again at the next URL: replayed, one seat.

    Where there is no next URL, the seat is given back as soon as there is a way: of an admit that was answered as away (by no limit), of
    one that the caller broke off, and of a release that found no gateway.
    """
    await callers.install(ports(1))
    proxy.weather = NO_REPLIES

    async with through(proxy, gateway.url, deadline_s=0.6) as client:
        replayed = await client.admit(join_data("leg"))
        assert 1 == (await callers.usage())["live"]
        await client.release("acme", "leg")

    assert (True, "replayed") == (replayed.admitted, replayed.reason)
    assert (1, 0) == (client.stats.retries, client.stats.compensations)

    async with through(proxy) as client:
        proxy.weather = NO_REPLIES
        decision = await client.admit(join_data("a"))
        assert 1 == (await callers.usage())["live"]
        proxy.weather = CALM
        await until_live(callers, 0)

        proxy.weather = NO_REPLIES
        asking = asyncio.create_task(client.admit(join_data("b")))
        await until_live(callers, 1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        proxy.weather = CALM
        await until_live(callers, 0)

        await client.admit(join_data("c"))
        proxy.weather = REFUSING
        released = await client.release("acme", "c")
        proxy.weather = CALM
        await until_live(callers, 0)

    assert (False, "gateway_away", True, ()) == (decision.admitted, decision.reason, decision.outage, decision.limits)
    assert Released(released=False, pending=True) == released
    stats = client.stats
    assert (2, 2, 3, 0) == (stats.away, stats.compensations, stats.releases_queued, stats.releases_dropped)


async def test_a_refusal_after_an_attempt_that_nobody_answered_is_made_good() -> None:
    """The first gateway may still carry out what it was asked, so the refusal of the second is followed by a release."""
    released = asyncio.Event()
    bodies: list[Any] = []

    async def hanging(_: web.Request) -> web.Response:
        await asyncio.wait_for(released.wait(), SOON_S)
        return web.json_response({})

    async def refusing(request: web.Request) -> web.Response:
        body = await request.json()
        if "/v1/release" == request.path:
            bodies.append(body)
            released.set()
            return web.json_response({"released": True})
        named = {name: body[name] for name in ("customer", "connection")}
        return web.json_response({"decision": "deny", "reason": "ports_full", "message": "Full.", **named})

    async with (
        peer(hanging) as first,
        peer(refusing) as second,
        GatewayClient([first, second], node="media-1", deadline_s=0.5) as client,
    ):
        decision = await client.admit(join_data("leg"))
        await asyncio.wait_for(released.wait(), SOON_S)

    assert (False, "ports_full") == (decision.admitted, decision.reason)
    assert [{"customer": "acme", "connection": "leg", "node": "media-1", "cause": "refused"}] == bodies


async def test_joins_are_let_in_without_a_gateway_where_the_caller_wants_that(some_way: ChaosProxy) -> None:
    """Neither a refused connection nor silence makes a refusal; the leg is not counted yet, and nothing is given back."""
    async with through(some_way, deadline_s=0.2, when_away="admit") as client:
        decisions = []
        for weather in (REFUSING, BLACK_HOLE):
            some_way.weather = weather
            decisions.append(await client.admit(join_data("leg")))

    assert [Decision(admitted=True, reason="gateway_away", customer="acme", connection="leg")] * 2 == decisions
    assert [(True, False)] * 2 == [(each.outage, each.counted) for each in decisions]
    assert (2, 0, 0) == (client.stats.away, client.stats.compensations, client.stats.releases_queued)


@pytest.mark.parametrize("weather", [BLACK_HOLE, NO_REPLIES, REFUSING, Weather(cut_after=1)])
async def test_an_answer_never_takes_longer_than_the_deadline(some_way: ChaosProxy, weather: Weather) -> None:
    """Silence, lost answers, refused and reset connections: it is told within 0.15 s, give or take the machine."""
    loop = asyncio.get_running_loop()
    some_way.weather = weather

    async with through(some_way, deadline_s=0.15) as client:
        began = loop.time()
        decision = await client.preview(join_data("leg"))
        took_s = loop.time() - began

    assert "gateway_away" == decision.reason
    assert took_s < 0.35


async def test_each_attempt_says_how_much_of_the_deadline_is_left() -> None:
    """Faults of the server are tried again with the same id and ever less time."""
    bodies: list[Any] = []

    async def failing_twice(request: web.Request) -> web.Response:
        bodies.append(await request.json())
        return web.Response(status=500) if len(bodies) < 3 else admitted(bodies[-1])

    async with peer(failing_twice) as url, GatewayClient(url, deadline_s=2.0) as client:
        decision = await client.admit(join_data("leg"))
        earlier = await client.admit(join_data("leg", deadline_ms=900))

    left = [body.pop("deadline_ms") for body in bodies]
    assert (True, True) == (decision.admitted, earlier.admitted)
    assert [join_data("leg")] * 4 == bodies
    assert 2000 >= left[0] > left[1] > left[2] > 1000
    assert 900 >= left[3] > 600


@pytest.mark.slow
async def test_a_store_that_does_not_answer_is_told_as_such(
    make_gateway: Callable[..., Awaitable[RunningGateway]], http: aiohttp.ClientSession, redis_server: RedisServer
) -> None:
    """The gateway refuses by the customer's policy, which goes before `when_away`, and says when to come back: past the deadline."""
    gateway = await make_gateway(env={"GATEWAY_DECISION_BUDGET_MS": "150"})
    await Callers(http, gateway).install(ports(1), store_failure="deny")
    os.kill(redis_server.pid, signal.SIGSTOP)
    try:
        async with GatewayClient(gateway.url, deadline_s=1.0, when_away="admit") as client:
            decision = await client.admit(join_data("leg"))
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)

    assert (False, "store_unavailable", True, 2) == (
        decision.admitted, decision.reason, decision.outage, decision.retry_after_s,
    )  # fmt: skip
    assert (1, 0, 0) == (client.stats.attempts, client.stats.away, client.stats.compensations)


async def test_retry_after_is_heeded_where_the_deadline_allows_it() -> None:
    """A 503 with Retry-After is asked again after that second, once all gateways have said so; one that asks for too long ends the call."""
    asked: list[float] = []

    async def later(request: web.Request) -> web.Response:
        asked.append(asyncio.get_running_loop().time())
        problem = {"decision": "deny", "reason": "store_unavailable", "retry_after_s": 1}
        if len(asked) != 3:
            return web.json_response(problem, status=503, headers={"Retry-After": "1"})
        return admitted(await request.json())

    async with (
        peer(later) as url,
        GatewayClient([url, url.replace("127.0.0.1", "localhost")], deadline_s=3.0) as client,
    ):
        allowed = await client.admit(join_data("leg"))
        refused = await client.admit(join_data("leg", deadline_ms=800))

    assert asked[1] - asked[0] < 0.5
    assert 1.0 <= asked[2] - asked[1] < 1.5
    assert (True, 5) == (allowed.admitted, len(asked))
    assert ("store_unavailable", 1, 0) == (refused.reason, refused.retry_after_s, client.stats.compensations)


async def test_what_waits_is_bounded_and_the_oldest_is_dropped() -> None:
    """One is under way, two wait: of five, the second and the third are dropped, and the end drops the others."""
    dropped: list[int] = []

    async def work(_: tuple[str, str], __: None) -> bool:
        await asyncio.Event().wait()
        return True

    backlog = Backlog(work, dropped.append, at_once=1, waiting_max=2)
    for name in "abcde":
        backlog.put(("acme", name), None)

    assert ([True, False, False, True, True], 2) == ([("acme", name) in backlog for name in "abcde"], sum(dropped))
    await backlog.close()
    assert 5 == sum(dropped)


async def test_nothing_is_left_when_the_context_ends() -> None:
    """With no gateway, twelve releases are tried until the deadline is over, then dropped and counted; no task remains.

    An admit that reached nobody is not made good.
    """
    loop = asyncio.get_running_loop()
    before = asyncio.all_tasks()

    async with GatewayClient(NOBODY, deadline_s=0.2, releases_max=2) as client:
        assert not (await client.admit(join_data("leg"))).admitted
        await asyncio.gather(*[client.release("acme", f"leg{number}") for number in range(12)])
        began = loop.time()
    took_s = loop.time() - began

    stats = client.stats
    assert (0, 12, 12) == (stats.compensations, stats.releases_queued, stats.releases_dropped)
    assert took_s < 0.5
    assert before == asyncio.all_tasks()


async def test_asking_again_takes_back_the_release_of_the_earlier_refusal() -> None:
    """What waits is withdrawn; what is under way is waited for, so that it cannot end the leg that is asked about."""
    go_on = asyncio.Event()
    worked: list[str] = []

    async def work(_: tuple[str, str], item: str) -> bool:
        await go_on.wait()
        worked.append(item)
        return True

    soon = asyncio.get_running_loop().time() + 0.05
    backlog = Backlog(work, lambda _: None, at_once=1, waiting_max=5)
    assert [True, True, False] == [backlog.put(("acme", name), name) for name in ("a", "b", "b")]
    await asyncio.sleep(0)

    assert await backlog.withdraw(("acme", "b"), soon)
    assert not await backlog.withdraw(("acme", "a"), soon)
    go_on.set()
    assert await backlog.withdraw(("acme", "a"), soon + SOON_S)
    await backlog.close()

    assert ["a"] == worked


@pytest.mark.slow
async def test_a_storm_over_a_bad_network_ends_with_the_seats_that_were_told(
    callers: Callers, proxy: ChaosProxy
) -> None:
    """Of 1,500 joins for 400 ports, over connections that are reset all the time, as many are live in the end as were admitted."""
    await callers.install(ports(400))
    proxy.weather = Weather(jitter_s=0.005, cut_after=1500)

    async with through(proxy, f"http://127.0.0.1:{proxy.port}", deadline_s=30.0, connections=20) as client:
        decisions = await asyncio.gather(
            *[client.admit(join_data(f"leg{number}", f"m{number % 10}")) for number in range(1500)]
        )
        proxy.weather = CALM
    reasons = Counter("admitted" if each.admitted else each.reason for each in decisions)

    assert client.stats.retries > 0
    assert {"admitted": 400, "ports_full": 1100} == reasons
    assert (400, 0) == ((await callers.usage())["live"], client.stats.releases_dropped)


async def test_a_client_is_used_within_its_context() -> None:
    """Outside of it every operation raises; so does a deadline or a URL that makes no sense."""
    client = GatewayClient(NOBODY, node="media-1")
    for call in (client.admit(join_data("a")), client.release("acme", "a"), client.leave()):
        with pytest.raises(RuntimeError):
            await call
    with pytest.raises(RuntimeError):
        client.heartbeats({})
    wrong: Any
    for wrong in ("127.0.0.1:8080", "ftp://gateway.example", "http://", []):
        with pytest.raises(ValueError, match="URL"):
            GatewayClient(wrong)
    options: Any
    for options in ({"deadline_s": 0}, {"deadline_s": 61}, {"when_away": "perhaps"}, {"token": "a\nb"}):
        with pytest.raises(ValueError, match=r"deadline|when_away|token"):
            GatewayClient(NOBODY, **options)


def test_the_client_needs_nothing_else_of_this_project() -> None:
    """It imports the standard library, aiohttp, msgspec and itself, and knows ids as the gateway does."""
    strange = set()
    for module in Path(gateway.client.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            strange |= {name for name in names if name.startswith("gateway") and not name.startswith("gateway.client")}
            strange |= {name for name in names if name.split(".")[0] in {"redis", "pydantic", "structlog", "yarl"}}

    assert set() == strange
    assert (CUSTOMER_ID, PRINTABLE) == (CUSTOMER.pattern, CONNECTION.pattern)
