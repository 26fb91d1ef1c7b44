"""Delivers notices to the webhook: at least once, each with the same id in all attempts, in no particular order.

An attempt is written down before it is made, with the instant of the next one: a process that dies in it, or cannot write what came of it,
makes the next attempt at that instant. Attempts run beside the ledger; nothing waits for the receiver.
"""

import asyncio
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import structlog
from sqlalchemy import ColumnElement, and_, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.days import DAY_MS, HOUR_MS
from gateway.ledger import schema
from gateway.ledger.database import Database
from gateway.ledger.lease import Lease
from gateway.ledger.webhook import Answer, Result, Webhook


FIRST_RETRY_MS = 5_000
LAST_RETRY_MS = HOUR_MS
JITTER = 0.2
"""So much may be added to a pause, that what failed together is not tried again together."""
RETRIED_MS = 3 * DAY_MS
"""So long after it was made a notice is tried."""
IN_FLIGHT = 8
KEPT_MS = 90 * DAY_MS
"""So long after it was made a notice is kept, delivered or not."""

_TABLE = schema.deliveries

_log = structlog.get_logger("gateway.ledger")

OPEN = and_(_TABLE.c.delivered_ms.is_(None), _TABLE.c.due_ms < _TABLE.c.made_ms + RETRIED_MS)
"""Neither delivered nor given up."""
GIVEN_UP = and_(_TABLE.c.delivered_ms.is_(None), _TABLE.c.due_ms >= _TABLE.c.made_ms + RETRIED_MS)


def pause_ms(attempt: int, jitter: float) -> int:
    """How long after an attempt (the first is 1) the next one comes; `jitter` is 0 to 1."""
    pause: int = min(FIRST_RETRY_MS * 2 ** min(attempt - 1, 30), LAST_RETRY_MS)
    return round(pause * (1 + JITTER * jitter))


class _Attempt(NamedTuple):
    id: str
    body: str
    next_ms: int
    """The next attempt, if this one fails."""
    is_last: bool


class Deliveries:
    """`run_once` starts what is due and writes down what came of what has ended; it waits for the database only."""

    def __init__(self, database: Database, lease: Lease, webhook: Webhook, *, in_flight: int = IN_FLIGHT) -> None:
        self._database = database
        self._lease = lease
        self._webhook = webhook
        self._in_flight_max = in_flight
        self._running: dict[str, asyncio.Task[Answer]] = {}
        self._attempts: dict[str, _Attempt] = {}
        self._random = random.Random()  # noqa: S311 - spreads retries
        self._pruned_ms = 0
        self._is_failing = False

    async def run_once(self, now_ms: int) -> int:
        """How many attempts were started.

        Raises:
            LedgerUnavailable: nothing was started; what came of earlier attempts is written down the next time.
            LeaseLost: somebody else writes, and delivers.
        """
        ended = {id_: _answer_of(task) for id_, task in self._running.items() if task.done()}
        room = self._in_flight_max - len(self._running) + len(ended)
        async with self._database.reading() as connection:
            due = await self._due(connection, now_ms, room)
        prune = now_ms - self._pruned_ms >= DAY_MS
        if not ended and not due and not prune:
            return 0
        async with self._database.writing() as connection:
            await self._lease.hold(connection)
            await self._put_answers(connection, ended, now_ms)
            attempts = [self._attempt(row, now_ms) for row in due]
            await _put_attempts(connection, attempts)
            if prune:
                await connection.execute(_TABLE.delete().where(_TABLE.c.made_ms < now_ms - KEPT_MS))
                self._pruned_ms = now_ms
        self._tell(ended)
        for id_ in ended:
            del self._running[id_], self._attempts[id_]
        for attempt in attempts:
            self._attempts[attempt.id] = attempt
            self._running[attempt.id] = asyncio.create_task(
                self._webhook.post(attempt.id, attempt.body.encode(), now_ms), name=f"deliver {attempt.id}"
            )
        return len(attempts)

    @property
    def in_flight(self) -> int:
        """Attempts that were started, and of which it is not written down yet what came of them."""
        return len(self._running)

    async def close(self) -> None:
        """Drops the attempts that are under way; they are made again when they are due."""
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        self._running.clear()
        self._attempts.clear()
        await self._webhook.close()

    async def _due(self, connection: AsyncConnection, now_ms: int, room: int) -> Sequence[Any]:
        if room <= 0:
            return ()
        columns = (_TABLE.c.id, _TABLE.c.body, _TABLE.c.attempts, _TABLE.c.made_ms)
        wanted: list[ColumnElement[bool]] = [OPEN, _TABLE.c.due_ms <= now_ms]
        if self._running:
            wanted.append(_TABLE.c.id.not_in(list(self._running)))
        found = await connection.execute(
            select(*columns).where(*wanted).order_by(_TABLE.c.due_ms, _TABLE.c.id).limit(room)
        )
        return found.all()

    def _attempt(self, row: Any, now_ms: int) -> _Attempt:
        next_ms = now_ms + pause_ms(row.attempts + 1, self._random.random())
        return _Attempt(row.id, row.body, next_ms, next_ms >= row.made_ms + RETRIED_MS)

    async def _put_answers(self, connection: AsyncConnection, ended: dict[str, Answer], now_ms: int) -> None:
        for id_, answer in ended.items():
            values: dict[str, object] = {"failure": self._failure(id_, answer)}
            if answer.result is Result.TAKEN:
                values = {"delivered_ms": now_ms, "failure": None}
            elif answer.result is Result.GONE:
                values["due_ms"] = _TABLE.c.made_ms + RETRIED_MS
            await connection.execute(_TABLE.update().where(_TABLE.c.id == id_).values(**values))

    def _failure(self, id_: str, answer: Answer) -> str:
        return f"given up: {answer.why}" if self._gives_up(id_, answer) else answer.why

    def _gives_up(self, id_: str, answer: Answer) -> bool:
        return answer.result is Result.GONE or (answer.result is Result.FAILED and self._attempts[id_].is_last)

    def _tell(self, ended: dict[str, Answer]) -> None:
        """Logs when the webhook begins to fail, when it takes notices again, and what is given up."""
        for id_, answer in ended.items():
            fails = answer.result is not Result.TAKEN
            if fails and not self._is_failing:
                _log.warning("webhook.failing", notice=id_, failure=answer.why)
            elif self._is_failing and not fails:
                _log.info("webhook.recovered")
            self._is_failing = fails
            if self._gives_up(id_, answer):
                _log.error("notice.given_up", notice=id_, failure=answer.why)


def _answer_of(task: asyncio.Task[Answer]) -> Answer:
    error = task.exception()
    return task.result() if error is None else Answer(Result.FAILED, f"the attempt failed: {type(error).__name__}")


async def _put_attempts(connection: AsyncConnection, attempts: Sequence[_Attempt]) -> None:
    if attempts:
        await connection.execute(
            _TABLE.update()
            .where(_TABLE.c.id == bindparam("of_id"))
            .values(attempts=_TABLE.c.attempts + 1, due_ms=bindparam("next_ms")),
            [{"of_id": attempt.id, "next_ms": attempt.next_ms} for attempt in attempts],
        )
