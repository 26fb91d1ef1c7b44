"""Operations that keep the count alive: renewing leases, reclaiming lapsed legs, what nodes say, and recovering what the store lost."""

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.kernel import outcomes
from gateway.kernel.arguments import NODE_LEASE_MS
from gateway.kernel.keys import bucket_key, keys_of, node_key
from gateway.kernel.outcomes import Register
from gateway.kernel.runner import Runner


IDS_PER_SCRIPT = 500
"""Legs renewed in one script: under a millisecond of the store, so that decisions do not wait."""

SILENCE_MS = 10_000
"""A sweep whose predecessor lies longer back reclaims nothing: what kept gateways from sweeping may have kept nodes from renewing."""

FEW_LEGS = 20
"""Up to so many legs of a bucket are always reclaimed, also when they are more than half of it."""

LEGS_PER_SWEEP = 50
NODES_MAX = 10_000
NODE_FORGOTTEN_MS = 24 * 3_600_000


class Renewed(msgspec.Struct, frozen=True):
    """How many leases were renewed; ids that the store does not know; ids that an operator ended."""

    renewed: int
    unknown: list[str]
    drop: list[str]


class Held(msgspec.Struct, frozen=True):
    """More than half of a bucket's legs have lapsed: they wait one more lease."""

    until_ms: int
    lapsed: int
    legs: int


class Node(msgspec.Struct, frozen=True):
    """A media server as the store knows it. `full_ms`: when a heartbeat was complete; `whole_ms`: and nothing in it unknown; None: never."""

    node: str
    last_ms: int
    full_ms: int | None
    whole_ms: int | None
    legs: int


class RegisterRow(msgspec.Struct, frozen=True):
    """A register of one day and group."""

    day: int
    group: str
    register: Register


class Liveness:
    """Runs on the connection for what is urgent. `timeout_s` bounds each operation."""

    def __init__(self, runner: Runner, *, timeout_s: float = 2.0) -> None:
        self._runner = runner
        self._timeout_s = timeout_s

    async def renew(self, customer: str, connections: Sequence[str]) -> Renewed:
        """Keeps listed legs for one more lease. At most IDS_PER_SCRIPT of them."""
        answer = await self._runner.of_customer("renew", customer, (NODE_LEASE_MS, *connections), self._timeout_s)
        unknown, drop = [[connections[place] for place in places] for places in answer[3:5]]
        return Renewed(answer[2], unknown, drop)

    async def lapsed(self, bucket: int, customers: Sequence[str], *, period_ms: int) -> list[str] | Held:
        """Customers of a bucket with legs to reclaim, none where somebody else sweeps or nothing may be reclaimed now.

        `customers` are all of the bucket: what lapsed is judged against what is there.
        """
        leases = [keys_of(customer, ("leases",))[0] for customer in customers]
        args = (period_ms, SILENCE_MS, NODE_LEASE_MS, FEW_LEGS)
        answer = await self._runner.of_bucket("lapsed", bucket, args, self._timeout_s, leases)
        match answer[0]:
            case b"LAPSED":
                return [customers[place] for place in answer[2:]]
            case b"HELD":
                return Held(answer[2], answer[3], answer[4])
        return []

    async def sweep(self, customer: str) -> int | outcomes.DayOver:
        """Reclaims lapsed legs, at most LEGS_PER_SWEEP; how many."""
        return await self._swept(customer, "", ())

    async def depart(self, customer: str, node: str, connections: Sequence[str]) -> int | outcomes.DayOver:
        """Reclaims those of the legs that the node owns, because it says that it has left; how many."""
        return await self._swept(customer, node, connections)

    async def _swept(self, customer: str, node: str, connections: Sequence[str]) -> int | outcomes.DayOver:
        args = (customer, node, LEGS_PER_SWEEP, SILENCE_MS, self._runner.bounds.cut_at, *connections)
        answer = await self._runner.of_customer("sweep", customer, args, self._timeout_s)
        if answer[0] == b"ROLL":
            return outcomes.DayOver(answer[1], int(answer[2]), int(answer[3]))
        return int(answer[3])

    async def recovered(self, bucket: int, epoch: int) -> None:
        """Nodes have brought back what the bucket had lost when that epoch began."""
        await self._runner.of_bucket("recovered", bucket, (self._runner.bounds.cut_at, epoch), self._timeout_s)

    async def assert_registers(self, customer: str, rows: Sequence[RegisterRow]) -> int | outcomes.DayOver:
        """Registers as they were told; the greater of both stands. How many were raised."""
        args: list[Any] = [customer, self._runner.bounds.cut_at]
        for row in rows:
            told = row.register
            args += (row.day, row.group, told.committed, told.peak, told.peak_at_ms, told.overage, told.overage_at_ms)
        answer = await self._runner.of_customer("assert", customer, args, self._timeout_s)
        if answer[0] == b"ROLL":
            return outcomes.DayOver(answer[1], int(answer[2]), int(answer[3]))
        return int(answer[3])

    async def customers(self, bucket: int) -> dict[str, int]:
        """Customers of a bucket, with the versions of their entitlements."""
        flat = await self._runner.store.command("HGETALL", bucket_key("customers", bucket), timeout_s=self._timeout_s)
        return {flat[at].decode(): int(flat[at + 1]) for at in range(0, len(flat), 2)}

    async def beat(self, node: str, *, page: int, pages: int, listed: int, unknown: int) -> None:
        """A page of a heartbeat was dealt with."""
        await self._runner.of_nodes("beat", (node, page, pages, listed, unknown, NODES_MAX), self._timeout_s)

    async def nodes(self) -> list[Node]:
        """All nodes that were heard of within a day, by name."""
        flat = await self._runner.store.command("HGETALL", node_key("nodes"), timeout_s=self._timeout_s)
        found = [_node(flat[at].decode(), flat[at + 1]) for at in range(0, len(flat), 2)]
        return sorted(found, key=lambda each: each.node)

    async def forget_nodes(self, nodes: Sequence[str]) -> None:
        """Nodes that have left, or were not heard of for long."""
        await self._runner.store.command("HDEL", node_key("nodes"), *nodes, timeout_s=self._timeout_s)

    async def present(self, gateway: str) -> int:
        """Says that a gateway is there; how many are."""
        answer = await self._runner.of_nodes("present", (gateway, NODE_LEASE_MS), self._timeout_s)
        return int(answer[2])


def _node(name: str, packed: bytes) -> Node:
    last, _, _, _, _, full, whole, legs = [int(part) for part in packed.split()[:8]]
    return Node(name, last, full or None, whole or None, legs)
