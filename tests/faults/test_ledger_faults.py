"""Faults of the ledger: of its process, its database, and the store that it reads (F35, F36). Each is judged to the last leg."""

import asyncio
import contextlib
import dataclasses
import random
import signal
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fault_world import World, eventually, measured, world
from ledger_world import (
    NOWHERE,
    Caller,
    Ledger,
    LedgerProcess,
    assert_exact,
    callers,
    calling,
    differences,
    first_entry,
    ledger_at,
    now_ms,
    outbox_length,
    sqlite_url,
)
from postgres_processes import PostgresProcess, missing_postgres
from redis_processes import Standalone
from sqlalchemy import Table
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from gateway.kernel.keys import bucket_key, bucket_of
from gateway.ledger import schema
from gateway.ledger.database import LedgerUnavailable
from gateway.ledger.reader import KEPT, PAGE


pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

KILLS = 4
CALLERS = 6
AWAY_S = 30.0

DatabaseFault = Callable[[URL, PostgresProcess | None], contextlib.AbstractContextManager[None]]


@dataclass(slots=True)
class Scene:
    """Everything that is there."""

    store: Standalone
    world: World
    ledger: Ledger
    folder: Path

    def process(self, *options: str, url: URL | None = None, **env: str) -> LedgerProcess:
        """A process that writes this ledger, or another one; not started yet."""
        return LedgerProcess(self.store.url, url or self.ledger.url, self.folder, *options, **env)


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresProcess]:
    """A real PostgreSQL."""
    if missing := missing_postgres():
        pytest.skip(f"NOT TESTED: faults of the ledger on PostgreSQL, because of missing {missing}")
    with PostgresProcess() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    """A database of each kind, with nothing in it."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "ledger" / "ledger.db")
    server: PostgresProcess = request.getfixturevalue("postgres")
    return server.url(server.create())


@contextlib.asynccontextmanager
async def scene_of(url: URL, folder: Path, *, gateways: int = 1, **env: str) -> AsyncIterator[Scene]:
    """A store, gateways, and a database; who writes it is up to the test."""
    async with (
        Standalone() as store,
        world(store, gateways=gateways, env={**NOWHERE, **env}, name="ledger") as scene,
        ledger_at(url, store) as ledger,
    ):
        yield Scene(store, scene, ledger, folder)


async def test_F35_a_reader_that_is_killed_twenty_times_loses_nothing_and_counts_nothing_twice(
    ledger_url: URL, tmp_path: Path
) -> None:
    """Killed at random, and each second time just after it has stored what it did not trim yet: legs, denials and overage are the callers'."""
    dice, since_ms = random.Random(35), now_ms()
    async with scene_of(ledger_url, tmp_path) as scene:
        who = callers(scene.world, CALLERS)
        process = scene.process()
        scene.world.stack.callback(process.kill)
        async with calling(who) as http:
            for kill in range(KILLS):
                process.start()
                await process.writes(kill + 1)
                await asyncio.sleep(dice.uniform(0.0, 0.8))
                if kill % 2:
                    await moved(scene.ledger, who[0].customer)
                process.kill()
                await scene.ledger.end_lease()
        process.start()
        behind_s = await scene.ledger.caught_up()
        async with calling([]) as http:
            for caller in who:
                await caller.release_all(http)
        await scene.ledger.caught_up()
        legs = await assert_exact(scene.ledger, who, since_ms)

        await eventually(lambda: is_trimmed(scene, who), "what is stored is trimmed", 15.0)
        assert 0 == await process.stop()
        assert 0 == await scene.ledger.count(schema.gaps)
    measured(
        kills=KILLS, legs=legs, denied=sum([caller.denied.total() for caller in who]), caught_up_s=round(behind_s, 2)
    )


async def moved(ledger: Ledger, customer: str) -> None:
    """Waits until one more page of the customer's bucket is stored."""
    bucket = bucket_of(customer)
    before = await ledger.position(bucket)

    async def has_moved() -> bool:
        return await ledger.position(bucket) != before

    await eventually(has_moved, "a page is stored", 20.0, pause_s=0.001)


async def is_trimmed(scene: Scene, who: list[Caller]) -> bool:
    """Whether only the entries are left that stay in any case."""
    return all([await outbox_length(scene.store, caller.customer) <= KEPT for caller in who])


@contextlib.contextmanager
def other_transaction(server: PostgresProcess, database: str, statement: str) -> Iterator[None]:
    """A transaction of somebody else, in a thread and a loop of its own, which stays open."""
    opened, over = threading.Event(), threading.Event()

    async def work() -> None:
        engine = create_async_engine(server.url(database), poolclass=NullPool)
        async with engine.connect() as connection, connection.begin():
            await connection.exec_driver_sql(statement)
            opened.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    assert opened.wait(10.0)
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def locked(url: URL, postgres: PostgresProcess | None) -> Iterator[None]:
    """Another connection is in a transaction that has written what the ledger writes."""
    statement = "UPDATE leases SET holder = holder"
    if postgres is None:
        with contextlib.closing(sqlite3.connect(str(url.database), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute(statement)
            yield
            other.execute("ROLLBACK")
        return
    with other_transaction(postgres, str(url.database), statement):
        yield


@contextlib.contextmanager
def away(url: URL, postgres: PostgresProcess | None) -> Iterator[None]:
    """The database is not there: its folder is renamed, its server is ended as in a crash."""
    if postgres is not None:
        postgres.stop(signal.SIGQUIT)
        yield
        postgres.start()
        return
    folder = Path(str(url.database)).parent
    folder.rename(folder.with_name("elsewhere"))
    yield
    folder.with_name("elsewhere").rename(folder)


@pytest.mark.parametrize("fault", [locked, away])
async def test_F36_while_the_database_does_not_answer_joins_are_decided_and_the_ledger_catches_up(
    ledger_url: URL, tmp_path: Path, request: pytest.FixtureRequest, fault: DatabaseFault
) -> None:
    """For thirty seconds nothing can be written: nobody who joins notices, the lag is told, and nothing is lost."""
    since_ms, server = now_ms(), postgres_of(ledger_url, request)
    async with scene_of(ledger_url, tmp_path) as scene:
        who = callers(scene.world, 2)
        process = scene.process()
        scene.world.stack.callback(process.kill)
        process.start()
        await process.writes()
        async with calling(who, 0.02):
            await asyncio.sleep(AWAY_S / 4)
            before = len(waits(who))
            with fault(ledger_url, server):
                await asyncio.sleep(AWAY_S)
                meanwhile = waits(who)[before:]
                with contextlib.suppress(LedgerUnavailable):
                    assert (await scene.ledger.status()).lag_s(now_ms()) > AWAY_S - 10
            behind_s = await scene.ledger.caught_up()
        await release_everything(who)
        await scene.ledger.caught_up()
        legs = await assert_exact(scene.ledger, who, since_ms)
        await eventually(lambda: lags_little(scene.ledger), "the lag is small again", 10.0)
        assert 1 == len(process.told("ledger.job_failing")) == len(process.told("ledger.job_recovered"))
        assert 0 == await process.stop()
        assert 0 == await scene.ledger.count(schema.gaps)
    measured(
        fault=fault.__name__,
        legs=legs,
        slowest_s=max(meanwhile),
        p99_s=sorted(meanwhile)[len(meanwhile) * 99 // 100],
        caught_up_s=round(behind_s, 2),
    )
    assert set() == {reason for caller in who for reason in caller.denied} - {"ports_full"}


def waits(who: list[Caller]) -> list[float]:
    """How long joins took."""
    return [wait_s for caller in who for wait_s in caller.waits_s]


async def lags_little(ledger: Ledger) -> bool:
    """Whether what happened until some seconds ago is stored."""
    return (await ledger.status()).lag_s(now_ms()) < 3.5


async def release_everything(who: list[Caller]) -> None:
    """All calls end."""
    async with calling([]) as http:
        for caller in who:
            await caller.release_all(http)


def postgres_of(url: URL, request: pytest.FixtureRequest) -> PostgresProcess | None:
    """The server of a database; None: it is a file."""
    return request.getfixturevalue("postgres") if url.get_backend_name() == "postgresql" else None


async def test_F35_a_paused_writer_writes_nothing_after_another_one_took_its_place(
    ledger_url: URL, tmp_path: Path
) -> None:
    """Stopped for twenty seconds, it goes on to find that it may not write; between the two nothing is lost and nothing counts twice."""
    since_ms = now_ms()
    async with scene_of(ledger_url, tmp_path) as scene:
        who = callers(scene.world, 2)
        first, second = scene.process(), scene.process()
        for process in (first, second):
            scene.world.stack.callback(process.kill)
        first.start()
        await first.writes()
        second.start()
        async with calling(who, 0.02):
            await asyncio.sleep(2.0)
            await pause_between_transactions(first, ledger_url)
            began = time.monotonic()
            await second.writes(wait_s=40.0)
            taken_s = time.monotonic() - began
            await asyncio.sleep(max(0.0, 20.0 - taken_s))
            first.resume()
            await eventually(lambda: has_told(first, "ledger.lease_lost"), "the first has noticed", 10.0)
            await asyncio.sleep(2.0)
        await release_everything(who)
        await scene.ledger.caught_up()
        legs = await assert_exact(scene.ledger, who, since_ms)
        assert [1, 1] == [len(process.told("ledger.writing")) for process in (first, second)]
        assert [0, 0] == [await first.stop(), await second.stop()]
    measured(legs=legs, taken_over_s=round(taken_s, 1))


async def pause_between_transactions(process: LedgerProcess, url: URL) -> None:
    """Stops it while it does not hold the lock of a file: that would keep everybody else from writing, as any paused writer of SQLite does."""
    while True:
        process.pause()
        if url.get_backend_name() != "sqlite":
            return
        try:
            with contextlib.closing(sqlite3.connect(str(url.database), timeout=0.5, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                other.execute("ROLLBACK")
        except sqlite3.OperationalError:
            process.resume()
            await asyncio.sleep(0.05)
        else:
            return


async def has_told(process: LedgerProcess, event: str) -> bool:
    """Whether it has logged that."""
    return bool(process.told(event))


class Copies:
    """Copies of a ledger's database, which nobody is connected to then, as a backup makes them."""

    def __init__(self, url: URL, server: PostgresProcess | None) -> None:
        self._url = url
        self._server = server

    async def make(self) -> URL:
        """A copy of what it is now; where."""
        name = str(self._url.database)
        if self._server is not None:
            return self._url.set(database=await asyncio.to_thread(self._server.create, name))
        copy = Path(name).with_name("copy.db")
        with contextlib.closing(sqlite3.connect(name)) as here, contextlib.closing(sqlite3.connect(copy)) as there:
            here.backup(there)
        return sqlite_url(copy)


@pytest.mark.parametrize("beyond", [False, True])
async def test_F35_a_ledger_that_is_restored_from_an_older_copy_reads_again_what_is_kept_and_names_the_rest(
    ledger_url: URL, tmp_path: Path, request: pytest.FixtureRequest, beyond: bool
) -> None:
    """The last thousand entries of a bucket are still there. Beyond them the gap is named, and what is live is what the store has."""
    since_ms = now_ms()
    async with scene_of(ledger_url, tmp_path) as scene:
        (caller,) = who = callers(scene.world, 1)
        bucket = bucket_of(caller.customer)
        first = scene.process()
        scene.world.stack.callback(first.kill)
        first.start()
        await first.writes()
        await calls_of(who, 150)
        assert 0 == await first.stop()
        await scene.ledger.database.close()
        copy = await Copies(ledger_url, postgres_of(ledger_url, request)).make()
        first.start()
        await calls_of(who, 2 * KEPT if beyond else KEPT // 2)
        await eventually(lambda: is_trimmed(scene, who), "what is stored is trimmed", 15.0)
        assert 0 == await first.stop()

        async with ledger_at(copy, scene.store) as ledger:
            before = await ledger.position(bucket)
            kept = await first_entry(scene.store, bucket)
            restored = scene.process(url=copy)
            scene.world.stack.callback(restored.kill)
            restored.start()
            await restored.writes()
            await calls_of(who, 100)
            await ledger.caught_up()
            await eventually(lambda: no_doubts(ledger), "what is live is compared with the store", 60.0)
            gaps = await ledger.rows(schema.gaps, schema.gaps.c.bucket == bucket)
            if beyond:
                assert before is not None
                assert [(before[0], before[1] + 1, kept[1] - 1)] == [(gap.epoch, gap.first, gap.last) for gap in gaps]
                legs = await assert_true_as_far_as_known(ledger, caller)
            else:
                assert [] == gaps
                legs = await assert_exact(ledger, who, since_ms)
            assert 0 == await restored.stop()
    measured(
        beyond=beyond, legs=legs, of=len(caller.legs), missing_entries=sum([gap.last - gap.first + 1 for gap in gaps])
    )


async def calls_of(who: list[Caller], entries: int) -> None:
    """Calls until about so many more entries were made for each."""
    before = [len(caller.waits_s) for caller in who]
    async with calling(who):
        await eventually(
            lambda: have_joined(who, [count + entries // 2 for count in before]), "callers have called", 90.0
        )


async def have_joined(who: list[Caller], wanted: list[int]) -> bool:
    """Whether all have asked that often; each join comes to two entries or so."""
    return all(len(caller.waits_s) >= count for caller, count in zip(who, wanted, strict=True))


async def no_doubts(ledger: Ledger) -> bool:
    """Whether no bucket waits to be compared with the store."""
    return not (await ledger.status()).doubts


async def assert_true_as_far_as_known(ledger: Ledger, caller: Caller) -> int:
    """What the ledger has of a caller's legs is so, none is billed longer than it was, and what is live is there; how many legs it has."""
    found = await ledger.stretches(caller.customer)
    live = {name for name, rows in found.items() if rows[-1].freed_ms is None}
    assert {name for name, leg in caller.legs.items() if leg.ended is None} == live
    for name, rows in found.items():
        true, (row,) = caller.legs[name], rows
        assert true.held[0] <= row.held_ms <= true.held[1], name
        if row.connected_ms is not None:
            assert true.connected is not None, name
            assert true.connected[0] <= row.connected_ms <= true.connected[1], name
        if row.until_ms is not None and true.ended is not None:
            assert row.until_ms <= true.ended[1], name
    return len(found)


async def test_F35_a_ledger_begun_on_a_store_that_has_run_without_one_knows_what_is_live_and_names_the_rest(
    ledger_url: URL, tmp_path: Path
) -> None:
    """It takes over legs and entitlements from the store, says from which entry on it knows everything, and bills from then on."""
    async with scene_of(ledger_url, tmp_path, GATEWAY_LEDGER_URL="none") as scene:
        (caller,) = who = callers(scene.world, 1)
        bucket = bucket_of(caller.customer)
        await calls_of(who, 300)
        await scene.store.command("XTRIM", bucket_key("outbox", bucket), "MAXLEN", "=", 40)
        kept = await first_entry(scene.store, bucket)
        process = scene.process()
        scene.world.stack.callback(process.kill)
        process.start()
        began = time.monotonic()
        await process.writes()
        await eventually(lambda: is_stored(scene.ledger, schema.positions), "something is stored", 20.0)
        await eventually(lambda: no_doubts(scene.ledger), "what is live is compared with the store", 60.0)
        await eventually(lambda: is_stored(scene.ledger, schema.versions), "entitlements are taken over", 20.0)
        known_s = time.monotonic() - began
        gaps = await scene.ledger.rows(schema.gaps, schema.gaps.c.bucket == bucket)
        assert [(kept[0], 0, kept[1] - 1)] == [(gap.epoch, gap.first, gap.last) for gap in gaps]
        legs = await assert_true_as_far_as_known(scene.ledger, caller)
        before = set(caller.legs)
        caller.peak = caller.held_peak = 0
        since_ms = now_ms()
        await calls_of(who, 300)
        await release_everything(who)
        await scene.ledger.caught_up()
        assert [] == [each async for each in differences(scene.ledger, later_only(caller, before))]
        rows = await scene.ledger.figures(caller.customer, since_ms)
        assert caller.peak <= max([row.peak for row in rows])
        assert 0 == await process.stop()
    measured(legs=legs, known_s=round(known_s, 1))


def later_only(caller: Caller, before: set[str]) -> Caller:
    """The same caller with the legs of later alone, and of those before that the ledger has to know."""
    return dataclasses.replace(caller, legs={name: leg for name, leg in caller.legs.items() if name not in before})


async def is_stored(ledger: Ledger, table: Table) -> bool:
    """Whether a table has rows."""
    with contextlib.suppress(LedgerUnavailable):
        return await ledger.count(table) > 0
    return False


@pytest.fixture
def file_url(tmp_path: Path) -> URL:
    """A file, with nothing in it."""
    return sqlite_url(tmp_path / "ledger" / "ledger.db")


async def test_F35_two_ledgers_of_one_store_do_not_take_each_others_entries_away(file_url: URL, tmp_path: Path) -> None:
    """The second says whose the store is and cuts nothing off; told to take over, it has all that is there, and the first says so."""
    since_ms = now_ms()
    async with scene_of(file_url, tmp_path) as scene:
        who = callers(scene.world, 2)
        other_url = sqlite_url(tmp_path / "other.db")
        first, second = scene.process(), scene.process(url=other_url)
        for process in (first, second):
            scene.world.stack.callback(process.kill)
        first.start()
        await first.writes()
        await calls_of(who, 200)
        await scene.ledger.caught_up()
        second.start()
        await eventually(lambda: has_told(second, "ledger.read_by_another"), "the second says so", 20.0)
        await calls_of(who, 2 * KEPT)
        await scene.ledger.caught_up()
        assert 0 == await second.stop()
        await eventually(lambda: is_trimmed(scene, who), "the first goes on trimming", 15.0)
        await calls_of(who, 50)
        await release_everything(who)
        await scene.ledger.caught_up()
        await assert_exact(scene.ledger, who, since_ms)

        second.start("--take-over")
        await eventually(lambda: has_told(first, "ledger.read_by_another"), "the first says so", 20.0)
        async with ledger_at(other_url, scene.store) as other:
            await other.caught_up()
            assert await other.count(schema.gaps) > 0
        assert [0, 0] == [await first.stop(), await second.stop()]


async def test_F35_a_process_that_is_told_to_stop_reads_what_is_left(file_url: URL, tmp_path: Path) -> None:
    """Hundreds of entries of a bucket wait while it is paused; told to stop, it stores them all, and the next one may write at once."""
    since_ms = now_ms()
    async with scene_of(file_url, tmp_path) as scene:
        who = callers(scene.world, 1)
        process = scene.process()
        scene.world.stack.callback(process.kill)
        process.start()
        await process.writes()
        await pause_between_transactions(process, file_url)
        await calls_of(who, 3 * PAGE)
        await release_everything(who)
        process.terminate()
        process.resume()
        began = time.monotonic()
        assert 0 == await process.ended()
        took_s = time.monotonic() - began
        assert await scene.ledger.caught_up(0.5) < 0.5
        legs = await assert_exact(scene.ledger, who, since_ms)
        process.start()
        again_s = await process.writes(2)
    measured(legs=legs, stopped_s=round(took_s, 2), next_s=round(again_s, 2))
