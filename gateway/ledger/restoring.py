"""Gives a store back what it has lost and the ledger remembers, and takes over entitlements of which no entry was ever read.

The store is compared with the ledger every now and then, and not only when something is known to be lost: a store that was emptied while nobody
asked for anything tells of nothing.
"""

import time
from collections.abc import Mapping

import structlog

from gateway.kernel.reminders import Reminders
from gateway.ledger import schema
from gateway.ledger.parts import Parts
from gateway.ledger.past import remembered_past
from gateway.ledger.upserts import insert_new


COMPARE_EVERY_S = 10.0
FOUND = "found"
"""The change of a version that was in the store before a ledger read from it."""

_log = structlog.get_logger("gateway.ledger")


class Restoring:
    """Compares, and puts back."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._reminders = Reminders(parts.kernel.urgent)
        self._compared_at = -COMPARE_EVERY_S
        self._restored: dict[int, int] = {}
        """Of buckets in doubt, the epoch in which they were given back what they had lost."""

    async def run_once(self) -> None:
        """Compares all buckets, every few seconds. Raises StoreError, LedgerUnavailable, MemoryFailed, LeaseLost."""
        if time.monotonic() - self._compared_at < COMPARE_EVERY_S:
            return
        self._compared_at = time.monotonic()
        for bucket, known in (await self._parts.recollection.versions()).items():
            stored = await self._parts.liveness.customers(bucket)
            if any(version > stored.get(customer, 0) for customer, version in known.items()) or self._is_new_doubt(
                bucket
            ):
                await self._put_back(bucket, known)
            if any(version > known.get(customer, 0) for customer, version in stored.items()):
                await self._take_over(bucket, stored)

    def _is_new_doubt(self, bucket: int) -> bool:
        return (
            bucket in self._parts.writer.doubts
            and self._restored.get(bucket) != self._parts.writer.positions[bucket].id.epoch
        )

    async def _put_back(self, bucket: int, known: Mapping[str, int]) -> None:
        position = self._parts.writer.positions.get(bucket)
        await self._parts.recovery.put_back(bucket)
        for customer in known:
            marks, ages = await remembered_past(self._parts.database, customer, self._parts.kernel.store_now_ms())
            if marks or ages:
                await self._reminders.remind(customer, marks, ages)
        if position is not None:
            self._restored[bucket] = position.id.epoch
        _log.warning("ledger.restored", bucket=bucket, customers=len(known))

    async def _take_over(self, bucket: int, stored: Mapping[str, int]) -> None:
        """Entitlements that the store has, and of which no entry told; those that wait to be read tell more."""
        if not await self._parts.reader.read_on(bucket, self._parts.kernel.store_now_ms()):
            return
        known = (await self._parts.recollection.versions())[bucket]
        ahead = [customer for customer, version in stored.items() if version > known.get(customer, 0)]
        if not ahead:
            return
        rows = []
        for customer in ahead:
            found = await self._parts.kernel.entitlements(customer)
            rows.append(
                {
                    "customer": customer, "version": found.version, "at_ms": self._parts.kernel.store_now_ms(), "epoch": 0, "number": 0,
                    "change": FOUND, "by": "", "document": found.document,
                }
            )  # fmt: skip
        async with self._parts.database.writing() as connection:
            await self._parts.lease.hold(connection)
            await insert_new(connection, schema.versions, rows)
        _log.info("ledger.entitlements_found", customers=len(rows))
