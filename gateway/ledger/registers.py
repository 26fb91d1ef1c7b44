"""The registers of the store, for the three-way check."""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence

from gateway.entitlements import Entitlements
from gateway.kernel import scripts
from gateway.kernel.errors import StoreUnavailable
from gateway.kernel.kernel import Kernel
from gateway.kernel.outcomes import Register
from gateway.kernel.store import open_store
from gateway.reports import Reports


CONNECT_S = 5.0


class StoreRegisters:
    """Asks the kernel for the registers of days that are over."""

    def __init__(self, kernel: Kernel, entitlements: Entitlements) -> None:
        self._reports = Reports(kernel, entitlements)

    async def of(self, customer: str, days: Sequence[int]) -> Mapping[tuple[int, str], Register]:
        """By day and pool, as reports name it. Raises StoreError."""
        rows = await self._reports.overage(customer, min(days), max(days))
        return {(row.day, row.pool): row.register for row in rows if row.final}


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
