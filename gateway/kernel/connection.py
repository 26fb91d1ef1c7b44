"""One connection to one Redis server, kept up: found, greeted, given the scripts, and made anew when it is lost.

redis-py does what it does best (`handshake`); then its transport gets a protocol of ours (`multiplexer`), because one call at a time and
connection, its pool's rule, costs two thirds of the throughput. Its retries are off: they would execute twice what may be executed once.

Only a server that says it is a master is talked to, and one that answers READONLY is left.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any, Protocol

from redis.asyncio.connection import Connection

from gateway.kernel.errors import StoreError, StoreUnavailable
from gateway.kernel.handshake import CONNECT_TIMEOUT_S, Options, ask, connect, discard, read_options, unconnected
from gateway.kernel.multiplexer import Call, Multiplexer, StallObserver
from gateway.kernel.scripts import Script


REDIS_MAJOR_MIN = 7
BACKOFF_MIN_S, BACKOFF_MAX_S = 0.02, 0.5


class StoreObserver(StallObserver, Protocol):
    """What telemetry may learn of a connection."""

    def store_connected(self, version: str) -> None:
        """A connection is ready."""

    def store_lost(self, error: str) -> None:
        """A connection was lost, or an attempt to connect failed."""


def complete(observer: StoreObserver | None) -> StoreObserver:
    """An observer that ignores what the given one has no method for."""
    told: Any = SimpleNamespace()
    for name in ("store_connected", "store_lost", "store_stalled", "store_answers"):
        setattr(told, name, getattr(observer, name, lambda *_: None))
    whole: StoreObserver = told
    return whole


class StoreConnection:
    """A connection that is kept up. Created closed; `start` connects and goes on trying, `close` ends it.

    `on_refused` may take over calls that were answered with an error: see `Multiplexer`.
    """

    def __init__(
        self,
        server: str | Options,
        scripts: Iterable[Script],
        observer: StoreObserver | None = None,
        on_refused: Callable[[Call, str], bool] = lambda _call, _message: False,
    ) -> None:
        self._options = read_options(server) if isinstance(server, str) else server
        self._scripts = tuple(scripts)
        self._observer = complete(observer)
        self._on_refused = on_refused
        self._multiplexer: Multiplexer | None = None
        self._lost = asyncio.Event()
        self._ready = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        # Until the first answer this host's clock stands for the store's: nothing is sent by it.
        self._clock_ms, self._clock_at = int(time.time() * 1000), time.monotonic()
        self.last_error: str | None = None
        self.run_id = ""
        """Of the server at the other end: another one may have lost what this one knew."""

    @property
    def is_ready(self) -> bool:
        """Whether calls are taken."""
        return self._multiplexer is not None

    async def start(self, wait_s: float = CONNECT_TIMEOUT_S) -> bool:
        """Begins to connect; waits at most `wait_s` for the first success and says whether it came."""
        self.begin()
        return await self.wait_ready(wait_s)

    def begin(self) -> None:
        """Begins to connect."""
        self._keeper = asyncio.create_task(self._keep(), name="store-connection")

    async def wait_ready(self, wait_s: float) -> bool:
        """Waits until calls are taken, at most `wait_s`, and says whether they are."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._ready.wait()
        return self.is_ready

    async def close(self) -> None:
        """Ends the connection; calls under way get OutcomeUnknown."""
        await self._leave()

    async def renew(self, reason: str) -> None:
        """Leaves the server, or the attempt to connect to one, and connects anew at once."""
        await self._leave()
        self._note_loss(reason)
        self.begin()

    def call(
        self, script: Script, keys: tuple[bytes, ...], args: Sequence[Any], timeout_s: float
    ) -> asyncio.Future[Any]:
        """Runs a script once, with the server's `run_id` before its arguments.

        The future ends with its answer, or with a StoreError at `timeout_s` at the latest.

        Raises:
            StoreUnavailable: at once, where there is no connection, too much under way, or a store that has stopped to answer.
        """
        return self._begin(script, keys, args, timeout_s)

    def command(self, *parts: str | bytes | int, timeout_s: float = 5.0) -> asyncio.Future[Any]:
        """Runs a plain command; for reports, never for decisions."""
        return self._begin(None, (), parts, timeout_s)

    def resend(self, call: Call) -> None:
        """Sends a call that another server did not execute. It ends with StoreUnavailable where that cannot be."""
        if self._multiplexer is None:
            call.fail(self._not_connected())
        else:
            self._multiplexer.resend(call)

    def observe_clock(self, store_ms: int, key: str | bytes | None = None) -> None:
        """Takes a time that an answer carried. It is older than now by the answer's way, so estimates are never ahead of the store."""
        self._clock_ms, self._clock_at = store_ms, time.monotonic()

    def store_now_ms(self, key: str | bytes | None = None) -> int:
        """The store's clock, estimated: never ahead of it, behind by less than a round trip."""
        return self._clock_ms + int((time.monotonic() - self._clock_at) * 1000)

    def _begin(
        self, script: Script | None, keys: tuple[bytes, ...], args: Sequence[Any], timeout_s: float
    ) -> asyncio.Future[Any]:
        if self._multiplexer is None:
            raise self._not_connected()
        call = Call(script, keys, args, timeout_s)
        self._multiplexer.send(call)
        return call.future

    def _not_connected(self) -> StoreUnavailable:
        return StoreUnavailable(f"not connected: {self.last_error or 'connecting'}")

    async def _locate(self) -> Options:
        """Where the server is; asked for each attempt to connect."""
        return self._options

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
                await discard(connection)

    async def _connect(self) -> Connection:
        """A connection with its scripts loaded and its transport under a multiplexer."""
        connection = unconnected(await self._locate())
        try:
            await connect(connection)
            version = await self._prepare(connection)
            multiplexer = self._multiplexed(connection)
        except BaseException:
            await discard(connection)
            raise
        self._lost.clear()
        self._multiplexer = multiplexer
        self.last_error = None
        self._ready.set()
        self._observer.store_connected(version)
        return connection

    def _multiplexed(self, connection: Connection) -> Multiplexer:
        reader, writer = connection._reader, connection._writer  # noqa: SLF001 - redis-py has no public way to its transport
        assert reader is not None, "connect() has opened it"
        assert writer is not None, "connect() has opened it"
        if reader.at_eof() or writer.is_closing():
            raise StoreError("closed by the store")  # the multiplexer would not be told any more
        transport: Any = writer.transport
        multiplexer = Multiplexer(transport, self.run_id, self._refused, self._on_lost, self._observer)
        transport.set_protocol(multiplexer)
        return multiplexer

    async def _prepare(self, connection: Connection) -> str:
        """Checks version and role, loads the scripts and reads the clock. Returns the version."""
        said = _fields(await ask(connection, "INFO", "server"))
        version = said.get("redis_version", "0")
        if int(version.partition(".")[0]) < REDIS_MAJOR_MIN:
            raise StoreError(f"Redis {version} is too old: {REDIS_MAJOR_MIN} or later is needed")
        role = _fields(await ask(connection, "INFO", "replication")).get("role")
        if role != "master":
            raise StoreError(f"the server is no master but a {role}")
        for script in self._scripts:
            await ask(connection, "SCRIPT", "LOAD", script.source)
        seconds, microseconds = await ask(connection, "TIME")
        self.run_id = said.get("run_id", "")
        self.observe_clock(int(seconds) * 1000 + int(microseconds) // 1000)
        return version

    def _refused(self, call: Call, message: str) -> bool:
        if message.startswith("READONLY") and self._multiplexer is not None:
            self._multiplexer.abort("the server has become a replica")
        return self._on_refused(call, message)

    def _on_lost(self, multiplexer: Multiplexer, reason: str) -> None:
        if self._multiplexer is not multiplexer:
            return  # hung up on purpose
        self._multiplexer = None
        self._ready.clear()
        self._lost.set()
        self._note_loss(reason)

    async def _leave(self) -> None:
        self._hang_up()
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    def _hang_up(self) -> None:
        multiplexer, self._multiplexer = self._multiplexer, None
        self._ready.clear()
        if multiplexer is not None:
            multiplexer.abort("hung up")

    def _note_loss(self, error: str) -> None:
        self.last_error = error
        self._observer.store_lost(error)


def _fields(info: bytes) -> dict[str, str]:
    return dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)
