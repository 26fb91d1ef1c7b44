"""Days are closed and become final to the millisecond; what is known later makes adjustments, and never changes a figure."""

from collections.abc import Callable
from typing import Any

import pytest
from ledger_days import Bucket, at, metered, on
from sqlalchemy import Table, select

from gateway.domain.days import DAY_MS, HOUR_MS, MINUTE_MS, day
from gateway.kernel.keys import bucket_of
from gateway.ledger import schema
from gateway.ledger.closing import Closing
from gateway.ledger.database import Database
from gateway.ledger.figures import DayRow, Figures
from gateway.ledger.late_facts import LATE_LEG, LATE_VERSION, RECONCILED, WATCH_EVERY_MS
from gateway.ledger.lease import LeaseLost


DAY = on("2026-11-20")
CLOSED_MS, FINAL_MS = DAY.end_ms + 2 * HOUR_MS, DAY.end_ms + DAY_MS
LATER_MS = FINAL_MS + HOUR_MS
ON_ONE = pytest.mark.parametrize("ledger_kind", ["sqlite"], indirect=True)
"""Tests of what is the same on every database, by statements that others here run on both."""


async def rows_of(database: Database, table: Table) -> list[Any]:
    """All rows of a table, in the order of its key."""
    async with database.reading() as connection:
        return list((await connection.execute(select(table).order_by(*table.primary_key))).all())


async def states(database: Database) -> dict[int, str]:
    """How far the days of acme are."""
    return {row.day: row.state for row in await rows_of(database, schema.closings)}


async def figure(database: Database, now_ms: int) -> DayRow:
    """The figure of the ports of acme on the day."""
    (row,) = await Figures(database).overage("acme", DAY.ordinal, DAY.ordinal, now_ms)
    return row


def closing_of(acme: Bucket, database: Database, read_until_ms: Callable[[str], int] = lambda _: 1 << 50) -> Closing:
    """As the service makes it after each start; here everything is always read."""
    return Closing(Figures(database), acme.lease, read_until_ms)


async def begun(database: Database, *, connected: bool = True) -> Bucket:
    """One port, and on the day two legs from 9:00 and 10:00, which stay."""
    acme = await Bucket.open(database)
    acme.install(metered(1), at(DAY, 0))
    acme.admit("a", at(DAY, 9))
    acme.admit("b", at(DAY, 10), connected=connected)
    await acme.write()
    return acme


async def test_a_day_is_closed_after_two_hours_and_final_after_a_day(ledger_database: Database) -> None:
    """To the millisecond, and by how far the store was read, not by the clock of this machine."""
    acme = await begun(ledger_database)
    read: dict[str, int] = {}
    closing = closing_of(acme, ledger_database, read.__getitem__)
    found = []
    for read["acme"] in (CLOSED_MS - 1, CLOSED_MS, FINAL_MS - 1, FINAL_MS):
        count = await closing.run_once(LATER_MS)
        found.append((count, (await states(ledger_database)).get(DAY.ordinal)))
    early = await closing_of(acme, ledger_database).run_once(FINAL_MS - 1)

    assert [(0, None), (1, "closed"), (0, "closed"), (1, "final")] == found
    assert (0, "final") == (early, (await figure(ledger_database, LATER_MS)).state)


@ON_ONE
@pytest.mark.parametrize("text", ["2026-11-01", "2026-03-08"])
async def test_days_of_25_and_23_hours_are_closed_by_their_own_end(ledger_database: Database, text: str) -> None:
    """Two hours of time that passes after the midnight that ends them."""
    changed = on(text)
    acme = await Bucket.open(ledger_database)
    acme.install(metered(1), changed.start_ms)
    await acme.write()
    found = []
    for now_ms in (changed.end_ms + 2 * HOUR_MS - 1, changed.end_ms + 2 * HOUR_MS):
        await closing_of(acme, ledger_database).run_once(now_ms)
        found.append(await states(ledger_database))

    assert [{}, {changed.ordinal: "closed"}] == found


@ON_ONE
async def test_what_is_known_before_a_day_is_final_is_in_its_figure(ledger_database: Database) -> None:
    """A leg that is reclaimed 5 h after the end of the day, unheard of since 9:30, counts in the closed figure and not in the final one."""
    acme = await begun(ledger_database)
    closing = closing_of(acme, ledger_database)
    await closing.run_once(CLOSED_MS)
    closed = await figure(ledger_database, CLOSED_MS)
    acme.reclaim("a", DAY.end_ms + 5 * HOUR_MS, at(DAY, 9.5))
    await acme.write()
    between = await figure(ledger_database, FINAL_MS - 1)
    await closing.run_once(FINAL_MS)
    final = await figure(ledger_database, FINAL_MS)

    assert [("closed", 2, 1), ("closed", 2, 1), ("final", 1, 0)] == [
        (row.state, row.peak, row.overage) for row in (closed, between, final)
    ]
    assert () == final.adjustments


async def test_a_final_figure_stays_and_a_late_end_of_a_leg_is_an_adjustment(ledger_database: Database) -> None:
    """A leg is reclaimed 2 days later, unheard of since 9:30: once nobody waits for it, the adjustment says 1 and 0, the figure 2 and 1."""
    acme = await begun(ledger_database)
    closing = closing_of(acme, ledger_database)
    await closing.run_once(FINAL_MS)
    before = await rows_of(ledger_database, schema.days)
    reclaimed_ms = at(DAY, 72)
    acme.reclaim("a", reclaimed_ms, at(DAY, 9.5))
    await acme.write()
    waiting = []
    for now_ms in (reclaimed_ms + MINUTE_MS, reclaimed_ms + 2 * HOUR_MS - 1):
        await closing.run_once(now_ms)
        waiting.append((await figure(ledger_database, now_ms)).adjustments)
    over_ms = reclaimed_ms + 2 * HOUR_MS + WATCH_EVERY_MS
    await acme.writer.give_up(over_ms)
    await closing.run_once(over_ms)
    after = await figure(ledger_database, over_ms)
    await closing_of(acme, ledger_database).run_once(over_ms + WATCH_EVERY_MS)

    assert [(), ()] == waiting
    assert ("final", 2, 1, (1, 0)) == (after.state, after.peak, after.overage, after.current)
    assert [(1, 1, 0, LATE_LEG, over_ms)] == [
        (each.number, each.peak, each.overage, each.cause, each.at_ms) for each in after.adjustments
    ]
    kept = await rows_of(ledger_database, schema.days)
    assert before == [row for row in kept if row.day == DAY.ordinal]
    assert [DAY.ordinal] == [row.day for row in await rows_of(ledger_database, schema.adjustments)]


async def test_entries_that_were_read_late_make_adjustments_one_after_the_other(ledger_database: Database) -> None:
    """Legs of the day that came to be known after it was final: peaks of 3, 4 and (still live) 5 in turn, each told once."""
    acme = await begun(ledger_database)
    closing = closing_of(acme, ledger_database)
    await closing.run_once(FINAL_MS)
    for number in (1, 2):
        acme.admit(f"late{number}", at(DAY, 11))
        acme.release(f"late{number}", at(DAY, 12))
        await acme.write()
        for later in (0, 1, WATCH_EVERY_MS // 2):
            await closing.run_once(LATER_MS + 2 * number * WATCH_EVERY_MS + later)
            await closing_of(acme, ledger_database).run_once(LATER_MS + 2 * number * WATCH_EVERY_MS + later)
    acme.admit("live", at(DAY, 11))
    await acme.write()
    await closing.run_once(LATER_MS + 9 * WATCH_EVERY_MS)
    row = await figure(ledger_database, LATER_MS + 9 * WATCH_EVERY_MS)

    assert (2, 1) == (row.peak, row.overage)
    assert [(1, 3, 2), (2, 4, 3), (3, 5, 4)] == [(each.number, each.peak, each.overage) for each in row.adjustments]


@ON_ONE
async def test_T4_3_a_version_that_is_read_late_makes_an_adjustment(ledger_database: Database) -> None:
    """Two ports instead of one since the morning: no overage any more, in an adjustment."""
    acme = await begun(ledger_database)
    closing = closing_of(acme, ledger_database)
    await closing.run_once(FINAL_MS)
    acme.install(metered(2), at(DAY, 1))
    await acme.write()
    await closing.run_once(LATER_MS)
    row = await figure(ledger_database, LATER_MS)

    assert (2, 1, 1) == (row.peak, row.overage, row.committed)
    assert [(2, 0, LATE_VERSION)] == [(each.peak, each.overage, each.cause) for each in row.adjustments]


@ON_ONE
async def test_a_pool_that_comes_to_be_known_late_has_a_row_with_nothing_but_adjustments(
    ledger_database: Database,
) -> None:
    """Its figure was 0 when the day became final, and says so."""
    acme = await Bucket.open(ledger_database)
    acme.install(None, at(DAY, 0))
    await acme.write()
    closing = closing_of(acme, ledger_database)
    await closing.run_once(FINAL_MS)
    acme.install(metered(0), at(DAY, 1))
    acme.admit("a", at(DAY, 2))
    await acme.write()
    await closing.run_once(LATER_MS)
    row = await figure(ledger_database, LATER_MS)

    assert ("final", 0, 0, (1, 1)) == (row.state, row.peak, row.overage, row.current)


@ON_ONE
async def test_a_day_waits_while_its_bucket_is_in_doubt(ledger_database: Database) -> None:
    """Entries are missing: nothing is closed until the live legs were compared with the store."""
    acme = await begun(ledger_database)
    acme.skip(2)
    acme.admit("c", at(DAY, 12))
    await acme.write()
    closing = closing_of(acme, ledger_database)
    doubtful = await closing.run_once(FINAL_MS), await states(ledger_database)
    await settle(ledger_database)
    certain = await closing.run_once(FINAL_MS), await states(ledger_database)

    assert (0, {}) == doubtful
    assert (1, {DAY.ordinal: "final"}) == certain


async def test_after_a_doubt_the_last_final_days_are_looked_at_again(ledger_database: Database) -> None:
    """What a comparison with the store has found has no entry of its own: it is found because entries of the bucket were missing."""
    acme = await begun(ledger_database)
    closing = closing_of(acme, ledger_database)
    await closing.run_once(FINAL_MS)
    acme.skip(2)
    acme.admit("later", FINAL_MS + 1)
    await acme.write()
    async with ledger_database.writing() as connection:
        row = (await connection.execute(select(schema.live).where(schema.live.c.connection == "b"))).one()
        found = {**row._mapping, "connection": "found", "epoch": row.epoch, "number": -77, "held_ms": at(DAY, 12)}
        await connection.execute(schema.live.insert(), [found])
    await closing.run_once(LATER_MS)
    doubtful = await figure(ledger_database, LATER_MS)
    await settle(ledger_database)
    await closing.run_once(LATER_MS + WATCH_EVERY_MS)
    certain = await figure(ledger_database, LATER_MS + WATCH_EVERY_MS)

    assert () == doubtful.adjustments
    assert [(3, 2)] == [(each.peak, each.overage) for each in certain.adjustments]
    assert certain.adjustments[0].cause in {LATE_LEG, RECONCILED}


async def settle(database: Database) -> None:
    """The bucket was compared with the store."""
    table = schema.positions
    async with database.writing() as connection:
        await connection.execute(table.update().where(table.c.bucket == bucket_of("acme")).values(doubt_ms=None))


@ON_ONE
async def test_a_long_time_is_closed_at_once_and_day_by_day_alike(ledger_database: Database) -> None:
    """70 days with a leg over all of them: final, but for the last ones, whether the ledger was away or not."""
    acme = await begun(ledger_database)
    end = day(DAY.ordinal + 70)
    count = await closing_of(acme, ledger_database).run_once(end.start_ms + 3 * HOUR_MS)
    found = await states(ledger_database)
    rows = await Figures(ledger_database).overage("acme", DAY.ordinal, end.ordinal, end.start_ms + 3 * HOUR_MS)

    assert (70, 69, 1) == (count, list(found.values()).count("final"), list(found.values()).count("closed"))
    assert [("final", 2)] * 69 + [("closed", 2), ("open", 2)] == [(row.state, row.peak) for row in rows]


@ON_ONE
async def test_who_has_lost_the_lease_closes_nothing(ledger_database: Database) -> None:
    """Another process writes: no day is written, and the closing says so."""
    acme = await begun(ledger_database)
    async with ledger_database.writing() as connection:
        await connection.execute(schema.leases.update().values(holder="another"))
    with pytest.raises(LeaseLost):
        await closing_of(acme, ledger_database).run_once(FINAL_MS)

    assert {} == await states(ledger_database)


@ON_ONE
async def test_a_final_day_is_not_written_again_whatever_a_process_believes(ledger_database: Database) -> None:
    """One that remembers the day as open, because another one made it final, leaves the figure as it is."""
    acme = await begun(ledger_database)
    stale = closing_of(acme, ledger_database)
    await stale.run_once(DAY.end_ms)
    await closing_of(acme, ledger_database).run_once(FINAL_MS)
    before = await rows_of(ledger_database, schema.days), await rows_of(ledger_database, schema.closings)
    acme.release("b", at(DAY, 10))
    await acme.write()
    await stale.run_once(FINAL_MS + 1)

    assert before == (await rows_of(ledger_database, schema.days), await rows_of(ledger_database, schema.closings))
