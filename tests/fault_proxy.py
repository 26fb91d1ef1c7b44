"""A proxy of TCP connections that does to them what networks do: delay, little bandwidth, silence in one or both ways, cuts, resets.

It listens on a free port of the loopback interface and leads to a TCP address or a unix socket. What it does can be changed at any time, and
holds for connections that are open. Bytes that were swallowed never come: a connection that lost some is reset as soon as the silence ends.
"""

import asyncio
import contextlib
import random
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self


CHUNK_BYTES = 64 * 1024
OPENING_BYTES = 1024
RESET_AT_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Weather:
    """What happens to what passes. `cut_after`: bytes of replies, counted from when the weather changed, after which a connection is reset."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float = 0.0
    requests_pass: bool = True
    replies_pass: bool = True
    connects: bool = True
    cut_after: int | None = None


CALM = Weather()
BLACK_HOLE = Weather(requests_pass=False, replies_pass=False)
NO_REPLIES = Weather(replies_pass=False)
REFUSING = Weather(connects=False)


class ChaosProxy:
    """A way to `target` (`host:port`, or the path of a unix socket) with weather; an async context manager.

    `applies`: tells by the first bytes that a caller says whether the weather is for it.
    """

    def __init__(self, target: str, *, seed: int = 0, applies: Callable[[bytes], bool] = lambda _: True) -> None:
        self.target = target
        self.applies = applies
        self.port = 0
        self.dice = random.Random(seed)
        self._weather = CALM
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def weather(self) -> Weather:
        """What happens now."""
        return self._weather

    @weather.setter
    def weather(self, weather: Weather) -> None:
        self._weather = weather
        for pair in list(self._pairs):
            pair.replied = 0
            if pair.lost_bytes and weather.requests_pass and weather.replies_pass:
                pair.reset()
        if not weather.connects:
            self.reset()

    @property
    def open_connections(self) -> int:
        """Connections through the proxy now."""
        return len(self._pairs)

    def reset(self) -> int:
        """Resets all connections that are open; how many."""
        pairs = list(self._pairs)
        for pair in pairs:
            pair.reset()
        return len(pairs)

    async def __aenter__(self) -> Self:
        """Begins to listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends all connections."""
        assert self._server is not None, "it has been entered"
        self._server.close()
        self.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = _Pair(self, writer)
        self._pairs.add(pair)
        try:
            if not self._weather.connects:
                return
            far_reader, pair.far = await self._connect()
            ways = (_Way(pair, pair.far, replies=False), _Way(pair, writer, replies=True))
            pumps = [
                asyncio.create_task(way.pump(source)) for way, source in zip(ways, (reader, far_reader), strict=True)
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            return  # nobody listens behind it: the caller is reset
        finally:
            pair.reset()
            self._pairs.discard(pair)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.target.startswith("/"):
            return await asyncio.open_unix_connection(self.target)
        host, _, port = self.target.rpartition(":")
        return await asyncio.open_connection(host, int(port))


class _Pair:
    """The two ends of a connection through the proxy."""

    def __init__(self, proxy: ChaosProxy, near: asyncio.StreamWriter) -> None:
        self.proxy = proxy
        self.near = near
        self.far: asyncio.StreamWriter | None = None
        self.lost_bytes = False
        self.replied = 0
        self._opening = b""

    @property
    def weather(self) -> Weather:
        """What happens to this connection."""
        return self.proxy.weather if self.proxy.applies(self._opening) else CALM

    def hear(self, chunk: bytes) -> None:
        """What the caller says."""
        if len(self._opening) < OPENING_BYTES:
            self._opening += chunk

    def reset(self) -> None:
        for writer in (self.near, self.far):
            if writer is None or writer.transport.is_closing():
                continue
            end = writer.get_extra_info("socket")
            if end.family != socket.AF_UNIX:
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
            writer.transport.abort()


class _Way:
    """One way of a connection. Chunks leave in the order in which they came, whatever their delays are."""

    def __init__(self, pair: _Pair, out: asyncio.StreamWriter, *, replies: bool) -> None:
        self._pair = pair
        self._out = out
        self._replies = replies
        self._due = 0.0
        self._waiting: deque[bytes] = deque()

    async def pump(self, source: asyncio.StreamReader) -> None:
        """Carries until the source ends; what still waits then is delivered first."""
        with contextlib.suppress(ConnectionError):
            while chunk := await source.read(CHUNK_BYTES):
                self._take(chunk)
                await self._out.drain()
        while self._waiting:  # noqa: ASYNC110 - each turn waits for the moment that is known, not for news
            await asyncio.sleep(max(0.001, self._due - asyncio.get_running_loop().time()))

    def _take(self, chunk: bytes) -> None:
        if not self._replies:
            self._pair.hear(chunk)
        weather, loop = self._pair.weather, asyncio.get_running_loop()
        if not (weather.replies_pass if self._replies else weather.requests_pass):
            self._pair.lost_bytes = True
            return
        wait_s = weather.delay_s + weather.jitter_s * self._pair.proxy.dice.random()
        if weather.bytes_per_s:
            wait_s += len(chunk) / weather.bytes_per_s
        if not wait_s and not self._waiting:
            self._deliver(chunk)
            return
        self._due = max(self._due, loop.time() + wait_s)
        self._waiting.append(chunk)
        loop.call_at(self._due, lambda: self._deliver(self._waiting.popleft()))

    def _deliver(self, chunk: bytes) -> None:
        cut_after = self._pair.weather.cut_after
        if self._replies and cut_after is not None:
            self._pair.replied += len(chunk)
            if self._pair.replied >= cut_after:
                chunk = chunk[: max(0, len(chunk) - (self._pair.replied - cut_after))]
                if not self._out.transport.is_closing():
                    self._out.write(chunk)
                self._pair.reset()
                return
        if not self._out.transport.is_closing():
            self._out.write(chunk)
