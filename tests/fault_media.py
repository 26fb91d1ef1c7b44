"""Simulated media servers: each joins, confirms, holds and releases legs of its own, beats, and knows in truth which of its legs are live.

They speak plain HTTP through connections of their own, so that a test can repeat, reorder and cut what they send. What they ask and hear goes
to a `History`.
"""

import asyncio
import contextlib
import dataclasses
import itertools
import random
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp
from fault_truth import History
from support import join_data


BEAT_S = 10.0
SOON_S = 1.0
"""After a heartbeat that failed, or told of unknown legs."""
PAGE_IDS_MAX = 5_000
REQUEST_S = 1.0
PAUSE_S = 0.05
RELEASES_AGAIN_S = 0.5
UNAVAILABLE = 503
ANSWERED = 500
"""A status below it is an answer; one from it on is none, but for the 503 of a customer whose policy is to refuse."""

NO_ANSWER = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a gateway said to a request; `status` 0: nothing within the patience of the media server.

    `after_silence`: an earlier attempt was not answered, and may still be carried out.
    """

    status: int = 0
    body: dict[str, Any] = field(default_factory=dict)
    through: int = -1
    after_silence: bool = False

    @property
    def decision(self) -> str:
        """`admit`, `deny`, or nothing."""
        return str(self.body.get("decision", ""))

    @property
    def reason(self) -> str:
        """Of a decision or a problem."""
        return str(self.body.get("reason", ""))


class MediaServer:
    """A media server `node` that calls the gateways behind `doors` (URLs), the first that works; `gateways` are their numbers in the history.

    `patience_s`: how long it asks for one answer, with the same id. `beat_s`: pause between heartbeats; None: it never beats.
    """

    def __init__(
        self,
        node: str,
        doors: Sequence[str],
        history: History,
        *,
        patience_s: float = 2.0,
        beat_s: float | None = BEAT_S,
        token: str | None = None,
        gateways: Sequence[int] = (),
        seed: int = 0,
    ) -> None:
        self.node = node
        self.doors = list(doors)
        self.gateways = list(gateways) or list(range(len(doors)))
        self.history = history
        self.patience_s = patience_s
        self.beat_s = beat_s
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.dice = random.Random(f"{seed} {node}")
        self.legs: dict[tuple[str, str], dict[str, Any]] = {}
        self.beats_answered = 0
        self.adopted = 0
        self._soon = False
        self._numbers = itertools.count()
        self._door = 0
        self._work: set[asyncio.Task[Any]] = set()
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Opens its connections and begins to beat."""
        timeout = aiohttp.ClientTimeout(total=REQUEST_S)
        connector = aiohttp.TCPConnector(limit=0)
        self._http = aiohttp.ClientSession(connector=connector, timeout=timeout, headers=self.headers)
        if self.beat_s is not None:
            self.spawn(self._beat_for_ever(self.beat_s))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes; legs that are live end, untold, as at a crash."""
        await self.crash()

    async def crash(self) -> int:
        """Everything it does and knows ends at once, its legs with it; how many."""
        for task in self._work:
            task.cancel()
        ended = len(self.legs)
        for customer, connection in list(self.legs):
            self.end_quietly(customer, connection)
        await asyncio.gather(*self._work, return_exceptions=True)
        self._work.clear()
        if self._http is not None:
            await self._http.close()
            self._http = None
        return ended

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Does something besides, until it is done or the media server ends."""
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return task

    async def load_until(
        self,
        over: asyncio.Event,
        customers: Sequence[str],
        joins_per_s: float,
        *,
        hold_s: tuple[float, float] = (0.4, 1.6),
    ) -> None:
        """Joins at that rate until it is over, or the media server is; each is held for a time between the two.

        Returns when all calls have ended and were told.
        """
        began, calls = time.monotonic(), set[asyncio.Task[Answer]]()
        for number in itertools.count():
            await asyncio.sleep(max(0.0, began + number / joins_per_s - time.monotonic()))
            if over.is_set() or self._http is None:
                break
            call = self.spawn(self.call(self.dice.choice(customers), self.dice.uniform(*hold_s)))
            calls.add(call)
            call.add_done_callback(calls.discard)
        await asyncio.gather(*calls, return_exceptions=self._http is None)

    async def call(self, customer: str, hold_s: float) -> Answer:
        """A whole call: join, hold, end, release."""
        connection, answer = await self.join(customer)
        if (customer, connection) in self.legs:
            await asyncio.sleep(hold_s)
            await self.end(customer, connection)
        return answer

    async def join(self, customer: str, connection: str = "", **fields: Any) -> tuple[str, Answer]:
        """Asks for a seat. A leg that was let in is live, and confirmed besides; one that may have a seat nobody knows of is released besides.

        That is where no answer came, and where one gateway did not answer and another refused: the first may still be at it.
        """
        connection = connection or f"{self.node}-{next(self._numbers)}"
        meeting = fields.pop("meeting", f"m{self.dice.randrange(5)}")
        body = join_data(connection, meeting, customer=customer, node=self.node, **fields)
        answer = await self.ask("admit", customer, connection, "/v1/admit", {**body, "deadline_ms": 1000})
        if answer.decision == "admit":
            self.takes(customer, connection, body, reason=answer.reason)
            self.spawn(self.confirm(customer, connection))
        elif not answer.status or answer.after_silence:
            self.spawn(self.release_until_known(customer, connection))
        return connection, answer

    async def confirm(self, customer: str, connection: str) -> Answer:
        """Tells that a leg is connected."""
        body = self.legs.get((customer, connection))
        if body is None:
            return Answer()
        answer = await self.ask("confirm", customer, connection, "/v1/confirm", body)
        self.adopted += answer.body.get("result") == "adopted"
        if answer.body.get("drop"):
            self.end_quietly(customer, connection)
        elif (customer, connection) not in self.legs:
            self.spawn(self.release_until_known(customer, connection))  # it has ended while it was confirmed
        return answer

    async def end(self, customer: str, connection: str) -> None:
        """A call hangs up; its seat is given back as soon as a gateway answers."""
        self.end_quietly(customer, connection)
        await self.release_until_known(customer, connection)

    def takes(self, customer: str, connection: str, body: dict[str, Any], *, reason: str = "") -> None:
        """A leg is live from now on."""
        self.legs[customer, connection] = body
        self._note("live", customer, connection, reason=reason)

    def end_quietly(self, customer: str, connection: str) -> None:
        """A call ends, and nobody is told."""
        if self.legs.pop((customer, connection), None) is not None:
            self._note("ended", customer, connection)

    async def release_until_known(self, customer: str, connection: str) -> Answer:
        """Gives a seat back, and asks again until it is known that it is."""
        body = {"customer": customer, "connection": connection, "node": self.node}
        while True:
            answer = await self.ask("release", customer, connection, "/v1/release", body)
            if 0 < answer.status < ANSWERED:
                return answer
            await asyncio.sleep(RELEASES_AGAIN_S * self.dice.random())

    async def ask(self, operation: str, customer: str, connection: str, path: str, body: dict[str, Any]) -> Answer:
        """The answer to a request, which is sent again with the same id, to the next gateway, where none came."""
        self._note("invoke", customer, connection, operation=operation)
        answer = await self._answer(path, body)
        self._note(
            "ok" if answer.status else "unknown", customer, connection, operation=operation, status=answer.status,
            decision=answer.decision, reason=answer.reason or str(answer.body.get("result", "")), through=answer.through,
        )  # fmt: skip
        return answer

    async def _answer(self, path: str, body: dict[str, Any]) -> Answer:
        until, silence = time.monotonic() + self.patience_s, False
        while True:
            at = self._door
            with contextlib.suppress(*NO_ANSWER):
                answer = await self.post(at, path, body)
                if answer.status < ANSWERED or answer.status == UNAVAILABLE:
                    return dataclasses.replace(answer, after_silence=silence)
                leg = str(body.get("customer", "")), str(body.get("connection", ""))
                self._note("failed", *leg, operation=path, status=answer.status, through=self.gateways[at])
            silence = True
            if self._door == at:
                self._door = (at + 1) % len(self.doors)
            if time.monotonic() + PAUSE_S >= until:
                return Answer()
            await asyncio.sleep(PAUSE_S * (1 + self.dice.random()))

    async def post(self, door: int, path: str, body: dict[str, Any]) -> Answer:
        """One request, sent once. Raises what is in `NO_ANSWER`."""
        assert self._http is not None, "it is open"
        async with self._http.post(self.doors[door] + path, json=body) as response:
            said = await response.json(content_type=None)
            return Answer(response.status, said if isinstance(said, dict) else {}, self.gateways[door])

    async def beat(self) -> bool:
        """One heartbeat, in pages, with the confirmations that the answer asks for; whether all of it was answered."""
        listed = list(self.legs)
        pages = [listed[at : at + PAGE_IDS_MAX] for at in range(0, len(listed), PAGE_IDS_MAX)] or [[]]
        for number, page in enumerate(pages, 1):
            connections: dict[str, list[str]] = {}
            for customer, connection in page:
                connections.setdefault(customer, []).append(connection)
            body = {"connections": connections, "page": number, "pages": len(pages)}
            sent = time.monotonic()
            answer = await self._answer(f"/v1/nodes/{self.node}/heartbeat", body)
            if answer.status != 200:
                return False
            await self._heed(page, answer, sent)
        self.beats_answered += 1
        return True

    async def _heed(self, page: list[tuple[str, str]], answer: Answer, sent: float) -> None:
        unknown = _named(answer.body.get("unknown", {}))
        self._soon = self._soon or bool(unknown)
        for customer, connection in _named(answer.body.get("drop", {})):
            self.end_quietly(customer, connection)
        for customer, connection in page:
            if (customer, connection) not in unknown:
                self.history.add("beat", self.node, customer, connection, at=sent)
        at_once = asyncio.Semaphore(32)

        async def confirm(customer: str, connection: str) -> None:
            async with at_once:
                await self.confirm(customer, connection)

        await asyncio.gather(*[confirm(*leg) for leg in unknown])

    async def _beat_for_ever(self, beat_s: float) -> None:
        await asyncio.sleep(beat_s * self.dice.random())
        while True:
            began = time.monotonic()
            self._soon = False
            whole = await self.beat() and not self._soon
            pause_s = beat_s if whole else min(beat_s, SOON_S)
            await asyncio.sleep(max(0.05, pause_s - (time.monotonic() - began)))

    def _note(self, what: Any, customer: str, connection: str, **more: Any) -> None:
        self.history.add(what, self.node, customer, connection, **more)


def _named(ids: dict[str, list[str]]) -> set[tuple[str, str]]:
    return {(customer, connection) for customer, listed in ids.items() for connection in listed}
