"""What it costs to keep a million legs alive, and to bring them back after the store lost everything.

`python -m benchmarks.bench_leases [--legs 1000000] [--nodes 1000]`. A gateway as it is shipped, its Redis, and nodes that each hold an equal
share of the legs. First the nodes' legs are adopted (`/v1/batch` of confirms); then every node sends one heartbeat, which is one period; then
Redis is emptied, and nodes go on sending heartbeats and confirming what is unknown until nothing is. Costs are processor time of gateway and
Redis.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import uvloop

from benchmarks.common import Result, heading, redis_process, servers
from benchmarks.servers import HttpServer, gateway
from gateway.domain.catalogue import Customer, parse_customer


CUSTOMERS = 100
NODES_AT_ONCE = 8
OPERATIONS_PER_BATCH = 500
LEGS_PER_PAGE = 1_000
PERIOD_S = 10.0
RETURN_TIMEOUT_S = 1_200.0
ATTEMPTS_MAX, RETRY_PAUSE_S = 20, 0.5

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cost:
    """Processor seconds of gateway and Redis, and how long it took."""

    gateway_s: float
    redis_s: float
    wall_s: float

    def row(self, name: str, legs: int) -> str:
        """A row of a Markdown table, with microseconds per leg."""
        per_leg = [seconds / legs * 1e6 for seconds in (self.gateway_s, self.redis_s)]
        return f"| {name} | {self.gateway_s:.2f} | {self.redis_s:.2f} | {per_leg[0]:.2f} | {per_leg[1]:.2f} | {self.wall_s:.1f} |"


def held() -> list[Customer]:
    """Customers with room for all legs."""
    term = {"from": "2020-01-01", "to": "2099-12-31"}
    ports = {"plan": "meetings.concurrent_connections", "term": term, "committed": 100_000, "enforcement": "metered"}
    return [
        parse_customer({"id": f"customer-{number:02d}", "name": "Example", "domains": [], "subscriptions": [ports]})
        for number in range(CUSTOMERS)
    ]


class Fleet:
    """All nodes. Leg n belongs to node n % nodes; each node's legs are spread over all customers."""

    def __init__(self, server: HttpServer, http: aiohttp.ClientSession, legs: int, nodes: int) -> None:
        self._server = server
        self._http = http
        self._nodes = [range(node, legs, nodes) for node in range(nodes)]

    async def cost(self, work: Any) -> tuple[Cost, Any]:
        """What some work costs, and what it gives."""
        before, began = self._server.cpu_seconds(), time.perf_counter()
        found = await work
        after = self._server.cpu_seconds()
        return Cost(after[0] - before[0], after[1] - before[1], time.perf_counter() - began), found

    async def confirm_all(self) -> None:
        """Every node confirms all its legs."""
        await self._each_node(lambda node: self._confirm(node, [_id(leg) for leg in self._nodes[node]]))

    async def beat_all(self) -> tuple[int, int]:
        """Every node sends one heartbeat; legs renewed, and unknown."""
        found = await self._each_node(self._beat)
        return sum([renewed for renewed, _ in found]), sum([len(unknown) for _, unknown in found])

    async def bring_back(self) -> int:
        """Nodes send heartbeats every period and confirm what is unknown, until nothing is; how many were adopted."""
        began, adopted = time.monotonic(), 0

        async def one(node: int) -> int:
            _, unknown = await self._beat(node)
            await self._confirm(node, unknown)
            return len(unknown)

        while time.monotonic() - began < RETURN_TIMEOUT_S:
            round_began = time.monotonic()
            missing: int = sum(await self._each_node(one))
            adopted += missing
            if not missing:
                return adopted
            await asyncio.sleep(max(0.0, PERIOD_S - (time.monotonic() - round_began)))
        raise RuntimeError("the legs did not come back")

    async def _each_node(self, work: Callable[[int], Awaitable[T]]) -> list[T]:
        results: dict[int, T] = {}
        waiting = iter(range(len(self._nodes)))

        async def go() -> None:
            for node in waiting:
                results[node] = await work(node)

        await asyncio.gather(*[go() for _ in range(NODES_AT_ONCE)])
        return [results[node] for node in sorted(results)]

    async def _beat(self, node: int) -> tuple[int, list[str]]:
        ids = [_id(leg) for leg in self._nodes[node]]
        pages = [ids[at : at + LEGS_PER_PAGE] for at in range(0, len(ids), LEGS_PER_PAGE)]
        renewed, unknown = 0, []
        for number, page in enumerate(pages, 1):
            connections: dict[str, list[str]] = {}
            for connection in page:
                connections.setdefault(_customer(connection), []).append(connection)
            body = {"connections": connections, "page": number, "pages": len(pages)}
            answer = await self._post(f"/v1/nodes/node-{node}/heartbeat", body)
            renewed += answer["renewed"]
            unknown += [connection for ids in answer["unknown"].values() for connection in ids]
        return renewed, unknown

    async def _confirm(self, node: int, connections: Sequence[str]) -> None:
        for at in range(0, len(connections), OPERATIONS_PER_BATCH):
            operations = [_confirmation(each, node) for each in connections[at : at + OPERATIONS_PER_BATCH]]
            answer = await self._post("/v1/batch", {"operations": operations})
            told = {each.get("result", each.get("title")) for each in answer["results"]}
            if not told <= {"adopted", "confirmed"}:
                raise RuntimeError(f"a confirm came to {told}")

    async def _post(self, path: str, body: Any) -> Any:
        data = json.dumps(body)
        for _ in range(ATTEMPTS_MAX):
            async with self._http.post(self._server.url + path, data=data) as response:
                answer = await response.json()
            if response.status == 200:
                return answer
            await asyncio.sleep(RETRY_PAUSE_S)  # as a node does
        raise RuntimeError(f"{path}: {response.status} {answer}")


def _id(leg: int) -> str:
    """36 characters, like a UUID."""
    return f"{leg:08d}-0000-4000-8000-00000000{leg % CUSTOMERS:04d}"


def _customer(connection: str) -> str:
    return f"customer-{int(connection[-4:]):02d}"


def _confirmation(connection: str, node: int) -> dict[str, Any]:
    meeting = f"m{int(connection[:8]) // 1000 % 1000}-{connection[-4:]}"
    return {
        "op": "confirm", "customer": _customer(connection), "connection": connection, "service": "meeting", "meeting": meeting,
        "endpoint": "sip", "role": "host", "node": f"node-{node}",
    }  # fmt: skip


async def measure(server: HttpServer, legs: int, nodes: int) -> dict[str, Cost]:
    """All costs. Raises RuntimeError where anything was not as it must be."""
    costs: dict[str, Cost] = {}
    connector = aiohttp.TCPConnector(limit=NODES_AT_ONCE)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as http:
        fleet = Fleet(server, http, legs, nodes)
        costs["all legs adopted"], _ = await fleet.cost(fleet.confirm_all())
        _tell(costs)
        await fleet.bring_back()  # while they were adopted, the first may have lapsed
        costs["one heartbeat period"], (renewed, unknown) = await fleet.cost(fleet.beat_all())
        if (renewed, unknown) != (legs, 0):
            raise RuntimeError(f"renewed {renewed}, unknown {unknown} of {legs}")
        _tell(costs)
        costs["nothing but time, one period"], _ = await fleet.cost(asyncio.sleep(PERIOD_S))
        server.redis.client().flushall()
        costs["return after total loss"], adopted = await fleet.cost(fleet.bring_back())
        if server.live() != legs or adopted < legs:
            raise RuntimeError(f"{server.live()} live of {legs}, {adopted} adopted")
        _tell(costs)
    return costs


def _tell(costs: dict[str, Cost]) -> None:
    name = list(costs)[-1]
    print(f"{name}: {costs[name]}", file=sys.stderr, flush=True)


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--legs", type=int, default=1_000_000)
    parser.add_argument("--nodes", type=int, default=1_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = Result("leases", vars(options))
    with redis_process(servers()[0]) as redis, gateway(redis, held()) as server:
        costs = uvloop.run(measure(server, options.legs, options.nodes))
        memory = redis.client().info("memory")["used_memory"]
    result.figures = {name: asdict(cost) for name, cost in costs.items()} | {"redis_bytes": memory}
    result.write(options.json)
    print(heading("leases", result))
    print(f"{options.legs:,} legs on {options.nodes:,} nodes, {memory / options.legs:.0f} bytes of Redis per leg\n")
    print(
        "| | gateway CPU, s | Redis CPU, s | gateway, us per leg | Redis, us per leg | took, s |\n|---|---|---|---|---|---|"
    )
    for name, cost in costs.items():
        print(cost.row(name, options.legs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
