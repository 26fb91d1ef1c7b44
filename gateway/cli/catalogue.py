"""`gateway check`, `gateway customers apply` and `gateway customers list`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli import client


if TYPE_CHECKING:
    from gateway.domain.catalogue import Customer
    from gateway.domain.customer import Fault

File = Annotated[Path, typer.Argument(help="A catalogue in YAML or JSON.", metavar="FILE")]


def check(file: File, as_json: client.Json = False) -> None:
    """Validate a catalogue and say everything that is wrong with it."""
    customers = read_catalogue(file)
    count = sum(len(customer.subscriptions) for customer in customers)
    if as_json:
        typer.echo(json.dumps({"customers": len(customers), "subscriptions": count}))
    else:
        typer.echo(f"{file}: {len(customers)} customers with {count} subscriptions, no fault")


def apply(file: File, admin_url: client.AdminUrl = client.ADMIN_URL) -> None:
    """Install every customer of a catalogue; what changes governs the next decision."""
    for customer in read_catalogue(file):
        client.call("PUT", admin_url, f"/v1/customers/{quote(customer.id, safe='')}", body=customer.document())
        typer.echo(f"{customer.id}: applied")


def list_customers(admin_url: client.AdminUrl = client.ADMIN_URL, as_json: client.Json = False) -> None:
    """List customers with their status and plans."""
    found: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None:
        page = client.call("GET", admin_url, f"/v1/customers?limit=1000&after={quote(after, safe='')}")
        found += page["customers"]
        after = page["next"]
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    from gateway.cli.tables import show  # noqa: PLC0415

    rows = [
        [entry["customer"], entry["name"], entry["status"], entry["mode"], ", ".join(entry["plans"])] for entry in found
    ]
    show(["customer", "name", "status", "mode", "plans"], rows)


def read_catalogue(file: Path) -> "list[Customer]":
    """The customers of a file; ends the command with exit code 1 and every fault where it is not valid."""
    from gateway.domain.catalogue import FILE_BYTES_MAX, CatalogueInvalid, parse_catalogue  # noqa: PLC0415

    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            typer.echo(f"{file}: is larger than {FILE_BYTES_MAX} bytes", err=True)
            raise typer.Exit(1)
        return parse_catalogue(file.read_bytes())
    except OSError as error:
        typer.echo(f"{file}: {error.strerror}", err=True)
        raise typer.Exit(1) from None
    except CatalogueInvalid as error:
        tell_faults(file, error.faults)
        raise typer.Exit(1) from None


def tell_faults(file: Path, faults: "list[Fault]") -> None:
    """Says everything that is wrong with a catalogue, a line each."""
    for fault in faults:
        typer.echo(f"{file}: {fault.path}: {fault.message}{f' [{fault.rule}]' if fault.rule else ''}", err=True)
