"""The store as the rest of the gateway sees it, and the URLs that name one.

    redis://[user:password@]host:port/db                                    one server; rediss:// with TLS
    unix:///path/to/redis.sock?db=0                                         one server on this host
    redis+sentinel://[user:password@]host:port,host:port/service/db         the master that sentinels name; rediss+sentinel:// with TLS
    redis+cluster://[user:password@]host:port,host:port                     a cluster that these nodes belong to; rediss+cluster:// with TLS

User and password are those of the servers. Sentinels that want their own get them as `?sentinel_username=` and `?sentinel_password=`. Other
options are those of redis-py (`ssl_ca_certs`, ...), and hold for servers and sentinels alike.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from gateway.kernel.cluster import ClusterStore
from gateway.kernel.connection import StoreConnection, StoreObserver
from gateway.kernel.handshake import Address, Options, read_options, unconnected
from gateway.kernel.scripts import Script
from gateway.kernel.sentinel import SentinelStore


SENTINEL_PORT, REDIS_PORT = 26379, 6379
SCHEMES = {f"{tls}+{kind}": (tls, kind) for tls in ("redis", "rediss") for kind in ("sentinel", "cluster")}


class Store(Protocol):
    """Where scripts run. It is kept connected; nothing is sent twice but what was not executed."""

    @property
    def is_ready(self) -> bool:
        """Whether calls are taken."""

    @property
    def last_error(self) -> str | None:
        """Why they are not."""

    async def start(self, wait_s: float = ...) -> bool:
        """Begins to connect; waits at most `wait_s` until calls are taken, and says whether they are."""

    async def close(self) -> None:
        """Ends all connections; calls under way get OutcomeUnknown."""

    def call(
        self, script: Script, keys: tuple[bytes, ...], args: Sequence[Any], timeout_s: float
    ) -> asyncio.Future[Any]:
        """Runs a script once, with the `run_id` of the server that runs it before its arguments.

        The future ends with its answer, or with a StoreError at `timeout_s` at the latest.

        Raises:
            StoreUnavailable: at once, where there is no connection, too much under way, or a store that has stopped to answer.
        """

    def command(self, *parts: str | bytes | int, timeout_s: float = ...) -> asyncio.Future[Any]:
        """Runs a plain command, whose first argument is a key; for reports, never for decisions."""

    def observe_clock(self, store_ms: int, key: str | bytes | None = None) -> None:
        """Takes a time that an answer carried; `key` is one that the answer was about."""

    def store_now_ms(self, key: str | bytes | None = None) -> int:
        """The clock of the server that has the key, estimated: never ahead of it. Without a key: the smallest clock."""


class _Several(NamedTuple):
    """A URL that names several hosts."""

    kind: str
    hosts: tuple[Address, ...]
    service: str
    server: Options
    sentinel: Options


def open_store(url: str, scripts: Iterable[Script], observer: StoreObserver | None = None) -> Store:
    """The store that a URL names, closed as yet. Raises ValueError; its message does not contain the URL."""
    check_url(url)
    if urlsplit(url).scheme not in SCHEMES:
        return StoreConnection(url, scripts, observer)
    several = _read_several(url)
    if several.kind == "cluster":
        return ClusterStore(several.server, several.hosts, scripts, observer)
    sentinels = [{**several.sentinel, **address._asdict()} for address in several.hosts]
    return SentinelStore(several.server, sentinels, several.service, scripts, observer)


def check_url(url: str) -> None:
    """Raises ValueError where a URL names no store; its message does not contain the URL, which may hold a password."""
    try:
        for options in _stated(url):
            unconnected(options)
    except _Fault as fault:
        raise ValueError(str(fault)) from None
    except TypeError:
        raise ValueError("it has an option that is not known") from None
    except Exception:  # noqa: BLE001 - messages of libraries quote what they stumble over
        raise ValueError("it cannot be read: a host, a port, the database or an option is malformed") from None


class _Fault(Exception):
    """What is wrong with a URL, in words that do not quote it."""


def _stated(url: str) -> tuple[Options, ...]:
    """The options of each kind of server that a URL names."""
    parts = urlsplit(url)
    if parts.scheme in SCHEMES:
        several = _read_several(url)
        return several.server, several.sentinel
    if parts.scheme not in {"redis", "rediss", "unix"}:
        raise _Fault(f"the scheme is not one of redis, rediss, unix, {', '.join(SCHEMES)}")
    if parts.scheme == "unix" and not parts.path:
        raise _Fault("the path of the socket is missing")
    if parts.scheme != "unix" and not (parts.path.strip("/") or "0").isdecimal():
        raise _Fault("the database is not a number")
    return (read_options(url),)


def _read_several(url: str) -> _Several:
    """Raises _Fault, and whatever redis-py raises on options that it cannot read."""
    parts = urlsplit(url)
    scheme, kind = SCHEMES[parts.scheme]
    user, at, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.strip("/").partition("/")
    options = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    login = [quote(options.pop(f"sentinel_{name}", ""), safe="") for name in ("username", "password")]
    query = urlencode(options)
    if kind == "cluster" and (service or database):
        raise _Fault("a cluster has no database and no service name: nothing follows the hosts")
    if kind == "sentinel" and not service:
        raise _Fault(
            "the name of the service that the sentinels watch is missing: it follows the hosts, as in host:26379/mymaster/0"
        )
    if not (database or "0").isdecimal():
        raise _Fault("the database is not a number")
    addresses = tuple(
        _read_host(host, SENTINEL_PORT if kind == "sentinel" else REDIS_PORT) for host in hosts.split(",")
    )
    sentinel_user = f"{login[0]}:{login[1]}@" if any(login) else ""
    return _Several(
        kind,
        addresses,
        service,
        read_options(f"{scheme}://{user}{at}host/{database or 0}?{query}"),
        read_options(f"{scheme}://{sentinel_user}host?{query}"),
    )


def _read_host(text: str, port: int) -> Address:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise _Fault("a host is missing")
    return Address(parts.hostname, parts.port or port)
