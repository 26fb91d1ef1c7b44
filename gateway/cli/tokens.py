"""`gateway token create`."""

from pathlib import Path
from typing import Annotated

import typer


def create(
    scope: Annotated[list[str], typer.Option(help="admit, nodes, read or admin; may be given more than once.")],
    customer: Annotated[
        list[str] | None, typer.Option(help="Bind the token to this customer; may be given more than once.")
    ] = None,
    node: Annotated[str | None, typer.Option(help="Bind the token to this media server.")] = None,
    file: Annotated[
        Path | None, typer.Option("--tokens-file", help="[default: tokens.json in the data directory]")
    ] = None,
) -> None:
    """Make a bearer token. It is shown once; the file keeps only its hash, and running gateways take it over within seconds."""
    from gateway.settings import Settings  # noqa: PLC0415 - keeps `gateway --help` fast
    from gateway.tokens import SCOPES, create  # noqa: PLC0415

    known = [name for name in SCOPES if name in scope]
    unknown = sorted(set(scope) - set(SCOPES))
    if unknown:
        typer.echo(f"gateway token create: --scope: {', '.join(unknown)} is none of {', '.join(SCOPES)}", err=True)
        raise typer.Exit(2)
    path = file or Settings().tokens
    try:
        token, secret = create(path, known, customers=customer or (), node=node)
    except (OSError, ValueError) as error:
        typer.echo(f"gateway token create: {path}: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"token {token.id} ({', '.join(token.scopes)}) added to {path}; it is shown only now:", err=True)
    typer.echo(secret)
