"""What a gateway writes to its disk, kept in memory: the interface of `gateway.memory` and `gateway.journal`, without files and threads.

A disk outlives the gateway that writes to it, unless the simulation says that it was lost too.
"""

import asyncio
from collections.abc import Sequence

from gateway.journal import Entry
from gateway.kernel.keys import bucket_of
from gateway.remembered import SeenRegister


WRITE_S = 0.002
"""A journal entry is durable after so long."""


class SimulatedMemory:
    """What a gateway was told by the store."""

    def __init__(self) -> None:
        self._told: dict[int, tuple[int, int]] = {}
        self._documents: dict[str, tuple[int, bytes]] = {}
        self._registers: dict[str, dict[tuple[int, str], SeenRegister]] = {}

    def told(self, bucket: int, epoch: int, number: int) -> None:
        """An entry of the outbox was written."""
        self._told[bucket] = max(self._told.get(bucket, (0, 0)), (epoch, number))

    def last_told(self, bucket: int) -> tuple[int, int] | None:
        """The greatest one."""
        return self._told.get(bucket)

    def keep_entitlements(self, customer: str, bucket: int, version: int, document: bytes) -> None:
        """The greatest version stays."""
        if version > self._documents.get(customer, (0, b""))[0]:
            self._documents[customer] = (version, document)

    async def entitlements(self, customer: str) -> tuple[int, bytes] | None:
        """Version and document."""
        return self._documents.get(customer)

    async def entitlements_of(self, bucket: int) -> list[tuple[str, int, bytes]]:
        """Of all customers of a bucket."""
        return [(customer, *kept) for customer, kept in self._documents.items() if bucket_of(customer) == bucket]

    def see_register(
        self, customer: str, bucket: int, day: int, group: str, committed: int, count: int, now_ms: int
    ) -> None:
        """The count of a metered group."""
        seen = SeenRegister(day, group, committed, count, now_ms, max(count - committed, 0), now_ms)
        rows = self._registers.setdefault(customer, {})
        known = rows.get((day, group))
        rows[day, group] = known.merged(seen) if known else seen

    async def registers_of(self, customer: str) -> list[SeenRegister]:
        """All registers of a customer."""
        return list(self._registers.get(customer, {}).values())

    async def customers_of(self, bucket: int) -> list[str]:
        """Customers of whom anything is remembered."""
        known = self._documents.keys() | self._registers.keys()
        return sorted([customer for customer in known if bucket_of(customer) == bucket])


class SimulatedJournal:
    """Operations that must still reach the store, in order."""

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        self._last = 0

    async def append(self, entry: Entry) -> None:
        """Durable when it returns."""
        await asyncio.sleep(WRITE_S)
        self._last += 1
        self._entries[self._last] = entry

    def pending(self) -> int:
        """How many are not done."""
        return len(self._entries)

    async def entries(self, limit: int, after: int = 0) -> list[tuple[int, Entry]]:
        """The oldest behind a sequence."""
        return [each for each in self._entries.items() if each[0] > after][:limit]

    async def done(self, sequences: Sequence[int]) -> None:
        """These have reached the store."""
        for sequence in sequences:
            self._entries.pop(sequence, None)


class SimulatedDisk:
    """The data directory of one gateway."""

    def __init__(self) -> None:
        self.memory = SimulatedMemory()
        self.journal = SimulatedJournal()
