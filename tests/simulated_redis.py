"""Redis as the kernel uses it, on plain Python data: the commands of the scripts and of `kernel.py`, and no other.

What a command does here is checked against a real server, operation by operation, in `simulation/test_store_model.py`. A command that is not
modelled fails loudly. Values are bytes, as Redis has them; None is a nil.
"""

import fnmatch
import math
from collections.abc import Callable, Sequence
from typing import Any


Value = bytes | float
"""What a script or a client may give as an argument; Lua gives numbers."""

OUTBOX_KEPT = 20_000
"""A stream with more entries than this would be trimmed, which is not modelled."""


class ReplyError(Exception):
    """An error reply; the message begins with its code."""


class Stream:
    """Entries with growing ids `first-second`."""

    __slots__ = ("entries", "last")

    def __init__(self) -> None:
        self.last = (0, 0)
        self.entries: list[tuple[tuple[int, int], tuple[bytes, ...]]] = []

    def copy(self) -> "Stream":
        """The same again, on its own."""
        copied = Stream()
        copied.last, copied.entries = self.last, self.entries.copy()
        return copied


class SortedSet(dict[bytes, float]):
    """Member -> score."""

    def copy(self) -> "SortedSet":
        """The same again, on its own."""
        return SortedSet(self)

    def ordered(self) -> list[tuple[float, bytes]]:
        """By score, then by member, as Redis ranges."""
        return sorted([(score, member) for member, score in self.items()])


def text(value: Value | str) -> bytes:
    """An argument as the bytes that Redis sees; numbers as Lua's conversion in Redis gives them."""
    if type(value) is bytes:
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, int):
        return b"%d" % value
    return shown(float(value))


def shown(score: float) -> bytes:
    """A double as Redis writes it."""
    if math.isinf(score):
        return b"inf" if score > 0 else b"-inf"
    return b"%d" % int(score) if score == int(score) and abs(score) < 1e17 else b"%.17g" % score


def _spelled(identity: tuple[int, int]) -> bytes:
    return b"%d-%d" % identity


class Keyspace:
    """The data of one server, and the commands on it. `now_ms` is its clock."""

    def __init__(self, now_ms: Callable[[], float]) -> None:
        self.now_ms = now_ms
        self.data: dict[bytes, Any] = {}
        self.writes = 0
        self.on_entry: Callable[[bytes, dict[bytes, bytes]], None] = lambda *_: None
        """Told of each entry of a stream."""

    def copy_data(self) -> dict[bytes, Any]:
        """Everything there is, as a copy of its own."""
        return {key: value if type(value) is bytes else value.copy() for key, value in self.data.items()}

    def run(self, name: bytes, *args: Value) -> Any:
        """One command, as a client gives it. Raises ReplyError."""
        command = READS.get(name) or WRITES.get(name)
        if command is None:
            raise ReplyError(f"ERR not modelled: {name.decode()}")
        return command(self, *args)

    # Hashes

    def hget(self, key: bytes, field: Value) -> bytes | None:
        """The value of a field."""
        found = self._hash(key)
        return found.get(text(field)) if found else None

    def hmget(self, key: bytes, *fields: Value) -> list[bytes | None]:
        """The values of fields."""
        found = self._hash(key) or {}
        return [found.get(text(field)) for field in fields]

    def hgetall(self, key: bytes) -> list[bytes]:
        """Fields and values in turn."""
        return [part for pair in (self._hash(key) or {}).items() for part in pair]

    def hlen(self, key: bytes) -> int:
        """How many fields."""
        return len(self._hash(key) or ())

    def hexists(self, key: bytes, field: Value) -> int:
        """1 if the field is there."""
        return int(text(field) in (self._hash(key) or {}))

    def hscan(self, key: bytes, cursor: Value, *options: Value) -> list[Any]:
        """All fields in one page, which a small hash in Redis answers too."""
        chosen = dict(zip(map(text, options[::2]), map(text, options[1::2]), strict=True))
        assert chosen.keys() <= {b"MATCH", b"COUNT"}, "other options are not modelled"
        match = chosen.get(b"MATCH", b"*")
        pairs = [pair for pair in (self._hash(key) or {}).items() if fnmatch.fnmatchcase(pair[0], match)]
        return [b"0", [part for pair in pairs for part in pair]]

    def hset(self, key: bytes, *pairs: Value) -> int:
        """Sets fields; how many are new."""
        if not pairs or len(pairs) % 2:
            raise ReplyError("ERR wrong number of arguments for 'hset' command")
        found = self._made(key, dict)
        before = len(found)
        for at in range(0, len(pairs), 2):
            found[text(pairs[at])] = text(pairs[at + 1])
        return len(found) - before

    def hsetnx(self, key: bytes, field: Value, value: Value) -> int:
        """Sets a field that is not there."""
        found, name = self._made(key, dict), text(field)
        if name in found:
            return 0
        found[name] = text(value)
        return 1

    def hdel(self, key: bytes, *fields: Value) -> int:
        """Removes fields; how many there were."""
        found: dict[bytes, bytes] = self._hash(key) or {}
        gone = sum([found.pop(text(field), None) is not None for field in fields])
        self._drop_if_empty(key)
        return gone

    def hincrby(self, key: bytes, field: Value, by: Value) -> int:
        """Adds to a field; what it is then."""
        found, name = self._made(key, dict), text(field)
        value = int(found.get(name, b"0")) + int(text(by))
        found[name] = b"%d" % value
        return value

    # Sorted sets

    def zadd(self, key: bytes, *parts: Value) -> int:
        """Adds members, or changes their scores; how many are new."""
        options, at = set(), 0
        while text(parts[at]) in {b"XX", b"NX", b"GT", b"LT", b"CH"}:
            options.add(text(parts[at]))
            at += 1
        found, answer = self._made(key, SortedSet), 0
        for at_score in range(at, len(parts), 2):
            score, member = float(text(parts[at_score])), text(parts[at_score + 1])
            before = found.get(member)
            if before is None:
                if b"XX" not in options:
                    found[member] = score
                    answer += 1
            elif not (
                b"NX" in options or (b"GT" in options and score <= before) or (b"LT" in options and score >= before)
            ):
                found[member] = score
                answer += b"CH" in options and score != before
        self._drop_if_empty(key)
        return answer

    def zrem(self, key: bytes, *members: Value) -> int:
        """Removes members; how many there were."""
        found = self._sorted(key) or SortedSet()
        gone = sum([found.pop(text(member), None) is not None for member in members])
        self._drop_if_empty(key)
        return gone

    def zcard(self, key: bytes) -> int:
        """How many members."""
        return len(self._sorted(key) or ())

    def zscore(self, key: bytes, member: Value) -> bytes | None:
        """The score of a member."""
        score = (self._sorted(key) or SortedSet()).get(text(member))
        return None if score is None else shown(score)

    def zmscore(self, key: bytes, *members: Value) -> list[bytes | None]:
        """The scores of members."""
        return [self.zscore(key, member) for member in members]

    def zrange(self, key: bytes, first: Value, last: Value, *options: Value) -> list[bytes]:
        """Members by rank; with BYSCORE by score."""
        names = [text(option) for option in options]
        if b"BYSCORE" in names:
            names.remove(b"BYSCORE")
            return self.zrangebyscore(key, first, last, *names)
        assert set(names) <= {b"WITHSCORES"}, "other options are not modelled"
        found = (self._sorted(key) or SortedSet()).ordered()
        begin, end = int(text(first)), int(text(last))
        begin = max(begin + len(found), 0) if begin < 0 else begin
        end = end + len(found) if end < 0 else end
        return self._ranged(found[begin : max(end + 1, 0)], with_scores=b"WITHSCORES" in names)

    def zrangebyscore(self, key: bytes, first: Value, last: Value, *options: Value) -> list[bytes]:
        """Members between two scores, both included unless written with `(`."""
        names = [text(option) for option in options]
        with_scores = b"WITHSCORES" in names
        if with_scores:
            names.remove(b"WITHSCORES")
        offset, count = 0, -1
        if names:
            assert names[0] == b"LIMIT", "other options are not modelled"
            offset, count = int(names[1]), int(names[2])
        found = [pair for pair in (self._sorted(key) or SortedSet()).ordered() if _between(pair[0], first, last)]
        return self._ranged(found[offset:] if count < 0 else found[offset : offset + count], with_scores=with_scores)

    def zcount(self, key: bytes, first: Value, last: Value) -> int:
        """How many members lie between two scores."""
        return sum([_between(score, first, last) for score in (self._sorted(key) or {}).values()])

    def zremrangebyscore(self, key: bytes, first: Value, last: Value) -> int:
        """Removes the members between two scores."""
        found = self._sorted(key) or SortedSet()
        return self.zrem(key, *[member for score, member in found.ordered() if _between(score, first, last)])

    def _ranged(self, found: Sequence[tuple[float, bytes]], *, with_scores: bool) -> list[bytes]:
        if not with_scores:
            return [member for _, member in found]
        return [part for score, member in found for part in (member, shown(score))]

    # Streams

    def xadd(self, key: bytes, *parts: Value) -> bytes:
        """Appends an entry, whose id must grow; `first-*` counts on."""
        at = 0
        if text(parts[0]) == b"MAXLEN":
            assert b"~" == text(parts[1]), "an exact length is not modelled"
            at = 3
        stream = self._made(key, Stream)
        first, _, second = text(parts[at]).partition(b"-")
        counted = stream.last[1] + 1 if int(first) == stream.last[0] else 0
        wanted = (int(first), counted if second == b"*" else int(second or 0))
        if wanted <= stream.last:
            raise ReplyError("ERR The ID specified in XADD is equal or smaller than the target stream top item")
        stream.last = wanted
        fields = tuple([text(part) for part in parts[at + 1 :]])
        stream.entries.append((wanted, fields))
        self.on_entry(key, dict(zip(fields[::2], fields[1::2], strict=True)))
        assert len(stream.entries) < OUTBOX_KEPT, "trimming is not modelled"
        return _spelled(wanted)

    def xrange(self, key: bytes, first: Value, last: Value, *options: Value) -> list[Any]:
        """Entries between two ids, both included unless written with `(`."""
        names = [text(option) for option in options]
        stream = self._typed(key, Stream) or Stream()
        found = [
            [_spelled(identity), list(fields)]
            for identity, fields in stream.entries
            if _not_before(identity, text(first)) and _not_after(identity, text(last))
        ]
        return found[: int(names[1])] if names else found

    def xrevrange(self, key: bytes, last: Value, first: Value, *options: Value) -> list[Any]:
        """The same, backwards."""
        found = self.xrange(key, first, last)[::-1]
        return found[: int(text(options[1]))] if options else found

    def xlen(self, key: bytes) -> int:
        """How many entries."""
        return len((self._typed(key, Stream) or Stream()).entries)

    def xtrim(self, key: bytes, kind: Value, exactly: Value, bound: Value) -> int:
        """Drops entries beyond a length (MAXLEN) or before an id (MINID), and says how many."""
        assert text(exactly) == b"=", "an approximate trim is not modelled"
        stream = self._typed(key, Stream)
        if stream is None:
            return 0
        if text(kind) == b"MAXLEN":
            dropped = max(len(stream.entries) - int(text(bound)), 0)
        else:
            dropped = sum(not _not_before(identity, text(bound)) for identity, _ in stream.entries)
        del stream.entries[:dropped]
        return dropped

    def xinfo(self, kind: Value, key: bytes) -> list[Any]:
        """Of a stream: its length and its last id; Redis tells more."""
        assert text(kind) == b"STREAM", "other kinds are not modelled"
        stream = self._typed(key, Stream)
        if stream is None:
            raise ReplyError("ERR no such key")
        return [b"length", len(stream.entries), b"last-generated-id", _spelled(stream.last)]

    # Strings and keys

    def get(self, key: bytes) -> bytes | None:
        """The value of a string."""
        found: bytes | None = self._typed(key, bytes)
        return found

    def set(self, key: bytes, value: Value) -> bytes:
        """Sets a string."""
        self.data[key] = text(value)
        return b"OK"

    def delete(self, *keys: bytes) -> int:
        """Removes keys; how many there were."""
        return sum([self.data.pop(key, None) is not None for key in keys])

    def exists(self, *keys: bytes) -> int:
        """How many of the keys are there."""
        return sum([key in self.data for key in keys])

    def time(self) -> list[bytes]:
        """Seconds, and microseconds of the second."""
        micros = int(self.now_ms() * 1000)
        return [b"%d" % (micros // 1_000_000), b"%d" % (micros % 1_000_000)]

    def _hash(self, key: bytes) -> dict[bytes, bytes] | None:
        found: dict[bytes, bytes] | None = self._typed(key, dict)
        return found

    def _sorted(self, key: bytes) -> SortedSet | None:
        found: SortedSet | None = self._typed(key, SortedSet)
        return found

    def _typed(self, key: bytes, kind: type) -> Any:
        found = self.data.get(key)
        if found is not None and type(found) is not kind:
            raise ReplyError("WRONGTYPE Operation against a key holding the wrong kind of value")
        return found

    def _made(self, key: bytes, kind: type) -> Any:
        found = self._typed(key, kind)
        if found is None:
            found = self.data[key] = kind()
        return found

    def _drop_if_empty(self, key: bytes) -> None:
        if not self.data.get(key, True):
            del self.data[key]


def _between(score: float, first: Value, last: Value) -> bool:
    low, high = text(first), text(last)
    above = score > float(low[1:]) if low[:1] == b"(" else score >= float(low)
    return above and (score < float(high[1:]) if high[:1] == b"(" else score <= float(high))


def _not_before(identity: tuple[int, int], bound: bytes) -> bool:
    if bound == b"-":
        return True
    exclusive, (first, _, second) = bound[:1] == b"(", bound.lstrip(b"(").partition(b"-")
    least = (int(first), int(second or 0))
    return identity > least if exclusive else identity >= least


def _not_after(identity: tuple[int, int], bound: bytes) -> bool:
    if bound == b"+":
        return True
    exclusive, (first, _, second) = bound[:1] == b"(", bound.lstrip(b"(").partition(b"-")
    most = (int(first), int(second) if second else 2**64 - 1)
    return identity < most if exclusive else identity <= most


Command = Callable[..., Any]

READS: dict[bytes, Command] = {
    b"HGET": Keyspace.hget, b"HMGET": Keyspace.hmget, b"HGETALL": Keyspace.hgetall, b"HLEN": Keyspace.hlen,
    b"HEXISTS": Keyspace.hexists, b"HSCAN": Keyspace.hscan, b"ZCARD": Keyspace.zcard, b"ZSCORE": Keyspace.zscore,
    b"ZMSCORE": Keyspace.zmscore, b"ZRANGE": Keyspace.zrange, b"ZRANGEBYSCORE": Keyspace.zrangebyscore,
    b"ZCOUNT": Keyspace.zcount, b"XRANGE": Keyspace.xrange, b"XREVRANGE": Keyspace.xrevrange, b"XLEN": Keyspace.xlen,
    b"XINFO": Keyspace.xinfo, b"GET": Keyspace.get, b"EXISTS": Keyspace.exists, b"TIME": Keyspace.time,
}  # fmt: skip

WRITES: dict[bytes, Command] = {
    b"HSET": Keyspace.hset, b"HSETNX": Keyspace.hsetnx, b"HDEL": Keyspace.hdel, b"HINCRBY": Keyspace.hincrby,
    b"ZADD": Keyspace.zadd, b"ZREM": Keyspace.zrem, b"ZREMRANGEBYSCORE": Keyspace.zremrangebyscore,
    b"XADD": Keyspace.xadd, b"XTRIM": Keyspace.xtrim, b"SET": Keyspace.set, b"DEL": Keyspace.delete,
}  # fmt: skip
