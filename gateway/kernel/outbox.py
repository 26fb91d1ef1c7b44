"""The outboxes as a ledger reads them: what happened in each bucket, in order, and cutting off what it has stored.

Entries of a bucket are numbered without gaps within an epoch, from 0. Where the first that is read does not follow the last one known,
something is missing; to find that is the reader's.

Pages are large, and what is behind them on the same connection waits: a ledger reads on a store connection of its own.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gateway.domain.billing.entry import EntryId
from gateway.kernel.errors import StoreError
from gateway.kernel.keys import BUCKETS, bucket_key, bucket_keys
from gateway.kernel.scripts import Script
from gateway.kernel.store import Store


NO_EPOCH = b"0"


class RawEntry(NamedTuple):
    """An entry as it is stored. `fields` are those beside `op`."""

    id: EntryId
    op: str
    fields: dict[str, bytes]


class Trimmed(NamedTuple):
    """So many entries were cut off; so many are left in the bucket."""

    trimmed: int
    left: int


class OtherLedger(NamedTuple):
    """The bucket belongs to another ledger, with this id; nothing was cut off."""

    ledger: str
    left: int


class Outbox:
    """All 64 outboxes of a store. `timeout_s` bounds each operation."""

    def __init__(self, store: Store, scripts: Mapping[str, Script], *, timeout_s: float = 5.0) -> None:
        self._store = store
        self._trim = scripts["trim"]
        self._timeout_s = timeout_s

    async def read(self, bucket: int, after: EntryId | None, count: int) -> list[RawEntry]:
        """The entries that follow `after` (None: from the first that is there), at most `count`. Raises StoreError."""
        return _entries(await self._page(bucket, after, count))

    async def read_many(self, positions: Mapping[int, EntryId | None], count: int) -> dict[int, list[RawEntry]]:
        """A page of each bucket, asked for at one time; see `read`.

        Buckets on a server that does not answer are left out. Raises StoreError where none answers.
        """
        pages = await self._all({bucket: ("XRANGE", *_range(after, count)) for bucket, after in positions.items()})
        return {bucket: _entries(page) for bucket, page in pages.items()}

    async def lengths(self) -> list[int]:
        """Entries in each outbox. Raises StoreError where one is not known."""
        known = await self.known_lengths()
        if len(known) < BUCKETS:
            raise StoreError(f"{BUCKETS - len(known)} outboxes are on servers that do not answer")
        return [known[bucket] for bucket in range(BUCKETS)]

    async def known_lengths(self) -> dict[int, int]:
        """Entries in the outboxes of all servers that answer, by bucket. Raises StoreError where none does."""
        return {
            bucket: int(length)
            for bucket, length in (await self._all(dict.fromkeys(range(BUCKETS), ("XLEN",)))).items()
        }

    async def trim(
        self, bucket: int, through: EntryId, ledger: str, keep: int, *, take_over: bool = False
    ) -> Trimmed | OtherLedger:
        """Cuts off what the ledger with this id has stored, but for the last `keep` entries; in whatever epoch the bucket is.

        The first ledger that trims a bucket is the one that may; `take_over` makes this one it. Raises StoreError.
        """
        keys = bucket_keys(self._trim.keys, bucket)
        args = (NO_EPOCH, ledger, through.epoch, through.number, keep, int(take_over))
        answer = await self._store.call(self._trim, keys, args, self._timeout_s)
        if answer[0] == b"OTHER":
            return OtherLedger(answer[3].decode(), answer[2])
        return Trimmed(answer[2], answer[3])

    def _page(self, bucket: int, after: EntryId | None, count: int) -> asyncio.Future[Any]:
        return self._ask(bucket, "XRANGE", *_range(after, count))

    def _ask(self, bucket: int, name: str, *args: str | int) -> asyncio.Future[Any]:
        return self._store.command(name, bucket_key("outbox", bucket), *args, timeout_s=self._timeout_s)

    async def _all(self, commands: Mapping[int, Sequence[Any]]) -> dict[int, Any]:
        """Answers by bucket, of those that answer. All are asked in one turn of the loop, and so in one write to each server."""
        asked: dict[int, asyncio.Future[Any]] = {}
        error: StoreError | None = None
        for bucket, command in commands.items():
            try:
                asked[bucket] = self._ask(bucket, *command)
            except StoreError as refused:
                error = refused
        await asyncio.gather(*asked.values(), return_exceptions=True)
        answers: dict[int, Any] = {}
        for bucket, future in asked.items():
            failed = future.exception()
            if failed is None:
                answers[bucket] = future.result()
            elif isinstance(failed, StoreError):
                error = failed
            else:
                raise failed
        if error is not None and not answers:
            raise error
        return answers


def _range(after: EntryId | None, count: int) -> tuple[str, str, str, int]:
    return ("-" if after is None else f"({after}", "+", "COUNT", count)


def _entries(page: list[Any]) -> list[RawEntry]:
    return [_entry(identity, flat) for identity, flat in page]


def _entry(identity: bytes, flat: list[bytes]) -> RawEntry:
    fields = {flat[at].decode(): flat[at + 1] for at in range(0, len(flat), 2)}
    return RawEntry(EntryId.parse(identity.decode()), fields.pop("op").decode(), fields)
