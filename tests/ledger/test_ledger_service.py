"""The ledger as processes: beside a gateway, which starts one by itself, and two for one database."""

import contextlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from fault_world import eventually
from ledger_histories import START, Entries
from ledger_world import NOWHERE, Caller, Ledger, LedgerProcess, assert_exact, ledger_at, now_ms, sqlite_url
from redis_processes import Standalone
from sqlalchemy import select
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection
from support import RunningGateway

from gateway.domain.billing.entry import EntryId
from gateway.ledger import schema
from gateway.ledger.continuity import Position, following, gaps_before
from gateway.ledger.database import Database, LedgerUnavailable
from gateway.ledger.entries import Denial, EpochBegan
from gateway.ledger.lease import Lease
from gateway.ledger.stretches import Stretches, unheard_of
from gateway.ledger.writer import Writer


Started = Callable[..., Awaitable[RunningGateway]]


class Door:
    """A gateway as callers see it."""

    def __init__(self, gateway: RunningGateway) -> None:
        self.gateway = gateway
        self.url = gateway.url


@pytest.fixture
async def store() -> AsyncIterator[Standalone]:
    """A Redis of its own."""
    async with Standalone() as started:
        yield started


@pytest.fixture
async def ledger(store: Standalone, tmp_path: Path) -> AsyncIterator[Ledger]:
    """A database that nobody has made yet."""
    async with ledger_at(sqlite_url(tmp_path / "data" / "ledger.db"), store) as opened:
        yield opened


async def test_a_gateway_starts_a_ledger_that_has_everything_and_tells_its_lag(
    store: Standalone, ledger: Ledger, make_gateway: Started, http: aiohttp.ClientSession
) -> None:
    """Legs, denials, overage and entitlements are there within seconds; what happens before the gateway is told to stop is read as well."""
    since_ms = now_ms()
    gateway = await make_gateway(redis_url=store.url, env={"GATEWAY_LEDGER_URL": f"sqlite:///{ledger.url.database}"})
    caller = caller_of(gateway)
    await caller.install(http)
    while await caller.admit(http, provisional=len(caller.legs) == 2) == "admitted":
        continue
    await eventually(lambda: tells(http, gateway, "gateway_ledger_up 1.0"), "the ledger is there", 20.0)
    await ledger.caught_up(10.0)
    await eventually(lambda: lags_less_than(http, gateway, 4.0), "its lag is small", 10.0)
    for name in [name for name, leg in caller.legs.items() if leg.connected]:
        await caller.release(http, name)

    assert 0 == await gateway.stop()
    assert await ledger.caught_up(0.5) < 0.5
    assert 6 == await assert_exact(ledger, [caller], since_ms)
    assert (5, 2, 6) == (caller.peak, caller.overage, caller.held_peak)


async def test_of_two_processes_one_writes_and_the_other_goes_on_when_it_is_killed(
    store: Standalone, ledger: Ledger, make_gateway: Started, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """The second waits for its lease to be over, and takes up where the first was killed; nothing counts twice."""
    since_ms = now_ms()
    caller = caller_of(await make_gateway(redis_url=store.url, env=NOWHERE))
    await caller.install(http)
    with (
        LedgerProcess(store.url, ledger.url, tmp_path) as first,
        LedgerProcess(store.url, ledger.url, tmp_path) as second,
    ):
        await eventually(lambda: one_writes(first, second), "one of them writes", 20.0)
        for _ in range(9):
            await caller.admit(http)
        await ledger.caught_up(10.0)
        writer, other = (first, second) if first.told("ledger.writing") else (second, first)
        assert [] == other.told("ledger.writing")
        writer.kill()
        for name in list(caller.legs):
            await caller.release(http, name)
        await ledger.end_lease()  # it would be over in 15 s
        await other.writes(1, 10.0)
        await ledger.caught_up(10.0)
        assert 6 == await assert_exact(ledger, [caller], since_ms)
        assert 0 == await other.stop()
    assert 0 == await ledger.count(schema.gaps)


async def test_a_file_that_is_replaced_by_a_copy_is_read_from_then_on(migrated_sqlite: Path, tmp_path: Path) -> None:
    """Who has the database open goes on in the copy, and not in the file that nobody sees any more."""
    path, copy = tmp_path / "ledger.db", tmp_path / "copy.db"
    for each in (path, copy):
        shutil.copy(migrated_sqlite, each)
    database = await Database.open(sqlite_url(path))
    try:
        async with database.writing() as connection:
            await connection.execute(schema.facts.insert(), {"name": "of", "value": "the first"})
        replace(path, copy)
        async with database.reading() as connection:
            assert [] == (await connection.execute(schema.facts.select())).all()
    finally:
        await database.close()


class AnswerLost(Database):
    """A database whose answer to a commit is lost once."""

    is_lost = False

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """What is done in it is written, and nobody hears of it."""
        async with super().writing() as connection:
            yield connection
        if not self.is_lost:
            self.is_lost = True
            raise LedgerUnavailable("the connection was closed")


async def test_a_commit_whose_answer_was_lost_does_not_count_twice(ledger_url: URL) -> None:
    """The writer does not know; it has the database tell before it writes again."""
    database = AnswerLost(Database.later(ledger_url).engine)
    try:
        lease = Lease("me")
        with pytest.raises(LedgerUnavailable):
            await lease.acquire(database)
        database.is_lost = False
        writer = Writer(database, lease)
        await writer.load()
        batch = {7: [Denial(EntryId(10, 0), START, "acme", "ports_full")]}
        with pytest.raises(LedgerUnavailable):
            await writer.write(batch)
        assert writer.is_unsure
        await writer.load()
        assert [] == await writer.write(batch)
        async with database.reading() as connection:
            assert [1] == list((await connection.execute(select(schema.denials.c["count"]))).scalars())
    finally:
        await database.close()


def test_a_store_that_lost_the_end_of_a_leg_and_ends_it_once_more_changes_nothing() -> None:
    """It was released, and read; the store fell back to before, and reclaimed it after a lease."""
    entries = Entries()
    stretches = Stretches({})
    for op, at_ms in (("admit", START), ("release", START + 500)):
        stretches.apply(entries(op, at_ms, START, START))
    over, again = list(stretches.over), Stretches({}, ended={("acme", "leg", START)})
    for read in (stretches, again):
        read.apply(entries("reclaim", START + 40_000, START, START, alive_ms=START + 400))
    assert over == stretches.over
    assert ({}, []) == (stretches.going, again.over) == (again.going, [])
    assert [("acme", "leg", START)] == list(unheard_of(entries.made[-1:], {}))


def test_what_another_gateway_was_told_of_the_epoch_before_is_missing_too() -> None:
    """The first that met the new store knew of entries up to 7, the second up to 9; 5 was read."""
    told = [
        EpochBegan(EntryId(20, number), 21, None, EntryId(10, last), lost=True) for number, last in ((0, 7), (1, 9))
    ]
    position = Position(EntryId(10, 5), 11)
    found = []
    for entry in told:
        found += gaps_before(position, entry)
        position = following(position, entry)
    assert [(10, 6, 7), (10, 8, 9)] == [(gap.epoch, gap.first, gap.last) for gap in found]


def replace(path: Path, copy: Path) -> None:
    """What restores a backup."""
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink()
    copy.rename(path)


def caller_of(gateway: RunningGateway) -> Caller:
    """A caller that calls this gateway."""
    door = Door(gateway)
    return Caller("acme", lambda: door)


async def one_writes(*processes: LedgerProcess) -> bool:
    """Whether exactly one of them says that it writes, and both are there."""
    return sorted(len(process.told("ledger.writing")) for process in processes) == [0, 1] and all(
        process.told("store.connected") for process in processes
    )


async def tells(http: aiohttp.ClientSession, gateway: RunningGateway, line: str) -> bool:
    """Whether the metrics of a gateway have this line."""
    async with http.get(f"{gateway.admin_url}/metrics") as response:
        return line in (await response.text()).splitlines()


async def lags_less_than(http: aiohttp.ClientSession, gateway: RunningGateway, seconds: float) -> bool:
    """Whether the gateway says that the ledger lags by less."""
    async with http.get(f"{gateway.admin_url}/metrics") as response:
        lines = (await response.text()).splitlines()
    return float(next(line for line in lines if line.startswith("gateway_ledger_lag_seconds ")).split()[1]) < seconds
