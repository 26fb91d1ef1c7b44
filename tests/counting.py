"""A script that counts how often each id was executed, and a caller that never stops: what a fault leaves is then known exactly."""

import asyncio
import contextlib
import hashlib
import itertools
from typing import Self

from redis_processes import until

from gateway.kernel.errors import OutcomeUnknown, StoreUnavailable
from gateway.kernel.scripts import Script
from gateway.kernel.store import Store


def script(name: str, source: bytes) -> Script:
    """A script of a test's own."""
    return Script(name, source, hashlib.sha1(source).hexdigest().encode(), ())


COUNT = script(
    "count",
    b"#!lua\nredis.call('HSET', KEYS[2], ARGV[2], ARGV[1])\nreturn redis.call('HINCRBY', KEYS[1], ARGV[2], 1)",
)
"""Counts the id and keeps the run_id that was passed. Answers the count, which must be 1."""


def keys(tag: str) -> tuple[bytes, bytes]:
    """The two keys of the script, in the slot of a tag."""
    return f"{{{tag}}}:counts".encode(), f"{{{tag}}}:servers".encode()


class Caller:
    """Runs COUNT every few milliseconds, each time with a new id, and keeps what became of it."""

    def __init__(self, store: Store, tag: str = "b00", *, every_s: float = 0.005, timeout_s: float = 0.15) -> None:
        self._store = store
        self._keys = keys(tag)
        self._every_s = every_s
        self._timeout_s = timeout_s
        self._calls: set[asyncio.Task[None]] = set()
        self._runner: asyncio.Task[None] | None = None
        self._ids = 0
        self.answered: dict[int, tuple[float, int]] = {}
        """When, and with which count."""
        self.refused: dict[int, str] = {}
        self.unknown: dict[int, str] = {}

    async def __aenter__(self) -> Self:
        self._runner = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None, "it was entered"
        self._runner.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._runner
        await asyncio.gather(*self._calls)

    async def more(self, answers: int = 20, wait_s: float = 20.0) -> None:
        """Waits for so many more answers."""
        wanted = len(self.answered) + answers

        async def came() -> bool:
            return len(self.answered) >= wanted

        await until(came, "the store answers", wait_s, self._every_s)

    @property
    def gap_s(self) -> float:
        """The longest time without an answer."""
        times = sorted(at for at, _ in self.answered.values())
        return max(after - before for before, after in itertools.pairwise(times))

    async def executed(self) -> dict[int, int]:
        """How often each id was executed, as the store has it."""
        flat = await self._store.command("HGETALL", self._keys[0])
        return {int(flat[at]): int(flat[at + 1]) for at in range(0, len(flat), 2)}

    async def faults(self) -> dict[str, list[int]]:
        """Ids that were executed twice; refused and yet executed; answered and not kept. Only the last may be, where a master is lost."""
        executed = await self.executed()
        return {
            "twice": [one for one, count in executed.items() if count != 1]
            + [one for one, (_, count) in self.answered.items() if count != 1],
            "refused": [one for one in self.refused if one in executed],
            "lost": [one for one in self.answered if one not in executed],
        }

    async def _run(self) -> None:
        while True:
            task = asyncio.create_task(self._call(self._ids))
            self._ids += 1
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
            await asyncio.sleep(self._every_s)

    async def _call(self, one: int) -> None:
        try:
            count = await self._store.call(COUNT, self._keys, (one,), self._timeout_s)
        except StoreUnavailable as error:
            self.refused[one] = str(error)
        except OutcomeUnknown as error:
            self.unknown[one] = str(error)
        else:
            self.answered[one] = (asyncio.get_running_loop().time(), count)
