"""Faults of the ledger: of its process, its database, and the store that it reads (F35, F36). Each is judged to the last leg."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import aiohttp
import pytest
from fault_judge import stored_peak
from fault_media import MediaServer
from fault_play import steady_legs
from fault_world import Pool, World, eventually, measured, world
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
    last_entries,
    ledger_at,
    now_ms,
    outbox_length,
    sqlite_url,
)
from plans import per_event
from postgres_processes import PostgresProcess, missing_postgres
from redis_processes import Standalone
from sqlalchemy import Table
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from support import customer_data, join_data

from gateway.kernel.keys import bucket_key, bucket_of
from gateway.ledger import schema
from gateway.ledger.database import LedgerUnavailable
from gateway.ledger.reader import KEPT, PAGE


pytestmark = pytest.mark.timeout(300)

KILLS = 20
CALLERS = 6
AWAY_S = 30.0
MINUTES = float(os.environ.get("FAULT_MINUTES", "5"))
SEED = int(os.environ.get("FAULT_SEED", str(time.time_ns() % 1_000_000)))
PATIENT = {"GATEWAY_DECISION_BUDGET_MS": "5000"}
"""Every join gets the store's decision, however busy the machine is: the callers' list is what the store has done."""

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
        world(store, gateways=gateways, env={**NOWHERE, **PATIENT, **env}, name="ledger") as scene,
        ledger_at(url, store) as ledger,
    ):
        yield Scene(store, scene, ledger, folder)


@pytest.mark.faults
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


@pytest.mark.faults
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
        failed, recovered = [
            Counter([told["job"] for told in process.told(f"ledger.job_{what}")]) for what in ("failing", "recovered")
        ]
        assert failed == recovered
        assert {1} >= set(failed.values())  # told once, however often it was tried
        assert 0 == await process.stop()
        assert 0 == await scene.ledger.count(schema.gaps)
    measured(
        fault=fault.__name__,
        legs=legs,
        slowest_s=max(meanwhile),
        p99_s=sorted(meanwhile)[len(meanwhile) * 99 // 100],
        caught_up_s=round(behind_s, 2),
    )
    assert {"ports_full"} >= {reason for caller in who for reason in caller.denied}
    assert 1.0 > max(meanwhile)


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


@pytest.mark.faults
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


@pytest.mark.faults
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


@pytest.mark.faults
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
        told = [each async for each in differences(scene.ledger, caller)]
        assert [] == [each for each in told if each.partition(":")[0] not in before]
        rows = await scene.ledger.figures(caller.customer, since_ms)
        assert caller.peak <= max([row.peak for row in rows])
        assert 0 == await process.stop()
    measured(legs=legs, known_s=round(known_s, 1))


async def is_stored(ledger: Ledger, table: Table) -> bool:
    """Whether a table has rows."""
    with contextlib.suppress(LedgerUnavailable):
        return await ledger.count(table) > 0
    return False


@pytest.fixture
def file_url(tmp_path: Path) -> URL:
    """A file, with nothing in it."""
    return sqlite_url(tmp_path / "ledger" / "ledger.db")


@pytest.mark.faults
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


@pytest.mark.faults
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


HELD = Pool("held", None, "admit", committed=2)
BEAT_S = 1.0
SETTLES_S = 90.0
"""A lease, until what nobody brings back is reclaimed or given up, and a grace of a lease before."""


@pytest.mark.faults
@pytest.mark.parametrize("remembers", [True, False], ids=["gateways-remember", "ledger-remembers"])
async def test_F35_a_redis_that_was_emptied_is_told_by_the_ledger_and_by_the_nodes(
    ledger_url: URL, tmp_path: Path, remembers: bool
) -> None:
    """Entitlements, peaks, used events and legs are back; a leg that nobody brings back is billed until it was known to live."""
    async with scene_of(ledger_url, tmp_path, gateways=2) as scene:
        process = scene.process()
        scene.world.stack.callback(process.kill)
        process.start()
        await process.writes()
        (caller,) = callers(scene.world, 1)
        servers = await scene.world.media_servers(2, beat_s=BEAT_S)
        await scene.world.install(HELD)
        async with calling([]) as http:
            await caller.install(http)
            await use_up_the_event(http, scene)
            await caller.admit(http)
            await steady_legs(servers, HELD.customer, legs=3)
            for server in servers:
                await server.end(*next(iter(server.legs)))
            await asyncio.sleep(6.0)  # gateways ask every 5 s which nodes there are
            await scene.ledger.caught_up()
            if not remembers:
                await forget_everything(scene)
            lost_ms, began = now_ms(), time.monotonic()
            await scene.store.command("FLUSHALL")
            if not remembers:
                for site in scene.world.sites:
                    await site.start_again()
            took = await back_again(scene, caller, process, began)
            body = join_data("event-2", "second", customer="events", service="event", role="presenter")
            async with http.post(f"{scene.world.sites[0].url}/v1/admit", json=body) as response:
                assert "events_exhausted" == (await response.json())["reason"]
        (leg,) = caller.legs.values()
        await eventually(lambda: is_over(scene.ledger, caller.customer), "a leg of nobody is given up", SETTLES_S)
        took["given_up_s"] = time.monotonic() - began
        ((row,),) = (await scene.ledger.stretches(caller.customer)).values()
        assert "lost" == row.cause
        assert leg.held[0] <= row.connected_ms <= row.until_ms <= lost_ms
        billed = await scene.ledger.stretches(HELD.customer)
        assert 6 == len(billed)
        for rows in billed.values():
            assert [before.until_ms for before in rows[:-1]] == [after.connected_ms for after in rows[1:]], rows
        gaps = await scene.ledger.rows(schema.gaps)
        assert not (gaps if remembers else [gap for gap in gaps if gap.last is not None])
        assert 0 == await process.stop()
    measured(remembers=remembers, gaps=len(gaps), **{name: round(s, 1) for name, s in took.items()})


async def use_up_the_event(http: aiohttp.ClientSession, scene: Scene) -> None:
    """A customer with one event, which is held and over."""
    site = scene.world.sites[0]
    document = customer_data(per_event(1), id="events")
    async with http.put(f"{site.gateway.admin_url}/v1/customers/events", json=document) as response:
        assert response.status == 201, await response.text()
    body = join_data("event-1", "first", customer="events", service="event", role="presenter")
    for operation in ("admit", "release"):
        async with http.post(
            f"{site.url}/v1/{operation}",
            json=body if operation == "admit" else {"customer": "events", "connection": "event-1"},
        ) as response:
            assert response.status == 200, await response.text()


async def forget_everything(scene: Scene) -> None:
    """Gateways are gone, and what they had on disk."""
    for site in scene.world.sites:
        site.kill()
        await site.gateway.process.communicate()
        shutil.rmtree(site.options[site.options.index("--data-dir") + 1])


async def back_again(scene: Scene, caller: Caller, process: LedgerProcess, began: float) -> dict[str, float]:
    """Waits until the store has everything again; how long each took (s)."""
    admin = scene.world.sites[0].gateway.admin_url
    took = {}

    async def has_customers() -> bool:
        async with aiohttp.ClientSession() as http:
            for customer in (HELD.customer, caller.customer, "events"):
                async with http.get(f"{admin}/v1/customers/{customer}") as response:
                    if response.status != 200:
                        return False
        return True

    async def has_peak() -> bool:
        return await stored_peak(admin, HELD.customer) == 6

    async def is_restored() -> bool:
        return bucket_of("events") in {told["bucket"] for told in process.told("ledger.restored")}

    await eventually(has_customers, "entitlements are back", 40.0)
    took["entitlements_s"] = time.monotonic() - began
    await scene.world.counts_agree(HELD.customer, wait_s=40.0)
    took["legs_s"] = time.monotonic() - began
    await eventually(has_peak, "the peak of the day is back", 40.0)
    took["registers_s"] = time.monotonic() - began
    await eventually(is_restored, "used events are back", 40.0)
    took["events_s"] = time.monotonic() - began
    return took


async def is_over(ledger: Ledger, customer: str) -> bool:
    """Whether all legs of a customer are over, or given up."""
    stretches = await ledger.stretches(customer)
    return all(rows[-1].freed_ms is not None for rows in stretches.values())


@pytest.mark.faults
@pytest.mark.parametrize("read", [True, False], ids=["read", "unread"])
async def test_F35_what_a_store_has_lost_counts_once_where_it_was_read_and_has_a_name_where_not(
    file_url: URL, tmp_path: Path, read: bool
) -> None:
    """A store falls back to an older state, as a failover does: legs that began, legs that ended and whole calls are lost there."""
    async with scene_of(file_url, tmp_path, gateways=2) as scene:
        process = scene.process()
        scene.world.stack.callback(process.kill)
        process.start()
        await process.writes()
        servers = await scene.world.media_servers(2, beat_s=BEAT_S)
        await scene.world.install(HELD)
        await steady_legs(servers, HELD.customer, legs=4)
        await asyncio.sleep(6.0)
        await scene.ledger.caught_up()
        log, older = scene.store.folder / "appendonlydir", scene.store.folder / "older"
        shutil.copytree(log, older)
        if not read:
            await pause_between_transactions(process, file_url)
        ended = [next(iter(server.legs)) for server in servers]
        for server, key in zip(servers, ended, strict=True):
            await server.end(*key)
        await steady_legs(servers, HELD.customer, legs=2)
        calls = [await server.call(HELD.customer, 0.05) for server in servers for _ in range(5)]
        assert {"admit"} == {call.decision for call in calls}
        await asyncio.sleep(0.5)
        if read:
            await scene.ledger.caught_up()
        known, last = await scene.ledger.position(BUCKET), (await last_entries(scene.store))[BUCKET]
        scene.store.kill()
        shutil.rmtree(log)
        older.rename(log)
        await scene.store.start()
        if not read:
            process.resume()
        agree_s = await scene.world.counts_agree(HELD.customer, wait_s=SETTLES_S)
        await scene.ledger.caught_up()
        await eventually(lambda: no_doubts(scene.ledger), "what is live is compared with the store", SETTLES_S)
        gaps = await scene.ledger.rows(schema.gaps, schema.gaps.c.bucket == BUCKET)
        off = await judged_spans(scene, read=read)
        assert 0 == await process.stop()
    assert known is not None
    missing = [number for gap in gaps for number in range(gap.first, gap.last + 1)]
    assert list(range(known[1] + 1, last[1] + 1)) == missing
    assert {last[0]} >= {gap.epoch for gap in gaps}
    measured(read=read, agree_s=round(agree_s, 1), missing_entries=len(missing), **off)


BUCKET = bucket_of(HELD.customer)


async def judged_spans(scene: Scene, *, read: bool) -> dict[str, float]:
    """No leg is billed twice at one time, nor beyond its end; where everything was read, none is missing and none is billed for less."""
    found = await scene.ledger.stretches(HELD.customer)
    spans = scene.world.history.spans(HELD.customer)
    history = scene.world.history
    less_s = 0.0
    for span in spans:
        rows = [row for row in found.get(span.connection, []) if row.connected_ms is not None]
        assert rows or not read, f"{span.connection} is missing"
        if not rows:
            continue
        for before, after in pairwise(rows):
            assert before.until_ms is not None, rows
            assert before.until_ms <= after.connected_ms, f"billed twice: {rows}"
        until_ms = history.store_ms(span.until) if span.until is not None else float(now_ms())
        assert all(row.until_ms is not None and row.until_ms <= until_ms + 1000 for row in rows) or span.until is None
        billed_s = sum([((row.until_ms or until_ms) - row.connected_ms) / 1000 for row in rows])
        less_s = max(less_s, (until_ms - history.store_ms(span.since)) / 1000 - billed_s)
    assert not read or less_s < 0.5, less_s
    return {
        "legs": len(spans),
        "missing_legs": len({span.connection for span in spans} - found.keys()),
        "less_s": round(less_s, 2),
    }


FILL = """
local epoch = redis.call('HGET', KEYS[2], 'epoch')
for _ = 1, ARGV[1] do redis.call('XADD', KEYS[1], epoch .. '-*', 'op', 'repair', 'at', ARGV[2], 'customer', 'nobody', 'fields', '0') end
"""


@pytest.mark.faults
async def test_F35_an_outbox_at_its_bound_refuses_joins_as_an_outage_and_takes_everything_else(
    file_url: URL, tmp_path: Path
) -> None:
    """No ledger reads: at half of the bound denials are only tallied, at the bound `store_failure` decides; then all is as before."""
    since_ms = now_ms()
    async with scene_of(file_url, tmp_path, GATEWAY_OUTBOX_MAX="10000") as scene:
        (caller,) = who = callers(scene.world, 1)
        bucket = bucket_of(caller.customer)
        beating = Pool(
            next(name for name in map("beats-{}".format, range(9999)) if bucket_of(name) == bucket),
            None,
            "admit",
            committed=2,
        )
        await scene.world.install(beating)
        (server,) = await scene.world.media_servers(1, beat_s=BEAT_S)
        await server.join(beating.customer)
        async with calling([]) as http:
            await caller.install(http)
            while await caller.admit(http) == "admitted":
                continue

            async def denied_adds() -> int:
                before = await outbox_length(scene.store, caller.customer)
                body = join_data("probe", customer=caller.customer)
                async with http.post(f"{scene.world.sites[0].url}/v1/admit", json=body) as response:
                    reason = (await response.json())["reason"]
                heard.append(reason)
                return await outbox_length(scene.store, caller.customer) - before

            heard: list[str] = []

            async def is_tallied() -> bool:
                probes.append(await denied_adds())
                return probes[-1] == 0

            async def is_refused() -> bool:
                await denied_adds()
                return heard[-1] != "ports_full"

            probes: list[int] = []
            await fill(scene.store, bucket, 5_000)
            tallied_s = await eventually(is_tallied, "denials are only tallied", 5.0, pause_s=0.2)
            assert {"ports_full"} == set(heard)
            await fill(scene.store, bucket, 5_000)
            refused_s = await eventually(is_refused, "joins are refused", 5.0, pause_s=0.2)
            beats = server.beats_answered
            assert "store_unavailable" == await caller.admit(http)
            await caller.release(http, next(iter(caller.legs)))
            assert ["store_unavailable"] * 3 == [await caller.admit(http) for _ in range(3)]
            assert "degraded" == (await server.join(beating.customer))[1].reason
            await eventually(lambda: has_beaten(server, beats + 1), "the media server has beaten", 5.0)
            assert "store_unavailable" == heard[-1]

            process = scene.process()
            scene.world.stack.callback(process.kill)
            process.start()
            await process.writes()
            began = time.monotonic()
            await scene.ledger.caught_up()
            await eventually(lambda: is_admitted(caller, http), "joins are decided again", 15.0)
            again_s = time.monotonic() - began
            caller.denied["ports_full"] += sum(probes)
            await calls_of(who, 100)
            await caller.release_all(http)
            await scene.ledger.caught_up()
            await assert_exact(scene.ledger, who, since_ms)
            await scene.world.counts_agree(beating.customer, wait_s=10.0)
        assert 0 == await process.stop()
    measured(tallied_s=round(tallied_s, 1), refused_s=round(refused_s, 1), again_s=round(again_s, 1))


async def fill(store: Standalone, bucket: int, entries: int) -> None:
    """So many entries more, which bear on no figure."""
    await store.command("EVAL", FILL, 2, bucket_key("outbox", bucket), bucket_key("meta", bucket), entries, now_ms())


async def has_beaten(server: MediaServer, beats: int) -> bool:
    """Whether so many of its heartbeats were answered."""
    return server.beats_answered > beats


async def is_admitted(caller: Caller, http: aiohttp.ClientSession) -> bool:
    """Whether a join is let in."""
    return await caller.admit(http) == "admitted"


@pytest.mark.faults
async def test_F35_an_entry_that_cannot_be_read_is_named_and_those_that_follow_are_read(
    file_url: URL, tmp_path: Path
) -> None:
    """Garbage in the outbox of a customer costs none of its legs."""
    since_ms = now_ms()
    async with scene_of(file_url, tmp_path) as scene:
        (caller,) = who = callers(scene.world, 1)
        bucket = bucket_of(caller.customer)
        await calls_of(who, 50)
        epoch = (await last_entries(scene.store))[bucket][0]
        poison = ("op", "admit", "at", now_ms(), "customer", caller.customer, "connection", "x", "leg", b"\xc1\xff")
        await scene.store.command("XADD", bucket_key("outbox", bucket), f"{epoch}-*", *poison)
        number = (await last_entries(scene.store))[bucket][1]
        process = scene.process()
        scene.world.stack.callback(process.kill)
        process.start()
        await process.writes()
        await calls_of(who, 50)
        await release_everything(who)
        await scene.ledger.caught_up()
        await eventually(lambda: no_doubts(scene.ledger), "what is live is compared with the store", SETTLES_S)
        await assert_exact(scene.ledger, who, since_ms)
        (gap,) = await scene.ledger.rows(schema.gaps)
        assert (epoch, number, number, "unreadable") == (gap.epoch, gap.first, gap.last, gap.cause)
        assert 0 == await process.stop()


class Mix:
    """A ledger, and dice that say what happens to it."""

    def __init__(self, scene: Scene, server: PostgresProcess | None) -> None:
        self.scene = scene
        self.server = server
        self.dice = random.Random(SEED)
        self.processes = [scene.process() for _ in range(2)]
        for process in self.processes:
            scene.world.stack.callback(process.kill)
            process.start()

    async def a_while(self) -> None:
        """Up to eight seconds."""
        await asyncio.sleep(self.dice.uniform(0.1, 8.0))


async def killed(mix: Mix) -> None:
    """A crash, and a start."""
    process = mix.dice.choice(mix.processes)
    process.kill()
    await mix.a_while()
    process.start()


async def stopped(mix: Mix) -> None:
    """SIGTERM, and a start."""
    process = mix.dice.choice(mix.processes)
    assert await process.stop() in {0, -signal.SIGTERM}  # it may have been told before it could hear
    process.start()


async def paused(mix: Mix) -> None:
    """It stands still, also in the middle of a transaction; sometimes for longer than its lease."""
    process = mix.dice.choice(mix.processes)
    process.pause()
    await mix.a_while()
    if mix.dice.random() < 0.3:
        await asyncio.sleep(16.0)
    process.resume()


async def database_locked(mix: Mix) -> None:
    """Somebody else writes."""
    with contextlib.suppress(sqlite3.OperationalError), locked(mix.scene.ledger.url, mix.server):
        await mix.a_while()


async def database_away(mix: Mix) -> None:
    """It is not there."""
    with away(mix.scene.ledger.url, mix.server):
        await mix.a_while()


async def scripts_flushed(mix: Mix) -> None:
    """Redis forgets its scripts."""
    await mix.scene.store.command("SCRIPT", "FLUSH")


MIXED: tuple[Callable[[Mix], Awaitable[None]], ...] = (
    killed, stopped, paused, database_locked, database_away, scripts_flushed,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(int(MINUTES * 60) + 240)
async def test_F39_after_any_faults_of_the_ledger_in_any_order_it_has_everything_once(
    ledger_url: URL, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Two processes, one database, faults for minutes; then every leg, every denial and every figure is the callers'."""
    print(f"FAULT_SEED={SEED}")  # noqa: T201 - it repeats the run
    since_ms, done = now_ms(), Counter[str]()
    async with scene_of(ledger_url, tmp_path) as scene:
        mix, who = Mix(scene, postgres_of(ledger_url, request)), callers(scene.world, 3)
        await eventually(lambda: is_stored(scene.ledger, schema.leases), "the database is made", 30.0)
        until = time.monotonic() + MINUTES * 60
        async with calling(who, 0.02):
            while time.monotonic() < until:
                fault = mix.dice.choice(MIXED)
                done[fault.__name__] += 1
                await fault(mix)
                await mix.a_while()
        await release_everything(who)
        behind_s = await scene.ledger.caught_up(90.0)
        legs = await assert_exact(scene.ledger, who, since_ms)
        assert 0 == await scene.ledger.count(schema.gaps)
        assert [0, 0] == [await process.stop() for process in mix.processes]
    measured(
        seed=SEED,
        done=done,
        legs=legs,
        denied=sum([caller.denied.total() for caller in who]),
        caught_up_s=round(behind_s, 1),
    )
