"""The files of one process in the data directory. Each has its own, so that two never write to one journal."""

import contextlib
import fcntl
import itertools
import os
from pathlib import Path

from gateway.journal import Journal
from gateway.memory import Memory


MOVED_AT_ONCE = 500


async def open_files(
    folder: Path, worker: int, workers: int, stack: contextlib.AsyncExitStack
) -> tuple[Memory, Journal]:
    """What a process remembers, and its journal: in the first file, from that of its number on, that no other process has.

    Worker 0 also takes over what stands in journals that nobody will open again: there were more workers, or processes, before.
    Raises MemoryFailed, OSError.
    """
    path, lock = _claim(folder, worker)
    stack.callback(os.close, lock)
    memory = await Memory.open(path)
    stack.push_async_callback(memory.close)
    journal = await Journal.open(path)
    stack.push_async_callback(journal.close)
    if worker == 0:
        for left in _left_behind(folder, path, workers):
            await _take_over(left, journal)
    return memory, journal


def _claim(folder: Path, worker: int) -> tuple[Path, int]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    numbers = itertools.count(worker)
    while (lock := _lock(path := _file(folder, next(numbers)))) is None:
        continue
    return path, lock


def _left_behind(folder: Path, own: Path, workers: int) -> list[Path]:
    used = {own, *[_file(folder, number) for number in range(workers)]}
    return sorted({*folder.glob("memory-*.db")} - used)


def _file(folder: Path, number: int) -> Path:
    return folder / f"memory-{number}.db"


async def _take_over(path: Path, journal: Journal) -> None:
    lock = _lock(path)
    if lock is None:
        return
    try:
        left = await Journal.open(path)
        try:
            while entries := await left.entries(MOVED_AT_ONCE):
                for _, entry in entries:
                    await journal.append(entry)
                await left.done([sequence for sequence, _ in entries])
        finally:
            await left.close()
    finally:
        os.close(lock)


def _lock(path: Path) -> int | None:
    """Takes a file for this process, as long as the descriptor is open; None: another process has it."""
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock
