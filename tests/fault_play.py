"""A play: media servers make calls while a fault happens, and what came of it is judged."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import fault_judge as judge
from fault_media import BEAT_S, MediaServer
from fault_truth import Call, between
from fault_world import Pool, World, measured
from support import verify_everything


HARD = Pool("hard", 12)
BOUNDED = Pool("bounded", 20, "bounded", committed=10)
OPEN = Pool("open", None, "admit", committed=5)
POOLS = (HARD, BOUNDED, OPEN)

JOINS_PER_S = 45.0
STEADY_LEGS = 4
BEFORE_S, AFTER_S = 1.0, 1.5
MOMENT_S = 0.1
"""What a fault takes to begin, and to be over."""


@dataclass(slots=True)
class Outcome:
    """What a play has shown. `began`, `ended`: of the fault."""

    world: World
    began: float = 0.0
    ended: float = 0.0
    entries: list[judge.Entry] = field(default_factory=list)

    @property
    def gap_s(self) -> float:
        """The longest time without a decision, from the fault until the end of the play (I10)."""
        return judge.longest_gap(self.world.history, self.began, self.finish)

    @property
    def finish(self) -> float:
        """When the last admit was answered."""
        return max(call.ended for call in self.world.history.calls("admit"))

    @property
    def meanwhile(self) -> list[Call]:
        """Admits that were asked and answered while the fault lasted, less a moment at both ends."""
        calls = between(self.world.history.calls("admit"), self.began, self.ended - MOMENT_S)
        return [call for call in calls if call.began >= self.began + MOMENT_S]

    def reasons(self, customer: str | None = None, *, meanwhile: bool = False) -> Counter[str]:
        """Answers to admits by reason."""
        calls = self.meanwhile if meanwhile else list(self.world.history.calls("admit"))
        return judge.reasons([call for call in calls if customer in {None, call.customer}])

    def beyond_bounds(self) -> dict[str, int]:
        """By how many legs a limit was passed, in truth, that were not let in without the store (I1, I11); only where it was.

        A customer whose policy is to refuse is let in by the store alone: its limit is exact.
        """
        found = {}
        for customer, by in self.overshoots().items():
            spans = self.world.history.spans(customer)
            beyond = by - judge.most_live([span for span in spans if span.degraded])
            if beyond > 0:
                found[customer] = beyond
        return found

    def overshoots(self) -> dict[str, int]:
        """By how many legs a limit was passed, in truth (I1); only where it was."""
        found = {
            pool.customer: judge.overshoot(self.world.history, pool.customer, pool.ceiling)
            for pool in self.world.pools.values()
            if pool.ceiling is not None
        }
        return {customer: by for customer, by in found.items() if by}


async def play(
    world: World,
    fault: Callable[[], Awaitable[object]],
    *,
    pools: Sequence[Pool] = POOLS,
    media: int = 3,
    beat_s: float = BEAT_S,
    before_s: float = BEFORE_S,
    after_s: float = AFTER_S,
    joins_per_s: float = JOINS_PER_S,
    steady: Pool = OPEN,
) -> Outcome:
    """Calls at a steady rate before, during and after a fault; returns when the calls of the load have ended. Some legs stay live."""
    await world.install(*pools)
    servers = await world.media_servers(media, beat_s=beat_s)
    if steady in pools:
        await steady_legs(servers, steady.customer, legs=STEADY_LEGS if steady.ceiling is None else 1)
    outcome = Outcome(world)
    over = asyncio.Event()
    loads = [
        asyncio.create_task(server.load_until(over, [pool.customer for pool in pools], joins_per_s / media))
        for server in servers
    ]
    try:
        await asyncio.sleep(before_s)
        outcome.began = time.monotonic()
        await fault()
        outcome.ended = time.monotonic()
        await asyncio.sleep(after_s)
    finally:
        over.set()
        await asyncio.gather(*loads)
    return outcome


async def steady_legs(servers: Sequence[MediaServer], customer: str = OPEN.customer, legs: int = STEADY_LEGS) -> None:
    """Legs that stay live as long as their media servers."""
    for server in servers:
        for _ in range(legs):
            _, answer = await server.join(customer)
            assert answer.decision == "admit", answer


async def judged(outcome: Outcome, url: str, *server_ports: int, wait_s: float = 5.0, ghosts: bool = False) -> Outcome:
    """The invariants that hold after every fault: I2, I3, I4, I8, I11, and the counters are what the legs say.

    `url`: of the store that is left; `server_ports`: its servers that have outboxes. `ghosts`: the store may still have legs whose release it
    has lost, and which go with their leases; no live leg may be missing.
    """
    world, history = outcome.world, outcome.world.history
    customers = list(world.pools)
    await world.ready()
    agree_s = await world.counts_agree(*customers, wait_s=wait_s, ghosts=ghosts)
    await verify_everything(url)
    outcome.entries = await judge.outbox(*server_ports)
    assert [] == judge.contradictions(history)
    assert [] == judge.unlabelled(history)
    assert [] == judge.false_reclaims(outcome.entries, history)
    assert [] == judge.double_effects(outcome.entries)
    stored = {name: len(await world.stored(name)) for name in customers}
    assert stored == {name: judge.balance(outcome.entries, name) for name in customers}
    live = sum([len(ids) for ids in history.live(*customers).values()])
    measured(
        gap_s=round(outcome.gap_s, 3), agree_s=round(agree_s, 3), overshoots=outcome.overshoots(),
        lost=len(judge.lost_admits(history, outcome.entries)), ghosts=sum(stored.values()) - live, reasons=outcome.reasons(meanwhile=True),
        slowest_s=round(max([call.ended - call.began for call in outcome.meanwhile], default=0.0), 3),
    )  # fmt: skip
    return outcome
