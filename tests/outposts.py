"""Gateways without listeners that remember on disk, on a way to the store that has weather: what decides where the store is away."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fault_proxy import CALM, ChaosProxy, Weather
from redis_processes import until
from support import join

from gateway.core import Core, Telemetry, build_core
from gateway.domain.join import Decision
from gateway.journal import Journal
from gateway.kernel.errors import StoreError
from gateway.memory import Memory


SOON_S = 10.0
BUDGET_S = 0.15


@dataclass(frozen=True, slots=True)
class Outpost:
    """One gateway; nothing goes on in it beside what a test asks."""

    core: Core
    journal: Journal
    proxy: ChaosProxy

    async def ask(self, connection: str, meeting: str = "m1", **fields: Any) -> Decision:
        """The decision of a join. Raises StoreError."""
        return await self.core.admission.admit(join(connection, meeting, **fields), wait_s=30.0)

    async def told(self, connection: str, meeting: str = "m1", **fields: Any) -> str:
        """The reason of the decision, or the class of the error that is answered as an outage."""
        try:
            return (await self.ask(connection, meeting, **fields)).reason.value
        except StoreError as error:
            return type(error).__name__

    async def telling(self, *connections: str, **fields: Any) -> list[str]:
        """The same of several, one after the other."""
        return [await self.told(connection, **fields) for connection in connections]

    async def under(self, weather: Weather) -> None:
        """From now on the way to the store is like that; returns when the gateway has seen that it is calm, or that there is none."""
        self.proxy.weather = weather
        if weather == CALM:
            await self.back()
        elif not weather.connects:
            await until(self._is_lost, "the connection is lost", SOON_S, 0.001)

    async def back(self) -> None:
        """Returns when the gateway has a connection to the store that answers."""

        async def answers() -> bool:
            with contextlib.suppress(StoreError):
                await self.core.kernel.entitlements("acme")
                return True
            return False

        await until(answers, "the store answers", SOON_S, 0.01)

    async def _is_lost(self) -> bool:
        return not self.core.store.is_ready

    async def drain(self) -> int:
        """Carries out what the journal holds; how many entries there were."""
        assert self.core.replay is not None, "it has a journal"
        found = self.journal.pending()
        await self.core.replay.drain()
        assert 0 == self.journal.pending()
        return found


@contextlib.asynccontextmanager
async def outpost(store_url: str, path: Path, *, budget_s: float = BUDGET_S) -> AsyncIterator[Outpost]:
    """A gateway on a store of the tests, which remembers in that file."""
    parts = urlsplit(store_url)
    async with ChaosProxy(parts.path) as proxy, contextlib.AsyncExitStack() as stack:
        memory = await Memory.open(path)
        stack.push_async_callback(memory.close)
        journal = await Journal.open(path)
        stack.push_async_callback(journal.close)
        url = f"redis://127.0.0.1:{proxy.port}/{parse_qs(parts.query)['db'][0]}"
        core = build_core(url, budget_s=budget_s, telemetry=Telemetry(), memory=memory, journal=journal)
        stack.push_async_callback(core.close)
        assert await core.start(SOON_S), core.store.last_error
        yield Outpost(core, journal, proxy)
