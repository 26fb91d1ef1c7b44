"""Whether the gateway itself is behind. Joins are then decided without the store, so that heartbeats and releases are still heard in time."""

import asyncio
from collections import deque

from gateway.events import Emit, LoadShed
from gateway.kernel.errors import StoreUnavailable


DECISIONS_MAX = 5_000
"""Decisions under way at one time in one process; at the speed of one process that is half a second's work."""

PERIOD_S = 0.02
BEHIND_S = 0.05
WINDOW = 5
"""The event loop is behind when it was late by BEHIND_S at each of the last WINDOW looks: a burst is no overload (as in CoDel)."""


class Load:
    """Watches how late the event loop is. `watch` runs as long as the gateway does."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._late_s: deque[float] = deque([0.0] * WINDOW, WINDOW)
        self._decisions = 0
        self.is_behind = False

    def begin(self) -> None:
        """A decision begins. Raises StoreUnavailable where there is no time for it."""
        if self.is_behind or self._decisions >= DECISIONS_MAX:
            raise StoreUnavailable("the gateway is behind")
        self._decisions += 1

    def end(self) -> None:
        """A decision that had begun has ended."""
        self._decisions -= 1

    async def watch(self) -> None:
        """Looks every PERIOD_S how late it is; never ends."""
        loop = asyncio.get_running_loop()
        while True:
            expected = loop.time() + PERIOD_S
            await asyncio.sleep(PERIOD_S)
            self.note(loop.time() - expected)

    def note(self, late_s: float) -> None:
        """The event loop was that late."""
        self._late_s.append(late_s)
        behind = min(self._late_s) > BEHIND_S
        if behind != self.is_behind:
            self.is_behind = behind
            self._emit(LoadShed(behind))
