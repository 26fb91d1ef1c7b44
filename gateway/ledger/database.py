"""The ledger's database: SQLite in the data directory, or PostgreSQL."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import IsolationLevel
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from gateway.ledger.migrate import SchemaOlder, check_current, upgrade


BUSY_S = 5.0
"""How long a transaction of SQLite waits for another one's."""
CONNECT_S = 5.0
STATEMENT_S = 60.0
IDLE_S = 15.0
"""How long PostgreSQL lets a writing transaction be silent before it ends it."""
OPEN_EVERY_S = 2.0
CACHE_KIB = 64 * 1024

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}

SSL_MODES = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})
OPTIONS = {
    "sqlite": frozenset[str](),
    "postgresql": frozenset({"host", "port", "passfile", "target_session_attrs", "ssl"}),
}
"""What may stand behind the ? of a URL; `sslmode` is `ssl`, as drivers differ in how they call it."""

NONE = "none"
"""In place of a URL: there is no ledger."""

_log = structlog.get_logger("gateway.ledger")


class LedgerUnavailable(Exception):
    """The ledger's database cannot be opened, read or written; the message says why, and holds no password."""


class LedgerOlder(LedgerUnavailable):
    """It can be reached, and the process that writes has yet to bring its schema to the newest version."""


def ledger_url(url: str | None, data_dir: Path) -> URL | None:
    """The database that the settings name: by default a file in the data directory; None for `none`.

    Raises:
        ValueError: it names no database that a ledger can be in.
    """
    if url == NONE:
        return None
    if url is None:
        return URL.create(DRIVERS["sqlite"], database=str(data_dir / "ledger.db"))
    try:
        found = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError("is no URL of a database") from None  # whatever else would be told may be of a password
    kind = found.drivername.partition("+")[0]
    if kind not in DRIVERS:
        raise ValueError(f"is none of {', '.join(sorted(DRIVERS))}, or `{NONE}`")
    if kind == "sqlite" and not found.database:
        raise ValueError("names no file: sqlite:///path, or sqlite:////absolute/path")
    if "@" in (found.host or ""):
        raise ValueError("holds an @ in its user or password that is not written as %40")
    driver = DRIVERS[kind]
    return found.set(drivername=driver, query=_options(driver.partition("+")[0], found))


def _options(kind: str, url: URL) -> dict[str, str | tuple[str, ...]]:
    found = {"ssl" if name == "sslmode" else name: value for name, value in url.query.items()}
    if unknown := sorted(set(found) - OPTIONS[kind]):
        known = ", ".join(sorted({*OPTIONS[kind], "sslmode"})) if OPTIONS[kind] else "none"
        # Certificates are named by PGSSLROOTCERT and the like, which the driver reads.
        raise ValueError(f"has the option {', '.join(unknown)}, and may have {known}")
    if found.get("ssl", "prefer") not in SSL_MODES:
        raise ValueError(f"has an sslmode that is none of {', '.join(sorted(SSL_MODES))}")
    return found


class Database:
    """Connections to one database. `reading` and `writing` are transactions; writing ones of SQLite follow each other."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self._is_checked = False
        self._file: tuple[int, int] | None = None

    @property
    def kind(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    @classmethod
    async def open(cls, url: URL, *, migrate: bool = False) -> "Database":
        """Opens the database; with `migrate` it is made, or brought to the current schema, first.

        Raises:
            LedgerUnavailable: it cannot be reached, or its schema is not the current one.
        """
        if url.get_backend_name() == "sqlite" and migrate:
            _make_file(url)
        database = cls(_engine(url))
        try:
            if migrate:
                async with database._transaction("READ COMMITTED", "BEGIN IMMEDIATE", check=False) as connection:
                    await connection.run_sync(upgrade)
            async with database.reading():
                pass
        except LedgerUnavailable:
            await database.close()
            raise
        return database

    @classmethod
    def later(cls, url: URL) -> "Database":
        """A database that is reached when it is needed: it may be away now, or not be there yet."""
        return cls(_engine(url))

    async def close(self) -> None:
        """Ends all connections."""
        await self.engine.dispose()

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees one state of the database. Raises LedgerUnavailable."""
        async with self._transaction("REPEATABLE READ", "BEGIN") as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction: all of it is written, or none. Raises LedgerUnavailable."""
        async with self._transaction("READ COMMITTED", "BEGIN IMMEDIATE") as connection:
            if self.kind != "sqlite":
                # A process that is paused, or cut off, must not keep others from writing.
                idle_ms = round(IDLE_S * 1000)
                await connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = {idle_ms}")
            yield connection

    @contextlib.asynccontextmanager
    async def _transaction(
        self, isolation: IsolationLevel, begin: str, *, check: bool = True
    ) -> AsyncIterator[AsyncConnection]:
        if check and self.kind == "sqlite":
            await self._look_at_file()
        try:
            async with self.engine.connect() as connection:
                if self.kind != "sqlite":
                    await connection.execution_options(isolation_level=isolation)
                async with connection.begin():
                    if self.kind == "sqlite":
                        await connection.exec_driver_sql(begin)
                    if check and not self._is_checked:
                        await connection.run_sync(check_current)
                        self._is_checked = True
                    yield connection
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            kind = LedgerOlder if isinstance(error, SchemaOlder) else LedgerUnavailable
            raise kind(f"the ledger at {self.shown}: {_why(error)}") from error

    async def _look_at_file(self) -> None:
        # SQLite would make an empty file where there is none, and go on in one that was replaced by a copy.
        file = _file_at(Path(str(self.engine.url.database)))
        if file is None:
            raise LedgerUnavailable(f"the ledger at {self.shown}: there is no such file")
        if self._file not in (None, file):
            await self.engine.dispose()
            self._is_checked = False
        self._file = file

    @property
    def shown(self) -> str:
        """Its URL, without a password."""
        return self.engine.url.render_as_string(hide_password=True)


def _make_file(url: URL) -> None:
    """An empty file that nobody else may read, where there is none."""
    path = Path(str(url.database))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as error:
        raise LedgerUnavailable(
            f"the ledger at {url.render_as_string()}: cannot be made: {error.strerror or type(error).__name__}"
        ) from error


def _file_at(path: Path) -> tuple[int, int] | None:
    """Which file is there; None: none that can be reached."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _engine(url: URL) -> AsyncEngine:
    if url.get_backend_name() == "sqlite":
        engine = create_async_engine(
            url, connect_args={"timeout": BUSY_S}, pool_size=4, max_overflow=4, hide_parameters=True
        )
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        return engine
    return create_async_engine(
        url,
        pool_size=4,
        max_overflow=4,
        pool_timeout=CONNECT_S,
        pool_pre_ping=True,
        hide_parameters=True,  # they hold people, and errors are logged
        connect_args={
            "timeout": CONNECT_S,
            "command_timeout": STATEMENT_S,
            "server_settings": {"application_name": "gateway-ledger"},
        },
    )


def _prepare_sqlite(connection: Any, _: object) -> None:
    # Transactions are begun by us: the driver would begin one at the first write only, and as one that may fail to become a writer.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = FULL", f"cache_size = -{CACHE_KIB}", "temp_store = MEMORY"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _why(error: BaseException) -> str:
    text = str(getattr(error, "orig", None) or error).strip()
    return text.splitlines()[0] if text else type(error).__name__


async def open_when_there(url: URL) -> Database:
    """Opens the database as soon as that is possible, and brings it to the current schema; never gives up."""
    told = ""
    while True:
        try:
            return await Database.open(url, migrate=True)
        except LedgerUnavailable as error:
            if str(error) != told:
                told = str(error)
                _log.error("ledger.unavailable", error=told)
            await asyncio.sleep(OPEN_EVERY_S)
