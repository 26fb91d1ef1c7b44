"""Media servers that go on calling while gateways come and go: whoever gets no answer asks again, with the same id, wherever it is answered."""

import asyncio
import contextlib
import random
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
from support import join_data


RATE_PER_S = 200
JOINS_MAX = 6000
MEETING_LEGS = 50
ANSWERED_WITHIN_S = 30.0


class SteadyCallers:
    """`RATE_PER_S` joins a second of customer `acme`, one after the other to each of the `urls`, through a connection each where `fresh`.

    With `heeding` they are told by `Connection: close` that a gateway is about to leave, and call it again after `came_back`.
    """

    def __init__(self, urls: list[str], *, heeding: bool = False, fresh: bool = False) -> None:
        self._urls = urls
        self._heeding = heeding
        self._leaving: set[str] = set()
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=fresh))
        self.decisions: dict[str, dict[str, Any]] = {}
        """The answer to each join."""
        self.answers: Counter[str] = Counter()
        """By URL."""
        self.failures: Counter[str] = Counter()
        """Calls without an answer, by what happened to them."""
        self.under_way = 0
        """Joins that are not answered yet."""

    @contextlib.asynccontextmanager
    async def calling(self) -> AsyncIterator[None]:
        """Calls as long as the context lasts; at its end every join has been answered."""
        enough = asyncio.Event()
        calls = asyncio.create_task(self._call_until(enough))
        try:
            yield
        finally:
            enough.set()
            await calls
            await self._http.close()

    def came_back(self, url: str) -> None:
        """The gateway there is ready again."""
        self._leaving.discard(url)

    async def answered_by(self, url: str, more: int = 20) -> None:
        """Waits until the gateway there has answered so many more."""
        goal = self.answers[url] + more
        await until(lambda: self.answers[url] >= goal, f"{more} more answers by {url}")

    async def _call_until(self, enough: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as calls:
            for number in range(JOINS_MAX):
                if enough.is_set():
                    return
                calls.create_task(self._join(number))
                await asyncio.sleep(1 / RATE_PER_S)
        raise AssertionError(f"{JOINS_MAX} joins were not enough")

    async def _join(self, number: int) -> None:
        name, joined = f"leg-{number}", number // MEETING_LEGS
        self.under_way += 1
        async with asyncio.timeout(ANSWERED_WITHIN_S):
            while name not in self.decisions:
                url = self._next_url(number)
                try:
                    async with self._http.post(f"{url}/v1/admit", json=join_data(name, f"m{joined}")) as response:
                        answer = await response.json(content_type=None)
                except aiohttp.ClientConnectionError as error:
                    self.failures[type(error).__name__] += 1
                    number += 1
                    await asyncio.sleep(0.02)
                    continue
                assert 200 == response.status, answer
                if response.headers.get("Connection") == "close" and self._heeding:
                    self._leaving.add(url)
                self.answers[url] += 1
                self.decisions[name] = answer
        self.under_way -= 1

    def _next_url(self, number: int) -> str:
        staying = [url for url in self._urls if url not in self._leaving] or self._urls
        return staying[number % len(staying)]


async def until(condition: Callable[[], object], what: str, wait_s: float = 20.0) -> None:
    """Waits until a condition is true; fails after `wait_s`."""

    async def asked() -> object:
        return condition()

    await until_told(asked, what, wait_s)


async def until_told(ask: Callable[[], Awaitable[object]], what: str, wait_s: float = 20.0) -> None:
    """Waits until the answer of another process is true; fails after `wait_s`."""
    limit = time.monotonic() + wait_s
    while not await ask():
        assert time.monotonic() < limit, f"not within {wait_s} s: {what}"
        await asyncio.sleep(0.02)


def free_ports(count: int = 1) -> int:
    """The first of so many ports in a row on which nobody listens."""
    for first in random.sample(range(21_000, 29_000), 200):
        if all(is_free(first + more) for more in range(count)):
            return first
    raise AssertionError("no free ports")


def is_free(port: int) -> bool:
    """Whether nobody listens on that port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return True
    return False
