"""Legs as they are stored: MessagePack arrays, beside tombstones and a sentinel. `lua/include/legs.lua` is the other side."""

from collections.abc import Iterable

import msgspec

from gateway.kernel.outcomes import Leg


def read_legs(pairs: Iterable[tuple[bytes, bytes]]) -> Iterable[Leg]:
    """The legs among the fields of a `legs` hash."""
    for connection, packed in pairs:
        if not packed or packed.startswith(b"-"):
            continue
        admitted, connected, lease, node, fingerprint, groups, overage, would_deny, info, adopted, _ = (
            msgspec.msgpack.decode(packed)
        )
        yield Leg(
            connection.decode(), admitted, connected or None, lease, node, tuple(groups or ()), bool(overage), would_deny,
            info.encode(), fingerprint, adopted=bool(adopted),
        )  # fmt: skip
