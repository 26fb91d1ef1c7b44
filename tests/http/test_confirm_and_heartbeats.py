"""Confirms, heartbeats and departures of nodes, as media servers and operators see them, through one gateway and through two."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

import aiohttp
import pytest
from callers import Callers
from http_client import json_request, send
from http_people import People
from support import RunningGateway, customer_data, join_data, named_hosts, ports

from gateway.api.nodes import LEGS_MAX


pytest_plugins = ("http_fixtures",)

MakeGateway = Callable[..., Awaitable[RunningGateway]]
NODE_LEASE = {"state": "connected", "expires_in_s": 30}


@pytest.fixture
async def gateways(make_gateway: MakeGateway) -> list[RunningGateway]:
    """Two gateways on one store."""
    return list(await asyncio.gather(make_gateway(), make_gateway()))


@pytest.fixture
def both(gateways: list[RunningGateway], http: aiohttp.ClientSession) -> Callers:
    """Media servers that call the one or the other."""
    return Callers(http, *gateways)


class Node:
    """A media server that beats."""

    def __init__(self, callers: Callers, name: str) -> None:
        self._callers = callers
        self._path = f"/v1/nodes/{name}/heartbeat"

    async def beat(self, *connections: str, through: int = 0, status: int = 200, **page: int) -> dict[str, Any]:
        """The answer to a page that lists these connections of `acme`."""
        return await self.list({"acme": list(connections)}, through=through, status=status, **page)

    async def list(
        self, connections: dict[str, list[str]], *, through: int = 0, status: int = 200, **page: int
    ) -> dict[str, Any]:
        """The answer to a page that lists these connections by customer."""
        return await self._callers.post(
            self._path, {"connections": connections, **page}, through=through, status=status
        )


async def confirm(callers: Callers, connection: str, *, through: int = 0, **fields: Any) -> dict[str, Any]:
    """What becomes of a leg that is connected."""
    return await callers.post("/v1/confirm", join_data(connection, **fields), through=through)


def told(result: str, connection: str, lease: dict[str, Any] | None = NODE_LEASE, **more: Any) -> dict[str, Any]:
    """The whole answer to a confirm."""
    with_lease = {} if lease is None else {"lease": lease}
    return {"result": result, "customer": "acme", "connection": connection, **with_lease, **more}


def beaten(renewed: int, *, unknown: Sequence[str] = (), drop: Sequence[str] = ()) -> dict[str, Any]:
    """The whole answer to a page about `acme`."""
    return {
        "renewed": renewed,
        "unknown": {"acme": list(unknown)} if unknown else {},
        "drop": {"acme": list(drop)} if drop else {},
        "next_in_s": 10,
    }


async def test_a_leg_is_confirmed_through_either_gateway(both: Callers) -> None:
    """The answers of the contract: by node, by lease_s, with neither; again; and after a release."""
    await both.install(ports(4))
    held: dict[str, dict[str, Any]] = {
        "a": {"node": "media-1"},
        "b": {"lease_s": 60},
        "c": {},
        "d": {"node": "media-1", "lease_s": 300},
    }
    states = [(await both.admit(leg, **fields))["lease"]["state"] for leg, fields in held.items()]
    leases = {
        "a": NODE_LEASE,
        "b": {"state": "connected", "expires_in_s": 60},
        "c": {"state": "connected", "expires_in_s": 12 * 3600},
        "d": NODE_LEASE,
    }

    for through in (1, 0):
        found = {leg: await confirm(both, leg, through=through, **fields) for leg, fields in held.items()}
        assert {leg: told("confirmed", leg, lease) for leg, lease in leases.items()} == found
    replayed = await both.admit("a", node="media-1", through=1)
    released = await both.release("a", through=1)

    assert ["provisional", "provisional", "connected", "provisional"] == states
    assert ("replayed", "connected") == (replayed["reason"], replayed["lease"]["state"])
    assert released["connected_s"] >= 0
    assert told("released", "a", None) == await confirm(both, "a", node="media-1")
    assert 3 == (await both.usage())["live"]


async def test_a_leg_that_nobody_admitted_is_counted_over_every_limit(callers: Callers, people: People) -> None:
    """Adopted beyond the ports, the next join is refused by the true count; a leg that an operator ended is to be dropped."""
    await callers.install(ports(1))

    adopted = [await confirm(callers, leg, through=at, node="media-1") for at, leg in enumerate("abc")]
    again = await confirm(callers, "a", through=1, node="media-1")
    refused = await callers.admit("d", through=1)
    await people.delete("connections/c", status=204)

    assert [told("adopted", leg) for leg in "abc"] == adopted
    assert told("confirmed", "a") == again
    assert ("ports_full", [{"limit": "ports", "used": 3, "committed": 1, "ceiling": 1}]) == (
        refused["reason"],
        refused["limits"],
    )
    assert told("released", "c", None, drop=True) == await confirm(callers, "c", through=1, node="media-1")
    assert 2 == (await callers.usage())["live"]


async def test_what_a_node_lists_is_renewed_unknown_or_to_be_dropped(callers: Callers, people: People) -> None:
    """Unknown legs come back to be confirmed, those of an operator to be dropped; what was not listed stays."""
    await callers.install(ports(9))
    node = Node(callers, "media-1")
    for leg in ("a", "b", "c", "silent"):
        await callers.admit(leg, node="media-1")
    await callers.admit("meeting", meeting="m2", node="media-1")
    await callers.release("b")
    await people.delete("connections/c", status=204)
    await people.delete("meetings/meeting/m2")

    first = await node.beat("a", "b", "c", "meeting", "x", "y")
    confirmed = [await confirm(callers, leg, through=1, node="media-1") for leg in first["unknown"]["acme"]]
    second = await node.beat("a", "c", "x", "y", through=1)
    everybody = await node.list({"acme": ["a", "z"], "globex": ["g"], "nobody": []}, through=1)

    # `b` is neither: its release and the list have crossed.
    assert beaten(1, unknown=["x", "y"], drop=["c", "meeting"]) == first
    assert [told("adopted", "x"), told("adopted", "y")] == confirmed
    assert beaten(3, drop=["c"]) == second
    assert {"renewed": 1, "unknown": {"acme": ["z"], "globex": ["g"]}, "drop": {}, "next_in_s": 10} == everybody
    assert beaten(0) == await node.beat()
    assert 4 == (await callers.usage())["live"]


async def test_operators_see_nodes_and_the_legs_of_one_that_left_end(
    both: Callers, gateways: list[RunningGateway], http: aiohttp.ClientSession
) -> None:
    """Nodes by name with the last complete heartbeat; who leaves frees its own seats, of all customers, and is forgotten."""
    people = People(gateways[0])
    await both.install(ports(9))
    globex = customer_data(ports(9), id="globex", domains=["globex.example"])
    assert 201 == (await send(gateways[1].admin_url, json_request("PUT", "/v1/customers/globex", globex))).status
    for node, legs in (("media-2", "abc"), ("media-1", "d"), (None, "e")):
        for leg in legs:
            await both.admit(leg, node=node)
    await both.admit("a", customer="globex", node="media-2")
    await confirm(both, "c", node="media-1")  # it has moved on: whom it belongs to is who confirmed it last
    second = Node(both, "media-2")

    before = await people.get("/v1/nodes")
    await second.list({"acme": ["a", "b"]}, page=1, pages=2)
    halfway = await people.get("/v1/nodes")
    await second.list({"globex": ["a"]}, through=1, page=2, pages=2)
    await Node(both, "media-1").beat("d", "c", "unknown")
    after = await people.get("/v1/nodes")
    left = [await _leave(http, gateway, "media-2") for gateway in gateways]

    assert [{"nodes": []}, [("media-2", 0)]] == [before, _legs(halfway)]
    assert [("media-1", 3), ("media-2", 3)] == _legs(after)
    assert all(datetime.fromisoformat(each["last_heartbeat"]).tzinfo is not None for each in after["nodes"])
    assert [{"reclaimed": 3}, {"reclaimed": 0}] == left
    assert [("media-1", 3)] == _legs(await people.get("/v1/nodes"))
    assert 3 == (await both.usage())["live"]
    assert 0 == (await people.get("/v1/customers/globex/usage"))["live"]
    assert beaten(0, unknown=["a", "b"]) == await second.beat("a", "b"), "a reclaim leaves no tombstone"


def _legs(answer: dict[str, Any]) -> list[tuple[str, int]]:
    return [(each["node"], each["legs"]) for each in answer["nodes"]]


async def _leave(http: aiohttp.ClientSession, gateway: RunningGateway, node: str) -> Any:
    async with http.delete(f"{gateway.url}/v1/nodes/{node}") as response:
        assert 200 == response.status, await response.text()
        return await response.json()


async def test_a_page_holds_so_many_legs_and_no_more(callers: Callers) -> None:
    """5,000 ids, in the order in which they were listed, wherever the known ones stand; one more, or a page past the last, is refused."""
    await callers.install(ports(9))
    node = Node(callers, "media-1")
    listed = [f"leg-{place:04}" for place in range(LEGS_MAX)]
    known = [listed[place] for place in (0, 499, 500, 999, 4999)]
    for leg in known:
        await callers.admit(leg, node="media-1")
    longest = ["x" * 250 + leg[-4:] for leg in listed[:4000]]  # just below a megabyte

    full = await node.beat(*listed, page=1000, pages=1000)
    long = await node.beat(*longest)
    refused = [await node.beat(*listed, "one more", status=422), await node.beat("a", page=2, pages=1, status=422)]

    assert beaten(5, unknown=[leg for leg in listed if leg not in known]) == full
    assert beaten(0, unknown=longest) == long
    assert ["$.connections", "$.page"] == [each["errors"][0]["path"] for each in refused]


async def test_a_batch_confirms_each_on_its_own(callers: Callers, people: People) -> None:
    """In order on one connection; a problem stands in the place of an operation that is at fault."""
    await callers.install(ports(2), named_hosts("alice"))
    await callers.admit("live")
    await callers.admit("ended")
    await people.delete("connections/ended", status=204)
    operations = [
        {"op": "admit", **join_data("new", node="media-1")},
        {"op": "confirm", **join_data("new", node="media-1")},
        {"op": "confirm", **join_data("adopted", node="media-1")},
        {"op": "release", "customer": "acme", "connection": "new", "node": "media-1"},
        {"op": "confirm", **join_data("new", node="media-1")},
        {"op": "confirm", **join_data("ended")},
        {"op": "confirm", **join_data("live", meeting="another")},
        {"op": "confirm", **join_data("theirs", customer="nobody")},
        {"op": "confirm", **join_data("bad", role="moderator")},
    ]

    results = (await callers.post("/v1/batch", {"operations": operations}, through=1))["results"]

    assert "admitted" == results[0]["reason"]
    assert [told("confirmed", "new"), told("adopted", "adopted")] == results[1:3]
    assert (True, True) == (results[3]["released"], results[3]["connected_s"] >= 0)
    assert [told("released", "new", None), told("released", "ended", None, drop=True)] == results[4:6]
    faults = [(each["status"], each["errors"][0]["path"]) for each in results[6:]]
    below = "$.operations"
    assert [(409, f"{below}[6].connection"), (404, f"{below}[7].customer"), (422, f"{below}[8].role")] == faults
    assert 2 == (await callers.usage())["live"]
