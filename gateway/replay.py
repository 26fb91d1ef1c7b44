"""Carrying out what the journal holds, oldest first, when the store is back."""

import asyncio
import functools
import time

import msgspec
import structlog

from gateway.compilation import Compiler
from gateway.decisions import lease_of
from gateway.disk import MemoryFailed
from gateway.domain.claims import Claims
from gateway.domain.join import Join
from gateway.entitlements import Entitlements
from gateway.events import Emit, JournalChanged
from gateway.journal import Entry, Journal
from gateway.kernel import outcomes
from gateway.kernel.arguments import deadline_of
from gateway.kernel.errors import StoreError
from gateway.kernel.kernel import Kernel
from gateway.legs import infos_of


LOOK_S = 0.25
PATIENCE_S = 5.0
ENTRIES_AT_ONCE = 100
CUSTOMERS_HELD_UP_MAX = 20
"""So many, and the store is away rather than something about them."""
DISK_PAUSE_S = 5.0

_log = structlog.get_logger("gateway.replay")


class Replay:
    """Drains one journal. `run` goes on as long as the gateway does."""

    def __init__(self, kernel: Kernel, entitlements: Entitlements, journal: Journal, emit: Emit) -> None:
        self._kernel = kernel
        self._entitlements = entitlements
        self._compiler = Compiler(entitlements)
        self._journal = journal
        self._emit = emit

    async def run(self) -> None:
        """Drains whenever there is something; never ends."""
        self._emit(JournalChanged(self._journal.pending()))  # what the process before has left
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.drain()
            except MemoryFailed as error:
                _log.error("journal.unreadable", error=str(error))
                await asyncio.sleep(DISK_PAUSE_S)
            except Exception:  # noqa: BLE001 - logged with its trace; the next look is soon
                _log.exception("replay.failed")

    async def drain(self) -> None:
        """Once through all entries. What the store does not take stays, with all that follows of the same customer. Raises MemoryFailed."""
        held_up: set[str] = set()
        after = 0
        while self._journal.pending() and len(held_up) < CUSTOMERS_HELD_UP_MAX:
            entries = await self._journal.entries(ENTRIES_AT_ONCE, after)
            if not entries:
                return
            after = entries[-1][0]
            done = [sequence for sequence, entry in entries if await self._is_done(entry, held_up)]
            await self._journal.done(done)
            self._emit(JournalChanged(self._journal.pending()))

    async def _is_done(self, entry: Entry, held_up: set[str]) -> bool:
        """Whether an entry needs no more; else its customer is held up."""
        if entry.customer in held_up:
            return False
        try:
            await self._carry_out(entry)
        except StoreError:
            held_up.add(entry.customer)
            return False
        except Exception:  # noqa: BLE001 - logged with its trace; one entry must not hold up all behind it
            _log.exception("journal.dropped", kind=entry.kind, customer=entry.customer)
        return True

    async def _carry_out(self, entry: Entry) -> None:
        match entry.kind:
            case "adopt":
                await self._adopt(entry)
            case "release":
                await self._release(entry, node=entry.body.decode(), cause="released")
            case "compensate":
                # Before its deadline the admit could still be executed, and nobody would take it back.
                # Never longer than it was waited for then: the store's clock may be another one by now.
                attempt = int(entry.body)
                left_ms = min(deadline_of(attempt) - self._kernel.store_now_ms(), deadline_of(attempt) - entry.at_ms)
                await asyncio.sleep(max(left_ms + 1, 0) / 1000)
                await self._release(entry, cause="unanswered", attempt=attempt)

    async def _adopt(self, entry: Entry) -> None:
        join = msgspec.json.decode(entry.body, type=Join)
        lease = lease_of(join)
        lease_ms = lease.expires_in_s * 1000 - (self._kernel.store_now_ms() - entry.at_ms)
        if lease_ms <= 0:
            return

        async def evaluate(claims: Claims) -> outcomes.ConfirmOutcome:
            return await self._kernel.confirm(
                join,
                claims,
                lease_ms=lease_ms,
                connected=not lease.provisional,
                joins=True,
                infos=infos_of(join, claims),
            )

        _, _, outcome = await self._compiler.ask(join, evaluate, until_s=time.monotonic() + PATIENCE_S)
        if isinstance(outcome, outcomes.Conflict | outcomes.Nobody):
            _log.warning("journal.dropped", kind=entry.kind, customer=entry.customer, outcome=type(outcome).__name__)

    async def _release(self, entry: Entry, *, node: str = "", cause: str, attempt: int = 0) -> None:
        release = functools.partial(
            self._kernel.release, entry.customer, entry.connection, node=node, cause=cause, attempt=attempt
        )
        await self._entitlements.rolled(entry.customer, release)
