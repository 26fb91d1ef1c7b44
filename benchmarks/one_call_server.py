"""The same gateway with another store connection: `python -m benchmarks.one_call_server REDIS_URL CATALOGUE`.

HTTP, policy, scripts and metrics are the gateway's own. Only the way to Redis is the usual one: each operation is a call of
redis-py, which takes a connection from its pool, writes one command, and waits for the answer. So the ratio to the gateway is
what sending many calls in one write over one connection brings.
"""

import asyncio
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import web
from redis.asyncio import Redis

from gateway.app import build_apps, install
from gateway.cli.catalogue import read_catalogue
from gateway.core import Telemetry, build_core
from gateway.domain.telephones import Telephones
from gateway.kernel.scripts import Script
from gateway.telemetry import logs
from gateway.tokens import Tokens


BUDGET_S = 10.0


class OneCallStore:
    """What a kernel needs of a store connection, by one call of redis-py per operation."""

    is_ready = True
    last_error = None

    def __init__(self, url: str, scripts: Iterable[Script], observer: object) -> None:
        self._redis: Any = Redis.from_url(url, protocol=2)
        self._scripts = tuple(scripts)
        self._run_id = ""

    async def start(self, wait_s: float = 0.0) -> bool:
        """Loads the scripts."""
        for script in self._scripts:
            await self._redis.script_load(script.source.decode())
        self._run_id = (await self._redis.info("server"))["run_id"]
        return True

    async def call(self, script: Script, keys: tuple[bytes, ...], args: tuple[Any, ...], timeout_s: float) -> Any:
        """Runs a script."""
        return await self._redis.evalsha(script.sha.decode(), len(keys), *keys, self._run_id, *args)

    async def command(self, *parts: str | bytes | int, timeout_s: float = 5.0) -> Any:
        """Runs a command."""
        return await self._redis.execute_command(*parts)

    def observe_clock(self, store_ms: int) -> None:
        """Nothing: both processes are on one machine."""

    def store_now_ms(self) -> int:
        """The clock of this machine is the store's."""
        return int(time.time() * 1000)


async def serve(url: str, catalogue: Path) -> None:
    """Listens until the process is ended."""
    telemetry = Telemetry()
    core = build_core(url, budget_s=BUDGET_S, telemetry=telemetry, connect=OneCallStore)  # type: ignore[arg-type] # what of one is used
    await core.start()
    await install(core.entitlements, read_catalogue(catalogue))
    for app, name in zip(
        build_apps(core, telemetry, Tokens(None), Telephones(None), metrics_customers_max=0),
        ("admission", "admin"),
        strict=True,
    ):
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(f"{name} http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    logs.configure("error", "json")
    uvloop.run(serve(sys.argv[1], Path(sys.argv[2])))
