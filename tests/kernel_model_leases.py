"""Leases in the model: how long a leg lives without being heard of, and which legs may be reclaimed."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from kernel_model_world import Leg

from gateway.domain.join import Join


NODE_MS, LONG_MS = 30_000, 12 * 3_600_000
FEW = 20
AT_ONCE = 50
"""Legs that a join reclaims at most when it finds a limit full."""

NO_LIMIT = frozenset({
    "customer_suspended", "service_not_licensed", "subscription_inactive", "feature_not_licensed", "feature_not_included",
    "access_not_licensed", "access_ended", "number_blocked", "endpoint_not_supported", "host_not_licensed", "department_not_licensed",
    "host_suspended", "room_not_licensed", "room_cannot_host",
})  # fmt: skip
"""Reasons that follow from what is held alone, whoever is there."""


def admitted_lease_ms(join: Join) -> int:
    """From the admission on."""
    if join.lease_s is not None:
        return join.lease_s * 1000
    return NODE_MS if join.node else LONG_MS


def confirmed_lease_ms(join: Join) -> int:
    """From the confirmation on."""
    if join.node:
        return NODE_MS
    return join.lease_s * 1000 if join.lease_s else LONG_MS


def admitted(leg: Leg, now_ms: int) -> Leg:
    """A leg that has just been let in."""
    lease_ms = admitted_lease_ms(leg.join)
    return replace(leg, node=leg.join.node or "", admitted_ms=now_ms, lease_ms=lease_ms, lease_end_ms=now_ms + lease_ms)


def adopted(leg: Leg, now_ms: int) -> Leg:
    """A leg that was there already."""
    lease_ms = confirmed_lease_ms(leg.join)
    return replace(leg, node=leg.join.node or "", admitted_ms=now_ms, lease_ms=lease_ms, lease_end_ms=now_ms + lease_ms)


def moved(leg: Leg, before: Leg) -> Leg:
    """A leg that is somewhere else now: its lease stays, and its node where no other one is said."""
    kept = {name: getattr(before, name) for name in ("admitted_ms", "lease_ms", "lease_end_ms")}
    return replace(leg, node=leg.join.node or before.node, **kept)


def asked_again(leg: Leg, now_ms: int) -> Leg:
    """A retry of the admission is a sign of life of a leg that no node keeps alive yet."""
    if leg.connected and leg.node:
        return leg
    return replace(leg, lease_end_ms=max(leg.lease_end_ms, max(now_ms, leg.admitted_ms + 1) + leg.lease_ms))


def confirmed(leg: Leg, join: Join, now_ms: int) -> Leg:
    """The leg is connected, and belongs to the node that says so."""
    node, lease_ms = join.node or leg.node, confirmed_lease_ms(join)
    if leg.node and not join.node:
        lease_ms = NODE_MS
    return replace(leg, connected=True, node=node, lease_ms=lease_ms, lease_end_ms=now_ms + lease_ms)


def listed(leg: Leg, now_ms: int) -> Leg:
    """A node says that it has the leg."""
    return replace(leg, lease_end_ms=max(leg.lease_end_ms, now_ms + NODE_MS))


def alive_ms(leg: Leg, now_ms: int) -> int:
    """The last sign of life of a leg that has lapsed."""
    return max(min(leg.lease_end_ms - leg.lease_ms, now_ms), leg.admitted_ms)


@dataclass
class Lapses:
    """What may be reclaimed. `held_ms`: until when more than half of all legs wait."""

    held_ms: int | None = None

    def found(self, legs: Iterable[Leg], now_ms: int) -> list[Leg]:
        """Legs that have lapsed and may be reclaimed, in the order in which they are."""
        everyone = list(legs)
        lapsed = [leg for leg in everyone if leg.lease_end_ms <= now_ms]
        if len(lapsed) > FEW and 2 * len(lapsed) > len(everyone):
            if self.held_ms is None:
                self.held_ms = now_ms + NODE_MS
            if now_ms < self.held_ms:
                return []
        else:
            self.held_ms = None
        return sorted(lapsed, key=lambda leg: (leg.lease_end_ms, leg.join.connection))
