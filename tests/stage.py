"""A gateway with a customer on a day of the test's choice, for tests of plans on a real store."""

from datetime import date
from typing import Any

from support import Clock, admit, customer, install, join, told

from gateway.core import Core
from gateway.domain.days import Day, day
from gateway.domain.join import Decision
from gateway.domain.messages import ADVICE
from gateway.kernel.outcomes import Past
from gateway.kernel.past import read_past


HOUR_MS, MINUTE_MS = 3_600_000, 60_000

TODAY = day(date(2026, 6, 10).toordinal())
"""An ordinary day of 24 hours."""

Use = dict[str, tuple[int, int | None, int | None]]
"""Used, committed and ceiling by the name of the limit."""

Refusal = tuple[str, str, Use]
"""Reason, first sentence of what the person is told, and the limit that stood against the join."""


def day_of(text: str) -> Day:
    """The Pacific day with that date."""
    return day(date.fromisoformat(text).toordinal())


def use(decision: Decision) -> Use:
    """The limits that a decision reports."""
    return {each.limit: (each.used, each.committed, each.ceiling) for each in decision.limits}


def refusal(decision: Decision) -> Refusal:
    """How a join was refused."""
    assert not decision.admitted
    return told(decision), ADVICE[decision.reason].message.partition(". ")[0].removesuffix("."), use(decision)


class Stage:
    """Customer `acme` of one gateway."""

    def __init__(self, core: Core, clock: Clock) -> None:
        self.core = core
        self._clock = clock

    async def at(self, now_ms: int) -> None:
        """It is that time, and the gateway has heard of it."""
        await self._clock.set(now_ms)
        await self.core.kernel.entitlements("acme")

    async def hold(self, *subscriptions: dict[str, Any], **fields: Any) -> None:
        """From now on the customer holds these."""
        await install(self.core.entitlements, customer(*subscriptions, **fields))

    async def ask(self, connection: str, meeting: str = "m1", **fields: Any) -> Decision:
        """The decision of a join; in meetings the role is host unless stated."""
        return await admit(self.core, join(connection, meeting, **fields))

    async def told(self, connection: str, meeting: str = "m1", **fields: Any) -> str:
        """The reason of the decision."""
        return told(await self.ask(connection, meeting, **fields))

    async def fill(self, number: int, meeting: str = "m1", *, prefix: str = "fill", **fields: Any) -> None:
        """So many legs join, all of them let in."""
        for position in range(number):
            assert "admitted" == await self.told(f"{prefix}{position}", meeting, **fields)

    async def moved(self, connection: str, meeting: str, origin: str, **fields: Any) -> Decision:
        """The decision of a move from the meeting `origin`."""
        return await self.core.admission.move(join(connection, meeting, **fields), origin, wait_s=30.0)

    async def leave(self, *connections: str) -> None:
        """Legs end."""
        for connection in connections:
            await self.core.admission.release("acme", connection)

    async def pools(self) -> dict[str, int]:
        """Use now, of what counts for the whole customer."""
        return {pool.pool: pool.used for pool in (await self.core.reports.usage("acme")).pools}

    async def tallies(self) -> tuple[int, int]:
        """Legs that joined today, and how many of them were audio-only (T1.2)."""
        snapshot = (await self.core.reports.usage("acme")).snapshot
        return snapshot.joined, snapshot.audio

    async def overage(self, first: Day, last: Day) -> dict[tuple[str, str], tuple[int, int, int]]:
        """Committed, peak and overage by date and pool."""
        rows = await self.core.reports.overage("acme", first.ordinal, last.ordinal)
        return {
            (day(row.day).date.isoformat(), row.pool): (
                row.register.committed,
                row.register.peak,
                row.register.overage,
            )
            for row in rows
        }

    async def past(self) -> Past:
        """What is remembered after legs have gone."""
        return await read_past(self.core.kernel, "acme")

    async def marks(self) -> dict[str, dict[str, bool]]:
        """By set: its members, and whether they are final (a connected leg has made them)."""
        marks = (await self.past()).marks
        return {name: {mark.member: mark.connected_ms is not None for mark in made} for name, made in marks.items()}


async def opened(core: Core, clock: Clock) -> Stage:
    """A stage at noon of an ordinary day; the customer holds nothing yet."""
    stage = Stage(core, clock)
    await stage.at(TODAY.start_ms + 12 * HOUR_MS)
    return stage
