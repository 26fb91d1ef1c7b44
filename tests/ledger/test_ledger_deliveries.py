import asyncio
import base64
import hashlib
import hmac
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from redis_processes import free_port
from sqlalchemy import select
from structlog.testing import capture_logs

from gateway.domain.days import DAY_MS, HOUR_MS
from gateway.ledger import schema
from gateway.ledger.database import Database
from gateway.ledger.deliveries import GIVEN_UP, RETRIED_MS, Deliveries, pause_ms
from gateway.ledger.lease import Lease, LeaseLost
from gateway.ledger.status import read_status
from gateway.ledger.webhook import Answer, Result, Webhook, checked_url, signature, signing_key


NOW_MS = 1_795_204_800_000
KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
WITHIN_S = 10.0


class Receiver:
    """A real HTTP server that is told notices; `answers` says with which status, in turn, then 204."""

    def __init__(self) -> None:
        self.port = free_port()
        self.answers: list[int] = []
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.hold = asyncio.Event()
        """While it is not set, nothing is answered."""
        self.hold.set()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hook"

    async def start(self) -> None:
        """Listens."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        """Goes away."""
        self.hold.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _take(self, request: web.Request) -> web.Response:
        self.taken.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        await self.hold.wait()
        status = self.answers.pop(0) if self.answers else 204
        return web.Response(status=status, headers={"location": "/elsewhere"} if status in {302, 307} else {})


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Listens until the test is over."""
    made = Receiver()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def lease(ledger_database: Database) -> Lease:
    """Held."""
    held = Lease("test")
    assert await held.acquire(ledger_database)
    return held


Deliver = Callable[..., Deliveries]


@pytest.fixture
async def deliver(ledger_database: Database, lease: Lease, receiver: Receiver) -> AsyncIterator[Deliver]:
    """Makes deliveries, each as a new process would have them."""
    made: list[Deliveries] = []

    def make(timeout_s: float = 5.0, **options: Any) -> Deliveries:
        made.append(Deliveries(ledger_database, lease, Webhook(receiver.url, SECRET, timeout_s), **options))
        return made[-1]

    yield make
    receiver.hold.set()
    for each in made:
        await each.close()


async def put(database: Database, *ids: str, made_ms: int = NOW_MS) -> None:
    """Notices that wait."""
    rows = [
        {
            "id": id_, "kind": "usage.overage_began", "customer": "acme", "body": json.dumps({"id": id_}), "made_ms": made_ms,
            "due_ms": made_ms, "attempts": 0, "delivered_ms": None, "failure": None,
        }
        for id_ in ids
    ]  # fmt: skip
    async with database.writing() as connection:
        await connection.execute(schema.deliveries.insert(), rows)


async def rows(database: Database) -> dict[str, Any]:
    """What is written of each notice."""
    async with database.reading() as connection:
        return {row.id: row for row in await connection.execute(select(schema.deliveries))}


async def until(condition: Callable[[], Awaitable[bool]] | Callable[[], bool]) -> None:
    """Waits until it is so, within a bound."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            found = condition()
            if await found if isinstance(found, Awaitable) else found:
                return
            await asyncio.sleep(0.005)


async def settle(deliveries: Deliveries, now_ms: int = NOW_MS) -> None:
    """Starts what is due, and waits until it is written down what came of it."""

    async def is_idle() -> bool:
        return await deliveries.run_once(now_ms) == 0 and deliveries.in_flight == 0

    await until(is_idle)


def test_the_signature_is_that_of_the_published_vector() -> None:
    """As every library of Standard Webhooks computes it."""
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

    assert "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" == signature(
        key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "password", "whsec_!!!", "whsec_c2hvcnQ=", SECRET[6:], "whsec_" + "A" * 120]
)
def test_a_secret_of_another_form_is_refused_and_not_echoed(secret: str) -> None:
    """A receiver's library would compute another key from it, or none."""
    with pytest.raises(ValueError, match=r"^is not whsec_ and the base64 of 24 to 64 bytes$"):
        signing_key(secret)


@pytest.mark.parametrize("url", ["", "hook", "ftp://127.0.0.1/", "http://", "http://[", "file:///etc/passwd"])
def test_a_url_of_another_form_is_refused(url: str) -> None:
    """Before anything is sent."""
    with pytest.raises(ValueError, match=r"^is no URL"):
        checked_url(url)


def test_pauses_grow_from_5_seconds_to_an_hour_with_a_fifth_of_jitter() -> None:
    """Doubled each time."""
    assert [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600] == [
        pause_ms(attempt, 0.0) // 1000 for attempt in range(1, 13)
    ]
    assert (6_000, HOUR_MS * 6 // 5) == (pause_ms(1, 1.0), pause_ms(10_000, 1.0))


async def test_a_notice_is_posted_once_and_verifies(
    ledger_database: Database, deliver: Deliver, receiver: Receiver
) -> None:
    """The receiver computes the signature by itself, over the bytes that it got."""
    await put(ledger_database, "acme/ports/overage/2026-11-20")
    deliveries = deliver()

    await settle(deliveries)
    await settle(deliver(), NOW_MS + DAY_MS)

    [(headers, body)] = receiver.taken
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert f"v1,{expected}" == headers["webhook-signature"]
    assert (str(NOW_MS // 1000), "application/json") == (headers["webhook-timestamp"], headers["content-type"])
    assert {"id": headers["webhook-id"]} == json.loads(body)
    row = (await rows(ledger_database))["acme/ports/overage/2026-11-20"]
    assert (NOW_MS, 1, None) == (row.delivered_ms, row.attempts, row.failure)


async def test_a_receiver_that_fails_is_tried_again_when_the_pause_is_over_not_before(
    ledger_database: Database, deliver: Deliver, receiver: Receiver
) -> None:
    """Twice 500, a redirect that is not followed, then taken; with one id and a signature of each attempt."""
    receiver.answers = [500, 500, 307]
    await put(ledger_database, "n1")
    deliveries, now_ms, failures = deliver(), NOW_MS, []
    for attempt in range(1, 5):
        await settle(deliveries, now_ms)
        row = (await rows(ledger_database))["n1"]
        failures.append(row.failure)
        assert attempt == row.attempts
        assert 0 == await deliveries.run_once(row.due_ms - 1)
        now_ms = row.due_ms

    assert ["answered 500", "answered 500", "answered 307", None] == failures
    assert ["n1"] * 4 == [headers["webhook-id"] for headers, _ in receiver.taken]
    assert 4 == len({headers["webhook-signature"] for headers, _ in receiver.taken})


async def test_a_notice_that_was_tried_in_vain_still_waits_and_the_log_says_once_that_the_webhook_fails(
    ledger_database: Database, deliver: Deliver, receiver: Receiver
) -> None:
    """What the metric counts are notices that nobody has got, until they are given up; three failures make two lines, with the recovery."""
    receiver.answers = [500, 500, 500]
    await put(ledger_database, "n1")
    deliveries, now_ms, waiting = deliver(), NOW_MS, []
    with capture_logs() as logged:
        for _ in range(4):
            await settle(deliveries, now_ms)
            waiting.append((await read_status(ledger_database)).deliveries)
            now_ms = (await rows(ledger_database))["n1"].due_ms

    assert [1, 1, 1, 0] == waiting
    assert ["webhook.failing", "webhook.recovered"] == [line["event"] for line in logged]
    assert ("n1", "answered 500") == (logged[0]["notice"], logged[0]["failure"])


async def test_410_gives_up_at_once_and_keeps_why(
    ledger_database: Database, deliver: Deliver, receiver: Receiver
) -> None:
    """It is never tried again; others are."""
    receiver.answers = [410]
    await put(ledger_database, "n1")
    await settle(deliver())
    await put(ledger_database, "n2", made_ms=NOW_MS + 1)
    await settle(deliver(), NOW_MS + 2 * DAY_MS)

    async with ledger_database.reading() as connection:
        given_up = (await connection.execute(select(schema.deliveries).where(GIVEN_UP))).all()
    assert [("n1", "given up: answered 410", 1)] == [(row.id, row.failure, row.attempts) for row in given_up]
    assert ["n1", "n2"] == [headers["webhook-id"] for headers, _ in receiver.taken]


async def test_a_dead_receiver_is_given_up_after_three_days(
    ledger_database: Database, deliver: Deliver, receiver: Receiver
) -> None:
    """Nobody listens; attempts end when the next one would be later than 3 days after the notice was made."""
    await receiver.stop()
    await put(ledger_database, "n1")
    deliveries, now_ms, attempts = deliver(), NOW_MS, 0
    while now_ms < NOW_MS + RETRIED_MS:
        await settle(deliveries, now_ms)
        row = (await rows(ledger_database))["n1"]
        attempts += 1
        assert attempts == row.attempts
        now_ms = row.due_ms
    await receiver.start()
    await settle(deliveries, now_ms + DAY_MS)

    assert row.failure.startswith("given up: cannot connect: ")
    assert 65 <= attempts <= 85
    assert [] == receiver.taken


async def test_a_slow_receiver_holds_up_nobody_and_no_more_than_the_bound_are_under_way(
    ledger_database: Database, deliver: Deliver, receiver: Receiver
) -> None:
    """`run_once` comes back while nothing is answered; what waits goes when there is room."""
    receiver.hold.clear()
    await put(ledger_database, *[f"n{number}" for number in range(7)])
    deliveries = deliver(in_flight=3)
    async with asyncio.timeout(2.0):
        started = [await deliveries.run_once(NOW_MS) for _ in range(3)]
    await until(lambda: len(receiver.taken) == 3)

    assert [3, 0, 0] == started
    assert 0 == await deliveries.run_once(NOW_MS + HOUR_MS)  # overdue, and still under way: not sent beside itself
    receiver.hold.set()
    await settle(deliveries)
    assert 7 == len(receiver.taken)
    assert [1] * 7 == [row.attempts for row in (await rows(ledger_database)).values()]


async def test_a_receiver_that_never_answers_is_left_after_the_timeout(
    ledger_database: Database, deliver: Deliver, receiver: Receiver
) -> None:
    """And is tried again."""
    receiver.hold.clear()
    await put(ledger_database, "n1")
    await settle(deliver(timeout_s=0.2))

    row = (await rows(ledger_database))["n1"]
    assert (None, "no answer within 0.2 s", 1) == (row.delivered_ms, row.failure, row.attempts)


async def test_a_receiver_that_breaks_off_is_tried_again(ledger_database: Database, lease: Lease) -> None:
    """It takes the connection and closes it without an answer."""

    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(break_off, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    deliveries = Deliveries(ledger_database, lease, Webhook(f"http://127.0.0.1:{port}/", SECRET))
    await put(ledger_database, "n1")
    try:
        await settle(deliveries)
    finally:
        await deliveries.close()
        server.close()
        await server.wait_closed()

    assert "the connection failed: ServerDisconnectedError" == (await rows(ledger_database))["n1"].failure


async def test_a_process_that_dies_in_an_attempt_leaves_it_to_the_next_one_at_its_instant(
    ledger_database: Database, deliver: Deliver, receiver: Receiver
) -> None:
    """The receiver has it twice, with one id; nothing is lost, and nothing is sent again at once."""
    receiver.hold.clear()
    await put(ledger_database, "n1")
    killed = deliver()
    assert 1 == await killed.run_once(NOW_MS)
    await until(lambda: len(receiver.taken) == 1)
    await killed.close()
    receiver.hold.set()
    row = (await rows(ledger_database))["n1"]
    assert (None, 1) == (row.delivered_ms, row.attempts)

    next_one = deliver()
    assert 0 == await next_one.run_once(row.due_ms - 1)
    await settle(next_one, row.due_ms)

    assert ["n1", "n1"] == [headers["webhook-id"] for headers, _ in receiver.taken]
    assert row.due_ms == (await rows(ledger_database))["n1"].delivered_ms


async def test_who_has_lost_the_lease_sends_nothing(ledger_database: Database, receiver: Receiver) -> None:
    """The process that holds it delivers; two would tell everything twice."""
    await put(ledger_database, "n1")
    deliveries = Deliveries(ledger_database, Lease("other"), Webhook(receiver.url, SECRET))

    with pytest.raises(LeaseLost):
        await deliveries.run_once(NOW_MS)
    await deliveries.close()
    assert ([], 0) == (receiver.taken, (await rows(ledger_database))["n1"].attempts)


async def test_what_came_of_an_attempt_is_written_down_later_where_the_database_was_away(
    ledger_database: Database, deliver: Deliver, receiver: Receiver, lease: Lease
) -> None:
    """The attempt is not made again."""
    await put(ledger_database, "n1")
    deliveries = deliver()
    assert 1 == await deliveries.run_once(NOW_MS)
    await until(lambda: len(receiver.taken) == 1)
    await lease.release(ledger_database)
    other = Lease("other")
    assert await other.acquire(ledger_database)

    async def refuses() -> bool:
        try:
            await deliveries.run_once(NOW_MS)
        except LeaseLost:
            return True
        return False

    await until(refuses)
    await other.release(ledger_database)
    assert await lease.acquire(ledger_database)
    await settle(deliveries, NOW_MS + HOUR_MS)

    assert 1 == len(receiver.taken)
    assert NOW_MS + HOUR_MS == (await rows(ledger_database))["n1"].delivered_ms


async def test_notices_of_long_ago_are_forgotten(ledger_database: Database, deliver: Deliver) -> None:
    """90 days after they were made."""
    await put(ledger_database, "old", made_ms=NOW_MS - 90 * DAY_MS - 1)
    await put(ledger_database, "kept", made_ms=NOW_MS - 90 * DAY_MS)
    await deliver().run_once(NOW_MS)

    assert ["kept"] == list(await rows(ledger_database))


async def test_whatever_a_receiver_does_each_notice_is_taken_at_least_once_or_given_up(
    ledger_database: Database, deliver: Deliver, receiver: Receiver
) -> None:
    """Random answers, and processes that die after any step (the seed is in the test)."""
    drawn = random.Random(5)
    ids = [f"n{number}" for number in range(12)]
    await put(ledger_database, *ids)
    receiver.answers = [drawn.choice([200, 204, 500, 503, 429, 301, 410]) for _ in range(40)]
    deliveries, now_ms = deliver(), NOW_MS
    while True:
        if drawn.random() < 0.4:
            await deliveries.run_once(now_ms)
            await deliveries.close()
            deliveries = deliver()
        else:
            await settle(deliveries, now_ms)
        waiting = [row.due_ms for row in (await rows(ledger_database)).values() if row.delivered_ms is None]
        later = [due_ms for due_ms in waiting if due_ms > now_ms and due_ms < NOW_MS + RETRIED_MS]
        if not later:
            break
        now_ms = min(later)

    found = await rows(ledger_database)
    delivered = {id_ for id_, row in found.items() if row.delivered_ms is not None}
    assert set(ids) - delivered == {id_ for id_, row in found.items() if row.failure == "given up: answered 410"}
    assert delivered <= {headers["webhook-id"] for headers, _ in receiver.taken}


async def test_an_attempt_that_fails_in_an_unforeseen_way_is_a_failed_attempt(
    ledger_database: Database, lease: Lease
) -> None:
    """Deliveries go on; the kind of the error is kept."""

    class Broken(Webhook):
        async def post(self, id_: str, body: bytes, now_ms: int) -> Answer:
            if id_ == "bad":
                raise KeyError(id_)
            return Answer(Result.TAKEN)

    deliveries = Deliveries(ledger_database, lease, Broken("http://127.0.0.1:1/", SECRET))
    await put(ledger_database, "bad", "good")
    await settle(deliveries)
    await deliveries.close()

    found = await rows(ledger_database)
    assert ("the attempt failed: KeyError", NOW_MS) == (found["bad"].failure, found["good"].delivered_ms)
