"""Which primary of a cluster has which slots, as one of its nodes says."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from gateway.kernel.errors import StoreError
from gateway.kernel.handshake import Address


SLOTS = REDIS_CLUSTER_HASH_SLOTS


class SlotMap(NamedTuple):
    """Ranges of slots (first, last, primary), all nodes that serve them, and how far it is to be believed: the greatest `rank` is."""

    ranges: tuple[tuple[int, int, Address], ...]
    addresses: frozenset[Address]
    rank: tuple[bool, int, int]
    """Whether the node thinks the cluster is well; the cluster's epoch, which grows with each failover; how many slots are served."""

    @property
    def primaries(self) -> frozenset[Address]:
        """The nodes that calls go to."""
        return frozenset(primary for _, _, primary in self.ranges)


def slot_of(key: str | bytes) -> int:
    """The slot of a key."""
    return int(key_slot(key if isinstance(key, bytes) else key.encode()))


def read_map(info: bytes, slots: list[Any], asked: Address) -> SlotMap:
    """The answers of one node to CLUSTER INFO and CLUSTER SLOTS. Raises StoreError where it knows of no slots."""
    said = dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)
    ranges, addresses = [], set()
    for first, last, *servers in slots:
        named = list(_addresses(servers, asked))
        addresses.update(named)
        if named:
            ranges.append((int(first), int(last), named[0]))
    if not ranges:
        raise StoreError("a node of the cluster knows of no slots")
    count = sum(last - first + 1 for first, last, _ in ranges)
    rank = (said.get("cluster_state") == "ok", int(said.get("cluster_current_epoch", 0)), count)
    return SlotMap(tuple(ranges), frozenset(addresses), rank)


def read_redirection(message: str, asked: Address) -> Address:
    """The node that `MOVED slot host:port` or `ASK slot host:port` names; without a host, it is on the host that was asked."""
    host, _, port = message.split(" ")[2].rpartition(":")
    return Address(host or asked.host, int(port))


def _addresses(servers: list[Any], asked: Address) -> Iterator[Address]:
    """The primary first. A node that does not know its own host gives none; `?` says that the operator hides it."""
    for host, port, *_ in servers:
        name = (host or b"").decode()
        if name != "?":
            yield Address(name or asked.host, int(port))
