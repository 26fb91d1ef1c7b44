"""`gateway ledger run`: the process that writes the ledger."""

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.serve import calm_collector, run_loop, settings_of


def run(
    redis_url: Annotated[str | None, typer.Option(help="The store of the gateways.")] = None,
    ledger_url: Annotated[
        str | None, typer.Option(help="The ledger's database. [default: ledger.db in the data directory]")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="[default: gateway-data]")] = None,
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over", help="Read a store that another ledger has read before; that one must not run any more."
        ),
    ] = False,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error. [default: info]")] = None,
    log_format: Annotated[str | None, typer.Option(help="json or console. [default: json]")] = None,
) -> None:
    """Write the ledger: read what happened, close days, tell of thresholds. `gateway serve` starts one by itself.

    Any number may run for one database: one writes, the others wait. Every option can also be given as GATEWAY_... in the environment.
    """
    options = {name: value for name, value in locals().items() if value is not None and name != "take_over"}
    settings = settings_of(options, "gateway ledger run")
    if settings.redis_url is None:
        raise _refused("--redis-url: is required; `gateway serve` with an embedded Redis starts its own ledger")
    if not settings.has_ledger:
        raise _refused("--ledger-url: is `none`, so there is no ledger to write")
    from gateway.telemetry import logs  # noqa: PLC0415 - keeps `gateway --help` fast

    logs.configure(settings.log_level, settings.log_format)
    run_loop(_run(settings, take_over=take_over))


async def _run(settings: Any, *, take_over: bool) -> None:
    from gateway.core import Telemetry  # noqa: PLC0415
    from gateway.ledger.database import open_when_there  # noqa: PLC0415
    from gateway.ledger.service import LedgerService  # noqa: PLC0415

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    opening = asyncio.ensure_future(open_when_there(settings.ledger))
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait((opening, stopped), return_when=asyncio.FIRST_COMPLETED)
    if not opening.done():
        opening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await opening
        return
    database, telemetry = await opening, Telemetry()
    calm_collector()
    try:
        await LedgerService(settings, settings.redis_url, database, telemetry.emit, telemetry, take_over=take_over).run(
            stop
        )
    finally:
        stopped.cancel()
        await database.close()


def _refused(message: str) -> typer.Exit:
    typer.echo(f"gateway ledger run: {message}", err=True)
    return typer.Exit(2)
