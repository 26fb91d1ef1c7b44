"""`gateway demo`: a gateway with its own Redis, a sample catalogue, and media servers that join and leave."""

import asyncio
import contextlib
import signal
import socket
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer


if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.app import Gateway
    from gateway.demo.media_servers import MediaServers
    from gateway.demo.scenes import Scene
    from gateway.demo.script import Found, Played

REFRESH_S = 0.5
PLAIN_LINES_S = 5.0
WIDTH = 100
"""Columns of what `--once` prints."""


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Play each plan at its edge, print every decision, and exit.")
    ] = False,
    seconds: Annotated[int, typer.Option(min=5, max=3600, help="Time in which a quarter of an hour is played.")] = 120,
    seed: Annotated[int, typer.Option(help="Another seed, other arrivals.")] = 1,
    stay: Annotated[
        bool, typer.Option("--stay/--exit", help="Whether the gateway stays up when the play is over.")
    ] = True,
) -> None:
    """Start everything embedded, play media servers, and show what is decided."""
    from gateway.cli.serve import run_loop  # noqa: PLC0415 - keeps `gateway --help` fast
    from gateway.embedded import EmbeddedRedisError  # noqa: PLC0415
    from gateway.telemetry import logs  # noqa: PLC0415

    logs.configure("error", "console")
    try:
        code = run_loop(_demo(once=once, seconds=seconds, seed=seed, stay=stay))
    except EmbeddedRedisError as error:
        typer.echo(f"gateway demo: {error}", err=True)
        raise typer.Exit(1) from None
    raise typer.Exit(code)


async def _demo(*, once: bool, seconds: int, seed: int, stay: bool) -> int:
    from datetime import UTC, datetime  # noqa: PLC0415

    from gateway.app import running  # noqa: PLC0415
    from gateway.demo.media_servers import MediaServers  # noqa: PLC0415
    from gateway.demo.sample import sample  # noqa: PLC0415
    from gateway.domain.days import PACIFIC  # noqa: PLC0415
    from gateway.settings import Settings  # noqa: PLC0415

    now = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="gateway-demo-") as folder:
        settings = Settings(
            host="127.0.0.1", admin_host="127.0.0.1", port=_port(8080), admin_port=_port(9090), redis_url=None, data_dir=Path(folder),
            tokens_file=None, catalogue=None, decision_budget_ms=2000, number_key=None, number_key_file=None, webhook_url=None,
            ledger_url="none" if once else None,
        )  # fmt: skip
        catalogue = sample(now.astimezone(PACIFIC).date())
        async with running(settings, catalogue) as gateway, MediaServers(gateway.url) as servers:
            if once:
                from gateway.demo import script  # noqa: PLC0415

                customers = [customer.id for customer in catalogue]
                return await _once(gateway, servers, customers, tuple(script.scenes(now)))
            await _quarter(gateway, servers, seconds=seconds, seed=seed, stay=stay)
    return 0


async def _once(
    gateway: "Gateway", servers: "MediaServers", customers: "Sequence[str]", scenes: "Sequence[Scene]"
) -> int:
    from gateway.demo import script  # noqa: PLC0415
    from gateway.demo.media_servers import Administrator  # noqa: PLC0415

    surprises: list[str] = []
    scene = None
    async with Administrator(gateway.admin_url) as administrator:
        async for played in script.play(servers, administrator, scenes):
            if played.scene is not scene:
                scene = played.scene
                typer.echo(f"\n{scene.rule:5} {scene.plan}   ({scene.customer})\n{'-' * WIDTH}")
            typer.echo(_told(played))
            surprises += [played.surprise] if played.surprise else []
        typer.echo(f"\nFindings\n{'-' * WIDTH}")
        for found in await script.findings(administrator, customers, scenes):
            _tell_finding(found)
            surprises += [found.surprise] if found.surprise else []
    for surprise in surprises:
        typer.echo(f"unexpected: {surprise}", err=True)
    return 1 if surprises else 0


def _told(played: "Played") -> str:
    """One line: the rule, what happens, what was decided, and the limit or the fields that the scene is about."""
    step, answer = played.step, played.answer
    decision = "deny " if answer.get("decision") == "deny" else ""
    if step.answers:
        shown = [answer.get(name) for name in step.answers]
        detail = ", ".join([", ".join(value) if isinstance(value, list) else str(value) for value in shown])
    else:
        detail = _limit(answer.get("limits", ()), played.scene.shows)
    return f"{step.rule:5} {step.says:42} {decision + played.outcome:28} {detail}".rstrip()


def _limit(limits: "Sequence[dict[str, Any]]", shows: str) -> str:
    for use in limits:
        if use["limit"] == shows or len(limits) == 1:
            return f"{use['limit']} {use['used']}/{use.get('ceiling', use.get('committed'))}"
    return ""


def _tell_finding(found: "Found") -> None:
    details = [finding["detail"] for finding in found.findings] or ["none"]
    more = f" ({len(details) - 1} more)" if len(details) > 1 else ""
    lines = textwrap.wrap(details[0] + more, WIDTH - 16)
    for number, line in enumerate(lines):
        typer.echo(f"{found.customer:10} {found.rule:5} {line}" if number == 0 else f"{'':16} {line}")


async def _quarter(gateway: "Gateway", servers: "MediaServers", *, seconds: int, seed: int, stay: bool) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.live import Live  # noqa: PLC0415

    from gateway.demo import quarter, view  # noqa: PLC0415

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    console = Console()
    console.print(_where(gateway, seconds), soft_wrap=True, highlight=False, markup=False)
    play = asyncio.create_task(quarter.play(servers, quarter.quarter(seed), duration_s=seconds))
    ended = asyncio.create_task(stop.wait())
    on_terminal = console.is_terminal
    display = Live(console=console, auto_refresh=False, transient=True) if on_terminal else contextlib.nullcontext()
    with display as live:
        while not play.done() and not ended.done():
            await asyncio.wait(
                {play, ended}, timeout=REFRESH_S if live else PLAIN_LINES_S, return_when=asyncio.FIRST_COMPLETED
            )
            if live:
                live.update(view.screen(await view.look(gateway.core), servers, console.height), refresh=True)
            else:
                console.print(view.told(servers.decisions), soft_wrap=True, highlight=False)
    console.print(view.pools(await view.look(gateway.core), "All pools"))
    if on_terminal:
        console.print("", view.told(servers.decisions), sep="\n", highlight=False)
    if play.done():
        play.result()  # raises what the play could not do
        if stay:
            console.print(
                "\nThe quarter of an hour is over. The gateway stays up: look around, and end it with Ctrl-C."
            )
            if on_terminal:
                console.print(_calls(gateway), soft_wrap=True, highlight=False, markup=False)
            await ended
    play.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await play


def _where(gateway: "Gateway", seconds: int) -> str:
    return f"A gateway runs on its own Redis. A quarter of an hour is played in {seconds} seconds.\n{_calls(gateway)}"


def _calls(gateway: "Gateway") -> str:
    from datetime import datetime  # noqa: PLC0415

    from gateway.domain.days import PACIFIC  # noqa: PLC0415

    today = datetime.now(PACIFIC).date()
    assert gateway.embedded is not None, "the demo has a Redis of its own"
    return (
        f"  ask it       curl -s {gateway.url}/v1/admit -d "
        """'{"customer":"acme","connection":"me-1","service":"meeting","meeting":"mine","endpoint":"web","role":"host"}'\n"""
        f"  free it      curl -s {gateway.url}/v1/release -d "
        """'{"customer":"acme","connection":"me-1"}'\n"""
        f"  look at it   {sys.argv[0]} usage acme --admin-url {gateway.admin_url}\n"
        f"  ask why      {sys.argv[0]} ledger explain acme {today} ports --data-dir {gateway.embedded.data_dir}\n"
        f"  metrics      {gateway.admin_url}/metrics\n"
        f"  API          {gateway.admin_url}/openapi.json\n"
    )


def _port(preferred: int) -> int:
    """The preferred port if it is free, else any."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            return 0
    return preferred
