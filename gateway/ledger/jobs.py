"""The jobs of the process that writes the ledger, and how often each is done."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.ledger.parts import Parts
from gateway.ledger.reconcile import Reconcile
from gateway.ledger.restoring import Restoring
from gateway.ledger.status import put_status


READ_EVERY_S = 0.25
STATUS_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class Job:
    """Something that is done again and again. `run_once` says whether there is more to do at once."""

    name: str
    run_once: Callable[[], Awaitable[object]]
    every_s: float


def jobs_of(parts: Parts) -> list[Job]:
    """All jobs. What reads and what settles doubts is one, because both go by where the writer stands."""
    return [
        Job("read", Reading(parts).run_once, READ_EVERY_S),
        Job("status", Status(parts).run_once, STATUS_EVERY_S),
    ]


class Reading:
    """Reads a page of each outbox; now and then ends what waited in vain, settles doubts and compares with the store."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._reconcile = Reconcile(parts.database, parts.writer, parts.reader, parts.kernel, parts.liveness)
        self._restoring = Restoring(parts)
        self._settled_at = 0.0

    async def run_once(self) -> bool:
        """Whether there may be more to read."""
        parts = self._parts
        more = await parts.reader.run_once() > 0
        if time.monotonic() - self._settled_at >= STATUS_EVERY_S:
            self._settled_at = time.monotonic()
            now_ms = parts.kernel.store_now_ms()
            await parts.writer.give_up(now_ms)
            await self._restoring.run_once()
            await self._reconcile.run_once(now_ms)
        return more


class Status:
    """Tells gateways, and whoever asks, how far the ledger is."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def run_once(self) -> None:
        """Writes it down."""
        parts = self._parts
        async with parts.database.writing() as connection:
            await parts.lease.hold(connection)
            await put_status(connection, parts.reader.read_ms(), parts.reader.entries)
