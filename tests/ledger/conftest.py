"""Fixtures of the ledger's tests: fresh databases of both kinds."""

import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from postgres_processes import PostgresProcess, migrate, missing_postgres
from sqlalchemy.engine import URL

from gateway.ledger.database import DRIVERS, Database


KINDS = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresProcess]:
    """A real PostgreSQL; gone with the session. Where there is none: skipped on a workstation, a failure where CI is to prove it."""
    missing = missing_postgres()
    if missing and os.environ.get("CI"):
        pytest.fail(f"CI needs {missing} for the tests of the ledger")
    if missing:
        pytest.skip(f"NOT TESTED: the ledger on PostgreSQL, because of missing {missing}")
    with PostgresProcess() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_postgres(postgres: PostgresProcess) -> str:
    """The name of a database with the current schema, to copy."""
    return postgres.create_migrated()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the current schema, to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "ledger.db"
    migrate(sqlite_url(path))
    return path


@pytest.fixture(params=KINDS)
def ledger_kind(request: pytest.FixtureRequest) -> str:
    """Each kind of database in turn."""
    return str(request.param)


@pytest.fixture
def make_url(request: pytest.FixtureRequest, tmp_path: Path, ledger_kind: str) -> Iterator[Callable[[bool], URL]]:
    """Makes fresh databases of a kind, each with the current schema or (`False`) with nothing in it; all are gone after the test."""
    made: list[str] = []

    def make_sqlite(migrated: bool) -> URL:
        path = tmp_path / f"ledger-{len(made)}.db"
        made.append(path.name)
        if migrated:
            shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
        return sqlite_url(path)

    def make_postgres(migrated: bool) -> URL:
        server: PostgresProcess = request.getfixturevalue("postgres")
        made.append(server.create(request.getfixturevalue("migrated_postgres") if migrated else "template0"))
        return server.url(made[-1])

    yield make_sqlite if ledger_kind == "sqlite" else make_postgres
    if ledger_kind == "postgresql":
        for name in made:
            request.getfixturevalue("postgres").drop(name)


@pytest.fixture
def ledger_url(make_url: Callable[[bool], URL]) -> URL:
    """A fresh database of each kind with the current schema, that nobody has opened."""
    return make_url(True)


@pytest.fixture
async def ledger_database(ledger_url: URL) -> AsyncIterator[Database]:
    """A fresh database of each kind, open."""
    database = await Database.open(ledger_url)
    yield database
    await database.close()


def sqlite_url(path: Path) -> URL:
    """A file as a database."""
    return URL.create(DRIVERS["sqlite"], database=str(path))
