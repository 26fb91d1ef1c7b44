"""The model of Redis that the simulation runs on, compared with a real one."""

import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from conftest import RedisServer
from simulated_lua import runner
from simulated_redis import Keyspace, ReplyError
from simulated_twin import RealRedis, Twin, comparable
from simulated_twin_core import TwinCore

from gateway.kernel.scripts import OPERATIONS as OPERATIONS_OF_SCRIPTS


COMMANDS = 4_000
OPERATIONS = 500
SCRIPT = b"#!lua\nreturn redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))"
BEGINNING_MS = 1_781_118_000_000

HASH = ("HSET", "HSETNX", "HGET", "HMGET", "HGETALL", "HLEN", "HEXISTS", "HDEL", "HINCRBY")
SORTED = ("ZADD", "ZREM", "ZCARD", "ZSCORE", "ZMSCORE", "ZRANGE", "ZRANGEBYSCORE", "ZCOUNT", "ZREMRANGEBYSCORE")
STREAM = ("XADD", "XRANGE", "XREVRANGE", "XLEN", "XTRIM", "XINFO")
TEXT = ("GET", "SET", "EXISTS", "DEL")


@pytest.fixture
async def real(redis_server: RedisServer, databases: Iterator[int]) -> AsyncIterator[RealRedis]:
    """A fresh database of a real server."""
    opened = RealRedis(redis_server.url(next(databases)))
    yield opened
    await opened.close()


def drawn(chance: random.Random) -> list[str]:
    """A command on few keys, some of them of another type than the command wants."""
    key = chance.choice(["hash", "hash", "sorted", "sorted", "stream", "text"])
    kinds = {"hash": HASH, "sorted": SORTED, "stream": STREAM, "text": TEXT}
    name = chance.choice(kinds[key] if chance.random() < 0.95 else [*HASH, *SORTED, *STREAM, *TEXT])
    member = [f"f{chance.randrange(6)}" for _ in range(4)]
    score = [chance.choice(["1", "2", "3", "-5", "1.5", "inf", "-inf", "1781118000000"]) for _ in range(3)]
    bound = [chance.choice(["(", ""]) + each for each in score]
    limit = chance.choice([[], ["LIMIT", "0", "2"], ["LIMIT", "1", "-1"]])
    rank = [str(chance.randrange(-4, 5)) for _ in range(2)]
    number = str(chance.randrange(-3, 9))
    with_scores = chance.choice([[], ["WITHSCORES"]])
    options = chance.choice([[], ["XX"], ["NX"], ["GT"], ["XX", "GT"], ["CH"], ["LT", "CH"]])
    identity = chance.choice(["1-*", "2-*", "5-7", "9-*", "0-*", f"{chance.randrange(9)}-{chance.randrange(1, 9)}"])
    arguments: dict[str, list[str]] = {
        "HSET": [member[0], number, member[1], "text"], "HSETNX": [member[0], number], "HGET": member[:1],
        "HMGET": member, "HGETALL": [], "HLEN": [], "HEXISTS": member[:1], "HDEL": member[: chance.randrange(1, 4)],
        "HINCRBY": [f"n{chance.randrange(3)}", number],
        "ZADD": [*options, score[0], member[0], score[1], member[1]], "ZREM": member[:2], "ZCARD": [],
        "ZSCORE": member[:1], "ZMSCORE": member, "ZRANGE": [*rank, *with_scores],
        "ZRANGEBYSCORE": [bound[0], bound[1], *with_scores, *limit], "ZCOUNT": bound[:2],
        "ZREMRANGEBYSCORE": bound[:2],
        "XADD": [*chance.choice([[], ["MAXLEN", "~", "20000"]]), identity, "field", number],
        "XRANGE": [chance.choice(["-", "2", "2-3", "(2-3"]), chance.choice(["+", "5", "5-7", "(5-7"]),
                   *chance.choice([[], ["COUNT", "2"]])],
        "XREVRANGE": [chance.choice(["+", "5"]), chance.choice(["-", "2"]), *chance.choice([[], ["COUNT", "1"]])],
        "XTRIM": chance.choice([["MAXLEN", "=", "30"], ["MAXLEN", "=", "0"], ["MINID", "=", "2-3"], ["MINID", "=", "9-4"]]),
        "XLEN": [], "GET": [], "SET": [number], "EXISTS": [], "DEL": [],
    }  # fmt: skip
    if name == "XINFO":
        return ["XINFO", "STREAM", key]
    return [name, key, *arguments[name]]


async def test_commands_answer_as_those_of_a_real_server(real: RealRedis) -> None:
    """Thousands of random commands have the same answers, from a client and from a script, and leave the same content."""
    chance = random.Random(20260615)
    twin = Twin(real, BEGINNING_MS)
    errors = 0
    for number in range(COMMANDS):
        name, key, *rest = drawn(chance)
        if name == "XINFO":
            answers = await _both_info(twin, real, key, rest[0])
        elif number % 2:
            answers = await _both_scripted(twin, real, name, key, rest)
        else:
            answers = await _both(twin, real, name, key, rest)
        assert answers[0] == answers[1], f"{name} {key} {rest}"
        errors += isinstance(answers[0], tuple)

    assert await twin.compare_content() > 0
    assert COMMANDS / 100 < errors < COMMANDS / 3


async def _both(twin: Twin, real: RealRedis, name: str, key: str, rest: list[str]) -> tuple[Any, Any]:
    modelled = _caught(lambda: twin.keyspace.run(name.encode(), key.encode(), *[each.encode() for each in rest]))
    return _ordered(name, await real.run(name, key, *rest)), _ordered(name, modelled)


async def _both_scripted(twin: Twin, real: RealRedis, name: str, key: str, rest: list[str]) -> tuple[Any, Any]:
    modelled = _caught(lambda: runner().eval(SCRIPT, twin.keyspace, (key.encode(),), (name, *rest)))
    return _ordered(name, await real.run("EVAL", SCRIPT, 1, key, name, *rest)), _ordered(name, modelled)


async def _both_info(twin: Twin, real: RealRedis, kind: str, key: str) -> tuple[Any, Any]:
    """Redis tells more of a stream than is modelled."""
    modelled = _caught(lambda: twin.keyspace.run(b"XINFO", kind.encode(), key.encode()))
    answer = await real.run("XINFO", kind, key)
    if isinstance(modelled, list) and isinstance(answer, list):
        told = dict(zip(answer[::2], answer[1::2], strict=True))
        return [told[name] for name in modelled[::2]], modelled[1::2]
    return comparable(answer), comparable(modelled)


def _caught(work: Any) -> Any:
    try:
        return work()
    except ReplyError as error:
        return error


def _ordered(name: str, answer: Any) -> Any:
    if name == "HGETALL" and isinstance(answer, list):
        return sorted(zip(answer[::2], answer[1::2], strict=True))
    return comparable(answer)


VALUES = [
    "0", "1", "127", "128", "255", "256", "65535", "65536", "4294967295", "4294967296", "1781118000000", "-1", "-32", "-33", "-128", "-129",
    "-32769", "-2147483649", "1e15",
]  # fmt: skip


async def test_numbers_and_texts_are_packed_as_redis_packs_them(real: RealRedis) -> None:
    """MessagePack of the model is that of Redis, byte by byte, both ways, at every length where the form changes."""
    pack = b"#!lua\nreturn cmsgpack.pack({tonumber(ARGV[1]), ARGV[2], {ARGV[3], {}}, true})"
    again = b"#!lua\nreturn cmsgpack.pack(cmsgpack.unpack(ARGV[1]))"
    sizes = [0, 1, 31, 32, 255, 256, 65535, 65536]
    for number in VALUES:
        for size in sizes:
            args = (number, "x" * size, "caf\u00e9\x1f")
            packed = await real.run("EVAL", pack, 0, *args)
            assert packed == runner().eval(pack, Keyspace(lambda: 0), (), args)
            assert packed == runner().eval(again, Keyspace(lambda: 0), (), (packed,))


CONVERSIONS = [
    "1.9", "-1.9", "true", "false", "nil", "'text'", "{1, 'two', false, 4}", "{1, nil, 3}", "{}", "{{1}, {}, {'a', {'b'}}}",
    "redis.status_reply('FINE')", "redis.error_reply('BAD luck')", "{ok = 'FINE'}", "{err = 'BAD luck'}", "1781118000000 + 1",
    "redis.call('HSET', KEYS[1], 'a', 1, 'b', 2.5, 'c', 1e15)", "redis.call('HMGET', KEYS[1], 'a', 'b', 'c', 'none')",
    "redis.call('HGET', KEYS[1], 'none')", "type(redis.call('HGET', KEYS[1], 'none'))", "{redis.call('HGET', KEYS[1], 'none')}",
    "redis.call('HSET', KEYS[1], 'a')", "redis.call('ZADD', KEYS[1], 1, 'a')", "redis.call('SET', KEYS[2], 1781118000000 * 2)",
    "redis.call('GET', KEYS[2])", "no_such_global", "redis.call('GET', KEYS[2]) .. 'x'", "#redis.call('HMGET', KEYS[1], 'none', 'none')",
    "tostring(1781118000000)", "1 / 0 > 0", "#KEYS * 10 + #ARGV", "redis.call('ZADD', KEYS[3], 'inf', '')",
    "redis.call('ZSCORE', KEYS[3], '')", "redis.call('ZADD', KEYS[3], 1781118000000, 'x', 0.5, 'y')",
    "redis.call('ZRANGE', KEYS[3], 0, -1, 'WITHSCORES')", "pcall(redis.call, 'HGET', KEYS[3], 'a') and 1 or 2",
]  # fmt: skip


async def test_values_change_between_lua_and_redis_as_in_a_real_server(real: RealRedis) -> None:
    """Fractions, nils, booleans, nested lists, status and error replies arrive as Redis converts them."""
    keyspace, keys = Keyspace(lambda: 0), (b"hash", b"text", b"sorted")
    for expression in CONVERSIONS:
        source = f"#!lua\nreturn {expression}".encode()
        answer = await real.run("EVAL", source, len(keys), *keys, "one", "two")
        modelled = _caught(lambda source=source: runner().eval(source, keyspace, keys, ("one", "two")))
        assert comparable(answer) == comparable(modelled), expression


async def test_a_script_without_writes_cannot_write(real: RealRedis) -> None:
    """A script whose flags say that it only reads is refused its first write, and nothing is changed."""
    source = b"#!lua flags=no-writes\nreturn redis.call('HSET', KEYS[1], 'a', 1)"
    keyspace = Keyspace(lambda: 0)
    answer = await real.run("EVAL", source, 1, "hash")

    assert comparable(answer) == comparable(_caught(lambda: runner().eval(source, keyspace, (b"hash",), ())))
    assert {} == keyspace.data


@pytest.mark.parametrize("seed", range(1, 4))
async def test_scripts_answer_as_on_a_real_server(real: RealRedis, seed: int) -> None:
    """Hundreds of random operations of a gateway run every script on both: all answers are equal, and all content afterwards."""
    twin = Twin(real, BEGINNING_MS)
    await twin.set_clock(BEGINNING_MS)
    core = TwinCore(twin, seed)
    await core.begin()
    for number in range(OPERATIONS):
        await core.operate()
        if number % 100 == 0:
            await twin.compare_content()
    await core.close()

    assert await twin.compare_content() > 10
    assert set(OPERATIONS_OF_SCRIPTS) - twin.ran <= {"repair", "roll", "recovered", "assert"}
    assert len(core.reasons) > 10
