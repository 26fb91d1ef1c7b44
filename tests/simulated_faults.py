"""What goes wrong in a simulation. Each fault lasts as long as its coroutine; when all are over, everything is whole again."""

import asyncio
import math
import random
from collections.abc import Callable, Coroutine
from typing import Any

from simulated_gateway import GatewayProcess, Gateways
from simulated_judge import Judge
from simulated_media import MediaServer
from simulated_store import Connection, Deployment
from simulated_world import METERED, PORTS, World

from gateway.domain.changes import Change


class Breaker:
    """Breaks one simulation."""

    def __init__(
        self,
        world: World,
        deployment: Deployment,
        gateways: Gateways,
        media: list[MediaServer],
        judge: Judge,
        change: Callable[[str, int], Change],
    ) -> None:
        self._world = world
        self._deployment = deployment
        self._gateways = gateways
        self._media = media
        self._judge = judge
        self._change = change
        self._chance = random.Random(f"faults {world.seed}")

    async def run(self, number: int, until_s: float, mood: str) -> None:
        """So many faults at random times; comes back when all are over."""
        kinds = KINDS[mood]
        plan = sorted([(self._chance.uniform(5.0, until_s), at) for at in range(number)])
        under_way: list[asyncio.Task[None]] = []
        for at_s, _ in plan:
            await asyncio.sleep(max(at_s - self._world.loop.time(), 0.0))
            kind = self._chance.choice(kinds)
            self._world.trace("fault", kind.__name__)
            self._world.happened(f"fault {kind.__name__}")
            under_way.append(asyncio.create_task(kind(self)))
            await self._calls_come()
        await asyncio.gather(*under_way)

    async def _calls_come(self) -> None:
        """Some calls meet the fault at its beginning."""
        for _ in range(self._chance.randrange(4)):
            media = self._chance.choice(self._media)
            if media.is_up and not media.is_leaving:
                media.take_call()
            await asyncio.sleep(self._chance.uniform(0.0, 0.1))

    def _links(self) -> tuple[Connection, ...]:
        """The connections of one gateway."""
        gateway = self._gateway()
        return tuple(gateway.links) if gateway else ()

    async def cut(self) -> None:
        """A connection to the store is reset, some times."""
        for _ in range(self._chance.randrange(1, 5)):
            for link in self._links():
                link.cut("reset")
            await asyncio.sleep(self._chance.uniform(0.0, 0.3))

    async def slow(self) -> None:
        """The way to the store is slow, so that deadlines pass."""
        links = self._links()
        for link in links:
            link.slow_s = self._chance.uniform(0.05, 0.4)
        await asyncio.sleep(self._chance.uniform(0.5, 4.0))
        for link in links:
            link.slow_s = 0.0

    async def hold_requests(self) -> None:
        """Calls do not arrive, and come late."""
        links = self._links()
        for link in links:
            link.holds_requests = True
        await asyncio.sleep(self._chance.uniform(0.1, 6.0))
        for link in links:
            link.let_through()

    async def hold_answers(self) -> None:
        """Calls are executed, and nobody hears of it."""
        links = self._links()
        for link in links:
            link.holds_answers = True
        await asyncio.sleep(self._chance.uniform(0.1, 6.0))
        for link in links:
            link.let_through()

    async def pause_store(self) -> None:
        """The store stands still; what came is done late."""
        server = self._deployment.master
        if server.is_paused:
            return
        server.pause()
        await asyncio.sleep(self._chance.choice([0.1, 0.4, 3.0, 12.0, 35.0]))
        server.resume()

    async def restart_store(self) -> None:
        """The store is away for a moment, and comes back as another server with all that it had."""
        if not self._deployment.master.is_paused:
            down_s = self._chance.uniform(0.1, 3.0)
            self._deployment.restart(down_s=down_s)
            await asyncio.sleep(down_s)

    async def switch_store(self) -> None:
        """A failover that loses nothing, to a clock that is another one."""
        self._fail_over()
        self._world.happened("failover")

    async def pause_gateway(self) -> None:
        """A gateway stands still."""
        gateway = self._gateway()
        if gateway:
            self._world.loop.pause(gateway.name)
            await asyncio.sleep(self._chance.uniform(0.2, 9.0))
            self._world.loop.resume(gateway.name)

    async def crash_gateway(self) -> None:
        """A gateway ends, and comes back with its disk."""
        await self._crash_gateway(disk_lost=False)

    async def crash_media(self) -> None:
        """A media server ends with all its legs, and comes back with none."""
        media = self._chance.choice(self._media)
        if media.is_up and not media.is_leaving and not self._world.without_node:
            media.crash()
            await asyncio.sleep(self._chance.uniform(0.5, 20.0))
            media.start()

    async def retire_media(self) -> None:
        """A media server leaves in good order, and comes back."""
        media = self._chance.choice(self._media)
        if media.is_up and not media.is_leaving:
            await self._world.loop.spawn(media.process, media.leave())

    async def end_leg(self) -> None:
        """An operator ends a leg; its media server hears of it with its next heartbeat."""
        live = [leg for legs in self._world.live.values() for leg in legs.values() if leg.join.node]
        gateway = self._gateway()
        if live and gateway is not None:
            leg = self._chance.choice(live)
            self._judge.ended_by_operator(leg)
            work = gateway.end(leg.join.customer, leg.join.connection)
            await asyncio.wait([self._world.loop.spawn(gateway.name, work)], timeout=2.0)

    async def change_ceiling(self) -> None:
        """An operator changes what a customer holds, also to less than there is."""
        customer = self._chance.choice([PORTS, METERED])
        ceiling = self._chance.randrange(3, 9)
        gateway = self._gateway()
        if gateway is not None:
            work = gateway.change(customer, self._change(customer, ceiling))
            task = self._world.loop.spawn(gateway.name, work)
            task.add_done_callback(
                lambda done: self._judge.acknowledged(customer, done.result()), context=self._deployment.network
            )
            await asyncio.wait([task], timeout=2.0)

    async def lose_writes(self) -> None:
        """A failover to a replica that was behind."""
        if self._deployment.is_copied:
            return
        self._deployment.copy()
        await asyncio.sleep(self._chance.choice([0.02, 0.2, 1.0, 2.0]))
        self._world.happened("writes lost", self._fail_over())
        self._world.happened("failover")
        self._judge.loses = True

    async def empty_store(self) -> None:
        """The store comes back with nothing."""
        if self._deployment.master.is_paused:
            return
        before, down_s = self._deployment.master.keyspace.data, self._chance.uniform(0.1, 3.0)
        self._deployment.restart(empty=True, down_s=down_s)
        self._judge.lost(before, {})
        self._judge.loses = True
        await asyncio.sleep(down_s)

    async def split_store(self) -> None:
        """A gateway goes on with the old master for a while."""
        if self._deployment.is_copied:
            return
        self._deployment.copy()
        await asyncio.sleep(self._chance.choice([0.02, 0.5]))
        links = self._links()
        self._fail_over(links)
        self._judge.loses = True
        await asyncio.sleep(self._chance.uniform(0.3, 3.0))
        for link in links:
            link.cut("the sentinels say that it is no master")

    async def crash_gateway_and_disk(self) -> None:
        """A gateway ends, and comes back with nothing."""
        self._judge.loses = self._judge.forgets = True
        await self._crash_gateway(disk_lost=True)

    async def part_media(self) -> None:
        """A media server cannot reach the gateways, and its calls go on."""
        media = self._chance.choice(self._media)
        media.is_reachable, self._judge.parted_s[media.node] = False, math.inf
        await asyncio.sleep(self._chance.choice([3.0, 20.0, 45.0, 75.0]))
        media.is_reachable = True
        self._judge.parted_s[media.node] = self._world.loop.time()

    def _gateway(self) -> GatewayProcess | None:
        """One that runs."""
        running = [gateway for gateway in self._gateways.running if gateway is not None]
        return self._chance.choice(running) if running else None

    def _fail_over(self, old_serves: tuple[Connection, ...] = ()) -> int:
        before = self._deployment.master.keyspace
        data = before.copy_data()
        jump_ms = self._chance.choice([0.0, 0.0, -5000.0, -300.0, 300.0, 5000.0])
        lost = self._deployment.fail_over(jump_ms, old_serves=old_serves)
        self._judge.lost(data, self._deployment.master.keyspace.data)
        return lost

    async def _crash_gateway(self, *, disk_lost: bool) -> None:
        place = self._chance.randrange(len(self._gateways.running))
        if self._gateways.running[place] is None:
            return
        self._gateways.kill(place, disk_lost=disk_lost)
        await asyncio.sleep(self._chance.uniform(0.3, 6.0))
        self._gateways.start(place)


Kind = Callable[[Breaker], Coroutine[Any, Any, None]]

HARMLESS: tuple[Kind, ...] = (
    Breaker.cut, Breaker.slow, Breaker.hold_requests, Breaker.hold_answers, Breaker.pause_store, Breaker.restart_store,
    Breaker.switch_store, Breaker.pause_gateway, Breaker.crash_gateway, Breaker.crash_media, Breaker.change_ceiling,
    Breaker.retire_media, Breaker.end_leg,
)  # fmt: skip
"""Faults that lose nothing of what was acknowledged."""

STRICT: tuple[Kind, ...] = (
    Breaker.lose_writes, Breaker.lose_writes, Breaker.empty_store, Breaker.cut, Breaker.slow, Breaker.hold_requests,
    Breaker.hold_answers, Breaker.restart_store, Breaker.pause_gateway, Breaker.crash_gateway, Breaker.change_ceiling,
)  # fmt: skip
"""The store loses what was acknowledged, and nothing keeps the gateway from knowing, or nodes from bringing it back within a lease."""

LOSING: tuple[Kind, ...] = (
    Breaker.lose_writes, Breaker.lose_writes, Breaker.empty_store, Breaker.split_store, Breaker.crash_gateway_and_disk,
    Breaker.part_media,
)  # fmt: skip

KINDS = {"calm": (), "rough": HARMLESS, "strict": STRICT, "stormy": (*HARMLESS, *LOSING)}
"""What may go wrong, by the mood of a seed."""
