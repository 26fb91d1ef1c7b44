"""What people read of a customer: use, live connections, overage by day. Reads roll the day where that is due, as decisions do."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from gateway.domain.contract import METERED_POOLS, REPORTED_POOLS
from gateway.domain.policy import Policy
from gateway.entitlements import Entitlements
from gateway.kernel.kernel import Kernel
from gateway.kernel.outcomes import Leg, Register, Snapshot
from gateway.legs import LegInfo, info_of


PAGE_LEGS = 500


@dataclass(frozen=True, slots=True)
class PoolUse:
    """Use of one pool now, and its register of today where it is metered."""

    pool: str
    used: int
    committed: int | None
    ceiling: int | None
    register: Register | None


@dataclass(frozen=True, slots=True)
class Usage:
    """A customer at one moment."""

    policy: Policy
    snapshot: Snapshot
    pools: tuple[PoolUse, ...]


@dataclass(frozen=True, slots=True)
class OverageRow:
    """A pool on a day. `final`: the day is over and its register closed."""

    day: int
    pool: str
    register: Register
    final: bool


class Reports:
    """Reads for the API and for telemetry."""

    def __init__(self, kernel: Kernel, entitlements: Entitlements) -> None:
        self._kernel = kernel
        self._entitlements = entitlements

    async def customers(self) -> dict[str, int]:
        """All customers ever installed, with the versions of their entitlements; also those removed since."""
        return await self._kernel.customers()

    async def usage(self, customer: str) -> Usage:
        """Live use, limits and today's registers; all zero for a customer that was never installed."""
        snapshot = await self._snapshot(customer)
        policy = await self._entitlements.policy(customer)
        if (policy.record.version, policy.day) != (snapshot.version, snapshot.day):
            policy = await self._entitlements.load(customer)
        pools: list[PoolUse] = []
        for pool, group in REPORTED_POOLS.items():
            used, register = snapshot.groups[group]
            limit = policy.limit(group)
            if used or register or limit:
                # After the last term a pool is held at its last commitment, which only the register knows (T1.4).
                committed = register.committed if register else (limit.committed if limit else None)
                pools.append(PoolUse(pool, used, committed, limit.ceiling if limit else None, register))
        return Usage(policy, snapshot, tuple(pools))

    async def overage(self, customer: str, first: int, last: int) -> list[OverageRow]:
        """Registers of the days from ordinal `first` to `last`, both included, in order of day and pool."""
        snapshot = await self._snapshot(customer)
        wanted = [
            (ordinal, pool) for ordinal in range(first, min(last, snapshot.day - 1) + 1) for pool in METERED_POOLS
        ]
        closed = await self._kernel.days(customer, [(ordinal, REPORTED_POOLS[pool]) for ordinal, pool in wanted])
        rows = [
            OverageRow(ordinal, pool, register, final=True)
            for (ordinal, pool), register in zip(wanted, closed, strict=True)
            if register is not None
        ]
        if first <= snapshot.day <= last:
            running = [(pool, snapshot.groups[REPORTED_POOLS[pool]][1]) for pool in METERED_POOLS]
            rows += [OverageRow(snapshot.day, pool, register, final=False) for pool, register in running if register]
        return rows

    async def connections(self, customer: str, cursor: int, count: int) -> tuple[int, list[tuple[Leg, LegInfo]]]:
        """A page of live legs with the cursor of the next one (0: none)."""
        following, legs = await self._kernel.legs(customer, cursor, count)
        return following, [(leg, info_of(leg.info)) for leg in legs]

    def each_connection(self, customer: str) -> AsyncIterator[list[Leg]]:
        """All live legs, page by page."""
        return self._kernel.leg_pages(customer, PAGE_LEGS)

    async def _snapshot(self, customer: str) -> Snapshot:
        groups = tuple(REPORTED_POOLS.values())
        return await self._entitlements.rolled(customer, lambda: self._kernel.snapshot(customer, groups))
