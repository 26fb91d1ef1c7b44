"""What a gateway does when a bucket begins a new epoch: puts back what it remembers, and ends the recovering when nodes have done theirs."""

import asyncio
import functools

import structlog

from gateway.entitlements import Entitlements
from gateway.events import Emit, Recovered, Restored
from gateway.kernel import outcomes
from gateway.kernel.arguments import NODE_LEASE_MS
from gateway.kernel.errors import StoreError
from gateway.kernel.kernel import Kernel
from gateway.kernel.liveness import Liveness, RegisterRow
from gateway.recollection import Recollection


LOOK_S = 0.5
PRESENT_EVERY_S = 5.0
RETRY_MIN_S, RETRY_MAX_S = 0.1, 5.0
BUCKETS_AT_ONCE = 4
"""Restored at one time: heartbeats must get through beside it."""
REGISTERS_AT_ONCE = 200

_log = structlog.get_logger("gateway.recovery")


class Recovery:
    """Watches over the epochs of one gateway. `run` goes on as long as the gateway does."""

    def __init__(
        self, kernel: Kernel, liveness: Liveness, entitlements: Entitlements, memory: Recollection | None, emit: Emit
    ) -> None:
        self._kernel = kernel
        self._epochs = kernel.epochs
        self._liveness = liveness
        self._entitlements = entitlements
        self._memory = memory
        self._emit = emit
        self._nodes: dict[str, int] = {}
        """When each node was heard of last (ms). Kept over what the store loses: it is what is waited for then."""
        self._restoring: dict[int, asyncio.Task[None]] = {}
        self._again: set[int] = set()
        self._turns = asyncio.Semaphore(BUCKETS_AT_ONCE)
        kernel.epochs.on_missing = self._began

    async def run(self) -> None:
        """Looks whether recovering buckets have recovered; never ends."""
        heard_at = -PRESENT_EVERY_S
        loop = asyncio.get_running_loop()
        while True:
            try:
                recovering = self._epochs.recovering(self._kernel.store_now_ms())
                if recovering:
                    await self._end(recovering)
                elif loop.time() - heard_at >= PRESENT_EVERY_S:
                    heard_at = loop.time()
                    await self._hear()
            except StoreError:
                pass  # the core has told of it
            except Exception:  # noqa: BLE001 - logged with its trace; the next look is soon
                _log.exception("recovery.failed")
            await asyncio.sleep(LOOK_S)

    async def _hear(self) -> None:
        """Which nodes there are. One that an emptied store does not know yet is not forgotten for that."""
        self._nodes.update({each.node: each.last_ms for each in await self._liveness.nodes()})
        oldest_ms = self._kernel.store_now_ms() - 2 * NODE_LEASE_MS
        self._nodes = {node: last_ms for node, last_ms in self._nodes.items() if last_ms > oldest_ms}

    async def close(self) -> None:
        """Stops what is under way."""
        for task in self._restoring.values():
            task.cancel()
        await asyncio.gather(*self._restoring.values(), return_exceptions=True)

    async def _end(self, recovering: list[int]) -> None:
        """Ends the recovering of buckets whose nodes have all sent a heartbeat since in which nothing was unknown."""
        whole = {each.node: each.whole_ms or 0 for each in await self._liveness.nodes()}
        for bucket in recovering:
            since_ms = int(self._epochs.current(bucket))
            known_before = [node for node, last_ms in self._nodes.items() if last_ms > since_ms - 2 * NODE_LEASE_MS]
            if known_before and all(whole.get(node, 0) > since_ms for node in known_before):
                await self._liveness.recovered(bucket, since_ms)
                self._epochs.recovered(bucket)
                self._emit(Recovered(bucket))

    def _began(self, bucket: int) -> None:
        if bucket in self._restoring:
            self._again.add(bucket)
            return
        task = asyncio.create_task(self._restore(bucket), name=f"restore-{bucket}")
        self._restoring[bucket] = task
        task.add_done_callback(lambda _: self._restored(bucket))

    def _restored(self, bucket: int) -> None:
        self._restoring.pop(bucket, None)
        if bucket in self._again:
            self._again.discard(bucket)
            self._began(bucket)

    async def _restore(self, bucket: int) -> None:
        pause_s = RETRY_MIN_S
        while True:
            try:
                async with self._turns:
                    await self.put_back(bucket)
            except StoreError:
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, RETRY_MAX_S)
            except Exception:  # noqa: BLE001 - logged with its trace; what can be read at all has been put back
                _log.exception("restore.failed", bucket=bucket)
                return
            else:
                return

    async def put_back(self, bucket: int) -> None:
        """Entitlements that the store has in an older version or not at all, and registers that were greater than it says."""
        stored = await self._liveness.customers(bucket)
        restored = raised = 0
        for customer, version in (await self._entitlements.remembered(bucket)).items():
            if version > stored.get(customer, 0):
                await self._entitlements.restore(customer)
                restored += 1
            raised += await self._assert_registers(customer)
        if restored or raised:
            self._emit(Restored(bucket, restored, raised))

    async def _assert_registers(self, customer: str) -> int:
        if self._memory is None:
            return 0
        raised = 0
        rows = [
            RegisterRow(
                row.day,
                row.group,
                outcomes.Register(row.committed, row.peak, row.peak_at_ms, row.overage, row.overage_at_ms),
            )
            for row in await self._memory.registers_of(customer)
        ]
        for at in range(0, len(rows), REGISTERS_AT_ONCE):
            part = functools.partial(self._liveness.assert_registers, customer, rows[at : at + REGISTERS_AT_ONCE])
            raised += await self._entitlements.rolled(customer, part)
        return raised
