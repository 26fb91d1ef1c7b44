"""One process of the load generator: `python -m benchmarks.sender`, a plan as JSON on standard input, what it saw as JSON on standard output.

Closed loop: each connection asks again as soon as it has its answer; that finds the peak. Open loop: requests are due at random instants that
do not depend on the answers, and latency counts from the instant at which a request was due, so that a server that stalls is charged for all
that would have been asked meanwhile. How late this process itself was is kept apart (`lag`): where it is large, the latencies are its own.

Sleeping is by `select`, because the loops that use `epoll`, uvloop too, wake on whole milliseconds only.
"""

import asyncio
import contextlib
import gc
import json
import random
import selectors
import sys
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import msgspec
from hdrh.histogram import HdrHistogram

from benchmarks.traffic import Exchange, Traffic


HIGHEST_US = 60_000_000
DIGITS = 3
DRAIN_S = 5.0
"""How long answers that are still due are waited for at the end."""


class Plan(msgspec.Struct, frozen=True):
    """What one process sends. `begin` and `end` are by the system's monotonic clock; what is due before `count_from` is not counted."""

    host: str
    port: int
    connections: int
    begin: float
    count_from: float
    end: float
    prefix: str
    customers: int
    live: int
    rate: float | None = None
    """Requests per second; None: closed loop."""


class Histograms:
    """Latencies of admits and releases, and the generator's own lag, in microseconds."""

    def __init__(self) -> None:
        self.by_kind = {kind: HdrHistogram(1, HIGHEST_US, DIGITS) for kind in ("admit", "release", "lag")}

    def record(self, kind: str, seconds: float) -> None:
        """Counts one."""
        self.by_kind[kind].record_value(min(max(int(seconds * 1e6), 1), HIGHEST_US))

    def encoded(self) -> dict[str, str]:
        """As text that another process can add up."""
        return {kind: histogram.encode().decode() for kind, histogram in self.by_kind.items()}


class Connection(asyncio.Protocol):
    """One keep-alive connection with one request at a time. Reads what this server writes: a Content-Length in every answer."""

    def __init__(self, on_answer: Callable[["Connection", Exchange, int, bytes], None]) -> None:
        self._on_answer = on_answer
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._buffer = b""
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, exchange: Exchange) -> None:
        """Asks."""
        assert self._transport is not None, "it is connected"
        self._exchange = exchange
        self._transport.write(exchange.payload)

    def data_received(self, data: bytes) -> None:
        """Waits for the end of the answer, then passes it on."""
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        exchange, self._exchange, self._buffer = self._exchange, None, b""
        assert exchange is not None, "an answer follows a request"
        self._on_answer(self, exchange, int(head[9:12]), body)

    def connection_lost(self, exc: Exception | None) -> None:
        """Answers the request under way with status 0."""
        self.is_lost = True
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self._on_answer(self, exchange, 0, b"connection lost")

    def close(self) -> None:
        """Ends the connection."""
        if self._transport is not None:
            self._transport.close()


class Sender:
    """Carries out a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._traffic = Traffic(plan.prefix, plan.customers, plan.live)
        self._histograms = Histograms()
        self._connections: list[Connection] = []
        self._idle: list[Connection] = []
        self._backlog: deque[Exchange] = deque()
        self._answers: Counter[str] = Counter()
        self._under_way = 0
        self._drained = asyncio.Event()
        self._waited_for_connection = 0
        self._loop = asyncio.get_running_loop()

    async def run(self) -> dict[str, Any]:
        """Sends from `begin` to `end`; what was seen."""
        plan = self._plan
        for _ in range(plan.connections):
            _, connection = await self._loop.create_connection(lambda: Connection(self._answered), plan.host, plan.port)
            self._connections.append(connection)
        self._idle = list(self._connections)
        gc.collect()
        gc.freeze()
        gc.disable()  # its pauses would be taken for the server's
        await asyncio.sleep(plan.begin - self._loop.time())
        await (self._closed_loop() if plan.rate is None else self._open_loop(plan.rate))
        self._drained.clear()  # it may have been set between two requests
        if self._under_way:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._drained.wait(), DRAIN_S)
        for connection in self._connections:
            connection.close()
        return {
            "answers": dict(self._answers),
            "unanswered": self._under_way,
            "live": self._traffic.live,
            "waited_for_connection": self._waited_for_connection,
            "histograms": self._histograms.encoded(),
        }

    async def _closed_loop(self) -> None:
        while self._idle:
            self._ask(self._idle.pop(), self._traffic.next(self._loop.time()))
        await asyncio.sleep(self._plan.end - self._loop.time())

    async def _open_loop(self, rate: float) -> None:
        chance = random.Random(self._plan.prefix)
        due = self._plan.begin
        while (due := due + chance.expovariate(rate)) < self._plan.end:
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            exchange = self._traffic.next(due)
            if due >= self._plan.count_from:
                self._histograms.record("lag", self._loop.time() - due)
            if self._idle:
                self._ask(self._idle.pop(), exchange)
            else:
                self._waited_for_connection += 1
                self._backlog.append(exchange)

    def _ask(self, connection: Connection, exchange: Exchange) -> None:
        self._under_way += 1
        connection.send(exchange)

    def _answered(self, connection: Connection, exchange: Exchange, status: int, body: bytes) -> None:
        now = self._loop.time()
        self._under_way -= 1
        told = self._traffic.answered(exchange, status, body)
        # By when it was due, where the rate is given; by when it was answered, where the rate is what is sought.
        if self._plan.count_from <= (now if self._plan.rate is None else exchange.due) < self._plan.end:
            self._answers[told] += 1
            self._histograms.record(exchange.kind, now - exchange.due)
        if connection.is_lost:
            pass
        elif self._backlog:
            self._ask(connection, self._backlog.popleft())
        elif self._plan.rate is None and now < self._plan.end:
            self._ask(connection, self._traffic.next(now))
        else:
            self._idle.append(connection)
        if not self._under_way:
            self._drained.set()


def main() -> None:
    """Reads a plan, carries it out, prints what was seen."""
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)

    async def run() -> dict[str, Any]:
        return await Sender(plan).run()

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        print(json.dumps(runner.run(run())))


if __name__ == "__main__":
    main()
