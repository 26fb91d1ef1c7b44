"""A master that replicas and sentinels lose while gateways still reach it: a partition, without the privileges that a real one needs.

Each server is known by the port of a proxy in front of it. The proxy tells by what is said first who calls, and falls silent to replicas and
sentinels alone.
"""

from collections.abc import Mapping
from typing import Any, Self

from fault_proxy import BLACK_HOLE, CALM, ChaosProxy
from redis_processes import RedisProcess, SentinelDeployment, free_port


OF_PEERS = (b"REPLCONF", b"PSYNC", b"sentinel-")
OPTIONS: dict[str, str | int] = {
    "repl_diskless_sync_delay": 0, "repl_ping_replica_period": 1, "min_replicas_to_write": 1, "min_replicas_max_lag": 2,
}  # fmt: skip


def is_peer(opening: bytes) -> bool:
    """Whether a replica or a sentinel says that."""
    return any(word in opening for word in OF_PEERS)


class Hidden(RedisProcess):
    """A server that is known by the port of its proxy, and listens on another one."""

    def __init__(self, config: Mapping[str, str | int]) -> None:
        super().__init__(config=config)
        listens = free_port()
        lines = [f"port {listens}", f"replica-announce-port {self.port}", "replica-announce-ip 127.0.0.1"]
        path = self.folder / "redis.conf"
        path.write_text("\n".join([path.read_text(), *lines, ""]), encoding="utf-8")
        self.way = ChaosProxy(f"127.0.0.1:{listens}", applies=is_peer)
        self.way.port = self.port

    async def command(self, *parts: str | bytes | int, timeout_s: float = 5.0) -> Any:
        """Its answer. A proxy of a server that is away resets the connection, which uvloop may tell by a RuntimeError."""
        try:
            return await super().command(*parts, timeout_s=timeout_s)
        except RuntimeError as error:
            raise ConnectionResetError(str(error)) from None


class Isolable(SentinelDeployment):
    """A deployment whose servers can be isolated; a master without a fresh replica refuses writes."""

    def __init__(self) -> None:
        super().__init__()
        self.remove()  # its own servers have not been started, but have folders
        master = Hidden(OPTIONS)
        self.hidden = (master, *[Hidden({"replicaof": f"127.0.0.1 {master.port}", **OPTIONS}) for _ in range(2)])
        self.servers = self.hidden

    async def __aenter__(self) -> Self:
        """Starts everything."""
        for server in self.hidden:
            await server.way.__aenter__()
        try:
            return await super().__aenter__()
        except BaseException:
            await self._close_ways()
            raise

    async def __aexit__(self, *_: object) -> None:
        """Kills everything."""
        self.remove()
        await self._close_ways()

    async def isolate(self, server: RedisProcess) -> None:
        """Its replicas and the sentinels hear nothing of it any more."""
        self._way(server).weather = BLACK_HOLE

    async def rejoin(self, server: RedisProcess) -> None:
        """They find it again."""
        self._way(server).weather = CALM

    def _way(self, server: RedisProcess) -> ChaosProxy:
        return next(each.way for each in self.hidden if each is server)

    async def _close_ways(self) -> None:
        for server in self.hidden:
            await server.way.__aexit__()
