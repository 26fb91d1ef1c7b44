"""Reads the outboxes of all buckets into the database, and cuts off there what is stored here.

What was read is stored in one transaction with the position that it leads to, so nothing is lost and nothing counts twice, wherever this
process ends. Only then it may go from the outbox; the last entries stay all the same, in case the database is set back to a copy.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

import structlog

from gateway.domain.billing.entry import EntryId
from gateway.kernel.errors import StoreError
from gateway.kernel.keys import BUCKETS, bucket_of
from gateway.kernel.outbox import OtherLedger, Outbox, RawEntry
from gateway.ledger.continuity import UNREADABLE
from gateway.ledger.entries import Entry, Other, entry_of
from gateway.ledger.writer import Writer


PAGE = 500
"""Entries of a bucket in one transaction."""
NOTHING = EntryId(0, 0)
"""No entry is so old: to trim up to it takes the bucket, and nothing away."""
KEPT = 1_000
"""Entries that stay in each outbox although they are stored."""
TRIM_EVERY_S = 5.0
PAGES_MAX = 200
"""Pages that `read_on` reads."""

_log = structlog.get_logger("gateway.ledger")


class ReadByAnother(Exception):
    """The store's outboxes are read by another ledger; two would take each other's entries away."""


class Reader:
    """Reads for the ledger with this id; one at a time, because the writer holds the lease."""

    def __init__(
        self, outbox: Outbox, writer: Writer, ledger: str, clock: Callable[[], int], *, take_over: bool = False
    ) -> None:
        """`clock` is the store's, not ahead of it, in ms."""
        self._outbox = outbox
        self._clock = clock
        self._writer = writer
        self._ledger = ledger
        self._take_over = take_over
        self._trimmed_at = -TRIM_EVERY_S
        self._complete_ms = [0] * BUCKETS
        self.is_behind = False
        """Whether there was more in a bucket than was read at once."""
        self._is_claimed = False

    def read_until_ms(self, customer: str) -> int:
        """The store's instant up to which everything that happened to the customer is stored."""
        return self._complete_ms[bucket_of(customer)]

    def is_read(self, bucket: int, until_ms: int) -> bool:
        """Whether everything that happened in the bucket until then is stored."""
        return self._complete_ms[bucket] >= until_ms

    async def read_on(self, bucket: int, until_ms: int) -> bool:
        """Reads until everything that happened in the bucket until then is stored; False: its server does not answer, or far too much happens.

        Raises as `run_once`.
        """
        for _ in range(PAGES_MAX):
            if self.is_read(bucket, until_ms):
                return True
            await self.run_once()
        return self.is_read(bucket, until_ms)

    async def run_once(self) -> int:
        """Reads a page of each bucket; how many entries there were.

        Raises:
            StoreError: the store does not answer.
            LedgerUnavailable: the database does not; what was read is read again.
            LeaseLost: another process writes.
            ReadByAnother: another ledger reads this store.
        """
        await self._claim()
        if self._writer.is_unsure:
            await self._writer.load()
        positions = {
            bucket: self._writer.positions[bucket].id if bucket in self._writer.positions else None
            for bucket in range(BUCKETS)
        }
        now_ms = self._clock()
        pages = await self._outbox.read_many(positions, PAGE)
        batches = {bucket: [self._entry(raw) for raw in page] for bucket, page in pages.items() if page}
        if batches:
            await self._write(batches)
        self.is_behind = False
        for bucket, page in pages.items():
            if len(page) < PAGE:
                self._complete_ms[bucket] = now_ms
            else:
                self._complete_ms[bucket] = self._writer.positions[bucket].at_ms
                self.is_behind = True
        count = sum(len(page) for page in pages.values())
        await self._trim()
        return count

    def read_ms(self) -> int:
        """The store's instant up to which everything that happened is stored."""
        return min(self._complete_ms)

    async def _write(self, batches: Mapping[int, list[Entry]]) -> None:
        for gap in await self._writer.write(batches):
            _log.error("outbox.gap", epoch=gap.epoch, first=gap.first, last=gap.last, cause=gap.cause)

    async def _claim(self) -> None:
        """Before the first page: what belongs to another ledger is not stored here, where gateways would report it as all there was."""
        if self._is_claimed:
            return
        # The first one decides, so that two that begin at once do not get some each.
        for buckets in ((0,), range(1, BUCKETS)):
            claims = [self._trim_bucket(bucket, NOTHING) for bucket in buckets]
            for failed in await asyncio.gather(*claims, return_exceptions=True):
                # A bucket that does not answer now is asked when it is trimmed.
                if isinstance(failed, BaseException) and not isinstance(failed, StoreError):
                    raise failed
        self._is_claimed = True

    async def _trim(self) -> None:
        if time.monotonic() - self._trimmed_at < TRIM_EVERY_S:
            return
        self._trimmed_at = time.monotonic()
        for bucket, position in self._writer.positions.items():
            await self._trim_bucket(bucket, position.id)

    async def _trim_bucket(self, bucket: int, through: EntryId) -> None:
        left = await self._outbox.trim(bucket, through, self._ledger, KEPT, take_over=self._take_over)
        if isinstance(left, OtherLedger):
            raise ReadByAnother(
                f"the store is read by the ledger {left.ledger}, and this is {self._ledger}: end one of them; "
                "`gateway ledger run --take-over` makes this one the store's"
            )

    @staticmethod
    def _entry(raw: RawEntry) -> Entry:
        try:
            return entry_of(raw)
        except Exception as error:  # noqa: BLE001 - whatever stands in it, those that follow are read
            _log.error("outbox.unreadable", entry=str(raw.id), op=raw.op, error=f"{type(error).__name__}: {error}")
            at = raw.fields.get("at", b"")
            return Other(raw.id, int(at) if at.isdigit() else raw.id.epoch, UNREADABLE)
