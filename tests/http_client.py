"""Requests as bytes, so that also what no client library would send can be sent, and everything that the store holds."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis

from gateway.kernel.keys import BUCKETS, bucket_key, node_key


TIMEOUT_S = 20.0
AT_ONCE = 20
PROBLEM = "application/problem+json"
EPOCH_FIELDS = {b"epoch", b"server", b"prior_epoch", b"prior_number", b"recovering"}
"""What a bucket says of its epoch; the rest is what sweepers note."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered; `headers` by their names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """Everything that the client gets to see."""
        head = "".join(f"{name}: {value}\n" for name, value in self.headers.items())
        return f"{self.status}\n{head}\n{self.body.decode()}"

    @property
    def content_type(self) -> str:
        """The media type without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0]

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it is written to the socket; `framing` replaces the Content-Length that belongs to the body."""

    method: str
    target: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    framing: str | None = None

    def encoded(self) -> bytes:
        """The bytes of the request."""
        lines = [f"{self.method} {self.target} HTTP/1.1", "Host: gateway.test"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines.append(self.framing or f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + self.body


def json_request(method: str, target: str, document: Any, **headers: str) -> Request:
    """A request with a JSON body; lone surrogates travel as escapes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method, target, json.dumps(document).encode(), {"Content-Type": "application/json", **named})


def chunked(body: bytes) -> bytes:
    """The body in chunks of 16 KiB."""
    parts = [body[at : at + 16384] for at in range(0, len(body), 16384)]
    return b"".join([b"%x\r\n%s\r\n" % (len(part), part) for part in parts]) + b"0\r\n\r\n"


async def send_bytes(url: str, data: bytes, *, has_body: bool = True) -> Answer:
    """The answer to these bytes. Raises TimeoutError, asyncio.IncompleteReadError (closed before an answer)."""
    address = urlsplit(url)
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            writer.write(data)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
            }
            size = int(headers.get("content-length", "0")) if has_body else 0
            return Answer(int(head[0].split()[1]), headers, await reader.readexactly(size))
        finally:
            writer.transport.abort()


async def send(url: str, request: Request) -> Answer:
    """The answer to this request."""
    return await send_bytes(url, request.encoded(), has_body=request.method != "HEAD")


async def everything_in(store_url: str) -> dict[str, Any]:
    """All keys of the database with their type, contents and expiry; nothing is left out."""
    store: Any = Redis.from_url(store_url, protocol=2)
    try:
        found: dict[str, Any] = {}
        async for key in store.scan_iter(count=1000):
            kind = (await store.type(key)).decode()
            found[key.decode()] = (kind, await _contents(store, kind, key), await store.pttl(key))
        return found
    finally:
        await store.aclose()


async def lasting_in(store_url: str) -> dict[str, Any]:
    """As `everything_in`, without what gateways note every few seconds by themselves: that they are there, and that they have swept."""
    until = time.monotonic() + TIMEOUT_S
    while len(metas := await _metas(store_url)) < BUCKETS:
        assert time.monotonic() < until, f"a gateway has swept {len(metas)} buckets of {BUCKETS}"
        await asyncio.sleep(0.01)
    found = await everything_in(store_url)
    for key in metas:
        found[key] = {name: value for name, value in found[key][1].items() if name in EPOCH_FIELDS}
    return {key: value for key, value in found.items() if key != node_key("gateways")}


async def _metas(store_url: str) -> list[str]:
    """Keys of buckets that a gateway has swept; it does so as soon as it starts, and that begins their epochs."""
    store: Any = Redis.from_url(store_url, protocol=2, decode_responses=True)
    try:
        keys = [bucket_key("meta", bucket) for bucket in range(BUCKETS)]
        return [key for key in keys if await store.hexists(key, "swept")]
    finally:
        await store.aclose()


async def _contents(store: Any, kind: str, key: bytes) -> Any:
    match kind:
        case "string":
            return await store.get(key)
        case "hash":
            return await store.hgetall(key)
        case "zset":
            return await store.zrange(key, 0, -1, withscores=True)
        case "stream":
            return await store.xrange(key), await store.xinfo_stream(key)
        case "set":
            return await store.smembers(key)
        case "list":
            return await store.lrange(key, 0, -1)
    return await store.dump(key)
