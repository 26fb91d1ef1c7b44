"""`gateway usage`, `overage`, `events` and `compliance`: what a customer uses, what it used, and what does not comply."""

import json
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from gateway.cli import client


CustomerArgument = Annotated[str, typer.Argument(help="Id of the customer.", metavar="CUSTOMER")]


def usage(
    customer: CustomerArgument, admin_url: client.AdminUrl = client.ADMIN_URL, as_json: client.Json = False
) -> None:
    """Live use, limits and today's peaks of a customer."""
    found = client.call("GET", admin_url, f"/v1/customers/{quote(customer, safe='')}/usage")
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    from gateway.cli.tables import show  # noqa: PLC0415

    typer.echo(
        f"{customer}: {found['status']}, {found['mode']}, {found['live']} live, {found['shadow_live']} in shadow, day {found['day']}"
    )
    columns = ["pool", "used", "committed", "ceiling", "peak", "overage"]
    show(columns, [[pool.get(column) for column in columns] for pool in found["pools"]])
    for name in ("denied", "would_deny"):
        if found[name]:
            typer.echo(f"{name}: " + ", ".join([f"{reason} {count}" for reason, count in found[name].items()]))


def overage(
    customer: CustomerArgument,
    first: Annotated[
        str | None, typer.Option("--from", help="First day, YYYY-MM-DD. [default: first of this month]")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day. [default: today, Pacific]")] = None,
    admin_url: client.AdminUrl = client.ADMIN_URL,
    as_json: client.Json = False,
) -> None:
    """Peaks and overage of a customer, by Pacific day and pool."""
    query: dict[str, Any] = {name: value for name, value in (("from", first), ("to", last)) if value is not None}
    found = client.call("GET", admin_url, f"/v1/customers/{quote(customer, safe='')}/overage?{urlencode(query)}")
    _print(found, found["rows"], ["day", "pool", "committed", "peak", "overage", "peak_at", "final"], as_json=as_json)


def events(
    customer: CustomerArgument, admin_url: client.AdminUrl = client.ADMIN_URL, as_json: client.Json = False
) -> None:
    """Events of a customer: attendees, live time, and what is above the order."""
    found = client.call("GET", admin_url, f"/v1/customers/{quote(customer, safe='')}/events")
    columns = [
        "event", "licensed_by", "first_at", "live", "peak_attendees", "joined_total", "peak_panel", "minutes", "attendee_overage",
        "duration_overage_minutes",
    ]  # fmt: skip
    _print(found, found["events"], columns, as_json=as_json)


def compliance(
    customer: CustomerArgument, admin_url: client.AdminUrl = client.ADMIN_URL, as_json: client.Json = False
) -> None:
    """What does not comply with the terms today. A finding is no failure: the exit code is 0."""
    found = client.call("GET", admin_url, f"/v1/customers/{quote(customer, safe='')}/compliance")
    _print(found, found["findings"], ["rule", "since", "due", "subject", "detail"], as_json=as_json)


def _print(found: Any, rows: list[dict[str, Any]], columns: list[str], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    from gateway.cli.tables import show  # noqa: PLC0415

    show(columns, [[row.get(column) for column in columns] for row in rows])
