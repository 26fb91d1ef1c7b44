"""The schema by its migrations, on both databases: from nothing, again, and by two processes at once."""

import asyncio
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from postgres_processes import migrate
from sqlalchemy import Connection, inspect
from sqlalchemy.engine import URL

from gateway.ledger.database import DRIVERS, Database, LedgerUnavailable
from gateway.ledger.schema import metadata


@pytest.fixture
def empty_url(make_url: Callable[[bool], URL]) -> URL:
    """A database with nothing in it."""
    return make_url(False)


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, metadata))


def _tables(connection: Connection) -> list[str]:
    return sorted(inspect(connection).get_table_names())


def _version(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


async def _facts_of(url: URL) -> tuple[list[object], list[str], str | None]:
    database = await Database.open(url)
    try:
        async with database.reading() as connection:
            return (
                await connection.run_sync(_differences),
                await connection.run_sync(_tables),
                await connection.run_sync(_version),
            )
    finally:
        await database.close()


TABLES = sorted([*metadata.tables, "alembic_version"])


async def test_migrations_from_nothing_give_the_tables_that_the_code_knows(empty_url: URL) -> None:
    """Every table, column, type, index and constraint."""
    await (await Database.open(empty_url, migrate=True)).close()
    differences, tables, version = await _facts_of(empty_url)
    assert differences == []
    assert tables == TABLES
    assert version is not None


async def test_migrating_again_changes_nothing(empty_url: URL) -> None:
    """A ledger may be started on a database of its own schema any number of times; what is in it stays."""
    for name in ("first", "second"):
        database = await Database.open(empty_url, migrate=True)
        async with database.writing() as connection:
            await connection.execute(metadata.tables["facts"].insert(), [{"name": name, "value": name}])
        await database.close()
    database = await Database.open(empty_url)
    async with database.reading() as connection:
        found = await connection.execute(metadata.tables["facts"].select())
        assert sorted(row.name for row in found) == ["first", "second"]
    await database.close()


async def test_a_database_without_the_schema_is_not_opened_without_migrating(empty_url: URL) -> None:
    """Gateways read what the ledger has made, and make nothing; the message says what to do."""
    if empty_url.get_backend_name() == "sqlite":
        with pytest.raises(LedgerUnavailable, match="there is no such file"):
            await Database.open(empty_url)
        return
    with pytest.raises(LedgerUnavailable, match="has schema none"):
        await Database.open(empty_url)


async def test_several_connections_may_migrate_at_once(empty_url: URL) -> None:
    """One makes the tables, the others find them."""
    opened = await asyncio.gather(*[Database.open(empty_url, migrate=True) for _ in range(4)])
    for database in opened:
        await database.close()
    assert await _facts_of(empty_url) == ([], TABLES, "0001")


async def test_a_schema_of_a_later_program_is_left_alone(ledger_url: URL) -> None:
    """After a step back to an older program its ledger says so, again and again, in words; it neither changes nor crashes."""
    database = await Database.open(ledger_url)
    async with database.writing() as connection:
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    await database.close()

    for migrate_it in (False, True):
        with pytest.raises(LedgerUnavailable, match="has schema 9999, which this version of the program does not know"):
            await Database.open(ledger_url, migrate=migrate_it)


async def test_a_file_that_cannot_be_made_is_told_as_a_ledger_that_is_away(tmp_path: Path) -> None:
    """The process that writes tries again until it can be, instead of ending."""
    (tmp_path / "file").touch()

    with pytest.raises(LedgerUnavailable, match="cannot be made: "):
        await Database.open(URL.create(DRIVERS["sqlite"], database=f"{tmp_path}/file/ledger.db"), migrate=True)


@pytest.mark.slow
def test_two_processes_may_migrate_at_once(empty_url: URL) -> None:
    """Two ledgers that are started at one instant on an empty database both open it."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=migrate, args=(empty_url,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert asyncio.run(_facts_of(empty_url)) == ([], TABLES, "0001")
