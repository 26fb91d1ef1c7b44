"""Which store a gateway knows: the epoch of each bucket, and what it was told last of it.

A bucket begins a new epoch when a gateway meets it on another server. The gateway then says up to which entry of the outbox it was told; where
the store does not have that, something acknowledged is missing, and the bucket recovers (leases.md: the store is a cache of what nodes know).
"""

import asyncio
from collections.abc import Callable  # noqa: TC003 - of an attribute
from typing import Protocol

from gateway.events import Emit, EpochBegan
from gateway.kernel.arguments import NODE_LEASE_MS
from gateway.kernel.bounds import Bounds
from gateway.kernel.errors import StoreUnavailable
from gateway.kernel.keys import BUCKETS, bucket_keys
from gateway.kernel.scripts import Script
from gateway.kernel.store import Store
from gateway.shared import Shared


MEET_TIMEOUT_S = 2.0


class Told(Protocol):
    """Remembers the greatest entry of each bucket's outbox that this gateway was told of."""

    def told(self, bucket: int, epoch: int, number: int) -> None:
        """An entry was written."""

    def last_told(self, bucket: int) -> tuple[int, int] | None:
        """Epoch and number of the greatest one."""


class ToldSinceStart:
    """Remembers as long as the process lives."""

    def __init__(self) -> None:
        self._told: list[tuple[int, int] | None] = [None] * BUCKETS

    def told(self, bucket: int, epoch: int, number: int) -> None:
        """An entry was written."""
        last = self._told[bucket]
        if last is None or (epoch, number) > last:
            self._told[bucket] = (epoch, number)

    def last_told(self, bucket: int) -> tuple[int, int] | None:
        """Epoch and number of the greatest one."""
        return self._told[bucket]


class Epochs:
    """Epochs of all buckets, as this gateway knows them."""

    def __init__(self, script: Script, told: Told, bounds: Bounds, emit: Emit) -> None:
        self._script = script
        self._bounds = bounds
        self._told = told
        self._emit = emit
        self._epochs = [b"0"] * BUCKETS
        self._recovering = [0] * BUCKETS
        self._meeting: Shared[tuple[int, int], None] = Shared()
        self.on_missing: Callable[[int], None] = lambda _: None
        """Told of a bucket in which something is missing that this gateway was told."""

    def current(self, bucket: int) -> bytes:
        """The epoch that operations are meant for."""
        return self._epochs[bucket]

    def recovering(self, now_ms: int) -> list[int]:
        """Buckets that recover, as far as this gateway knows."""
        return [bucket for bucket, until_ms in enumerate(self._recovering) if until_ms > now_ms]

    def recovered(self, bucket: int) -> None:
        """The bucket has recovered."""
        self._recovering[bucket] = 0

    def note(self, bucket: int, entry: bytes) -> None:
        """An answer told of an entry of the outbox, `epoch-number`."""
        epoch, _, number = entry.partition(b"-")
        self._told.told(bucket, int(epoch), int(number))

    async def meet(self, store: Store, bucket: int, timeout_s: float) -> None:
        """Says what this gateway was told, and learns the epoch. Many callers at a time share one question. Raises StoreError."""
        key = (id(store), bucket)  # two connections may lead to two servers for a moment
        try:
            async with asyncio.timeout(timeout_s):
                await self._meeting.once(key, lambda: self._meet(store, bucket, MEET_TIMEOUT_S))
        except TimeoutError:
            raise StoreUnavailable("the epoch is not known yet") from None

    async def _meet(self, store: Store, bucket: int, timeout_s: float) -> None:
        known = self._told.last_told(bucket) or (0, 0)
        args = (*known, NODE_LEASE_MS, self._bounds.cut_at)
        keys = bucket_keys(self._script.keys, bucket)
        answer = await store.call(self._script, keys, args, timeout_s)
        now_ms, epoch, recovering, lost, missing = answer[1], answer[2], answer[3], bool(answer[4]), bool(answer[5])
        store.observe_clock(now_ms, keys[0])
        met_before, known_epoch = self._epochs[bucket], known[0]
        self._told.told(bucket, int(epoch), 0)
        self._epochs[bucket], self._recovering[bucket] = epoch, recovering
        if lost or met_before not in {b"0", epoch} or known_epoch not in {0, int(epoch)}:
            self._emit(EpochBegan(bucket, int(epoch), lost))
        if missing:
            self.on_missing(bucket)
