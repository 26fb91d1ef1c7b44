"""`gateway doctor`: what this machine and these settings lack, before a gateway is started."""

import asyncio
import json
import os
import platform
import socket
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import client, doctor_ledger
from gateway.cli.doctor_ledger import Finding


if TYPE_CHECKING:
    from gateway.settings import Settings

STORE_WAIT_S = 3.0


def doctor(
    redis_url: Annotated[str | None, typer.Option(help="Redis to look at; left out, the embedded one.")] = None,
    ledger_url: Annotated[
        str | None, typer.Option(help="The ledger's database. [default: ledger.db in the data directory]")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="[default: gateway-data]")] = None,
    as_json: client.Json = False,
) -> None:
    """Check this machine and the settings; exit code 1 if a gateway could not run."""
    from gateway.cli.serve import settings_of  # noqa: PLC0415 - keeps `gateway --help` fast

    options: dict[str, Any] = {"redis_url": redis_url, "ledger_url": ledger_url, "data_dir": data_dir}
    given = {name: value for name, value in options.items() if value is not None}
    findings = list(_findings(settings_of(given, "gateway doctor")))
    if as_json:
        typer.echo(
            json.dumps([{"check": check, "state": state, "found": found} for check, state, found in findings], indent=2)
        )
    else:
        from gateway.cli.tables import show  # noqa: PLC0415

        show(["check", "state", "found"], findings)
    raise typer.Exit(1 if any(state == "fail" for _, state, _ in findings) else 0)


def _findings(settings: "Settings") -> Iterator[Finding]:
    yield "python", "ok", platform.python_version()
    yield _tried("event loop", _event_loop)
    store_ledgers: frozenset[str] = frozenset()
    if settings.redis_url:
        found, store_ledgers = asyncio.run(_redis(settings.redis_url))
        yield from found
    else:
        yield _tried("embedded redis", _embedded)
    yield _tried("data directory", lambda: _data_directory(settings.data_dir))
    yield from doctor_ledger.look(settings, store_ledgers)
    yield _tried("tokens", lambda: _tokens(settings))
    for name, host, port in (
        ("port", settings.host, settings.port),
        ("admin port", settings.admin_host, settings.admin_port),
    ):
        yield _port(name, host, port)


def _tried(check: str, look: Callable[[], str]) -> Finding:
    try:
        return check, "ok", look()
    except Exception as error:  # noqa: BLE001 - whatever is wrong is the finding
        return check, "fail", str(error)


def _event_loop() -> str:
    import uvloop  # noqa: F401, PLC0415 - whether it can be imported is the question

    return f"uvloop {version('uvloop')}"


def _embedded() -> str:
    from gateway.embedded import find_server  # noqa: PLC0415

    server = find_server()
    return f"Redis {server.version} from {server.origin}"


def _data_directory(folder: Path) -> str:
    nearest = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise PermissionError(f"{nearest} cannot be written")
    return str(folder.resolve())


def _tokens(settings: "Settings") -> str:
    from gateway.tokens import Tokens  # noqa: PLC0415

    count = len(Tokens(settings.tokens))
    if not count and settings.listens_beyond_loopback:
        raise ValueError("none, so only loopback may be listened on; make one with `gateway token create`")
    return f"{count} in {settings.tokens}" if count else "none: loopback only"


def _port(name: str, host: str, port: int) -> Finding:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return name, "warn", f"{host}:{port}: {error.strerror}; a gateway that runs already, or something else"
    return name, "ok", f"{host}:{port} is free"


async def _redis(url: str) -> tuple[list[Finding], frozenset[str]]:
    """What is found of a store, and the ids of the ledgers that read it."""
    from gateway.kernel.errors import StoreError  # noqa: PLC0415
    from gateway.kernel.store import open_store  # noqa: PLC0415

    store = open_store(url, ())
    try:
        if not await store.start(STORE_WAIT_S):
            return [("redis", "fail", store.last_error or "no answer")], frozenset()
        info = (await store.command("INFO", "server")).decode()
        found = await store.command("CONFIG", "GET", "*")
        ledgers = await doctor_ledger.ledgers_of(store)
    except StoreError as error:
        return [("redis", "fail", str(error))], frozenset()
    finally:
        await store.close()
    return _redis_found(url, info, found), ledgers


def _redis_found(url: str, info: str, found: list[bytes]) -> list[Finding]:
    from gateway.kernel.connection import REDIS_MAJOR_MIN  # noqa: PLC0415

    said = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    setting = {found[at].decode(): found[at + 1].decode() for at in range(0, len(found), 2)}
    version = said.get("redis_version", "0")
    enough = int(version.partition(".")[0]) >= REDIS_MAJOR_MIN
    findings = [
        ("redis", "ok" if enough else "fail", f"{version}; {REDIS_MAJOR_MIN} or later is needed"),
        _setting(setting, "maxmemory-policy", "noeviction", "fail", "anything but noeviction drops live counts"),
        _setting(
            setting, "appendonly", "yes", "warn", "without it counts are lost at a restart, until nodes bring them back"
        ),
    ]
    if "+" in url.partition("://")[0]:
        advice = "with 0, a master that is cut off goes on admitting, and all of it is lost"
        enough_replicas = setting.get("min-replicas-to-write", "0")
        state = "ok" if enough_replicas not in {"", "0"} else "warn"
        findings.append(("redis min-replicas-to-write", state, f"{enough_replicas}; {advice}"))
    return findings


def _setting(setting: dict[str, str], name: str, wanted: str, otherwise: str, advice: str) -> Finding:
    found = setting.get(name, "unknown")
    return f"redis {name}", "ok" if found == wanted else otherwise, f"{found}; {advice}"
