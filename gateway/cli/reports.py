"""`gateway usage` and `gateway overage`: what a customer uses now, and what it used."""

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
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    from gateway.cli.tables import show  # noqa: PLC0415

    columns = ["day", "pool", "committed", "peak", "overage", "peak_at", "final"]
    show(columns, [[row[column] for column in columns] for row in found["rows"]])
