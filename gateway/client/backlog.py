"""Work that is done in the background: bounded in what waits, and in what is under way."""

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from gateway.client.joins import Key


BACKOFF_S = (0.1, 5.0)
"""First and longest pause after a failure, before jitter."""

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Backlog(Generic[T]):
    """Work on legs: `work` is called with each, at most `at_once` at a time, and says whether it is done with; what is not is tried again.

    At most `waiting_max` wait; then the oldest is dropped, with a call of `dropped`.
    """

    def __init__(
        self,
        work: Callable[[Key, T], Awaitable[bool]],
        dropped: Callable[[int], None],
        *,
        at_once: int,
        waiting_max: int,
    ) -> None:
        self._work = work
        self._dropped = dropped
        self._at_once = at_once
        self._waiting_max = waiting_max
        self._waiting: OrderedDict[Key, T] = OrderedDict()
        self._running: dict[Key, asyncio.Task[None]] = {}
        self._failures = 0
        self._pause: asyncio.TimerHandle | None = None
        self._closed = False

    def __contains__(self, key: Key) -> bool:
        return key in self._waiting or key in self._running

    def put(self, key: Key, item: T) -> bool:
        """Whether the work is new; on a leg that waits or is worked on already it is not done twice."""
        if key in self:
            return False
        if self._closed:
            self._dropped(1)
            return True
        self._waiting[key] = item
        if len(self._waiting) > self._waiting_max:
            self._waiting.popitem(last=False)
            self._dropped(1)
        self._start()
        return True

    async def withdraw(self, key: Key, until: float) -> bool:
        """Takes back the work on a leg; whether none is under way any more at `until`, a time of the event loop."""
        running = self._running.get(key)
        if running is not None:
            await asyncio.wait({running}, timeout=max(0.0, until - asyncio.get_running_loop().time()))
            if not running.done():
                return False
        self._waiting.pop(key, None)
        return True

    async def close(self, time_s: float = 0.0) -> None:
        """Takes up to `time_s` to do what waits, then gives up the rest, which counts as dropped."""
        self._failures = 0
        self._resume()
        until = asyncio.get_running_loop().time() + time_s
        while self._waiting or self._running:
            left_s = until - asyncio.get_running_loop().time()
            if left_s <= 0:
                break
            if self._running:
                await asyncio.wait(self._running.values(), timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(min(left_s, BACKOFF_S[0]))  # it pauses after a failure
        self._closed = True
        self._stop_pause()
        running = list(self._running.values())
        self._dropped(len(self._waiting) + len(running))
        self._waiting.clear()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _start(self) -> None:
        while self._waiting and len(self._running) < self._at_once and self._pause is None:
            key, item = self._waiting.popitem(last=False)
            self._running[key] = asyncio.create_task(self._run(key, item))

    async def _run(self, key: Key, item: T) -> None:
        done = False
        try:
            done = await self._work(key, item)
        except Exception:  # noqa: BLE001 - logged; the rest of the work goes on
            _log.exception("background work failed")
            done = True
            self._dropped(1)
        finally:
            del self._running[key]
            if not self._closed:
                self._go_on(key, item, done=done)

    def _go_on(self, key: Key, item: T, *, done: bool) -> None:
        if done:
            self._failures = 0
        elif len(self._waiting) >= self._waiting_max:
            self._dropped(1)  # it is the oldest
        else:
            self._waiting[key] = item
            self._waiting.move_to_end(key, last=False)
        if not done and self._pause is None:
            first_s, longest_s = BACKOFF_S
            pause_s = min(first_s * 2 ** min(self._failures, 10), longest_s) * random.uniform(0.5, 1)  # noqa: S311
            self._failures += 1
            self._pause = asyncio.get_running_loop().call_later(pause_s, self._resume)
        self._start()

    def _resume(self) -> None:
        self._stop_pause()
        self._start()

    def _stop_pause(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
