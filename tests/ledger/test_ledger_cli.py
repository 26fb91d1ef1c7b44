"""`gateway ledger ...`, read straight from a database that the real writer has written; no gateway runs."""

import asyncio
import csv
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ledger_past import Past, at, noon, ordinal
from plans import active_enterprise, per_event, premium_calling
from sqlalchemy.engine import URL
from support import ports, term
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.domain.days import HOUR_MS, MINUTE_MS
from gateway.ledger import schema
from gateway.ledger.database import Database


DAY = "2025-10-06"
START = noon(DAY)
RANGE = ("--from", DAY, "--to", "2025-10-07")


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """`gateway ledger` on one database."""

    url: str

    def __call__(self, *arguments: str) -> Ran:
        """Runs a command in this process."""
        given = ["ledger", *arguments, "--ledger-url", self.url]
        result = CliRunner().invoke(app, given, env={"COLUMNS": "250"})
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)

    def json(self, *arguments: str) -> Any:
        """What it answers as JSON."""
        ran = self(*arguments, "--json")
        assert (0, "") == (ran.code, ran.err)
        return json.loads(ran.out)

    def csv(self, *arguments: str) -> list[list[str]]:
        """What it answers as CSV."""
        ran = self(*arguments, "--csv")
        assert (0, "") == (ran.code, ran.err)
        return list(csv.reader(io.StringIO(ran.out)))


def told() -> Past:
    """Three legs against 2 ports, an event of two, a Call Me of 61 s, a host in October 2025."""
    past = Past()
    past.hold(
        at("2025-01-01 00:00"),
        ports(2, id="ports", enforcement="metered"),
        active_enterprise(id="ah", **term("2025-01-01", "2025-12-31"), base_percentage=10, quantity=1),
        per_event(quantity=5, max_attendees=1, id="ev"),
        premium_calling(id="calls", rate_card="std"),
    )
    for place in range(3):
        past.leg(f"leg-{place}", START + place * MINUTE_MS, START + HOUR_MS, licensed_by="ah", meeting="[/m]")
    pstn: dict[str, Any] = {
        "endpoint": "pstn",
        "calling": "call_me",
        "number_country": "FR",
        "number_class": "standard",
    }
    past.leg("phone", START + 2 * HOUR_MS, START + 2 * HOUR_MS + 61_000, **pstn)
    event: dict[str, Any] = {"service": "event", "pools": (), "licensed_by": "ev", "meeting": "e1"}
    past.leg("p", START, START + HOUR_MS, role="presenter", **event)
    past.leg("a", START, START + HOUR_MS, role="attendee", **event)
    past.deny(START, "ports_full")
    return past


@pytest.fixture
def ledger(ledger_url: URL) -> Ledger:
    """A ledger with that past."""

    async def write() -> None:
        database = await Database.open(ledger_url)
        await told().write(database)
        await database.close()

    asyncio.run(write())
    return Ledger(ledger_url.render_as_string(hide_password=False))


@pytest.fixture
def nothing(tmp_path: Path, migrated_sqlite: Path) -> Ledger:
    """A ledger in which nothing is."""
    path = tmp_path / "nothing.db"
    path.write_bytes(migrated_sqlite.read_bytes())
    return Ledger(f"sqlite:///{path}")


def test_T4_3_overage_is_told_as_table_json_and_csv(ledger: Ledger) -> None:
    """Three against two: overage 1, the same in all forms; nobody has closed the days."""
    table, body = ledger("overage", "acme", *RANGE), ledger.json("overage", "acme", *RANGE)
    rows = ledger.csv("overage", "acme", *RANGE)

    assert (0, "") == (table.code, table.err)
    assert [("2025-10-06", "ports", 2, 3, 1, False), ("2025-10-07", "ports", 2, 0, 0, False)] == [
        (row["day"], row["pool"], row["committed"], row["peak"], row["overage"], row["final"]) for row in body["rows"]
    ]
    assert ("acme", "ledger", "provisional") == (body["customer"], body["source"], body["rows"][0]["state"])
    assert ["2025-10-06", "ports", "2", "3", "1", "2025-10-06T19:02:00.000Z", "3", "0", "False"] == rows[1][:9]
    assert "2025-10-06T19:02:00.000Z" in table.out


def test_T5_2_T15_4_T11_2_the_other_reports_are_told(ledger: Ledger) -> None:
    """Hosts, calling and events, each as text and JSON."""
    hosts = ledger.json("hosts", "acme", "--cycle", "2025-10")["subscriptions"]
    calling = ledger.json("calling", "acme", "--cycle", "2025-10")["subscriptions"]
    events = ledger.json("events", "acme")

    (october,) = [cycle for cycle in hosts[0]["cycles"] if cycle["cycle"] == "2025-10"]
    assert ("ah", 1, 1) == (hosts[0]["subscription"], hosts[0]["active_hosts"], october["active_hosts"])
    assert ["certifications"] == hosts[0]["periods"][0]["missing"]
    assert [("calls", "FR", "2.00", 1)] == [
        (month["subscription"], row["country"], row["minutes"], row["unrated_legs"])
        for month in calling
        for row in month["rows"]
    ]
    assert [("e1", 2, 60, 1)] == [
        (each["event"], each["joined_total"], each["minutes"], each["attendee_overage"]) for each in events["events"]
    ]
    assert "termination: 0, of peak 1 less 1 purchased" in ledger("hosts", "acme", "--cycle", "2025-10").out
    assert "calls: not rated, and in no sum: no rate card std is in effect" in (
        ledger("calling", "acme", "--cycle", "2025-10").out
    )
    assert "ev: 1 events, attendee overage 1, duration overage 0 min" in ledger("events", "acme").out


def test_explain_lists_the_legs_of_the_peak(ledger: Ledger) -> None:
    """The commitment with its subscription, the instant, the three legs; no more than asked for."""
    body = ledger.json("explain", "acme", DAY, "ports")
    text = ledger("explain", "acme", DAY, "ports", "--legs", "1")

    assert [f"leg-{place}" for place in range(3)] == [leg["connection"] for leg in body["legs"]]
    assert (1, {"ports": 2}) == (body["figure"]["overage"], body["commitment"]["subscriptions"])
    assert "peak 3, overage 1 above 2 committed; provisional" in text.out
    assert "committed 2 = ports 2; version 1 by test" in text.out
    assert "3 legs were connected then, 2 of them not listed" in text.out
    assert "leg-1" not in text.out
    assert "[/m]" in text.out
    assert "nothing to report" in ledger("explain", "acme", DAY, "china").out


def test_what_if_is_told_with_its_totals_and_what_was_refused_then(ledger: Ledger) -> None:
    """With 1 and a ceiling of 2 the third leg is denied."""
    asked = ("what-if", "acme", "--committed", "1", "--ceiling", "2", *RANGE)
    body, text = ledger.json(*asked), ledger(*asked)

    assert {"days_over_then": 1, "days_over": 1, "overage_then": 1, "overage": 1, "denied": 1} == body["totals"]
    assert {"ports_full": 1} == body["denied_then"]
    assert ["2025-10-06", "3", "2", "1", "2", "1", "1"] == ledger.csv(*asked)[1]
    assert "days over then 1, days over 1, overage then 1, overage 1, denied 1" in text.out
    assert "refused then, by reason, all pools; how long they would have stayed is not known: ports_full 1" in text.out


def test_verify_ends_with_1_where_a_figure_differs(ledger: Ledger, ledger_url: URL) -> None:
    """A written figure of 7 where replay says 3 is shown; without it nothing differs, for one customer and for all."""
    good, everybody = ledger("verify", "acme", *RANGE), ledger("verify", *RANGE)
    assert (0, "2 days of customers recomputed, 0 differences\n") == (good.code, good.out)
    assert good.out == everybody.out

    async def falsify() -> None:
        database = await Database.open(ledger_url)
        row = {"customer": "acme", "day": ordinal(DAY), "state": "closed"}
        figures = {"committed": 2, "peak": 7, "peak_at_ms": START, "overage": 5, "overage_at_ms": START, "held_peak": 7}
        async with database.writing() as connection:
            await connection.execute(schema.closings.insert().values(**row, at_ms=START))
            await connection.execute(
                schema.days.insert().values(**row, pool="ports", adopted=0, computed_ms=START, **figures)
            )
        await database.close()

    asyncio.run(falsify())
    bad = ledger("verify", "acme", *RANGE)
    as_json = ledger("verify", "acme", *RANGE, "--json")

    assert (1, 1) == (bad.code, as_json.code)
    assert "figure_differs" in bad.out
    assert {("2025-10-06", "ports", "figure_differs")} == {
        (each["day"], each["pool"], each["kind"]) for each in json.loads(as_json.out)["differences"]
    }


def test_status_gaps_and_findings_of_a_ledger(ledger: Ledger) -> None:
    """One outbox has been read, nothing is missing; nobody holds the right to write; passwords are not shown."""
    status = ledger.json("status", "--count")

    assert (0, 0, 0, None) == (status["gaps"], status["doubts"], status["findings"], status["writer"])
    assert [(13, None)] == [(each["number"], each["doubt_since"]) for each in status["positions"]]
    assert (6, 0, 1) == (status["sizes"]["stretches"], status["sizes"]["live"], status["sizes"]["versions"])
    assert "read until" in ledger("status").out
    assert [] == ledger.json("gaps")
    assert [] == ledger.json("findings", "acme", "--all")
    assert [["customer", "day", "pool", "kind"]] == [row[:4] for row in ledger.csv("findings")]


def test_T15_4_rate_cards_are_applied_listed_and_never_written_over(ledger: Ledger, tmp_path: Path) -> None:
    """Applied twice it is kept once; then minutes have a charge; other rates from the same day are refused with their path."""
    file = tmp_path / "rates.yaml"

    def write(per_minute: str) -> None:
        rate = f'{{country: FR, calling: call_me, per_minute: "{per_minute}"}}'
        file.write_text(f"rate_cards: [{{id: std, currency: EUR, effective_from: 2025-01-01, rates: [{rate}]}}]")

    write("0.25")
    first, again = ledger("rates", "apply", str(file), "--by", "dana"), ledger("rates", "apply", str(file))
    write("0.26")
    other = ledger("rates", "apply", str(file))
    listed = ledger.json("rates", "list")["rate_cards"]

    assert ["std from 2025-01-01: kept\n", "std from 2025-01-01: was kept before\n"] == [first.out, again.out]
    assert (1, "") == (other.code, other.out)
    assert f"{file}: $.rate_cards[0].effective_from: std is kept with other rates from 2025-01-01 on" in other.err
    assert [("std", "dana", "0.25")] == [(card["id"], card["by"], card["rates"][0]["per_minute"]) for card in listed]
    assert "gross 0.50 EUR, less 0 %: 0.50, deduction 0.00, due 0.50" in (
        ledger("calling", "acme", "--cycle", "2025-10").out
    )
    assert ["std", "2025-01-01", "EUR", "FR", "call_me", "*", "0.25", "0", "60", "0"] == ledger.csv("rates", "list")[1]


@pytest.mark.parametrize(
    ("arguments", "told_of"),
    [
        (("overage", "acme", "--from", "2025-10-32"), "--from: is not a date (YYYY-MM-DD)"),
        (("overage", "acme", "--to", "yesterday"), "--to: is not a date (YYYY-MM-DD)"),
        (("overage", "acme", "--from", "20251001"), "--from: is not a date (YYYY-MM-DD)"),
        (("overage", "acme", "--from", "2025-10-02", "--to", "2025-10-01"), "--to: lies before --from"),
        (
            ("overage", "acme", "--from", "2020-01-01", "--to", "2025-10-01"),
            "--from: lies more than 400 days before --to",
        ),
        (("overage", "acme", "--json", "--csv"), "--csv: does not go with --json"),
        (("hosts", "acme", "--cycle", "2025-13"), "--cycle: is no cycle"),
        (("hosts", "acme", "--cycle", "2025-1"), "--cycle: is no cycle"),
        (("calling", "acme", "--cycle", ""), "--cycle: is no cycle"),
        (("calling", "acme", "--cycle", "9999-12"), "--cycle: is no cycle"),
        (("explain", "acme", "2025-02-30", "ports"), "DAY: is not a date (YYYY-MM-DD)"),
        (("explain", "acme", DAY, "hosts"), "POOL: is none of ports, teams_ports, china, pstn, event_pstn"),
        (("explain", "acme", DAY, "ports", "--legs", "-1"), "--legs: is not a number from 0 to 1000000"),
        (("what-if", "acme", "--committed", "-1"), "--committed: is not a number from 0 to 10000000"),
        (("what-if", "acme", "--committed", "5", "--ceiling", "4"), "--ceiling: lies below --committed"),
        (("what-if", "acme", "--committed", "0", "--ceiling", "0"), "--ceiling: is not a number from 1 to 10000000"),
        (("what-if", "acme", "--committed", "5", "--pool", "x"), "--pool: is none of ports"),
        (("what-if", "acme"), "--committed"),
        (("what-if", "acme", "--committed", "many"), "--committed"),
        (("verify", "--from", "2025-10-02", "--to", "2025-10-01"), "--to: lies before --from"),
        (("overage",), "CUSTOMER"),
    ],
)
def test_careless_input_ends_with_2_and_names_the_option(
    nothing: Ledger, arguments: tuple[str, ...], told_of: str
) -> None:
    """No trace, nothing on standard output."""
    ran = nothing(*arguments)

    assert (2, "") == (ran.code, ran.out)
    assert told_of in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("url", "code", "told_of"),
    [
        ("none", 2, "--ledger-url: is `none`, so there is no ledger to read"),
        ("mysql://127.0.0.1/ledger", 2, "--ledger-url: is none of"),
        ("what", 2, "--ledger-url: is no URL of a database"),
        ("postgresql://me:top@secret@127.0.0.1/ledger", 2, "--ledger-url: holds an @ in its user or password"),
        ("postgresql://me:x@127.0.0.1:secret/ledger", 2, "--ledger-url: is no URL of a database"),
        ("postgresql://me@127.0.0.1/ledger?password=secret", 2, "--ledger-url: has the option password, and may have"),
        ("postgresql://me@127.0.0.1/ledger?sslmode=yes", 2, "--ledger-url: has an sslmode that is none of"),
        ("sqlite:///ledger.db?mode=ro", 2, "--ledger-url: has the option mode, and may have none"),
        ("postgresql://me:secret@127.0.0.1:1/ledger?sslmode=require", 1, "127.0.0.1:1/ledger?ssl=require: "),
        ("sqlite:////nonexistent/ledger.db", 1, "the ledger at sqlite+aiosqlite:////nonexistent/ledger.db: "),
        (
            "postgresql://me:secret@127.0.0.1:1/ledger",
            1,
            "the ledger at postgresql+asyncpg://me:***@127.0.0.1:1/ledger: ",
        ),
    ],
)
def test_a_ledger_that_cannot_be_read_is_told_in_one_line(url: str, code: int, told_of: str) -> None:
    """Exit code 2 where it was named badly, 1 where it is away; no password, no trace."""
    ran = Ledger(url)("overage", "acme")

    assert (code, "") == (ran.code, ran.out)
    assert told_of in ran.err
    assert ran.err.startswith("gateway ledger overage: ")
    assert not [word for word in ("secret", "Traceback") if word in ran.err]


def test_an_unknown_customer_and_a_bad_file_are_told(nothing: Ledger, tmp_path: Path) -> None:
    """Exit code 1, and why; every fault of a rate card with its path."""
    file = tmp_path / "rates.json"
    file.write_text('{"rate_cards": [{"id": "std", "currency": "eur", "effective_from": "2025-01-01", "rates": [{}]}]}')
    bad = nothing("rates", "apply", str(file))

    for command in ("overage", "hosts", "calling", "events", "verify"):
        ran = nothing(command, "nobody")
        assert (1, f"gateway ledger {command}: the ledger knows no customer 'nobody'\n") == (ran.code, ran.err)
    assert 1 == bad.code
    assert f"{file}: $.rate_cards[0].currency: " in bad.err
    assert f"{file}: $.rate_cards[0].rates[0].per_minute: is required" in bad.err
    assert nothing("rates", "apply", str(tmp_path / "no")).err.endswith("/no: No such file or directory\n")
    assert [] == nothing.json("status")["positions"]


def test_the_commands_run_as_a_user_runs_them(tmp_path: Path, migrated_sqlite: Path) -> None:
    """From the data directory, where the ledger lies unless told otherwise; help lists every command."""
    (tmp_path / "ledger.db").write_bytes(migrated_sqlite.read_bytes())
    env = {name: value for name, value in os.environ.items() if name != "GATEWAY_LEDGER_URL"}
    outputs = []
    for arguments in (("status", "--data-dir", str(tmp_path)), ("--help",)):
        command = (sys.executable, "-m", "gateway", "ledger", *arguments)
        outputs.append(subprocess.run(command, stdout=subprocess.PIPE, check=True, env=env, timeout=60).stdout.decode())

    assert f"sqlite+aiosqlite:///{tmp_path}/ledger.db" in outputs[0]
    for name in (
        "run",
        "status",
        "overage",
        "hosts",
        "calling",
        "events",
        "verify",
        "explain",
        "what-if",
        "gaps",
        "rates",
    ):
        assert f" {name} " in outputs[1]
