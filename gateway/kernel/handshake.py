"""What redis-py does here: reading a URL, connecting, the handshake, TLS and authentication. One question at a time; no pools, no retries."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any, NamedTuple

from redis.asyncio.connection import Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig


CONNECT_TIMEOUT_S = 2.0

Options = Mapping[str, Any]
"""How to connect to one server, as redis-py reads it from a URL."""


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int


def read_options(url: str) -> dict[str, Any]:
    """The options that a URL of one server states. Raises ValueError."""
    return dict(parse_url(url))


def unconnected(options: Options, timeout_s: float = CONNECT_TIMEOUT_S) -> Connection:
    """A connection of redis-py that has not connected yet and neither retries nor waits for longer. Raises TypeError on an unknown option."""
    stated = dict(options)
    kind = stated.pop("connection_class", Connection)
    connection: Connection = kind(
        **stated,
        protocol=2,  # stated: RESP3, the default since redis-py 8, may send what nobody asked for
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=timeout_s,
        socket_timeout=timeout_s,
        client_name="gateway",
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    return connection


async def connect(connection: Connection) -> None:
    """Connects and shakes hands. Whatever redis-py raises passes through."""
    await _heeding(connection.connect())  # type: ignore[no-untyped-call] # redis-py leaves it untyped


async def discard(connection: Connection) -> None:
    """Closes a connection of redis-py, in whatever state it is."""
    with contextlib.suppress(Exception):  # also AttributeError and RuntimeError, on a transport that is gone
        await connection.disconnect(nowait=True)


@contextlib.asynccontextmanager
async def connected(options: Options, timeout_s: float) -> AsyncIterator[Connection]:
    """A connection for a few questions, closed afterwards. Whatever redis-py raises passes through."""
    connection = unconnected(options, timeout_s)
    try:
        await connect(connection)
        yield connection
    finally:
        await discard(connection)


async def ask(connection: Connection, *parts: str | bytes) -> Any:
    """One command and its answer, on a connection that is not multiplexed."""
    await _heeding(connection.send_command(*parts))
    return await _heeding(connection.read_response())


async def hear(connection: Connection) -> Any:
    """The next message on a connection that has subscribed; waits for as long as it takes."""
    return await _heeding(connection.read_response(timeout=math.inf))


async def _heeding(work: Awaitable[Any]) -> Any:
    """Ends cancelled where the task was cancelled: redis-py waits with `asyncio.wait_for`, which in Python 3.11 loses cancellations."""
    try:
        return await work
    finally:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
