"""A worker's file on disk: one sqlite database. Who uses it has a connection and a thread of its own, so that nothing blocks the event loop.

A statement gives up and takes back Python's lock at every step, and under a busy event loop each taking back can last milliseconds: many small
statements would hold the file for seconds. So rows go in and come out as one JSON text, in one statement.
"""

import asyncio
import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, TypeVar, TypeVarTuple

import structlog


VERSION = 1
"""Of the layout below. A file of another version is set aside like a broken one."""

SCHEMA = (
    "CREATE TABLE told (bucket INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, number INTEGER NOT NULL)",
    """CREATE TABLE entitlements (
        customer TEXT PRIMARY KEY, bucket INTEGER NOT NULL, version INTEGER NOT NULL, document BLOB NOT NULL
    )""",
    "CREATE INDEX entitlements_by_bucket ON entitlements (bucket)",
    """CREATE TABLE registers (
        customer TEXT, day INTEGER, name TEXT, bucket INTEGER NOT NULL, committed INTEGER NOT NULL,
        peak INTEGER NOT NULL, peak_at_ms INTEGER NOT NULL, overage INTEGER NOT NULL, overage_at_ms INTEGER NOT NULL,
        PRIMARY KEY (customer, day, name)
    ) WITHOUT ROWID""",
    "CREATE INDEX registers_by_bucket ON registers (bucket)",
    "CREATE TABLE journal (sequence INTEGER PRIMARY KEY AUTOINCREMENT, entry TEXT NOT NULL)",
    f"PRAGMA user_version = {VERSION}",
)
"""What was told, entitlements and registers belong to `memory.py`, the journal to `journal.py`."""

BUSY_S = 5.0
"""How long one connection waits for another one's transaction."""
WAL_KEPT_BYTES = 16 * 1024 * 1024
"""What the write-ahead log may keep on disk after a great transaction."""
PATIENCE_S = 0.002
PAUSE_S = 0.000_05
"""While work on disk lasts, the event loop stands still for that long every PATIENCE_S."""

_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_OPENING = threading.Lock()
"""One opens at a time in a process: what one has set aside and begun anew, the next one finds sound."""

_log = structlog.get_logger("gateway")

Result = TypeVar("Result")
Given = TypeVarTuple("Given")


class MemoryFailed(Exception):
    """The file on disk cannot be opened, read or written; the message says which and why."""


class Disk:
    """A connection to a worker's file, used from one thread."""

    def __init__(self, path: Path, connection: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self._path = path
        self._connection = connection
        self._thread = thread
        self._is_closed = False
        self._paused_at = 0.0

    @classmethod
    async def open(cls, path: Path, synchronous: Literal["NORMAL", "FULL"]) -> "Disk":
        """Opens the file, or begins it; one that is broken is set aside first.

        With `FULL`, a transaction is on the medium when it ends; with `NORMAL` it survives the end of the process, not of the machine.
        Raises MemoryFailed.
        """
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="disk")
        try:
            connection = await asyncio.get_running_loop().run_in_executor(thread, _open, path, synchronous)
        except (OSError, sqlite3.Error) as error:
            thread.shutdown()
            raise MemoryFailed(f"{path} cannot be opened: {error}") from error
        return cls(path, connection, thread)

    async def run(self, work: Callable[[sqlite3.Connection, *Given], Result], *given: *Given) -> Result:
        """Does some work in the thread; one after the other, in the order given. Raises MemoryFailed."""
        if self._is_closed:
            raise MemoryFailed(f"{self._path} is closed")
        job = asyncio.get_running_loop().run_in_executor(self._thread, work, self._connection, *given)
        try:
            await self._wait_for(job)
            return job.result()
        except Exception as error:  # whatever it is: gateways go on deciding without what they remember
            raise MemoryFailed(f"{self._path}: {error}") from error

    async def close(self) -> None:
        """Closes the file when all work that was given is done."""
        if not self._is_closed:
            self._is_closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
            self._thread.shutdown()

    async def _wait_for(self, job: asyncio.Future[Result]) -> None:
        """Waits for some work. An event loop that never idles starves the thread of Python's lock for seconds, so it pauses for it."""
        try:
            while not job.done():
                await asyncio.wait((job,), timeout=PATIENCE_S)
                # Once, however many wait.
                if not job.done() and time.monotonic() - self._paused_at >= PATIENCE_S:
                    time.sleep(PAUSE_S)  # noqa: ASYNC251 - a real pause, and a short one
                    self._paused_at = time.monotonic()
        except asyncio.CancelledError:
            job.cancel()
            raise


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the block is written, or none."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _open(path: Path, synchronous: str) -> sqlite3.Connection:
    with _OPENING:
        connection = _connect(path)
        try:
            if fault := _fault(connection):
                connection.close()
                _set_aside(path, fault)
                connection = _connect(path)
            _prepare(connection, synchronous)
        except BaseException:
            connection.close()
            raise
        return connection


def _connect(path: Path) -> sqlite3.Connection:
    # Not opened here when it exists: to close any descriptor of a file drops the locks that sqlite holds on it in this process.
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        path.chmod(0o600)
    return sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)


def _fault(connection: sqlite3.Connection) -> str | None:
    """Why the file cannot be used; None: it can. Raises sqlite3.Error where that is not the file's fault."""
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF in _BROKEN:
            return str(error)
        raise
    if found != "ok":
        return str(found)
    return None if version == VERSION or not (version or tables) else f"version {version}, expected {VERSION}"


def _prepare(connection: sqlite3.Connection, synchronous: str) -> None:
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("PRAGMA secure_delete = ON")  # who was in the journal is not to be found in the file
    connection.execute(f"PRAGMA journal_size_limit = {WAL_KEPT_BYTES}")
    with transaction(connection):  # proves as well that the file can be written
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            for statement in SCHEMA:
                connection.execute(statement)


def _set_aside(path: Path, fault: str) -> None:
    """Renames a broken file; its log first, so that whoever is stopped in between finds the broken file again."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = path.with_name(f"{path.name}.broken-{stamp}")
    while aside.exists():
        aside = aside.with_name(f"{aside.name}+")
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{aside}{suffix}")
    _log.error("memory.broken", path=str(path), set_aside=str(aside), error=fault)
