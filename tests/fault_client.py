"""A media server that asks through the project's own client, with a roster for its heartbeats."""

import asyncio
import itertools
import random
import time
from collections.abc import Sequence
from typing import Any, Self

from fault_truth import History
from support import join_data

from gateway.client import GatewayClient


class ClientServer:
    """A media server `node`; what it is told goes to a history, as of every other."""

    def __init__(self, node: str, doors: Sequence[str], history: History) -> None:
        self.node = node
        self.history = history
        self.roster: dict[str, dict[str, dict[str, Any]]] = {}
        self.client = GatewayClient(list(doors), node=node)
        self.heard: list[str] = []
        self._dice = random.Random(node)

    async def __aenter__(self) -> Self:
        """Opens its connections and begins to beat."""
        await self.client.__aenter__()
        self.client.heartbeats(self.roster)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes; legs that are live end, untold, as at a crash."""
        await self.client.__aexit__(None, None, None)

    async def load_until(self, over: asyncio.Event, customer: str, joins_per_s: float) -> None:
        """Joins at that rate until it is over; returns when all calls have ended and were told."""
        began, calls = time.monotonic(), []
        for number in itertools.count():
            await asyncio.sleep(max(0.0, began + number / joins_per_s - time.monotonic()))
            if over.is_set():
                break
            calls.append(
                asyncio.create_task(self.call(customer, f"{self.node}-{number}", self._dice.uniform(0.3, 1.5)))
            )
        await asyncio.gather(*calls)

    async def call(self, customer: str, connection: str, hold_s: float) -> None:
        """A whole call: join, confirm, hold, end, release."""
        join = join_data(connection, customer=customer)
        decision = await self.client.admit(join)
        self.heard.append(decision.reason)
        if not decision.admitted:
            return
        self.roster.setdefault(customer, {})[connection] = join
        self.history.add("live", self.node, customer, connection, reason=decision.reason)
        await self.client.confirm(join)
        await asyncio.sleep(hold_s)
        del self.roster[customer][connection]
        self.history.add("ended", self.node, customer, connection)
        await self.client.release(customer, connection)
