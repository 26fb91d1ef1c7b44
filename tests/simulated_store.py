"""The store of a simulation: servers that fail over, restart and lose, and connections to them that delay and break.

A connection keeps the order of its calls, as TCP does; connections overtake each other. What a connection may do to a call: it never arrives
(lost before), it is executed and its answer never comes (lost after the commit), it arrives after everybody has given up (delayed).
"""

import asyncio
import collections
import contextlib
import contextvars
import functools
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from simulated_lua import runner
from simulated_redis import Keyspace, ReplyError, text
from simulated_time import VirtualLoop

from gateway.kernel.errors import OutcomeUnknown, StoreUnavailable, reply_error
from gateway.kernel.scripts import Script


BEGINNING_MS = 1_781_118_000_000.0
"""Store time at virtual second 0: noon of 2026-06-10 in California."""

TO_MIDNIGHT_MS = 12 * 3_600_000.0

BREAKER_S, SILENCE_MAX_S, RECONNECT_S = 0.25, 2.0, 0.04

Trace = Callable[..., None]


class Server:
    """One server: data, a clock, and a name that no other has."""

    def __init__(self, loop: VirtualLoop, run_id: str, offset_ms: float) -> None:
        self._loop = loop
        self.run_id = run_id
        self.offset_ms = offset_ms
        self.keyspace = Keyspace(self.now_ms)
        self.is_up = True
        self.is_paused = False
        self.waiting: list[Callable[[], None]] = []

    def now_ms(self) -> float:
        """Its clock."""
        return BEGINNING_MS + self.offset_ms + self._loop.time() * 1000

    def when_free(self, work: Callable[[], None]) -> None:
        """Does it now, or when the pause is over."""
        if self.is_paused:
            self.waiting.append(work)
        elif self.is_up:
            work()

    def pause(self) -> None:
        """As SIGSTOP does."""
        self.is_paused = True

    def resume(self) -> None:
        """Everything that came meanwhile is done, in order."""
        self.is_paused = False
        waiting, self.waiting = self.waiting, []
        for work in waiting:
            self.when_free(work)


class Deployment:
    """The servers, of which one is the master; and what happens to them."""

    def __init__(self, loop: VirtualLoop, chance: random.Random, trace: Trace, offset_ms: float) -> None:
        self.loop = loop
        self.chance = chance
        self.trace = trace
        self.network = contextvars.Context()
        """What no process owns, and no pause stops."""
        self.connections: list[Connection] = []
        self.on_entry: Callable[[Server, dict[bytes, bytes]], None] = lambda *_: None
        """Told of each entry of an outbox."""
        self._servers = 0
        self.master = self._next(offset_ms)
        self._copied: dict[bytes, Any] | None = None

    def _next(self, offset_ms: float) -> Server:
        self._servers += 1
        server = Server(self.loop, f"server-{self._servers}", offset_ms)
        server.keyspace.on_entry = lambda _, fields: self.on_entry(server, fields)
        return server

    @property
    def is_copied(self) -> bool:
        """Whether a replica is behind."""
        return self._copied is not None

    def copy(self) -> None:
        """What has reached the replica: whatever is written from now on is lost by a failover."""
        self._copied = self.master.keyspace.copy_data()

    def fail_over(self, jump_ms: float, *, old_serves: Iterable["Connection"] = ()) -> int:
        """The replica becomes the master, with its own clock; connections in `old_serves` stay with the old one until they are cut.

        How many writes are lost.
        """
        old, self.master = self.master, self._next(self.master.offset_ms + jump_ms)
        lost = old.keyspace.writes
        if self._copied is not None:
            self.master.keyspace.data = self._copied
        else:
            self.master.keyspace.data, lost = old.keyspace.copy_data(), 0
        self._copied = None
        old.is_up = bool(old_serves)
        self._hang_up_on(old, frozenset(old_serves))
        return lost

    def restart(self, *, empty: bool = False, down_s: float) -> None:
        """The server is away for a while, and comes back with all that it had, or with nothing."""
        old, self.master = self.master, self._next(self.master.offset_ms)
        self.master.keyspace.data = {} if empty else old.keyspace.data
        old.is_up = self.master.is_up = False
        self._copied = None
        self._hang_up_on(old, frozenset())
        self.loop.call_later(down_s, self._up, self.master, context=self.network)

    def _up(self, server: Server) -> None:
        server.is_up = True

    def _hang_up_on(self, server: Server, but: frozenset["Connection"]) -> None:
        for connection in self.connections:
            if connection.server is server and connection not in but:
                connection.cut("server gone")


class _Call:
    __slots__ = ("expiry", "future", "sent")

    def __init__(self, future: asyncio.Future[Any], sent: float, expiry: asyncio.TimerHandle) -> None:
        self.future = future
        self.sent = sent
        self.expiry = expiry


class Connection:
    """What a gateway knows as its store. The faults of the way are set from outside."""

    def __init__(self, deployment: Deployment, name: str) -> None:
        self._deployment = deployment
        self._loop = deployment.loop
        self.name = name
        self.server: Server | None = None
        self.last_error: str | None = None
        self.is_reachable = True
        self.holds_requests = False
        self.holds_answers = False
        self.slow_s = 0.0
        self._held: list[tuple[str, Callable[[], None]]] = []
        self._calls: collections.deque[_Call] = collections.deque()
        self._watch: asyncio.TimerHandle | None = None
        self._life = 0
        self._arrives = self._answers = 0.0
        self._clock_ms = self._clock_at = 0.0
        self._is_open = False
        self._ready = asyncio.Event()
        deployment.connections.append(self)

    @property
    def is_ready(self) -> bool:
        """Whether calls are taken."""
        return self.server is not None

    @property
    def run_id(self) -> str:
        """Of the server at the other end."""
        return self.server.run_id if self.server else ""

    async def start(self, wait_s: float = 2.0) -> bool:
        """Connects, and goes on trying."""
        self._is_open = True
        self._connect()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ready.wait(), wait_s)
        return self.is_ready

    async def close(self) -> None:
        """Ends it."""
        self._is_open = False
        self.cut("closed")

    def call(
        self, script: Script, keys: tuple[bytes, ...], args: Sequence[Any], timeout_s: float
    ) -> asyncio.Future[Any]:
        """Runs a script once. Raises StoreUnavailable at once where nothing can be sent."""
        return self._send(lambda server: run_script(server, script, keys, args), timeout_s)

    def command(self, *parts: str | bytes | int, timeout_s: float = 5.0) -> asyncio.Future[Any]:
        """Runs a plain command."""
        name, *rest = [text(part) for part in parts]
        return self._send(lambda server: server.keyspace.run(name, *rest), timeout_s)

    def observe_clock(self, store_ms: int, key: bytes | None = None) -> None:
        """Takes a time that an answer carried."""
        self._clock_ms, self._clock_at = store_ms, self._loop.time()

    def store_now_ms(self, key: bytes | None = None) -> int:
        """The store's clock, never ahead of it."""
        return int(self._clock_ms) + int((self._loop.time() - self._clock_at) * 1000)

    def cut(self, why: str) -> None:
        """The connection is reset: answers under way are lost, and so are most of the calls that have not arrived."""
        self.server, self.last_error, self._life = None, why, self._life + 1
        calls, self._calls = self._calls, collections.deque()
        for call in calls:
            if not call.future.done():
                call.future.set_exception(OutcomeUnknown(f"connection lost: {why}"))
        held, self._held = self._held, []
        for kind, work in held:
            if kind == "request" and self._deployment.chance.random() < 0.5:
                work()  # it lay in the server's buffer
        if self._is_open:
            self._loop.call_later(RECONNECT_S, self._connect, context=self._deployment.network)

    def abandon(self) -> None:
        """The gateway's process has ended: nothing of what is under way matters to anybody any more."""
        self._is_open = False
        self.server, self._life = None, self._life + 1
        self._calls.clear()
        self._deployment.connections.remove(self)

    def let_through(self) -> None:
        """Nothing is held any more; what was held goes on."""
        self.holds_requests = self.holds_answers = False
        held, self._held = self._held, []
        for _, work in held:
            work()

    def _connect(self) -> None:
        if self.server is not None or not self._is_open:
            return
        master = self._deployment.master
        if (
            self.is_reachable
            and master.is_up
            and not master.is_paused
            and not self.holds_requests
            and not self.holds_answers
        ):
            self.server = master
            self._ready.set()
            self._arrives = self._answers = self._loop.time()
            self.observe_clock(int(master.now_ms()))
            return
        self.last_error = "unreachable"
        self._loop.call_later(RECONNECT_S, self._connect, context=self._deployment.network)

    def _send(self, work: Callable[[Server], Any], timeout_s: float) -> asyncio.Future[Any]:
        now = self._loop.time()
        if self.server is None:
            raise StoreUnavailable(f"not connected: {self.last_error or 'connecting'}")
        if self._calls and now - self._calls[0].sent > BREAKER_S:
            raise StoreUnavailable("the store does not answer")
        future: asyncio.Future[Any] = self._loop.create_future()
        call = _Call(future, now, self._loop.call_later(max(timeout_s, 0.0), _expire, future))
        self._calls.append(call)
        if self._watch is None:
            self._watch = self._loop.call_later(
                SILENCE_MAX_S, self._hang_up_if_silent, context=self._deployment.network
            )
        self._arrives = max(self._arrives, now + self._way_s())
        self._loop.call_at(
            self._arrives, self._arrive, work, call, self.server, self._life, context=self._deployment.network
        )
        return call.future

    def _way_s(self) -> float:
        return self._deployment.chance.uniform(0.0002, 0.002) + self.slow_s

    def _hang_up_if_silent(self) -> None:
        self._watch = None
        if not self._calls:
            return
        silent_s = self._loop.time() - self._calls[0].sent
        if silent_s >= SILENCE_MAX_S:
            self.cut("silence")
            return
        left_s = SILENCE_MAX_S - silent_s + 0.001
        self._watch = self._loop.call_later(left_s, self._hang_up_if_silent, context=self._deployment.network)

    def _arrive(self, work: Callable[[Server], Any], call: _Call, server: Server, life: int) -> None:
        if life != self._life and self._deployment.chance.random() < 0.5:
            return  # lost with the connection
        reach = functools.partial(server.when_free, functools.partial(self._execute, work, call, server, life))
        if self.holds_requests:
            self._held.append(("request", reach))
        else:
            reach()

    def _execute(self, work: Callable[[Server], Any], call: _Call, server: Server, life: int) -> None:
        try:
            answer = work(server)
        except ReplyError as error:
            answer = reply_error(str(error))
        self._deployment.trace("ran", self.name, server.run_id, _summary(answer))
        if life != self._life:
            return
        self._answers = max(self._answers, self._loop.time() + self._way_s())
        self._loop.call_at(self._answers, self._answer, answer, call, life, context=self._deployment.network)

    def _answer(self, answer: Any, call: _Call, life: int) -> None:
        if life != self._life:
            return
        if self.holds_answers:
            self._held.append(("answer", lambda: self._answer(answer, call, life)))
            return
        answered = self._calls.popleft()
        assert answered is call, "answers come in the order of the calls"
        call.expiry.cancel()
        if call.future.done():
            return
        if isinstance(answer, Exception):
            call.future.set_exception(answer)
        else:
            call.future.set_result(answer)


def _summary(answer: Any) -> str:
    return repr(answer[:3] if isinstance(answer, list) else answer)


def _expire(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(OutcomeUnknown("no answer in time"))


def run_script(server: Server, script: Script, keys: Sequence[bytes], args: Sequence[Any]) -> Any:
    """One call on a server, as it runs it: its name is the first argument of every script."""
    return runner().eval(script.source, server.keyspace, keys, (server.run_id, *args))
