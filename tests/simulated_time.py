"""An event loop on virtual time, and processes on it that can be paused and killed.

When nothing is ready the loop jumps to the next timer, so a minute takes as long as what happens in it. There are no threads and no sockets.
Everything that happens is ordered by the seed alone.

A process is a name that tasks carry in their context, and with them every callback that they cause. While a process is paused its callbacks
wait, in order, as those of a stopped real one do; those of a killed one never run, so that no `finally` tidies up after it.
"""

import asyncio
import contextlib
import contextvars
import heapq
import random
import sys
import time
import types
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar


T = TypeVar("T")

_PROCESS: contextvars.ContextVar[str | None] = contextvars.ContextVar("process", default=None)

TURNS_MAX = 2_000_000
"""More turns of the loop than any seed needs: something spins without time going by."""


class Stuck(Exception):
    """Nothing is ready and nothing is scheduled: what is waited for never comes."""


class _Jump:
    """The loop's selector: there is nothing to select from, so it only moves the time."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        """Nothing; virtual time moves to the next timer."""
        self._loop.turns += 1
        if self._loop.turns > TURNS_MAX:
            raise Stuck(f"more than {TURNS_MAX} turns")
        if timeout is None:
            raise Stuck(f"at {self._loop.time():.3f} s")
        if timeout > 0:
            self._loop.jump()
        return []


class _Held:
    """What makes a handle belong to a process."""

    _loop: Any
    _context: Any

    def _run(self) -> None:
        process = self._context.get(_PROCESS)
        if process is None or self._loop.may_run(process, self):
            super()._run()  # type: ignore[misc] # of the handle that it is mixed with


class _Handle(_Held, asyncio.Handle):
    pass


class _TimerHandle(_Held, asyncio.TimerHandle):
    """Timers of one instant fire in the order in which they were set; asyncio leaves that open."""

    number: int

    def __lt__(self, other: Any) -> bool:
        return (self._when, self.number) < (other._when, other.number)  # type: ignore[attr-defined] # the base class has it


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop of one simulation."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._selector = _Jump(self)
        self._paused: dict[str, list[Any]] = {}
        self._killed: set[str] = set()
        self._tasks: list[asyncio.Task[Any]] = []
        self._timers = 0
        self.turns = 0
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        """Virtual seconds since the beginning."""
        return self._now

    def jump(self) -> None:
        """To the first timer."""
        self._now = max(self._now, self._scheduled[0]._when)  # type: ignore[attr-defined] # the base class has it

    def call_at(  # type: ignore[override] # typeshed wants to know what the callback takes
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """As of any loop; the timer belongs to the process that sets it."""
        timer = _TimerHandle(when, callback, args, self, context)
        self._timers += 1
        timer.number = self._timers
        heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined] # the base class has it
        timer._scheduled = True  # type: ignore[attr-defined] # so that the base class counts it when it is cancelled
        return timer

    def _call_soon(self, callback: Any, args: Any, context: Any) -> asyncio.Handle:
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined] # the base class has it
        return handle

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """Runs it at once: a thread would bring an order that no seed decides."""
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - handed on to who waits for it
            done.set_exception(error)
        return done

    def spawn(self, process: str, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task of a process."""
        context = contextvars.copy_context()
        context.run(_PROCESS.set, process)
        return self.create_task(coroutine, context=context)

    def may_run(self, process: str, handle: Any) -> bool:
        """Whether a callback of the process may run now; if it is paused, the callback is kept until it goes on."""
        if process in self._killed:
            return False
        waiting = self._paused.get(process)
        if waiting is None:
            return True
        waiting.append(handle)
        return False

    def pause(self, process: str) -> None:
        """Stops a process, as SIGSTOP does."""
        self._paused.setdefault(process, [])

    def resume(self, process: str) -> None:
        """Lets it go on."""
        self._ready.extend(self._paused.pop(process, ()))  # type: ignore[attr-defined] # the base class has it

    def kill(self, process: str) -> None:
        """Ends a process as SIGKILL does: nothing of it ever runs again."""
        self._killed.add(process)
        self._paused.pop(process, None)

    def bury(self) -> None:
        """After the end: tasks that never end are let go without a word."""
        for task in self._tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined] # they were killed on purpose
            if not task.done():
                with contextlib.suppress(Exception):
                    task.get_coro().close()
        self._ready.clear()  # type: ignore[attr-defined]
        self._scheduled.clear()  # type: ignore[attr-defined]
        self._tasks.clear()
        self.close()

    def _make_task(self, loop: Any, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
        self._tasks.append(task)
        return task

    def _process_events(self, event_list: Any) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody is there to wake it from outside."""


def run(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]], seed: int) -> T:
    """Runs a simulation to its end, with the gateway's clock and chance replaced."""
    loop = VirtualLoop()
    try:
        with _replaced(loop, seed):
            return loop.run_until_complete(main(loop))
    finally:
        loop.bury()


@contextlib.contextmanager
def _replaced(loop: VirtualLoop, seed: int) -> Iterator[None]:
    """`time` and `random`, as modules of the gateway see them, follow the loop and the seed."""
    clock: Any = types.ModuleType("time")
    clock.monotonic = clock.perf_counter = clock.time = loop.time
    clock.monotonic_ns = clock.perf_counter_ns = clock.time_ns = lambda: int(loop.time() * 1e9)
    chance: Any = random.Random(seed)
    kept: list[tuple[types.ModuleType, str, Any]] = []
    for name, module in list(sys.modules.items()):
        if name.startswith("gateway."):
            kept += [(module, "time", time)] if getattr(module, "time", None) is time else []
            kept += [(module, "random", random)] if getattr(module, "random", None) is random else []
    for module, name, _ in kept:
        setattr(module, name, clock if name == "time" else chance)
    try:
        yield
    finally:
        for module, name, original in kept:
            setattr(module, name, original)
