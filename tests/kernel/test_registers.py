"""Registers at the boundaries of days, one case each; time is set, not waited for."""

from datetime import date

import pytest
from support import Clock, admit, customer, install, join, ports, term, told

from gateway.core import Core
from gateway.domain.days import Day, day
from gateway.entitlements import ROLLS_MAX
from gateway.kernel import outcomes
from gateway.kernel.errors import StoreUnavailable
from gateway.kernel.keys import keys_of


HOUR_MS = 3_600_000

NORMAL = day(date(2026, 6, 10).toordinal())
BEFORE_23_HOURS = day(date(2026, 3, 7).toordinal())
BEFORE_25_HOURS = day(date(2026, 10, 31).toordinal())


class Stage:
    """A gateway on a day of the test's choice."""

    def __init__(self, core: Core, clock: Clock) -> None:
        self.core = core
        self._clock = clock
        self.entitlements = core.entitlements

    async def at(self, now_ms: int) -> None:
        """It is that time, and the gateway has heard of it."""
        await self._clock.set(now_ms)
        await self.core.kernel.entitlements("acme")

    async def admit(self, *legs: str) -> list[str]:
        """Reasons of the decisions."""
        return [told(await admit(self.core, join(leg))) for leg in legs]

    async def release(self, *legs: str) -> None:
        """Legs end."""
        for leg in legs:
            await self.core.admission.release("acme", leg)

    async def rows(self, first: Day, last: Day) -> dict[str, tuple[int, int, int]]:
        """Committed, peak and overage of ports by date."""
        rows = await self.core.reports.overage("acme", first.ordinal, last.ordinal)
        return {
            day(row.day).date.isoformat(): (row.register.committed, row.register.peak, row.register.overage)
            for row in rows
        }


@pytest.fixture
async def stage(core: Core, clock: Clock) -> Stage:
    """Noon of an ordinary day, with two committed ports and no ceiling."""
    made = Stage(core, clock)
    await made.at(NORMAL.start_ms + 12 * HOUR_MS)
    await install(core.entitlements, customer(ports(2, enforcement="metered")))
    return made


async def test_T4_3_a_leg_that_spans_midnight_counts_at_the_first_instant_although_a_release_comes_first(
    stage: Stage,
) -> None:
    """Three legs at 23:59:59.999, one leaves at 00:00: the new day begins with three."""
    await stage.admit("a", "b", "c")
    following = day(NORMAL.ordinal + 1)
    await stage.at(following.start_ms - 1)
    await stage.at(following.start_ms)
    await stage.release("a")

    assert {"2026-06-10": (2, 3, 1), "2026-06-11": (2, 3, 1)} == await stage.rows(NORMAL, following)


async def test_T4_3_a_release_in_the_last_millisecond_belongs_to_the_old_day(stage: Stage) -> None:
    """One leaves at 23:59:59.999: the new day begins with the two that stay."""
    await stage.admit("a", "b", "c")
    following = day(NORMAL.ordinal + 1)
    await stage.at(following.start_ms - 1)
    await stage.release("a")
    await stage.at(following.start_ms)
    await stage.admit("a2")
    await stage.release("a2", "b", "c")

    assert {"2026-06-10": (2, 3, 1), "2026-06-11": (2, 3, 1)} == await stage.rows(NORMAL, following)


async def test_T4_3_an_admit_may_be_the_first_of_the_day(stage: Stage) -> None:
    """The day begins with one leg and reaches two."""
    await stage.admit("a")
    following = day(NORMAL.ordinal + 1)
    await stage.at(following.start_ms)
    assert ["admitted"] == await stage.admit("b")

    assert {"2026-06-10": (2, 1, 0), "2026-06-11": (2, 2, 0)} == await stage.rows(NORMAL, following)


async def test_T4_3_days_on_which_nothing_happens_count_what_stays(stage: Stage) -> None:
    """Three legs and no operation for three days: each day has its row, and its overage."""
    await stage.admit("a", "b", "c")
    last = day(NORMAL.ordinal + 3)
    await stage.at(last.start_ms + HOUR_MS)

    expected = {f"2026-06-{number}": (2, 3, 1) for number in (10, 11, 12, 13)}
    assert expected == await stage.rows(NORMAL, last)


@pytest.mark.parametrize(
    ("before", "hours"), [(BEFORE_23_HOURS, 23), (BEFORE_25_HOURS, 25)], ids=["a day of 23 hours", "a day of 25 hours"]
)
async def test_T4_3_a_day_ends_when_its_23_or_25_hours_are_over(
    core: Core, clock: Clock, before: Day, hours: int
) -> None:
    """The last millisecond of the day still belongs to it, the next one does not."""
    stage = Stage(core, clock)
    await stage.at(before.start_ms + HOUR_MS)
    await install(core.entitlements, customer(ports(0, enforcement="metered")))
    long_or_short = day(before.ordinal + 1)
    await stage.at(long_or_short.start_ms + hours * HOUR_MS - 1)
    await stage.admit("a", "b")
    await stage.release("a")
    await stage.at(long_or_short.start_ms + hours * HOUR_MS)
    await stage.release("b")

    rows = await stage.rows(before, day(before.ordinal + 2))
    assert [(0, 0, 0), (0, 2, 2), (0, 1, 1)] == list(rows.values())
    assert hours * HOUR_MS == long_or_short.end_ms - long_or_short.start_ms


async def test_T4_3_overage_is_judged_by_the_commitment_of_its_moment(stage: Stage) -> None:
    """Four legs above two committed is two; raising the commitment later takes nothing back, lowering it counts at once."""
    await stage.admit("a", "b", "c", "d")
    await install(stage.entitlements, customer(ports(10, enforcement="metered")))
    assert {"2026-06-10": (10, 4, 2)} == await stage.rows(NORMAL, NORMAL)

    await install(stage.entitlements, customer(ports(1, enforcement="metered")))
    assert {"2026-06-10": (1, 4, 3)} == await stage.rows(NORMAL, NORMAL)


async def test_T4_1_a_limit_lowered_under_load_drops_nobody_and_admits_nobody_until_use_is_below(stage: Stage) -> None:
    """Four legs, then a hard limit of two: all stay, and a new one gets in when three have left."""
    await stage.admit("a", "b", "c", "d")
    await install(stage.entitlements, customer(ports(2)))
    assert ["ports_full"] == await stage.admit("e")
    await stage.release("a", "b")
    assert ["ports_full"] == await stage.admit("f")
    await stage.release("c")
    assert ["admitted"] == await stage.admit("g")


async def test_T1_4_legs_that_outlive_the_term_are_held_at_the_last_commitment(core: Core, clock: Clock) -> None:
    """Three legs over two committed when the term ends: overage of the next day is one, joins are refused, and it ends with the legs."""
    stage = Stage(core, clock)
    await stage.at(NORMAL.start_ms + HOUR_MS)
    held = ports(2, enforcement="metered", **term(NORMAL.date, NORMAL.date))
    await install(core.entitlements, customer(held))
    await stage.at(NORMAL.end_ms - 1)
    assert ["admitted"] * 3 == await stage.admit("a", "b", "c")
    await stage.at(NORMAL.end_ms)
    assert ["subscription_inactive"] == await stage.admit("d")
    await stage.release("a", "b")
    second, third = day(NORMAL.ordinal + 2), day(NORMAL.ordinal + 3)
    await stage.at(second.start_ms + HOUR_MS)
    await stage.release("c")
    await stage.at(third.start_ms + HOUR_MS)

    expected = {"2026-06-10": (2, 3, 1), "2026-06-11": (2, 3, 1), "2026-06-12": (2, 1, 0)}
    assert expected == await stage.rows(NORMAL, third)


async def test_T1_1_a_term_begins_and_ends_with_its_days(core: Core, clock: Clock) -> None:
    """Refused one millisecond before the first day, admitted in its first and in the last one's last millisecond, refused after it."""
    stage = Stage(core, clock)
    await stage.at(NORMAL.start_ms - 1)
    last = day(NORMAL.ordinal + 1)
    await install(core.entitlements, customer(ports(9, **term(NORMAL.date, last.date))))

    assert ["subscription_inactive"] == await stage.admit("a")
    await stage.at(NORMAL.start_ms)
    assert ["admitted"] == await stage.admit("b")
    await stage.at(last.end_ms - 1)
    assert ["admitted"] == await stage.admit("c")
    await stage.at(last.end_ms)
    assert ["subscription_inactive"] == await stage.admit("d")


async def test_time_never_goes_back_over_a_day_that_was_rolled(stage: Stage) -> None:
    """A failover to a slower clock, an hour behind midnight: the new day stays open."""
    following = day(NORMAL.ordinal + 1)
    await stage.at(following.start_ms)
    await stage.admit("a")
    await stage.at(following.start_ms - HOUR_MS)
    await stage.admit("b")

    assert {"2026-06-10": (2, 0, 0), "2026-06-11": (2, 2, 0)} == await stage.rows(NORMAL, following)


async def test_a_customer_that_slept_for_years_is_rolled_through_every_day(stage: Stage) -> None:
    """Two years without an operation: the next decision is made, and the kept rows are there."""
    later = day(NORMAL.ordinal + 730)
    await stage.admit("a")
    await stage.at(later.start_ms + HOUR_MS)
    assert ["admitted"] == await stage.admit("b")

    rows = await stage.rows(day(later.ordinal - 399), later)
    assert 400 == len(rows)
    assert {(2, 1, 0)} == set(list(rows.values())[:-1])
    (key,) = keys_of("acme", ("days",))
    assert 400 + 1 == await stage.core.store.command("HLEN", key), "the rows kept, and the sentinel"


async def test_a_day_that_is_over_is_closed_before_what_is_done(stage: Stage) -> None:
    """A sweep is the first thing that happens on a day: it is asked twice, and answers for the day that is open then."""
    following = day(NORMAL.ordinal + 1)
    await stage.admit("a")
    await stage.at(following.start_ms)
    asked: list[int | outcomes.DayOver] = []

    async def sweep() -> int | outcomes.DayOver:
        asked.append(await stage.core.liveness.sweep("acme"))
        return asked[-1]

    assert 0 == await stage.entitlements.rolled("acme", sweep)
    assert [outcomes.DayOver, int] == [type(each) for each in asked]
    assert following.ordinal == (await stage.entitlements.load("acme")).day


async def test_a_day_that_never_opens_is_given_up(stage: Stage) -> None:
    """An operation that finds its day over each time is asked a bounded number of times, and nothing waits for it for ever."""
    asked = 0

    async def never() -> int | outcomes.DayOver:
        nonlocal asked
        asked += 1
        return outcomes.DayOver(NORMAL.start_ms, 1, NORMAL.ordinal)

    with pytest.raises(StoreUnavailable):
        await stage.entitlements.rolled("acme", never)
    assert ROLLS_MAX == asked
