"""What the ledger remembers of customers, for a store that has lost it: entitlements, registers, what was held and by whom."""

from gateway.disk import MemoryFailed
from gateway.domain.contract import REPORTED_POOLS
from gateway.domain.days import day_at
from gateway.kernel.keys import BUCKETS, bucket_of
from gateway.ledger.database import Database, LedgerUnavailable
from gateway.ledger.figures import Figures
from gateway.ledger.positions import known_until_ms
from gateway.ledger.versions import greatest_versions, newest_version
from gateway.remembered import SeenRegister


REGISTERS_DAYS = 35
"""Days of registers that are put back: a month can be checked against them until it is billed."""


class LedgerRecollection:
    """The `Recollection` that is the ledger. It learns from the outbox, so that what gateways are told is no news."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._figures = Figures(database)

    async def versions(self) -> dict[int, dict[str, int]]:
        """The greatest version of each customer, by bucket. Raises MemoryFailed."""
        found: dict[int, dict[str, int]] = {bucket: {} for bucket in range(BUCKETS)}
        try:
            async with self._database.reading() as connection:
                for customer, version in (await greatest_versions(connection)).items():
                    found[bucket_of(customer)][customer] = version
        except LedgerUnavailable as error:
            raise MemoryFailed(str(error)) from error
        return found

    async def entitlements(self, customer: str) -> tuple[int, bytes] | None:
        """The greatest version of a customer, and its document. Raises MemoryFailed."""
        try:
            async with self._database.reading() as connection:
                return await newest_version(connection, customer)
        except LedgerUnavailable as error:
            raise MemoryFailed(str(error)) from error

    async def entitlements_of(self, bucket: int) -> list[tuple[str, int, bytes]]:
        """Customer, version and document of all customers of a bucket. Raises MemoryFailed."""
        found = []
        for customer in sorted((await self.versions())[bucket]):
            kept = await self.entitlements(customer)
            assert kept is not None, "versions are never deleted"
            found.append((customer, *kept))
        return found

    async def customers_of(self, bucket: int) -> list[str]:
        """Customers of a bucket. Raises MemoryFailed."""
        return sorted((await self.versions())[bucket])

    async def registers_of(self, customer: str) -> list[SeenRegister]:
        """Registers by replay of seats held, by day and group. Raises MemoryFailed."""
        now_ms = await self._known_until_ms(customer)
        if now_ms is None:
            return []
        today = day_at(now_ms).ordinal
        try:
            registers = await self._figures.held(customer, today - REGISTERS_DAYS, today, now_ms)
        except LedgerUnavailable as error:
            raise MemoryFailed(str(error)) from error
        return [
            SeenRegister(
                day, REPORTED_POOLS[pool], held.committed, held.peak, held.peak_at_ms, held.overage, held.overage_at_ms
            )
            for (day, pool), held in sorted(registers.items())
        ]

    def keep_entitlements(self, customer: str, bucket: int, version: int, document: bytes) -> None:
        """Read from the outbox instead."""

    def see_register(
        self, customer: str, bucket: int, day: int, group: str, committed: int, count: int, now_ms: int
    ) -> None:
        """Read from the outbox instead."""

    async def _known_until_ms(self, customer: str) -> int | None:
        try:
            async with self._database.reading() as connection:
                return await known_until_ms(connection, customer)
        except LedgerUnavailable as error:
            raise MemoryFailed(str(error)) from error
