"""Watching how far the ledger is behind, so that what it has not read yet never fills the store."""

import asyncio

import structlog

from gateway.events import Emit, OutboxPressed
from gateway.kernel.bounds import Bounds
from gateway.kernel.errors import StoreError
from gateway.kernel.outbox import Outbox


LOOK_S = 2.0
"""A busy bucket gets some thousand entries meanwhile: far less than lies between the bounds."""

_log = structlog.get_logger("gateway.back_pressure")


class BackPressure:
    """Tells the kernel what gives way in each bucket. `run` goes on as long as the gateway does."""

    def __init__(self, outbox: Outbox, bounds: Bounds, emit: Emit) -> None:
        self._outbox = outbox
        self._bounds = bounds
        self._emit = emit

    async def run(self) -> None:
        """Looks every LOOK_S; never ends."""
        while True:
            try:
                await self.look()
            except StoreError:
                pass  # what was seen last is the best there is
            except Exception:  # noqa: BLE001 - logged with its trace; the next look is soon
                _log.exception("back_pressure.failed")
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Takes the lengths of all outboxes, and tells of what changes. Raises StoreError."""
        if not self._bounds.is_read:
            return
        for bucket, entries in (await self._outbox.known_lengths()).items():
            before = self._bounds.pressure(bucket)
            now = self._bounds.see(bucket, entries)
            if now is not before:
                self._emit(OutboxPressed(bucket, before.name.lower(), now.name.lower(), entries))
