"""A link between Kamailio and the gateway that a test can listen to, slow down and cut."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit


SETTLED_S = 10.0


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and the gateway's answer to it."""

    path: str
    asked: Any
    status: int
    answer: Any


@dataclass(slots=True)
class Link:
    """Passes HTTP requests on. By path: `delay_s` holds back answers, `refuse` is how many requests come to nothing."""

    url: str = ""
    delay_s: dict[str, float] = field(default_factory=dict)
    refuse: dict[str, int] = field(default_factory=dict)
    exchanges: list[Exchange] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def of(self, path: str) -> list[Exchange]:
        """What went over the link to that path."""
        return [exchange for exchange in self.exchanges if exchange.path == path]

    async def until(self, path: str) -> None:
        """Returns when something has gone over the link to that path."""
        async with asyncio.timeout(SETTLED_S):
            while not self.of(path):
                self._news.clear()
                await self._news.wait()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int) -> None:
        """One connection of a client, one request after the other."""
        with contextlib.closing(writer), contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                request = await _message(reader)
                path = request[0].split(b" ")[1].decode()
                if self.refuse.get(path, 0) > 0:
                    self.refuse[path] -= 1
                    return
                answer = await self._ask(request, path, host, port)
                await asyncio.sleep(self.delay_s.get(path, 0.0))
                writer.write(b"".join(answer))
                await writer.drain()

    async def _ask(self, request: tuple[bytes, ...], path: str, host: str, port: int) -> tuple[bytes, ...]:
        reader, writer = await asyncio.open_connection(host, port)
        with contextlib.closing(writer):
            writer.write(b"".join(request))
            answer = await _message(reader)
        status = int(answer[0].split(b" ")[1])
        self.exchanges.append(Exchange(path, _decoded(request[-1]), status, _decoded(answer[-1])))
        self._news.set()
        return answer


@contextlib.asynccontextmanager
async def linked(url: str) -> AsyncIterator[Link]:
    """A link to the server at `url`."""
    target = urlsplit(url)
    host, port = target.hostname or "", target.port or 0
    link = Link()
    server = await asyncio.start_server(lambda reader, writer: link.carry(reader, writer, host, port), "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    link.url = f"http://{address[0]}:{address[1]}"
    async with server:
        yield link


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, ...]:
    """First line, other headers, body."""
    first = await reader.readline()
    if not first:
        raise ConnectionResetError
    headers = b""
    length = 0
    while (line := await reader.readline()).strip():
        headers += line
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return first, headers, b"\r\n", await reader.readexactly(length)


def _decoded(body: bytes) -> Any:
    """The body as data; as text where it is no JSON."""
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
