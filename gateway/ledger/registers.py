"""The registers of the store, for the three-way check."""

from collections.abc import Mapping, Sequence

from gateway.domain.contract import METERED_POOLS, REPORTED_POOLS
from gateway.entitlements import Entitlements
from gateway.kernel import outcomes
from gateway.kernel.errors import OutcomeUnknown
from gateway.kernel.kernel import Kernel
from gateway.kernel.outcomes import Register


ROLLS_MAX = 4


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
