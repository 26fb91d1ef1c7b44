"""A year of a busy provider, read into the ledger: how fast, how large, and how long its reports take.

`python -m benchmarks.bench_ledger [--legs 10000000] [--database sqlite|postgresql|both] [--keep]`. Entries go straight into the outboxes of a
Redis, a day at a time, and from there by the ledger's own reader into its databases; the time of making them does not count. With both
databases each day is read into the one and then into the other, so that their figures can be compared. PostgreSQL is a server of its own that
keeps everything safe on disk. `--keep` leaves the databases where they are.
"""

import argparse
import contextlib
import functools
import gc
import resource
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import hiredis
import uvloop
from sqlalchemy import func, select, text
from sqlalchemy.engine import URL

from benchmarks.common import CHECKOUT, REFUSED, RedisProcess, Result, Spread, heading, redis_process, servers
from benchmarks.ledger_year import DAYS, FIRST_DAY, Year
from gateway.core import Telemetry
from gateway.domain.days import day
from gateway.kernel import scripts
from gateway.kernel.outbox import Outbox
from gateway.kernel.store import open_store
from gateway.ledger import schema
from gateway.ledger.database import DRIVERS, Database
from gateway.ledger.figures import Figures
from gateway.ledger.lease import Lease
from gateway.ledger.reader import Reader
from gateway.ledger.writer import Writer


sys.path.append(str(CHECKOUT / "tests"))

from postgres_processes import PostgresProcess, missing_postgres


KINDS = ("sqlite", "postgresql")
COMMANDS_AT_ONCE = 500
ENTRIES_AT_ONCE = 50_000
"""The outboxes are filled with days until they have so many, and then read."""
REPETITIONS = 20

COLLECTED_AFTER = (20_000, 50, 100)
"""As long as the process of the ledger collects garbage: full passes over what a batch is made of would be a third of the load."""

MONTH = (date(2025, 10, 1).toordinal(), date(2025, 10, 31).toordinal())
BUSY_DAY = date(2025, 10, 14).toordinal()
AFTER_MS = day(FIRST_DAY + DAYS + 3).end_ms
"""All of the year is over by then."""

SAFE = {"shared_buffers": "512MB", "max_wal_size": "4GB", "checkpoint_timeout": "15min"}
"""What the PostgreSQL is given; everything else is as it comes, `fsync` above all."""


@dataclass(slots=True)
class Rate:
    """What was read, in which time."""

    entries: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0


@dataclass(slots=True)
class Ledger:
    """A database that is read into, from one of the databases of the Redis."""

    kind: str
    database: Database
    reader: Reader
    writer: Writer
    lease: Lease
    rate: Rate = field(default_factory=Rate)

    async def read(self, until_ms: int) -> None:
        """Everything that is in the outboxes; ends what has waited in vain until then, as the ledger does now and then."""
        began, cpu = time.perf_counter(), time.process_time()
        while count := await self.reader.run_once():
            self.rate.entries += count
        await self.writer.give_up(until_ms)
        self.rate.wall_s += time.perf_counter() - began
        self.rate.cpu_s += time.process_time() - cpu

    async def size(self) -> int:
        """Bytes of the database on disk."""
        if self.kind == "sqlite":
            path = Path(str(self.database.engine.url.database))
            return sum(each.stat().st_size for each in path.parent.glob(f"{path.name}*"))
        return int(await self._one(text("SELECT pg_database_size(current_database())")))

    async def faults(self, year: Year) -> list[str]:
        """Where the ledger has not come to what happened."""
        expected, legs = year.expected, schema.legs
        found = {
            "entries": (self.rate.entries, expected.entries),
            "stretches": (await self._one(select(func.count()).select_from(legs)), expected.stretches),
            "live": (await self._one(select(func.count()).select_from(schema.live)), 0),
            "billed_ms": (
                int(await self._one(select(func.sum(legs.c.until_ms - legs.c.connected_ms)))),
                expected.billed_ms,
            ),
            "denials": (int(await self._one(select(func.sum(schema.denials.c.count)))), expected.denials),
            "gaps": (await self._one(select(func.count()).select_from(schema.gaps)), 0),
        }
        return [
            f"{self.kind}: {name} is {is_}, and not {wanted}" for name, (is_, wanted) in found.items() if is_ != wanted
        ]

    async def _one(self, statement: Any) -> Any:
        async with self.database.reading() as connection:
            return (await connection.execute(statement)).scalar_one()


class Filler:
    """Sends commands to databases of a Redis, by a connection each."""

    def __init__(self, redis: RedisProcess, numbers: Sequence[int]) -> None:
        self._links = []
        for number in numbers:
            link = socket.socket(socket.AF_UNIX)
            link.connect(redis.url.removeprefix("unix://"))
            link.sendall(f"SELECT {number}\r\n".encode())
            self._links.append((link, hiredis.Reader()))
        self._await(1)

    def fill(self, commands: Iterator[bytes]) -> None:
        """Sends all commands to all databases. Raises what Redis refuses."""
        batch: list[bytes] = []
        for command in commands:
            batch.append(command)
            if len(batch) == COMMANDS_AT_ONCE:
                self._send(batch)
                batch = []
        self._send(batch)

    def close(self) -> None:
        """Ends the connections."""
        for link, _ in self._links:
            link.close()

    def _send(self, batch: list[bytes]) -> None:
        for link, _ in self._links:
            link.sendall(b"".join(batch))
        self._await(len(batch))

    def _await(self, count: int) -> None:
        for link, replies in self._links:
            for _ in range(count):
                while (reply := replies.gets()) is False:
                    replies.feed(link.recv(1 << 16))
                if isinstance(reply, Exception):
                    raise reply


@contextlib.asynccontextmanager
async def ledger(kind: str, url: URL, store_url: str) -> AsyncIterator[Ledger]:
    """A ledger on an empty database that reads one of the Redis's."""
    loaded = scripts.load(None)
    store = open_store(store_url, loaded.values(), Telemetry())
    assert await store.start(), store.last_error
    database = await Database.open(url, migrate=True)
    try:
        lease = Lease(f"bench-{kind}")
        assert await lease.acquire(database)
        writer = Writer(database, lease)
        await writer.load()
        reader = Reader(Outbox(store, loaded, timeout_s=60.0), writer, kind, lambda: AFTER_MS)
        yield Ledger(kind, database, reader, writer, lease)
    finally:
        await database.close()
        await store.close()


async def repeated(work: Callable[[], Awaitable[object]]) -> Spread:
    """How long some work takes, in ms, done again and again."""
    taken = []
    for _ in range(REPETITIONS):
        began = time.perf_counter()
        await work()
        taken.append((time.perf_counter() - began) * 1e3)
    return Spread.of(taken)


async def reports(found: Ledger, year: Year) -> dict[str, Any]:
    """How long figures take by replay of the legs: what is provisional, and what `gateway ledger verify` does."""
    figures = Figures(found.database)
    by_size = {"largest": year.companies[0].id, "median": year.companies[len(year.companies) // 2].id}
    taken: dict[str, Any] = {}
    for name, customer in by_size.items():
        taken[f"a month of the {name} customer"] = await repeated(
            functools.partial(figures.replayed, customer, *MONTH, AFTER_MS)
        )

    async def everything() -> None:
        for company in year.companies:
            await figures.replayed(company.id, BUSY_DAY, BUSY_DAY, AFTER_MS)

    taken["a day of everybody"] = await repeated(everything)
    return taken


def show(found: Ledger, year: Year, size: int, taken: dict[str, Any]) -> dict[str, Any]:
    """Prints the figures of a database; the same for the result file."""
    rate, legs = found.rate, year.expected.legs
    print(f"\n### {found.kind}")
    print("| | |\n|---|---|")
    print(f"| read | {rate.entries:,} entries, {legs:,} legs in {rate.wall_s:,.1f} s |")
    print(f"| entries/s | {rate.entries / rate.wall_s:,.0f} |")
    print(f"| legs/s | {legs / rate.wall_s:,.0f} |")
    print(f"| CPU of the reader, us per entry | {rate.cpu_s / rate.entries * 1e6:.1f} |")
    print(f"| on disk | {size / 1e6:,.0f} MB, {size / legs:,.0f} bytes per leg |")
    for name, value in taken.items():
        shown = (
            f"p50 {value.median:,.1f} ms, max {value.high:,.1f} ms" if isinstance(value, Spread) else f"{value:,.1f}"
        )
        print(f"| {name} | {shown} |")
    shown_reports = {name: asdict(value) if isinstance(value, Spread) else value for name, value in taken.items()}
    return {"rate": asdict(rate), "legs": legs, "bytes": size, "reports": shown_reports}


async def measure(result: Result, redis: RedisProcess, urls: dict[str, URL], year: Year) -> None:
    """Reads the year into all databases, and has them make their reports."""
    async with contextlib.AsyncExitStack() as stack:
        ledgers = [
            await stack.enter_async_context(ledger(kind, url, f"{redis.url}?db={number}"))
            for number, (kind, url) in enumerate(urls.items())
        ]
        filler = Filler(redis, range(len(ledgers)))
        stack.callback(filler.close)
        filler.fill(year.first())
        read = 0
        for index, commands in enumerate(year.days()):
            filler.fill(commands)
            if year.expected.entries - read < ENTRIES_AT_ONCE:
                continue
            read = year.expected.entries
            for each in ledgers:
                await each.read(day(FIRST_DAY + index).end_ms)
            if sys.stderr.isatty():
                print(f"\rday {index + 1} of {DAYS + 2}", end="", file=sys.stderr)
        for each in ledgers:
            await each.read(AFTER_MS)
            result.refused += await each.faults(year)
            result.figures[each.kind] = show(each, year, await each.size(), await reports(each, year))
        with redis.client() as client:
            redis_mb = client.info("memory")["used_memory_peak"] / 1e6
        own_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        result.figures["memory_mb"] = {"redis": redis_mb, "reader": own_mb}
        print(f"\nAt most {own_mb:,.0f} MB of this process, {redis_mb:,.0f} MB of Redis.")
        if len(ledgers) > 1:
            first, second = [each.rate.entries / each.rate.wall_s for each in ledgers]
            print(f"{ledgers[0].kind} reads {first / second:.2f} times as many entries/s as {ledgers[1].kind}.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs it; 3 where the figures must not be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--legs", type=int, default=10_000_000)
    parser.add_argument("--database", choices=(*KINDS, "both"), default="both")
    parser.add_argument("--keep", action="store_true", help="leave the databases, and say where they are")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args(arguments)
    kinds = KINDS if options.database == "both" else (options.database,)
    missing = missing_postgres() if "postgresql" in kinds else None
    if missing:
        parser.error(f"PostgreSQL is missing: {missing}")
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTED_AFTER)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] # of a process of its own it is a file
    result = Result("ledger", vars(options))
    print(heading("ledger", result))
    folder = Path(tempfile.mkdtemp(prefix="gateway-bench-"))
    with contextlib.ExitStack() as stack:
        urls = {}
        if "sqlite" in kinds:
            urls["sqlite"] = URL.create(DRIVERS["sqlite"], database=str(folder / "ledger.db"))
        if "postgresql" in kinds:
            postgres = PostgresProcess(SAFE)
            postgres.start()
            stack.callback(postgres.stop if options.keep else postgres.remove)
            urls["postgresql"] = postgres.url(postgres.create())
        if options.keep:
            print(f"The databases stay: {', '.join(str(url) for url in urls.values())}")
            if "postgresql" in kinds:
                print(f"PostgreSQL has its data in {postgres.folder / 'data'}")
        else:
            stack.callback(shutil.rmtree, folder)
        redis = stack.enter_context(redis_process(servers()[0]))
        uvloop.run(measure(result, redis, urls, Year(options.legs)))
    result.write(options.json)
    for reason in result.refused:
        print(f"REFUSED: {reason}")
    return REFUSED if result.refused else 0


if __name__ == "__main__":
    sys.exit(main())
