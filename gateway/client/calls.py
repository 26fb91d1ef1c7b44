"""Calls to gateways: again and again within one deadline, with the same body, on the next URL after a failure."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from gateway.client.errors import RequestRefused
from gateway.client.stats import Stats


ANSWER_BYTES_MAX = 4 * 1024 * 1024
ATTEMPT_MIN_S = 0.25
CONNECT_SHARE = 0.75
"""Of an attempt's time, so that what could not even connect is told from what may have been carried out."""

PAUSE_S = (0.01, 0.05)
"""Least and most of the pause before the second attempt; doubled from attempt to attempt."""

PAUSE_MAX_S = 0.5
LEFT_MIN_S = 0.002
"""A deadline that is nearer is over: the gateway takes whole milliseconds, at least one."""

T = TypeVar("T")
Read = Callable[[dict[str, Any]], T]

NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
FAILURES = (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError, UnicodeDecodeError, RuntimeError)
"""RuntimeError: event loops raise it for a transport that was closed under a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Generic[T]):
    """What became of a call, or of one attempt. None of `answer`, `refusal` and `fault`: no gateway answered.

    `refusal` is the problem of a gateway without its store; `fault` the one of a wrong request; `unsure`: an attempt whose answer
    nobody heard may have been carried out.
    """

    answer: T | None = None
    refusal: dict[str, Any] | None = None
    fault: RequestRefused | None = None
    unsure: bool = False
    retry_after_s: float = 0.0


class Calls:
    """Calls to the admission listeners at these URLs, as long as the context lasts; sticks to the URL that answers.

    `per_gateway` bounds the connections to each. Raises ValueError for a URL or a token that cannot be sent.
    """

    def __init__(self, urls: Sequence[str], token: str | None, stats: Stats, *, per_gateway: int, **tls: Any) -> None:
        self._urls = [_checked(url) for url in urls]
        if not self._urls:
            raise ValueError("at least one URL is needed")
        if token is not None and not (token.isascii() and token.isprintable()):
            raise ValueError("the token has characters that no header can carry")
        self._headers = {"Content-Type": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._stats = stats
        self._connections = {"limit": 0, "limit_per_host": per_gateway, **tls}
        self._session: aiohttp.ClientSession | None = None
        self._current = 0

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(**self._connections),
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None, "entered before"
        await self._session.close()

    async def send(
        self, method: str, path: str, body: dict[str, Any] | None, read: Read[T], *, until: float, tells: bool = False
    ) -> Outcome[T]:
        """The outcome by `until`, a time of the event loop. `tells`: the body says how many ms are left (`deadline_ms`).

        Raises TypeError, ValueError (the body cannot be written as JSON).
        """
        loop = asyncio.get_running_loop()
        outcome: Outcome[T] = Outcome()
        tries, first = 0, self._current
        while (left_s := until - loop.time()) >= LEFT_MIN_S:
            document = {**(body or {}), "deadline_ms": int(left_s * 1000)} if tells else body
            payload = None if document is None else msgspec.json.encode(document)
            at = (first + tries) % len(self._urls)
            time_s = min(left_s, max(left_s / 2, ATTEMPT_MIN_S))
            attempt = await self._attempt(method, self._urls[at] + path, payload, read, time_s)
            tries += 1
            self._stats.retries += tries > 1
            outcome = Outcome(
                answer=attempt.answer,
                refusal=attempt.refusal or outcome.refusal,
                fault=attempt.fault,
                unsure=attempt.unsure or outcome.unsure,
            )
            if outcome.answer is not None or outcome.fault is not None:
                return outcome
            if self._current == at:
                self._current = (at + 1) % len(self._urls)
            others_left = tries < len(self._urls)  # Retry-After speaks of one gateway
            pause_s = max(_pause_s(tries), 0.0 if others_left else attempt.retry_after_s)
            if loop.time() + pause_s >= until:
                return outcome
            await asyncio.sleep(pause_s)
        return outcome

    async def _attempt(self, method: str, url: str, payload: bytes | None, read: Read[T], time_s: float) -> Outcome[T]:
        """One request, answered or broken off within `time_s`; a connection whose answer was not read whole is closed."""
        assert self._session is not None, "used as a context manager"
        self._stats.attempts += 1
        timeout = aiohttp.ClientTimeout(total=time_s, connect=time_s * CONNECT_SHARE)
        try:
            async with self._session.request(
                method, url, data=payload, timeout=timeout, allow_redirects=False
            ) as response:
                return _told(response.status, response.headers.get("Retry-After", ""), await _body(response), read)
        except NEVER_SENT:
            return Outcome()
        except FAILURES:
            return Outcome(unsure=True)


def _told(status: int, retry_after: str, body: bytes, read: Read[T]) -> Outcome[T]:
    """What an answer means. Raises msgspec.DecodeError (no gateway answers so)."""
    if 200 <= status < 300:
        return Outcome(answer=read(msgspec.json.decode(body, type=dict[str, Any])))
    if 400 <= status < 500:
        return Outcome(fault=RequestRefused(status, _document(body)))
    document = _document(body)
    wait_s = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0.0
    if status == 503 and "decision" in document:
        return Outcome(refusal=document, retry_after_s=wait_s)  # the gateway sees to it that no seat is left taken
    return Outcome(unsure=True, retry_after_s=wait_s)


def _document(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """The body. Raises msgspec.DecodeError if it is longer than any gateway's."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            raise msgspec.DecodeError("the answer is too long")
    return bytes(body)


def _pause_s(tries: int) -> float:
    least, most = (min(bound * 2 ** min(tries - 1, 10), PAUSE_MAX_S) for bound in PAUSE_S)
    return random.uniform(least, most)  # noqa: S311 - spreads callers, keeps no secret


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{url!r} is not the URL of a gateway, such as http://gateway.example:8080")
    return url.rstrip("/")
