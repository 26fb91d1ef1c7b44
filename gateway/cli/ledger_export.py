"""`gateway ledger export`: usage by day, to a file or to a metering system."""

import asyncio
import csv
import datetime as dt
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TextIO

import typer

from gateway.cli.ledger_tables import progress


if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from gateway.ledger.cloud_events import Usage
    from gateway.ledger.database import Database

app = typer.Typer()

COMMAND = "gateway ledger export"
POST_EVENTS = 500
"""In one request."""
POST_TIMEOUT_S = 60
TOKEN = "GATEWAY_EXPORT_TOKEN"  # noqa: S105 - the name of a variable
"""Sent as a bearer token to where events are posted. No option of the command line, which others can see."""


class Format(StrEnum):
    """In what form rows are written."""

    CLOUDEVENTS = "cloudevents"
    JSON = "json"
    CSV = "csv"


class ExportFailed(Exception):
    """The export came to an end before its end, in words for the terminal."""


@app.command()
def export(
    first: Annotated[
        str | None, typer.Option("--from", help="First day, YYYY-MM-DD; left out, the first of this month.")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day; left out, today, Pacific.")] = None,
    customer: Annotated[list[str] | None, typer.Option(help="Only this one; may be repeated; left out, all.")] = None,
    form: Annotated[Format, typer.Option("--format", help="In what form.")] = Format.CLOUDEVENTS,
    output: Annotated[str, typer.Option(help="A file; - is the terminal.")] = "-",
    post: Annotated[
        str | None, typer.Option(help=f"Send the events to this URL instead; {TOKEN} is sent as a bearer token.")
    ] = None,
    provisional: Annotated[
        bool, typer.Option("--provisional", help="Also days that have ended and are not closed yet.")
    ] = False,
    source: Annotated[str | None, typer.Option(help="Of the events; left out, it is named after the ledger.")] = None,
    ledger_url: Annotated[
        str | None, typer.Option(help="The ledger's database; left out, ledger.db in the data directory.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Of the gateway; left out, gateway-data.")] = None,
) -> None:
    """Export peaks and overage by customer, Pacific day and pool: days that are closed or final, and adjustments.

    An export may be repeated: events have the same ids, and whoever has them drops them.
    """
    from gateway.cli.serve import settings_of  # noqa: PLC0415 - keeps `gateway --help` fast
    from gateway.ledger.database import LedgerUnavailable  # noqa: PLC0415

    days = _days(first, last)
    _check_target(form, output, post)
    given = {"ledger_url": ledger_url, "data_dir": data_dir}
    url = settings_of({name: value for name, value in given.items() if value is not None}, COMMAND).ledger
    if url is None:
        raise _refused("--ledger-url: is `none`, so there is no ledger to read")
    try:
        with _target(form, output, post, source) as target:
            asyncio.run(_export(url, days, customer, target, provisional=provisional))
    except (LedgerUnavailable, ExportFailed, OSError) as error:
        typer.echo(f"{COMMAND}: {error}", err=True)
        raise typer.Exit(1) from None


def _days(first: str | None, last: str | None) -> tuple[int, int]:
    from gateway.domain.days import day_at  # noqa: PLC0415

    today = day_at(_now_ms()).date
    begin, end = _date(first, "--from") or today.replace(day=1), _date(last, "--to") or today
    if begin > end:
        raise _refused(f"--from: {begin} is after {end}")
    return begin.toordinal(), end.toordinal()


def _date(text: str | None, option: str) -> dt.date | None:
    from gateway.domain.days import reported_date  # noqa: PLC0415

    try:
        return reported_date(text) if text is not None else None
    except ValueError:
        raise _refused(f"{option}: is no day such as 2026-11-20") from None


def _check_target(form: Format, output: str, post: str | None) -> None:
    from gateway.ledger.webhook import checked_url  # noqa: PLC0415

    if post is None:
        return
    if form is not Format.CLOUDEVENTS:
        raise _refused("--post: goes with --format cloudevents only")
    if output != "-":
        raise _refused("--post: does not go with --output")
    try:
        checked_url(post)
    except ValueError as error:
        raise _refused(f"--post: {error}") from None


class _Target(Protocol):
    """Where rows go."""

    async def begin(self, source: str) -> None: ...
    async def add(self, rows: Sequence["Usage"]) -> None: ...
    async def end(self) -> None: ...


async def _export(
    url: "URL", days: tuple[int, int], wanted: Sequence[str] | None, target: _Target, *, provisional: bool
) -> None:
    from gateway.ledger import cloud_events  # noqa: PLC0415
    from gateway.ledger.database import Database  # noqa: PLC0415
    from gateway.ledger.versions import customers_of  # noqa: PLC0415

    database = await Database.open(url)
    try:
        async with database.reading() as connection:
            known = await customers_of(connection)
            named = await cloud_events.source_of(connection)
        await target.begin(named)  # beyond the transaction: what fails here is the target
        unknown = sorted(set(wanted or ()) - set(known))
        if unknown:
            raise ExportFailed(f"the ledger knows no customer {', '.join(unknown)}")
        chosen = sorted(set(wanted)) if wanted else known
        with progress() as bar:
            for name in bar.track(chosen, description="customers"):
                await target.add(await _rows(database, name, days, provisional=provisional))
            await target.end()
    finally:
        await database.close()


async def _rows(database: "Database", customer: str, days: tuple[int, int], *, provisional: bool) -> list["Usage"]:
    from gateway.ledger import cloud_events  # noqa: PLC0415

    async with database.reading() as connection:
        settled = await cloud_events.settled_usage(connection, customer, *days)
    if not provisional:
        return settled
    from gateway.ledger.figures import Figures  # noqa: PLC0415

    figures = await Figures(database).overage(customer, *days, _now_ms())
    return [*settled, *cloud_events.provisional_usage(customer, figures)]


@contextmanager
def _target(form: Format, output: str, post: str | None, source: str | None) -> Iterator[_Target]:
    """The target; a file takes its name only when it is complete."""
    if post is not None:
        yield _Posted(post, source)
        return
    if output == "-":
        yield _Written(sys.stdout, form, source)
        return
    path = Path(output)
    if path.exists() and not path.is_file():
        # A device or a pipe is written to; a file of its name must not take its place. A folder is refused here, by its name.
        with path.open("w", encoding="utf-8", newline="") as stream:
            yield _Written(stream, form, source)
        return
    unfinished = path.with_name(f"{path.name}.part")
    try:
        with unfinished.open("w", encoding="utf-8", newline="") as stream:
            yield _Written(stream, form, source)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


class _Written:
    """Rows as text."""

    def __init__(self, stream: TextIO, form: Format, source: str | None) -> None:
        self._stream = stream
        self._form = form
        self._source = source
        self._is_first = True

    async def begin(self, source: str) -> None:
        self._source = self._source or source
        if self._form is Format.CSV:
            from gateway.ledger.cloud_events import Usage  # noqa: PLC0415

            csv.writer(self._stream, lineterminator="\n").writerow(Usage.__struct_fields__)
        else:
            self._stream.write("[")

    async def add(self, rows: Sequence["Usage"]) -> None:
        from gateway.ledger.cloud_events import row_of  # noqa: PLC0415

        if self._form is Format.CSV:
            csv.writer(self._stream, lineterminator="\n").writerows([row_of(row).values() for row in rows])
            return
        for row in rows:
            self._stream.write("\n" if self._is_first else ",\n")
            self._is_first = False
            if self._form is Format.JSON:
                self._stream.write(json.dumps(row_of(row)))
            else:
                self._stream.write(_event(row, self._source).decode())

    async def end(self) -> None:
        self._stream.write("" if self._form is Format.CSV else "\n]\n")
        self._stream.flush()


class _Posted:
    """Rows as events that are sent in batches."""

    def __init__(self, url: str, source: str | None) -> None:
        self._url = url
        self._source = source
        self._waiting: list[bytes] = []
        self._sent = 0

    async def begin(self, source: str) -> None:
        self._source = self._source or source

    async def add(self, rows: Sequence["Usage"]) -> None:
        self._waiting += [_event(row, self._source) for row in rows]
        while len(self._waiting) >= POST_EVENTS:
            await self._post(POST_EVENTS)

    async def end(self) -> None:
        if self._waiting:
            await self._post(POST_EVENTS)
        typer.echo(f"{self._sent} events sent", err=True)

    async def _post(self, count: int) -> None:
        import aiohttp  # noqa: PLC0415

        from gateway.ledger.cloud_events import BATCH_TYPE, batch  # noqa: PLC0415

        now, self._waiting = self._waiting[:count], self._waiting[count:]
        token = os.environ.get(TOKEN)
        headers = {"content-type": BATCH_TYPE} | ({"authorization": f"Bearer {token}"} if token else {})
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=POST_TIMEOUT_S)) as session,
                session.post(self._url, data=batch(now), headers=headers, allow_redirects=False) as response,
            ):
                failure = "" if 200 <= response.status < 300 else f"answered {response.status}"
        except (aiohttp.ClientError, TimeoutError) as error:
            failure = f"failed: {type(error).__name__}"
        if failure:
            raise ExportFailed(
                f"the receiver {failure}; it has taken {self._sent} events. Run it again: none counts twice"
            )
        self._sent += len(now)


def _event(row: "Usage", source: str | None) -> bytes:
    from gateway.ledger.cloud_events import SOURCE, cloud_event, encoded  # noqa: PLC0415

    return encoded(cloud_event(row, source or SOURCE))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _refused(message: str) -> Any:
    typer.echo(f"{COMMAND}: {message}", err=True)
    return typer.Exit(2)
