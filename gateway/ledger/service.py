"""The process that writes the ledger: reads what happens, and makes of it what is billed, told and forgotten.

Any number of these may run for one database; a lease in it says which one writes. The others wait. A process that loses the lease, because it
was paused or its database was away for long, has written nothing since: each transaction asks for the lease first.
"""

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import Iterator

import structlog

from gateway.disk import MemoryFailed
from gateway.entitlements import Entitlements
from gateway.events import Emit
from gateway.kernel import scripts
from gateway.kernel.connection import StoreObserver
from gateway.kernel.epochs import ToldSinceStart
from gateway.kernel.errors import StoreError
from gateway.kernel.kernel import Kernel
from gateway.kernel.liveness import Liveness
from gateway.kernel.outbox import Outbox
from gateway.kernel.store import open_store
from gateway.ledger import schema
from gateway.ledger.database import Database, LedgerUnavailable
from gateway.ledger.facts import ID, fact
from gateway.ledger.jobs import Job, jobs_of
from gateway.ledger.lease import Lease, LeaseLost
from gateway.ledger.parts import Parts
from gateway.ledger.reader import ReadByAnother, Reader
from gateway.ledger.recollection import LedgerRecollection
from gateway.ledger.upserts import insert_new
from gateway.ledger.writer import Writer
from gateway.nodes.recovery import Recovery
from gateway.settings import Settings


RETRY_S = 1.0
READ_BY_ANOTHER_S = 30.0
STORE_TIMEOUT_S = 5.0
REST_S = 10.0
"""So long a process that was told to stop goes on reading. Who starts it waits longer."""

_log = structlog.get_logger("gateway.ledger")


class LedgerService:
    """Writes the ledger as long as it runs."""

    def __init__(
        self,
        settings: Settings,
        redis_url: str,
        database: Database,
        emit: Emit,
        observer: StoreObserver,
        *,
        take_over: bool = False,
    ) -> None:
        loaded = scripts.load(None)
        self._settings = settings
        self._database = database
        self._take_over = take_over
        self._told = ToldAndRead()
        self._stores = [open_store(redis_url, loaded.values(), observer) for _ in range(2)]
        kernel = Kernel(
            self._stores[0],
            loaded,
            decision_timeout_s=STORE_TIMEOUT_S,
            emit=emit,
            told=self._told,
            outbox_max=settings.outbox_max,
        )
        self._kernel = kernel
        self._outbox = Outbox(self._stores[1], loaded, timeout_s=STORE_TIMEOUT_S)
        self._liveness = Liveness(kernel.urgent)
        self._recollection = LedgerRecollection(database)
        self._entitlements = Entitlements(kernel, emit, self._recollection)
        self._recovery = Recovery(kernel, self._liveness, self._entitlements, self._recollection, emit)
        self._lease = Lease(f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}")

    async def run(self, stop: asyncio.Event) -> None:
        """Waits for the right to write, and writes until told to stop."""
        await asyncio.gather(*[store.start(STORE_TIMEOUT_S) for store in self._stores])
        try:
            while not stop.is_set():
                with _told("ledger.waits"):
                    if await self._lease.acquire(self._database):
                        await self._write(stop)
                await _pause(stop, RETRY_S)
        finally:
            with contextlib.suppress(LedgerUnavailable):
                await self._lease.release(self._database)
            await self._recovery.close()
            for store in self._stores:
                await store.close()

    async def _write(self, stop: asyncio.Event) -> None:
        """Does all jobs until told to stop, or somebody else writes."""
        writer = Writer(self._database, self._lease)
        await writer.load()
        self._told.writer = writer
        reader = Reader(self._outbox, writer, await self._id(), self._kernel.store_now_ms, take_over=self._take_over)
        parts = Parts(
            self._settings, self._database, self._lease, writer, reader, self._kernel, self._liveness, self._entitlements, self._recovery,
            self._recollection,
        )  # fmt: skip
        _log.info("ledger.writing", holder=self._lease.holder, database=self._database.shown)
        try:
            async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as group:
                for job in jobs_of(parts, stack):
                    group.create_task(_repeat(job, stop), name=job.name)
        except* LeaseLost as lost:
            _log.warning("ledger.lease_lost", error=str(lost.exceptions[0]))
        except* ReadByAnother as other:
            _log.error("ledger.read_by_another", error=str(other.exceptions[0]))
            await _pause(stop, READ_BY_ANOTHER_S)
        if stop.is_set():
            with _told("ledger.stopped_early"):
                await _read_rest(reader)

    async def _id(self) -> str:
        """The ledger's own name; it stands in the database, and in the store that it reads."""
        async with self._database.writing() as connection:
            await self._lease.hold(connection)
            await insert_new(connection, schema.facts, [{"name": ID, "value": secrets.token_hex(8)}])
            return str(await fact(connection, ID))


class ToldAndRead(ToldSinceStart):
    """What was read counts as told: a store that has less has lost something."""

    writer: Writer | None = None

    def last_told(self, bucket: int) -> tuple[int, int] | None:
        """Epoch and number of the greatest entry that is known."""
        told = super().last_told(bucket)
        position = self.writer.positions.get(bucket) if self.writer else None
        return max([each for each in (told, position and position.id) if each], default=None)


async def _read_rest(reader: Reader) -> None:
    """Reads what is left, as long as there is time."""
    until = time.monotonic() + REST_S
    while await reader.run_once() and time.monotonic() < until:
        continue


@contextlib.contextmanager
def _told(event: str) -> Iterator[None]:
    """What is away comes back: it is told, and tried again."""
    try:
        yield
    except (StoreError, LedgerUnavailable, MemoryFailed, LeaseLost, ReadByAnother) as error:
        _log.warning(event, error=str(error))


async def _repeat(job: Job, stop: asyncio.Event) -> None:
    """Does a job again and again; what fails is told when that begins and when it ends."""
    failing = False
    while not stop.is_set():
        pause_s = job.every_s
        try:
            if await job.run_once():
                pause_s = 0.0
        except (StoreError, LedgerUnavailable, MemoryFailed) as error:
            if not failing:
                _log.error("ledger.job_failing", job=job.name, error=str(error))
            failing, pause_s = True, max(pause_s, RETRY_S)
        except (LeaseLost, ReadByAnother):
            raise
        except Exception:  # noqa: BLE001 - logged with its trace; one customer's figures must not end the reading of all
            _log.exception("ledger.job_failed", job=job.name)
            pause_s = max(pause_s, RETRY_S)
        else:
            if failing:
                _log.info("ledger.job_recovered", job=job.name)
            failing = False
        await _pause(stop, pause_s)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    if not seconds:
        await asyncio.sleep(0)
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
