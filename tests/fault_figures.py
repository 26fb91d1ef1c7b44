"""Figures of faults that are repeated: how long no decision is made, how long legs are missing, what was lost, what is left at the end."""

import asyncio
import contextlib
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import fault_judge as judge
from fault_media import MediaServer
from fault_play import HARD, JOINS_PER_S, OPEN, POOLS, steady_legs
from fault_world import World, eventually


LEASE_S = 30.0
QUIESCE_S = 2 * LEASE_S + 5.0
"""Grace after the last fault, a sweep, and what a busy machine adds."""

NODES_KNOWN_S = 6.0
BEAT_S = 1.0
WATCHED_S = 6.0
STEADY_LEGS = 8


@dataclass(slots=True)
class Figures:
    """Of one kind of fault; times in seconds, one per repetition."""

    kind: str
    loses_all: bool = False
    gap_s: list[float] = field(default_factory=list)
    missing_s: list[float] = field(default_factory=list)
    acknowledged_and_lost: int = 0
    overshoot_of_hard_limit: int = 0
    false_reclaims: int = 0
    orphans_after_quiesce: int = 0
    missing_after_quiesce: int = 0
    peak_missing: int = 0
    admits: int = 0

    @property
    def lost(self) -> str:
        """Acknowledged admits that the store had to be told of again."""
        return "everything" if self.loses_all else str(self.acknowledged_and_lost)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    def row(self) -> str:
        """As a row of the table in docs/faults.md."""
        cells = [
            self.kind, str(len(self.gap_s)), _shown(self.gap_s), _shown(self.missing_s), self.lost,
            self.overshoot_of_hard_limit, self.false_reclaims, self.orphans_after_quiesce + self.missing_after_quiesce, self.peak_missing,
        ]  # fmt: skip
        return f"| {' | '.join(map(str, cells))} |"


HEAD = """\
| fault | times | no decision, s (median, worst) | live legs missing, s (median, worst) | acknowledged and lost | over a hard limit \
| false reclaims | differences after quiesce | peak missing |
|---|---|---|---|---|---|---|---|---|"""


def _shown(values: list[float]) -> str:
    return f"{statistics.median(values):.2f}, {max(values):.2f}" if values else "-"


async def repeat(
    kind: str,
    scene: World,
    fault: Callable[[], Awaitable[object]],
    heal: Callable[[], Awaitable[object]],
    ports: Callable[[], Awaitable[list[int]]],
    *,
    times: int,
    loses_all: bool = False,
) -> Figures:
    """The fault so many times under a steady load, healed each time; then quiet, until leases and grace are over."""
    found = Figures(kind, loses_all)
    await scene.install(*POOLS)
    servers = await scene.media_servers(3, beat_s=BEAT_S)
    await steady_legs(servers, legs=STEADY_LEGS)
    async with load(servers):
        await asyncio.sleep(NODES_KNOWN_S)
        for _ in range(times):
            began = time.monotonic()
            await fault()
            found.missing_s.append(round(await legs_are_known(scene, began), 3))
            await asyncio.sleep(max(0.0, began + WATCHED_S - time.monotonic()))
            gap_s = judge.longest_gap(scene.history, began, time.monotonic(), *scene.pools)
            found.gap_s.append(round(gap_s, 3))
            await heal()
            await asyncio.sleep(1.0)
    await _at_the_end(found, scene, await ports())
    return found


@contextlib.asynccontextmanager
async def load(servers: list[MediaServer]) -> Any:
    """Calls at a steady rate as long as the context lasts."""
    over = asyncio.Event()
    rate = JOINS_PER_S / len(servers)
    tasks = [
        asyncio.create_task(server.load_until(over, [pool.customer for pool in POOLS], rate)) for server in servers
    ]
    try:
        yield
    finally:
        over.set()
        await asyncio.gather(*tasks)


async def legs_are_known(scene: World, began: float) -> float:
    """How long (s) after the fault began the store knew every leg that had been live for all that time."""
    steady = scene.history.live(OPEN.customer)[OPEN.customer]

    async def known() -> bool:
        stored = await scene.stored(OPEN.customer)
        return not (steady & scene.history.live(OPEN.customer)[OPEN.customer]) - stored

    await eventually(known, "every live leg is known", 60.0)
    return time.monotonic() - began


async def _at_the_end(found: Figures, scene: World, ports: list[int]) -> None:
    history = scene.history
    await scene.ready()
    with contextlib.suppress(AssertionError):  # what differs then is counted below
        await scene.counts_agree(*scene.pools, wait_s=QUIESCE_S)
    for customer in scene.pools:
        stored, true = await scene.stored(customer), history.live(customer)[customer]
        found.orphans_after_quiesce += len(stored - true)
        found.missing_after_quiesce += len(true - stored)
    entries = await judge.outbox(*ports)
    found.acknowledged_and_lost = len(judge.lost_admits(history, entries))
    found.overshoot_of_hard_limit = judge.overshoot(history, HARD.customer, HARD.ceiling or 0)
    found.false_reclaims = len(judge.false_reclaims(entries, history))
    peak = await judge.stored_peak(scene.sites[0].gateway.admin_url, HARD.customer)
    found.peak_missing = max(0, judge.most_live(history.spans(HARD.customer)) - peak)
    found.admits = sum(1 for _ in history.decisions())
