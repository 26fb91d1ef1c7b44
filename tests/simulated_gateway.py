"""Gateways of a simulation: the real core on simulated connections, and the way between them and media servers."""

import asyncio
import contextlib
import random
import traceback
import types
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from simulated_disk import SimulatedDisk
from simulated_store import Connection, Deployment
from simulated_world import World

from gateway.admission import CustomerUnknown
from gateway.core import build_core
from gateway.domain.catalogue import Customer
from gateway.domain.changes import Change, VersionMismatch, replaced
from gateway.domain.join import Join
from gateway.domain.reasons import Reason
from gateway.events import (
    Decided,
    EpochBegan,
    Event,
    LegConfirmed,
    LegsReclaimed,
    Recovered,
    Restored,
    StoreFailed,
    SweepHeld,
)
from gateway.kernel.errors import StoreError


if TYPE_CHECKING:
    from simulated_media import MediaServer


BUDGET_S = 0.15


class Unanswered(Exception):
    """A request got no answer in time, or the gateway's end of the connection was closed."""


class GatewayProcess:
    """One life of a gateway."""

    def __init__(self, world: World, deployment: Deployment, name: str, disk: SimulatedDisk) -> None:
        self._world = world
        self._deployment = deployment
        self.name = name
        self.links: list[Connection] = []
        """Its connections to the store."""
        memory: Any = disk.memory
        journal: Any = disk.journal
        telemetry: Any = types.SimpleNamespace(emit=self._heard)

        def connect(*_: Any) -> Any:
            self.links.append(Connection(deployment, f"{name}{'+' * len(self.links)}"))
            return self.links[-1]

        self.core = build_core(
            "", budget_s=BUDGET_S, telemetry=telemetry, lanes=2, memory=memory, journal=journal, connect=connect
        )
        self.core.name = name

    async def run(self, catalogue: Iterable[Customer]) -> None:
        """Connects, loads the catalogue, and does what a gateway does by itself."""
        await self.core.start()
        for customer in catalogue:
            with contextlib.suppress(VersionMismatch):
                await self.change(customer.id, replaced(customer, 0))
        work = self.core.background()
        for name in ("load", "housekeeping"):  # the loop is never late; nothing is old enough
            work.pop(name).close()
        await asyncio.gather(*[self._guarded(each) for each in work.values()])

    async def change(self, customer: str, changed: Change) -> int:
        """An operator changes a customer; tried until the store has it. Its version."""
        while True:
            try:
                return (await self.core.entitlements.change(customer, changed, "install", "simulation")).version
            except StoreError:
                await asyncio.sleep(0.1)

    async def _guarded(self, work: Any) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - a loop of the gateway must not end; the judge is told
            self._world.fault(f"{self.name}: {type(error).__name__}: {error}")

    async def admit(self, join: Join, wait_s: float) -> str:
        """Word for the decision: admitted, degraded, unavailable, or the reason of a denial."""
        self._world.asked[join.connection] = (self._world.loop.time(), self._deployment.master.offset_ms)
        try:
            decision = await self.core.admission.admit(join, wait_s=wait_s)
        except StoreError:
            return "unavailable"
        if decision.admitted:
            return "degraded" if decision.reason is Reason.DEGRADED else "admitted"
        return decision.reason.value

    async def confirm(self, join: Join) -> str:
        """Confirmed, adopted, released, drop or unavailable."""
        try:
            found = await self.core.admission.confirm(join)
        except (StoreError, CustomerUnknown):
            return "unavailable"
        return "drop" if found.drop else found.result

    async def release(self, customer: str, connection: str, node: str) -> str:
        """Done or unavailable."""
        try:
            await self.core.admission.release(customer, connection, node=node)
        except StoreError:
            return "unavailable"
        return "done"

    async def end(self, customer: str, connection: str) -> str:
        """An operator ends a leg: done or unavailable."""
        try:
            await self.core.admission.release(customer, connection, cause="operator")
        except StoreError:
            return "unavailable"
        return "done"

    async def heartbeat(self, node: str, connections: dict[str, list[str]], page: int, pages: int) -> Any:
        """What is unknown, and what is to be dropped."""
        try:
            beat = await self.core.heartbeats.beat(node, connections, page=page, pages=pages)
        except StoreError:
            return "unavailable"
        return beat.unknown, beat.drop

    async def leave(self, node: str) -> str:
        """Done or unavailable."""
        try:
            await self.core.heartbeats.leave(node)
        except StoreError:
            return "unavailable"
        return "done"

    def _heard(self, event: Event) -> None:
        """Counts what a run should show sometimes."""
        match event:
            case Decided(decision=decision):
                self._world.happened(f"decision {decision.reason.value}")
            case LegConfirmed(result=result):
                self._world.happened(f"leg {result}")
            case LegsReclaimed(legs=legs, cause=cause):
                self._world.happened(f"reclaimed {cause}", legs)
            case EpochBegan(lost=lost):
                self._world.happened("epoch lost" if lost else "epoch")
            case Restored(customers=customers, registers=registers):
                self._world.happened("customers restored", customers)
                self._world.happened("registers raised", registers)
            case StoreFailed(unknown=unknown):
                self._world.happened("outcome unknown" if unknown else "store unavailable")
            case Recovered() | SweepHeld():
                self._world.happened(type(event).__name__)


class Gateways:
    """The gateways that media servers know, each by a fixed address, over all their lives."""

    def __init__(self, world: World, deployment: Deployment, number: int, catalogue: Sequence[Customer]) -> None:
        self._world = world
        self._deployment = deployment
        self._catalogue = catalogue
        self._chance = random.Random(f"requests {world.seed}")
        self.disks = [SimulatedDisk() for _ in range(number)]
        self.running: list[GatewayProcess | None] = [None] * number
        self._lives = 0
        self._open: dict[str, set[asyncio.Future[Any]]] = {}
        self.duplicates = 0.0
        """Part of the requests that arrive twice."""
        self.on_decision: Callable[[Join, str], None] = lambda *_: None

    def start(self, place: int) -> GatewayProcess:
        """Begins a life at an address."""
        self._lives += 1
        started = GatewayProcess(self._world, self._deployment, f"gateway-{place}/{self._lives}", self.disks[place])
        self._open[started.name] = set()
        self.running[place] = started
        self._world.loop.spawn(started.name, started.run(self._catalogue))
        return started

    def kill(self, place: int, *, disk_lost: bool) -> None:
        """Ends it without a word; connections of media servers are reset."""
        gateway, self.running[place] = self.running[place], None
        if gateway is None:
            return
        self._world.loop.kill(gateway.name)
        for link in gateway.links:
            link.abandon()
        for answer in self._open.pop(gateway.name):
            if not answer.done():
                answer.set_exception(Unanswered())
        if disk_lost:
            self.disks[place] = SimulatedDisk()

    async def ask(self, media: "MediaServer", place: int, operation: str, what: Sequence[Any], wait_s: float) -> Any:
        """One request, from a media server to the gateway at an address. Raises Unanswered."""
        answer: asyncio.Future[Any] = self._world.loop.create_future()
        answer.add_done_callback(_retrieved, context=self._deployment.network)
        place %= len(self.running)
        self._later(self._arrive, media, place, operation, what, answer)
        # The late copy of a join that was refused and has no node would stay for hours, and nobody would know of it.
        stays = operation == "admit" and not what[0].node
        if self._chance.random() < self.duplicates and not stays:
            late_s = self._chance.choice([0.005, 0.3, 3.0, 20.0])
            copy: asyncio.Future[Any] = self._world.loop.create_future()
            copy.add_done_callback(_retrieved, context=self._deployment.network)
            self._world.happened("duplicate")
            self._later(self._arrive, media, place, operation, what, copy, late_s=late_s)
        try:
            async with asyncio.timeout(wait_s):
                return await answer
        except TimeoutError:
            raise Unanswered from None

    def _later(self, work: Callable[..., None], *what: Any, late_s: float = 0.0) -> None:
        way_s = self._chance.uniform(0.0002, 0.003) + late_s
        self._world.loop.call_later(way_s, work, *what, context=self._deployment.network)

    def _arrive(
        self, media: "MediaServer", place: int, operation: str, what: Sequence[Any], answer: asyncio.Future[Any]
    ) -> None:
        gateway = self.running[place]
        if not media.is_reachable:
            return
        if gateway is None:
            if not answer.done():
                answer.set_exception(Unanswered())
            return
        self._open[gateway.name].add(answer)
        self._world.loop.spawn(gateway.name, self._handle(gateway, media, operation, what, answer))

    async def _handle(
        self,
        gateway: GatewayProcess,
        media: "MediaServer",
        operation: str,
        what: Sequence[Any],
        answer: asyncio.Future[Any],
    ) -> None:
        try:
            found = await getattr(gateway, operation)(*what)
        except Exception as error:  # noqa: BLE001 - told to the judge: no request may fail like this
            where = traceback.extract_tb(error.__traceback__)[-1]
            self._world.fault(
                f"{operation} {what[0]}: {type(error).__name__}: {error} ({where.filename}:{where.lineno})"
            )
            return
        self._world.trace(gateway.name, operation, _summary(what[0]), *what[1:], "->", found)
        if operation == "admit":
            self.on_decision(what[0], found)
        self._later(self._answered, gateway, media, answer, found)

    def _answered(self, gateway: GatewayProcess, media: "MediaServer", answer: asyncio.Future[Any], found: Any) -> None:
        self._open.get(gateway.name, set()).discard(answer)
        if media.is_reachable and not answer.done():
            answer.set_result(found)


def _retrieved(answer: asyncio.Future[Any]) -> None:
    """Nobody may be there any more to hear of it."""
    if not answer.cancelled():
        answer.exception()


def _summary(asked: Any) -> str:
    return f"{asked.customer} {asked.connection} {asked.meeting}" if isinstance(asked, Join) else str(asked)
