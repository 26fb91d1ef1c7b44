"""The journal: what `append` returned for is on disk, in order, until it is done."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog
from disk_files import ask, held, reach, turns

import gateway.disk
import gateway.journal
from gateway.disk import MemoryFailed
from gateway.journal import Entry, Journal, JournalFull
from gateway.memory import Memory


APPENDERS = 16
CHILD = """
import asyncio, itertools, os, sys
from pathlib import Path
from gateway.journal import Entry, Journal

async def main():
    journal = await Journal.open(Path(sys.argv[1]))
    numbers = itertools.count(int(sys.argv[2]))

    async def append():
        for number in numbers:
            await journal.append(Entry("release", "acme", str(number), number, b"body"))
            os.write(1, b"%d\\n" % number)

    await asyncio.gather(*[append() for _ in range(16)])

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of worker 0."""
    return tmp_path / "memory-0.db"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[Journal]:
    """The journal of worker 0."""
    opened = await Journal.open(path)
    yield opened
    await opened.close()


def release(number: int) -> Entry:
    """One of many."""
    return Entry("release", "acme", f"leg-{number}", 1_000 + number, b"")


def garble(path: Path) -> None:
    """No database."""
    path.write_bytes(b"what is this" * 1_000)


def numbers_until_killed(path: Path, first: int, count: int) -> list[int]:
    """What a child printed that appends without end and is killed after some lines."""
    with subprocess.Popen([sys.executable, "-c", CHILD, path, str(first)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        try:
            lines = [child.stdout.readline() for _ in range(count)]
        finally:
            child.kill()
        lines += child.stdout.readlines()
    return [int(line) for line in lines]


async def test_entries_come_back_as_they_were_and_in_order(path: Path) -> None:
    """All kinds, any bytes, any name; also after a restart; what is done is gone, and no sequence is given twice."""
    entries = [
        Entry("adopt", "acme", "a84b4c76@sip.acme.example", 1_763_845_000_123, bytes(range(256))),
        Entry("release", "globex", "Zoë \"\\'[]{},\U0001f600", 0, b""),
        Entry("compensate", "acme", "a84b4c76@sip.acme.example", 2**53, b"x" * 100_000),
    ]
    journal = await Journal.open(path)
    for entry in entries:
        await journal.append(entry)
    await journal.close()
    journal = await Journal.open(path)
    pending, found = journal.pending(), await journal.entries(10)
    oldest = await journal.entries(2)
    await journal.done([1, 3])
    left = journal.pending(), await journal.entries(10)
    await journal.done([2, 2, 99])
    nothing = journal.pending(), await journal.entries(10)
    await journal.append(entries[0])
    last = await journal.entries(10)
    await journal.close()

    assert pending == 3
    assert found == list(zip((1, 2, 3), entries, strict=True))
    assert oldest == found[:2]
    assert left == (1, [(2, entries[1])])
    assert nothing == (0, [])
    assert last == [(4, entries[0])]


async def test_many_at_a_time_keep_the_order_of_the_calls(journal: Journal) -> None:
    """1000 appends at once are numbered as they were called."""
    await asyncio.gather(*[journal.append(release(number)) for number in range(1_000)])

    assert await journal.entries(2_000) == [(number + 1, release(number)) for number in range(1_000)]
    assert journal.pending() == 1_000


async def test_append_returns_when_it_is_on_disk_and_not_before(journal: Journal, path: Path) -> None:
    """While the file is held nobody returns and the event loop goes on; then one transaction takes the first and one all others."""
    with held(path):
        tasks = [asyncio.create_task(journal.append(release(0)))]
        await reach(lambda: journal.pending() == 1 and not journal._waiting)
        tasks += [asyncio.create_task(journal.append(release(number))) for number in range(1, 50)]
        await turns(1_000)
        were_done = [task for task in tasks if task.done()]
        counts = len(journal._waiting), journal.pending(), ask(path, "SELECT count(*) FROM journal")
    await asyncio.gather(*tasks)

    assert were_done == []
    assert counts == (49, 50, [(0,)])
    assert [entry for _, entry in await journal.entries(100)] == [release(number) for number in range(50)]


async def test_it_is_synced_at_every_commit_and_the_memory_is_not(journal: Journal, path: Path) -> None:
    """One file, two connections: FULL (2) for the journal, NORMAL (1) for what may be lost."""
    memory = await Memory.open(path)
    pragma = "PRAGMA synchronous"
    found = [await disk.run(lambda each: each.execute(pragma).fetchone()) for disk in (journal._disk, memory._disk)]
    await memory.close()

    assert found == [(2,), (1,)]


async def test_a_killed_process_has_every_entry_that_it_was_told_of(path: Path) -> None:
    """A kill -9 amid appends, three times: all that returned is there, without a gap and in order, and at most one more per appender."""
    expected = 0
    for count in (1, 40, 400):
        printed = numbers_until_killed(path, expected, count)
        journal = await Journal.open(path)
        found = [int(entry.connection) for _, entry in await journal.entries(1_000_000)]
        pending = journal.pending()
        await journal.close()

        assert found == list(range(len(found)))
        assert pending == len(found)
        assert set(printed) <= set(found)
        assert count <= len(printed) <= len(found) - expected <= len(printed) + APPENDERS
        expected = len(found)


async def test_a_full_journal_takes_no_more(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries that are being written count; what is done makes room."""
    monkeypatch.setattr(gateway.journal, "ENTRIES_MAX", 3)
    results = await asyncio.gather(*[journal.append(release(number)) for number in range(5)], return_exceptions=True)
    await journal.done([1])
    await journal.append(release(5))
    with pytest.raises(JournalFull, match=r"^3 operations wait for the store$"):
        await journal.append(release(6))

    assert [type(result) for result in results] == [type(None)] * 3 + [JournalFull] * 2
    assert [entry for _, entry in await journal.entries(9)] == [release(1), release(2), release(5)]


async def test_what_cannot_be_written_is_said_to_whoever_appends(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it is kept or counted, nothing can be done either; and when the file is free again, all goes on."""
    monkeypatch.setattr(gateway.disk, "BUSY_S", 0.01)
    journal = await Journal.open(path)
    await journal.append(release(0))
    with held(path):
        results = await asyncio.gather(*[journal.append(release(number)) for number in (1, 2)], return_exceptions=True)
        with pytest.raises(MemoryFailed, match=r"memory-0\.db: database is locked$"):
            await journal.done([1])
        pending = journal.pending()
    await journal.append(release(3))
    found = await journal.entries(9)
    await journal.close()

    assert [(type(result), str(result)) for result in results] == [
        (MemoryFailed, f"{path}: database is locked"), (MemoryFailed, f"{path}: database is locked"),
    ]  # fmt: skip
    assert pending == 1
    assert [entry for _, entry in found] == [release(0), release(3)]


async def test_whoever_stops_waiting_disturbs_nobody(journal: Journal, path: Path) -> None:
    """An entry whose appender was cancelled is written with the others."""
    with held(path):
        tasks = [asyncio.create_task(journal.append(release(number))) for number in range(3)]
        await reach(lambda: journal.pending() == 3 and not journal._waiting)
        tasks[1].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(result) for result in results] == [type(None), asyncio.CancelledError, type(None)]
    assert [entry for _, entry in await journal.entries(9)] == [release(0), release(1), release(2)]


async def test_dropping_that_is_given_up_is_counted_right(journal: Journal, path: Path) -> None:
    """Whether it was dropped nevertheless or not, what is pending is what is there."""
    for number in range(3):
        await journal.append(release(number))
    with held(path):
        dropping = asyncio.create_task(journal.done([1]))
        await turns(1_000)
        dropping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dropping
    found = await journal.entries(9)

    assert [entry for _, entry in found][-2:] == [release(1), release(2)]
    assert journal.pending() == len(found)


async def test_closing_waits_for_what_is_being_written(path: Path) -> None:
    """An append that is under way ends well; one that comes later is refused, and not counted."""
    journal = await Journal.open(path)
    under_way = asyncio.create_task(journal.append(release(0)))
    await asyncio.sleep(0)
    await journal.close()
    await under_way
    with pytest.raises(MemoryFailed, match=r"is closed$"):
        await journal.append(release(1))

    assert journal.pending() == 1


async def test_two_workers_write_side_by_side(tmp_path: Path) -> None:
    """Each has a file with a memory and a journal of its own."""
    paths = [tmp_path / f"memory-{worker}.db" for worker in (0, 1)]
    memories = [await Memory.open(path) for path in paths]
    journals = [await Journal.open(path) for path in paths]
    for number in range(20):
        for worker in (0, 1):
            memories[worker].told(3, 1, 100 * worker + number)
            await asyncio.gather(memories[worker].flush(), journals[worker].append(release(100 * worker + number)))
    found = [[entry for _, entry in await journal.entries(99)] for journal in journals]
    told = [memory.last_told(3) for memory in memories]
    await asyncio.gather(*[memory.close() for memory in memories], *[journal.close() for journal in journals])

    assert found == [[release(100 * worker + number) for number in range(20)] for worker in (0, 1)]
    assert told == [(1, 19), (1, 119)]


async def test_a_broken_file_is_set_aside_once(path: Path) -> None:
    """Memory and journal that are opened at the same time use the same new file, time and again."""
    told = []
    for number in range(10):
        garble(path)
        with structlog.testing.capture_logs() as logs:
            memory, journal = await asyncio.gather(Memory.open(path), Journal.open(path))
        await journal.append(release(number))
        memory.told(3, 1, number)
        await memory.close()
        await journal.close()
        told += [line["event"] for line in logs]

    assert told == ["memory.broken"] * 10
    assert ask(path, "SELECT (SELECT count(*) FROM journal), (SELECT number FROM told)") == [(1, 9)]
