"""A gateway that is told to stop says so, goes on serving for a while, and finishes what it has begun."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from callers import Callers, used
from http_client import json_request, send
from redis.asyncio import Redis
from steady_callers import SteadyCallers, is_free, until, until_told
from support import RunningGateway, join_data, ports


MakeGateway = Callable[..., Awaitable[RunningGateway]]
LONG = {"GATEWAY_DRAIN_S": "300"}


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Any]:
    """A connection to the store."""
    connection: Any = Redis.from_url(store_url, protocol=2, decode_responses=True)
    yield connection
    await connection.aclose()


async def readiness(url: str) -> tuple[int, str]:
    """The status of `/readyz`, and what it says of the gateway."""
    answer = await send(url, json_request("GET", "/readyz", None))
    return answer.status, answer.json()["checks"]["gateway"]


async def until_draining(gateway: RunningGateway) -> None:
    """Waits until the gateway says that it is not ready any more."""

    async def is_draining() -> bool:
        return await readiness(gateway.admin_url) == (503, "draining")

    await until_told(is_draining, "it says that it drains")


async def until_refused(gateway: RunningGateway) -> None:
    """Waits until the gateway takes no connection any more."""
    port = urlsplit(gateway.url).port
    assert port is not None
    await until(lambda: is_free(port), "the listener is closed")


@pytest.mark.parametrize(("drain_s", "heeding"), [("0.3", True), pytest.param("0", False, marks=pytest.mark.slow)])
async def test_gateways_restarted_in_turn_under_load_lose_no_decision(
    make_gateway: MakeGateway, http: aiohttp.ClientSession, drain_s: str, heeding: bool
) -> None:
    """Two gateways, 200 joins/s: each join has one decision and one effect; callers that heed the drain meet no failure at all."""
    env = {"GATEWAY_DRAIN_S": drain_s}
    gateways = [await make_gateway(env=env), await make_gateway(env=env)]
    await Callers(http, gateways[0]).install(ports(10_000))
    load = SteadyCallers([gateway.url for gateway in gateways], heeding=heeding)

    async with load.calling():
        for at, gateway in enumerate(gateways):
            await load.answered_by(gateway.url)
            assert 0 == await gateway.stop()
            gateways[at] = await make_gateway("--port", str(urlsplit(gateway.url).port), env=env)
            load.came_back(gateway.url)
            await load.answered_by(gateway.url)

    joins = len(load.decisions)
    usage = await Callers(http, gateways[0]).usage()
    assert {"admit": joins} == Counter(each["decision"] for each in load.decisions.values())
    assert (joins, joins, joins) == (usage["live"], used(usage, "ports"), usage["pools"][0]["peak"])
    if heeding:
        assert {} == load.failures
        assert {"admitted": joins} == Counter(each["reason"] for each in load.decisions.values())
    else:
        assert load.failures["ClientConnectorError"] > 0, "there was a time when one of them could not be called"


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
async def test_a_request_under_way_is_answered(make_gateway: MakeGateway, store: Any, number: signal.Signals) -> None:
    """Its store call is held until the listener is closed; then it gets its answer, and the gateway ends with 0."""
    gateway = await make_gateway(env={"GATEWAY_DRAIN_S": "0"})
    async with aiohttp.ClientSession() as http:
        await Callers(http, gateway).install(ports(1))
    await store.client_pause(30_000, all=False)
    asked = asyncio.create_task(send(gateway.url, json_request("POST", "/v1/admit", join_data("leg"))))

    async def is_held() -> bool:
        return any(each["cmd"] == "evalsha" and "b" in each["flags"] for each in await store.client_list())

    await until_told(is_held, "the join waits in the store")
    gateway.process.send_signal(number)
    await until_refused(gateway)
    await store.client_unpause()
    answer = await asked

    assert (200, "admitted", "close") == (answer.status, answer.json()["reason"], answer.headers["connection"])
    await asyncio.wait_for(gateway.process.communicate(), 20)
    assert 0 == gateway.process.returncode


async def test_a_draining_gateway_serves_and_sends_its_callers_elsewhere(make_gateway: MakeGateway) -> None:
    """Both listeners say 503 on `/readyz` and 200 on everything else, with `Connection: close`; a second signal ends it at once."""
    gateway = await make_gateway(env=LONG)
    async with aiohttp.ClientSession() as http:
        await Callers(http, gateway).install(ports(2))
    before = await send(gateway.url, json_request("POST", "/v1/admit", join_data("first")))
    assert ((200, "ok"), None) == (await readiness(gateway.url), before.headers.get("connection"))

    gateway.process.send_signal(signal.SIGTERM)
    await until_draining(gateway)
    during = await send(gateway.url, json_request("POST", "/v1/admit", join_data("second")))
    read = await send(gateway.admin_url, json_request("GET", "/v1/customers/acme/usage", None))

    assert (503, "draining") == await readiness(gateway.url)
    assert (200, "admitted", "close") == (during.status, during.json()["reason"], during.headers["connection"])
    assert (200, 2, "close") == (read.status, read.json()["live"], read.headers["connection"])
    assert 200 == (await send(gateway.url, json_request("GET", "/livez", None))).status
    assert 1 == await gateway.stop()


async def test_an_interrupt_does_not_wait(make_gateway: MakeGateway) -> None:
    """SIGINT ends a gateway that would have drained for minutes, with 0."""
    gateway = await make_gateway(env=LONG)

    assert 0 == await gateway.stop(signal.SIGINT)
