"""`gateway serve`: runs a gateway until it is told to stop."""

import asyncio
import contextlib
import gc
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer


DRAIN_HELP = "Seconds between SIGTERM, when /readyz turns 503, and the end of taking connections. [default: 5]"
LEDGER_HELP = (
    "Database of what happened: sqlite:///file, postgresql://..., or none. [default: ledger.db in the data directory]"
)
WORKERS_HELP = (
    "Processes that share the port. Each has an admin listener and metrics of its own: the first on the admin port, "
    "the next on the one after it, and so on. [default: 1]"
)


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
        str | None, typer.Option(help="Redis 7 or later, Sentinel or Cluster; left out, an embedded one is started.")
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="For the embedded Redis, tokens and what must be remembered. [default: gateway-data]"),
    ] = None,
    tokens_file: Annotated[
        Path | None, typer.Option(help="Hashes of bearer tokens. [default: tokens.json in the data directory]")
    ] = None,
    number_key_file: Annotated[
        Path | None,
        typer.Option(help="Key for hashes of telephone numbers. [default: made, only for the embedded Redis]"),
    ] = None,
    ledger_url: Annotated[str | None, typer.Option(help=LEDGER_HELP)] = None,
    webhook_url: Annotated[
        str | None, typer.Option(help="Is told of thresholds and findings; GATEWAY_WEBHOOK_SECRET signs.")
    ] = None,
    decision_budget_ms: Annotated[
        int | None, typer.Option(help="How long a decision waits for the store. [default: 150]")
    ] = None,
    drain_s: Annotated[float | None, typer.Option(help=DRAIN_HELP)] = None,
    workers: Annotated[int | None, typer.Option(help=WORKERS_HELP)] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error. [default: info]")] = None,
    log_format: Annotated[str | None, typer.Option(help="json or console. [default: json]")] = None,
) -> None:
    """Run a gateway. Every option can also be given as GATEWAY_... in the environment."""
    options = {name: value for name, value in locals().items() if value is not None}
    raise typer.Exit(run(settings_of(options, "gateway serve")))


def settings_of(options: dict[str, Any], command: str) -> Any:
    """The settings; ends the command with exit code 2 and every fault where there is one."""
    from pydantic import ValidationError  # noqa: PLC0415 - keeps `gateway --help` fast

    from gateway.settings import Settings  # noqa: PLC0415

    try:
        return Settings(**options)
    except ValidationError as error:
        for detail in error.errors():
            name = ".".join([str(part) for part in detail["loc"]]).replace("_", "-")
            where = f"--{name}: " if name else ""  # else it is about several of them
            typer.echo(f"{command}: {where}{detail['msg'].removeprefix('Value error, ')}", err=True)
        raise typer.Exit(2) from None


def run(settings: Any) -> int:
    """Runs a gateway with these settings; the exit code."""
    from gateway.telemetry import logs  # noqa: PLC0415
    from gateway.tokens import Tokens  # noqa: PLC0415

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
    return _run_workers(settings, tokens) if settings.workers > 1 else _run_one(settings, tokens)


def _run_one(settings: Any, tokens: int) -> int:
    from gateway.cli.catalogue import read_catalogue, tell_faults  # noqa: PLC0415
    from gateway.disk import MemoryFailed  # noqa: PLC0415
    from gateway.domain.catalogue import CatalogueInvalid  # noqa: PLC0415
    from gateway.domain.telephones import NumberKeyMissing  # noqa: PLC0415
    from gateway.embedded import EmbeddedRedisError  # noqa: PLC0415
    from gateway.number_key import NumberKeyError  # noqa: PLC0415

    customers = read_catalogue(settings.catalogue) if settings.catalogue else []
    try:
        run_loop(_serve(settings, customers, tokens))
    except (NumberKeyError, NumberKeyMissing) as error:
        return _failed(str(error), 2)
    except CatalogueInvalid as error:
        tell_faults(settings.catalogue, error.faults)
        return 1
    except (EmbeddedRedisError, MemoryFailed, OSError) as error:
        return _failed(str(error), 1)
    return 0


def _run_workers(settings: Any, tokens: int) -> int:
    from gateway.embedded import EmbeddedRedisError  # noqa: PLC0415
    from gateway.number_key import NumberKeyError  # noqa: PLC0415
    from gateway.workers import WorkerFailed  # noqa: PLC0415

    try:
        done = run_loop(_supervise(settings, tokens))
    except NumberKeyError as error:
        return _failed(str(error), 2)
    except WorkerFailed as error:
        return _failed(str(error), error.exit_code)
    except (EmbeddedRedisError, OSError) as error:
        return _failed(str(error), 1)
    return 0 if done else 1


def run_loop(main: Any) -> Any:
    """Runs a coroutine on uvloop where there is one."""
    try:
        import uvloop  # noqa: PLC0415
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


class _Orders:
    """What signals have told this process: to stop, and whether without draining first."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()

    def obey(self, *, supervised: bool) -> None:
        """From now on SIGTERM means stop, SIGINT stop at once, and a second signal ends the process where it stands.

        A supervised process leaves that to its parent: whoever ends all processes of a group sends it the same signal twice. Without
        its parent it does not drain: the port is for the gateway that follows.
        """
        parent = os.getppid()

        def told(number: int) -> None:
            if self.stop.is_set() and not supervised:
                os._exit(1)
            if number == signal.SIGINT or (supervised and os.getppid() != parent):
                self.hurry.set()
            self.stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, told, number)


async def _serve(settings: Any, customers: list[Any], tokens: int) -> None:
    import structlog  # noqa: PLC0415

    from gateway.app import running  # noqa: PLC0415

    orders = _Orders()
    orders.obey(supervised=settings.is_supervised)
    if settings.is_supervised:
        structlog.contextvars.bind_contextvars(worker=settings.worker)
    async with running(settings, customers) as gateway:
        calm_collector()
        if settings.is_supervised:
            _tell(f"{gateway.url} {gateway.admin_url}")
        else:
            _tell_listening(gateway.url, [gateway.admin_url], gateway.redis, tokens)
        await orders.stop.wait()
        gateway.core.draining = True
        if not settings.is_supervised:
            _tell("stopping")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(orders.hurry.wait(), settings.drain_s)


async def _supervise(settings: Any, tokens: int) -> bool:
    """Runs the workers until told to stop; whether all of them have done their work."""
    from gateway import workers  # noqa: PLC0415
    from gateway.companion import ledger_process  # noqa: PLC0415

    sockets = workers.bound_sockets(settings.host, settings.port, settings.workers)
    async with contextlib.AsyncExitStack() as stack:
        store = "external Redis"
        if settings.redis_url is None:
            settings, store = await _with_embedded(settings, stack)
        if settings.has_ledger:
            await stack.enter_async_context(ledger_process(settings, settings.redis_url))
        together = await stack.enter_async_context(workers.running(settings, sockets))

        def told(number: int) -> None:
            _tell("stopping")
            together.stop(number)

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, told, number)
        await together.start()
        if not together.is_stopping:
            admin_urls = [worker.admin_url for worker in together.workers]
            _tell_listening(together.workers[0].url, admin_urls, store, tokens)
        return await together.ended()


async def _with_embedded(settings: Any, stack: contextlib.AsyncExitStack) -> tuple[Any, str]:
    """The settings of workers that share a Redis of this process: its URL, and the key of telephone numbers that belongs to it."""
    from gateway.embedded import EmbeddedRedis  # noqa: PLC0415
    from gateway.number_key import FILE_NAME, number_key  # noqa: PLC0415

    own: dict[str, Any] = {}
    number_key(settings)  # made, where none is configured
    if settings.number_key is None and settings.number_key_file is None:
        own["number_key_file"] = settings.data_dir / FILE_NAME
    embedded = EmbeddedRedis(settings.data_dir)
    stack.push_async_callback(embedded.stop)
    own["redis_url"] = await embedded.start()
    version = embedded.server.version if embedded.server else ""
    return settings.model_copy(update=own), f"embedded Redis {version}"


def _tell_listening(url: str, admin_urls: list[str], store: str, tokens: int) -> None:
    _tell(f"admission   {url}")
    _tell(f"admin       {admin_urls[0]}   (/metrics, /openapi.json, /v1/customers)")
    for index, admin_url in enumerate(admin_urls[1:], start=1):
        _tell(f"worker {index:<4} {admin_url}   (/metrics of its own)")
    _tell(f"store       {store}")
    _tell(f"tokens      {tokens or 'none: loopback only'}")


def _tell(line: str) -> None:
    """Says it on standard output, if anybody still listens there."""
    with contextlib.suppress(ValueError, OSError):
        typer.echo(line)
        sys.stdout.flush()


def calm_collector() -> None:
    """Lets the garbage collector leave alone what lives as long as the process: its full passes were a tenth of the load, and most of p99."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


def _failed(message: str, code: Literal[1, 2]) -> int:
    typer.echo(f"gateway serve: {message}", err=True)
    return code
