"""One simulation from its seed: gateways, a store and media servers in one process on virtual time, and a judge."""

import asyncio
import collections
import random
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import simulated_time
from simulated_faults import Breaker
from simulated_gateway import Gateways
from simulated_judge import ATTENDEES_MAX, MEETING_MAX, Judge
from simulated_media import MediaServer
from simulated_store import TO_MIDNIGHT_MS, Deployment
from simulated_time import VirtualLoop
from simulated_world import EVENTS, HOSTS, METERED, PORTS, World
from support import events, named_hosts, ports

from gateway.domain.catalogue import Customer, parse_customer
from gateway.domain.changes import Change, replaced
from gateway.nodes import sweeper


STARTED_S = 0.5
TRAFFIC_S = 70.0
"""Calls come, and things break."""

QUIET_S = 115.0
"""Nobody joins any more, and the counts become true within: a lease, late copies (20 s), a lease of grace, and sweeps."""

AGREED_S, LOOK_S = 25.0, 2.5

BUCKETS_USED = 2
"""The customers of a simulation live in the first buckets of the store; the others are empty, and are not swept."""

CEILINGS = {PORTS: 6, METERED: 5}


@dataclass
class Result:
    """What a seed has shown."""

    seed: int
    trace_hash: str
    faults: list[str]
    last_events: str
    sometimes: collections.Counter[str] = field(default_factory=collections.Counter)


def customer_of(name: str, ceiling: int = 0) -> Customer:
    """What a customer of the simulation holds."""
    held: dict[str, Any] = {
        PORTS: lambda: ports(ceiling),
        METERED: lambda: ports(2, enforcement="metered", ceiling=ceiling),
        HOSTS: lambda: named_hosts("alice", max_endpoints=MEETING_MAX),
        EVENTS: lambda: events(ATTENDEES_MAX, attendees_enforcement="hard"),
    }[name]()
    failure = {METERED: "bounded", EVENTS: "admit"}.get(name, "deny")
    return parse_customer({
        "id": name, "name": name.title(), "domains": ["acme.example"], "store_failure": failure, "subscriptions": [held],
    })  # fmt: skip


def _change(name: str, ceiling: int) -> Change:
    return replaced(customer_of(name, ceiling), None)


def play(seed: int) -> Result:
    """Plays a seed to its end. The same seed gives the same trace, on any machine."""
    with patch.object(sweeper, "BUCKETS", BUCKETS_USED):
        return simulated_time.run(lambda loop: _Simulation(loop, seed).play(), seed)


class _Simulation:
    def __init__(self, loop: VirtualLoop, seed: int) -> None:
        self._chance = random.Random(f"plan {seed}")
        self._world = World(loop, seed)
        self._mood = self._chance.choice(["calm", "rough", "rough", "strict", "strict", "stormy", "stormy", "stormy"])
        network = random.Random(f"network {seed}")
        to_midnight_ms = TO_MIDNIGHT_MS - self._chance.uniform(5_000, 70_000)
        offset_ms = self._chance.choice([0.0, 0.0, 0.0, 0.0, to_midnight_ms])
        self._world.happened("midnight", int(offset_ms > 0))
        self._deployment = Deployment(loop, network, self._world.trace, offset_ms)
        catalogue = [customer_of(name, CEILINGS.get(name, 0)) for name in (PORTS, METERED, HOSTS, EVENTS)]
        number = 1 if self._mood == "strict" else self._chance.choice([1, 2, 2, 3])
        self._gateways = Gateways(self._world, self._deployment, number, catalogue)
        self._media = [
            MediaServer(
                self._world, self._gateways, f"media-{number}",
                pause_s=self._chance.uniform(1.0, 3.0), admits_alone=self._mood == "stormy" and self._chance.random() < 0.3,
                trusts=self._chance.random() < 0.5,
            )
            for number in range(self._chance.randrange(2, 5))
        ]  # fmt: skip
        if self._mood in {"calm", "rough"}:
            self._world.without_node = self._chance.choice([0.0, 0.4])
        self._judge = Judge(self._world, self._deployment, self._gateways)
        loop.set_exception_handler(lambda _, context: self._world.fault(f"{context}"))

    async def play(self) -> Result:
        """Traffic and faults, then quiet, then the judgement."""
        world = self._world
        world.happened(f"mood {self._mood}")
        self._gateways.duplicates = self._chance.choice([0.0, 0.05, 0.2])
        for place in range(len(self._gateways.running)):
            self._gateways.start(place)
        await asyncio.sleep(STARTED_S)
        for media in self._media:
            media.start()
        self._judge.is_calm, self._judge.is_strict = self._mood == "calm", self._mood == "strict"
        number = 0 if self._mood == "calm" else self._chance.randrange(2, 7)
        breaker = Breaker(world, self._deployment, self._gateways, self._media, self._judge, _change)
        await breaker.run(number, TRAFFIC_S - 10.0, self._mood)
        await asyncio.sleep(max(TRAFFIC_S - world.loop.time(), 0.0))
        world.is_quiet = True
        await self._quiet()
        running = [each for each in self._gateways.running if each is not None]
        for gateway in running:
            await world.loop.spawn(gateway.name, self._judge.probe(gateway))
        await world.loop.spawn(running[0].name, self._judge.judge(running[0]))
        return Result(world.seed, world.trace_hash, world.faults, world.last_events(), world.sometimes)

    async def _quiet(self) -> None:
        """Until what is counted is what is true, and was so for a while."""
        until, agreed_s = self._world.loop.time() + QUIET_S, 0.0
        while self._world.loop.time() < until and agreed_s < AGREED_S:
            await asyncio.sleep(LOOK_S)
            agreed_s = agreed_s + LOOK_S if self._judge.agrees() else 0.0
