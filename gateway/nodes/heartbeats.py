"""What nodes say: which legs they hold, and that they leave. Nothing is released because a list lacks it, so lists may come late or twice."""

import asyncio
import functools
from collections.abc import Mapping, Sequence

import msgspec

from gateway.entitlements import Entitlements
from gateway.events import Emit, LegsReclaimed
from gateway.kernel.errors import StoreError, StoreUnavailable
from gateway.kernel.kernel import Kernel
from gateway.kernel.liveness import IDS_PER_SCRIPT, LEGS_PER_SWEEP, NODE_FORGOTTEN_MS, Liveness, Node


PERIOD_S = 10
SOON_S = 1
"""While the store recovers, the heartbeat after one with unknown legs tells whether all of them were confirmed, so that limits hold again.

Also after one of which a part was not heard.
"""

PAGE_LEGS = 500


class Beat(msgspec.Struct, frozen=True):
    """What a page of a heartbeat did: leases renewed, and per customer what is unknown and what an operator ended."""

    renewed: int
    unknown: Mapping[str, Sequence[str]]
    drop: Mapping[str, Sequence[str]]
    next_in_s: int


class Heartbeats:
    """The use cases of nodes."""

    def __init__(self, kernel: Kernel, liveness: Liveness, entitlements: Entitlements, emit: Emit) -> None:
        self._kernel = kernel
        self._liveness = liveness
        self._entitlements = entitlements
        self._emit = emit

    async def beat(self, node: str, connections: Mapping[str, Sequence[str]], *, page: int, pages: int) -> Beat:
        """Renews the leases of the legs listed. Raises StoreError: then the node says it again."""
        parts = [
            (customer, ids[at : at + IDS_PER_SCRIPT])
            for customer, ids in connections.items()
            for at in range(0, len(ids), IDS_PER_SCRIPT)
        ]
        found = await asyncio.gather(
            *[self._liveness.renew(customer, ids) for customer, ids in parts], return_exceptions=True
        )
        unknown: dict[str, list[str]] = {}
        drop: dict[str, list[str]] = {}
        renewed = unheard = 0
        for (customer, ids), part in zip(parts, found, strict=True):
            if isinstance(part, StoreError) and len(parts) > 1:
                unheard += len(ids)  # a part of a cluster is away: the others count all the same
                continue
            if isinstance(part, BaseException):
                raise part
            renewed += part.renewed
            if part.unknown:
                unknown.setdefault(customer, []).extend(part.unknown)
            if part.drop:
                drop.setdefault(customer, []).extend(part.drop)
        listed = sum([len(ids) for _, ids in parts])
        missing = unheard + sum([len(ids) for ids in unknown.values()])
        if parts and unheard == listed:
            raise StoreUnavailable("no lease could be renewed")
        await self._liveness.beat(node, page=page, pages=pages, listed=listed, unknown=missing)
        soon = unheard or (missing and self._kernel.epochs.recovering(self._kernel.store_now_ms()))
        return Beat(renewed, unknown, drop, SOON_S if soon else PERIOD_S)

    async def leave(self, node: str) -> int:
        """The node has left: the legs that it owns end now. How many. Raises StoreError."""
        reclaimed = 0
        for customer in sorted(await self._kernel.customers()):
            legs = 0
            async for page in self._kernel.leg_pages(customer, PAGE_LEGS):
                owned = [leg.connection for leg in page if leg.node == node]
                for at in range(0, len(owned), LEGS_PER_SWEEP):
                    some = functools.partial(self._liveness.depart, customer, node, owned[at : at + LEGS_PER_SWEEP])
                    legs += await self._entitlements.rolled(customer, some)
            if legs:
                self._emit(LegsReclaimed(customer, legs, "departed"))
            reclaimed += legs
        await self._liveness.forget_nodes([node])
        return reclaimed

    async def nodes(self) -> list[Node]:
        """Nodes that were heard of, by name; those of more than a day ago are forgotten. Raises StoreError."""
        found = await self._liveness.nodes()
        oldest_ms = self._kernel.store_now_ms() - NODE_FORGOTTEN_MS
        gone = [each.node for each in found if each.last_ms < oldest_ms]
        if gone:
            await self._liveness.forget_nodes(gone)
        return [each for each in found if each.last_ms >= oldest_ms]
