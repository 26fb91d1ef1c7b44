"""Runs scripts on the store: the one place that meets a bucket whose epoch is not the one that was known."""

import time
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from gateway.events import Emit, StoreAnswered
from gateway.kernel.bounds import Bounds
from gateway.kernel.epochs import Epochs
from gateway.kernel.errors import StoreUnavailable
from gateway.kernel.keys import bucket_keys, bucket_of, keys_of, node_key
from gateway.kernel.scripts import Script
from gateway.kernel.store import Store


MEETINGS_MAX = 3
"""Times that an operation meets another epoch; more is a store that changes without pause."""

WROTE = frozenset({
    b"ADMIT", b"SHADOW", b"DENY", b"CONFIRMED", b"ADOPTED", b"RELEASED", b"SWEPT", b"RECOVERED", b"INSTALLED", b"ROLLED", b"ASSERTED",
    b"REPAIRED", b"REMINDED",
})  # fmt: skip
"""Answers that name the entry of the outbox that was written, or an empty one, third."""


class Runner:
    """Scripts on one store connection."""

    def __init__(self, store: Store, scripts: Mapping[str, Script], epochs: Epochs, bounds: Bounds, emit: Emit) -> None:
        self.store = store
        self.bounds = bounds
        self._scripts = scripts
        self._epochs = epochs
        self._emit = emit

    def of_customer(
        self, name: str, customer: str, args: Sequence[Any], timeout_s: float
    ) -> Coroutine[Any, Any, list[Any]]:
        """Runs a script on the keys of a customer. Raises StoreError."""
        script = self._scripts[name]
        return self.run(script, keys_of(customer, script.keys), bucket_of(customer), args, timeout_s)

    def of_bucket(
        self, name: str, bucket: int, args: Sequence[Any], timeout_s: float, more_keys: Sequence[bytes] = ()
    ) -> Coroutine[Any, Any, list[Any]]:
        """Runs a script on the keys of a bucket, and more in it. Raises StoreError."""
        script = self._scripts[name]
        return self.run(script, (*bucket_keys(script.keys, bucket), *more_keys), bucket, args, timeout_s)

    def of_nodes(self, name: str, args: Sequence[Any], timeout_s: float) -> Coroutine[Any, Any, list[Any]]:
        """Runs a script on the keys about all nodes, which have no epoch. Raises StoreError."""
        script = self._scripts[name]
        keys = tuple([node_key(key).encode() for key in script.keys])
        return self._timed(script, keys, (b"0", *args), timeout_s)

    async def run(
        self, script: Script, keys: tuple[bytes, ...], bucket: int, args: Sequence[Any], timeout_s: float
    ) -> list[Any]:
        """Runs a script in the epoch that is known; meets the bucket, and runs it again, where that is another one. Raises StoreError."""
        epochs = self._epochs
        until_s = time.monotonic() + timeout_s
        for _ in range(MEETINGS_MAX):
            left_s = until_s - time.monotonic()
            answer = await self._timed(script, keys, (epochs.current(bucket), *args), left_s)
            if answer[0] in WROTE and len(answer) > 2 and answer[2]:
                epochs.note(bucket, answer[2])
            if answer[0] != b"EPOCH":
                return answer
            await epochs.meet(self.store, bucket, until_s - time.monotonic())
        raise StoreUnavailable("the store changes without pause")

    async def _timed(self, script: Script, keys: tuple[bytes, ...], args: Sequence[Any], timeout_s: float) -> list[Any]:
        began = time.perf_counter()
        answer: list[Any] = await self.store.call(script, keys, args, timeout_s)
        self._emit(StoreAnswered(script.name, time.perf_counter() - began))
        if type(answer[1]) is int:
            self.store.observe_clock(answer[1], keys[0])
        return answer
