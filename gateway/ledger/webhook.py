"""One HTTP endpoint that is told what happens, signed as Standard Webhooks says (standardwebhooks.com).

The signature is over `id.timestamp.body`; the timestamp is that of the attempt, so that a receiver may refuse what is old; the id is the same
in all attempts, so that it may drop what it has. An id holds no full stop.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
from enum import Enum
from typing import NamedTuple

import aiohttp
from yarl import URL


TIMEOUT_S = 10.0
PREFIX = "whsec_"
KEY_BYTES = (24, 64)
GONE = 410


class Result(Enum):
    """What came of an attempt: it was taken, may be tried again, or is never wanted again."""

    TAKEN = "taken"
    FAILED = "failed"
    GONE = "gone"


class Answer(NamedTuple):
    """What came of an attempt; `why` says it in words where it was not taken, without anything of the URL or of the answer's text."""

    result: Result
    why: str = ""


def signing_key(secret: str) -> bytes:
    """The key from a secret as receivers' libraries write it: `whsec_` and the base64 of 24 to 64 bytes.

    Raises:
        ValueError: it is none; the message does not hold it.
    """
    least, most = KEY_BYTES
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not least <= len(key) <= most:
        raise ValueError(f"is not {PREFIX} and the base64 of {least} to {most} bytes")
    return key


def checked_url(url: str) -> URL:
    """The URL of the endpoint. Raises ValueError, without the URL, which may hold a password."""
    try:
        found = URL(url)
    except ValueError:
        raise ValueError("is no URL") from None
    if found.scheme not in {"http", "https"} or not found.host:
        raise ValueError("is no URL of http or https")
    return found


def signature(key: bytes, id_: str, timestamp_s: int, body: bytes) -> str:
    """The value of `webhook-signature`."""
    digest = hmac.digest(key, f"{id_}.{timestamp_s}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


class Webhook:
    """The endpoint. Redirects are not followed, proxies of the environment not used, and what it answers is not read beyond the status."""

    def __init__(self, url: str, secret: str, timeout_s: float = TIMEOUT_S) -> None:
        """Raises ValueError as `checked_url` and `signing_key` do."""
        self._url = checked_url(url)
        self._key = signing_key(secret)
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def post(self, id_: str, body: bytes, now_ms: int) -> Answer:
        """One attempt; it ends within the timeout and never raises because of the receiver."""
        timestamp_s = now_ms // 1000
        headers = {
            "content-type": "application/json",
            "user-agent": "admission-gateway",
            "webhook-id": id_,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": signature(self._key, id_, timestamp_s, body),
        }
        try:
            async with self._opened().post(self._url, data=body, headers=headers, allow_redirects=False) as response:
                return _answer(response.status)
        except TimeoutError:
            return Answer(Result.FAILED, f"no answer within {self._timeout_s:g} s")
        except aiohttp.ClientConnectorError as error:
            return Answer(Result.FAILED, f"cannot connect: {error.os_error.strerror or 'no such host'}")
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            return Answer(Result.FAILED, f"the connection failed: {type(error).__name__}")

    async def close(self) -> None:
        """Ends its connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout_s), cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session


def _answer(status: int) -> Answer:
    if 200 <= status < 300:
        return Answer(Result.TAKEN)
    return Answer(Result.GONE if status == GONE else Result.FAILED, f"answered {status}")
