"""A store that is two: every call runs on the model and on a real Redis, and both answers must be the same."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from redis.asyncio.connection import Connection, parse_url
from redis.exceptions import ResponseError
from simulated_lua import runner
from simulated_redis import Keyspace, ReplyError, Stream, text
from support import CLOCK_FRAGMENT, CLOCK_KEY

from gateway.kernel import scripts
from gateway.kernel.errors import reply_error
from gateway.kernel.scripts import Script


class Difference(AssertionError):
    """The model does something else than Redis."""


class RealRedis:
    """Plain commands on a real server."""

    def __init__(self, url: str) -> None:
        options: dict[str, Any] = dict(parse_url(url))
        kind = options.pop("connection_class", Connection)
        self._connection: Connection = kind(**options, protocol=2)

    async def run(self, *parts: Any) -> Any:
        """The answer, as it comes; an error reply as the code that it begins with."""
        await self._connection.send_command(*parts)
        try:
            return await self._connection.read_response()
        except ResponseError as error:
            return ReplyError(str(error))

    async def close(self) -> None:
        """Ends the connection."""
        await self._connection.disconnect()


class Twin:
    """The store of a kernel under test. Offers what `Kernel` uses; `now_ms` sets the clock of both."""

    def __init__(self, real: RealRedis, now_ms: int) -> None:
        self._real = real
        self._scripts = scripts.load(CLOCK_FRAGMENT)
        self._now_ms = now_ms
        self.keyspace = Keyspace(lambda: self._now_ms)
        self.run_id = "twin"
        self.is_ready = True
        self.last_error: str | None = None
        self.ran: set[str] = set()
        self._in_turn = asyncio.Lock()

    async def set_clock(self, now_ms: int) -> None:
        """From now on it is that time."""
        async with self._in_turn:
            self._now_ms = now_ms
            await self._real.run("SET", CLOCK_KEY, now_ms)

    def call(
        self, script: Script, keys: tuple[bytes, ...], args: Sequence[Any], timeout_s: float
    ) -> asyncio.Future[Any]:
        """Runs a script on both."""
        return asyncio.ensure_future(self._one_by_one(self._call(script, keys, args)))

    async def _call(self, script: Script, keys: tuple[bytes, ...], args: Sequence[Any]) -> Any:
        self.ran.add(script.name)
        try:
            modelled = runner().eval(script.source, self.keyspace, keys, (self.run_id, *args))
        except ReplyError as error:
            modelled = error
        real = await self._real.run(
            "EVAL", self._scripts[script.name].source, len(keys), *keys, self.run_id, *[text(arg) for arg in args]
        )
        return self._same(real, modelled, f"{script.name} {args}")

    def command(self, *parts: str | bytes | int, timeout_s: float = 5.0) -> asyncio.Future[Any]:
        """Runs a plain command on both."""
        return asyncio.ensure_future(self._one_by_one(self._command(*[text(part) for part in parts])))

    async def _one_by_one(self, work: Coroutine[Any, Any, Any]) -> Any:
        async with self._in_turn:
            return await work

    async def _command(self, name: bytes, *rest: bytes) -> Any:
        try:
            modelled = self.keyspace.run(name, *rest)
        except ReplyError as error:
            modelled = error
        what = f"{name!r} {rest}"
        if name == b"HSCAN" and isinstance(modelled, list):
            self._same(await self._scanned(*rest), _pairs(modelled[1]), what)
            return modelled
        real = await self._real.run(name, *rest)
        if name == b"HGETALL" and isinstance(modelled, list):
            self._same(_pairs(real), _pairs(modelled), what)
            return modelled
        return self._same(real, modelled, what)

    async def _scanned(self, key: bytes, cursor: bytes, *options: bytes) -> Any:
        """All pages of a scan; a large hash has several, in any order."""
        flat: list[bytes] = []
        while True:
            cursor, page = await self._real.run("HSCAN", key, cursor, *options)
            flat += page
            if cursor == b"0":
                return _pairs(flat)

    def _same(self, real: Any, modelled: Any, what: str) -> Any:
        if comparable(real) != comparable(modelled):
            raise Difference(f"{what}\nRedis: {real}\nmodel: {modelled}")
        if isinstance(modelled, ReplyError):
            raise reply_error(str(modelled))
        return modelled

    def observe_clock(self, store_ms: int, key: bytes | None = None) -> None:
        """The clock is known."""

    def store_now_ms(self, key: bytes | None = None) -> int:
        """The clock."""
        return self._now_ms

    async def compare_content(self) -> int:
        """All keys with all that is in them; how many keys."""
        async with self._in_turn:
            return await self._compare_content()

    async def _compare_content(self) -> int:
        names = [name for name in await self._real.run("KEYS", "*") if name != CLOCK_KEY.encode()]
        real = {name: await self._content(name) for name in names}
        modelled = {name: _content_of(value) for name, value in self.keyspace.data.items()}
        if real != modelled:
            for name in sorted(real.keys() | modelled.keys()):
                if real.get(name) != modelled.get(name):
                    raise Difference(f"{name!r}\nRedis: {real.get(name)}\nmodel: {modelled.get(name)}")
        return len(names)

    async def _content(self, name: bytes) -> Any:
        match await self._real.run("TYPE", name):
            case b"hash":
                flat = await self._real.run("HGETALL", name)
                return dict(zip(flat[::2], flat[1::2], strict=True))
            case b"zset":
                flat = await self._real.run("ZRANGE", name, 0, -1, "WITHSCORES")
                return [(float(score), member) for member, score in zip(flat[::2], flat[1::2], strict=True)]
            case b"stream":
                return await self._real.run("XRANGE", name, "-", "+")
        return await self._real.run("GET", name)


def _content_of(value: Any) -> Any:
    if isinstance(value, Stream):
        return [[b"%d-%d" % identity, list(fields)] for identity, fields in value.entries]
    if isinstance(value, bytes):
        return value
    return value.ordered() if hasattr(value, "ordered") else dict(value)


def comparable(answer: Any) -> Any:
    """An answer without what is no part of its meaning: the words of errors, and the order of a hash."""
    if isinstance(answer, ReplyError | ResponseError):
        code = str(answer).partition(" ")[0]
        return ("error", code if code.isupper() else "ERR")  # redis-py takes that one away
    if isinstance(answer, list):
        parts = [comparable(part) for part in answer]
        if parts and parts[0] == b"DUMP":
            return [*parts[:2], *[_pairs(part) for part in parts[2:]]]
        return parts
    return answer


def _pairs(flat: Any) -> Any:
    return sorted(zip(flat[::2], flat[1::2], strict=True)) if isinstance(flat, list) else flat
