"""The jobs of the process that writes the ledger, and how often each is done."""

import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.ledger.checking import Check
from gateway.ledger.closing import Closing
from gateway.ledger.deliveries import Deliveries
from gateway.ledger.figures import Figures
from gateway.ledger.notices import Notices
from gateway.ledger.parts import Parts
from gateway.ledger.reconcile import Reconcile
from gateway.ledger.registers import StoreRegisters
from gateway.ledger.restoring import Restoring
from gateway.ledger.retention import Retention
from gateway.ledger.status import put_status
from gateway.ledger.webhook import Webhook


READ_EVERY_S = 0.25
STATUS_EVERY_S = 2.0
NOTICES_EVERY_S = 2.0
DELIVERIES_EVERY_S = 1.0
DAYS_EVERY_S = 60.0
RETENTION_EVERY_S = 600.0


@dataclass(frozen=True, slots=True)
class Job:
    """Something that is done again and again. `run_once` says whether there is more to do at once."""

    name: str
    run_once: Callable[[], Awaitable[object]]
    every_s: float


def jobs_of(parts: Parts, stack: contextlib.AsyncExitStack) -> list[Job]:
    """All jobs. What reads and what settles doubts is one, because both go by where the writer stands; so are closing and checking days."""
    clock = parts.kernel.store_now_ms
    retention = Retention(parts.database, parts.lease)
    jobs = [
        Job("read", Reading(parts).run_once, READ_EVERY_S),
        Job("status", Status(parts).run_once, STATUS_EVERY_S),
        Job("days", Days(parts).run_once, DAYS_EVERY_S),
        Job("retention", lambda: retention.run_once(clock()), RETENTION_EVERY_S),
    ]
    if (webhook := _webhook(parts)) is not None:
        notices = Notices(parts.database, parts.lease)
        jobs.append(Job("notices", lambda: notices.run_once(clock()), NOTICES_EVERY_S))
        deliveries = Deliveries(parts.database, parts.lease, webhook)
        stack.push_async_callback(deliveries.close)
        jobs.append(Job("deliveries", lambda: deliveries.run_once(clock()), DELIVERIES_EVERY_S))
    return jobs


class Reading:
    """Reads a page of each outbox; now and then ends what waited in vain, settles doubts and compares with the store."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._reconcile = Reconcile(parts.database, parts.writer, parts.reader, parts.kernel, parts.liveness)
        self._restoring = Restoring(parts)
        self._settled_at = 0.0

    async def run_once(self) -> bool:
        """Whether there is more to read at once. What comes bit by bit is gathered for a moment: a transaction is dear."""
        parts = self._parts
        await parts.reader.run_once()
        if time.monotonic() - self._settled_at >= STATUS_EVERY_S:
            self._settled_at = time.monotonic()
            now_ms = parts.kernel.store_now_ms()
            # An adoption that was not read yet may have happened in time.
            await parts.writer.give_up(min(now_ms, parts.reader.read_ms()))
            await self._restoring.run_once()
            await self._reconcile.run_once(now_ms)
        return parts.reader.is_behind


class Days:
    """Closes days, and checks those that were closed."""

    def __init__(self, parts: Parts) -> None:
        figures = Figures(parts.database)
        self._clock = parts.kernel.store_now_ms
        self._closing = Closing(figures, parts.lease, parts.reader.read_until_ms)
        self._check = Check(figures, parts.lease, StoreRegisters(parts.kernel, parts.entitlements).of)

    async def run_once(self) -> None:
        """What is due now."""
        await self._closing.run_once(self._clock())
        await self._check.run_once(self._clock())


class Status:
    """Tells gateways, and whoever asks, how far the ledger is."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def run_once(self) -> None:
        """Writes it down."""
        parts = self._parts
        async with parts.database.writing() as connection:
            await parts.lease.hold(connection)
            await put_status(connection, parts.reader.read_ms())


def _webhook(parts: Parts) -> Webhook | None:
    settings = parts.settings
    if settings.webhook_url is None:
        return None
    return Webhook(settings.webhook_url, settings.signing_secret)
