"""Faults of gateways and of who calls them: crashes, pauses, restarts, wrong clocks, slow requests, wrong tokens (F1 - F4, F31, F32, F38)."""

import asyncio
import signal
import time
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import fault_judge as judge
import pytest
from fault_client import ClientServer
from fault_media import MediaServer
from fault_play import HARD, OPEN, judged, play
from fault_world import World, world
from redis_processes import Standalone
from support import join_data

from gateway import tokens
from gateway.api.http import BODY_TIMEOUT_S


pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

BEAT_S = 1.0
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
HOUR_S = 3600


async def test_F1_a_gateway_that_is_killed_in_the_middle_of_requests_costs_nothing() -> None:
    """Killed three times under load, each time at work: no id has two effects, no limit is passed, no seat is lost."""
    async with Standalone() as store, world(store, name="F1") as scene:

        async def fault() -> None:
            for number in range(3):
                site = scene.sites[number % 2]
                site.kill()
                await site.start_again()

        outcome = await judged(await play(scene, fault, beat_s=BEAT_S), store.url, store.port)

    assert {} == outcome.beyond_bounds()
    assert 0 == outcome.reasons()["none"]
    assert 0.5 > outcome.gap_s


async def test_F2_F4_a_gateway_that_stands_still_executes_nothing_too_late() -> None:
    """SIGSTOP for three seconds, longer than anybody waits: what it had taken in is answered too late, or was given back, and holds no seat."""
    async with Standalone() as store, world(store, name="F2") as scene:

        async def fault() -> None:
            scene.sites[0].pause()
            await asyncio.sleep(3.0)
            scene.sites[0].resume()

        outcome = await judged(await play(scene, fault, beat_s=BEAT_S), store.url, store.port)

    assert {} == outcome.beyond_bounds()
    assert 0 == outcome.reasons()["none"]
    assert 0.5 > outcome.gap_s


async def test_F3_gateways_that_are_restarted_in_turn_refuse_nobody() -> None:
    """SIGTERM to each under load, twice: every join gets a decision of the store, and no seat is lost."""
    async with Standalone() as store, world(store, name="F3", env={"GATEWAY_DRAIN_S": "0.5"}) as scene:

        async def fault() -> None:
            for number in range(4):
                site = scene.sites[number % 2]
                site.gateway.process.send_signal(signal.SIGTERM)
                await site.start_again()

        outcome = await judged(await play(scene, fault, beat_s=BEAT_S), store.url, store.port)

    assert {"admitted", "ports_full", "replayed"} >= outcome.reasons().keys()
    assert {} == outcome.beyond_bounds()
    assert 0.5 > outcome.gap_s


@pytest.mark.skipif(not FAKETIME.exists(), reason="needs libfaketime (Debian: faketime)")
async def test_F32_gateways_whose_clocks_are_an_hour_off_decide_as_the_store_s_clock_says() -> None:
    """One an hour ahead, one an hour behind: leases and days are those of the store, and no leg is reclaimed."""

    def clock(at: int) -> dict[str, str]:
        shift_s = HOUR_S if at else -HOUR_S
        return {"LD_PRELOAD": str(FAKETIME), "FAKETIME": f"{shift_s:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    async with Standalone() as store, world(store, name="F32", gateway_env=clock) as scene:
        outcome = await judged(await play(scene, lambda: asyncio.sleep(3.0), beat_s=BEAT_S), store.url, store.port)
        offsets = [await clock_offset_s(server) for server in scene.media[:2]]

    heard = outcome.reasons()
    assert (
        heard["admitted"] + heard["ports_full"] > 0.9 * heard.total()
    )  # libfaketime itself stalls a process now and then
    assert [True, True] == [abs(offset) < 5.0 for offset in offsets]
    assert {} == outcome.beyond_bounds()
    assert [] == [entry for entry in outcome.entries if entry.op == "reclaim"]


async def clock_offset_s(server: MediaServer) -> float:
    """By how much the time of a decision differs from this machine's clock."""
    _, answer = await server.join(OPEN.customer)
    decided = time.strptime(answer.body["decided_at"][:19], "%Y-%m-%dT%H:%M:%S")
    return time.time() - (time.mktime(decided) - time.timezone)


async def test_F38_a_token_of_another_node_ends_or_beats_nothing(tmp_path: Path) -> None:
    """Heartbeats, releases and confirmations in the name of another node are refused, unknown tokens are turned away; the leg stays."""
    file = tmp_path / "tokens.json"
    secrets = {node: tokens.create(file, ["admit", "nodes"], node=node)[1] for node in ("media-0", "media-1")} | {
        "admin": tokens.create(file, ["admin"])[1]
    }
    env = {"GATEWAY_TOKENS_FILE": str(file)}
    async with Standalone() as store, world(store, gateways=1, name="F38", env=env) as scene:
        scene.token = secrets["admin"]
        await scene.install(HARD)
        own = await scene.media_server("media-0", token=secrets["media-0"], beat_s=None)
        await own.join(HARD.customer, "leg")
        statuses = await as_somebody_else(scene, secrets["media-1"])
        turned_away = await as_somebody_else(scene, "gw_of-nobody")
        left = await scene.differences(HARD.customer)

    assert {"beat": 403, "leave": 403, "release as owner": 403, "confirm as owner": 403, "release": 200} == statuses
    assert {401} == set(turned_away.values())
    assert {} == left


async def as_somebody_else(scene: World, secret: str) -> dict[str, int]:
    """What is answered to somebody who acts on the leg of `media-0`."""
    url, leg = scene.sites[0].url, {"customer": HARD.customer, "connection": "leg"}
    calls = {
        "beat": ("POST", "/v1/nodes/media-0/heartbeat", {"connections": {}, "page": 1, "pages": 1}),
        "leave": ("DELETE", "/v1/nodes/media-0", None),
        "release as owner": ("POST", "/v1/release", {**leg, "node": "media-0"}),
        "confirm as owner": ("POST", "/v1/confirm", join_data("leg", customer=HARD.customer, node="media-0")),
        "release": ("POST", "/v1/release", {**leg, "node": "media-1"}),
    }
    found = {}
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {secret}"}) as http:
        for name, (method, path, body) in calls.items():
            async with http.request(method, url + path, json=body) as response:
                found[name] = response.status
    return found


async def test_F1_F3_F5_through_the_client_every_call_is_decided_and_every_seat_comes_back() -> None:
    """Media servers with the project's client: a gateway is killed, the other restarted, Redis stands still; the rosters are the truth."""
    async with Standalone() as store, world(store, name="client") as scene:
        await scene.install(OPEN)
        servers = [
            await scene.stack.enter_async_context(
                ClientServer(f"client-{at}", scene.doors[at:] + scene.doors[:at], scene.history)
            )
            for at in range(2)
        ]
        over = asyncio.Event()
        loads = [asyncio.create_task(server.load_until(over, OPEN.customer, 15.0)) for server in servers]
        for at, number in enumerate((signal.SIGKILL, signal.SIGTERM)):
            await asyncio.sleep(1.0)
            scene.sites[at].gateway.process.send_signal(number)
            await scene.sites[at].start_again()
        store.pause()
        await asyncio.sleep(1.0)
        store.resume()
        over.set()
        await asyncio.gather(*loads)
        took = await scene.counts_agree(OPEN.customer)
        entries = await judge.outbox(store.port)

    assert {"admitted", "replayed", "degraded"} >= {reason for server in servers for reason in server.heard}
    assert [] == judge.double_effects(entries)
    assert [] == judge.false_reclaims(entries, scene.history)
    assert took < 3.0


async def test_F31_slow_and_huge_requests_are_ended_and_take_nothing_from_others() -> None:
    """Bodies that never come, bodies that are too large, requests sent without waiting: others get their decisions as ever."""
    async with Standalone() as store, world(store, gateways=1, name="F31") as scene:
        ended: list[float] = []

        async def fault() -> None:
            address = urlsplit(scene.sites[0].gateway.url)
            floods = [pipelined(address.port or 0) for _ in range(5)]
            slow = [never_sent(address.port or 0) for _ in range(100)]
            assert {413} == set(await asyncio.gather(*[too_large(address.port or 0) for _ in range(20)]))
            ended.extend(await asyncio.gather(*slow))
            assert [200] * 5 == [await flood for flood in floods]

        outcome = await judged(await play(scene, fault, beat_s=BEAT_S), store.url, store.port)

    assert BODY_TIMEOUT_S + 1.0 > max(ended)
    assert {"admitted", "ports_full"} >= outcome.reasons(meanwhile=True).keys()
    assert 0.25 > sorted(call.ended - call.began for call in outcome.meanwhile)[-3]


async def never_sent(port: int) -> float:
    """A request whose body never comes; after how long (s) it is refused."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /v1/admit HTTP/1.1\r\nHost: x\r\nContent-Length: 200\r\n\r\n{")
    answer = await reader.readuntil(b"\r\n\r\n")
    writer.transport.abort()
    assert b"408" == answer[9:12]
    assert b"connection: close" in answer.lower()
    return time.monotonic() - began


async def too_large(port: int) -> int:
    """A request that says that its body has a gigabyte; the status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /v1/admit HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n" + b"x" * 65536)
    answer = await reader.readline()
    writer.transport.abort()
    return int(answer[9:12])


async def pipelined(port: int) -> int:
    """Two hundred requests in one write; the status of the last answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 200)
    status = 0
    for _ in range(200):
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        size = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        await reader.readexactly(size)
    writer.close()
    return status
