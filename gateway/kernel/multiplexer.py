"""Many calls under way on one transport: one write per turn of the event loop, answers in order, nothing sent twice.

A call that is not answered in time is given up by its caller and stays in the queue, so that later answers still meet their calls. Nothing is
sent again but after NOSCRIPT, which says that nothing was executed.

The circuit breaker counts no failures. As long as a call has waited for its answer longer than BREAKER_S, further calls are refused at once:
they could only wait behind it. The calls under way are the probe; when their answers come, calls are taken again.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import hiredis

from gateway.kernel.errors import OutcomeUnknown, StoreUnavailable, reply_error
from gateway.kernel.scripts import Script


CALLS_MAX = 20_000
"""Calls under way at one time; more are refused at once, because waiting longer helps nobody."""

BREAKER_S = 0.25
"""The longest that an impatient call may wait unanswered before further calls are refused."""

PATIENT_S = 1.0
"""A call that may take longer is a report. It does not open the breaker: a decision behind it does, if it waits too long."""

SILENCE_MAX_S = 2.0
"""A connection on which nothing came for so long, though something is unanswered, is given up."""

SWEEP_S = 0.02
SWEEPS_MIN = 2


class StallObserver(Protocol):
    """Who is told that the breaker has opened or closed."""

    def store_stalled(self, seconds: float) -> None:
        """For so long a call has been waiting; further ones are refused."""

    def store_answers(self) -> None:
        """That is over: answers came, or the connection was given up."""


class Call:
    """A script with its keys and arguments, or (no script) the parts of a command as `args`. Kept whole, so that it can be sent elsewhere."""

    __slots__ = ("args", "asking", "expires", "future", "keys", "reloaded", "script", "sendings", "sent", "timeout_s")

    def __init__(self, script: Script | None, keys: tuple[bytes, ...], args: Sequence[Any], timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self.script = script
        self.keys = keys
        self.args = args
        self.timeout_s = timeout_s
        self.expires = now + timeout_s
        self.future: asyncio.Future[Any] = loop.create_future()
        self.sent = now
        self.sendings = 0
        """How often a cluster has sent it on."""
        self.asking = False
        """The node has the slot only for those who ask (ASKING)."""
        self.reloaded = False
        """Its script was loaded again; it is not a second time."""

    def packed(self, run_id: str) -> bytes:
        """What is written to the server with this run_id: a script learns from its first argument whom it runs on."""
        if self.script is None:
            return packed(*self.args)
        return packed(b"EVALSHA", self.script.sha, len(self.keys), *self.keys, run_id, *self.args)

    def fail(self, error: Exception) -> None:
        """Ends it, unless it has ended."""
        if not self.future.done():
            self.future.set_exception(error)


class Multiplexer(asyncio.Protocol):
    """Calls and answers on one transport to the server with `run_id`.

    `on_refused` gets the error replies first; true means that it has taken the call over. `on_lost` is called once, with the reason.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        run_id: str,
        on_refused: Callable[[Call, str], bool],
        on_lost: Callable[["Multiplexer", str], None],
        observer: StallObserver,
    ) -> None:
        self._transport = transport
        self._run_id = run_id
        self._on_refused = on_refused
        self._on_lost = on_lost
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._calls: deque[Call] = deque()
        self._writes: list[bytes] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._heard = 0.0
        self._sweeps_unheard = 0
        self._is_late = False
        self._is_stalled = False
        self._is_over = False

    def send(self, call: Call) -> None:
        """Writes it in this turn of the loop. Raises StoreUnavailable where the breaker is open or too much is under way."""
        if self._is_stalled:
            raise StoreUnavailable(f"the store has not answered for {BREAKER_S} s")
        if self._is_over:
            raise StoreUnavailable("the connection was lost")
        if len(self._calls) >= CALLS_MAX:
            raise StoreUnavailable(f"more than {CALLS_MAX} calls under way")
        if call.asking:
            self._enqueue(self._silent(call, b"ASKING"))
        self._enqueue(call)

    def resend(self, call: Call) -> None:
        """Sends a call whose answer said that it was not executed. Where that cannot be, it ends with StoreUnavailable."""
        try:
            self.send(call)
        except StoreUnavailable as error:
            call.fail(error)

    def abort(self, reason: str) -> None:
        """Gives the connection up: calls under way get OutcomeUnknown, and `on_lost` is called."""
        self._end(reason)
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Gives each answer to the call that has waited longest."""
        self._heard, self._sweeps_unheard = self._loop.time(), 0
        self._reader.feed(data)
        while (answer := self._reader.gets()) is not False:
            if not self._calls:  # given up in the middle, or nobody asked: later calls must not get it
                self.abort("an answer without a call")
                return
            call = self._calls.popleft()
            if isinstance(answer, hiredis.ReplyError):
                self._refused(call, str(answer))
            elif not call.future.done():
                call.future.set_result(answer)
        if self._is_stalled and self._waiting_s() <= BREAKER_S:
            self._answers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Whatever is unanswered stays unknown."""
        self._end(str(exc or "closed by the store"))

    def _end(self, reason: str) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for call in self._calls:
            call.fail(OutcomeUnknown(f"connection lost: {reason}"))
        self._calls.clear()
        if self._is_stalled:
            self._answers()
        self._on_lost(self, reason)

    def _enqueue(self, call: Call) -> None:
        written = call.packed(self._run_id)  # first: what cannot be packed must leave no call that waits for an answer
        call.sent = self._loop.time()
        if not self._calls:
            self._heard, self._sweeps_unheard = call.sent, 0
        self._calls.append(call)
        if not self._writes:
            self._loop.call_soon(self._flush)
        self._writes.append(written)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)

    def _refused(self, call: Call, message: str) -> None:
        if call.script is not None and message.startswith("NOSCRIPT") and not (call.reloaded or call.future.done()):
            call.reloaded = True
            self._enqueue(self._silent(call, b"SCRIPT", b"LOAD", call.script.source))
            self.resend(call)
        elif not self._on_refused(call, message):
            call.fail(reply_error(message))

    def _silent(self, call: Call, *parts: bytes) -> Call:
        """A command that goes ahead of a call, and whose answer nobody needs."""
        ahead = Call(None, (), parts, call.timeout_s)
        ahead.future.add_done_callback(lambda future: future.cancelled() or future.exception())
        return ahead

    def _flush(self) -> None:
        writes, self._writes = self._writes, []
        if not self._transport.is_closing():
            self._transport.write(b"".join(writes))

    def _sweep(self) -> None:
        """Ends calls whose time is over, opens the breaker, and gives a silent connection up.

        The latter two not at a first look: after a pause of the gateway itself, answers lie unread.
        """
        now = self._loop.time()
        self._sweeps_unheard += 1
        if self._calls and now - self._heard > SILENCE_MAX_S and self._sweeps_unheard >= SWEEPS_MIN:
            self.abort(f"no answer for {SILENCE_MAX_S} s")
            return
        for call in self._calls:
            if now >= call.expires:
                call.fail(OutcomeUnknown("no answer in time"))
        self._sweeper = self._loop.call_later(SWEEP_S, self._sweep) if self._calls else None
        waited_s = self._waiting_s()
        was_late, self._is_late = self._is_late, waited_s > BREAKER_S - SWEEP_S
        if was_late and waited_s > BREAKER_S and not self._is_stalled:
            self._is_stalled = True
            self._observer.store_stalled(waited_s)

    def _waiting_s(self) -> float:
        """How long the oldest impatient call has been waiting; 0 where there is none."""
        for call in self._calls:
            if call.timeout_s <= PATIENT_S:
                return self._loop.time() - call.sent
        return 0.0

    def _answers(self) -> None:
        self._is_stalled = self._is_late = False
        self._observer.store_answers()


def packed(*parts: Any) -> bytes:
    """A command as it is written."""
    written: bytes = hiredis.pack_command(parts)
    return written
