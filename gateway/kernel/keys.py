"""Every key of the store. `lua/README.md` says what is in each, what bounds it and when it goes.

All keys of a customer share one hash slot with the keys of its bucket, so that one script may use them all (Redis Cluster).
"""

import functools
import zlib


BUCKETS = 64

BUCKET_KEYS = ("meta", "outbox", "customers")
NODE_KEYS = ("nodes", "gateways")
CUSTOMER_KEYS = ("groups", "legs", "leases", "tombstones", "days", "past", "entitlements")


def bucket_of(customer: str) -> int:
    """The bucket of a customer; fixed for ever, because its data lies there."""
    return zlib.crc32(customer.encode()) % BUCKETS


def bucket_key(name: str, bucket: int) -> str:
    """A key that the customers of a bucket share."""
    assert name in BUCKET_KEYS
    return f"gateway:{{b{bucket:02d}}}:{name}"


def bucket_keys(names: tuple[str, ...], bucket: int) -> tuple[bytes, ...]:
    """The keys with these names, in this order, for one bucket."""
    return tuple([bucket_key(name, bucket).encode() for name in names])


def node_key(name: str) -> str:
    """A key about all nodes, or all gateways; in a slot of its own."""
    assert name in NODE_KEYS
    return f"gateway:{{nodes}}:{name}"


@functools.lru_cache(maxsize=65536)
def keys_of(customer: str, names: tuple[str, ...]) -> tuple[bytes, ...]:
    """The keys with these names, in this order, for one customer."""
    bucket = bucket_of(customer)
    return tuple(
        [
            (
                bucket_key(name, bucket) if name in BUCKET_KEYS else f"gateway:{{b{bucket:02d}}}:{customer}:{name}"
            ).encode()
            for name in names
        ]
    )
