"""Media servers: they alone know who is connected. They ask, confirm, send heartbeats, release, crash and come back empty."""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

from simulated_gateway import Gateways, Unanswered
from simulated_world import EVENTS, HOSTS, METERED, PORTS, Leg, World

from gateway.domain.join import Endpoint, Join, Role, Service


HEARTBEAT_S = 10.0
CALLER_WAITS_S = 2.0
ATTEMPT_S = 0.7
PAGE_IDS = 3
"""So small that a heartbeat has several pages."""

CALLS = [
    {"customer": PORTS, "service": Service.MEETING, "meeting": "m1", "role": Role.HOST},
    {"customer": PORTS, "service": Service.MEETING, "meeting": "m2", "role": Role.HOST},
    {"customer": METERED, "service": Service.MEETING, "meeting": "m1", "role": Role.HOST},
    {"customer": HOSTS, "service": Service.MEETING, "meeting": "h1", "role": Role.HOST, "host": "alice@acme.example"},
    {"customer": HOSTS, "service": Service.MEETING, "meeting": "h2", "role": Role.HOST, "host": "alice@acme.example"},
    {"customer": EVENTS, "service": Service.EVENT, "meeting": "e1", "role": Role.ATTENDEE, "department": "finance"},
    {"customer": EVENTS, "service": Service.EVENT, "meeting": "e2", "role": Role.ATTENDEE, "department": "finance"},
]  # fmt: skip


class MediaServer:
    """One media server, over all its lives: a name that gateways know as a node."""

    def __init__(
        self, world: World, gateways: Gateways, node: str, *, pause_s: float, admits_alone: bool, trusts: bool
    ) -> None:
        self._world = world
        self._gateways = gateways
        self.node = node
        self._pause_s = pause_s
        self._admits_alone = admits_alone
        self._trusts = trusts
        """Takes a refusal for lack of the store as final: the gateway sees to it that nothing is left."""
        """Lets people in where no gateway answers."""
        self._chance = world.chance
        self._lives = 0
        self._numbers = itertools.count(1)
        self._gateway = 0
        self.legs: dict[str, Leg] = {}
        self.is_reachable = True
        self.is_up = False
        self.is_leaving = False

    @property
    def process(self) -> str:
        """Name of the running process."""
        return f"{self.node}/{self._lives}"

    def start(self) -> None:
        """Begins a life, with nobody connected."""
        self._lives += 1
        self.is_up = True
        self._spawn(self._take_calls())
        self._spawn(self._send_heartbeats())

    def crash(self) -> None:
        """Everybody connected is cut off, and nobody tells the gateways."""
        self.is_up = False
        self._world.loop.kill(self.process)
        for leg in list(self.legs.values()):
            if leg.is_live:
                self._world.end(leg)
        self.legs.clear()

    async def leave(self) -> None:
        """All calls are ended at once, and the gateways are told that the node has left; then it is gone."""
        self.is_leaving = True
        for leg in list(self.legs.values()):
            if leg.join.node and leg.is_live:
                self._world.end(leg)
                del self.legs[leg.join.connection]
        while True:
            try:
                if await self._ask(CALLER_WAITS_S, "leave", self.node) == "done":
                    break
            except Unanswered:
                pass
            await asyncio.sleep(0.5)
        self._world.happened("node left")
        self.is_leaving = False

    def _spawn(self, coroutine: Any) -> None:
        self._world.loop.spawn(self.process, coroutine)

    async def _take_calls(self) -> None:
        while not self._world.is_quiet:
            await asyncio.sleep(self._chance.expovariate(1 / self._pause_s))
            if not (self._world.is_quiet or self.is_leaving):
                self.take_call()

    def take_call(self) -> None:
        """Somebody calls."""
        self._spawn(self._call(self._drawn()))

    def _drawn(self) -> Leg:
        fields: dict[str, Any] = self._chance.choice(CALLS)
        connection = f"{self.node}.{self._lives}-{next(self._numbers)}"
        node = None if self._chance.random() < self._world.without_node else self.node
        join = Join(connection=connection, endpoint=Endpoint.WEB, node=node, **fields)
        leg = Leg(join, self.node, self._world.loop.time())
        self._world.legs[join.customer, connection] = leg
        return leg

    async def _call(self, leg: Leg) -> None:
        """One call, from the first ring to its end."""
        answer = await self._asked_about(leg)
        if answer == "unknown" and self._admits_alone:
            self._world.happened("let in by the media server alone")
            answer = "alone"
        if answer not in {"admitted", "degraded", "alone"}:
            if leg.is_unheard:
                await self._give_back(leg)  # it may have been admitted, or still be, by the gateway that did not answer
            return
        leg.acknowledged = answer == "admitted"
        if answer != "admitted":
            leg.bypassed = answer
        self.legs[leg.join.connection] = leg
        self._world.begin(leg)
        await asyncio.sleep(self._chance.uniform(0.0, 2.0))
        if not leg.join.node:
            await asyncio.sleep(self._chance.expovariate(1 / 10))
        elif self._chance.random() < 0.9:  # some hang up while it rings
            await self._confirm(leg)
            await asyncio.sleep(self._chance.expovariate(1 / 25))
        if leg.is_live:
            self._world.end(leg)
            del self.legs[leg.join.connection]
            await self._give_back(leg)

    async def _asked_about(self, leg: Leg) -> str:
        """The decision, or `unknown` where nobody gave one in time."""
        loop = self._world.loop
        until = loop.time() + CALLER_WAITS_S
        while (left := until - loop.time()) > 0.05:
            sent = loop.time()
            try:
                answer: str = await self._ask(min(left, ATTEMPT_S), "admit", leg.join, left)
            except Unanswered:
                leg.is_unheard = True
                continue
            if answer == "unavailable":
                leg.is_unheard = leg.is_unheard or not self._trusts
                await asyncio.sleep(self._chance.uniform(0.05, 0.2))
                continue
            if answer == "admitted":
                leg.heard_s = sent
            return answer
        return "unknown"

    async def _confirm(self, leg: Leg) -> None:
        for _ in range(4):
            sent = self._world.loop.time()
            try:
                answer = await self._ask(ATTEMPT_S, "confirm", leg.join)
            except Unanswered:
                answer = "unavailable"
            if answer in {"confirmed", "adopted"}:
                leg.heard_s = max(leg.heard_s, sent)
                return
            if answer == "drop":
                self._drop(leg)
            if answer != "unavailable" or not leg.is_live:
                return
            await asyncio.sleep(self._chance.uniform(0.1, 0.5))

    async def _give_back(self, leg: Leg) -> None:
        """Releases, and tries again for a while; what stays behind ends with its lease."""
        for attempt in range(5 if leg.join.node else 100):  # the lease of what has no node is long
            try:
                answer = await self._ask(
                    ATTEMPT_S, "release", leg.join.customer, leg.join.connection, leg.join.node or ""
                )
            except Unanswered:
                answer = "unavailable"
            if answer != "unavailable":
                leg.given_back_s = self._world.loop.time()
                return
            await asyncio.sleep(0.2 * 2 ** min(attempt, 5))

    async def _send_heartbeats(self) -> None:
        await asyncio.sleep(self._chance.uniform(0.0, HEARTBEAT_S))
        while True:
            next_s = self._world.loop.time() + HEARTBEAT_S
            done = await self._send_heartbeat()
            pause = next_s - self._world.loop.time() if done else self._chance.uniform(0.5, 1.0)
            await asyncio.sleep(max(pause, 0.5))

    async def _send_heartbeat(self) -> bool:
        """All pages of one heartbeat; False where one was not answered."""
        listed = [leg for leg in self.legs.values() if leg.join.node]
        pages = [listed[at : at + PAGE_IDS] for at in range(0, len(listed), PAGE_IDS)] or [[]]
        for number, page in enumerate(pages, 1):
            if not await self._send_page(page, number, len(pages)):
                return False
        return True

    async def _send_page(self, page: Sequence[Leg], number: int, pages: int) -> bool:
        connections: dict[str, list[str]] = {}
        for leg in page:
            connections.setdefault(leg.join.customer, []).append(leg.join.connection)
        sent = self._world.loop.time()
        try:
            answer = await self._ask(CALLER_WAITS_S, "heartbeat", self.node, connections, number, pages)
        except Unanswered:
            return False
        if answer == "unavailable":
            return False
        unknown, drop = answer
        for leg in page:
            if leg.join.connection in unknown.get(leg.join.customer, ()):
                self._world.happened("unknown to the store")
                if leg.is_live:
                    self._spawn(self._confirm(leg))
            elif leg.join.connection in drop.get(leg.join.customer, ()):
                self._drop(leg)
            elif leg.given_back_s is None:
                leg.heard_s = max(leg.heard_s, sent)
        return True

    def _drop(self, leg: Leg) -> None:
        """An operator has ended it."""
        if leg.is_live:
            self._world.happened("dropped")
            self._world.end(leg)
            self.legs.pop(leg.join.connection, None)

    async def _ask(self, wait_s: float, operation: str, *what: Any) -> Any:
        """One request to the gateway that answered last; the next one takes over where it does not. Raises Unanswered."""
        try:
            return await self._gateways.ask(self, self._gateway, operation, what, wait_s)
        except Unanswered:
            self._gateway += 1
            raise
