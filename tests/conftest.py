"""Shared fixtures: a real Redis, gateways in this process and in processes of their own, and the kernel's verification after every test."""

import asyncio
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import uvloop
from support import CLOCK_FRAGMENT, SERVE, Clock, RunningGateway, listening, verify_everything
from zygote import Zygote

from gateway.core import Core, Telemetry, build_core
from gateway.embedded import find_server


DATABASES = 16_000
START_TIMEOUT_S = 20.0


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests run on the loop that production runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell of whoever runs the tests has no say."""
    for name in [name for name in os.environ if name.startswith("GATEWAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GATEWAY_LEDGER_URL", "none")  # a process of its own, which only tests of the ledger need


@dataclass(frozen=True, slots=True)
class RedisServer:
    """The Redis of this test session."""

    socket: Path
    pid: int

    def url(self, database: int) -> str:
        """One of its databases."""
        return f"unix://{self.socket}?db={database}"


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A real Redis on a unix socket; gone with the session. TEST_REDIS_SERVER names another binary than the gateway would take."""
    binary = os.environ.get("TEST_REDIS_SERVER") or find_server().path
    folder = Path(tempfile.mkdtemp(prefix="gateway-tests-"))
    socket = folder / "redis.sock"
    process = subprocess.Popen(
        [
            binary, "--port", "0", "--unixsocket", socket, "--dir", folder, "--databases", str(DATABASES),
            "--save", "", "--appendonly", "no", "--logfile", folder / "redis.log",
        ],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    until = time.monotonic() + START_TIMEOUT_S
    while not socket.exists():
        assert process.poll() is None, (folder / "redis.log").read_text()
        assert time.monotonic() < until, "Redis did not start"
        time.sleep(0.01)
    try:
        yield RedisServer(socket, process.pid)
    finally:
        process.terminate()
        process.wait(START_TIMEOUT_S)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def databases() -> Iterator[int]:
    """Numbers of databases that nobody has used yet."""
    return iter(range(DATABASES))


@pytest.fixture(scope="session")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """Forks gateways that have everything imported."""
    started = Zygote(tmp_path_factory.mktemp("zygote"))
    yield started
    started.close()


@pytest.fixture
def store_url(redis_server: RedisServer, databases: Iterator[int]) -> Iterator[str]:
    """A fresh database. When the test is over, the counters of every customer in it must be what its connection records say."""
    url = redis_server.url(next(databases))
    yield url
    with asyncio.Runner() as runner:
        runner.run(verify_everything(url))


@pytest.fixture
def clock(store_url: str) -> Clock:
    """The clock of the kernels that `core` builds; as long as it is not set, it is the store's."""
    return Clock(store_url)


@pytest.fixture
async def make_core(store_url: str) -> AsyncIterator[Callable[[], Awaitable[Core]]]:
    """Makes gateways without listeners, all on one store, with a clock that tests can set."""
    cores: list[Core] = []

    async def make() -> Core:
        core = build_core(store_url, budget_s=5.0, telemetry=Telemetry(), clock=CLOCK_FRAGMENT)
        assert await core.start(), core.store.last_error
        cores.append(core)
        return core

    yield make
    for core in cores:
        await core.close()


@pytest.fixture
async def core(make_core: Callable[[], Awaitable[Core]]) -> Core:
    """One gateway without listeners."""
    return await make_core()


@pytest.fixture
async def make_gateway(
    store_url: str, tmp_path: Path, zygote: Zygote
) -> AsyncIterator[Callable[..., Awaitable[RunningGateway]]]:
    """Starts gateways as processes of their own, on one store, on free ports of the loopback interface."""
    started: list[RunningGateway] = []

    async def make(
        *options: str, env: dict[str, str] | None = None, redis_url: str | None = store_url
    ) -> RunningGateway:
        store = ("--redis-url", redis_url) if redis_url else ()
        settings = {
            **os.environ,
            "GATEWAY_DECISION_BUDGET_MS": "5000",
            "GATEWAY_DRAIN_S": "0",
            "GATEWAY_DATA_DIR": str(tmp_path / "data"),
            **(env or {}),
        }
        gateway = await listening(await zygote.fork(*SERVE, *store, *options, env=settings))
        started.append(gateway)
        return gateway

    yield make
    for gateway in started:
        await gateway.stop()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client without a limit on its connections."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as session:
        yield session
