"""Each process has files of its own, and what a process that is gone has left in its journal is taken over."""

import contextlib
from pathlib import Path

from gateway.journal import Entry, Journal
from gateway.on_disk import open_files


def entry(number: int) -> Entry:
    """An entry that can be told from others."""
    return Entry("release", "acme", f"c{number}", number, b"")


async def left_behind(folder: Path, worker: int, *entries: Entry) -> None:
    """A process had this in its journal when it ended."""
    async with contextlib.AsyncExitStack() as stack:
        _, journal = await open_files(folder, worker, worker + 1, stack)
        for each in entries:
            await journal.append(each)


async def test_two_processes_with_one_number_have_two_files(tmp_path: Path) -> None:
    """The second takes the next one that is free; the first gets its own again when it comes back."""
    async with contextlib.AsyncExitStack() as stack:
        _, first = await open_files(tmp_path, 0, 1, stack)
        _, second = await open_files(tmp_path, 0, 1, stack)
        await first.append(entry(1))

        assert (1, 0) == (first.pending(), second.pending())

    async with contextlib.AsyncExitStack() as stack:
        _, again = await open_files(tmp_path, 0, 1, stack)

        assert [entry(1)] == [each for _, each in await again.entries(10)]


async def test_a_journal_that_nobody_will_open_again_is_taken_over_in_its_order(tmp_path: Path) -> None:
    """There were four workers, and now there is one."""
    await left_behind(tmp_path, 3, entry(1), entry(2))

    async with contextlib.AsyncExitStack() as stack:
        _, journal = await open_files(tmp_path, 0, 1, stack)

        assert [entry(1), entry(2)] == [each for _, each in await journal.entries(10)]
    left = await Journal.open(tmp_path / "memory-3.db")
    assert 0 == left.pending()
    await left.close()


async def test_a_journal_that_has_its_process_is_left_alone(tmp_path: Path) -> None:
    """Whether that runs, or is a worker that is still to start."""
    await left_behind(tmp_path, 1, entry(1))
    async with contextlib.AsyncExitStack() as stack:
        _, running = await open_files(tmp_path, 2, 3, stack)
        await running.append(entry(2))

        _, journal = await open_files(tmp_path, 0, 2, stack)

        assert (1, 0) == (running.pending(), journal.pending())
