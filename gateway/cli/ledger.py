"""`gateway ledger ...`: reports and checks, read straight from the ledger's database. No gateway needs to run."""

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import ledger_checks, ledger_export, ledger_rates, ledger_run, ledger_state
from gateway.cli.client import Json
from gateway.cli.ledger_tables import (
    Csv,
    CustomerArgument,
    DataDir,
    First,
    Last,
    Ledger,
    LedgerUrl,
    rows_of,
    tell_json,
    tell_rows,
)


if TYPE_CHECKING:
    from gateway.ledger.event_replay import EventsReplayed

app = typer.Typer(help="What happened, and every billed figure computed from it.", no_args_is_help=True)
Cycle = Annotated[str | None, typer.Option("--cycle", help="Such as 2026-11. [default: of this month]")]

HOST_PERIOD_COLUMNS = ("first", "last", "billed", "by", "base", "before", "mean", "begun", "missing")
EVENT_COLUMNS = (
    "event", "licensed_by", "first_at", "live", "peak_attendees", "peak_at", "joined_total", "peak_panel", "minutes",
    "attendee_overage", "duration_overage_minutes",
)  # fmt: skip


def overage(
    customer: CustomerArgument,
    first: First = None,
    last: Last = None,
    ledger_url: LedgerUrl = None,
    data_dir: DataDir = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Peaks and overage of a customer, by Pacific day and pool (T4.3, T8.2)."""
    ledger = Ledger("overage", ledger_url, data_dir)
    ledger.forms(as_json, as_csv)
    days = ledger.days(first, last)
    from gateway.api import report_bodies  # noqa: PLC0415 - keeps `gateway --help` fast
    from gateway.ledger.figures import Figures  # noqa: PLC0415

    rows = ledger.read(lambda database: Figures(database).overage(customer, *days, ledger.now_ms), customer)
    table = tuple([report_bodies.ledger_overage_body(row) for row in rows])
    if as_json:
        tell_json(report_bodies.OverageReport(customer, "ledger", table))
        return
    tell_rows(report_bodies.OVERAGE_COLUMNS, [report_bodies.overage_cells(row) for row in table], as_csv=as_csv)


def hosts(
    customer: CustomerArgument,
    cycle: Cycle = None,
    ledger_url: LedgerUrl = None,
    data_dir: DataDir = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Active hosts of a customer by cycle, and the quantities that are billed from them (T5.2 - T5.4)."""
    ledger = Ledger("hosts", ledger_url, data_dir)
    ledger.forms(as_json, as_csv)
    name = ledger.cycle(cycle)
    from gateway.api import ledger_bodies  # noqa: PLC0415
    from gateway.ledger.host_reports import HostReports  # noqa: PLC0415

    found = ledger.read(lambda database: HostReports(database).active_hosts(customer, name, ledger.now_ms), customer)
    report = ledger_bodies.hosts_body(customer, name, found)
    if as_json:
        tell_json(report)
        return
    tell_rows(ledger_bodies.HOST_COLUMNS, ledger_bodies.host_rows(report), as_csv=as_csv)
    for held in () if as_csv else report.subscriptions:
        average = f"{held.average.mean} of {', '.join(held.average.cycles)}" if held.average else "no complete cycle"
        typer.echo(f"{held.subscription}: as of {held.as_of}; average {average}")
        periods = [
            [
                *[getattr(each, column) for column in HOST_PERIOD_COLUMNS[:6]],
                each.mean.mean if each.mean else None,
                each.begun,
                ", ".join(each.missing),
            ]
            for each in held.periods
        ]
        tell_rows(HOST_PERIOD_COLUMNS, periods, as_csv=False)
        if (ended := held.termination) is not None:
            typer.echo(
                f"termination: {'-' if ended.quantity is None else ended.quantity}, of peak {ended.peak} less "
                f"{'-' if ended.purchased is None else ended.purchased} purchased"
                + ("" if ended.ended else "; the term has not ended")
            )


def calling(
    customer: CustomerArgument,
    cycle: Cycle = None,
    ledger_url: LedgerUrl = None,
    data_dir: DataDir = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Minutes and charges of calling by country, kind and number class (T15.4, T16.2)."""
    ledger = Ledger("calling", ledger_url, data_dir)
    ledger.forms(as_json, as_csv)
    name = ledger.cycle(cycle)
    from gateway.api import ledger_bodies  # noqa: PLC0415
    from gateway.ledger.calling_reports import CallingReports  # noqa: PLC0415

    found = ledger.read(lambda database: CallingReports(database).calling(customer, name, ledger.now_ms), customer)
    report = ledger_bodies.calling_body(customer, name, found)
    if as_json:
        tell_json(report)
        return
    tell_rows(ledger_bodies.CALLING_COLUMNS, ledger_bodies.calling_rows(report), as_csv=as_csv)
    for month in () if as_csv else report.subscriptions:
        who = month.subscription or "no subscription"
        if month.currency:
            typer.echo(
                f"{who}: gross {month.gross} {month.currency}, less {month.discount_percent} %: {month.discounted}, "
                f"deduction {month.deduction}, due {month.due}{' so far' if month.running else ''}"
            )
        reasons = sorted({why for row in month.rows for why in row.unrated or ()})
        for why in reasons:
            typer.echo(f"{who}: not rated, and in no sum: {why}")


def events(
    customer: CustomerArgument,
    ledger_url: LedgerUrl = None,
    data_dir: DataDir = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Events of a customer, replayed: attendees, live time, and what is above the order (T11, T12)."""
    ledger = Ledger("events", ledger_url, data_dir)
    ledger.forms(as_json, as_csv)
    from gateway.api import ledger_bodies  # noqa: PLC0415
    from gateway.ledger.event_replay import EventReplay  # noqa: PLC0415

    found: EventsReplayed = ledger.read(
        lambda database: EventReplay(database).events(customer, ledger.now_ms), customer
    )
    report = ledger_bodies.events_body(customer, found)
    if as_json:
        tell_json(report)
        return
    tell_rows(EVENT_COLUMNS, rows_of(EVENT_COLUMNS, report.events), as_csv=as_csv)
    for order in () if as_csv else report.orders:
        typer.echo(
            f"{order.order}: {order.events} events, attendee overage {order.attendee_overage}, "
            f"duration overage {order.duration_overage_minutes} min"
        )


app.command()(ledger_run.run)
app.command()(ledger_state.status)
app.command()(overage)
app.command()(hosts)
app.command()(calling)
app.command()(events)
app.command()(ledger_checks.verify)
app.command()(ledger_checks.explain)
app.command("what-if")(ledger_checks.what_if)
app.command()(ledger_state.gaps)
app.command()(ledger_state.findings)
app.command()(ledger_export.export)
app.add_typer(ledger_rates.app, name="rates")
