"""The client against real gateways as a media server uses it: admitted, confirmed, kept alive, brought in again, gone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from callers import Callers
from fault_proxy import CALM, REFUSING, ChaosProxy
from support import RunningGateway, join_data, ports

from gateway.client import GatewayClient, Left


pytest_plugins = ("http_fixtures",)

DOCUMENT = Path(__file__).parents[2] / "docs" / "client.md"
LEASE_S = 30.0
SOON_S = 10.0


@pytest.fixture
async def proxy(gateway: RunningGateway) -> AsyncIterator[ChaosProxy]:
    """A way to the gateway that has weather."""
    async with ChaosProxy(urlsplit(gateway.url).netloc) as way:
        yield way


async def until(holds: Callable[[], Awaitable[bool]], within_s: float = SOON_S) -> None:
    """Returns when the condition holds."""
    async with asyncio.timeout(within_s):
        while not await holds():  # noqa: ASYNC110 - another process knows
            await asyncio.sleep(0.05)


async def live(callers: Callers) -> int:
    """Legs of the customer."""
    return int((await callers.usage())["live"])


async def test_a_leg_that_was_let_in_without_a_gateway_is_brought_in_by_the_next_heartbeat(
    gateway: RunningGateway, callers: Callers, http: aiohttp.ClientSession, proxy: ChaosProxy
) -> None:
    """So it is counted, whatever the limits; a leg that the gateway knows is renewed; all end when the node leaves."""
    await callers.install(ports(1))
    roster: dict[str, dict[str, dict[str, Any]]] = {"acme": {}}

    async with GatewayClient(
        f"http://127.0.0.1:{proxy.port}", node="media-1", deadline_s=0.5, when_away="admit"
    ) as client:
        for connection, weather in (("a", CALM), ("b", REFUSING)):
            proxy.weather = weather
            join = join_data(connection)
            decision = await client.admit(join)
            roster["acme"][connection] = join
            assert (True, CALM == weather) == (decision.admitted, decision.counted)
        proxy.weather = CALM
        confirmed = await client.confirm(roster["acme"]["a"])
        client.heartbeats(roster)
        await until(lambda: _is(live(callers), 2))
        async with http.get(f"{gateway.admin_url}/v1/nodes") as response:
            known = await response.json()
        left = await client.leave()

    assert ("confirmed", "connected") == (confirmed.result, confirmed.lease and confirmed.lease.state)
    assert 1 == client.stats.adopted
    assert [("media-1", 2)] == [(each["node"], each["legs"]) for each in known["nodes"]]
    assert (Left(heard=True, reclaimed=2), 0) == (left, await live(callers))


async def test_the_example_of_the_document_runs(
    gateway: RunningGateway, callers: Callers, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the URL of a gateway and a short call: the leg joins, is confirmed and released, and the node leaves."""
    await callers.install(ports(1))
    indented = [
        line[4:]
        for line in DOCUMENT.read_text(encoding="utf-8").split("\n## ")[0].splitlines()
        if line.startswith("    ") or not line
    ]
    code = "\n".join(indented)
    for told, here in (
        ("http://gateway-1.example:8080", gateway.url),
        ("http://gateway-2.example:8080", gateway.url),
        ("asyncio.sleep(60)", "asyncio.sleep(0)"),
        ("asyncio.run(main())", ""),
    ):
        assert told in code
        code = code.replace(told, here)
    space: dict[str, Any] = {}

    exec(compile(code, DOCUMENT, "exec"), space)
    await space["main"]()

    assert ("", 0) == (capsys.readouterr().out, await live(callers))


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_leg_that_is_listed_outlives_its_lease_and_one_that_is_not_ends_with_it(
    callers: Callers, gateway: RunningGateway
) -> None:
    """Two leases long the listed leg is never gone; the other one's seat is free one lease and a sweep after its admit."""
    loop = asyncio.get_running_loop()
    await callers.install(ports(3))

    async with GatewayClient(gateway.url, node="media-1") as client:
        for connection in ("listed", "silent"):
            await client.admit(join_data(connection))
            await client.confirm(join_data(connection))
        began = loop.time()
        beats = client.heartbeats({"acme": {"listed": join_data("listed")}})
        await until(lambda: _is(live(callers), 1), LEASE_S + SOON_S)
        freed_s = loop.time() - began
        counts = set()
        while loop.time() - began < 2 * LEASE_S + SOON_S:
            counts.add(await live(callers))
            await asyncio.sleep(0.5)
        await beats.stop()
        await until(lambda: _is(live(callers), 0), LEASE_S + SOON_S)

    assert LEASE_S - 1 <= freed_s <= LEASE_S + 5
    assert {1} == counts
    assert (0, 0) == (client.stats.adopted, client.stats.beats_failed)


async def _is(found: Awaitable[int], wanted: int) -> bool:
    return wanted == await found
