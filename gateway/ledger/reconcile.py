"""Compares live legs with the store where entries are missing, or the store has lost something.

A leg that the store does not have any more ended unheard of: it is billed until it was known to live. One that only the store has is taken over
from there: its record says when it was admitted and connected.
"""

from hashlib import blake2b

import structlog

from gateway.domain.billing.entry import EntryId
from gateway.kernel.arguments import NODE_LEASE_MS
from gateway.kernel.kernel import Kernel
from gateway.kernel.liveness import Liveness
from gateway.kernel.outcomes import Leg
from gateway.ledger import schema
from gateway.ledger.database import Database
from gateway.ledger.entries import seen_of_leg
from gateway.ledger.live_rows import read_where
from gateway.ledger.reader import Reader
from gateway.ledger.stretches import Going, Key, Stretches
from gateway.ledger.writer import Writer


SETTLED_MS = NODE_LEASE_MS + 5_000
"""After a loss nodes bring their legs back within a lease; so long nothing is said to be lost."""
PAGE_LEGS = 500

_log = structlog.get_logger("gateway.ledger")


class Reconcile:
    """Settles the doubts of the writer, bucket by bucket."""

    def __init__(self, database: Database, writer: Writer, reader: Reader, kernel: Kernel, liveness: Liveness) -> None:
        self._database = database
        self._writer = writer
        self._reader = reader
        self._kernel = kernel
        self._liveness = liveness

    async def run_once(self, now_ms: int) -> None:
        """Settles what can be settled now. Raises StoreError, LedgerUnavailable, LeaseLost."""
        for bucket in sorted(self._writer.doubts):
            position = self._writer.positions[bucket]
            if now_ms >= position.id.epoch + SETTLED_MS:
                await self._settle(bucket)

    async def _settle(self, bucket: int) -> None:
        before = await self._live(bucket)
        stored = await self._stored(bucket)
        # What happened while the store was looked through decides before what was seen there.
        if not await self._reader.read_on(bucket, self._kernel.store_now_ms()):
            return
        after = await self._live(bucket)
        position = self._writer.positions[bucket]
        stretches = Stretches(dict(after))
        gone = [key for key in before if key not in stored and after.get(key) == before[key]]
        stretches.lose(gone, position.id, self._writer.doubts[bucket])
        found = [key for key in stored if key not in after and key not in before]
        for key in found:
            going = _found(key, stored[key], position.id.epoch)
            if not await self._is_over(key, going.held_ms):
                stretches.going[key] = going
                stretches.touched.add(key)
        for key, going in after.items():
            if going.waits and going.cause == "lost" and key in stored:
                stretches.resume(key)
        await self._writer.settle(bucket, stretches, after.keys())
        _log.warning("ledger.reconciled", bucket=bucket, live=len(after), lost=len(gone), found=len(found))

    async def _live(self, bucket: int) -> dict[Key, Going]:
        async with self._database.reading() as connection:
            return await read_where(connection, schema.live.c.bucket == bucket)

    async def _stored(self, bucket: int) -> dict[Key, Leg]:
        found: dict[Key, Leg] = {}
        for customer in await self._liveness.customers(bucket):
            async for page in self._kernel.leg_pages(customer, PAGE_LEGS):
                found.update({(customer, leg.connection): leg for leg in page})
        return found

    async def _is_over(self, key: Key, held_ms: int) -> bool:
        """Whether the leg began and ended while the store was looked through."""
        legs, (customer, name) = schema.legs, key
        async with self._database.reading() as connection:
            ended = legs.select().where(
                legs.c.customer == customer, legs.c.held_ms == held_ms, legs.c.connection == name
            )
            return (await connection.execute(ended)).first() is not None


def _found(key: Key, leg: Leg, epoch: int) -> Going:
    """A leg that only the store has. No entry says when it began, so it is told from others by its id, with a number that no entry has."""
    digest = int.from_bytes(blake2b("\x1f".join(key).encode(), digest_size=7).digest())
    customer, connection = key
    return Going(customer, connection, EntryId(epoch, -1 - digest), leg.admitted_ms, leg.connected_ms, seen_of_leg(leg))
