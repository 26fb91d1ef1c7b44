"""A real PostgreSQL: a server process with a folder and a port of its own, and databases in it.

It listens on 127.0.0.1 alone, lets everybody in, keeps nothing safe on disk (`fsync` is off) and ends with the process that started it. It
refuses to run as root; then it runs as the user `postgres`.
"""

import asyncio
import contextlib
import ctypes
import itertools
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from redis_processes import free_port
from sqlalchemy import NullPool
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine

from gateway.ledger.database import DRIVERS, open_when_there


START_TIMEOUT_S = 30.0
USER = "postgres"
"""Who owns the server's databases; the system's user too, where it is root who starts it."""

UNSAFE = MappingProxyType(
    {
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "autovacuum": "off",
        "shared_buffers": "32MB",
    }
)
"""Fast, and gone with the machine: what tests want."""

_PR_SET_PDEATHSIG = 1


def missing_postgres() -> str | None:
    """Why no PostgreSQL can be started here; None: it can."""
    if _folder_of_binaries() is None:
        return "`postgres` and `initdb` (Debian: postgresql)"
    if _is_root() and not _has_user():
        return f"a user `{USER}`: PostgreSQL does not run as root"
    return None


def _folder_of_binaries() -> Path | None:
    on_path = [Path(each) for each in os.environ.get("PATH", "").split(os.pathsep) if each]
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version_of, reverse=True)
    return next((path for path in (*on_path, *packaged) if _holds_all(path)), None)


def _version_of(folder: Path) -> int:
    found = re.match(r"\d+", folder.parent.name)
    return int(found.group()) if found else 0


def _holds_all(folder: Path) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in ("postgres", "initdb"))


def _is_root() -> bool:
    return os.geteuid() == 0


def _has_user() -> bool:
    with contextlib.suppress(KeyError):
        return bool(pwd.getpwnam(USER))
    return False


def _killed_with(parent: int) -> Callable[[], None]:
    libc = ctypes.CDLL(None, use_errno=True)

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGQUIT)

    return ask


class PostgresProcess:
    """One server with a folder and a port, which stay when it is started again. `config`: settings of postgresql.conf."""

    def __init__(self, config: Mapping[str, str] = UNSAFE) -> None:
        found = _folder_of_binaries()
        assert found is not None, missing_postgres()
        self._binaries = found
        self._as_user: dict[str, Any] = {"user": USER, "group": USER, "extra_groups": []} if _is_root() else {}
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count()
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="gateway-tests-pg-"))
        try:
            self._make(config)
        except BaseException:
            self.remove()
            raise

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None, "it does not run"
        return self._process.pid

    def url(self, database: str) -> URL:
        """One of its databases, as the ledger opens it."""
        return URL.create(DRIVERS["postgresql"], USER, host="127.0.0.1", port=self.port, database=database)

    def start(self) -> None:
        """Starts it; returns when it takes connections."""
        assert self._process is None, "it runs already"
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self.folder / "data"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                preexec_fn=_killed_with(os.getpid()),  # noqa: PLW1509 - one system call
                **self._as_user,
            )
        limit = time.monotonic() + START_TIMEOUT_S
        while not self._is_ready():
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < limit, "PostgreSQL did not start"
            time.sleep(0.01)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Ends it: all connections at once, and what was committed is there when it is started again. SIGQUIT: as in a crash."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(how)
            try:
                process.wait(START_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def remove(self) -> None:
        """Ends it and deletes its folder."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *statements: str) -> None:
        """Statements on a connection of their own to its own database, outside of transactions."""

        async def work() -> None:
            engine = create_async_engine(self.url(USER), isolation_level="AUTOCOMMIT", poolclass=NullPool)
            async with engine.connect() as connection:
                for statement in statements:
                    await connection.exec_driver_sql(statement)

        asyncio.run(work())

    def create(self, template: str = "template0") -> str:
        """Makes a database that holds what the template holds, which nobody may be connected to; its name."""
        name = f"ledger_{next(self._numbers)}"
        self.run(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
        return name

    def drop(self, name: str) -> None:
        """Deletes a database, whoever is connected to it."""
        self.run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def create_migrated(self) -> str:
        """Makes a database with the ledger's current schema; its name."""
        name = self.create()
        migrate(self.url(name))
        return name

    def _make(self, config: Mapping[str, str]) -> None:
        if self._as_user:
            shutil.chown(self.folder, USER, USER)
        subprocess.run(
            [
                self._binaries / "initdb", "-D", self.folder / "data", "--username", USER, "--auth", "trust",
                "--encoding", "UTF8", "--no-locale", "--no-sync", "--no-instructions",
            ],
            check=True,
            capture_output=True,
            cwd=self.folder,
            **self._as_user,
        )  # fmt: skip
        settings = {
            "port": str(self.port),
            "listen_addresses": "'127.0.0.1'",
            "unix_socket_directories": "''",
            **config,
        }
        with (self.folder / "data" / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())

    def _is_ready(self) -> bool:
        # Its last line says so; https://www.postgresql.org/docs/current/storage-file-layout.html names the file, pidfile.h its lines.
        with contextlib.suppress(OSError):
            lines = (self.folder / "data" / "postmaster.pid").read_text().splitlines()
            return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready"
        return False


def migrate(url: URL) -> None:
    """Brings a database to the current schema, as the ledger does when it starts; a file is made where there is none."""

    async def work() -> None:
        database = await asyncio.wait_for(open_when_there(url), START_TIMEOUT_S)
        await database.close()

    asyncio.run(work())
