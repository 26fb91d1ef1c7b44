"""A Redis Cluster: one connection per primary, a map of slots, and calls that follow their slot when it moves.

A redirection says that nothing was executed. So MOVED, ASK and TRYAGAIN are answered by sending the call again, within its time: to the node
that was named (MOVED), with ASKING before it in the same write (ASK), or after a pause, while some keys of a slot are here and some there
(TRYAGAIN). What was sent to a node that is lost stays unknown, as with one server.

The map is asked of all nodes known, and the greatest epoch is believed. It may be a little old all the same: that costs a redirection.
"""

import asyncio
import contextlib
import functools
import random
import time
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

from gateway.kernel.connection import StoreConnection, StoreObserver, complete
from gateway.kernel.errors import StoreError, StoreUnavailable
from gateway.kernel.handshake import CONNECT_TIMEOUT_S, Address, Options, ask, connected
from gateway.kernel.multiplexer import Call
from gateway.kernel.scripts import Script
from gateway.kernel.slots import SLOTS, SlotMap, read_map, read_redirection, slot_of


REDIRECTIONS_MAX = 5
TRYAGAIN_PAUSE_S = 0.01
NODE_TIMEOUT_S = 0.5
"""For one node to tell its map; all are asked at the same time."""

REFRESH_S = 10.0
RETRY_S = 0.2
"""The map is asked for so often, and more often while a primary that it names is not connected."""

REFRESH_PAUSE_S = 0.05
LINGER_S = 5.0
"""A node that no map names is left after so long: what is under way there is still answered, and ASK may lead there again."""


class ClusterStore:
    """Connections to all primaries. Created closed; `start` connects and goes on trying, `close` ends it.

    `server` says how to talk to a node, but for host and port; `seeds` are the nodes to begin with.
    """

    def __init__(
        self,
        server: Options,
        seeds: Iterable[Address],
        scripts: Iterable[Script],
        observer: StoreObserver | None = None,
    ) -> None:
        self._server = server
        self._addresses = frozenset(seeds)
        self._scripts = tuple(scripts)
        self._observer = complete(observer)
        self._nodes: dict[Address, StoreConnection] = {}
        self._used: dict[Address, float] = {}
        self._slots: list[StoreConnection | None] = [None] * SLOTS
        self._refreshing: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._whole = asyncio.Event()
        self._waiting: set[asyncio.Task[None]] = set()
        self._error: str | None = None

    @property
    def is_ready(self) -> bool:
        """Whether calls are taken by at least one node: those for slots of a node that is away are refused."""
        return any(node.is_ready for node in self._nodes.values())

    @property
    def last_error(self) -> str | None:
        """Why a node is away, or the map could not be had."""
        errors = [node.last_error for node in self._nodes.values() if not node.is_ready]
        return self._error or next(filter(None, errors), None)

    async def start(self, wait_s: float = CONNECT_TIMEOUT_S) -> bool:
        """Begins to connect; waits at most `wait_s` until every primary is connected, and says whether they are."""
        self._refreshing = asyncio.create_task(self._keep(), name="store-cluster")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._whole.wait()
        return self._whole.is_set()

    async def close(self) -> None:
        """Ends all connections; calls under way get OutcomeUnknown."""
        tasks = [*self._waiting, *([self._refreshing] if self._refreshing else [])]
        self._refreshing = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        nodes, self._nodes = self._nodes, {}
        self._slots = [None] * SLOTS
        self._whole.clear()
        for node in nodes.values():
            await node.close()

    def call(
        self, script: Script, keys: tuple[bytes, ...], args: Sequence[Any], timeout_s: float
    ) -> asyncio.Future[Any]:
        """Runs a script once, on the primary that has its keys; see `StoreConnection.call`."""
        return self._at(keys[0]).call(script, keys, args, timeout_s)

    def command(self, *parts: str | bytes | int, timeout_s: float = 5.0) -> asyncio.Future[Any]:
        """Runs a plain command where its first argument is a key's; one without arguments runs anywhere."""
        return self._at(_routing(parts)).command(*parts, timeout_s=timeout_s)

    def observe_clock(self, store_ms: int, key: str | bytes | None = None) -> None:
        """Takes a time that an answer about a key carried. Without a key it is not known whose clock it is of, and not taken."""
        node = None if key is None else self._slots[slot_of(key)]
        if node is not None:
            node.observe_clock(store_ms)

    def store_now_ms(self, key: str | bytes | None = None) -> int:
        """The clock of the server that has the key, estimated: never ahead of it. Without a key, or a server: the smallest."""
        node = None if key is None else self._slots[slot_of(key)]
        if node is not None:
            return node.store_now_ms()
        return min((one.store_now_ms() for one in self._nodes.values() if one.is_ready), default=int(time.time() * 1000))

    def _at(self, key: str | bytes | None) -> StoreConnection:
        """Where a call goes. Raises StoreUnavailable where nobody is known."""
        nodes = [one for one in self._nodes.values() if one.is_ready] if key is None else [self._slots[slot_of(key)]]
        node = next(iter(nodes), None)
        if node is None:
            raise StoreUnavailable(f"not connected: {self.last_error or 'connecting'}")
        return node

    def _node(self, address: Address) -> StoreConnection:
        """The connection to a node, which is begun where there is none."""
        self._used[address] = asyncio.get_running_loop().time()
        if address not in self._nodes:
            node = StoreConnection(
                {**self._server, **address._asdict()},
                self._scripts,
                _NodeObserver(self._observer, self._wanted),
                functools.partial(self._refused, address),
            )
            self._nodes[address] = node
            node.begin()
        return self._nodes[address]

    def _refused(self, asked: Address, call: Call, message: str) -> bool:
        """Sends a call on that a node has not executed; true where it does."""
        code = message.partition(" ")[0]
        if code in {"MOVED", "CLUSTERDOWN"}:
            self._wanted.set()
        if self._refreshing is None or call.future.done() or code not in {"MOVED", "ASK", "TRYAGAIN"}:
            return False
        if code == "TRYAGAIN":
            self._later(call, self._try_again(call, message))
            return True
        call.sendings += 1
        if call.sendings > REDIRECTIONS_MAX:
            return False
        call.asking = code == "ASK"
        node = self._node(read_redirection(message, asked))
        if code == "MOVED" and node.is_ready:
            self._slots[int(message.split(" ")[1])] = node
        self._send(node, call)
        return True

    def _send(self, node: StoreConnection, call: Call) -> None:
        if node.is_ready:
            node.resend(call)
        else:
            self._later(call, self._send_when_ready(node, call))

    async def _send_when_ready(self, node: StoreConnection, call: Call) -> None:
        loop = asyncio.get_running_loop()
        if await node.wait_ready(call.expires - loop.time()) and loop.time() < call.expires:
            node.resend(call)
        else:
            call.fail(StoreUnavailable(f"its node was not connected in time: {node.last_error or 'connecting'}"))

    async def _try_again(self, call: Call, message: str) -> None:
        left_s = call.expires - asyncio.get_running_loop().time()
        if left_s <= TRYAGAIN_PAUSE_S:
            call.fail(StoreUnavailable(message))
            return
        await asyncio.sleep(TRYAGAIN_PAUSE_S)
        call.asking = False
        try:
            self._send(self._at(call.keys[0] if call.script else _routing(call.args)), call)
        except StoreUnavailable as error:
            call.fail(error)

    def _later(self, call: Call, work: Coroutine[Any, Any, None]) -> None:
        """Does what must wait. A call on which it ends early was not sent."""

        def finished(task: asyncio.Task[None]) -> None:
            self._waiting.discard(task)
            if task.cancelled():
                call.fail(StoreUnavailable("the store was closed"))

        task = asyncio.create_task(work)
        self._waiting.add(task)
        task.add_done_callback(finished)

    async def _keep(self) -> None:
        """Asks for the map when there is reason to, and from time to time."""
        while True:
            self._wanted.clear()
            try:
                await self._refresh()
                self._error = None
            except Exception as error:  # noqa: BLE001 - any failure is answered by trying again
                self._error = str(error) or type(error).__name__
                self._observer.store_lost(self._error)
            pause_s = REFRESH_S if self._whole.is_set() else random.uniform(RETRY_S / 2, RETRY_S)  # noqa: S311 - jitter
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wanted.wait()
            await asyncio.sleep(REFRESH_PAUSE_S)

    async def _refresh(self) -> None:
        """Asks all nodes known for their maps and takes the one to believe. Raises StoreError where none has one."""
        known = {*self._addresses, *self._nodes}
        told = await asyncio.gather(*[self._map_of(address) for address in known], return_exceptions=True)
        maps = [answer for answer in told if isinstance(answer, SlotMap)]
        if not maps:
            self._whole.clear()
            raise StoreError("; ".join(sorted({str(error) or type(error).__name__ for error in told})))
        await self._adopt(max(maps, key=lambda one: one.rank))

    async def _map_of(self, address: Address) -> SlotMap:
        node = self._nodes.get(address)
        if node is not None and node.is_ready:
            info = node.command("CLUSTER", "INFO", timeout_s=NODE_TIMEOUT_S)
            return read_map(await info, await node.command("CLUSTER", "SLOTS", timeout_s=NODE_TIMEOUT_S), address)
        async with (
            asyncio.timeout(NODE_TIMEOUT_S),
            connected({**self._server, **address._asdict()}, NODE_TIMEOUT_S) as other,
        ):
            return read_map(await ask(other, "CLUSTER", "INFO"), await ask(other, "CLUSTER", "SLOTS"), address)

    async def _adopt(self, said: SlotMap) -> None:
        """Sends each slot's calls to its primary; to the one before, as long as only that one is connected: it redirects them."""
        self._addresses |= said.addresses
        for first, last, address in said.ranges:
            node = self._node(address)
            before = self._slots[first : last + 1]
            self._slots[first : last + 1] = [
                node if node.is_ready or one is None or not one.is_ready else one for one in before
            ]
        if all(self._nodes[primary].is_ready for primary in said.primaries):
            self._addresses = said.addresses
            self._whole.set()
        else:
            self._whole.clear()
        now = asyncio.get_running_loop().time()
        for address in [one for one in self._nodes if now - self._used[one] > LINGER_S]:
            await self._nodes.pop(address).close()


class _NodeObserver:
    """Tells of one node, and has the map asked for when it is lost or comes."""

    def __init__(self, observer: StoreObserver, wanted: asyncio.Event) -> None:
        self._observer = observer
        self._wanted = wanted
        self._was_ready = False
        self.store_stalled = observer.store_stalled
        self.store_answers = observer.store_answers

    def store_connected(self, version: str) -> None:
        self._was_ready = True
        self._wanted.set()
        self._observer.store_connected(version)

    def store_lost(self, error: str) -> None:
        if self._was_ready:
            self._wanted.set()
        self._was_ready = False
        self._observer.store_lost(error)


def _routing(parts: Sequence[str | bytes | int]) -> str | bytes | None:
    if len(parts) < 2:
        return None
    return parts[1] if isinstance(parts[1], bytes) else str(parts[1])
