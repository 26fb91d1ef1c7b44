"""Legs that live and lapse: a customer whose time, heartbeats and sweeps are in the hands of a test."""

from typing import Any

import msgspec
from redis.asyncio import Redis
from stage import HOUR_MS, TODAY, Stage
from support import Clock, join

from gateway.core import Core
from gateway.decisions import Confirmation
from gateway.kernel.keys import bucket_key, bucket_of, keys_of
from gateway.kernel.outcomes import Leg


NOON_MS = TODAY.start_ms + 12 * HOUR_MS
BUCKET = bucket_of("acme")
SWEEP_EVERY_S = 10
"""The longest pause between two sweeps that is not taken for a silence."""


class Life(Stage):
    """Customer `acme` of one gateway, at a time of the test's choice."""

    def __init__(self, core: Core, clock: Clock, url: str) -> None:
        super().__init__(core, clock)
        self.url = url
        self.now_ms = NOON_MS

    async def at(self, now_ms: int) -> None:
        """It is that time, and the gateway has heard of it."""
        self.now_ms = now_ms
        await super().at(now_ms)

    async def later(self, seconds: float) -> None:
        """So much time passes, and nobody sweeps."""
        await self.at(self.now_ms + round(seconds * 1000))

    async def clock_back(self, seconds: float) -> None:
        """The store's clock is set back."""
        await self.at(self.now_ms - round(seconds * 1000))

    async def swept_later(self, seconds: int) -> int:
        """So much time passes, and somebody sweeps all the while; how many legs were reclaimed."""
        reclaimed, end_ms = 0, self.now_ms + seconds * 1000
        while self.now_ms < end_ms:
            await self.at(min(self.now_ms + SWEEP_EVERY_S * 1000, end_ms))
            reclaimed += await self.sweep()
        return reclaimed

    async def sweep(self, core: Core | None = None) -> int:
        """One go through the bucket; how many legs were reclaimed."""
        return await (core or self.core).sweeper.sweep(BUCKET)

    async def watched(self) -> None:
        """Sweeps have gone on for so long that the next reclaims what has lapsed."""
        await self.sweep()
        assert 0 == await self.swept_later(30)

    async def confirm(self, connection: str, meeting: str = "m1", **fields: Any) -> Confirmation:
        """A leg is connected."""
        return await self.core.admission.confirm(join(connection, meeting, **fields))

    async def beat(self, *connections: str, node: str = "media-1") -> tuple[int, list[str], list[str]]:
        """A heartbeat of one page: how many legs were renewed, which are unknown, which an operator ended."""
        beat = await self.core.heartbeats.beat(node, {"acme": connections}, page=1, pages=1)
        return beat.renewed, list(beat.unknown.get("acme", ())), list(beat.drop.get("acme", ()))

    async def leg(self, connection: str) -> Leg | None:
        """A live leg."""
        return await self.core.kernel.leg("acme", connection)

    async def attempt(self, connection: str) -> int:
        """Which admit of a leg was the last: its deadline."""
        (key,) = keys_of("acme", ("legs",))
        return int(msgspec.msgpack.decode(await self.core.store.command("HGET", key, connection))[-1])

    async def unanswered(self, connection: str, attempt_ms: int) -> None:
        """Nobody heard what became of that admit."""
        await self.core.kernel.release("acme", connection, cause="unanswered", attempt=attempt_ms)

    async def leases(self) -> dict[str, float]:
        """Seconds that are left of each lease."""
        (key,) = keys_of("acme", ("leases",))
        flat = await self.core.store.command("ZRANGE", key, 0, -1, "WITHSCORES")
        pairs = zip(flat[::2], flat[1::2], strict=True)
        return {name.decode(): (int(end) - self.now_ms) / 1000 for name, end in pairs if name}

    async def counts(self) -> dict[str, int]:
        """All groups that are live, by name; none of it is left when nobody is connected."""
        flat = (await self.core.kernel.dump("acme", 10_000))[2]
        fields = {flat[at].decode(): flat[at + 1] for at in range(0, len(flat), 2)}
        return {name: int(value) for name, value in fields.items() if name[:1].isalpha()}

    async def entries(self, *ops: str) -> list[dict[str, str]]:
        """What the outbox tells of these operations, in order, without the leg records."""
        flat = await self.core.store.command("XRANGE", bucket_key("outbox", BUCKET), "-", "+")
        told = [{fields[at].decode(): fields[at + 1] for at in range(0, len(fields), 2)} for _, fields in flat]
        found = [{name: value.decode() for name, value in each.items() if name not in {"leg", "info"}} for each in told]
        return [each for each in found if each["op"] in ops]

    async def guards(self) -> dict[str, int]:
        """What the bucket keeps beside its epoch: when it was swept, grace, what is held, until when it recovers."""
        flat = await self.core.store.command("HGETALL", bucket_key("meta", BUCKET))
        fields = {flat[at].decode(): flat[at + 1].decode() for at in range(0, len(flat), 2)}
        return {name: int(value) for name, value in fields.items() if name != "server"}

    async def redis(self, *command: Any) -> Any:
        """A command of the test's own."""
        store = Redis.from_url(self.url, protocol=2)
        try:
            return await store.execute_command(*command)  # type: ignore[no-untyped-call]
        finally:
            await store.aclose()


async def living(core: Core, clock: Clock, url: str) -> Life:
    """Noon of an ordinary day."""
    life = Life(core, clock, url)
    await life.at(NOON_MS)
    return life
