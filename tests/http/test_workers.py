"""Several workers on one port: one gateway to whoever calls it, and started again when they end."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from callers import Callers, used
from http_client import json_request, send
from plans import premium_calling
from redis.asyncio import Redis
from steady_callers import SteadyCallers, free_ports, is_free, until, until_told
from support import RunningGateway, customer_data, join_data, ports

from gateway.settings import Settings
from gateway.workers import bound_sockets, environment


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

MakeGateway = Callable[..., Awaitable[RunningGateway]]


def children(pid: int) -> list[int]:
    """Processes that this one has started, in that order."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def state(pid: int) -> str:
    """What a process does: `S` sleeps, `R` runs, `T` is stopped; `Z` where there is none any more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"


def workers_of(gateway: RunningGateway) -> list[int]:
    """The workers of a gateway with an external store."""
    return [pid for pid in children(gateway.process.pid) if state(pid) != "Z"]


async def until_gone(pids: list[int]) -> None:
    """Waits until none of them is there."""
    await until(lambda: all(state(pid) == "Z" for pid in pids), f"{pids} have ended")


async def decided(port: int) -> int:
    """Joins that the worker with that admin port has decided; -1 while it is not ready."""
    url = f"http://127.0.0.1:{port}"
    try:
        if (await send(url, json_request("GET", "/readyz", None))).status != 200:
            return -1
        metrics = (await send(url, json_request("GET", "/metrics", None))).body.decode()
    except (OSError, EOFError):
        return -1
    lines = [line for line in metrics.splitlines() if line.startswith("gateway_decisions_total{")]
    return sum(int(float(line.rpartition(" ")[2])) for line in lines)


async def until_decided(port: int, least: int) -> None:
    """Waits until the worker with that admin port is ready and has decided so many."""

    async def has_decided() -> bool:
        return await decided(port) >= least

    await until_told(has_decided, f"{least} decisions by the worker at {port}")


async def run_serve(*options: str, tmp_path: Path) -> tuple[int | None, str]:
    """Exit code and standard error of a `gateway serve` that cannot run."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "serve", "--data-dir", str(tmp_path), *options, stdout=PIPE, stderr=PIPE
    )
    _, told = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, told.decode()


async def test_a_worker_killed_under_load_is_replaced_and_no_decision_is_lost(
    make_gateway: MakeGateway, http: aiohttp.ClientSession, store_url: str
) -> None:
    """With joins under way, at 200/s: every join has one decision and one effect, and the new worker decides some of them."""
    admin_port = free_ports(2)
    gateway = await make_gateway("--workers", "2", "--admin-port", str(admin_port))
    await Callers(http, gateway).install(ports(10_000))
    first, second = workers_of(gateway)
    load = SteadyCallers([gateway.url], fresh=True)

    async with load.calling():
        await load.answered_by(gateway.url, 100)
        async with Redis.from_url(store_url, protocol=2) as store:
            await store.client_pause(10_000, all=False)
            await until(lambda: load.under_way >= 20, "joins wait in both workers")
            os.kill(second, signal.SIGKILL)
            await store.client_unpause()
        await until_decided(admin_port + 1, 20)

    joins = len(load.decisions)
    usage = await Callers(http, gateway).usage()
    assert load.failures.total() > 0, "some joins were lost with their worker and asked again"
    assert (2, first) == (len(workers_of(gateway)), workers_of(gateway)[0])
    assert {"admit": joins} == Counter(each["decision"] for each in load.decisions.values())
    assert (joins, joins, joins) == (usage["live"], used(usage, "ports"), usage["pools"][0]["peak"])


async def test_connections_that_wait_for_a_worker_are_taken_by_its_successor(
    make_gateway: MakeGateway, http: aiohttp.ClientSession
) -> None:
    """Twenty joins are sent to workers that are stopped and then killed: all twenty are answered."""
    admin_port = free_ports(2)
    gateway = await make_gateway("--workers", "2", "--admin-port", str(admin_port))
    await Callers(http, gateway).install(ports(20))
    pids = workers_of(gateway)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    await until(lambda: {"T"} == {state(pid) for pid in pids}, "the workers stand still")

    address = urlsplit(gateway.url)
    opened = [await asyncio.open_connection(address.hostname, address.port) for _ in range(20)]
    for number, (_, writer) in enumerate(opened):
        writer.write(json_request("POST", "/v1/admit", join_data(f"leg-{number}")).encoded())
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(20):
        lines = [await reader.readline() for reader, _ in opened]
    for _, writer in opened:
        writer.transport.abort()

    assert [b"HTTP/1.1 200 OK\r\n"] * 20 == lines
    await until_decided(admin_port, 0)
    assert 20 == (await Callers(http, gateway).usage())["live"]


async def test_workers_share_the_embedded_store_its_key_and_the_catalogue(
    make_gateway: MakeGateway, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Both decide by the catalogue, loaded once, also when its loader was killed; each has its own metrics; SIGTERM ends all, with 0."""
    file = tmp_path / "catalogue.json"
    blocked = premium_calling(blocked_numbers=["+442079460958"])
    file.write_text(json.dumps({"customers": [customer_data(ports(60), blocked)]}))
    admin_port = free_ports(2)
    gateway = await make_gateway(
        "--workers", "2", "--admin-port", str(admin_port), "--catalogue", str(file), redis_url=None
    )
    started = children(gateway.process.pid)

    async def ask(number: int) -> str:
        return str(
            (await send(gateway.url, json_request("POST", "/v1/admit", join_data(f"{number}")))).json()["reason"]
        )

    assert {"admitted": 60} == Counter(await asyncio.gather(*[ask(number) for number in range(60)]))
    counts = [await decided(admin_port), await decided(admin_port + 1)]
    listed = [
        (await send(f"http://127.0.0.1:{admin_port + at}", json_request("GET", "/v1/customers/acme", None))).headers
        for at in range(2)
    ]
    assert (60, True) == (sum(counts), all(counts))
    assert ['"1"', '"1"'] == [each["etag"] for each in listed]
    assert 3 == len(started), "the store and two workers"

    os.kill(started[1], signal.SIGKILL)
    await until_gone([started[1]])
    await until_decided(admin_port, 0)
    assert 1 == capfd.readouterr().err.count("catalogue.loaded")
    assert 0 == await gateway.stop()
    await until_gone(started)
    assert is_free(urlsplit(gateway.url).port or 0)


async def test_workers_and_store_end_with_a_parent_that_is_killed(make_gateway: MakeGateway) -> None:
    """SIGKILL of the parent: none of its three children is left, although workers would drain for minutes."""
    gateway = await make_gateway("--workers", "2", redis_url=None, env={"GATEWAY_DRAIN_S": "300"})
    started = children(gateway.process.pid)

    await gateway.stop(signal.SIGKILL)

    await until_gone(started)
    assert 3 == len(started)


@pytest.mark.slow
async def test_the_second_signal_ends_all_at_once(make_gateway: MakeGateway) -> None:
    """Workers that drain for minutes are killed, and the exit code says that they were not done."""
    gateway = await make_gateway("--workers", "2", env={"GATEWAY_DRAIN_S": "300"})
    started = workers_of(gateway)
    gateway.process.send_signal(signal.SIGTERM)

    async def is_draining() -> bool:
        return (await send(gateway.admin_url, json_request("GET", "/readyz", None))).status == 503

    await until_told(is_draining, "the first worker drains")

    assert 1 == await gateway.stop()
    await until_gone(started)


@pytest.mark.slow
async def test_a_worker_that_keeps_ending_is_started_after_growing_pauses(
    make_gateway: MakeGateway, capfd: pytest.CaptureFixture[str]
) -> None:
    """At once, after 0.1 s, after 0.2 s; the log tells the exit code of each."""
    gateway = await make_gateway("--workers", "2")
    staying, pid = workers_of(gateway)
    for _ in range(3):
        os.kill(pid, signal.SIGKILL)
        gone = {staying, pid}
        await until(lambda gone=gone: set(workers_of(gateway)) - gone, "another worker")  # type: ignore[misc]
        (pid,) = set(workers_of(gateway)) - gone

    logged = [json.loads(line) for line in capfd.readouterr().err.splitlines() if "worker.restarted" in line]
    assert [(1, -9, 0.0), (1, -9, 0.1), (1, -9, 0.2)] == [
        (each["worker"], each["exit_code"], each["pause_s"]) for each in logged
    ]


async def test_workers_do_not_share_the_port_of_another_gateway(make_gateway: MakeGateway, tmp_path: Path) -> None:
    """Its workers share their port among themselves only: exit code 1 and one line that says why."""
    gateway = await make_gateway("--workers", "2")
    port = str(urlsplit(gateway.url).port)

    code, told = await run_serve("--port", port, "--admin-port", "0", "--workers", "2", tmp_path=tmp_path)

    assert 1 == code
    assert f"port {port} of 127.0.0.1 cannot be listened on: Address already in use" in told.splitlines()[-1]


async def test_workers_of_which_one_cannot_start_do_not_start(make_gateway: MakeGateway, tmp_path: Path) -> None:
    """The second admin port is taken: exit code 1, the reason, and which worker it was; nothing is left listening."""
    port, first_admin_port, taken = (free := free_ports(3)), free + 1, free + 2
    await make_gateway("--admin-port", str(taken))

    code, told = await run_serve(
        "--port", str(port), "--admin-port", str(first_admin_port), "--workers", "2", tmp_path=tmp_path
    )

    assert 1 == code
    assert "address already in use" in told
    assert "gateway serve: worker 1 did not start (exit code 1)" == told.splitlines()[-1]
    assert (True, True) == (is_free(port), is_free(first_admin_port))


def test_the_environment_of_a_worker_is_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None starts workers of its own, whatever the shell has set; the key is passed on as it was."""
    monkeypatch.setenv("GATEWAY_NUMBER_KEY", "k" * 32)
    monkeypatch.setenv("gateway_workers", "8")
    settings = Settings(workers=3, data_dir=tmp_path, admin_port=9100, drain_s=0.5)

    found = [environment(settings, index, [7, 8]) for index in range(3)]

    for index, each in enumerate(found):
        monkeypatch.undo()
        for name in [name for name in os.environ if name.upper().startswith("GATEWAY_")]:
            monkeypatch.delenv(name)
        for name in [name for name in each if name.upper().startswith("GATEWAY_")]:
            monkeypatch.setenv(name, each[name])
        own = Settings()
        assert (1, index, 9100 + index, 0.5) == (own.workers, own.worker, own.admin_port, own.drain_s)
        assert ((7, 8), True, "k" * 32) == (own.listen_fds, own.is_supervised, each["GATEWAY_NUMBER_KEY"])
        assert (tmp_path, None) == (own.data_dir, own.catalogue)


def test_each_worker_has_a_socket_on_every_address_of_the_host() -> None:
    """All on one port per address, also where the system chooses it."""
    bound = bound_sockets("127.0.0.1", 0, 3)

    assert [1, 1, 1] == [len(each) for each in bound]
    assert 1 == len({made.getsockname() for each in bound for made in each})
    for each in bound:
        for made in each:
            made.close()
