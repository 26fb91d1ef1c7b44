"""All commands of `gateway`."""

from typing import Annotated

import typer

import gateway
from gateway.cli import catalogue, demo, doctor, ledger, reports, serve, tokens


app = typer.Typer(
    help="Decides, in real time, whether one more connection may join.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,  # rich takes "[default: 5]" for markup, and leaves it out
)
customers = typer.Typer(help="Customers and their entitlements, through a running gateway.", no_args_is_help=True)
token = typer.Typer(help="Bearer tokens.", no_args_is_help=True)

app.command()(serve.serve)
app.command()(demo.demo)
app.command()(doctor.doctor)
app.command()(catalogue.check)
app.command()(reports.usage)
app.command()(reports.overage)
app.command()(reports.events)
app.command()(reports.compliance)
customers.command("apply")(catalogue.apply)
customers.command("list")(catalogue.list_customers)
token.command("create")(tokens.create)
app.add_typer(customers, name="customers")
app.add_typer(token, name="token")
app.add_typer(ledger.app, name="ledger")


def _version(value: bool) -> None:
    if value:
        typer.echo(f"gateway {gateway.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass
