"""`gateway demo`: a gateway with its own Redis, a sample catalogue, and media servers that join and leave."""

import asyncio
import contextlib
import signal
import socket
import sys
import tempfile
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
            tokens_file=None, catalogue=None, decision_budget_ms=2000, number_key=None, number_key_file=None,
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
    return f"{step.rule:5} {step.says:48} {decision + played.outcome:29} {detail}".rstrip()


def _limit(limits: "Sequence[dict[str, Any]]", shows: str) -> str:
    for use in limits:
        if use["limit"] == shows or len(limits) == 1:
            return f"{use['limit']} {use['used']}/{use.get('ceiling', use.get('committed'))}"
    return ""


def _tell_finding(found: "Found") -> None:
    import textwrap  # noqa: PLC0415

    details = [finding["detail"] for finding in found.findings] or ["none"]
    more = f" ({len(details) - 1} more)" if len(details) > 1 else ""
    lines = textwrap.wrap(details[0] + more, WIDTH - 16)
    for number, line in enumerate(lines):
        typer.echo(f"{found.customer:10} {found.rule:5} {line}" if number == 0 else f"{'':16} {line}")
async def _quarter(gateway: "Gateway", servers: "MediaServers", *, seconds: int, seed: int, stay: bool) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.live import Live  # noqa: PLC0415

    from gateway.demo import quarter  # noqa: PLC0415

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    console = Console()
    console.print(_where(gateway, seconds), soft_wrap=True, highlight=False, markup=False)
    play = asyncio.create_task(quarter.play(servers, quarter.quarter(seed), duration_s=seconds))
    ended = asyncio.create_task(stop.wait())
    display = Live(console=console, auto_refresh=False) if console.is_terminal else contextlib.nullcontext()
    with display as live:
        while not play.done() and not ended.done():
            await asyncio.wait(
                {play, ended}, timeout=REFRESH_S if live else PLAIN_LINES_S, return_when=asyncio.FIRST_COMPLETED
            )
            shown = await _shown(gateway, servers)
            if live:
                live.update(shown, refresh=True)
            else:
                console.print(_line(servers))
    if not console.is_terminal:
        console.print(await _shown(gateway, servers))
    if play.done():
        play.result()  # raises what the play could not do
        if stay:
            console.print("The quarter of an hour is over. The gateway stays up: look around, and end it with Ctrl-C.")
            await ended
    play.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await play


def _where(gateway: "Gateway", seconds: int) -> str:
    return (
        f"A gateway runs on its own Redis. A quarter of an hour is played in {seconds} seconds.\n"
        f"  ask it       curl -s {gateway.url}/v1/admit -d "
        """'{"customer":"acme","connection":"me-1","service":"meeting","meeting":"mine","endpoint":"web","role":"host"}'\n"""
        f"  free it      curl -s {gateway.url}/v1/release -d "
        """'{"customer":"acme","connection":"me-1"}'\n"""
        f"  look at it   {sys.argv[0]} usage acme --admin-url {gateway.admin_url}\n"
        f"  metrics      {gateway.admin_url}/metrics      API  {gateway.admin_url}/openapi.json\n"
    )


async def _shown(gateway: "Gateway", servers: "MediaServers") -> "RenderableType":
    from rich.console import Group  # noqa: PLC0415

    from gateway.api.bodies import usage_body  # noqa: PLC0415
    from gateway.cli.tables import table  # noqa: PLC0415

    rows: list[list[object]] = []
    for customer in sorted(await gateway.core.reports.customers()):
        body = usage_body(customer, await gateway.core.reports.usage(customer))
        for pool in body.pools:
            numbers = [
                getattr(pool, name) or 0 if name == "used" else getattr(pool, name)
                for name in ("used", "committed", "ceiling", "peak", "overage")
            ]
            refused = sum(body.denied.values()) + sum(body.would_deny.values())
            rows.append(
                [
                    customer,
                    pool.pool,
                    *[value if isinstance(value, int) else None for value in numbers],
                    body.live,
                    refused,
                ]
            )
    columns = ["customer", "pool", "used", "committed", "ceiling", "peak today", "overage", "live legs", "refused"]
    recent = [
        [
            entry["customer"],
            entry["service"],
            entry["endpoint"],
            entry["decision"],
            _reason(entry),
        ]
        for entry in servers.recent
    ]
    return Group(
        table(columns, rows, "Customers"),
        table(["customer", "service", "endpoint", "decision", "reason"], recent, "Last decisions"),
        _line(servers),
    )


def _reason(entry: dict[str, Any]) -> str:
    if "would_deny" in entry:
        return f"shadow: {entry['would_deny']}"
    return f"{entry['reason']}, overage" if entry.get("overage") else str(entry["reason"])


def _line(servers: "MediaServers") -> str:
    return "decisions: " + ", ".join([f"{reason} {count}" for reason, count in sorted(servers.decisions.items())])


def _port(preferred: int) -> int:
    """The preferred port if it is free, else any."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            return 0
    return preferred
