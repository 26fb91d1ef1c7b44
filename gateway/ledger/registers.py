"""The registers of the store, for the three-way check."""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence

from gateway.domain.contract import METERED_POOLS, REPORTED_POOLS
from gateway.entitlements import Entitlements
from gateway.kernel import outcomes, scripts
from gateway.kernel.errors import OutcomeUnknown, StoreUnavailable
from gateway.kernel.kernel import Kernel
from gateway.kernel.outcomes import Register
from gateway.kernel.store import open_store


ROLLS_MAX = 4
CONNECT_S = 5.0


class StoreRegisters:
    """Asks the kernel for the registers of closed days; closes those that are over first."""

    def __init__(self, kernel: Kernel, entitlements: Entitlements) -> None:
        self._kernel = kernel
        self._entitlements = entitlements

    async def of(self, customer: str, days: Sequence[int]) -> Mapping[tuple[int, str], Register]:
        """By day and pool, as reports name it. Raises StoreError."""
        for _ in range(ROLLS_MAX):
            outcome = await self._kernel.snapshot(customer, tuple([REPORTED_POOLS[pool] for pool in METERED_POOLS]))
            if not isinstance(outcome, outcomes.DayOver):
                break
            await self._entitlements.roll(customer, outcome)
        else:
            raise OutcomeUnknown("the day could not be rolled")
        places = [(day, pool) for day in days for pool in METERED_POOLS]
        found = await self._kernel.days(customer, [(day, REPORTED_POOLS[pool]) for day, pool in places])
        return {place: register for place, register in zip(places, found, strict=True) if register is not None}


@contextlib.asynccontextmanager
async def registers_at(redis_url: str) -> AsyncIterator[StoreRegisters]:
    """The registers of the store at a URL, for somebody who has no kernel.

    Raises:
        ValueError: the URL names no store.
        StoreUnavailable: it does not answer.
    """
    loaded = scripts.load(None)
    store = open_store(redis_url, loaded.values())
    try:
        if not await store.start(CONNECT_S):
            raise StoreUnavailable(f"the store: {store.last_error or 'no answer'}")
        kernel = Kernel(store, loaded, decision_timeout_s=CONNECT_S)
        yield StoreRegisters(kernel, Entitlements(kernel, lambda _: None))
    finally:
        await store.close()
