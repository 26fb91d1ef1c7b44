"""The kernel's Lua scripts, run as Redis runs them: by the same Lua 5.1, with `redis.call` on a `Keyspace`.

Numbers become text and answers become replies by the rules of Redis. Scripts are compiled once for the process. Stricter than Redis: a key
that the script did not declare, a write in a script that says it has none, and a global that does not exist are errors at once.
"""

import functools
import struct
from collections.abc import Sequence
from typing import Any

import lupa.lua51  # type: ignore[import-untyped] # it has no stubs
from simulated_redis import READS, WRITES, Command, Keyspace, ReplyError, Value, text


NUMBERS = frozenset({
    b"HLEN", b"HEXISTS", b"HSET", b"HSETNX", b"HDEL", b"HINCRBY", b"ZADD", b"ZREM", b"ZCARD", b"ZCOUNT", b"ZREMRANGEBYSCORE", b"XLEN", b"XTRIM",
    b"DEL", b"EXISTS",
})  # fmt: skip
LISTS = frozenset({b"HMGET", b"HGETALL", b"ZMSCORE", b"ZRANGE", b"ZRANGEBYSCORE", b"XINFO", b"TIME"})
NESTED = frozenset({b"HSCAN", b"XRANGE", b"XREVRANGE"})
KEY_SECOND = frozenset({b"XINFO"})
KEYLESS = frozenset({b"TIME"})

_BOOTSTRAP = b"""
local pack, unpack_msgpack, forward, missing = ...
local commands, globals = {}, {}
for _, name in ipairs({'assert', 'error', 'ipairs', 'next', 'pairs', 'pcall', 'select', 'tonumber', 'tostring', 'type', 'unpack', 'string',
  'table', 'math'}) do
  globals[name] = _G[name]
end
globals.redis = {
  call = function(name, ...)
    local command = commands[name]
    if not command then missing(name) end
    return command(...)
  end,
  error_reply = function(message) return {err = message} end,
  status_reply = function(message) return {ok = message} end,
}
globals.cmsgpack = {pack = pack, unpack = unpack_msgpack}
setmetatable(globals, {
  __index = function(_, name) error('Script attempted to access nonexistent global variable ' .. tostring(name)) end,
  __newindex = function(_, name) error('Attempt to modify a readonly table: ' .. tostring(name)) end,
})
local function offer(name, kind)
  if kind == 'list' then
    commands[name] = function(...) return {forward(name, ...)} end
  elseif kind == 'status' then
    commands[name] = function(...) return {ok = forward(name, ...)} end
  else
    commands[name] = function(...) return forward(name, ...) end
  end
end
local function compile(source, name)
  local chunk, fault = loadstring(source, name)
  if not chunk then error(fault) end
  return setfenv(chunk, globals)
end
local function run(chunk, count, ...)
  local keys, args = {}, {...}
  for i = 1, count do keys[i] = args[i] end
  rawset(globals, 'KEYS', keys)
  rawset(globals, 'ARGV', {select(count + 1, ...)})
  return chunk()
end
return offer, compile, run
"""


class ScriptRunner:
    """One Lua for all servers of the process; `eval` says on which data a script runs."""

    def __init__(self) -> None:
        self._lua = lupa.lua51.LuaRuntime(
            encoding=None, unpack_returned_tuples=True, register_eval=False, register_builtins=False
        )
        self._keyspace: Keyspace | None = None
        self._declared: frozenset[bytes] = frozenset()
        self._writes = True
        bootstrap = self._lua.compile(_BOOTSTRAP)
        offer, self._compile, self._run = bootstrap(self._pack, self._unpack, self._forward, _missing)
        for name in (*READS, *WRITES):
            kind = b"list" if name in LISTS else b"status" if name == b"SET" else b"plain"
            offer(name, kind)
        self._compiled = functools.lru_cache(maxsize=None)(self._compile_source)

    def eval(self, source: bytes, keyspace: Keyspace, keys: Sequence[bytes], args: Sequence[Value | str]) -> Any:
        """Runs a script once, and gives the reply as a client gets it. Raises ReplyError."""
        chunk, self._writes = self._compiled(source)
        self._keyspace, self._declared = keyspace, frozenset(keys)
        try:
            answer = self._run(chunk, len(keys), *keys, *[text(arg) for arg in args])
        except lupa.lua51.LuaError as error:
            raise ReplyError(f"ERR {error}") from None
        return _reply(answer)

    def _compile_source(self, source: bytes) -> tuple[Any, bool]:
        shebang, _, rest = source.partition(b"\n")
        assert shebang.startswith(b"#!lua"), "every script says its flags"
        return self._compile(b"\n" + rest, b"@script"), b"no-writes" not in shebang

    def _forward(self, name: bytes, *args: Any) -> Any:
        assert self._keyspace is not None, "set by eval"
        write = WRITES.get(name)
        if write is not None:
            if not self._writes:
                raise ReplyError("ERR Write commands are not allowed from read-only scripts.")
            self._keyspace.writes += 1
        if name not in KEYLESS:
            key = args[1] if name in KEY_SECOND else args[0]
            if key not in self._declared:
                raise ReplyError(f"ERR Script attempted to access a non local key: {key!r}")
        command: Command = write or READS[name]
        answer = command(self._keyspace, *args)
        if name in NUMBERS or name == b"SET":
            return answer
        if name in NESTED:
            return self._table(answer)
        if name in LISTS:
            return tuple([False if part is None else part for part in answer])
        return False if answer is None else answer

    def _table(self, values: Sequence[Any]) -> Any:
        return self._lua.table_from(
            [
                self._table(value) if isinstance(value, list | tuple) else False if value is None else value
                for value in values
            ]
        )

    def _pack(self, value: Any) -> bytes:
        return packed(value)

    def _unpack(self, value: bytes) -> Any:
        decoded, end = unpacked(value, 0)
        assert end == len(value), "one value at a time"
        return self._table(decoded) if isinstance(decoded, list) else decoded


def _missing(name: Any) -> None:
    raise ReplyError(f"ERR not modelled in a script: {name!r}")


def _reply(value: Any) -> Any:
    """What Redis makes of a script's answer: fractions are cut off, a list ends at its first nil."""
    if isinstance(value, bytes) or value is None:
        return value
    if isinstance(value, bool):
        return 1 if value else None
    if isinstance(value, int | float):
        return int(value)
    if (error := value[b"err"]) is not None:
        raise ReplyError(error.decode())
    if (status := value[b"ok"]) is not None:
        return status
    found: list[Any] = []
    while (part := value[len(found) + 1]) is not None:
        found.append(_reply(part))
    return found


def packed(value: Any) -> bytes:
    """As `cmsgpack.pack` of Redis writes it."""
    if isinstance(value, bytes):
        return _packed_text(value)
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int | float):
        return _packed_number(value)
    parts = [value[at] for at in range(1, len(value) + 1)]
    assert len(list(value)) == len(parts), "only lists are modelled"
    head = bytes([0x90 | len(parts)]) if len(parts) < 16 else b"\xdc" + struct.pack(">H", len(parts))
    return head + b"".join([packed(part) for part in parts])


def _packed_text(value: bytes) -> bytes:
    size = len(value)
    if size < 32:
        return bytes([0xA0 | size]) + value
    if size < 256:
        return b"\xd9" + struct.pack(">B", size) + value
    return (b"\xda" + struct.pack(">H", size) if size < 65536 else b"\xdb" + struct.pack(">I", size)) + value


def _packed_number(value: float) -> bytes:
    number = int(value)
    assert number == value, "fractions are not modelled"
    if number >= 0:
        if number < 128:
            return bytes([number])
        for code, form, limit in ((0xCC, ">B", 1 << 8), (0xCD, ">H", 1 << 16), (0xCE, ">I", 1 << 32)):
            if number < limit:
                return bytes([code]) + struct.pack(form, number)
        return b"\xcf" + struct.pack(">Q", number)
    if number >= -32:
        return struct.pack(">b", number)
    for code, form, limit in ((0xD0, ">b", 1 << 7), (0xD1, ">h", 1 << 15), (0xD2, ">i", 1 << 31)):
        if number >= -limit:
            return bytes([code]) + struct.pack(form, number)
    return b"\xd3" + struct.pack(">q", number)


_SIZES = {0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
_NUMBERS = {0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}


def unpacked(value: bytes, at: int) -> tuple[Any, int]:
    """The value that begins at a place of a MessagePack text, and the place behind it."""
    code = value[at]
    if code < 0x80:
        return code, at + 1
    if code >= 0xE0:
        return code - 256, at + 1
    if 0xA0 <= code < 0xC0:
        return value[at + 1 : at + 1 + code - 0xA0], at + 1 + code - 0xA0
    if code in _SIZES:
        form = _SIZES[code]
        begin = at + 1 + struct.calcsize(form)
        (size,) = struct.unpack_from(form, value, at + 1)
        return value[begin : begin + size], begin + size
    if code in _NUMBERS:
        form = _NUMBERS[code]
        return struct.unpack_from(form, value, at + 1)[0], at + 1 + struct.calcsize(form)
    if code in {0xC2, 0xC3}:
        return code == 0xC3, at + 1
    assert 0x90 <= code < 0xA0 or code == 0xDC, "only lists are modelled"
    size, at = (code - 0x90, at + 1) if code < 0xA0 else (struct.unpack_from(">H", value, at + 1)[0], at + 3)
    parts: list[Any] = []
    for _ in range(size):
        part, at = unpacked(value, at)
        parts.append(part)
    return parts, at


@functools.cache
def runner() -> ScriptRunner:
    """The one of this process."""
    return ScriptRunner()
