"""The three-way check: every kind of finding opens with all three values, and closes when what it says has gone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from ledger_days import EPOCH, Bucket, at, metered, on
from sqlalchemy import select

from gateway.domain.billing.entry import EntryId
from gateway.domain.days import DAY_MS, HOUR_MS, day
from gateway.kernel.kernel import DAYS_KEPT
from gateway.kernel.keys import bucket_of
from gateway.kernel.outcomes import Register
from gateway.ledger import schema
from gateway.ledger.checking import AGAIN_EVERY_MS, Check, Verified
from gateway.ledger.closing import Closing
from gateway.ledger.database import Database
from gateway.ledger.explaining import explain
from gateway.ledger.figures import Figures
from gateway.ledger.remembering import Remembered, put_remembered, remembered_of
from gateway.remembered import SeenRegister


DAY = on("2026-11-20")
NOW_MS = DAY.end_ms + 2 * HOUR_MS
PORTS = DAY.ordinal, "ports"
ON_ONE = pytest.mark.parametrize("ledger_kind", ["sqlite"], indirect=True)
"""Tests of what is the same on every database, by statements that others here run on both."""
RIGHT = Register(1, 2, at(DAY, 10), 1, at(DAY, 10))


@dataclass
class World:
    """A ledger, and what the store would answer."""

    database: Database
    acme: Bucket
    registers: dict[tuple[int, str], Register] = field(default_factory=dict)

    async def of_store(self, _: str, days: Sequence[int]) -> Mapping[tuple[int, str], Register]:
        """The registers of the store."""
        return {place: register for place, register in self.registers.items() if place[0] in days}

    def check(self) -> Check:
        """As the service makes it."""
        return Check(Figures(self.database), self.acme.lease, self.of_store)

    async def close(self, now_ms: int = NOW_MS) -> None:
        """Closes what is due."""
        await Closing(Figures(self.database), self.acme.lease, lambda _: now_ms).run_once(now_ms)

    async def verify(self, now_ms: int = NOW_MS) -> Verified:
        """The day."""
        return await self.check().verify("acme", DAY.ordinal, DAY.ordinal, now_ms)

    async def findings(self) -> list[tuple[Any, ...]]:
        """Kind, values, whether it is open."""
        async with self.database.reading() as connection:
            rows = (await connection.execute(select(schema.findings).order_by(schema.findings.c.id))).all()
        return [(row.kind, row.replayed, row.registered, row.remembered, row.closed_ms is None) for row in rows]


@pytest.fixture
async def world(ledger_database: Database) -> World:
    """One port, and on the day two legs from 9:00 and 10:00 to noon; the register says so."""
    acme = await Bucket.open(ledger_database)
    acme.install(metered(1), at(DAY, 0))
    for name, hour in (("a", 9), ("b", 10)):
        acme.admit(name, at(DAY, hour))
    for name in ("a", "b"):
        acme.release(name, at(DAY, 12))
    await acme.write()
    return World(ledger_database, acme, {PORTS: RIGHT})


async def remember(world: World, *counts: tuple[int, int]) -> None:
    """Gateways tell what they remember: peak and overage."""
    for peak, overage in counts:
        async with world.database.writing() as connection:
            await put_remembered(connection, [Remembered("acme", DAY.ordinal, "ports", peak, overage)])


@ON_ONE
async def test_where_all_three_agree_nothing_is_found(world: World) -> None:
    """Days that were closed are checked once; a gateway may remember less."""
    await remember(world, (2, 1), (1, 0))
    await world.close()
    check = world.check()

    assert (1, 0) == (await check.run_once(NOW_MS), await check.run_once(NOW_MS + 1))
    assert [] == await world.findings()


async def test_a_register_that_differs_is_a_finding_until_it_agrees(world: World) -> None:
    """It opens with the three values when the day is closed, follows what they become, closes when they agree again, and stays on record."""
    await remember(world, (2, 1))
    world.registers[PORTS] = Register(1, 3, at(DAY, 10), 2, at(DAY, 10))
    await world.close()
    check = world.check()
    await check.run_once(NOW_MS)
    opened = await world.findings()
    world.registers[PORTS] = Register(1, 2, at(DAY, 10), 2, at(DAY, 10))
    await check.run_once(NOW_MS + AGAIN_EVERY_MS - 1)
    same = await world.findings()
    await check.run_once(NOW_MS + AGAIN_EVERY_MS)
    fewer = await world.findings()
    world.registers[PORTS] = RIGHT
    await check.run_once(NOW_MS + 2 * AGAIN_EVERY_MS)
    closed = await world.findings()
    world.registers[PORTS] = Register(1, 3, at(DAY, 10), 1, at(DAY, 10))
    await world.verify()

    peak, overage = ("register_differs", 2, 3, 2), ("register_overage_differs", 1, 2, 1)
    assert [(*peak, True), (*overage, True)] == opened
    assert opened == same
    assert [(*peak, False), (*overage, True)] == fewer
    assert [(*peak, False), (*overage, False)] == closed
    assert [(*peak, True), (*overage, False)] == await world.findings()


@ON_ONE
async def test_a_register_that_is_missing_is_a_finding(world: World) -> None:
    """Nothing in the store, where replay has a row; the other way round too, of a pool that the ledger knows nothing of."""
    world.registers.clear()
    world.registers[DAY.ordinal, "china"] = Register(5, 0, 0, 0, 0)
    await world.verify()

    assert [
        ("register_differs", None, 0, None, True),
        ("register_overage_differs", None, 0, None, True),
        ("register_differs", 2, None, None, True),
        ("register_overage_differs", 1, None, None, True),
    ] == await world.findings()


@ON_ONE
async def test_registers_that_the_store_has_dropped_are_not_missed(world: World) -> None:
    """It keeps 400 days: of one before them nothing is found, and findings that were open stay."""
    last_ms, first_ms = day(DAY.ordinal + DAYS_KEPT).start_ms, day(DAY.ordinal + DAYS_KEPT + 1).start_ms
    world.registers.clear()
    kept = await world.verify(last_ms)
    dropped = await world.verify(first_ms)

    assert (2, 0) == (len(kept.differences), len(dropped.differences))
    assert [True, True] == [row[-1] for row in await world.findings()]


async def test_a_gateway_that_remembers_more_than_the_register_is_a_finding(world: World) -> None:
    """The greatest that any gateway was told, in any order of telling; below it nothing is found."""
    await remember(world, (5, 1), (3, 4), (1, 0))
    await world.verify()
    opened = await world.findings()
    world.registers[PORTS] = Register(1, 5, at(DAY, 10), 4, at(DAY, 10))
    await world.verify()

    assert [("remembered_above", 2, 2, 5, True), ("remembered_overage_above", 1, 1, 4, True)] == opened
    assert [
        ("remembered_above", 2, 2, 5, False),
        ("remembered_overage_above", 1, 1, 4, False),
        ("register_differs", 2, 5, 5, True),
        ("register_overage_differs", 1, 4, 4, True),
    ] == await world.findings()


async def test_what_a_gateway_keeps_is_told_by_the_names_of_reports(world: World) -> None:
    """Groups without a commitment are left out."""
    seen = [SeenRegister(DAY.ordinal, group, 1, 4, 0, 3, 0) for group in ("ports", "china", "hosts")]
    async with world.database.writing() as connection:
        await put_remembered(connection, remembered_of("acme", seen))
        found = (await connection.execute(select(schema.remembered).order_by(schema.remembered.c.pool))).all()

    assert [("acme", DAY.ordinal, "china", 4, 3), ("acme", DAY.ordinal, "ports", 4, 3)] == [tuple(row) for row in found]


@ON_ONE
async def test_what_is_billed_was_held_apart_from_legs_that_were_adopted_again(world: World) -> None:
    """Three are billed at 14:30, one of them reclaimed too early; nobody but two ever held a seat, and that is right."""
    world.acme.admit("c", at(DAY, 13))
    world.acme.reclaim("c", at(DAY, 14), at(DAY, 13.9))
    for name in ("d", "e"):
        world.acme.admit(name, at(DAY, 14.5))
    world.acme.release("d", at(DAY, 15))
    world.acme.admit("c", at(DAY, 15.5), adopted=True)
    for name in ("c", "e"):
        world.acme.release(name, at(DAY, 16))
    await world.acme.write()
    (row,) = await Figures(world.database).overage("acme", DAY.ordinal, DAY.ordinal, NOW_MS)

    assert (3, 2, ()) == (row.peak, row.held_peak, (await world.verify()).differences)


@ON_ONE
async def test_more_billed_than_held_is_a_finding(world: World) -> None:
    """Somebody has changed the table: a leg is billed before it was let in."""
    legs = schema.legs
    async with world.database.writing() as connection:
        await connection.execute(
            legs.update()
            .where(legs.c.connection == "b")
            .values(held_ms=at(DAY, 13), number=50, freed_ms=at(DAY, 14), freed_number=51)
        )
    world.registers[PORTS] = Register(1, 1, at(DAY, 10), 0, at(DAY, 10))
    await world.verify()
    opened = await world.findings()
    async with world.database.writing() as connection:
        await connection.execute(
            legs.update()
            .where(legs.c.connection == "b")
            .values(held_ms=at(DAY, 10), number=2, freed_ms=at(DAY, 12), freed_number=4)
        )
    await world.verify()

    assert ("billed_above_held", 2, 1, None, True) in opened
    assert ("billed_above_held", 2, 1, None, False) in await world.findings()


async def test_a_figure_that_replay_does_not_give_any_more_is_a_finding_until_it_is_adjusted(world: World) -> None:
    """Of three legs one is reclaimed 2 days later, never heard of: found against the overage of 2, and gone with the adjustment to 1."""
    for name in ("c", "d", "e"):
        world.acme.admit(name, at(DAY, 13))
    for name in ("d", "e"):
        world.acme.release(name, at(DAY, 14))
    await world.acme.write()
    world.registers[PORTS] = Register(1, 3, at(DAY, 13), 2, at(DAY, 13))
    await world.close(DAY.end_ms + DAY_MS)
    world.acme.reclaim("c", at(DAY, 72), at(DAY, 13))
    await world.acme.write()
    found = await world.verify(at(DAY, 72))
    opened = await world.findings()
    await world.acme.writer.give_up(at(DAY, 74))
    await world.close(at(DAY, 74))
    await world.verify(at(DAY, 74))

    assert ["written: peak 3, overage 2; by replay now: peak 2, overage 1"] == [
        one.detail for _, one in found.differences
    ]
    assert [("figure_differs", 1, 2, None, True)] == opened
    assert [("figure_differs", 1, 2, None, False)] == await world.findings()


async def test_a_day_with_a_gap_has_a_finding_that_names_it_and_no_other(world: World) -> None:
    """Two entries are missing between noon and 13:00: registers may differ, and the days before and after are as certain as ever."""
    world.acme.skip(2)
    world.acme.admit("c", at(DAY, 13))
    world.acme.release("c", at(DAY, 14))
    await world.acme.write()
    world.registers[PORTS] = Register(1, 7, at(DAY, 12), 6, at(DAY, 12))
    world.registers[DAY.ordinal + 1, "ports"] = Register(1, 1, 0, 0, 0)
    doubtful = await world.verify(DAY.end_ms + DAY_MS)
    async with world.database.writing() as connection:
        table = schema.positions
        await connection.execute(table.update().where(table.c.bucket == bucket_of("acme")).values(doubt_ms=None))
    found = await world.check().verify("acme", DAY.ordinal, DAY.ordinal + 1, DAY.end_ms + DAY_MS)

    assert (("acme",), ()) == (doubtful.doubtful, doubtful.differences)
    assert [(DAY.ordinal, "", "gap"), (DAY.ordinal + 1, "ports", "register_differs")] == [
        (one.day, one.pool, one.kind) for _, one in found.differences
    ]
    gap = found.differences[0][1].detail
    assert gap == (
        f"entries {EPOCH}-5 to {EPOCH}-6 are missing (not in the outbox any more), "
        "between 2026-11-20T20:00:00.000Z and 2026-11-20T21:00:00.000Z"
    )
    explained = await explain(Figures(world.database), "acme", DAY.ordinal, "ports", DAY.end_ms + DAY_MS)
    assert (gap, ["gap"]) == (explained.gap, [finding.kind for finding in explained.findings])


@ON_ONE
async def test_a_day_on_which_the_store_lost_legs_is_not_compared_with_its_register(world: World) -> None:
    """A leg that was adopted by a store that had lost it: its register began anew, and may say anything."""
    world.acme.admit("c", at(DAY, 13))
    world.acme.new_epoch(EPOCH + 1, at(DAY, 14), EntryId(EPOCH, 5), lost=True)
    world.acme.admit("c", at(DAY, 14), adopted=True)
    world.acme.release("c", at(DAY, 15))
    await world.acme.write()
    async with world.database.writing() as connection:
        await connection.execute(schema.gaps.delete())
        await connection.execute(schema.positions.update().values(doubt_ms=None))
    world.registers[PORTS] = Register(1, 1, at(DAY, 14), 0, at(DAY, 14))

    assert () == (await world.verify()).differences


@ON_ONE
async def test_what_is_in_doubt_when_it_is_closed_is_checked_later(world: World) -> None:
    """The check waits for the comparison with the store, and then looks at the day that it had left."""
    await world.close()
    world.registers.clear()
    table = schema.positions
    async with world.database.writing() as connection:
        await connection.execute(table.update().values(doubt_ms=1))
    check = world.check()
    waiting = await check.run_once(NOW_MS), await world.findings()
    async with world.database.writing() as connection:
        await connection.execute(table.update().values(doubt_ms=None))

    assert (0, []) == waiting
    assert (1, 2) == (await check.run_once(NOW_MS + 1), len(await world.findings()))


@ON_ONE
async def test_verifying_tells_how_far_it_is_and_needs_neither_store_nor_lease(world: World) -> None:
    """All customers, 40 days in two parts: nothing is written, and nothing is said of registers."""
    world.registers.clear()
    told: list[tuple[int, int]] = []
    check = Check(Figures(world.database), None, None)
    found = await check.verify(
        None, DAY.ordinal - 38, DAY.ordinal + 5, NOW_MS + DAY_MS, lambda done, total: told.append((done, total))
    )

    assert (40, (), ()) == (found.days, found.doubtful, found.differences)
    assert [(31, 40), (40, 40)] == told
    assert [] == await world.findings()
