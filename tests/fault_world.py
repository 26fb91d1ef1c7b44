"""A world to break: a real store, gateways as processes, proxies on every way, media servers, and an operator who installs customers.

media servers -> door proxies -> gateways -> path proxies -> store
"""

import asyncio
import contextlib
import functools
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import fault_judge as judge
from fault_media import BEAT_S, MediaServer
from fault_proxy import ChaosProxy
from fault_truth import History
from redis_processes import RedisProcess
from support import SERVE, RunningGateway, customer_data, listening, ports, start_gateway
from zygote import Zygote


_zygote: Zygote | None = None

READY_S = 15.0
SETTLE_S = 5.0
HISTORIES, MEASURED = "FAULT_HISTORIES", "FAULT_MEASURED"
"""Environment variables: a folder in which raw histories are kept, and a file to which measured values are added, a JSON object per line."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A customer with one pool of ports. `ceiling`: the greatest number of legs; None: there is none."""

    customer: str
    ceiling: int | None
    store_failure: str = "deny"
    committed: int | None = None

    @property
    def document(self) -> dict[str, Any]:
        """The customer as the admin listener takes it."""
        if self.ceiling is not None and self.committed is None:
            held = ports(self.ceiling)
        else:
            held = ports(self.committed or 0, enforcement="metered", ceiling=self.ceiling)
        return customer_data(held, id=self.customer, store_failure=self.store_failure)


@dataclass(slots=True)
class Site:
    """A gateway with the ways to it and from it. `door` outlives the process; `path` is None where it calls the store directly."""

    door: ChaosProxy
    path: ChaosProxy | None
    options: tuple[str, ...]
    env: dict[str, str]
    gateway: RunningGateway

    @property
    def url(self) -> str:
        """Where media servers call."""
        return f"http://127.0.0.1:{self.door.port}"

    def kill(self) -> None:
        """Ends the process as a crash does."""
        self.gateway.process.kill()

    def pause(self) -> None:
        """Stops it in the middle of what it does; its connections stay open."""
        self.gateway.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on."""
        self.gateway.process.send_signal(signal.SIGCONT)

    async def end(self) -> None:
        """Kills the process, paused or not."""
        await self.gateway.stop(signal.SIGKILL)

    async def start_again(self) -> None:
        """Starts it anew behind the same door, when its process has ended."""
        await self.gateway.process.communicate()
        self.gateway = await _start(self.options, self.env)
        self.door.target = urlsplit(self.gateway.url).netloc


@dataclass(slots=True)
class World:
    """Everything that a fault can be done to, and the history of what media servers saw."""

    sites: list[Site]
    history: History = field(default_factory=History)
    pools: dict[str, Pool] = field(default_factory=dict)
    media: list[MediaServer] = field(default_factory=list)
    stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    token: str | None = None
    """The operator's, where the gateways ask for one."""

    @property
    def doors(self) -> list[str]:
        """Where media servers call."""
        return [site.url for site in self.sites]

    async def install(self, *pools: Pool, through: int = 0) -> None:
        """Customers as they are from now on."""
        async with aiohttp.ClientSession(headers=bearer(self.token)) as http:
            for pool in pools:
                url = f"{self.sites[through].gateway.admin_url}/v1/customers/{pool.customer}"
                async with http.put(url, json=pool.document) as response:
                    assert response.status in {200, 201}, await response.text()
                self.pools[pool.customer] = pool

    async def media_server(self, node: str, *, doors: Sequence[int] | None = None, **options: Any) -> MediaServer:
        """One more media server, which calls all gateways or those."""
        numbers = list(doors if doors is not None else range(len(self.sites)))
        server = MediaServer(node, [self.sites[at].url for at in numbers], self.history, gateways=numbers, **options)
        self.media.append(await self.stack.enter_async_context(server))
        return server

    async def media_servers(
        self, count: int, *, beat_s: float | None = BEAT_S, name: str = "media"
    ) -> list[MediaServer]:
        """Media servers that prefer the gateways in turn."""
        order = [[at % len(self.sites), *range(len(self.sites))] for at in range(count)]
        return [
            await self.media_server(f"{name}-{at}", doors=list(dict.fromkeys(order[at])), beat_s=beat_s)
            for at in range(count)
        ]

    async def ready(self, wait_s: float = READY_S) -> float:
        """Waits until every gateway says that it is ready; how long that took (s)."""
        began = time.monotonic()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1.0)) as http:
            for site in self.sites:
                asked = functools.partial(_says_ok, http, f"{site.gateway.url}/readyz")
                await eventually(asked, "the gateway is ready", wait_s)
        return time.monotonic() - began

    async def differences(self, *customers: str, through: int = 0) -> dict[str, set[str]]:
        """I3: legs that only the store or only the media servers know, by customer."""
        true = self.history.live(*customers)
        found = {}
        for customer in customers:
            stored = await self.stored(customer, through=through)
            if stored != true[customer]:
                found[customer] = stored ^ true[customer]
        return found

    async def stored(self, customer: str, *, through: int = 0) -> set[str]:
        """Ids of the legs that the store knows."""
        return await judge.listed(self.sites[through].gateway.admin_url, customer, headers=bearer(self.token))

    async def counts_agree(self, *customers: str, wait_s: float = SETTLE_S, ghosts: bool = False) -> float:
        """Waits until the store's legs are the media servers' legs (I3); how long that took (s). With `ghosts` the store may know more."""
        began = time.monotonic()
        found: dict[str, set[str]] = {}

        async def agree() -> bool:
            true = self.history.live(*customers)
            differences = await self.differences(*customers)
            found.clear()
            found.update({name: ids & true[name] if ghosts else ids for name, ids in differences.items()})
            return not any(found.values())

        try:
            await eventually(agree, "the store's legs are the media servers' legs", wait_s)
        except AssertionError as error:
            shown = {name: sorted(ids)[:10] for name, ids in found.items()}
            raise AssertionError(f"{error}; they differ by {shown}") from None
        return time.monotonic() - began


def bearer(token: str | None) -> dict[str, str]:
    """The header that carries a token."""
    return {"Authorization": f"Bearer {token}"} if token else {}


def measured(**values: object) -> None:
    """Keeps what was measured, if somebody wants it."""
    if path := os.environ.get(MEASURED):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(
                json.dumps({"test": os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0], **values}) + "\n"
            )


async def eventually(
    condition: Callable[[], Awaitable[bool]], what: str, wait_s: float, *, pause_s: float = 0.05
) -> float:
    """Waits until a condition holds; who cannot be asked makes it false. How long it took (s)."""
    began, said = time.monotonic(), ""
    while True:
        try:
            if await condition():
                return time.monotonic() - began
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            said = f" ({error})"
        assert time.monotonic() - began < wait_s, f"not within {wait_s} s: {what}{said}"
        await asyncio.sleep(pause_s)


@contextlib.asynccontextmanager
async def world(
    store: RedisProcess | Callable[[int], str],
    *,
    gateways: int = 2,
    env: dict[str, str] | None = None,
    gateway_env: Callable[[int], dict[str, str]] = lambda _: {},
    name: str = "world",
) -> AsyncIterator[World]:
    """Gateways on a store and everything around them; all gone at the end.

    `store`: a process, which each gateway reaches through a proxy of its own; or the URL for each, which it takes directly.
    """
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-tests-", ignore_cleanup_errors=True))
        )
        made = World([], stack=stack)
        for at in range(gateways):
            made.sites.append(await _site(stack, store, folder / str(at), at, {**(env or {}), **gateway_env(at)}))
        await made.ready()
        try:
            yield made
        finally:
            if kept := os.environ.get(HISTORIES):
                made.history.save(Path(kept) / f"{name}.jsonl")
            for server in made.media:
                await server.crash()


def forks_from(zygote: Zygote | None) -> None:
    """From now on gateways are forked from that process, which takes less time than to start them."""
    global _zygote  # noqa: PLW0603 - one for the session, as the process itself
    _zygote = zygote


async def _start(options: tuple[str, ...], env: dict[str, str]) -> RunningGateway:
    """A gateway; what is to be loaded before everything else needs a process that was not forked."""
    if _zygote is None or "LD_PRELOAD" in env:
        return await start_gateway(sys.executable, *options, env=env)
    return await listening(await _zygote.fork(*SERVE, *options, env={**os.environ, **env}))


async def _site(
    stack: contextlib.AsyncExitStack,
    store: RedisProcess | Callable[[int], str],
    folder: Path,
    at: int,
    env: dict[str, str],
) -> Site:
    path = None
    if isinstance(store, RedisProcess):
        path = await stack.enter_async_context(ChaosProxy(f"127.0.0.1:{store.port}", seed=at))
        url = f"redis://127.0.0.1:{path.port}"
    else:
        url = store(at)
    options = ("--redis-url", url, "--data-dir", str(folder))
    settings = {"GATEWAY_DRAIN_S": "0", "GATEWAY_LOG_LEVEL": "error", **env}
    gateway = await _start(options, settings)
    door = await stack.enter_async_context(ChaosProxy(urlsplit(gateway.url).netloc, seed=100 + at))
    site = Site(door, path, options, settings, gateway)
    stack.push_async_callback(site.end)
    return site


async def _says_ok(http: aiohttp.ClientSession, url: str) -> bool:
    async with http.get(url) as response:
        return response.status == 200
