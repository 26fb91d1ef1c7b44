"""What a gateway remembers on disk: exact values, what may be lost, and what must never be."""

import asyncio
import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import structlog
from disk_files import ask, held, reach, turns
from hypothesis import given, settings
from hypothesis import strategies as st

import gateway.disk
import gateway.memory
from gateway.disk import VERSION, MemoryFailed, transaction
from gateway.memory import REMEMBERED_DAYS, Memory
from gateway.remembered import SeenRegister


DAY = 20_414
CHILD = """
import asyncio, sys
from pathlib import Path
import gateway.memory
from gateway.memory import Memory

async def main():
    gateway.memory.FLUSH_S = 3600.0
    memory = await Memory.open(Path(sys.argv[1]))
    memory.told(3, 1, 100)
    memory.see_register("acme", 3, 20414, "ports", 10, 12, 1000)
    await memory.flush()
    memory.told(3, 1, 200)
    memory.see_register("acme", 3, 20414, "ports", 10, 15, 2000)
    print("ready", flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of worker 0."""
    return tmp_path / "memory-0.db"


@pytest.fixture
async def memory(path: Path) -> AsyncIterator[Memory]:
    """A memory that writes only when told to, in a test that takes less than an hour."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gateway.memory, "FLUSH_S", 3_600.0)
        opened = await Memory.open(path)
        yield opened
        await opened.close()


def run_and_kill(path: Path) -> None:
    """Runs the child until it is ready, and kills it."""
    with subprocess.Popen([sys.executable, "-c", CHILD, path], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        try:
            assert child.stdout.readline() == "ready\n"
        finally:
            child.kill()


def broken_files(path: Path) -> list[str]:
    """Names of what was set aside of a file."""
    return sorted(each.name for each in path.parent.glob(f"{path.name}.broken-*") if each.suffix != ".db")


async def test_the_greatest_epoch_and_number_of_a_bucket_are_remembered(path: Path) -> None:
    """Epochs go before numbers, smaller ones change nothing, buckets do not mix, and all that holds after a restart."""
    memory = await Memory.open(path)
    for told in ((0, 1, 500), (0, 2, 7), (0, 1, 900), (0, 2, 6), (63, 1, 0)):
        memory.told(*told)
    known = [memory.last_told(bucket) for bucket in (0, 1, 63)]
    await memory.close()
    again = await Memory.open(path)
    remembered = [again.last_told(bucket) for bucket in (0, 1, 63)]
    again.told(0, 2, 3)
    await again.close()

    assert known == [(2, 7), None, (1, 0)]
    assert remembered == known
    assert ask(path, "SELECT * FROM told ORDER BY bucket") == [(0, 2, 7), (63, 1, 0)]


async def test_the_greatest_version_of_entitlements_is_kept_on_disk_only(memory: Memory, path: Path) -> None:
    """By customer and by bucket, bytes as they came, before and after the flush; nothing of it stays in memory."""
    great = bytes(range(256)) * 4096
    memory.keep_entitlements("globex", 7, 1, b"")
    memory.keep_entitlements("acme", 7, 2, b"two")
    memory.keep_entitlements("acme", 7, 3, great)
    memory.keep_entitlements("acme", 7, 1, b"one")
    memory.keep_entitlements("initech", 8, 1, b"\x00{}")

    assert await memory.entitlements("acme") == (3, great)
    assert memory._documents == {}
    memory.keep_entitlements("acme", 7, 2, b"late")
    assert await memory.entitlements_of(7) == [("acme", 3, great), ("globex", 1, b"")]
    assert await memory.entitlements_of(8) == [("initech", 1, b"\x00{}")]
    assert await memory.entitlements("hooli") is None
    assert ask(path, "SELECT customer, version FROM entitlements ORDER BY 1") == [
        ("acme", 3), ("globex", 1), ("initech", 1),
    ]  # fmt: skip


async def test_more_entitlements_than_one_statement_takes_are_written(memory: Memory) -> None:
    """1001 documents are read as they were kept."""
    for number in range(1001):
        memory.keep_entitlements(f"customer-{number:04}", 1, 1, str(number).encode())

    found = await memory.entitlements_of(1)

    assert found == [(f"customer-{number:04}", 1, str(number).encode()) for number in range(1001)]


async def test_a_register_holds_two_maxima_and_their_times(memory: Memory) -> None:
    """The overage is above the commitment of its moment, a maximum that is reached again keeps its time, the commitment is the last."""
    for committed, count, now_ms in ((10, 8, 1), (10, 12, 2), (20, 15, 3), (20, 15, 4), (13, 14, 5), (11, 14, 6)):
        memory.see_register("acme", 3, DAY, "ports", committed, count, now_ms)
    memory.see_register("acme", 3, DAY, "hosts:meeting", 5, 0, 7)
    memory.see_register("globex", 3, DAY, "ports", 1, 99, 8)
    seen = [SeenRegister(DAY, "hosts:meeting", 5, 0, 7, 0, 7), SeenRegister(DAY, "ports", 11, 15, 3, 3, 6)]

    assert await memory.registers_of("acme") == seen
    assert await memory.registers_of("hooli") == []
    assert await memory.customers_of(3) == ["acme", "globex"]


async def test_what_is_on_disk_is_never_lowered(path: Path) -> None:
    """After a restart smaller counts, versions and numbers change nothing, and a greater peak takes its time along, not the overage's."""
    first = await Memory.open(path)
    first.see_register("acme", 3, DAY, "ports", 10, 15, 1_000)
    first.keep_entitlements("acme", 3, 5, b"five")
    await first.close()
    second = await Memory.open(path)
    second.see_register("acme", 3, DAY, "ports", 12, 15, 2_000)
    second.keep_entitlements("acme", 3, 4, b"four")
    after_less = await second.registers_of("acme")
    second.see_register("acme", 3, DAY, "ports", 14, 18, 3_000)
    after_more = await second.registers_of("acme")
    kept = await second.entitlements("acme")
    await second.close()

    assert after_less == [SeenRegister(DAY, "ports", 12, 15, 1_000, 5, 1_000)]
    assert after_more == [SeenRegister(DAY, "ports", 14, 18, 3_000, 5, 1_000)]
    assert kept == (5, b"five")


async def test_two_days_of_a_customer_are_held_and_the_others_are_on_disk(memory: Memory) -> None:
    """Five days are all found, in order; memory holds the latest and the day before, also when an older one comes late."""
    for day in (DAY, DAY + 1, DAY + 2, DAY + 3, DAY + 4, DAY + 1):
        memory.see_register("acme", 3, day, "ports", 10, day - DAY + 1, day)
    found = await memory.registers_of("acme")

    assert [row.day for row in found] == [DAY, DAY + 1, DAY + 2, DAY + 3, DAY + 4]
    assert [row.peak for row in found] == [1, 2, 3, 4, 5]
    assert sorted(memory._held["acme"].rows) == [(DAY + 3, "ports"), (DAY + 4, "ports")]
    assert memory._rows_held == 2


async def test_days_that_are_long_over_are_dropped_once_an_hour(memory: Memory, path: Path) -> None:
    """A row one day too old goes with the first flush, and is not shown; the oldest that is remembered stays."""
    for day in (DAY - 1, DAY, DAY + REMEMBERED_DAYS - 1):
        memory.see_register("acme", 3, day, "ports", 10, 1, day)
    await memory.flush()
    memory.see_register("globex", 4, DAY + REMEMBERED_DAYS, "ports", 10, 1, 1)
    shown = [row.day for row in await memory.registers_of("acme")]
    within_the_hour = ask(path, "SELECT day FROM registers WHERE customer = 'acme' ORDER BY day")
    memory._forgot_at -= gateway.memory.FORGET_EVERY_S
    memory.see_register("globex", 4, DAY + REMEMBERED_DAYS, "ports", 10, 2, 2)
    await memory.flush()
    an_hour_later = ask(path, "SELECT day FROM registers WHERE customer = 'acme' ORDER BY day")

    assert shown == [DAY, DAY + REMEMBERED_DAYS - 1]
    assert within_the_hour == [(DAY - 1,), (DAY,), (DAY + REMEMBERED_DAYS - 1,)]
    assert an_hour_later == [(DAY,), (DAY + REMEMBERED_DAYS - 1,)]


async def test_rows_that_gave_way_lose_nothing(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The customer seen longest ago gives way, before or after a flush, and comes back without lowering what was seen."""
    monkeypatch.setattr(gateway.memory, "ROWS_MAX", 3)
    for customer in ("acme", "globex", "initech"):
        memory.see_register(customer, 3, DAY, "ports", 10, 30, 1)
    memory.see_register("acme", 3, DAY, "ports", 10, 5, 2)
    memory.see_register("hooli", 3, DAY, "ports", 10, 30, 3)
    held = list(memory._held)
    memory.see_register("globex", 3, DAY, "ports", 11, 20, 4)
    before_a_flush = dict(memory._raised)
    await memory.flush()
    memory.see_register("acme", 3, DAY, "ports", 12, 29, 5)

    assert held == ["initech", "acme", "hooli"]
    assert before_a_flush["globex", 3, DAY, "ports"] == SeenRegister(DAY, "ports", 11, 30, 1, 20, 1)
    assert memory._rows_held == 3
    assert await memory.registers_of("globex") == [SeenRegister(DAY, "ports", 11, 30, 1, 20, 1)]
    assert await memory.registers_of("acme") == [SeenRegister(DAY, "ports", 12, 30, 1, 20, 1)]


SEEN = st.tuples(
    st.sampled_from(["acme", "globex"]), st.integers(DAY, DAY + 3), st.sampled_from(["ports", "hosts"]),
    st.integers(0, 5), st.integers(0, 9),
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.one_of(SEEN, st.sampled_from(["flush", "restart"])), max_size=40), rows_max=st.integers(1, 6))
def test_registers_are_those_of_a_plain_dictionary(
    steps: list[tuple[str, int, str, int, int] | str], rows_max: int
) -> None:
    """Whatever is seen, flushed, gives way or is read again after a restart: maxima and their times are those of all that was seen."""
    expected: dict[str, dict[tuple[int, str], list[int]]] = {"acme": {}, "globex": {}}
    for now_ms, step in enumerate(steps):
        if not isinstance(step, str):
            customer, day, group, committed, count = step
            over = max(count - committed, 0)
            row = expected[customer].setdefault((day, group), [count, now_ms, over, now_ms])
            if count > row[0]:
                row[:2] = [count, now_ms]
            if over > row[2]:
                row[2:] = [over, now_ms]

    async def remembered(path: Path) -> dict[str, dict[tuple[int, str], list[int]]]:
        memory = await Memory.open(path)
        for now_ms, step in enumerate(steps):
            if step == "flush":
                await memory.flush()
            elif isinstance(step, str):
                await memory.close()
                memory = await Memory.open(path)
            else:
                memory.see_register(step[0], 1, *step[1:], now_ms)
        found = {customer: await memory.registers_of(customer) for customer in expected}
        await memory.close()
        return {
            customer: {(row.day, row.group): [row.peak, row.peak_at_ms, row.overage, row.overage_at_ms] for row in rows}
            for customer, rows in found.items()
        }

    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(gateway.memory, "ROWS_MAX", rows_max)
        assert expected == asyncio.run(remembered(Path(folder) / "memory-0.db"))


async def test_it_writes_by_itself(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What changed is on disk within a period, again and again."""
    monkeypatch.setattr(gateway.memory, "FLUSH_S", 0.01)
    memory = await Memory.open(path)
    for number in (5, 6):
        memory.told(1, 1, number)
        await reach(lambda number=number: ask(path, "SELECT number FROM told") == [(number,)])  # type: ignore[misc]
    await memory.close()


async def test_many_entitlements_do_not_wait_for_the_period(memory: Memory, path: Path) -> None:
    """Above 16 MiB that wait they are written at once."""
    for number in range(17):
        memory.keep_entitlements(f"customer-{number:02}", 1, 1, b"x" * 2**20)
    await reach(lambda: ask(path, "SELECT count(*) FROM entitlements") == [(17,)])

    assert memory._documents_bytes == 0


async def test_nothing_is_written_where_nothing_changed(memory: Memory, path: Path) -> None:
    """Repetitions, smaller counts, older versions and another commitment below the maxima do not touch the file."""
    memory.told(1, 1, 5)
    memory.keep_entitlements("acme", 1, 2, b"two")
    memory.see_register("acme", 1, DAY, "ports", 10, 15, 1)
    await memory.flush()
    reader = sqlite3.connect(path)
    before = reader.execute("PRAGMA data_version").fetchone()
    memory.told(1, 1, 4)
    memory.keep_entitlements("acme", 1, 2, b"two")
    memory.see_register("acme", 1, DAY, "ports", 10, 15, 2)
    memory.see_register("acme", 1, DAY, "ports", 11, 14, 3)
    await memory.flush()
    after_nothing = reader.execute("PRAGMA data_version").fetchone()
    memory.told(1, 1, 6)
    await memory.flush()
    after_something = reader.execute("PRAGMA data_version").fetchone()
    reader.close()

    assert after_nothing == before
    assert after_something != before


async def test_a_killed_process_loses_only_what_was_not_flushed(path: Path) -> None:
    """A kill -9: what was flushed is there to the last value, what came after is not."""
    run_and_kill(path)
    memory = await Memory.open(path)
    told, registers = memory.last_told(3), await memory.registers_of("acme")
    await memory.close()

    assert told == (1, 100)
    assert registers == [SeenRegister(DAY, "ports", 10, 12, 1_000, 2, 1_000)]


async def test_what_cannot_be_written_is_kept_for_the_next_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process holds the file nothing is lost, newer maxima go on top, and the log tells once, and once that it is over."""
    monkeypatch.setattr(gateway.disk, "BUSY_S", 0.01)
    memory = await Memory.open(path)
    with structlog.testing.capture_logs() as logs:
        with held(path):
            memory.told(3, 1, 1)
            memory.keep_entitlements("acme", 3, 1, b"one")
            memory.keep_entitlements("globex", 3, 1, b"globex")
            memory.see_register("acme", 3, DAY, "ports", 10, 15, 1)
            await memory.flush()
            memory.told(3, 1, 2)
            memory.keep_entitlements("acme", 3, 2, b"two")
            memory.see_register("acme", 3, DAY, "ports", 10, 16, 2)
            await memory.flush()
            meanwhile = await memory.entitlements_of(3)
        await memory.flush()
    await memory.close()
    again = await Memory.open(path)
    told, kept, registers = again.last_told(3), await again.entitlements_of(3), await again.registers_of("acme")
    await again.close()

    assert [line["event"] for line in logs] == ["memory.failed", "memory.written"]
    assert logs[0]["error"] == f"{path}: database is locked"
    assert meanwhile == [("acme", 2, b"two"), ("globex", 1, b"globex")]
    assert (told, kept) == ((1, 2), meanwhile)
    assert registers == [SeenRegister(DAY, "ports", 10, 16, 2, 6, 2)]


async def test_what_waits_for_a_disk_that_fails_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest entitlements and registers are dropped, and taken again when they come again."""
    monkeypatch.setattr(gateway.disk, "BUSY_S", 0.01)
    monkeypatch.setattr(gateway.memory, "DOCUMENTS_WAITING_MAX", 10)
    monkeypatch.setattr(gateway.memory, "ROWS_MAX", 2)
    memory = await Memory.open(path)
    with held(path):
        for customer in ("acme", "globex", "initech"):
            memory.keep_entitlements(customer, 3, 1, b"12345")
            memory.see_register(customer, 3, DAY, "ports", 10, 15, 1)
        await memory.flush()
        waiting = sorted(memory._documents), [key[0] for key in memory._raised]
    memory.keep_entitlements("acme", 3, 1, b"again")
    kept = await memory.entitlements_of(3)
    await memory.close()

    assert waiting == (["globex", "initech"], ["globex", "initech"])
    assert kept == [("acme", 1, b"again"), ("globex", 1, b"12345"), ("initech", 1, b"12345")]


async def test_what_comes_while_writing_fails_goes_on_top(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer version replaces the one that could not be written, a smaller count does not, although its customer had given way."""
    monkeypatch.setattr(gateway.disk, "BUSY_S", 0.2)
    monkeypatch.setattr(gateway.memory, "ROWS_MAX", 1)
    memory = await Memory.open(path)
    with held(path):
        memory.keep_entitlements("acme", 3, 1, b"one")
        memory.see_register("acme", 3, DAY, "ports", 10, 15, 1)
        memory.see_register("globex", 3, DAY, "ports", 10, 1, 2)
        monkeypatch.setattr(gateway.memory, "ROWS_MAX", 10)
        flush = asyncio.create_task(memory.flush())
        await reach(lambda: not memory._raised)
        memory.keep_entitlements("acme", 3, 2, b"two")
        memory.see_register("acme", 3, DAY, "ports", 10, 12, 3)
        await flush
        has_failed = memory._has_failed
    await memory.close()

    assert has_failed
    assert ask(path, "SELECT version, document FROM entitlements") == [(2, b"two")]
    assert ask(path, "SELECT customer, peak, peak_at_ms FROM registers") == [("acme", 15, 1), ("globex", 1, 2)]


async def test_a_full_disk_loses_nothing(path: Path) -> None:
    """What had been written of a transaction is taken back, and the next one writes all of it."""
    memory = await Memory.open(path)
    await memory._disk.run(lambda connection: connection.execute("PRAGMA max_page_count = 20"))
    memory.told(3, 1, 9)
    memory.keep_entitlements("acme", 3, 1, b"x" * 100_000)
    with structlog.testing.capture_logs() as logs:
        await memory.flush()
    before = ask(path, "SELECT * FROM told")
    await memory._disk.run(lambda connection: connection.execute("PRAGMA max_page_count = 2000"))
    await memory.flush()
    after = ask(path, "SELECT * FROM told")
    kept = await memory.entitlements("acme")
    await memory.close()

    assert [line["error"] for line in logs] == [f"{path}: database or disk is full"]
    assert (before, after) == ([], [(3, 1, 9)])
    assert kept == (1, b"x" * 100_000)


def test_a_transaction_that_is_left_by_an_error_is_taken_back(path: Path) -> None:
    """Nothing of it is there, and the next one can begin."""

    def insert(connection: sqlite3.Connection, *numbers: object) -> None:
        with transaction(connection):
            for number in numbers:
                connection.execute("INSERT INTO it VALUES (?)", (number,))

    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE it (number)")
        with pytest.raises(sqlite3.ProgrammingError, match="not supported"):
            insert(connection, 1, object())
        insert(connection, 2)

    assert ask(path, "SELECT number FROM it") == [(2,)]


async def test_two_processes_on_one_file_take_nothing_from_each_other(path: Path) -> None:
    """It should not be; but where it is, the greater version, epoch and number stay."""
    older, newer = await Memory.open(path), await Memory.open(path)
    newer.keep_entitlements("acme", 3, 5, b"five")
    newer.told(3, 2, 7)
    await newer.close()
    older.keep_entitlements("acme", 3, 4, b"four")
    older.told(3, 1, 9)
    await older.close()

    assert ask(path, "SELECT version, document FROM entitlements") == [(5, b"five")]
    assert ask(path, "SELECT * FROM told") == [(3, 2, 7)]


async def test_a_flush_that_is_given_up_loses_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a flush may be cancelled while the file is held, and the writing may fail afterwards; the event loop goes on."""
    monkeypatch.setattr(gateway.disk, "BUSY_S", 0.2)
    memory = await Memory.open(path)
    with held(path):
        memory.told(3, 1, 9)
        memory.see_register("acme", 3, DAY, "ports", 10, 15, 1)
        flush = asyncio.create_task(memory.flush())
        await reach(lambda: not memory._raised)
        await turns(100)
        was_done = flush.done()
        flush.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flush
        await memory._disk.run(lambda _: None)
    await memory.close()

    assert not was_done
    assert ask(path, "SELECT * FROM told") == [(3, 1, 9)]
    assert ask(path, "SELECT customer, peak FROM registers") == [("acme", 15)]


def content(path: Path) -> bytes:
    """Of a file behind the header, in which opening it may note something."""
    return path.read_bytes()[100:]


def modes(path: Path) -> dict[str, int]:
    """Of all files of a worker."""
    return {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}


def garble(path: Path) -> None:
    """No database at all."""
    path.write_bytes(b"what is this" * 1000)


def garble_a_page(path: Path) -> None:
    """Sound at its beginning, and not further in."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)


def truncate(path: Path) -> None:
    """Half of it is missing."""
    os.truncate(path, path.stat().st_size // 2)


def make_newer(path: Path) -> None:
    """Written by a later version."""
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()


def make_foreign(path: Path) -> None:
    """Another program's."""
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE other (it)")
    connection.close()


@pytest.mark.parametrize("spoil", [garble, garble_a_page, truncate, make_newer, make_foreign])
async def test_a_file_that_cannot_be_used_is_set_aside(path: Path, spoil: Callable[[Path], None]) -> None:
    """It is kept under another name, an error is logged, and a new file is begun, in which all works."""
    memory = await Memory.open(path)
    for number in range(200):
        memory.keep_entitlements(f"customer-{number}", 3, 1, b"x" * 500)
    await memory.close()
    spoil(path)
    spoiled = content(path)
    with structlog.testing.capture_logs() as logs:
        memory = await Memory.open(path)
    found = await memory.entitlements_of(3)
    memory.told(3, 1, 1)
    await memory.close()
    aside = broken_files(path)

    assert found == []
    assert len(aside) == 1
    assert content(path.parent / aside[0]) == spoiled
    assert [(line["event"], line["log_level"]) for line in logs] == [("memory.broken", "error")]
    assert ask(path, "SELECT * FROM told") == [(3, 1, 1)]


async def test_a_second_broken_file_does_not_replace_the_first(path: Path) -> None:
    """Also within one second each is kept under a name of its own."""
    for _ in range(2):
        garble(path)
        await (await Memory.open(path)).close()

    assert len(broken_files(path)) == 2


async def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """A missing folder, a folder in place of the file: the error names the path."""
    (tmp_path / "memory-1.db").mkdir()
    for path in (tmp_path / "missing" / "memory-0.db", tmp_path / "memory-1.db"):
        with pytest.raises(MemoryFailed, match=f"^{path} cannot be opened: "):
            await Memory.open(path)


async def test_only_the_owner_can_read_it(path: Path) -> None:
    """Mode 0600 for the file, its log and its index, also where it was wider before."""
    found = []
    for _ in range(2):
        memory = await Memory.open(path)
        memory.told(1, 1, 1)
        await memory.flush()
        found.append(modes(path))
        await memory.close()
        os.chmod(path, 0o644)  # noqa: PTH101 - of a closed file, and at once

    assert found == [{"memory-0.db": 0o600, "memory-0.db-wal": 0o600, "memory-0.db-shm": 0o600}] * 2


async def test_after_closing_nothing_can_be_asked(path: Path) -> None:
    """Questions fail by name, what is told is taken in silence, and closing again is nothing."""
    memory = await Memory.open(path)
    await memory.close()
    await memory.close()
    memory.told(1, 1, 1)
    memory.see_register("acme", 3, DAY, "ports", 10, 15, 1)

    with pytest.raises(MemoryFailed, match=r"is closed$"):
        await memory.registers_of("acme")
