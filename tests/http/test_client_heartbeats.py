"""Heartbeats of the client: what a node holds is told again and again, in pages, and nothing that hangs or fails keeps the next beat."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from fault_proxy import CALM, REFUSING, ChaosProxy
from support import join_data

from gateway.client import GatewayClient, Left, RequestRefused, heartbeats


SOON_S = 10.0
BEAT_S = 0.05
NOBODY = "http://127.0.0.1:1"
Legs = dict[str, dict[str, dict[str, Any]]]


class Peer:
    """A gateway that keeps legs in a dict, and knows heartbeats, confirms and nothing else."""

    def __init__(self) -> None:
        self.url = ""
        self.legs: dict[tuple[str, str], dict[str, Any]] = {}
        self.drop: dict[str, list[str]] = {}
        self.node = ""
        self.pages: list[dict[str, Any]] = []
        self.left = 0
        self.beat_takes_s = 0.0
        self.beating = 0
        self.beating_when_left = 0
        self.refuse = False
        self.confirm_takes_s = 0.0
        self.confirming = 0
        self.confirming_most = 0
        self.confirms = 0

    def app(self) -> web.Application:
        """Its routes."""
        app = web.Application(client_max_size=1024 * 1024)
        app.router.add_post("/v1/nodes/{node}/heartbeat", self._beat)
        app.router.add_delete("/v1/nodes/{node}", self._leave)
        app.router.add_post("/v1/confirm", self._confirm)
        return app

    async def _beat(self, request: web.Request) -> web.Response:
        self.node = unquote(request.match_info["node"])
        page = await request.json()
        self.pages.append(page)
        self.beating += 1
        await asyncio.sleep(self.beat_takes_s)  # how long a gateway takes
        self.beating -= 1
        if self.refuse:
            return web.json_response({"type": "urn:x:problem:forbidden", "detail": "No."}, status=403)
        told = [(customer, each) for customer, ids in page["connections"].items() for each in ids]
        unknown: dict[str, list[str]] = {}
        for customer, connection in told:
            if (customer, connection) not in self.legs:
                unknown.setdefault(customer, []).append(connection)
        renewed = sum(each in self.legs for each in told)
        next_in_s = BEAT_S if 1 == page["page"] else 60
        return web.json_response({"renewed": renewed, "unknown": unknown, "drop": self.drop, "next_in_s": next_in_s})

    async def _confirm(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.confirms += 1
        self.confirming += 1
        self.confirming_most = max(self.confirming_most, self.confirming)
        await asyncio.sleep(self.confirm_takes_s)  # how long a gateway takes
        self.confirming -= 1
        named = {name: body[name] for name in ("customer", "connection")}
        self.legs[body["customer"], body["connection"]] = body
        return web.json_response({"result": "adopted", **named, "lease": {"state": "connected", "expires_in_s": 30}})

    async def _leave(self, request: web.Request) -> web.Response:
        self.left, self.beating_when_left = len(self.pages), self.beating
        return web.json_response({"reclaimed": len(self.legs)})

    def ids(self, page: int) -> dict[str, list[str]]:
        """What a page told."""
        ids: dict[str, list[str]] = self.pages[page]["connections"]
        return ids


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again within a second is so within a tenth, for the time that the tests take."""
    monkeypatch.setattr(heartbeats, "SOON_S", (0.05, 0.1))


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    """A peer that listens."""
    one = Peer()
    async with TestServer(one.app(), host="127.0.0.1") as server:
        one.url = str(server.make_url("/"))
        yield one


async def until(holds: Callable[[], bool]) -> None:
    """Returns when the condition holds."""
    async with asyncio.timeout(SOON_S):
        while not holds():  # noqa: ASYNC110 - it may be on any of several objects
            await asyncio.sleep(0.005)


async def until_beats(client: GatewayClient, more: int) -> None:
    """Returns after so many further beats."""
    wanted = client.stats.beats + more
    await until(lambda: client.stats.beats >= wanted)


def tasks_of_the_client() -> int:
    """Tasks that run code of the client; those of the peer are in the same loop."""
    coroutines: list[Any] = [task.get_coro() for task in asyncio.all_tasks()]
    return sum(str(Path("gateway", "client")) in each.cr_code.co_filename for each in coroutines)


def held(*names: str, customer: str = "acme") -> Legs:
    """A roster with these legs."""
    return {customer: {name: {"service": "meeting", "meeting": "m1", "endpoint": "sip"} for name in names}}


async def test_legs_that_the_gateway_does_not_know_are_confirmed_with_their_fields(peer: Peer) -> None:
    """They are brought in once, as the roster says; a leg that ended is listed no more, a new one is."""
    legs = held("a", "b")

    async with GatewayClient(peer.url, node="media/fra 01") as client:
        client.heartbeats(legs)
        await until(lambda: 2 == len(peer.legs))
        del legs["acme"]["a"]
        legs["acme"].update(held("c")["acme"])
        await until_beats(client, 2)
        await until(lambda: 3 == client.stats.adopted)

    assert "media/fra 01" == peer.node
    body = dict(peer.legs["acme", "b"])
    assert 0 < body.pop("deadline_ms") <= 5000
    assert {
        "customer": "acme", "connection": "b", "service": "meeting", "meeting": "m1", "endpoint": "sip", "node": "media/fra 01",
    } == body  # fmt: skip
    assert ({"acme": ["a", "b"]}, {"acme": ["b", "c"]}) == (peer.ids(0), peer.ids(-1))
    assert (3, 0, 0) == (peer.confirms, client.stats.confirms_failed, client.stats.beats_failed)


async def test_many_legs_travel_in_pages_and_are_brought_in_32_at_a_time(peer: Peer) -> None:
    """4,500 legs of two customers make three pages of at most 2,000; each id is on one of them; the 500 unknown are confirmed once each.

    The first page says when the next beat is due; the others would wait for a minute.
    """
    legs = held(*map(str, range(2500))) | held(*map(str, range(2000)), customer="globex")
    peer.legs = {("acme", str(number)): {} for number in range(500, 2500)}
    peer.legs |= {("globex", str(number)): {} for number in range(2000)}
    peer.confirm_takes_s = 0.01

    async with GatewayClient(peer.url, node="media-1") as client:
        client.heartbeats(legs)
        await until(lambda: 4500 == len(peer.legs))
        await until_beats(client, 1)
        pages = peer.pages[:3]

    assert [(1, 3, 2000), (2, 3, 2000), (3, 3, 500)] == [
        (page["page"], page["pages"], sum(map(len, page["connections"].values()))) for page in pages
    ]
    told = [(customer, each) for page in pages for customer, ids in page["connections"].items() for each in ids]
    assert set(peer.legs) == set(told)
    assert (4500, 500, 32) == (len(told), peer.confirms, peer.confirming_most)


async def test_an_empty_node_beats_all_the_same(peer: Peer) -> None:
    """One empty page: the node is alive, and has told all that it holds."""
    async with GatewayClient(peer.url, node="media-1") as client:
        client.heartbeats(dict)
        await until_beats(client, 2)

    assert [{"connections": {}, "page": 1, "pages": 1}] * 2 == peer.pages[:2]


async def test_an_id_that_no_gateway_takes_does_not_spoil_the_beat(peer: Peer) -> None:
    """Too long, no text, looking like a telephone number, no customer: left out and counted, the others are told."""
    legs = held("a", "x" * 256, "é" * 129, "\ud800", "+49 30 1234567", "a\n") | held("b", customer="no customer")

    async with GatewayClient(peer.url, node="media-1") as client:
        client.heartbeats(legs)
        await until_beats(client, 1)
        skipped = client.stats.ids_skipped

    assert {"acme": ["a", "x" * 256]} == peer.ids(0)
    assert 5 == skipped / client.stats.beats


async def test_what_an_operator_ended_is_told_to_the_caller_and_a_slow_callback_keeps_no_beat(peer: Peer) -> None:
    """Beats go on while the callback hangs, and it is not called twice for the same leg at the same time."""
    legs = held("a", "b")
    peer.drop = {"acme": ["b"]}
    dropped: list[tuple[str, str]] = []
    go_on = asyncio.Event()

    async def on_drop(customer: str, connection: str) -> None:
        dropped.append((customer, connection))
        await go_on.wait()
        legs[customer].pop(connection, None)
        peer.drop = {}

    async with GatewayClient(peer.url, node="media-1") as client:
        client.heartbeats(legs, on_drop=on_drop)
        await until(lambda: bool(dropped))
        await until_beats(client, 3)
        assert [("acme", "b")] == dropped
        go_on.set()
        await until(lambda: {"acme": ["a"]} == peer.ids(-1))

    assert 1 == client.stats.drops


async def test_neither_a_roster_nor_a_callback_that_fails_ends_the_beats(peer: Peer) -> None:
    """Both are counted and logged; a roster that is asked in vain is asked again within a second."""
    peer.drop = {"acme": ["a"]}
    asked = 0

    async def roster() -> Legs:
        nonlocal asked
        asked += 1
        if 1 == asked:
            raise OSError("the database of calls is away")
        return held("a")

    def on_drop(_: str, connection: str) -> None:
        raise KeyError(connection)

    async with GatewayClient(peer.url, node="media-1") as client:
        client.heartbeats(roster, on_drop=on_drop)
        await until_beats(client, 1)
        await until(lambda: client.stats.callbacks_failed > 0)

    assert 1 == client.stats.beats_failed


async def test_a_beat_that_no_gateway_answers_is_tried_again_soon(peer: Peer) -> None:
    """At the other URL, and once there is a gateway again, within a second or so: what was forgotten meanwhile is brought in."""
    loop = asyncio.get_running_loop()
    async with (
        ChaosProxy(urlsplit(peer.url).netloc) as proxy,
        GatewayClient([NOBODY, f"http://127.0.0.1:{proxy.port}"], node="media-1") as client,
    ):
        client.heartbeats(held("a"))
        await until(lambda: 1 == client.stats.adopted)
        assert 0 == client.stats.beats_failed

        proxy.weather = REFUSING
        tries = client.stats.attempts
        await until(lambda: client.stats.attempts >= tries + 4)
        peer.legs.clear()
        proxy.weather = CALM
        healed = loop.time()
        await until(lambda: 2 == client.stats.adopted)
        took_s = loop.time() - healed

    assert took_s < 1.0


async def test_a_beat_that_is_refused_as_such_is_not_hurried(peer: Peer) -> None:
    """A token without the right is no outage: the next beat comes after the ordinary interval, of which no answer has told yet."""
    peer.refuse = True

    async with GatewayClient(peer.url, node="media-1") as client:
        client.heartbeats({})
        await until(lambda: 1 == client.stats.beats_failed)
        await asyncio.sleep(0.3)

    assert (1, 1) == (len(peer.pages), client.stats.attempts)


async def test_a_node_that_leaves_beats_no_more(peer: Peer) -> None:
    """The legs it holds are reclaimed by that; a beat under way ends first, for it would call them back. Heartbeats are begun once."""
    async with GatewayClient(peer.url, node="media-1") as client:
        client.heartbeats(held("a"))
        await until(lambda: 1 == client.stats.adopted)
        peer.beat_takes_s = 0.2
        await until(lambda: 1 == peer.beating)
        left = await client.leave()
        with pytest.raises(RuntimeError):
            client.heartbeats({})

    assert Left(heard=True, reclaimed=1) == left
    assert (len(peer.pages), 0) == (peer.left, peer.beating_when_left)
    assert 0 == tasks_of_the_client()


async def test_a_node_that_leaves_unheard_is_told_so(peer: Peer) -> None:
    """Nobody listens: its leases end by themselves. A gateway without that route refuses."""
    async with GatewayClient(NOBODY, node="media-1", deadline_s=0.1) as client:
        assert Left(heard=False) == await client.leave()
    async with GatewayClient(f"{peer.url}elsewhere", node="media-1") as client:
        with pytest.raises(RequestRefused, match="404"):
            await client.leave()


async def test_the_end_of_the_context_ends_all_that_goes_on(peer: Peer) -> None:
    """Beats, confirms and callbacks under way: no task is left, and nobody is told that one was destroyed."""
    peer.confirm_takes_s = SOON_S
    peer.drop = {"acme": ["a"]}
    called = asyncio.Event()

    async def on_drop(*_: str) -> None:
        called.set()
        await asyncio.Event().wait()

    async with GatewayClient(peer.url, node="media-1") as client:
        client.heartbeats(held("a", "b"), on_drop=on_drop)
        await until(lambda: called.is_set() and 2 == peer.confirming)
        began = tasks_of_the_client()

    assert 3 == client.stats.background_dropped
    assert (4, 0) == (began, tasks_of_the_client())
    peer.confirm_takes_s = 0.0


async def test_a_join_of_the_roster_may_hold_its_whole_body(peer: Peer) -> None:
    """Then its own node goes before the client's."""
    async with GatewayClient(peer.url, node="media-1") as client:
        client.heartbeats({"acme": {"leg": join_data("leg", node="media-2", host=None)}})
        await until(lambda: 1 == client.stats.adopted)

    body = {name: value for name, value in peer.legs["acme", "leg"].items() if "deadline_ms" != name}
    assert {**join_data("leg"), "node": "media-2"} == body
