"""Operations that were decided without the store and must still reach it, in order, on disk.

An entry is on the medium before `append` returns. Entries that come while others are being written go with the next writing, all in one.
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from gateway.disk import Disk, MemoryFailed


ENTRIES_MAX = 100_000
"""Some 50 MB on disk."""


class JournalFull(MemoryFailed):
    """ENTRIES_MAX entries are not done yet."""


class Entry(msgspec.Struct, frozen=True):
    """An operation to be done at the store. A new kind needs a new version of the file."""

    kind: Literal["adopt", "release", "compensate"]
    customer: str
    connection: str
    at_ms: int
    """When it was decided, by the store's clock as it was estimated then."""
    body: bytes
    """What the operation needs; only who wrote it reads it."""


class Journal:
    """The journal of one worker."""

    def __init__(self, disk: Disk, entries: int) -> None:
        self._disk = disk
        self._accepted = entries
        self._removed = 0  # told by the thread, so that it is right also where nobody waited for the end
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, path: Path) -> "Journal":
        """Opens the journal in a worker's file, or begins it; a file that is broken is set aside. Raises MemoryFailed."""
        disk = await Disk.open(path, "FULL")
        try:
            return cls(disk, await disk.run(_count))
        except MemoryFailed:
            await disk.close()
            raise

    async def close(self) -> None:
        """Writes what is waiting, and closes the file."""
        if self._writing is not None:
            await self._writing
        await self._disk.close()

    async def append(self, entry: Entry) -> None:
        """Returns when the entry is on the medium. Entries are kept in the order of the calls.

        Raises JournalFull; MemoryFailed where it could not be written. Whoever stops waiting does not know: it is written as a rule.
        """
        if self.pending() >= ENTRIES_MAX:
            raise JournalFull(f"{ENTRIES_MAX} operations wait for the store")
        text = msgspec.json.encode(entry)
        written = asyncio.get_running_loop().create_future()
        self._accepted += 1
        self._waiting.append((text, written))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(), name="journal")
        await written

    def pending(self) -> int:
        """Entries that are not done yet, with those that are being written."""
        return self._accepted - self._removed

    async def entries(self, limit: int, after: int = 0) -> list[tuple[int, Entry]]:
        """The oldest entries behind a sequence that are not done, oldest first, each with its sequence. Raises MemoryFailed."""
        return await self._disk.run(_read, limit, after)

    async def done(self, sequences: Sequence[int]) -> None:
        """Drops entries that have reached the store. Raises MemoryFailed; then none of them is dropped."""
        await self._disk.run(self._remove, tuple(sequences))

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await self._disk.run(_insert, [text for text, _ in batch])
            except MemoryFailed as error:
                self._accepted -= len(batch)
                for _, written in batch:
                    if not written.done():
                        written.set_exception(MemoryFailed(str(error)))
            else:
                for _, written in batch:
                    if not written.done():
                        written.set_result(None)

    def _remove(self, connection: sqlite3.Connection, sequences: Sequence[int]) -> None:
        removed = connection.execute(
            "DELETE FROM journal WHERE sequence IN (SELECT value FROM json_each(?))",
            (msgspec.json.encode(sequences).decode(),),
        )
        self._removed += removed.rowcount


def _count(connection: sqlite3.Connection) -> int:
    count: int = connection.execute("SELECT count(*) FROM journal").fetchone()[0]
    return count


def _insert(connection: sqlite3.Connection, texts: Sequence[bytes]) -> None:
    """One statement, so one transaction."""
    connection.execute(
        "INSERT INTO journal (entry) SELECT value FROM json_each(?) ORDER BY key", (f"[{b','.join(texts).decode()}]",)
    )


def _read(connection: sqlite3.Connection, limit: int, after: int) -> list[tuple[int, Entry]]:
    found = connection.execute(
        "SELECT json_group_array(json_array(sequence, json(entry))) "
        "FROM (SELECT sequence, entry FROM journal WHERE sequence > ? ORDER BY sequence LIMIT ?)",
        (after, limit),
    ).fetchone()[0]
    return sorted(msgspec.json.decode(found, type=list[tuple[int, Entry]]), key=lambda each: each[0])
