"""What a gateway was told by the store, on disk: what it needs where the store is away or has lost something.

Written behind, every FLUSH_S and when closed: what came within the last second may be lost, by intent, because every use of it stands that.
Everything is merged by its maximum, so that writing something again is harmless.
"""

import asyncio
import contextlib
import time
from collections import OrderedDict
from pathlib import Path

import structlog

from gateway import remembered
from gateway.disk import Disk, MemoryFailed
from gateway.kernel.keys import BUCKETS
from gateway.remembered import Batch, Kept, RegisterKey, SeenRegister, Told


FLUSH_S = 1.0
REMEMBERED_DAYS = 35
"""Registers of days before are dropped: a month can be re-asserted until it is billed."""
FORGET_EVERY_S = 3_600.0
ROWS_MAX = 200_000
"""Registers held in memory, about 450 bytes each; those of the customers seen longest ago give way. All are on disk."""
DOCUMENTS_WAITING_MAX = 16 * 1024 * 1024
"""Bytes of entitlements that wait to be written. More are written at once, and dropped if that fails."""

_NEVER = (-1, -1)

_log = structlog.get_logger("gateway")


class _Held:
    """Registers of a customer in memory, by day and group: of the latest day that was seen, and the day before."""

    __slots__ = ("latest", "rows")

    def __init__(self) -> None:
        self.latest = -1
        self.rows: dict[tuple[int, str], SeenRegister] = {}

    def put(self, row: SeenRegister) -> None:
        if row.day > self.latest:
            self.latest = row.day
            self.rows = {key: held for key, held in self.rows.items() if key[0] >= row.day - 1}
        if row.day >= self.latest - 1:
            self.rows[row.day, row.group] = row


class Memory:
    """What one worker remembers. Its synchronous methods are called at every decision: they touch no disk and never fail."""

    def __init__(self, disk: Disk, told: dict[int, Told], versions: dict[str, int]) -> None:
        self._disk = disk
        self._told = [told.get(bucket, _NEVER) for bucket in range(BUCKETS)]
        self._told_on_disk = list(self._told)
        self._versions = versions
        self._documents: dict[str, Kept] = {}
        self._documents_bytes = 0
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._rows_held = 0
        self._raised: dict[RegisterKey, SeenRegister] = {}
        self._latest_day = -1
        self._forgot_at = -FORGET_EVERY_S
        self._flushing = asyncio.Lock()
        self._has_failed = False
        self._is_closing = False
        self._hurry = asyncio.Event()
        self._flusher: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, path: Path) -> "Memory":
        """Opens what was remembered in this file, or begins it; one that is broken is set aside. Raises MemoryFailed."""
        disk = await Disk.open(path, "NORMAL")
        try:
            memory = cls(disk, *await disk.run(remembered.read_known))
        except MemoryFailed:
            await disk.close()
            raise
        memory._flusher = asyncio.create_task(memory._flush_regularly(), name="memory")
        return memory

    async def close(self) -> None:
        """Writes what is left, and closes the file."""
        self._is_closing = True
        self._hurry.set()
        if self._flusher is not None:
            await self._flusher
        await self.flush()
        await self._disk.close()

    def told(self, bucket: int, epoch: int, number: int) -> None:
        """Remembers how far the outbox of a bucket was, as the store told; the greatest is kept."""
        self._told[bucket] = max(self._told[bucket], (epoch, number))

    def last_told(self, bucket: int) -> tuple[int, int] | None:
        """The greatest epoch of a bucket, and the greatest outbox number in it, that this gateway was ever told."""
        told = self._told[bucket]
        return None if told == _NEVER else told

    def keep_entitlements(self, customer: str, bucket: int, version: int, document: bytes) -> None:
        """Remembers the entitlements of a customer as they are stored; the greatest version is kept."""
        if version <= self._versions.get(customer, -1):
            return
        self._versions[customer] = version
        replaced = self._documents.get(customer)
        self._documents[customer] = (bucket, version, document)
        self._documents_bytes += len(document) - (len(replaced[2]) if replaced else 0)
        if self._documents_bytes > DOCUMENTS_WAITING_MAX:
            self._hurry.set()

    async def entitlements(self, customer: str) -> tuple[int, bytes] | None:
        """Version and document of a customer. Raises MemoryFailed."""
        if customer not in self._versions:
            return None  # callers may invent any number of ids
        await self.flush()
        if kept := self._documents.get(customer):  # what came meanwhile, or could not be written
            return kept[1:]
        return await self._disk.run(remembered.read_entitlements, customer)

    async def entitlements_of(self, bucket: int) -> list[tuple[str, int, bytes]]:
        """Customer, version and document of all customers of a bucket, by customer. Raises MemoryFailed."""
        await self.flush()
        found = {row[0]: row for row in await self._disk.run(remembered.read_entitlements_of, bucket)}
        for customer, (of, version, document) in self._documents.items():
            if of == bucket:
                found[customer] = (customer, version, document)
        return sorted(found.values())

    def see_register(
        self, customer: str, bucket: int, day: int, group: str, committed: int, count: int, now_ms: int
    ) -> None:
        """Remembers a count of a metered group that the store told of, if it is the greatest of that day in any way."""
        held = self._held.get(customer)
        if held is None:
            held = self._held[customer] = _Held()
        else:
            self._held.move_to_end(customer)
        seen = held.rows.get((day, group))
        if (
            seen is not None
            and count <= seen.peak
            and committed == seen.committed
            and count - committed <= seen.overage
        ):
            return
        row = SeenRegister(day, group, committed, count, now_ms, max(count - committed, 0), now_ms)
        self._see_more((customer, bucket, day, group), held, seen, row)

    async def registers_of(self, customer: str) -> list[SeenRegister]:
        """What was seen of a customer's registers, by day and group. Raises MemoryFailed."""
        await self.flush()
        found = {(row.day, row.group): row for row in await self._disk.run(remembered.read_registers, customer)}
        held = self._held.get(customer)
        for key, row in held.rows.items() if held else ():
            found[key] = found[key].merged(row) if key in found else row
        return [found[key] for key in sorted(found) if key[0] >= self._latest_day - REMEMBERED_DAYS]

    async def customers_of(self, bucket: int) -> list[str]:
        """Customers of a bucket of whom anything is remembered. Raises MemoryFailed."""
        await self.flush()
        return await self._disk.run(remembered.read_customers, bucket)

    async def flush(self) -> None:
        """Writes what has changed, in one transaction; what cannot be written is kept, within bounds, for the next time."""
        async with self._flushing:
            batch = self._take()
            if not batch:
                return
            try:
                await self._disk.run(remembered.write, batch)
            except MemoryFailed as error:
                self._put_back(batch)
                self._tell(error)
            except asyncio.CancelledError:  # the work may go on without us
                self._put_back(batch)
                raise
            else:
                for bucket, told in batch.told.items():
                    self._told_on_disk[bucket] = told
                if batch.forget_before is not None:
                    self._forgot_at = time.monotonic()
                self._tell(None)

    async def _flush_regularly(self) -> None:
        while not self._is_closing:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await self._hurry.wait()
            self._hurry.clear()
            await self.flush()

    def _see_more(self, key: RegisterKey, held: _Held, seen: SeenRegister | None, row: SeenRegister) -> None:
        waiting = self._raised.get(key)
        before = seen or waiting  # one that gave way may still wait to be written
        merged = before.merged(row) if before else row
        if waiting or before is None or merged.peak > before.peak or merged.overage > before.overage:
            self._raised[key] = merged
        if seen is not None:
            held.rows[row.day, row.group] = merged
            return
        self._latest_day = max(self._latest_day, row.day)
        self._rows_held -= len(held.rows)
        held.put(merged)
        self._rows_held += len(held.rows)
        while self._rows_held > ROWS_MAX:
            self._rows_held -= len(self._held.popitem(last=False)[1].rows)

    def _take(self) -> Batch:
        is_due = self._latest_day >= 0 and time.monotonic() - self._forgot_at >= FORGET_EVERY_S
        batch = Batch(
            {
                bucket: told
                for bucket, (told, written) in enumerate(zip(self._told, self._told_on_disk, strict=True))
                if told != written
            },
            self._documents,
            self._raised,
            self._latest_day - REMEMBERED_DAYS if is_due else None,
        )
        self._documents, self._documents_bytes, self._raised = {}, 0, {}
        return batch

    def _put_back(self, batch: Batch) -> None:
        self._documents = batch.documents | self._documents
        self._documents_bytes = sum(len(document) for _, _, document in self._documents.values())
        while self._documents_bytes > DOCUMENTS_WAITING_MAX:
            customer = next(iter(self._documents))
            self._documents_bytes -= len(self._documents.pop(customer)[2])
            self._versions.pop(customer, None)  # so that it is kept when it comes again
        raised = dict(batch.registers)  # the work may still read it
        for key, row in self._raised.items():
            raised[key] = raised[key].merged(row) if key in raised else row
        while len(raised) > ROWS_MAX:
            del raised[next(iter(raised))]
        self._raised = raised

    def _tell(self, error: MemoryFailed | None) -> None:
        """Logs that writing begins to fail, and that it works again; not every second in between."""
        if error is not None and not self._has_failed:
            _log.error("memory.failed", error=str(error))
        elif error is None and self._has_failed:
            _log.info("memory.written")
        self._has_failed = error is not None
