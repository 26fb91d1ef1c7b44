"""Figures of concurrency: worked by hand, and against plain models."""

import itertools
import random
import time
from collections.abc import Sequence
from dataclasses import astuple
from datetime import date

import pytest
from billing_model import Change, PlainRegister, brute_force
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.billing.commitment import CommitmentTimeline, Install
from gateway.domain.billing.concurrency import (
    Interval,
    PoolDay,
    SeatRegister,
    Step,
    held_of_day,
    held_of_days,
    peak_of_day,
    peaks,
)
from gateway.domain.billing.entry import EntryId
from gateway.domain.days import HOUR_MS, MINUTE_MS, Day, day, days_between


FAR_MS = 4_000_000_000_000
"""An instant after everything here."""


def on(text: str) -> Day:
    """The day of a date."""
    return day(date.fromisoformat(text).toordinal())


TODAY = on("2026-11-20")
"""A day of 24 hours."""


def at(hours: float, of: Day = TODAY) -> int:
    """So many hours after a day began."""
    return of.start_ms + round(hours * HOUR_MS)


def leg(number: int, from_ms: int, until_ms: int | None, *, adopted: bool = False) -> Interval:
    """A stretch of the leg of that number."""
    return Interval(from_ms, until_ms, adopted, EntryId(1, number))


def legs(*times: tuple[int, int | None]) -> list[Interval]:
    """A leg for each pair of instants."""
    return [leg(number, *each) for number, each in enumerate(times)]


def timeline(*changes: Change) -> CommitmentTimeline:
    """Commitments from instants on; each is a version that says the same for ever."""
    return CommitmentTimeline(
        [Install(ms, EntryId(0, number), ((1, committed),)) for number, (ms, committed) in enumerate(changes)]
    )


ALWAYS_TWO = timeline((0, 2))


def test_T4_3_overage_is_the_greatest_count_above_the_commitment() -> None:
    """Three of four legs overlap from 10:00 to 11:00, with a commitment of 2: one above, first at 10:00."""
    held = legs((at(8), at(11)), (at(9), at(12)), (at(10), at(13)), (at(12), at(14)))

    assert PoolDay(TODAY.ordinal, 2, 3, at(10), 1, at(10), 0) == peak_of_day(held, TODAY, ALWAYS_TWO, FAR_MS)


def test_T4_3_below_the_commitment_there_is_no_overage() -> None:
    """The overage is 0, never less, has no instant, and the commitment shown is that of the peak."""
    row = peak_of_day(legs((at(8), at(9))), TODAY, ALWAYS_TWO, FAR_MS)

    assert PoolDay(TODAY.ordinal, 2, 1, at(8), 0, None, 0) == row


def test_T4_3_a_leg_that_spans_midnight_counts_at_the_first_instant_of_the_new_day() -> None:
    """Three legs until a minute past midnight, none after: the new day has the peak 3 at 00:00."""
    tomorrow = day(TODAY.ordinal + 1)
    held = legs(*[(at(23 + n / 10), tomorrow.start_ms + MINUTE_MS) for n in range(3)])

    assert [
        PoolDay(TODAY.ordinal, 2, 3, at(23.2), 1, at(23.2), 0),
        PoolDay(tomorrow.ordinal, 2, 3, tomorrow.start_ms, 1, tomorrow.start_ms, 0),
    ] == peaks(held, [TODAY, tomorrow], ALWAYS_TWO, FAR_MS)


def test_T4_3_a_leg_that_ends_at_midnight_is_not_of_the_new_day() -> None:
    """An interval does not contain its end: the new day has a row with the peak 0; one that begins at midnight is the new day's alone."""
    tomorrow = day(TODAY.ordinal + 1)
    ended, begun = legs((at(23), TODAY.end_ms)), legs((TODAY.end_ms, at(25)))

    assert [1, 0] == [row.peak for row in peaks(ended, [TODAY, tomorrow], ALWAYS_TWO, FAR_MS)]
    assert [0, 1] == [row.peak for row in peaks(begun, [TODAY, tomorrow], ALWAYS_TWO, FAR_MS)]


def test_T4_3_at_one_instant_ends_come_before_beginnings() -> None:
    """Two legs that leave as two others come: never more than 2."""
    held = legs((at(8), at(9)), (at(8), at(9)), (at(9), at(10)), (at(9), at(10)))

    assert PoolDay(TODAY.ordinal, 2, 2, at(8), 0, None, 0) == peak_of_day(held, TODAY, ALWAYS_TWO, FAR_MS)


def test_T4_3_a_leg_without_length_is_not_billed() -> None:
    """Neither one that ended where it began, nor one whose last sign of life was before it was connected."""
    held = legs((at(8), at(8)), (at(9), at(8)), (at(8), at(10)))

    assert PoolDay(TODAY.ordinal, 2, 1, at(8), 0, None, 0) == peak_of_day(held, TODAY, ALWAYS_TWO, FAR_MS)


def test_T4_3_stretches_that_follow_each_other_are_as_one() -> None:
    """A leg that moved twice counts one all the time, also at the instants of its moves: the figures are those of one interval."""
    parts = [leg(0, at(8), at(9)), leg(0, at(9), at(9)), leg(0, at(9), at(12)), leg(1, at(9), at(10))]
    whole = [leg(0, at(8), at(12)), leg(1, at(9), at(10))]

    assert PoolDay(TODAY.ordinal, 2, 2, at(9), 0, None, 0) == peak_of_day(parts, TODAY, ALWAYS_TWO, FAR_MS)
    assert peaks(whole, [TODAY], ALWAYS_TWO, FAR_MS) == peaks(parts, [TODAY], ALWAYS_TWO, FAR_MS)


def test_T4_3_a_live_leg_counts_up_to_now_and_days_to_come_have_no_row() -> None:
    """At 12:00 today it is there; a leg that is said to begin later is not yet, and tomorrow is not reported."""
    days = days_between(TODAY.ordinal, TODAY.ordinal + 1)
    held = legs((at(8), None), (at(12), None), (at(13), None))

    assert [PoolDay(TODAY.ordinal, 2, 2, at(12), 0, None, 0)] == peaks(held, days, ALWAYS_TWO, at(12))
    assert [3, 3] == [row.peak for row in peaks(held, days, ALWAYS_TWO, FAR_MS)]


def test_T4_3_adopted_legs_of_the_peak_are_told() -> None:
    """Of three legs at the peak one had been adopted; another adopted one had left before."""
    held = [
        leg(0, at(7), at(8), adopted=True), leg(1, at(8), at(12)), leg(2, at(9), at(12), adopted=True),
        leg(3, at(10), at(11)), leg(4, at(11), at(13), adopted=True),
    ]  # fmt: skip

    assert PoolDay(TODAY.ordinal, 2, 3, at(10), 1, at(10), 1) == peak_of_day(held, TODAY, ALWAYS_TWO, FAR_MS)


@pytest.mark.parametrize(("text", "hours"), [("2026-03-08", 23), ("2026-11-01", 25)])
def test_T4_3_a_day_of_another_length_is_counted_from_midnight_to_midnight(text: str, hours: int) -> None:
    """One leg in its last half hour, two in the half hour after it, which is the next day's."""
    asked, following = on(text), day(on(text).ordinal + 1)
    end_ms = asked.start_ms + hours * HOUR_MS
    half = HOUR_MS // 2
    held = legs((end_ms - half, end_ms), (end_ms, end_ms + half), (end_ms, end_ms + half))

    assert [
        PoolDay(asked.ordinal, 1, 1, end_ms - half, 0, None, 0),
        PoolDay(following.ordinal, 1, 2, end_ms, 1, end_ms, 0),
    ] == peaks(held, [asked, following], timeline((0, 1)), FAR_MS)


def test_T4_3_the_hour_that_comes_twice_is_two_hours() -> None:
    """On 1 November 01:30 comes twice: legs of the first and of the second one do not overlap, one over both does."""
    asked = on("2026-11-01")
    first, second = asked.start_ms + 3 * HOUR_MS // 2, asked.start_ms + 5 * HOUR_MS // 2
    held = legs((first, first + MINUTE_MS), (second, second + MINUTE_MS), (first, second + MINUTE_MS))

    assert PoolDay(asked.ordinal, 1, 2, first, 1, first, 0) == peak_of_day(held, asked, timeline((0, 1)), FAR_MS)
    assert 1 == held_peak(held[:2], asked)


def held_peak(held: Sequence[Interval], asked: Day) -> int:
    """The peak of a day that has a row."""
    row = peak_of_day(held, asked, ALWAYS_TWO, FAR_MS)
    assert row is not None
    return row.peak


@pytest.mark.parametrize("text", ["2026-01-31", "2026-02-28", "2028-02-29", "2026-12-31"])
def test_T4_3_a_leg_over_the_end_of_a_month_or_year_counts_on_both_sides(text: str) -> None:
    """From 23:00 to 01:00: one on the last day, at 23:00, one on the first, at 00:00, none on the day after."""
    asked = days_between(on(text).ordinal, on(text).ordinal + 2)
    held = legs((asked[0].end_ms - HOUR_MS, asked[1].start_ms + HOUR_MS))

    assert [(1, asked[0].end_ms - HOUR_MS), (1, asked[1].start_ms), (0, asked[2].start_ms)] == [
        (row.peak, row.peak_at_ms) for row in peaks(held, asked, ALWAYS_TWO, FAR_MS)
    ]


def test_T4_3_a_commitment_that_is_lowered_is_judged_with_the_count_of_its_instant() -> None:
    """Four legs under a commitment of 5; at 12:00, with three left, it becomes 1: two above, and the peak stays 4 at 09:00."""
    held = legs((at(8), at(13)), (at(8), at(13)), (at(8), at(13)), (at(9), at(10)))
    commitments = timeline((0, 5), (at(12), 1))

    assert PoolDay(TODAY.ordinal, 1, 4, at(9), 2, at(12), 0) == peak_of_day(held, TODAY, commitments, FAR_MS)


def test_T4_3_a_commitment_that_is_raised_does_not_take_back_the_overage_of_before() -> None:
    """Three legs above 1 make 2 at 09:00; from 10:00 on five are allowed, and six at 11:00 are only one above."""
    held = legs(*[(at(9), at(12))] * 3, *[(at(11), at(12))] * 3)
    commitments = timeline((0, 1), (at(10), 5))

    assert PoolDay(TODAY.ordinal, 1, 6, at(11), 2, at(9), 0) == peak_of_day(held, TODAY, commitments, FAR_MS)


def test_T4_3_a_leg_that_leaves_as_the_commitment_is_lowered_is_not_judged_by_it() -> None:
    """It ends at the very instant of the change: the count of that instant is without it. One that comes then is in it."""
    commitments = timeline((0, 5), (at(12), 0))

    assert PoolDay(TODAY.ordinal, 5, 1, at(8), 0, None, 0) == peak_of_day(
        legs((at(8), at(12))), TODAY, commitments, FAR_MS
    )
    assert PoolDay(TODAY.ordinal, 0, 1, at(12), 1, at(12), 0) == peak_of_day(
        legs((at(12), at(13))), TODAY, commitments, FAR_MS
    )


def test_T4_3_a_pool_without_a_commitment_has_no_rows() -> None:
    """Never any: no row. One from noon on: legs that are there count from noon on, whenever they came."""
    held = legs((at(8), at(10)), (at(9), at(13)))

    assert [] == peaks(held, [TODAY], timeline(), FAR_MS)
    assert [] == peaks(held, [TODAY], timeline((0, None)), FAR_MS)
    assert [PoolDay(TODAY.ordinal, 0, 1, at(12), 1, at(12), 0)] == peaks(held, [TODAY], timeline((at(12), 0)), FAR_MS)


def test_T1_4_after_the_term_live_legs_are_held_at_the_last_commitment() -> None:
    """Two legs stay over the end, one joins after it: the next day has 2 above 1, the day after 1, and then there is nobody."""
    days = days_between(TODAY.ordinal, TODAY.ordinal + 3)
    ended = TODAY.end_ms
    held = legs((at(20), at(30)), (at(21), at(50)), (ended, None), (at(26), None))

    assert [
        PoolDay(days[0].ordinal, 1, 2, at(21), 1, at(21), 0),
        PoolDay(days[1].ordinal, 1, 2, ended, 1, ended, 0),
        PoolDay(days[2].ordinal, 1, 1, days[2].start_ms, 0, None, 0),
    ] == peaks(held, days, timeline((0, 1), (ended, None)), FAR_MS)


def test_T1_4_a_leg_that_moves_inside_the_pool_after_the_term_stays_in_it() -> None:
    """Its stretches follow each other, from before the end on; after a time outside the pool it has joined anew, and does not count."""
    days = days_between(TODAY.ordinal, TODAY.ordinal + 2)
    commitments = timeline((0, 1), (TODAY.end_ms, None))
    moved = [leg(0, at(20), TODAY.end_ms), leg(0, TODAY.end_ms, at(30)), leg(0, at(30), at(50))]
    away = [leg(0, at(20), at(26)), leg(0, at(27), at(50))]

    assert [1, 1, 1] == [row.peak for row in peaks(moved, days, commitments, FAR_MS)]
    assert [1, 1] == [row.peak for row in peaks(away, days, commitments, FAR_MS)]


def test_T1_4_with_a_new_commitment_all_who_are_there_count_again() -> None:
    """One who joined while nothing was committed is in the pool from the first instant of the next order on."""
    held = legs((at(8), at(20)), (at(11), at(20)), (at(12), at(14)))
    commitments = timeline((0, 1), (at(10), None), (at(15), 1))

    assert PoolDay(TODAY.ordinal, 1, 2, at(15), 1, at(15), 0) == peak_of_day(held, TODAY, commitments, FAR_MS)


def test_T4_3_a_month_of_fifty_thousand_legs_takes_a_blink() -> None:
    """One pass over all of them for all days: well under 0.3 s of processor time, of which 1 s is asserted because machines are shared."""
    draw = random.Random(5)
    days = days_between(on("2026-11-01").ordinal, on("2026-11-30").ordinal)
    first, last = days[0].start_ms, days[-1].end_ms
    begins = [draw.randrange(first, last) for _ in range(50_000)]
    held = [leg(n, ms, ms + draw.randrange(2 * HOUR_MS)) for n, ms in enumerate(begins)]
    began = time.process_time()
    rows = peaks(held, days, timeline((0, 60)), FAR_MS)
    spent_s = time.process_time() - began

    assert 30 == len(rows)
    assert spent_s < 1.0, spent_s


RANGES = [("2026-03-07", "2026-03-09"), ("2026-10-31", "2026-11-02"), ("2026-12-30", "2027-01-01")]
DAYS = st.sampled_from([days_between(on(first).ordinal, on(last).ordinal) for first, last in RANGES])


@st.composite
def billed(draw: st.DrawFn) -> tuple[list[Day], list[Interval], list[Change], int]:
    """Days, stretches of legs that move, leave and come back, commitments that come and go, and now; many things at the same instants."""
    days = draw(DAYS)
    edges = [each.start_ms for each in days] + [days[-1].end_ms]
    marks = st.builds(int.__add__, st.sampled_from(edges), st.sampled_from([-HOUR_MS, -1, 0, 1, HOUR_MS]))
    instants = marks | st.integers(days[0].start_ms - HOUR_MS, days[-1].end_ms + HOUR_MS)
    held: list[Interval] = []
    for number in range(draw(st.integers(0, 12))):
        points = sorted(draw(st.lists(instants, min_size=2, max_size=5)))
        gone = draw(st.sets(st.integers(0, 3), max_size=1))
        adopted = draw(st.booleans())
        stretches = [leg(number, *pair, adopted=adopted) for pair in itertools.pairwise(points)]
        if draw(st.booleans()):
            stretches[-1] = stretches[-1]._replace(until_ms=None)
        held += [each for position, each in enumerate(stretches) if position not in gone]
    changed = sorted(draw(st.lists(instants, max_size=4, unique=True)))
    changes = [(ms, draw(st.none() | st.integers(0, 4))) for ms in changed]
    if draw(st.booleans()):
        changes = [(days[0].start_ms - 2 * HOUR_MS, draw(st.integers(0, 4))), *changes]
    return days, draw(st.permutations(held)), changes, draw(st.just(FAR_MS) | instants)


@settings(max_examples=300, deadline=None, print_blob=True)
@given(given_all=billed())
def test_T4_3_T8_2_T1_4_figures_are_those_of_asking_at_every_instant(
    given_all: tuple[list[Day], list[Interval], list[Change], int],
) -> None:
    """Days of 23 and 25 hours and the turn of a year, in one pass and day by day, equal to brute force to the last leg."""
    days, held, changes, now_ms = given_all
    expected = [row for each in days if (row := brute_force(held, each, changes, now_ms))]

    assert expected == peaks(held, days, timeline(*changes), now_ms)
    alone = [peak_of_day(held, each, timeline(*changes), now_ms) for each in days]
    assert expected == [row for row in alone if row is not None]


# The registers of seats that are held, in the exact order of entries.


def step(number: int, ms: int, delta: int) -> Step:
    """A step of the entry of that number."""
    return Step(ms, EntryId(1, number), delta)


def committed(*changes: tuple[int, int, int | None]) -> CommitmentTimeline:
    """Versions: the number of the entry, the instant, the commitment."""
    return CommitmentTimeline([Install(ms, EntryId(1, number), ((1, many),)) for number, ms, many in changes])


def test_T4_3_the_register_follows_entries_and_not_instants() -> None:
    """A seat is given back and taken in one millisecond: whether there were two at a time is what the order of the entries says."""
    given_first = [step(1, at(8), 1), step(2, at(9), -1), step(3, at(9), 1)]
    taken_first = [step(1, at(8), 1), step(2, at(9), 1), step(3, at(9), -1)]
    commitments = committed((0, at(0), 1))

    assert SeatRegister(1, 1, at(8), 0, at(0)) == held_of_day(given_first, TODAY, commitments, FAR_MS)
    assert SeatRegister(1, 2, at(9), 1, at(9)) == held_of_day(taken_first, TODAY, commitments, FAR_MS)


def test_T4_3_the_register_of_a_day_begins_with_the_seats_that_are_held() -> None:
    """A seat given back as the first thing of the day was held at 00:00; a day on which nothing happens has a row."""
    days = days_between(TODAY.ordinal, TODAY.ordinal + 2)
    steps = [step(1, at(8), 1), step(2, at(9), 1), step(3, at(25), -1)]
    rows = held_of_days(steps, days, committed((0, at(0), 1)), FAR_MS)

    assert {
        days[0].ordinal: SeatRegister(1, 2, at(9), 1, at(9)),
        days[1].ordinal: SeatRegister(1, 2, at(24), 1, at(24)),
        days[2].ordinal: SeatRegister(1, 1, at(48), 0, at(48)),
    } == rows
    assert rows[days[1].ordinal] == held_of_day(steps[2:], days[1], committed((0, at(0), 1)), FAR_MS, seats=2)


def test_T4_3_an_instant_before_the_open_day_counts_as_its_first() -> None:
    """After midnight the clock is set back by a second: the day is not opened again, and the peak is at 00:00."""
    steps = [step(1, TODAY.end_ms, 1), step(2, TODAY.end_ms - 1000, 1)]
    rows = held_of_days(steps, days_between(TODAY.ordinal, TODAY.ordinal + 1), committed((0, at(0), 1)), FAR_MS)

    assert {
        TODAY.ordinal: SeatRegister(1, 0, at(0), 0, at(0)),
        TODAY.ordinal + 1: SeatRegister(1, 2, TODAY.end_ms, 1, TODAY.end_ms),
    } == rows


def test_T1_4_seats_that_are_taken_after_the_term_do_not_move_the_register() -> None:
    """Two held as the order is dropped at noon; three more come. The next day is held at 2, until a new order counts all five."""
    steps = [step(n, at(8 + n), 1) for n in (1, 2)] + [step(n, at(12 + n), 1) for n in (4, 5, 6)]
    dropped = (0, at(0), 1), (3, at(12), None)
    commitments = committed(*dropped, (9, at(30), 4))
    days = days_between(TODAY.ordinal, TODAY.ordinal + 1)

    assert {
        days[0].ordinal: SeatRegister(1, 2, at(10), 1, at(10)),
        days[1].ordinal: SeatRegister(4, 5, at(30), 1, at(24)),
    } == held_of_days(steps, days, commitments, FAR_MS)
    assert SeatRegister(1, 2, at(24), 1, at(24)) == held_of_day(steps, days[1], committed(*dropped), at(29))
    assert SeatRegister(4, 5, at(30), 1, at(24)) == held_of_day(steps, days[1], commitments, FAR_MS)


def test_T1_4_when_nobody_has_stayed_the_register_goes() -> None:
    """All left before midnight: the day after the order has no row, even with somebody there who came later."""
    steps = [step(1, at(8), 1), step(2, at(9), -1)]
    days = days_between(TODAY.ordinal, TODAY.ordinal + 1)
    rows = held_of_days([*steps, step(4, at(26), 1)], days, committed((0, at(0), 1), (3, at(12), None)), FAR_MS)

    assert {TODAY.ordinal: SeatRegister(1, 1, at(8), 0, at(0))} == rows


Replayed = tuple[list[Day], list[Step], CommitmentTimeline, int, PlainRegister, dict[int, int]]


@st.composite
def replays(draw: st.DrawFn) -> Replayed:
    """Operations of a store whose clock may go back, done to a plain register and written down; also the seats at each midnight."""
    days = draw(DAYS)
    now_ms = days[0].start_ms + draw(st.integers(0, HOUR_MS))
    by_day = st.fixed_dictionaries({each.ordinal: st.none() | st.integers(0, 3) for each in days})
    terms: dict[int, int | None] = dict.fromkeys([each.ordinal for each in days])
    plain, steps, installs = PlainRegister(days[0]), list[Step](), list[Install]()
    at_midnight = {days[0].ordinal: 0}
    operations = draw(st.lists(st.sampled_from(["take", "take", "give", "move", "install", "wait"]), max_size=40))
    for number, operation in enumerate(["install", *operations, "wait"]):
        passed = st.sampled_from([0, 0, 1, 2 * HOUR_MS, 13 * HOUR_MS, -1000, days[1].start_ms - now_ms])
        now_ms = min(max(now_ms + draw(passed), days[0].start_ms), days[-1].end_ms - 1)
        while now_ms >= plain.day.end_ms:
            following = day(plain.day.ordinal + 1)
            plain.roll(following, terms[following.ordinal])
            at_midnight[following.ordinal] = plain.seats
        at_ms, entry = max(now_ms, plain.day.start_ms), EntryId(1, number)
        match operation:
            case "install":
                terms = draw(by_day)
                plain.install(terms[plain.day.ordinal], at_ms)
                installs.append(Install(at_ms, entry, tuple(sorted(terms.items()))))
            case "take":
                plain.take(at_ms)
                steps.append(Step(at_ms, entry, 1))
            case "give" if plain.seats:
                plain.give()
                steps.append(Step(at_ms, entry, -1))
            case "move" if plain.seats:
                plain.stay(at_ms)
                steps.append(Step(at_ms, entry, 0))
    return days, draw(st.permutations(steps)), CommitmentTimeline(installs), at_ms, plain, at_midnight


@settings(max_examples=300, deadline=None, print_blob=True)
@given(replay=replays())
def test_T4_3_T1_4_registers_are_those_of_a_store_that_is_told_entry_after_entry(replay: Replayed) -> None:
    """All days in one pass, each day alone from all steps, and each day with a commitment from its own steps and the seats at midnight."""
    days, steps, commitments, now_ms, plain, at_midnight = replay
    expected = plain.all_rows()
    reached = [each for each in days if each.ordinal in at_midnight]

    assert expected == {
        ordinal: astuple(row) for ordinal, row in held_of_days(steps, days, commitments, now_ms).items()
    }
    for each in reached:
        row = held_of_day(steps, each, commitments, now_ms)
        assert expected.get(each.ordinal) == (astuple(row) if row else None)
        span = commitments.at(each.start_ms)
        if span is not None and span.ended_ms is None:
            own = [one for one in steps if one.at_ms >= each.start_ms]
            alone = held_of_day(own, each, commitments, now_ms, at_midnight[each.ordinal])
            assert expected.get(each.ordinal) == (astuple(alone) if alone else None)
