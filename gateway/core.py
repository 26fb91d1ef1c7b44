"""The gateway without its listeners: every part is built here, and nothing connects before it is told to."""

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import structlog

from gateway.admission import Admission
from gateway.back_pressure import BackPressure
from gateway.compliance_reports import ComplianceReports
from gateway.degraded import Degraded
from gateway.entitlements import Entitlements
from gateway.event_reports import EventReports
from gateway.events import Event, StoreConnected, StoreLost, StoreStalled
from gateway.housekeeping import Housekeeping
from gateway.journal import Journal
from gateway.kernel import scripts
from gateway.kernel.errors import StoreError
from gateway.kernel.kernel import Kernel
from gateway.kernel.liveness import Liveness
from gateway.kernel.outbox import Outbox
from gateway.kernel.store import Store, open_store
from gateway.load import Load
from gateway.memory import Memory
from gateway.nodes.heartbeats import Heartbeats
from gateway.nodes.recovery import Recovery
from gateway.nodes.sweeper import Sweeper
from gateway.replay import Replay
from gateway.reports import Reports
from gateway.telemetry import metrics
from gateway.telemetry.logs import Logs


HOUSEKEEPING_S = 6 * 3600.0
PRESENT_S = 5.0
START_WAIT_S = 2.0

_log = structlog.get_logger("gateway")


class Telemetry:
    """Passes events on to all listeners; the core has one function to call."""

    def __init__(self) -> None:
        self.metrics = metrics.Metrics()
        self._listeners = (self.metrics.listen, Logs().listen)

    def emit(self, event: Event) -> None:
        """Tells everybody."""
        for listen in self._listeners:
            listen(event)

    def store_connected(self, version: str) -> None:
        """The store connection is ready."""
        self.emit(StoreConnected(version))

    def store_lost(self, error: str) -> None:
        """The store connection was lost."""
        self.emit(StoreLost(error))

    def store_stalled(self, seconds: float) -> None:
        """The store has not answered for so long; calls are refused at once until it does."""
        self.emit(StoreStalled(stalled=True))

    def store_answers(self) -> None:
        """The store answers again."""
        self.emit(StoreStalled(stalled=False))


@dataclass(slots=True)
class Core:
    """A gateway without its listeners."""

    store: Store
    urgent: Store
    """For what keeps and frees seats; the same as `store` where one connection is enough."""
    kernel: Kernel
    liveness: Liveness
    entitlements: Entitlements
    admission: Admission
    heartbeats: Heartbeats
    sweeper: Sweeper
    recovery: Recovery
    replay: Replay | None
    degraded: Degraded
    load: Load
    back_pressure: BackPressure
    reports: Reports
    compliance: ComplianceReports
    events: EventReports
    draining: bool = False
    name: str = field(default_factory=lambda: secrets.token_hex(8))

    async def start(self, wait_s: float = START_WAIT_S) -> bool:
        """Begins to connect; waits at most `wait_s` for the first success and says whether it came."""
        if self.urgent is self.store:
            return await self.store.start(wait_s)
        return all(await asyncio.gather(self.store.start(wait_s), self.urgent.start(wait_s)))

    async def close(self) -> None:
        """Ends the connections; calls under way end with OutcomeUnknown."""
        await self.recovery.close()
        await self.store.close()
        if self.urgent is not self.store:
            await self.urgent.close()

    def checks(self) -> dict[str, str]:
        """Readiness by component."""
        ready = self.store.is_ready and self.urgent.is_ready
        return {
            "store": "ok"
            if ready
            else f"not connected: {self.store.last_error or self.urgent.last_error or 'connecting'}",
            "gateway": "draining" if self.draining else "ok",
        }

    def background(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What goes on beside requests, as long as the gateway lives."""
        work = {
            "sweeper": self.sweeper.run(),
            "recovery": self.recovery.run(),
            "load": self.load.watch(),
            "presence": self._be_present(),
            "housekeeping": self._keep_house(),
            "back-pressure": self.back_pressure.run(),
        }
        return {**work, "replay": self.replay.run()} if self.replay else work

    async def _be_present(self) -> None:
        """Says that this gateway is there, and learns how many share the headroom of customers."""
        while True:
            try:
                self.degraded.gateways = await self.liveness.present(self.name)
            except StoreError:
                pass  # the number that was heard last is the best there is
            except Exception:  # noqa: BLE001 - logged with its trace; the next time is soon
                _log.exception("presence.failed")
            await asyncio.sleep(PRESENT_S)

    async def _keep_house(self) -> None:
        """Forgets, every now and then, what nothing asks for any more."""
        housekeeping = Housekeeping(self.kernel, self.entitlements)
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            try:
                await self.heartbeats.nodes()  # forgets those that were not heard of for a day
                _log.info("housekeeping.done", forgotten=await housekeeping.run())
            except StoreError:
                continue  # the core has told of it; the next time is early enough
            except Exception:  # noqa: BLE001 - logged with its trace; a fault in one customer must not end it for all and for ever
                _log.exception("housekeeping.failed")


def build_core(
    url: str,
    *,
    budget_s: float,
    telemetry: Telemetry,
    clock: str | None = None,
    lanes: int = 1,
    memory: Memory | None = None,
    journal: Journal | None = None,
    connect: Callable[..., Store] = open_store,
    outbox_max: int | None = None,
) -> Core:
    """The parts of a gateway on the store at `url`.

    `lanes`: store connections; the second is for what keeps and frees seats. Without a memory nothing is put back into a store that has lost
    it, without a journal nothing is let in that no node would bring in. `clock` is for tests that control time,
    `connect` for benchmarks and simulations that bring their own store connection. `outbox_max`: entries per bucket that may wait for a ledger;
    None: there is no ledger.
    """
    loaded, emit = scripts.load(clock), telemetry.emit
    store = connect(url, loaded.values(), telemetry)
    urgent = connect(url, loaded.values(), telemetry) if lanes > 1 else store
    kernel = Kernel(
        store, loaded, decision_timeout_s=budget_s, emit=emit, urgent=urgent, told=memory, outbox_max=outbox_max
    )
    liveness = Liveness(kernel.urgent)
    entitlements = Entitlements(kernel, emit, memory)
    sweeper = Sweeper(liveness, entitlements, emit)
    degraded = Degraded(kernel, entitlements, journal, emit, budget_s=budget_s)
    load = Load(emit)
    reports = Reports(kernel, entitlements)
    return Core(
        store=store,
        urgent=urgent,
        kernel=kernel,
        liveness=liveness,
        entitlements=entitlements,
        admission=Admission(kernel, entitlements, sweeper, degraded, load, emit, budget_s=budget_s),
        heartbeats=Heartbeats(kernel, liveness, entitlements, emit),
        sweeper=sweeper,
        recovery=Recovery(kernel, liveness, entitlements, memory, emit),
        replay=Replay(kernel, entitlements, journal, emit) if journal else None,
        degraded=degraded,
        load=load,
        back_pressure=BackPressure(Outbox(urgent, loaded), kernel.bounds, emit),
        reports=reports,
        compliance=ComplianceReports(kernel, reports),
        events=EventReports(kernel, entitlements),
    )
