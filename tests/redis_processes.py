"""Real Redis processes to break: one server, a master with replicas and sentinels, a cluster. Each is an async context manager.

Every process listens on 127.0.0.1 alone, works in a temporary folder and is killed with the process that started it, whatever ends that. None
of the objects here belongs to an event loop, so a fixture of a module can start what the loop of each test then uses.
"""

import asyncio
import contextlib
import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from redis.asyncio.connection import Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.embedded import find_server


START_TIMEOUT_S = 20.0
SLOTS = 16384
_PORTS = range(20_000, 32_000)
"""Below those that the system gives to outgoing connections, so that a killed server finds its port free when it comes back."""

_PR_SET_PDEATHSIG = 1


def _binary() -> Path:
    return Path(os.environ.get("TEST_REDIS_SERVER") or find_server().path)


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    for port in random.sample(_PORTS, 200):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


async def until(
    condition: Callable[[], Awaitable[object]], what: str, wait_s: float = START_TIMEOUT_S, pause_s: float = 0.02
) -> None:
    """Waits until a condition is true; a server that cannot be asked just now makes it false. Fails after `wait_s`."""
    limit = time.monotonic() + wait_s
    while True:
        with contextlib.suppress(RedisError, OSError):
            if await condition():
                return
        assert time.monotonic() < limit, f"not within {wait_s} s: {what}"
        await asyncio.sleep(pause_s)


class RedisProcess:
    """One `redis-server` with a folder, a port and a configuration file of its own, which stay when it is started again.

    `config` names options of redis.conf, with underscores; the append-only file is on. `lines` are added as they are. `sentinel` makes it one.
    """

    def __init__(
        self, *lines: str, sentinel: bool = False, config: Mapping[str, str | int] = MappingProxyType({})
    ) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="gateway-tests-"))
        self._sentinel = sentinel
        self._process: subprocess.Popen[bytes] | None = None
        options: dict[str, object] = {
            "bind": "127.0.0.1",
            "port": self.port,
            "dir": self.folder,
            "logfile": "redis.log",
        }
        options.update({} if sentinel else {"appendonly": "yes", "appendfsync": "everysec", "save": '""'})
        options.update(config)
        text = [f"{name.replace('_', '-')} {value}" for name, value in options.items()]
        (self.folder / "redis.conf").write_text("\n".join([*text, *lines, ""]), encoding="utf-8")

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            self.remove()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.remove()

    @property
    def url(self) -> str:
        """Where it listens, as the gateway takes it."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return "127.0.0.1", self.port

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None, "it does not run"
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether there is a process, paused or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What it has logged."""
        path = self.folder / "redis.log"
        return path.read_text(errors="replace") if path.exists() else ""

    async def start(self) -> None:
        """Starts it on its folder and port, and waits until it answers (all data loaded)."""
        assert not self.runs
        self._process = self._spawn()

        async def answers() -> bool:
            assert self.runs, self.log
            return bool(await self.command("PING") == "PONG")

        await until(answers, "Redis answers")

    def kill(self) -> None:
        """Ends it as a crash does (SIGKILL), also when it is paused."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(START_TIMEOUT_S)
            self._process = None

    def stop(self) -> None:
        """Ends it in good order (SIGTERM): everything is written before."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(START_TIMEOUT_S)
            self._process = None

    async def restart(self) -> None:
        """Kills it and starts it again on what it had written."""
        self.kill()
        await self.start()

    def pause(self) -> None:
        """Stops it in the middle of what it does (SIGSTOP); its connections stay open. Returns when it has stopped."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)

    def resume(self) -> None:
        """Lets it go on after `pause`."""
        os.kill(self.pid, signal.SIGCONT)

    def remove(self) -> None:
        """Kills it and deletes its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def command(self, *parts: str | bytes | int, timeout_s: float = 5.0) -> Any:
        """Its answer to a command, on a connection of its own. Strings are decoded; raises what redis-py raises."""
        connection = Connection(
            host="127.0.0.1", port=self.port, protocol=2, decode_responses=True, retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=timeout_s, socket_timeout=timeout_s,
        )  # fmt: skip
        try:
            await connection.connect()  # type: ignore[no-untyped-call] # redis-py leaves it untyped
            await connection.send_command(*parts)
            return await connection.read_response()
        finally:
            await connection.disconnect(nowait=True)

    async def info(self, section: str) -> dict[str, str]:
        """A section of INFO."""
        text = str(await self.command("INFO", section))
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = [str(_binary()), str(self.folder / "redis.conf"), *(["--sentinel"] if self._sentinel else [])]
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            preexec_fn=_killed_with(os.getpid()),  # noqa: PLW1509 - one system call
        )


class Standalone(RedisProcess):
    """One server with an append-only file; options of redis.conf are keyword arguments with underscores."""

    def __init__(self, **config: str | int) -> None:
        super().__init__(config=config)


class SentinelDeployment:
    """A master, two replicas and three sentinels that watch them under the name `mymaster`.

    `min_replicas` makes the master refuse writes (NOREPLICAS) without a replica that answered in the last two seconds.
    """

    name = "mymaster"

    def __init__(
        self, *, min_replicas: bool = False, down_after_ms: int = 1000, failover_timeout_ms: int = 3000
    ) -> None:
        self._timing = (
            f"down-after-milliseconds {self.name} {down_after_ms}",
            f"failover-timeout {self.name} {failover_timeout_ms}",
        )
        fresh = {"min_replicas_to_write": 1, "min_replicas_max_lag": 2} if min_replicas else {}
        options: dict[str, str | int] = {"repl_diskless_sync_delay": 0, "repl_ping_replica_period": 1, **fresh}
        master = RedisProcess(config=options)
        replicaof = f"127.0.0.1 {master.port}"
        self.servers = (master, *[RedisProcess(config={"replicaof": replicaof, **options}) for _ in range(2)])
        self.sentinels: tuple[RedisProcess, ...] = ()

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            self.remove()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.remove()

    @property
    def url(self) -> str:
        """The deployment as the gateway takes it."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{self.name}/0"

    def remove(self) -> None:
        """Kills everything and deletes all folders."""
        for process in (*self.sentinels, *self.servers):
            process.remove()

    async def master(self) -> RedisProcess:
        """The server that most sentinels that run name as the master; fails when they do not agree."""
        named = [await self._named_by(sentinel) for sentinel in self.sentinels if sentinel.runs]
        port = max(named, key=named.count)
        assert named.count(port) * 2 > len(named), f"the sentinels do not agree: {named}"
        return self._at(port)

    async def replicas(self) -> list[RedisProcess]:
        """The other servers that run."""
        master = await self.master()
        return [server for server in self.servers if server.runs and server is not master]

    async def failover(self) -> None:
        """Has a sentinel change the master over in good order, and returns at once; see `settled`."""
        await self.sentinels[0].command("SENTINEL", "FAILOVER", self.name)

    async def heal(self) -> None:
        """Starts what was killed, makes all servers follow today's master, and has the sentinels look anew: whole in about three seconds.

        Left alone, the sentinels would bring it about as well, in up to 20 seconds: they look at replicas every ten.
        """
        for sentinel in self.sentinels:
            if not sentinel.runs:
                await sentinel.start()
        master = await self.master()
        for server in self.servers:
            if not server.runs:
                await server.start()
            if server is not master:
                await server.command("REPLICAOF", "127.0.0.1", master.port)
        await until(self._replicas_follow, "both replicas follow the master")
        await until(self._no_failover, "no failover is under way")
        for sentinel in self.sentinels:
            await sentinel.command("SENTINEL", "RESET", self.name)
        await self.settled()

    async def settled(self, wait_s: float = 40.0) -> None:
        """Waits until every sentinel names the same master and sees two replicas of it that are well."""
        await until(self._is_settled, "the sentinels see one master and two good replicas", wait_s, pause_s=0.1)

    async def _start(self) -> None:
        for server in self.servers:
            await server.start()
        await until(self._replicas_follow, "both replicas follow the master")
        lines = [
            f"sentinel {line}" for line in (f"monitor {self.name} 127.0.0.1 {self.servers[0].port} 2", *self._timing)
        ]
        self.sentinels = tuple(
            RedisProcess(*lines, sentinel=True) for _ in range(3)
        )  # knows replicas from its first INFO
        for sentinel in self.sentinels:
            await sentinel.start()
        await self.settled()

    async def _replicas_follow(self) -> bool:
        master = await self.master() if self.sentinels else self.servers[0]
        said = await master.info("replication")
        return all("state=online" in said.get(f"slave{number}", "") for number in range(2))

    async def _no_failover(self) -> bool:
        masters = [_pairs(await sentinel.command("SENTINEL", "MASTER", self.name)) for sentinel in self.sentinels]
        return all("failover_in_progress" not in master["flags"] for master in masters)

    async def _is_settled(self) -> bool:
        named = [await self._named_by(sentinel) for sentinel in self.sentinels]
        if len(set(named)) > 1:
            return False
        for sentinel in self.sentinels:
            master = _pairs(await sentinel.command("SENTINEL", "MASTER", self.name))
            replicas = [_pairs(flat) for flat in await sentinel.command("SENTINEL", "REPLICAS", self.name)]
            well = [one for one in replicas if one["flags"] == "slave" and one["master-link-status"] == "ok"]
            follow = {int(one["port"]) for one in well if int(one["master-port"]) == named[0]}
            if master["flags"] != "master" or master["num-other-sentinels"] != "2" or len(follow) != 2:
                return False
        role = await self._at(named[0]).command("ROLE")
        return bool(role[0] == "master")

    async def _named_by(self, sentinel: RedisProcess) -> int:
        return int((await sentinel.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name))[1])

    def _at(self, port: int) -> RedisProcess:
        return next(server for server in self.servers if server.port == port)


class ClusterDeployment:
    """A cluster of three primaries, each with a third of the slots and one replica.

    Without `full_coverage` the other primaries serve on while one is away; it is the default of Redis that they do not.
    """

    def __init__(self, *, node_timeout_ms: int = 2000, full_coverage: bool = False) -> None:
        options: dict[str, str | int] = {
            "cluster_enabled": "yes", "cluster_require_full_coverage": "yes" if full_coverage else "no",
            "cluster_node_timeout": node_timeout_ms,
            "repl_diskless_sync_delay": 0, "repl_ping_replica_period": 1,
        }  # fmt: skip
        self.nodes = tuple(RedisProcess(config={**options, "cluster_port": free_port()}) for _ in range(6))

    async def __aenter__(self) -> Self:
        try:
            await self._create()
        except BaseException:
            self.remove()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.remove()

    @property
    def url(self) -> str:
        """The cluster as the gateway takes it; it names two nodes of six."""
        return f"redis+cluster://127.0.0.1:{self.nodes[0].port},127.0.0.1:{self.nodes[3].port}"

    def remove(self) -> None:
        """Kills everything and deletes all folders."""
        for node in self.nodes:
            node.remove()

    async def owner(self, slot: int) -> RedisProcess:
        """The primary of a slot, as the first node that runs says."""
        for first, last, primary, *_ in await self._asked().command("CLUSTER", "SLOTS"):
            if int(first) <= slot <= int(last):
                return self._at(int(primary[1]))
        raise AssertionError(f"nobody has slot {slot}")

    async def replica_of(self, primary: RedisProcess) -> RedisProcess:
        """The replica of a primary."""
        for _, _, first, *others in await self._asked().command("CLUSTER", "SLOTS"):
            if int(first[1]) == primary.port and others:
                return self._at(int(others[0][1]))
        raise AssertionError("it has no slots, or no replica")

    async def move_slot(self, slot: int, to: RedisProcess) -> None:
        """Moves an empty slot, or one whose keys were migrated: makes the new owner known everywhere."""
        owner, name = await self.owner(slot), await self.name_of(to)
        primaries = [node for node in self.nodes if node.runs and (await node.command("ROLE"))[0] == "master"]
        for node in (to, owner, *[node for node in primaries if node not in {to, owner}]):
            await node.command("CLUSTER", "SETSLOT", slot, "NODE", name)

    async def begin_migration(self, slot: int, to: RedisProcess) -> RedisProcess:
        """Marks a slot as on its way: from now on, ASK for keys that have gone, TRYAGAIN for some of each. Returns its owner."""
        owner = await self.owner(slot)
        await to.command("CLUSTER", "SETSLOT", slot, "IMPORTING", await self.name_of(owner))
        await owner.command("CLUSTER", "SETSLOT", slot, "MIGRATING", await self.name_of(to))
        return owner

    async def migrate_key(self, key: str, owner: RedisProcess, to: RedisProcess) -> None:
        """Moves one key of a slot that is on its way."""
        await owner.command("MIGRATE", "127.0.0.1", to.port, key, 0, 5000)

    async def name_of(self, node: RedisProcess) -> str:
        """The id of a node in the cluster."""
        return str(await node.command("CLUSTER", "MYID"))

    async def settled(self, wait_s: float = 60.0) -> None:
        """Waits until all six nodes run and agree on three primaries that have all slots, each with a replica that follows it."""
        await until(self._is_settled, "the cluster is whole", wait_s, pause_s=0.1)

    async def _create(self) -> None:
        for epoch, node in enumerate(self.nodes, 1):
            await node.start()
            await node.command("CLUSTER", "SET-CONFIG-EPOCH", epoch)
        for first, last, node in zip((0, 5461, 10923), (5460, 10922, SLOTS - 1), self.nodes[:3], strict=True):
            await node.command("CLUSTER", "ADDSLOTSRANGE", first, last)
        for node in self.nodes[1:]:
            bus = (await node.command("CONFIG", "GET", "cluster-port"))[1]
            await self.nodes[0].command("CLUSTER", "MEET", "127.0.0.1", node.port, bus)
        await until(self._all_know_all, "all nodes know all")
        for primary, replica in zip(self.nodes[:3], self.nodes[3:], strict=True):
            await replica.command("CLUSTER", "REPLICATE", await self.name_of(primary))
        await self.settled()

    async def _all_know_all(self) -> bool:
        return all([(await node.command("CLUSTER", "INFO")).count("cluster_known_nodes:6") for node in self.nodes])

    async def _is_settled(self) -> bool:
        seen = set()
        for node in self.nodes:
            if not node.runs or "cluster_state:ok" not in await node.command("CLUSTER", "INFO"):
                return False
            ranges = await node.command("CLUSTER", "SLOTS")
            seen.add(str(sorted((one[0], one[1], [int(server[1]) for server in one[2:]]) for one in ranges)))
            if sum(int(one[1]) - int(one[0]) + 1 for one in ranges) != SLOTS or not all(
                len(one) == 4 for one in ranges
            ):
                return False
            role = await node.command("ROLE")
            if role[0] == "slave" and role[3] != "connected":
                return False
        return len(seen) == 1

    def _asked(self) -> RedisProcess:
        return next(node for node in self.nodes if node.runs)

    def _at(self, port: int) -> RedisProcess:
        return next(node for node in self.nodes if node.port == port)


def _pairs(flat: list[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _killed_with(parent: int) -> Callable[[], None]:
    """What a child does before it becomes Redis: ask the kernel for SIGKILL when its parent ends (Linux only)."""
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except AttributeError:
        return lambda: None

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before we asked
            os._exit(1)

    return ask
