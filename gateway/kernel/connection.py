"""One multiplexed connection to Redis: many calls under way, one write per turn of the event loop, answers in order.

redis-py does what it does best, the URL, the handshake, TLS and authentication; then its transport gets a protocol of ours, because one call
at a time and connection, its pool's rule, costs two thirds of the throughput. Its retries are off: they would execute twice what may be
executed once. Nothing here retries but NOSCRIPT, which says that nothing was executed.

A call that is not answered in time is given up by its caller and stays in the queue, so that later answers still meet their calls.
"""

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import hiredis
from redis.asyncio.connection import Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from gateway.kernel.errors import OutcomeUnknown, StoreError, StoreUnavailable, reply_error
from gateway.kernel.scripts import Script


REDIS_MAJOR_MIN = 7
CALLS_MAX = 20_000
"""Calls under way at one time; more are refused at once, because waiting longer helps nobody."""

SILENCE_MAX_S = 5.0
"""A connection whose oldest call is unanswered for so long is given up."""

BACKOFF_MIN_S, BACKOFF_MAX_S = 0.02, 2.0
CONNECT_TIMEOUT_S = 2.0
_SWEEP_S = 0.02


class StoreObserver(Protocol):
    """What telemetry may learn of a connection."""

    def store_connected(self, version: str) -> None:
        """A connection is ready."""

    def store_lost(self, error: str) -> None:
        """A connection was lost, or an attempt to connect failed."""


class _Call:
    __slots__ = ("expires", "future", "payload", "script", "sent")

    def __init__(
        self, payload: bytes, script: Script | None, future: asyncio.Future[Any], sent: float, expires: float
    ) -> None:
        self.payload = payload
        self.script = script
        self.future = future
        self.sent = sent
        self.expires = expires


class _Multiplexer(asyncio.Protocol):
    """Calls and answers on one transport."""

    def __init__(
        self, transport: asyncio.Transport, on_lost: Callable[["_Multiplexer", Exception | None], None]
    ) -> None:
        self._transport = transport
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._calls: deque[_Call] = deque()
        self._writes: list[bytes] = []
        self._sweeper: asyncio.TimerHandle | None = None

    def send(self, call: _Call) -> None:
        if len(self._calls) >= CALLS_MAX:
            raise StoreUnavailable(f"more than {CALLS_MAX} calls under way")
        self._calls.append(call)
        if not self._writes:
            self._loop.call_soon(self._flush)
        self._writes.append(call.payload)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)

    def close(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (answer := self._reader.gets()) is not False:
            call = self._calls.popleft()
            if not isinstance(answer, hiredis.ReplyError):
                if not call.future.done():
                    call.future.set_result(answer)
            elif call.script is not None and str(answer).startswith("NOSCRIPT"):
                self._send_script_again(call, call.script)
            elif not call.future.done():
                call.future.set_exception(reply_error(str(answer)))

    def connection_lost(self, exc: Exception | None) -> None:
        for call in self._calls:
            if not call.future.done():
                call.future.set_exception(OutcomeUnknown(f"connection lost: {exc or 'closed'}"))
        self._calls.clear()
        self._on_lost(self, exc)

    def _send_script_again(self, call: _Call, script: Script) -> None:
        ignored: asyncio.Future[Any] = self._loop.create_future()
        ignored.add_done_callback(lambda future: future.cancelled() or future.exception())
        try:
            self.send(_Call(_packed(b"SCRIPT", b"LOAD", script.source), None, ignored, call.sent, call.expires))
            call.script = None
            self.send(call)
        except StoreUnavailable as error:
            if not call.future.done():
                call.future.set_exception(error)

    def _flush(self) -> None:
        writes, self._writes = self._writes, []
        if not self._transport.is_closing():
            self._transport.write(b"".join(writes))

    def _sweep(self) -> None:
        now = self._loop.time()
        if self._calls and now - self._calls[0].sent > SILENCE_MAX_S:
            self._sweeper = None
            self._transport.abort()
            return
        for call in self._calls:
            if now >= call.expires and not call.future.done():
                call.future.set_exception(OutcomeUnknown("no answer in time"))
        self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep) if self._calls else None


class StoreConnection:
    """A connection that is kept up. Created closed; `start` connects and goes on trying, `close` ends it."""

    def __init__(self, url: str, scripts: Iterable[Script], observer: StoreObserver | None = None) -> None:
        self._url = url
        self._scripts = tuple(scripts)
        self._observer = observer
        self._multiplexer: _Multiplexer | None = None
        self._lost = asyncio.Event()
        self._ready = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._clock_ms = 0
        self._clock_at = 0.0
        self.last_error: str | None = None

    @property
    def is_ready(self) -> bool:
        """Whether calls are taken."""
        return self._multiplexer is not None

    async def start(self, wait_s: float = CONNECT_TIMEOUT_S) -> bool:
        """Begins to connect; waits at most `wait_s` for the first success and says whether it came."""
        self._keeper = asyncio.create_task(self._keep(), name="store-connection")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ready.wait(), wait_s)
        return self.is_ready

    async def close(self) -> None:
        """Ends the connection; calls under way get OutcomeUnknown."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None

    def call(
        self, script: Script, keys: tuple[bytes, ...], args: Sequence[Any], timeout_s: float
    ) -> asyncio.Future[Any]:
        """Runs a script once. The future ends with its answer, or with a StoreError at `timeout_s` at the latest.

        Raises:
            StoreUnavailable: at once, where there is no connection or too much under way.
        """
        return self._send(_packed(b"EVALSHA", script.sha, len(keys), *keys, *args), script, timeout_s)

    def command(self, *parts: str | bytes | int, timeout_s: float = 5.0) -> asyncio.Future[Any]:
        """Runs a plain command; for reports, never for decisions."""
        return self._send(_packed(*parts), None, timeout_s)

    def observe_clock(self, store_ms: int) -> None:
        """Takes a time that an answer carried. It is older than now by the answer's way, so estimates are never ahead of the store."""
        self._clock_ms, self._clock_at = store_ms, time.monotonic()

    def store_now_ms(self) -> int:
        """The store's clock, estimated: never ahead of it, behind by less than a round trip."""
        return self._clock_ms + int((time.monotonic() - self._clock_at) * 1000)

    def _send(self, payload: bytes, script: Script | None, timeout_s: float) -> asyncio.Future[Any]:
        if self._multiplexer is None:
            raise StoreUnavailable(f"not connected: {self.last_error or 'connecting'}")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        now = loop.time()
        self._multiplexer.send(_Call(payload, script, future, now, now + timeout_s))
        return future

    async def _keep(self) -> None:
        """Connects, waits until the connection is lost, and connects again after a pause that grows with failures."""
        pause_s = BACKOFF_MIN_S
        while True:
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    connection = await self._connect()
            except Exception as error:  # noqa: BLE001 - any failure to connect is answered by trying again
                self._note_loss(str(error) or type(error).__name__)
                await asyncio.sleep(random.uniform(pause_s / 2, pause_s))  # noqa: S311 - jitter, no secret
                pause_s = min(pause_s * 2, BACKOFF_MAX_S)
                continue
            pause_s = BACKOFF_MIN_S
            try:
                await self._lost.wait()
            finally:
                self._hang_up()
                await connection.disconnect(nowait=True)

    async def _connect(self) -> Connection:
        """A connection with its scripts loaded and its transport under a multiplexer."""
        options: dict[str, Any] = dict(parse_url(self._url))
        kind = options.pop("connection_class", Connection)
        connection: Connection = kind(
            **options,
            protocol=2,  # stated: RESP3, the default since redis-py 8, may send what nobody asked for
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=CONNECT_TIMEOUT_S,
            client_name="gateway",
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        try:
            await connection.connect()  # type: ignore[no-untyped-call] # redis-py leaves it untyped
            version = await self._prepare(connection)
            writer = connection._writer  # noqa: SLF001 - redis-py has no public way to its transport
            assert writer is not None, "connect() has opened it"
            multiplexer = _Multiplexer(writer.transport, self._on_lost)  # type: ignore[arg-type] # a socket's transport
            writer.transport.set_protocol(multiplexer)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._lost.clear()
        self._multiplexer = multiplexer
        self.last_error = None
        self._ready.set()
        if self._observer:
            self._observer.store_connected(version)
        return connection

    async def _prepare(self, connection: Connection) -> str:
        """Checks the version, loads the scripts and reads the clock. Returns the version."""

        async def ask(*parts: str | bytes) -> Any:
            await connection.send_command(*parts)
            return await connection.read_response()

        info = (await ask("INFO", "server")).decode()
        version = next((line.partition(":")[2] for line in info.splitlines() if line.startswith("redis_version:")), "0")
        if int(version.partition(".")[0]) < REDIS_MAJOR_MIN:
            raise StoreError(f"Redis {version} is too old: {REDIS_MAJOR_MIN} or later is needed")
        for script in self._scripts:
            await ask("SCRIPT", "LOAD", script.source)
        seconds, microseconds = await ask("TIME")
        self.observe_clock(int(seconds) * 1000 + int(microseconds) // 1000)
        return version

    def _on_lost(self, multiplexer: _Multiplexer, error: Exception | None) -> None:
        if self._multiplexer is not multiplexer:
            return  # hung up on purpose
        self._multiplexer = None
        self._ready.clear()
        self._lost.set()
        self._note_loss(str(error or "closed by the store"))

    def _hang_up(self) -> None:
        if self._multiplexer is not None:
            self._multiplexer.close()
            self._multiplexer = None
            self._ready.clear()

    def _note_loss(self, error: str) -> None:
        self.last_error = error
        if self._observer:
            self._observer.store_lost(error)


def _packed(*parts: str | bytes | int) -> bytes:
    packed: bytes = hiredis.pack_command(parts)  # type: ignore[arg-type] # its stub says a tuple of one
    return packed
