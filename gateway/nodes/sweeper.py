"""Reclaiming legs whose lease is over. Any number of gateways sweep; inside the store one of them at a time gets to do it, per bucket."""

import asyncio
import random

import structlog

from gateway.entitlements import Entitlements
from gateway.events import Emit, LegsReclaimed, SweepHeld
from gateway.kernel.errors import StoreError
from gateway.kernel.keys import BUCKETS, bucket_of
from gateway.kernel.liveness import LEGS_PER_SWEEP, Held, Liveness
from gateway.shared import Shared


PERIOD_S = 2.0
SWEEPS_PER_ROUND_MAX = 40
"""Scripts in one round of one bucket: 2,000 legs; what is left is reclaimed in the next."""

RECLAIMS_MAX = 4
"""Scripts for which somebody who joins may have to wait."""

_log = structlog.get_logger("gateway.sweeper")


class Sweeper:
    """Sweeps all buckets every PERIOD_S, and one customer at once where a lapsed leg stands in a full limit."""

    def __init__(self, liveness: Liveness, entitlements: Entitlements, emit: Emit) -> None:
        self._liveness = liveness
        self._entitlements = entitlements
        self._emit = emit
        self._reclaiming: Shared[str, None] = Shared()

    async def run(self) -> None:
        """Sweeps; never ends."""
        while True:
            began = asyncio.get_running_loop().time()
            await self.round()
            spent_s = asyncio.get_running_loop().time() - began
            await asyncio.sleep(max(0.1, random.uniform(0.8, 1.0) * PERIOD_S - spent_s))  # noqa: S311 - jitter, no secret

    async def round(self) -> None:
        """Once through all buckets; one that the store does not answer for is left out."""
        results = await asyncio.gather(*[self.sweep(bucket) for bucket in range(BUCKETS)], return_exceptions=True)
        for error in results:
            if isinstance(error, Exception) and not isinstance(error, StoreError):
                _log.error("sweep.failed", exc_info=error)

    async def sweep(self, bucket: int, *, period_s: float = PERIOD_S) -> int:
        """Once through a bucket, unless somebody else has just done that; how many legs were reclaimed. Raises StoreError."""
        customers = sorted(await self._liveness.customers(bucket))
        found = await self._liveness.lapsed(bucket, customers, period_ms=int(period_s * 1000))
        if isinstance(found, Held):
            self._emit(SweepHeld(bucket, found.lapsed, found.legs))
            return 0
        reclaimed, left = 0, SWEEPS_PER_ROUND_MAX
        for customer in found:
            while left:
                left -= 1
                legs = await self._swept(customer)
                reclaimed += legs
                if legs < LEGS_PER_SWEEP:
                    break
        return reclaimed

    async def reclaim(self, customer: str) -> None:
        """Reclaims lapsed legs of a customer, as the guards of its bucket allow; many callers at a time share one go. Raises StoreError."""
        await self._reclaiming.once(customer, lambda: self._reclaim(customer))

    async def _reclaim(self, customer: str) -> None:
        bucket = bucket_of(customer)
        customers = sorted(await self._liveness.customers(bucket))
        found = await self._liveness.lapsed(bucket, customers, period_ms=0)
        if not isinstance(found, Held) and customer in found:
            for _ in range(RECLAIMS_MAX):
                if await self._swept(customer) < LEGS_PER_SWEEP:
                    break

    async def _swept(self, customer: str) -> int:
        legs = await self._entitlements.rolled(customer, lambda: self._liveness.sweep(customer))
        if legs:
            self._emit(LegsReclaimed(customer, legs, "lapsed"))
        return legs
