"""What somebody beside the store remembers of customers, so that a store that has lost it gets it back: a gateway's disk, or the ledger."""

from typing import Protocol

from gateway.remembered import SeenRegister


class Recollection(Protocol):
    """Everything is merged by its maximum, so that any number of them may put back what they know, in any order. Methods raise MemoryFailed."""

    async def entitlements(self, customer: str) -> tuple[int, bytes] | None:
        """The greatest version of a customer, and its document."""

    async def entitlements_of(self, bucket: int) -> list[tuple[str, int, bytes]]:
        """Customer, version and document of all customers of a bucket."""

    async def customers_of(self, bucket: int) -> list[str]:
        """Customers of a bucket of whom anything is remembered."""

    async def registers_of(self, customer: str) -> list[SeenRegister]:
        """Registers of a customer, by day and group."""

    def keep_entitlements(self, customer: str, bucket: int, version: int, document: bytes) -> None:
        """The store told of this version."""

    def see_register(
        self, customer: str, bucket: int, day: int, group: str, committed: int, count: int, now_ms: int
    ) -> None:
        """The store told of this count of a metered group."""
