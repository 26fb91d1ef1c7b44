"""The master that Redis Sentinel names, and leaving it as soon as it is another one.

A sentinel that was cut off names the old master for as long as it is; what it knows has a lower configuration epoch than what the others have
agreed on since. So all are asked, and the greatest epoch is believed.

An old master may go on taking writes for seconds, also after a failover in good order. A client whose connection to it still works would write
there what is then thrown away. Hence the watch: the sentinels say when they switch (`+switch-master`), and are asked once a second besides.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable

from gateway.kernel.connection import StoreConnection, StoreObserver
from gateway.kernel.errors import StoreError
from gateway.kernel.handshake import CONNECT_TIMEOUT_S, Address, Options, ask, connected, hear
from gateway.kernel.scripts import Script


SENTINEL_TIMEOUT_S = 0.5
"""For one sentinel, from connecting to its answer; all are asked at the same time."""

POLL_S = 1.0
LISTEN_S = 60.0
"""Where nothing is heard for so long, a sentinel is listened to anew: the connection may be dead without either side knowing."""


class SentinelStore(StoreConnection):
    """A connection to today's master of a service.

    `server` says how to talk to the master, but for host and port; `sentinels` how to connect to each sentinel.
    """

    def __init__(
        self,
        server: Options,
        sentinels: Iterable[Options],
        service: str,
        scripts: Iterable[Script],
        observer: StoreObserver | None = None,
    ) -> None:
        super().__init__(server, scripts, observer)
        self._sentinels = tuple(sentinels)
        self._service = service
        self._master: Address | None = None
        self._watchers: list[asyncio.Task[None]] = []
        self._switched = asyncio.Event()

    async def start(self, wait_s: float = CONNECT_TIMEOUT_S) -> bool:
        """Begins to connect and to watch the sentinels; waits at most `wait_s` for the first success and says whether it came."""
        self._watchers = [asyncio.create_task(self._listen(sentinel), name="sentinel") for sentinel in self._sentinels]
        self._watchers.append(asyncio.create_task(self._watch(), name="sentinel-watch"))
        return await super().start(wait_s)

    async def close(self) -> None:
        """Ends the connection and the watch; calls under way get OutcomeUnknown."""
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        self._watchers = []
        await super().close()

    async def _locate(self) -> Options:
        self._master = await self._named()
        return {**self._options, **self._master._asdict()}

    async def _watch(self) -> None:
        """Leaves the server at hand when the sentinels name another one, or gives up connecting to it."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._switched.wait()
            self._switched.clear()
            with contextlib.suppress(StoreError):
                if await self._named() != self._master:
                    await self.renew("the sentinels name another master")

    async def _listen(self, sentinel: Options) -> None:
        """Hears of switches from one sentinel, as long as it can be heard."""
        while True:
            with contextlib.suppress(Exception):  # the poll goes on, and this is tried again
                async with connected(sentinel, SENTINEL_TIMEOUT_S) as connection:
                    await ask(connection, "SUBSCRIBE", "+switch-master")
                    while True:
                        async with asyncio.timeout(LISTEN_S):
                            _, _, said = await hear(connection)
                        self._note_switch(said.decode().split(" "))
            await asyncio.sleep(POLL_S)

    def _note_switch(self, words: list[str]) -> None:
        """`words`: service, old host and port, new host and port."""
        if words[0] == self._service:
            self._switched.set()

    async def _named(self) -> Address:
        """The master by those sentinels that answer. Raises StoreError where none knows it."""
        told = await asyncio.gather(*[self._named_by(sentinel) for sentinel in self._sentinels], return_exceptions=True)
        answers = Counter([answer for answer in told if isinstance(answer, tuple)])
        if not answers:
            reasons = "; ".join(sorted({str(error) or type(error).__name__ for error in told}))
            raise StoreError(f"no sentinel names the master of {self._service}: {reasons}")
        (_, master), _ = max(answers.items(), key=lambda answer: (answer[0][0], answer[1]))
        return master

    async def _named_by(self, sentinel: Options) -> tuple[int, Address]:
        """The configuration epoch and the master as one sentinel knows them."""
        async with asyncio.timeout(SENTINEL_TIMEOUT_S), connected(sentinel, SENTINEL_TIMEOUT_S) as connection:
            found = await ask(connection, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service)
            if found is None:
                raise StoreError(f"a sentinel does not know {self._service}")
            flat = await ask(connection, "SENTINEL", "MASTER", self._service)
        about = dict(zip(flat[::2], flat[1::2], strict=True))
        return int(about[b"config-epoch"]), Address(found[0].decode(), int(found[1]))
