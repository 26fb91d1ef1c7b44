"""`gateway doctor` looks at the ledger: what it says of one that is away, old, behind, or not the store's."""

import asyncio
import json
import time
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy.engine import URL
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.kernel.keys import bucket_key
from gateway.ledger import schema
from gateway.ledger.database import Database
from gateway.ledger.lease import Lease
from gateway.ledger.upserts import insert_new


State = tuple[str, str]
ID = "0123456789abcdef"


def doctor(*arguments: str) -> tuple[int, dict[str, State]]:
    """Exit code, and what was found by the name of the check."""
    result = CliRunner().invoke(app, ["doctor", "--json", *arguments])
    return result.exit_code, {each["check"]: (each["state"], each["found"]) for each in json.loads(result.stdout)}


def named(url: URL) -> tuple[str, str]:
    """The option that names a database."""
    return "--ledger-url", url.render_as_string(hide_password=False)


def written(url: URL, *, ago_s: float = 0.0, gaps: int = 0, schema_version: str | None = None) -> None:
    """A ledger that is being written, was read until some seconds ago and misses entries."""

    async def write() -> None:
        database = await Database.open(url)
        now_ms = time.time_ns() // 1_000_000
        facts = {"id": ID, "read_ms": str(now_ms - round(ago_s * 1000))}
        await Lease("here:1").acquire(database)
        async with database.writing() as connection:
            await insert_new(connection, schema.facts, [{"name": name, "value": facts[name]} for name in facts])
            for number in range(gaps):
                gap = {"bucket": 0, "epoch": 1, "first": number * 2, "last": number * 2, "from_ms": 0, "until_ms": 0}
                await connection.execute(schema.gaps.insert().values(**gap, found_ms=0, cause="missing"))
            if schema_version is not None:
                await connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{schema_version}'")
        await database.close()

    asyncio.run(write())


def test_a_ledger_that_is_written_is_well(ledger_url: URL) -> None:
    """Reachable, the newest schema, who writes, and nothing missing."""
    written(ledger_url)

    code, found = doctor(*named(ledger_url))

    assert (0, "ok", "ok", "ok") == (code, found["ledger"][0], found["ledger writer"][0], found["ledger doubts"][0])
    assert found["ledger"][1].endswith("; its schema is the newest")
    assert found["ledger writer"][1].startswith("here:1, ")


def test_a_ledger_that_is_behind_and_misses_entries_is_warned_of(ledger_url: URL) -> None:
    """More than 60 s behind, and two gaps: a gateway can run all the same."""
    written(ledger_url, ago_s=300, gaps=2)

    code, found = doctor(*named(ledger_url))

    assert (0, "warn", "warn") == (code, found["ledger writer"][0], found["ledger doubts"][0])
    assert "2 gaps; see `gateway ledger status`" == found["ledger doubts"][1]


def test_a_ledger_that_nobody_writes_is_warned_of(ledger_url: URL) -> None:
    """Its schema is there; no process holds the lease."""
    assert "warn" == doctor(*named(ledger_url))[1]["ledger writer"][0]


def test_a_schema_of_a_later_program_is_a_fault(ledger_url: URL) -> None:
    """This program may not touch it; `gateway ledger run` says so in one line and changes nothing."""
    written(ledger_url, schema_version="9999")

    code, found = doctor(*named(ledger_url))

    assert (1, "fail") == (code, found["ledger"][0])
    assert found["ledger"][1].endswith("has schema 9999, which this version of the program does not know")


def test_a_database_that_has_yet_to_be_made_is_no_fault(
    tmp_path: Path, ledger_kind: str, request: pytest.FixtureRequest
) -> None:
    """A file that the first gateway makes; an empty database that the process which writes brings to the newest schema."""
    if ledger_kind == "sqlite":
        code, found = doctor("--ledger-url", f"sqlite:///{tmp_path}/new/ledger.db")
        assert (0, "ok", f"{tmp_path}/new/ledger.db will be made by the first gateway") == (code, *found["ledger"])
        return
    code, found = doctor(*named(request.getfixturevalue("make_url")(False)))
    assert (0, "warn") == (code, found["ledger"][0])
    assert found["ledger"][1].endswith("has schema none, and not 0001; `gateway ledger run` brings it there")


def test_a_database_that_is_away_is_a_fault_without_its_password(tmp_path: Path) -> None:
    """One that nobody answers at, and a file that cannot be made."""
    (tmp_path / "file").touch()

    away_code, away = doctor("--ledger-url", "postgresql://me:secret@127.0.0.1:1/ledger?sslmode=require")
    file_code, file = doctor("--ledger-url", f"sqlite:///{tmp_path}/file/ledger.db")

    assert (1, "fail") == (away_code, away["ledger"][0])
    assert "secret" not in away["ledger"][1]
    assert (1, "fail") == (file_code, file["ledger"][0])


def test_a_store_that_another_ledger_reads_is_a_fault(ledger_url: URL, store_url: str) -> None:
    """Two ledgers on one store would take each other's entries away; whose it is stands in the store."""
    written(ledger_url)
    options = ("--redis-url", store_url, *named(ledger_url))
    with Redis.from_url(store_url) as redis:
        nobodys = doctor(*options)
        redis.hset(bucket_key("meta", 3), "ledger", ID)
        own = doctor(*options)
        redis.hset(bucket_key("meta", 4), "ledger", "fedcba9876543210")
        others = doctor(*options)
        redis.delete(bucket_key("meta", 3), bucket_key("meta", 4))

    assert "ledger of the store" not in nobodys[1]
    assert (0, "ok") == (own[0], own[1]["ledger of the store"][0])
    assert (1, "fail") == (others[0], others[1]["ledger of the store"][0])
    assert f"read by fedcba9876543210, and this is {ID}: " in others[1]["ledger of the store"][1]
