"""Batches of entries into a database: once each, whatever fails, and by one process at a time. On SQLite and on PostgreSQL."""

import asyncio
import contextlib
import itertools
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_histories import EPOCH, START, Entries, Row, histories
from sqlalchemy import Table, event, func, select
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.billing.entry import EntryId
from gateway.domain.days import day_at
from gateway.ledger import database as databases
from gateway.ledger import schema
from gateway.ledger.continuity import LOST, TRIMMED, Position
from gateway.ledger.database import Database, LedgerUnavailable
from gateway.ledger.entries import Change, Denial, Entry, EpochBegan, LegEntry
from gateway.ledger.lease import Lease, LeaseLost
from gateway.ledger.reading import read_stretches
from gateway.ledger.writer import Writer


BUCKET = 7
WAIT_S = 20.0
"""A bound; nothing takes that long."""

ROW_OF_TABLES = (
    "connection", "number", "held_ms", "freed_ms", "connected_ms", "until_ms", "cause",
)  # fmt: skip


async def writer_on(database: Database, holder: str = "ledger-1") -> Writer:
    """A writer that holds the lease and knows where the database stands."""
    lease = Lease(holder)
    assert await lease.acquire(database)
    writer = Writer(database, lease)
    await writer.load()
    return writer


@pytest.fixture
async def writer(ledger_database: Database) -> Writer:
    """The one that writes."""
    return await writer_on(ledger_database)


async def rows_of(database: Database, table: Table) -> list[tuple[Any, ...]]:
    """All rows of a table, in order."""
    async with database.reading() as connection:
        return sorted((tuple(row) for row in await connection.execute(select(table))), key=repr)


async def everything(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables, but for the lease, which is renewed, and keys, which are random."""
    tables = [table for table in schema.metadata.sorted_tables if table.name not in {"leases", "pseudonym_keys"}]
    return {table.name: await rows_of(database, table) for table in tables}


async def stretches_of(database: Database, customer: str = "acme") -> list[Row]:
    """What the tables hold of a customer's legs, in the form of the histories."""
    found: list[Row] = []
    async with database.reading() as connection:
        for table in (schema.legs, schema.live):
            columns = [table.c[name] for name in ROW_OF_TABLES]
            rows = await connection.execute(select(*columns).where(table.c.customer == customer))
            found += [(*row[:-1], row.cause or "") for row in rows]
    return sorted(found, key=lambda row: row[:2])


async def count_of(database: Database, table: Table) -> int:
    """How many rows a table has."""
    async with database.reading() as connection:
        return int((await connection.execute(select(func.count()).select_from(table))).scalar_one())


def one_of_each(made: Entries | None = None) -> list[LegEntry]:
    """Legs that end in every way, and one that goes on."""
    entry = made or Entries()
    entry("admit", START, START, connection="a")
    entry("confirm", START + 10, START, START + 10, connection="a")
    entry("admit", START + 20, START + 20, START + 20, connection="b")
    entry("move", START + 30, START + 20, START + 20, connection="b")
    entry("admit", START + 40, START + 40, START + 40, connection="c")
    entry("reclaim", START + 60, START + 40, START + 40, connection="c", cause="lapsed", alive_ms=START + 50)
    entry("release", START + 70, START, START + 10, connection="a", cause="released")
    entry("adopt", START + 80, START + 80, START + 80, connection="c")
    entry("release", START + 90, START + 20, START + 20, connection="b", cause="operator")
    return entry.made


ONE_OF_EACH: list[Row] = [
    ("a", 0, START, START + 70, START + 10, START + 70, "released"),
    ("b", 2, START + 20, START + 30, START + 20, START + 30, "moved"),
    ("b", 3, START + 30, START + 90, START + 30, START + 90, "operator"),
    ("c", 4, START + 40, START + 60, START + 40, START + 80, "lapsed"),
    ("c", 7, START + 80, None, START + 80, None, ""),
]


@pytest.mark.parametrize("size", [1, 2, 5, 9])
async def test_T4_3_stretches_are_the_same_in_batches_of_any_size(
    ledger_database: Database, writer: Writer, size: int
) -> None:
    """What a leg came to is in the tables, whichever of its entries came together."""
    entries = one_of_each()
    for first in range(0, len(entries), size):
        assert await writer.write({BUCKET: entries[first : first + size]}) == []
    assert await stretches_of(ledger_database) == ONE_OF_EACH


async def test_what_is_read_back_is_what_was_written(ledger_database: Database, writer: Writer) -> None:
    """Reports see the same stretches, and people, meetings and nodes by one number each."""
    await writer.write({BUCKET: one_of_each()})
    async with ledger_database.reading() as connection:
        found = await read_stretches(connection, "acme", START, START + 1_000)
        names = {row.id: row.name for row in await connection.execute(select(schema.names.c.id, schema.names.c.name))}
    assert sorted(
        (each.connection, each.began.number, each.held_ms, each.freed_ms, each.connected_ms, each.until_ms, each.cause)
        for each in found
    ) == ONE_OF_EACH  # fmt: skip
    assert {(each.connection, names[each.person or 0]) for each in found} == {
        ("a", "a@acme.example"), ("b", "b@acme.example"), ("c", "c@acme.example"),
    }  # fmt: skip
    assert {names[each.meeting] for each in found} == {"meeting"}


async def test_a_batch_that_is_delivered_again_changes_nothing(ledger_database: Database, writer: Writer) -> None:
    """Entries that were read before do not count, wherever the batch begins."""
    entries = one_of_each()
    await writer.write({BUCKET: entries})
    before = await everything(ledger_database)
    await writer.write({BUCKET: entries})
    await writer.write({BUCKET: entries[3:]})
    assert await everything(ledger_database) == before


class Broken(ConnectionError):
    """The connection to the database is gone."""


@contextlib.contextmanager
def breaks_at(database: Database, statement: int) -> Iterator[list[str]]:
    """The connection breaks at the statement with this number; gives the statements that were asked for."""
    asked: list[str] = []

    def before(_: Any, __: Any, text: str, *___: Any) -> None:
        asked.append(text)
        if len(asked) == statement:
            raise Broken(text)

    engine = database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", before)
    try:
        yield asked
    finally:
        event.remove(engine, "before_cursor_execute", before)


async def test_a_transaction_that_breaks_anywhere_leaves_nothing(ledger_database: Database, writer: Writer) -> None:
    """Positions move with the rows: whichever statement fails, everything is as before, and the batch can come again."""
    entries = one_of_each()
    await writer.write({BUCKET: entries[:4]})
    before, failures = await everything(ledger_database), 0
    for statement in itertools.count(1):
        with breaks_at(ledger_database, statement) as asked:
            try:
                await writer.write({BUCKET: entries[4:]})
            except LedgerUnavailable:
                failures += 1
        if len(asked) < statement:
            break
        assert await everything(ledger_database) == before
        await writer.load()
        assert writer.positions == {BUCKET: Position.of(EPOCH, 3, START + 30)}
    assert failures == statement - 1
    assert failures > 8
    assert await stretches_of(ledger_database) == ONE_OF_EACH


class AnswerLost(Database):
    """A database whose connection breaks after a commit, before its answer has come."""

    lost = 0

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """Commits, and says that it does not know."""
        async with super().writing() as connection:
            yield connection
        if self.lost:
            self.lost -= 1
            raise LedgerUnavailable("nobody knows whether it was committed")


async def test_a_commit_whose_answer_is_lost_counts_once(ledger_database: Database) -> None:
    """The database tells what it has: the same entries, delivered again, change nothing."""
    database = AnswerLost(ledger_database.engine)
    writer = await writer_on(database)
    entries = one_of_each()
    denial = Denial(EntryId(EPOCH, len(entries)), START + 95, "acme", "ports_full")
    for first in (0, 3, 6):
        database.lost = 1
        batch: dict[int, list[Entry]] = {BUCKET: [*entries[first : first + 3], *([denial] if first == 6 else [])]}
        with pytest.raises(LedgerUnavailable):
            await writer.write(batch)
        await writer.load()
        await writer.write(batch)
    assert await stretches_of(ledger_database) == ONE_OF_EACH
    assert await rows_of(ledger_database, schema.denials) == [("acme", day_at(START).ordinal, "ports_full", 1)]


async def test_a_new_process_goes_on_where_the_database_stands(ledger_database: Database, writer: Writer) -> None:
    """What it reads again from the outbox is not written twice."""
    entries = one_of_each()
    await writer.write({BUCKET: entries[:6]})
    another = await writer_on(ledger_database)
    assert another.positions == {BUCKET: Position.of(EPOCH, 5, START + 60)}
    await another.write({BUCKET: entries})
    assert await stretches_of(ledger_database) == ONE_OF_EACH


@settings(
    max_examples=12, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # fmt: skip
@given(data=st.data())
async def test_T4_3_random_histories_with_failures_come_to_what_the_legs_lived(
    ledger_database: Database, data: st.DataObject
) -> None:
    """Any batches, some twice, some rolled back, some with a lost answer: equal to the last leg."""
    database = AnswerLost(ledger_database.engine)
    writer = await writer_on(database)
    bucket = len(writer.positions)
    customer = f"customer-{bucket}"
    entries, expected = data.draw(histories(customer))
    at = 0
    while at < len(entries):
        first, until = data.draw(st.integers(max(0, at - 3), at)), data.draw(st.integers(at + 1, len(entries)))
        batch = {bucket: entries[first:until]}
        how = data.draw(st.sampled_from(["", "", "break", "answer"]))
        database.lost = int(how == "answer")
        statement = data.draw(st.integers(1, 12)) if how == "break" else 0
        with contextlib.suppress(LedgerUnavailable), breaks_at(database, statement):
            await writer.write(batch)
        database.lost = 0
        if how:
            await writer.load()
            await writer.write(batch)
        at = until
        if data.draw(st.booleans()):
            await writer.give_up(entries[at - 1].at_ms)
    assert await stretches_of(database, customer) == sorted(expected)


async def test_T4_3_what_waited_for_two_hours_is_over(ledger_database: Database, writer: Writer) -> None:
    """It goes from the stretches that go on to those that are over, and keeps what it was billed."""
    entry = Entries()
    entry("admit", START, START, START)
    entry("reclaim", START + 60, START, START, cause="lapsed", alive_ms=START + 50)
    await writer.write({BUCKET: entry.made})
    assert [await writer.give_up(START + 60 + 7_200_000 - 1), await writer.give_up(START + 60 + 7_200_000)] == [0, 1]
    assert await count_of(ledger_database, schema.live) == 0
    assert await stretches_of(ledger_database) == [("leg", 0, START, START + 60, START, START + 50, "lapsed")]


async def test_names_and_shapes_are_made_once(ledger_database: Database, writer: Writer) -> None:
    """A name has one number for its customer and kind, in whatever batch and process it comes."""
    for customer, bucket in (("acme", 1), ("globex", 2)):
        entries = one_of_each(Entries(customer))
        await writer.write({bucket: entries[:5]})
        await (await writer_on(ledger_database)).write({bucket: entries[5:]})
    people = [f"{who}@acme.example" for who in ("a", "b", "c", "host")]
    found = sorted(row[1:4] for row in await rows_of(ledger_database, schema.names))
    assert found == sorted(
        [(customer, "person", name) for customer in ("acme", "globex") for name in people]
        + [
            (customer, kind, name)
            for customer in ("acme", "globex")
            for kind, name in (("meeting", "meeting"), ("node", "node-1"))
        ]
    )
    assert await count_of(ledger_database, schema.shapes) == 2


async def test_denials_are_counted_by_day_and_reason(ledger_database: Database, writer: Writer) -> None:
    """They add up over batches."""
    day = day_at(START)
    told = [
        Denial(EntryId(EPOCH, number), at_ms, "acme", reason)
        for number, (at_ms, reason) in enumerate(
            [
                (START, "ports_full"),
                (START, "ports_full"),
                (START, "suspended"),
                (day.end_ms - 1, "ports_full"),
                (day.end_ms, "ports_full"),
            ]
        )
    ]
    await writer.write({BUCKET: told[:2]})
    await writer.write({BUCKET: told[2:]})
    assert await rows_of(ledger_database, schema.denials) == [
        ("acme", day.ordinal, "ports_full", 3),
        ("acme", day.ordinal, "suspended", 1),
        ("acme", day.ordinal + 1, "ports_full", 1),
    ]


async def test_every_version_of_entitlements_is_kept(ledger_database: Database, writer: Writer) -> None:
    """With what was done, by whom and when; a version that is there stays as it is."""
    changes = [
        Change(EntryId(EPOCH, number), START + number, "acme", number + 1, change, "alice@acme.example", b'{"id":1}')
        for number, change in enumerate(["install", "suspend"])
    ]
    again = Change(EntryId(EPOCH, 2), START + 2, "acme", 2, "restore", "recovery", b"{}")
    await writer.write({BUCKET: changes})
    await writer.write({BUCKET: [again]})
    assert await rows_of(ledger_database, schema.versions) == [
        ("acme", 1, START, EPOCH, 0, "install", "alice@acme.example", b'{"id":1}'),
        ("acme", 2, START + 1, EPOCH, 1, "suspend", "alice@acme.example", b'{"id":1}'),
    ]


async def test_a_gap_is_kept_and_puts_the_bucket_in_doubt(ledger_database: Database, writer: Writer) -> None:
    """Until when its legs were known to live is kept with the position; a later gap does not make that later."""
    entry = Entries()
    for place in range(6):
        entry("admit", START + place, START + place, connection=f"leg-{place}")
    first = await writer.write({BUCKET: [entry.made[0], entry.made[3]]})
    assert [(gap.first, gap.last, gap.from_ms, gap.until_ms, gap.cause) for gap in first] == [
        (1, 2, START, START + 3, TRIMMED)
    ]
    began = EpochBegan(EntryId(EPOCH + 9, 0), START + 9, EntryId(EPOCH, 3), EntryId(EPOCH, 5), True)
    await writer.write({BUCKET: [began]})
    kept = sorted(row[:6] + row[7:] for row in await rows_of(ledger_database, schema.gaps))
    assert kept == [
        (BUCKET, EPOCH, 1, 2, START, START + 3, TRIMMED),
        (BUCKET, EPOCH, 4, 5, START + 3, START + 9, LOST),
    ]
    again = await writer_on(ledger_database)
    assert (again.positions, again.doubts) == (
        {BUCKET: Position.of(EPOCH + 9, 0, START + 9)},
        {BUCKET: START},
    )


async def test_a_large_batch_of_all_buckets_is_one_transaction(ledger_database: Database, writer: Writer) -> None:
    """64 buckets of 500 entries: more than any number of parameters that a statement may have."""
    batches: dict[int, list[LegEntry]] = {}
    for bucket in range(64):
        entry = Entries(f"customer-{bucket}")
        for place in range(200):
            entry("admit", START + place, START + place, START + place, connection=f"leg-{place}")
        for place in range(100):
            entry(
                "release",
                START + 300 + place,
                START + place,
                START + place,
                connection=f"leg-{place}",
                cause="released",
            )
        batches[bucket] = entry.made
    await writer.write(batches)
    assert await count_of(ledger_database, schema.legs) == 6_400
    assert await count_of(ledger_database, schema.live) == 6_400
    assert await count_of(ledger_database, schema.positions) == 64


@pytest.mark.parametrize("ledger_kind", ["sqlite"], indirect=True)
async def test_a_report_does_not_look_through_all_of_a_customers_past(ledger_database: Database) -> None:
    """Stretches of long ago that are still there are found by an index of their own."""
    asked: list[tuple[str, Any]] = []

    def before(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if "FROM legs" in statement:
            asked.append((statement, parameters))

    async with ledger_database.writing() as connection:
        await connection.execute(schema.shapes.insert(), {"customer": "acme", "shape": '["meeting","web","participant"]'})
    event.listen(ledger_database.engine.sync_engine, "before_cursor_execute", before)
    async with ledger_database.reading() as connection:
        await read_stretches(connection, "acme", START, START + 1)
        plans = [
            (await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)).mappings().one()["detail"]
            for statement, parameters in list(asked)
        ]
    assert plans == [
        "SEARCH legs USING PRIMARY KEY (customer=? AND held_ms>? AND held_ms<?)",
        "SEARCH legs USING INDEX ix_legs_long (customer=? AND freed_ms>?)",
    ]


# ---- the lease


async def test_one_process_writes_at_a_time(ledger_database: Database) -> None:
    """Of many that want to at one instant, one may; the others may when it gives the lease up."""
    leases = [Lease(f"ledger-{number}") for number in range(6)]
    taken = await asyncio.gather(*[lease.acquire(ledger_database) for lease in leases])
    assert sorted(taken) == [False] * 5 + [True]
    holder = leases[taken.index(True)]
    assert await holder.acquire(ledger_database)
    await holder.release(ledger_database)
    assert await leases[taken.index(True) - 1].acquire(ledger_database)
    assert not await holder.acquire(ledger_database)


async def test_a_writer_whose_lease_was_taken_writes_nothing(ledger_database: Database) -> None:
    """It was paused for longer than its lease: its transaction fails as a whole."""
    paused = Lease("paused", lease_s=-1.0)
    assert await paused.acquire(ledger_database)
    late = Writer(ledger_database, paused)
    await late.load()
    next_one = await writer_on(ledger_database, "next")
    entries = one_of_each()
    await next_one.write({BUCKET: entries[:4]})
    before = await everything(ledger_database)
    with pytest.raises(LeaseLost):
        await late.write({BUCKET: entries})
    assert await everything(ledger_database) == before
    await next_one.write({BUCKET: entries[4:]})
    assert await stretches_of(ledger_database) == ONE_OF_EACH


async def test_every_transaction_renews_the_lease(ledger_database: Database, writer: Writer) -> None:
    """Who writes keeps the right to, without doing anything for it."""
    async with ledger_database.writing() as connection:
        await connection.execute(schema.leases.update().values(until_ms=1))
    await writer.write({BUCKET: one_of_each()})
    assert not await Lease("another").acquire(ledger_database)


async def test_who_waits_for_a_transaction_sees_the_lease_that_it_renewed(ledger_database: Database) -> None:
    """An expired lease that its holder renews in a transaction under way is not taken from it."""
    holder = Lease("holder", lease_s=-1.0)
    assert await holder.acquire(ledger_database)
    async with ledger_database.writing() as connection:
        await Lease("holder").hold(connection)
        asked = asyncio.create_task(Lease("another").acquire(ledger_database))
        await asyncio.sleep(0)
        assert not asked.done()
    assert not await asyncio.wait_for(asked, WAIT_S)


@pytest.mark.parametrize("ledger_kind", ["postgresql"], indirect=True)
async def test_a_writer_paused_within_a_transaction_is_ended_by_postgresql(
    ledger_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its locks are gone with its transaction, so that another one can go on."""
    monkeypatch.setattr(databases, "IDLE_S", 0.1)
    paused, other = await Database.open(ledger_url), await Database.open(ledger_url)
    lease = Lease("paused", lease_s=-1.0)
    assert await lease.acquire(paused)
    writer = Writer(paused, lease)

    async def pause_and_go_on() -> None:
        async with paused.writing() as connection:
            await lease.hold(connection)
            assert await asyncio.wait_for(Lease("next").acquire(other), WAIT_S)
            await connection.execute(schema.facts.insert(), [{"name": "late", "value": "x"}])

    with pytest.raises(LedgerUnavailable, match=r"idle-in-transaction|closed"):
        await pause_and_go_on()
    assert await count_of(other, schema.facts) == 0
    with pytest.raises(LeaseLost):
        await writer.write({BUCKET: one_of_each()})
    await paused.close()
    await other.close()


# ---- a process that is killed

READS = """
import asyncio, sys
from sqlalchemy.engine import make_url
from ledger_histories import START, Entries
from gateway.ledger.database import Database
from gateway.ledger.lease import Lease
from gateway.ledger.writer import Writer

def entries(count):
    entry = Entries()
    for leg in range(count):
        at_ms = START + 10 * leg
        entry("admit", at_ms, at_ms, at_ms, connection=f"leg-{leg}")
        if leg >= 5:
            ended, name = START + 10 * (leg - 5), f"leg-{leg - 5}"
            entry("release", at_ms, ended, ended, connection=name, cause="released")
    return entry.made

async def main(url, count):
    database = await Database.open(make_url(url))
    lease = Lease("reader")
    assert await lease.acquire(database)
    writer = Writer(database, lease)
    await writer.load()
    outbox = entries(count)
    while True:
        at = writer.positions[7].id.number + 1 if 7 in writer.positions else 0
        page = outbox[max(0, at - 2) : at + 9]  # some that were read before come again
        if at == len(outbox):
            break
        await writer.write({7: page})
        print(at, flush=True)
    await database.close()

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def _reads(url: URL, legs: int, lines: int | None) -> int:
    """A process that writes entries; killed after so many lines. Its exit code."""
    path = [each for each in sys.path if each]
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}\n{READS}"]
    with subprocess.Popen(
        [*command, url.render_as_string(hide_password=False), str(legs)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for told in itertools.count(1):
            if not process.stdout.readline():
                break
            if told == lines:
                process.kill()
        return process.wait(WAIT_S)


@pytest.mark.slow
async def test_kill_9_at_any_point_loses_nothing_and_counts_nothing_twice(ledger_url: URL) -> None:
    """A writing process is killed again and again; what the last one leaves is what one that was never killed would have."""
    legs = 600
    codes = [await asyncio.to_thread(_reads, ledger_url, legs, lines) for lines in (1, 7, 20, 33)]
    assert codes == [-9] * 4
    assert await asyncio.to_thread(_reads, ledger_url, legs, None) == 0
    database = await Database.open(ledger_url)
    found = await stretches_of(database)
    assert [await count_of(database, table) for table in (schema.legs, schema.live, schema.gaps)] == [legs - 5, 5, 0]
    await database.close()
    assert found == sorted(_expected(legs), key=lambda row: row[:2])


def _expected(legs: int) -> Sequence[Row]:
    numbers = {leg: leg if leg < 5 else 5 + 2 * (leg - 5) for leg in range(legs)}
    return [
        (
            f"leg-{leg}", numbers[leg], START + 10 * leg,
            *((START + 10 * (leg + 5), START + 10 * leg, START + 10 * (leg + 5), "released") if leg < legs - 5
              else (None, START + 10 * leg, None, "")),
        )
        for leg in range(legs)
    ]  # fmt: skip
