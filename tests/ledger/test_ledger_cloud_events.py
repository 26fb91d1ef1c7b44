import asyncio
import contextlib
import csv
import datetime as dt
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from sqlalchemy.engine import URL
from support import customer, ports
from typer.testing import CliRunner, Result

from gateway.cli import ledger_export
from gateway.domain.billing.day_state import DayState
from gateway.domain.days import HOUR_MS
from gateway.domain.days import day as day_of
from gateway.domain.record import Record
from gateway.ledger import schema
from gateway.ledger.cloud_events import (
    Usage,
    cloud_event,
    encoded,
    event_id,
    provisional_usage,
    settled_usage,
    source_of,
)
from gateway.ledger.database import Database
from gateway.ledger.figures import DayRow
from gateway.stored_record import encode_record


FIRST = dt.date(2026, 10, 31).toordinal()
"""A Saturday; the day after it has 25 hours."""
LAST = FIRST + 4
NOW_MS = day_of(FIRST).start_ms


def day_row(
    ordinal: int, *, name: str = "acme", pool: str = "ports", state: str = "final", peak: int = 12
) -> dict[str, Any]:
    """Figures of a day with 10 committed."""
    return {
        "customer": name, "day": ordinal, "pool": pool, "committed": 10, "peak": peak,
        "peak_at_ms": day_of(ordinal).start_ms + HOUR_MS, "overage": max(peak - 10, 0), "overage_at_ms": 0,
        "held_peak": peak + 1, "adopted": 3, "state": state, "computed_ms": 0,
    }  # fmt: skip


def adjustment(ordinal: int, number: int, peak: int, *, pool: str = "ports") -> dict[str, Any]:
    """What became known later."""
    return {
        "customer": "acme", "day": ordinal, "pool": pool, "number": number, "peak": peak, "overage": max(peak - 10, 0),
        "cause": "late", "at_ms": day_of(ordinal).end_ms + 48 * HOUR_MS,
    }  # fmt: skip


async def fill(database: Database) -> None:
    """Two customers, five days: final ones with adjustments, a closed one, one that is not closed."""
    version = {
        "version": 1, "at_ms": 1, "epoch": 1, "number": 0, "change": "install", "by": "test",
        "document": encode_record(Record(1, customer(ports(10)))),
    }  # fmt: skip
    async with database.writing() as connection:
        await connection.execute(schema.facts.insert(), [{"name": "id", "value": "0123abcd"}])
        await connection.execute(
            schema.versions.insert(), [{**version, "customer": name} for name in ("acme", "globex", "idle")]
        )
        await connection.execute(
            schema.days.insert(),
            [
                day_row(FIRST), day_row(FIRST, pool="china", peak=0), day_row(FIRST + 1, peak=9),
                day_row(FIRST + 2, state="closed", peak=11), day_row(FIRST, name="globex", peak=400),
            ],
        )  # fmt: skip
        await connection.execute(
            schema.closings.insert(),
            [{"customer": "acme", "day": FIRST + each, "state": "final", "at_ms": 0} for each in range(3)],
        )
        await connection.execute(
            schema.adjustments.insert(),
            [adjustment(FIRST, 1, 15), adjustment(FIRST, 2, 9), adjustment(FIRST + 3, 1, 13, pool="pstn")],
        )


def told(usage: list[Usage]) -> list[tuple[str, int, int, int, int]]:
    """What tells them apart: id, peak, overage, and what they change."""
    return [(event_id(each), each.peak, each.overage, each.peak_change, each.overage_change) for each in usage]


async def test_settled_days_are_exported_with_their_adjustments_as_rows_of_their_own(ledger_database: Database) -> None:
    """What an adjustment changes is said against the one before it; where there were no figures, it is all of it."""
    await fill(ledger_database)
    async with ledger_database.reading() as connection:
        usage = await settled_usage(connection, "acme", FIRST, LAST)

    assert [
        ("acme/2026-10-31/china/final", 0, 0, 0, 0),
        ("acme/2026-10-31/ports/final", 12, 2, 12, 2),
        ("acme/2026-10-31/ports/adjusted-1", 15, 5, 3, 3),
        ("acme/2026-10-31/ports/adjusted-2", 9, 0, -6, -5),
        ("acme/2026-11-01/ports/final", 9, 0, 9, 0),
        ("acme/2026-11-02/ports/closed", 11, 1, 11, 1),
        ("acme/2026-11-03/pstn/adjusted-1", 13, 3, 13, 3),
    ] == told(usage)
    assert 3 - 3 + 0 + 3 == sum(each.overage_change for each in usage if each.state != "closed")


async def test_an_event_is_one_by_the_library_and_comes_back_as_it_was(ledger_database: Database) -> None:
    """The library reads what was written, and validates it; figures are whole numbers, the time is the end of a day of 25 hours."""
    await fill(ledger_database)
    async with ledger_database.reading() as connection:
        [usage] = await settled_usage(connection, "acme", FIRST + 1, FIRST + 1)
        source = await source_of(connection)
    read = JSONFormat().read(CloudEvent, encoded(cloud_event(usage, source)))

    assert {
        "specversion": "1.0",
        "type": "admission-gateway.usage.day.final",
        "id": "acme/2026-11-01/ports/final",
        "source": "urn:admission-gateway:ledger:0123abcd",
        "subject": "acme",
        "time": dt.datetime(2026, 11, 2, 8, tzinfo=dt.UTC),
        "datacontenttype": "application/json",
    } == read.get_attributes()
    assert {
        "customer": "acme", "day": "2026-11-01", "pool": "ports", "state": "final", "peak": 9, "overage": 0, "peak_change": 9,
        "overage_change": 0, "committed": 10, "peak_at": "2026-11-01T08:00:00.000Z", "held_peak": 10, "adopted": 3,
    } == read.get_data()  # fmt: skip


def test_provisional_days_are_those_that_have_ended_and_are_not_closed() -> None:
    """Their ids follow from their figures, because these may change."""
    figures = [
        DayRow(FIRST + each, "ports", 10, 12, 2, NOW_MS, 12, 0, state) for each, state in enumerate(get_args(DayState))
    ]
    [found] = provisional_usage("acme", figures)
    [again] = provisional_usage("acme", figures)
    [other] = provisional_usage("acme", [replace(figures[1], peak=13)])

    assert ("open", "provisional", "closed", "final") == get_args(DayState)
    assert dt.date.fromordinal(FIRST + 1) == found.day
    assert event_id(found).startswith("acme/2026-11-01/ports/provisional-")
    assert event_id(found) == event_id(again) != event_id(other)


class Meter(ThreadingHTTPServer):
    """A metering system that drops events whose source and id it has."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Take)
        self.answers: list[int] = []
        self.batches: list[tuple[str | None, str | None, int]] = []
        self.events: dict[tuple[str, str], dict[str, Any]] = {}

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}/api/v1/events"


class _Take(BaseHTTPRequestHandler):
    server: Meter

    def do_POST(self) -> None:
        events = json.loads(self.rfile.read(int(self.headers["content-length"])))
        status = self.server.answers.pop(0) if self.server.answers else 204
        if status == 204:
            for event in events:
                self.server.events.setdefault((event["source"], event["id"]), event)
        self.server.batches.append((self.headers["content-type"], self.headers["authorization"], len(events)))
        self.send_response(status)
        self.send_header("content-length", "0")
        if status == 302:
            self.send_header("location", self.server.url)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the class above
        """Says nothing."""


@pytest.fixture
def meter() -> Iterator[Meter]:
    """Listens until the test is over."""
    with Meter() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


Export = Callable[..., Result]


@pytest.fixture
def export(ledger_url: URL, monkeypatch: pytest.MonkeyPatch) -> Export:
    """Runs `gateway ledger export` over a filled ledger."""
    app = typer.Typer()
    app.add_typer(ledger_export.app, name="ledger")
    app.command("other")(lambda: None)
    monkeypatch.setenv("GATEWAY_LEDGER_URL", ledger_url.render_as_string(hide_password=False))
    monkeypatch.delenv(ledger_export.TOKEN, raising=False)

    async def filled() -> None:
        database = await Database.open(ledger_url)
        await fill(database)
        await database.close()

    asyncio.run(filled())

    def run(*options: str, days: tuple[str, ...] = ("--from", "2026-10-31", "--to", "2026-11-04")) -> Result:
        return CliRunner().invoke(app, ["ledger", "export", *days, *options])

    return run


def test_the_command_writes_events_of_all_customers(export: Export) -> None:
    """A JSON batch on the terminal, each event one of the library's; the same once more for whoever asks again."""
    first, again = export(), export()
    events = [JSONFormat().read(CloudEvent, json.dumps(event)) for event in json.loads(first.stdout)]

    assert (0, first.stdout) == (again.exit_code, again.stdout)
    assert ["acme"] * 7 + ["globex"] == [event.get_subject() for event in events]
    assert 8 == len({event.get_id() for event in events})
    assert "" == first.stderr


def test_the_command_adds_provisional_days_where_it_is_told_to(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last two days were never closed: the one that has ended is replayed, here without any leg; the one that goes on is left out."""
    monkeypatch.setattr(ledger_export, "_now_ms", lambda: day_of(LAST).start_ms + HOUR_MS)
    events = json.loads(export("--provisional", "--customer", "acme").stdout)
    settled = json.loads(export("--customer", "acme").stdout)

    [added] = [event for event in events if event not in settled]
    assert settled == [event for event in events if event != added]
    assert "admission-gateway.usage.day.provisional" == added["type"]
    assert ("2026-11-03", "ports", 0, 10) == tuple(added["data"][name] for name in ("day", "pool", "peak", "committed"))


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="there is no device that is always full")
def test_a_target_that_is_full_is_not_told_as_the_ledger(ledger_url: URL) -> None:
    """One line about the target. The device is opened here, not named: whoever replaces what is named would take it from the machine."""
    url = ledger_url.render_as_string(hide_password=False)
    command = (sys.executable, "-m", "gateway", "ledger", "export", "--ledger-url", url)
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)

    assert (1, b"gateway ledger export: [Errno 28] No space left on device\n") == (ended.returncode, ended.stderr)


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="there is no device that is always full")
def test_output_that_cannot_be_written_is_told_in_one_line() -> None:
    """By every command, and the exit code says so."""
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            (sys.executable, "-m", "gateway", "--help"), stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )

    assert (1, b"gateway: [Errno 28] No space left on device\n") == (ended.returncode, ended.stderr)


def test_what_is_no_file_is_written_to_and_not_replaced(export: Export, tmp_path: Path) -> None:
    """A pipe, as a device such as /dev/null, stays what it is; a folder is refused by its name."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    result = export("--output", str(pipe), "--customer", "globex")
    told = json.loads(os.read(reading, 65536))
    os.close(reading)
    refused = export("--output", str(tmp_path))

    assert (0, 1, True) == (result.exit_code, len(told), pipe.is_fifo())
    assert (1, True) == (refused.exit_code, f"Is a directory: '{tmp_path}'" in refused.stderr)


def test_the_command_writes_csv_and_json_to_a_file(export: Export, tmp_path: Path) -> None:
    """The same rows; the file has its name when it is complete."""
    for form in ("csv", "json"):
        result = export(
            "--format", form, "--output", str(tmp_path / form), "--customer", "globex", "--customer", "idle"
        )
        assert (0, "") == (result.exit_code, result.stdout)
    with (tmp_path / "csv").open(newline="") as stream:
        [row] = csv.DictReader(stream)
    [same] = json.loads((tmp_path / "json").read_text())

    assert {name: "" if value is None else str(value) for name, value in same.items()} == row
    assert ("globex", "2026-10-31", "ports", 400, 390, None) == tuple(
        same[name] for name in ("customer", "day", "pool", "peak", "overage", "number")
    )
    assert ["csv", "json"] == sorted(path.name for path in tmp_path.iterdir() if "ledger" not in path.name)


def test_the_command_sends_batches_and_a_second_run_adds_nothing(
    export: Export, meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the token as a bearer token, and in requests of a bounded size."""
    monkeypatch.setattr(ledger_export, "POST_EVENTS", 3)
    monkeypatch.setenv(ledger_export.TOKEN, "s3cret")
    results = [export("--post", meter.url) for _ in range(2)]

    assert [(0, "", "8 events sent\n")] * 2 == [(each.exit_code, each.stdout, each.stderr) for each in results]
    assert [("application/cloudevents-batch+json", "Bearer s3cret", count) for count in (3, 3, 2)] * 2 == meter.batches
    assert 8 == len(meter.events)


@pytest.mark.parametrize("status", [500, 401, 302])
def test_the_command_says_how_far_it_came_where_the_receiver_fails(
    export: Export, meter: Meter, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """Exit code 1; another run completes it."""
    monkeypatch.setattr(ledger_export, "POST_EVENTS", 3)
    meter.answers = [204, status]
    failed, completed = export("--post", meter.url), export("--post", meter.url)

    assert 1 == failed.exit_code
    assert failed.stderr.startswith(f"gateway ledger export: the receiver answered {status}; it has taken 3 events.")
    assert (0, 8) == (completed.exit_code, len(meter.events))


def test_the_command_says_what_it_was_given_wrong(export: Export, tmp_path: Path) -> None:
    """The option is named; nothing is written."""
    refused = {
        "--from: is no day": export(days=("--from", "yesterday")),
        "--to: is no day": export(days=("--to", "2026-02-30")),
        "--from: 2026-11-05 is after": export(days=("--from", "2026-11-05", "--to", "2026-11-04")),
        "--post: goes with": export("--post", "http://127.0.0.1:1/", "--format", "csv"),
        "--post: does not go": export("--post", "http://127.0.0.1:1/", "--output", str(tmp_path / "out")),
        "--post: is no URL": export("--post", "meter"),
        "--ledger-url: is `none`": export("--ledger-url", "none"),
    }
    failed = {
        "no customer nobody": export("--customer", "nobody", "--output", str(tmp_path / "out")),
        "the receiver failed": export("--post", "http://127.0.0.1:1/"),
        "no such file": export("--ledger-url", f"sqlite:///{tmp_path}/missing.db"),
        "No such file": export("--output", str(tmp_path / "missing" / "out")),
    }

    for code, results in ((2, refused), (1, failed)):
        for text, result in results.items():
            assert (code, True) == (result.exit_code, text in result.stderr), (text, result.stderr)
    assert [] == [path.name for path in tmp_path.iterdir() if "ledger" not in path.name]


def test_nothing_incomplete_is_left_where_the_export_is_broken_off(
    export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was there before under that name stays."""
    output = tmp_path / "out"
    output.write_text("yesterday's")
    monkeypatch.setattr(ledger_export._Written, "end", _breaks_off)
    with contextlib.suppress(KeyboardInterrupt):
        export("--output", str(output))

    assert "yesterday's" == output.read_text()
    assert [output] == [path for path in tmp_path.iterdir() if "ledger" not in path.name]


async def _breaks_off(_: object) -> None:
    raise KeyboardInterrupt
