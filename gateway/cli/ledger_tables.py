"""What the commands of `gateway ledger` share: how the database is opened, options are read and rows are printed."""

import asyncio
import csv
import datetime as dt
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from gateway.clock import now_ms


if TYPE_CHECKING:
    from gateway.ledger.database import Database

LedgerUrl = Annotated[
    str | None, typer.Option("--ledger-url", help="The ledger's database. [default: ledger.db in the data directory]")
]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="[default: gateway-data]")]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
First = Annotated[str | None, typer.Option("--from", help="First day, YYYY-MM-DD. [default: first of this month]")]
Last = Annotated[str | None, typer.Option("--to", help="Last day. [default: today, Pacific]")]
CustomerArgument = Annotated[str, typer.Argument(help="Id of the customer.", metavar="CUSTOMER")]

DAYS_MAX = 400

T = TypeVar("T")


class Ledger:
    """The ledger as one command reads it. Faults end the command: exit code 2 for what was given, 1 for what failed."""

    def __init__(self, command: str, ledger_url: str | None, data_dir: Path | None) -> None:
        from gateway.cli.serve import settings_of  # noqa: PLC0415 - keeps `gateway --help` fast

        self.command = f"gateway ledger {command}"
        given = {"ledger_url": ledger_url, "data_dir": data_dir}
        settings = settings_of({name: value for name, value in given.items() if value is not None}, self.command)
        if settings.ledger is None:
            raise self.refused("--ledger-url", "is `none`, so there is no ledger to read")
        self.url = settings.ledger
        self.now_ms = now_ms()

    def refused(self, name: str, message: str) -> typer.Exit:
        """Names the option or argument that is wrong."""
        typer.echo(f"{self.command}: {name}: {message}", err=True)
        return typer.Exit(2)

    def failed(self, message: str) -> typer.Exit:
        """Says what failed."""
        typer.echo(f"{self.command}: {message}", err=True)
        return typer.Exit(1)

    def read(self, work: "Callable[[Database], Awaitable[T]]", customer: str | None = None) -> T:
        """What the work makes of the open database, which knows the customer."""
        from gateway.ledger.database import LedgerUnavailable  # noqa: PLC0415

        try:
            return asyncio.run(self._read(work, customer))
        except LedgerUnavailable as error:
            raise self.failed(str(error)) from None

    def read_with_store(self, work: "Callable[[Database], Awaitable[T]]", customer: str | None = None) -> T:
        """The same, of work that asks a store as well."""
        from gateway.kernel.errors import StoreError  # noqa: PLC0415

        try:
            return self.read(work, customer)
        except StoreError as error:
            raise self.failed(str(error)) from None
        except ValueError as error:
            raise self.refused("--redis-url", str(error)) from None

    async def _read(self, work: "Callable[[Database], Awaitable[T]]", customer: str | None) -> T:
        from gateway.ledger.database import Database  # noqa: PLC0415

        database = await Database.open(self.url)
        try:
            if customer is not None and not await _knows(database, customer):
                raise self.failed(f"the ledger knows no customer {customer!r}")
            return await work(database)
        finally:
            await database.close()

    def day(self, name: str, text: str) -> int:
        """A day of an option, as an ordinal."""
        from gateway.domain.days import reported_date  # noqa: PLC0415

        try:
            return reported_date(text).toordinal()
        except ValueError:
            raise self.refused(name, "is not a date (YYYY-MM-DD)") from None

    def days(self, first: str | None, last: str | None) -> tuple[int, int]:
        """A range of days; by default from the first of the month to today."""
        from gateway.domain.days import day_at  # noqa: PLC0415

        today = day_at(self.now_ms).ordinal
        end = today if last is None else self.day("--to", last)
        month = dt.date.fromordinal(min(end, today)).replace(day=1).toordinal()
        begin = month if first is None else self.day("--from", first)
        if end < begin:
            raise self.refused("--to", "lies before --from")
        if end - begin >= DAYS_MAX:
            raise self.refused("--from", f"lies more than {DAYS_MAX} days before --to")
        return begin, end

    def cycle(self, text: str | None) -> str:
        """A cycle; by default the one that is named after this month."""
        from gateway.domain.days import day_at  # noqa: PLC0415
        from gateway.ledger.host_reports import cycle_named  # noqa: PLC0415

        name = text if text is not None else f"{day_at(self.now_ms).date:%Y-%m}"
        try:
            cycle_named(name)
        except ValueError as error:
            raise self.refused("--cycle", str(error)) from None
        return name

    def pool(self, name: str, text: str) -> str:
        """One of the pools that have a commitment."""
        from gateway.domain.contract import METERED_POOLS  # noqa: PLC0415

        if text not in METERED_POOLS:
            raise self.refused(name, f"is none of {', '.join(METERED_POOLS)}")
        return text

    def forms(self, as_json: bool, as_csv: bool) -> None:
        """At most one form can be asked for."""
        if as_json and as_csv:
            raise self.refused("--csv", "does not go with --json")


def tell_json(body: object) -> None:
    """Prints a body as JSON, with the fields of the HTTP API."""
    import msgspec  # noqa: PLC0415

    typer.echo(msgspec.json.format(msgspec.json.encode(body), indent=2).decode())


def tell_rows(columns: Sequence[str], rows: Sequence[Sequence[object]], *, as_csv: bool) -> None:
    """Prints rows as CSV or as a table."""
    if as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
        return
    from gateway.cli.tables import show  # noqa: PLC0415

    # A terminal is narrow: a column in which nothing stands is not shown.
    told = [place for place, _ in enumerate(columns) if not rows or any(row[place] not in {None, ""} for row in rows)]
    show([columns[place] for place in told], [[row[place] for place in told] for row in rows])


def at(ms: int | None) -> str | None:
    """An instant as people read it; None where there is none."""
    from gateway.domain.days import instant  # noqa: PLC0415

    return None if ms is None else instant(ms)


def date_of(ordinal: int) -> str:
    """A day as people read it."""
    from gateway.domain.days import day  # noqa: PLC0415

    return day(ordinal).date.isoformat()


def progress() -> Any:
    """A bar beside what is printed, where somebody looks at it through a terminal."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    console = Console(stderr=True)
    return Progress(console=console, transient=True, disable=not console.is_terminal)


def rows_of(columns: Sequence[str], bodies: Sequence[Any]) -> list[list[object]]:
    """Fields of bodies; None where one is left out."""
    import msgspec  # noqa: PLC0415

    found = [[getattr(body, column) for column in columns] for body in bodies]
    return [[None if value is msgspec.UNSET else value for value in row] for row in found]


async def _knows(database: "Database", customer: str) -> bool:
    from sqlalchemy import select  # noqa: PLC0415

    from gateway.ledger import schema  # noqa: PLC0415

    async with database.reading() as connection:
        for table in (schema.versions, schema.live, schema.legs):
            found = await connection.execute(select(table.c.customer).where(table.c.customer == customer).limit(1))
            if found.first():
                return True
    return False
