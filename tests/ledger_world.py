"""A ledger to break: `gateway ledger run` as processes beside real gateways, callers with a list of their own of every leg, and a judge.

Callers ask one thing after the other, so that the order of everything that happens to a customer is known for certain. Their list is the truth:
the judge computes overage from it, leg by leg in that order, and compares it with what the ledger has and says.
"""

import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import aiohttp
from fault_world import World, eventually
from redis.asyncio import Redis
from redis_processes import RedisProcess
from sqlalchemy import Row, func, select
from sqlalchemy.engine import URL
from support import RunningGateway, customer_data, join_data, ports

from gateway.domain.billing.entry import EntryId
from gateway.domain.days import day_at
from gateway.kernel.keys import BUCKETS, bucket_key, bucket_of
from gateway.ledger import schema
from gateway.ledger.database import DRIVERS, Database, LedgerUnavailable
from gateway.ledger.figures import DayRow, Figures
from gateway.ledger.status import LedgerStatus, read_status
from gateway.processes import end_with_parent


NOWHERE = {"GATEWAY_LEDGER_URL": "postgresql://nobody@127.0.0.1:1/nowhere"}
"""For gateways whose ledger is started by the test: that of their own finds no database, and so never reads."""

COMMITTED, CEILING = 3, 6
PAUSE_S = 0.005
"""Between two operations of a caller, so that no two have the same millisecond."""
UNCOUNTED = {"too_late", "store_unavailable"}
"""Reasons of answers that are no decisions of the store, and so no entries."""
READ_S = 30.0
STOP_S = 25.0


def sqlite_url(path: Path) -> URL:
    """A file as a database."""
    return URL.create(DRIVERS["sqlite"], database=str(path))


def now_ms() -> int:
    """The wall clock, which is the store's too."""
    return time.time_ns() // 1_000_000


class LedgerProcess:
    """`gateway ledger run`, which can be killed, paused and started again; what it logs is kept. A context manager that kills it."""

    def __init__(self, store_url: str, database: URL, folder: Path, *options: str, **env: str) -> None:
        self._options = ("--redis-url", store_url, *options)
        self._env = {"GATEWAY_LEDGER_URL": database.render_as_string(hide_password=False), **env}
        self._log = folder / f"ledger-{time.monotonic_ns()}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """Process id."""
        assert self._process is not None, "it was started"
        return self._process.pid

    def start(self, *options: str) -> None:
        """Starts it; it reads as soon as it may."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "ledger", "run", *self._options, *options],
                env={**os.environ, **self._env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent(),  # noqa: PLW1509 - one system call
            )

    def kill(self) -> None:
        """Ends it as a crash does, paused or not."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_S)
            self._process = None

    def pause(self) -> None:
        """Stops it in the middle of what it does. Returns when it has stopped."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)

    def resume(self) -> None:
        """Lets it go on."""
        os.kill(self.pid, signal.SIGCONT)

    async def stop(self) -> int:
        """SIGTERM; its exit code."""
        self.terminate()
        return await self.ended()

    def terminate(self) -> None:
        """SIGTERM."""
        assert self._process is not None, "it runs"
        self._process.terminate()

    async def ended(self) -> int:
        """Waits for its end; its exit code."""
        process, self._process = self._process, None
        assert process is not None, "it runs"
        return await asyncio.to_thread(process.wait, STOP_S)

    def told(self, event: str) -> list[dict[str, Any]]:
        """What it logged under this name."""
        lines = [json.loads(line) for line in self.text.splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == event]

    @property
    def text(self) -> str:
        """All of its log."""
        return self._log.read_text(errors="replace")

    async def writes(self, times: int = 1, wait_s: float = READ_S) -> float:
        """Waits until it has said for so many times that it writes; how long that took (s)."""

        async def said() -> bool:
            return len(self.told("ledger.writing")) >= times

        try:
            return await eventually(said, "the process writes the ledger", wait_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.text[-3000:]}") from None


Window = tuple[int, int]
"""Wall clock (ms) before something was asked, and after it was answered: in between the store did it."""


@dataclass(slots=True)
class TrueLeg:
    """A leg as its caller knows it. `connected` None: never; `ended` None: it is there."""

    connection: str
    held: Window
    connected: Window | None = None
    ended: Window | None = None


class Door(Protocol):
    """A gateway as callers see it."""

    @property
    def url(self) -> str:
        """Where joins are asked for."""

    @property
    def gateway(self) -> RunningGateway:
        """Its process."""


@dataclass(slots=True)
class Caller:
    """Calls for one customer through the admin and the public listener of gateways, one thing after the other."""

    customer: str
    site: Callable[[], Door]
    seed: int = 0
    committed: int = COMMITTED
    ceiling: int = CEILING
    legs: dict[str, TrueLeg] = field(default_factory=dict)
    """All that ever were."""
    denied: Counter[str] = field(default_factory=Counter)
    waits_s: list[float] = field(default_factory=list)
    """How long each admit took."""
    peak: int = 0
    held_peak: int = 0
    versions: int = 0
    store_failure: str = "deny"
    _live: list[str] = field(default_factory=list)
    _connected: set[str] = field(default_factory=set)
    _numbers: Any = field(default_factory=itertools.count)

    @property
    def overage(self) -> int:
        """Of its greatest moment (T4.3)."""
        return max(0, self.peak - self.committed)

    async def install(self, http: aiohttp.ClientSession) -> None:
        """Its customer, anew."""
        held = ports(self.committed, enforcement="metered", ceiling=self.ceiling)
        document = customer_data(
            held, id=self.customer, name=f"Version {self.versions + 1}", store_failure=self.store_failure
        )
        url = f"{self.site().gateway.admin_url}/v1/customers/{self.customer}"
        async with http.put(url, json=document) as response:
            assert response.status in {200, 201}, await response.text()
        self.versions += 1

    async def run(self, http: aiohttp.ClientSession, over: asyncio.Event, pause_s: float = PAUSE_S) -> None:
        """Joins, connects and leaves at random until it is over."""
        dice = random.Random(f"{self.seed} {self.customer}")
        while not over.is_set():
            await self.step(http, dice)
            await asyncio.sleep(pause_s)

    async def step(self, http: aiohttp.ClientSession, dice: random.Random) -> None:
        """One thing: a join, a confirmation or a release."""
        waiting = [name for name in self._live if name not in self._connected]
        if waiting and dice.random() < 0.5:
            await self.confirm(http, dice.choice(waiting))
        elif self._live and dice.random() < 0.45:
            await self.release(http, dice.choice(self._live))
        else:
            await self.admit(http, provisional=dice.random() < 0.4)

    async def admit(self, http: aiohttp.ClientSession, *, provisional: bool = False) -> str:
        """A join; what was said. With `provisional` it is connected only when it is confirmed."""
        connection = f"{self.customer}-{next(self._numbers)}"
        window, body = await self._ask(http, "admit", self._body(connection, provisional=provisional))
        self.waits_s.append((window[1] - window[0]) / 1000)
        if body["decision"] != "admit":
            if body["reason"] not in UNCOUNTED:
                self.denied[body["reason"]] += 1
            return str(body["reason"])
        self.legs[connection] = TrueLeg(connection, window, None if provisional else window)
        self._live.append(connection)
        if not provisional:
            self._connected.add(connection)
        self._count()
        return str(body["reason"])

    async def confirm(self, http: aiohttp.ClientSession, connection: str) -> None:
        """A leg is connected."""
        window, body = await self._ask(http, "confirm", self._body(connection, provisional=True))
        assert body.get("result") == "confirmed", body
        self.legs[connection].connected = window
        self._connected.add(connection)
        self._count()

    async def release(self, http: aiohttp.ClientSession, connection: str) -> None:
        """A leg ends."""
        window, _ = await self._ask(http, "release", {"customer": self.customer, "connection": connection})
        self.legs[connection].ended = window
        self._live.remove(connection)
        self._connected.discard(connection)

    async def release_all(self, http: aiohttp.ClientSession) -> None:
        """Everything ends."""
        for connection in list(self._live):
            await self.release(http, connection)
            await asyncio.sleep(PAUSE_S)

    def _body(self, connection: str, *, provisional: bool) -> dict[str, Any]:
        body = join_data(connection, f"m{len(connection) % 3}", customer=self.customer)
        return {**body, "lease_s": 3600} if provisional else body

    async def _ask(
        self, http: aiohttp.ClientSession, operation: str, body: dict[str, Any]
    ) -> tuple[Window, dict[str, Any]]:
        since = now_ms()
        async with http.post(f"{self.site().url}/v1/{operation}", json=body) as response:
            answer = await response.json()
            assert response.status in {200, 503}, (response.status, answer)
        return (since, now_ms()), answer

    def _count(self) -> None:
        self.peak = max(self.peak, len(self._connected))
        self.held_peak = max(self.held_peak, len(self._live))


@dataclass(slots=True)
class Ledger:
    """The database of a ledger, looked at from outside."""

    url: URL
    store: RedisProcess
    database: Database

    async def position(self, bucket: int) -> tuple[int, int] | None:
        """The last entry of the bucket that is stored; None: none, or the database is away."""
        table = schema.positions
        with contextlib.suppress(LedgerUnavailable):
            async with self.database.reading() as connection:
                row = (await connection.execute(select(table).where(table.c.bucket == bucket))).first()
            return (row.epoch, row.number) if row else None
        return None

    async def caught_up(self, wait_s: float = READ_S) -> float:
        """Waits until everything that is in the outboxes now is stored; how long that took (s)."""
        wanted = await last_entries(self.store)

        async def read() -> bool:
            table = schema.positions
            try:
                async with self.database.reading() as connection:
                    rows = {row.bucket: (row.epoch, row.number) for row in await connection.execute(select(table))}
            except LedgerUnavailable:
                return False
            return all(rows.get(bucket, (0, 0)) >= end for bucket, end in wanted.items())

        return await eventually(read, "everything is stored", wait_s)

    async def end_lease(self) -> None:
        """Whoever waits may write at once, and need not wait until the lease of a process that was killed is over."""
        async with self.database.writing() as connection:
            await connection.execute(schema.leases.update().values(until_ms=0))

    async def status(self) -> LedgerStatus:
        """How far it is, as it says."""
        return await read_status(self.database)

    async def stretches(self, customer: str) -> dict[str, list[Row[Any]]]:
        """All stretches of a customer by connection, each in order."""
        found: dict[str, list[Row[Any]]] = {}
        async with self.database.reading() as connection:
            for table in (schema.legs, schema.live):
                for row in await connection.execute(select(table).where(table.c.customer == customer)):
                    found.setdefault(row.connection, []).append(row)
        return {name: sorted(rows, key=lambda row: row.held_ms) for name, rows in found.items()}

    async def denials(self, customer: str) -> Counter[str]:
        """Refused joins by reason."""
        table = schema.denials
        async with self.database.reading() as connection:
            rows = await connection.execute(
                select(table.c.reason, table.c["count"]).where(table.c.customer == customer)
            )
            found: Counter[str] = Counter()
            for reason, count in rows:
                found[reason] += count
            return found

    async def rows(self, table: Any, *conditions: Any) -> Sequence[Row[Any]]:
        """Rows of a table."""
        async with self.database.reading() as connection:
            return (await connection.execute(select(table).where(*conditions))).all()

    async def count(self, table: Any) -> int:
        """How many rows a table has."""
        async with self.database.reading() as connection:
            return int((await connection.execute(select(func.count()).select_from(table))).scalar_one())

    async def figures(self, customer: str, since_ms: int) -> list[DayRow]:
        """What is billed of the ports of the days since then."""
        first, last = day_at(since_ms).ordinal, day_at(now_ms()).ordinal
        rows = await Figures(self.database).overage(customer, first, last, now_ms())
        return [row for row in rows if row.pool == "ports"]


@contextlib.asynccontextmanager
async def ledger_at(url: URL, store: RedisProcess) -> AsyncIterator[Ledger]:
    """The database at this URL, which may not be there yet."""
    database = Database.later(url)
    try:
        yield Ledger(url, store, database)
    finally:
        await database.close()


async def last_entries(store: RedisProcess) -> dict[int, tuple[int, int]]:
    """The last entry of each outbox that has any."""
    client: Any = Redis(host="127.0.0.1", port=store.port, protocol=2)
    try:
        pipeline = client.pipeline(transaction=False)
        for bucket in range(BUCKETS):
            pipeline.xrevrange(bucket_key("outbox", bucket), count=1)
        pages = await pipeline.execute()
    finally:
        await client.aclose()
    return {bucket: EntryId.parse(page[0][0].decode()) for bucket, page in enumerate(pages) if page}


async def first_entry(store: RedisProcess, bucket: int) -> tuple[int, int]:
    """The first entry that is left in an outbox."""
    client: Any = Redis(host="127.0.0.1", port=store.port, protocol=2)
    try:
        ((identity, _),) = await client.xrange(bucket_key("outbox", bucket), count=1)
    finally:
        await client.aclose()
    return EntryId.parse(identity.decode())


async def outbox_length(store: RedisProcess, customer: str) -> int:
    """Entries in the outbox of a customer's bucket."""
    return int(await store.command("XLEN", bucket_key("outbox", bucket_of(customer))))


def callers(scene: World, count: int, *, name: str = "customer") -> list[Caller]:
    """Callers of customers of their own, which call the gateways in turn."""
    return [
        Caller(f"{name}-{at}", lambda at=at: scene.sites[at % len(scene.sites)], seed=at)  # type: ignore[misc]
        for at in range(count)
    ]


@contextlib.asynccontextmanager
async def calling(who: Iterable[Caller], pause_s: float = PAUSE_S) -> AsyncIterator[aiohttp.ClientSession]:
    """Installs the customers, and has all callers call as long as the context lasts."""
    over = asyncio.Event()
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as http:
        for caller in who:
            if not caller.versions:
                await caller.install(http)
        tasks = [asyncio.create_task(caller.run(http, over, pause_s)) for caller in who]
        try:
            yield http
        finally:
            over.set()
            await asyncio.gather(*tasks)


async def assert_exact(ledger: Ledger, who: Iterable[Caller], since_ms: int) -> int:
    """Every leg, every denial, every version and every figure of these callers is in the ledger, once; how many legs."""
    legs = 0
    for caller in who:
        found = await ledger.rows(schema.versions, schema.versions.c.customer == caller.customer)
        rows = await ledger.figures(caller.customer, since_ms)
        true = [
            [], dict(+caller.denied), list(range(1, caller.versions + 1)), caller.peak, caller.overage, caller.held_peak,
        ]  # fmt: skip
        stored = [
            [each async for each in differences(ledger, caller)], dict(await ledger.denials(caller.customer)),
            sorted(row.version for row in found), *[
                max((getattr(row, name) for row in rows), default=0) for name in ("peak", "overage", "held_peak")
            ],
        ]  # fmt: skip
        assert true == stored, f"{caller.customer}: in truth {true}, in the ledger {stored}"
        legs += len(caller.legs)
    return legs


async def differences(ledger: Ledger, caller: Caller) -> AsyncIterator[str]:
    """What the ledger has of a caller's legs that is not so."""
    found = await ledger.stretches(caller.customer)
    for name in sorted(found.keys() ^ caller.legs.keys()):
        yield f"{name}: only in the {'ledger' if name in found else 'list of its caller'}"
    for name in sorted(found.keys() & caller.legs.keys()):
        true, rows = caller.legs[name], found[name]
        if len(rows) > 1:
            yield f"{name}: {len(rows)} stretches"
        told = rows[0].held_ms, rows[0].connected_ms, rows[0].freed_ms
        for what, window, at_ms in zip(
            ("held", "connected", "freed"), (true.held, true.connected, true.ended), told, strict=True
        ):
            if (window is None) != (at_ms is None) or (window and not window[0] <= at_ms <= window[1]):
                yield f"{name}: {what} at {at_ms}, in truth within {window}"
        if true.ended and true.connected and rows[0].until_ms != rows[0].freed_ms:
            yield f"{name}: billed until {rows[0].until_ms}, released at {rows[0].freed_ms}"
