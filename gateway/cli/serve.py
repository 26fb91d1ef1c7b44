"""`gateway serve`: runs a gateway until it is told to stop."""

import asyncio
import contextlib
import gc
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer


def serve(
    catalogue: Annotated[
        Path | None, typer.Option(help="Customers to install where the store does not know them.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address that media servers call. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Its port; 0 takes a free one. [default: 8080]")] = None,
    admin_host: Annotated[
        str | None, typer.Option(help="Address for people and Prometheus. [default: 127.0.0.1]")
    ] = None,
    admin_port: Annotated[int | None, typer.Option(help="Its port; 0 takes a free one. [default: 9090]")] = None,
    redis_url: Annotated[
        str | None, typer.Option(help="Redis 7 or later; left out, an embedded one is started.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where the embedded Redis and tokens are kept. [default: gateway-data]")
    ] = None,
    tokens_file: Annotated[
        Path | None, typer.Option(help="Hashes of bearer tokens. [default: tokens.json in the data directory]")
    ] = None,
    number_key_file: Annotated[
        Path | None,
        typer.Option(help="Key for hashes of telephone numbers. [default: made, only for the embedded Redis]"),
    ] = None,
    decision_budget_ms: Annotated[
        int | None, typer.Option(help="How long a decision waits for the store. [default: 150]")
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error. [default: info]")] = None,
    log_format: Annotated[str | None, typer.Option(help="json or console. [default: json]")] = None,
) -> None:
    """Run a gateway. Every option can also be given as GATEWAY_... in the environment."""
    options = {name: value for name, value in locals().items() if value is not None}
    from pydantic import ValidationError  # noqa: PLC0415 - keeps `gateway --help` fast

    from gateway.settings import Settings  # noqa: PLC0415

    try:
        settings = Settings(**options)
    except ValidationError as error:
        for detail in error.errors():
            name = "--" + ".".join([str(part) for part in detail["loc"]]).replace("_", "-")
            typer.echo(f"gateway serve: {name}: {detail['msg'].removeprefix('Value error, ')}", err=True)
        raise typer.Exit(2) from None
    raise typer.Exit(run(settings))


def run(settings: Any) -> int:
    """Runs a gateway with these settings; the exit code."""
    from gateway.cli.catalogue import read_catalogue, tell_faults  # noqa: PLC0415
    from gateway.domain.catalogue import CatalogueInvalid  # noqa: PLC0415
    from gateway.domain.telephones import NumberKeyMissing  # noqa: PLC0415
    from gateway.embedded import EmbeddedRedisError  # noqa: PLC0415
    from gateway.number_key import NumberKeyError  # noqa: PLC0415
    from gateway.telemetry import logs  # noqa: PLC0415
    from gateway.tokens import Tokens  # noqa: PLC0415

    customers = read_catalogue(settings.catalogue) if settings.catalogue else []
    try:
        tokens = len(Tokens(settings.tokens))
    except ValueError as error:
        return _failed(f"{settings.tokens} is no file of tokens: {error}", 2)
    except OSError as error:
        return _failed(f"{settings.tokens}: {error.strerror}", 2)
    if not tokens and settings.listens_beyond_loopback:
        return _failed(
            "no token is configured, so only loopback may be listened on; make one with `gateway token create`", 2
        )
    logs.configure(settings.log_level, settings.log_format)
    try:
        run_loop(_serve(settings, customers, tokens))
    except (NumberKeyError, NumberKeyMissing) as error:
        return _failed(str(error), 2)
    except CatalogueInvalid as error:
        tell_faults(settings.catalogue, error.faults)
        return 1
    except (EmbeddedRedisError, OSError) as error:
        return _failed(str(error), 1)
    return 0


def run_loop(main: Any) -> Any:
    """Runs a coroutine on uvloop where there is one."""
    try:
        import uvloop  # noqa: PLC0415
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


async def _serve(settings: Any, customers: list[Any], tokens: int) -> None:
    from gateway.app import running  # noqa: PLC0415

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(settings, customers) as gateway:
        _calm_collector()
        typer.echo(f"admission   {gateway.url}")
        typer.echo(f"admin       {gateway.admin_url}   (/metrics, /openapi.json, /v1/customers)")
        typer.echo(f"store       {gateway.redis}")
        typer.echo(f"tokens      {tokens or 'none: loopback only'}")
        sys.stdout.flush()
        await stop.wait()
        with contextlib.suppress(ValueError):
            typer.echo("stopping")


def _calm_collector() -> None:
    """Lets the garbage collector leave alone what lives as long as the process: its full passes were a tenth of the load, and most of p99."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


def _failed(message: str, code: Literal[1, 2]) -> int:
    typer.echo(f"gateway serve: {message}", err=True)
    return code
