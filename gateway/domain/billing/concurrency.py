"""How many legs there were at one time in a pool, and how far above the commitment (T4.3, T8.2, T15.3, T17.1).

`peaks` counts legs while they were connected, instant by instant: what is billed. `held_of_days` counts the seats that were held, entry by
entry, as the store does: what its registers must say, and an upper bound of what is billed.
"""

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from gateway.domain.billing.commitment import CommitmentTimeline, Install, Span
from gateway.domain.billing.entry import Order
from gateway.domain.days import Day, day_at
from gateway.domain.days import day as day_of


class Interval(NamedTuple):
    """A stretch in which a leg is billed in the pool: [from_ms, until_ms); until_ms None: it is still live.

    `began` is the entry with which the leg came to be (admitted, or adopted first), not the stretch. Stretches of one leg share it: one that
    begins where another ends goes on with it. One that ends where it begins, or before, is not billed.
    """

    from_ms: int
    until_ms: int | None
    adopted: bool
    began: Order


@dataclass(frozen=True, slots=True)
class PoolDay:
    """The greatest use of a pool in a day, and the greatest above the commitment of its moment (T4.3). Instants are the first ones, in Unix ms.

    `committed` is the commitment at the instant of the greatest overage, or of the peak where there is none (`overage_at_ms` None). `adopted`
    is how many of the legs at the peak had been counted without a check.
    """

    day: int
    committed: int
    peak: int
    peak_at_ms: int
    overage: int
    overage_at_ms: int | None
    adopted: int


class _Peak(NamedTuple):
    legs: int
    at_ms: int
    adopted: int
    committed: int

    @property
    def over(self) -> int:
        return self.legs - self.committed


class _Count:
    """How many intervals contain an instant."""

    def __init__(self, intervals: Iterable[Interval]) -> None:
        billed = [(each[0], each[1]) for each in intervals if each[1] is None or each[1] > each[0]]
        self._starts = sorted([start for start, _ in billed])
        self._ends = sorted([end for _, end in billed if end is not None])

    def at(self, ms: int) -> int:
        return bisect.bisect_right(self._starts, ms) - bisect.bisect_right(self._ends, ms)

    def peak(self, from_ms: int, until_ms: int) -> tuple[int, int]:
        """The greatest count of all instants in [from_ms, until_ms), and the first of those that have it."""
        ends, ended, last = self._ends, bisect.bisect_right(self._ends, from_ms), len(self._ends)
        begun = bisect.bisect_right(self._starts, from_ms)
        best, best_at_ms = begun - ended, from_ms
        # Where several begin at one instant all but the last see less than its count, so that the instant is right all the same.
        for start in self._starts[begun : bisect.bisect_left(self._starts, until_ms)]:
            begun += 1
            while ended < last and ends[ended] <= start:  # at one instant ends come first
                ended += 1
            if begun - ended > best:
                best, best_at_ms = begun - ended, start
        return best, best_at_ms


class _Legs:
    """All legs of a pool, or those that stayed in it after its commitment had ended."""

    def __init__(self, intervals: Sequence[Interval]) -> None:
        self._all = _Count(intervals)
        self._adopted = _Count([each for each in intervals if each.adopted])

    def peak(self, span: Span) -> _Peak:
        assert span.until_ms is not None, "spans are cut to a day"
        count, at_ms = self._all.peak(span.from_ms, span.until_ms)
        return _Peak(count, at_ms, self._adopted.at(at_ms), span.committed)


def peak_of_day(
    intervals: Sequence[Interval], day: Day, commitments: CommitmentTimeline, now_ms: int
) -> PoolDay | None:
    """The figures of one day of a pool, as of `peaks`."""
    return next(iter(peaks(intervals, [day], commitments, now_ms)), None)


def peaks(
    intervals: Sequence[Interval], days: Iterable[Day], commitments: CommitmentTimeline, now_ms: int
) -> list[PoolDay]:
    """The figures of each day of a pool (T4.3, T8.2), in the order of `days`; `intervals` may be more than those of the days, in any order.

    Every instant counts up to and with `now_ms`: an interval from its first millisecond on, to the last one before its end. So a leg that spans
    midnight counts at 00:00 of the new day, and a change of the commitment is judged at its instant with the count of that instant.

    A day has no row before the pool has a commitment, where it lies after `now_ms`, and where the commitment has ended and nobody is left who
    was there when it did. Who joined after that does not count (T1.4), until there is a commitment again: then all who are there do. To join
    is to be connected first here: a leg that was let in before the end and connected after it is not billed.
    """
    all_legs, stayed = _Legs(intervals), dict[int, _Legs]()
    rows: list[PoolDay] = []
    for day in days:
        found: list[_Peak] = []
        for span in commitments.between(day.start_ms, min(day.end_ms, now_ms + 1)):
            ended_ms, legs = span.ended_ms, all_legs
            if ended_ms is not None:
                legs = stayed.get(ended_ms) or stayed.setdefault(ended_ms, _Legs(_stayed(intervals, ended_ms)))
            peak = legs.peak(span)
            if peak.legs or ended_ms is None:
                found.append(peak)
        if found:
            rows.append(_row(day, found))
    return rows


def _row(day: Day, found: Sequence[_Peak]) -> PoolDay:
    # Of equals `max` gives the first one, which is the earliest.
    peak, over = max(found, key=lambda each: each.legs), max(found, key=lambda each: each.over)
    overage = max(over.over, 0)
    return PoolDay(
        day=day.ordinal,
        committed=over.committed if overage else peak.committed,
        peak=peak.legs,
        peak_at_ms=peak.at_ms,
        overage=overage,
        overage_at_ms=over.at_ms if overage else None,
        adopted=peak.adopted,
    )


def _stayed(intervals: Iterable[Interval], ended_ms: int) -> list[Interval]:
    """Stretches of the legs that were there when the commitment ended, also of those that have moved inside the pool since (T1.4)."""
    stayed: list[Interval] = []
    reached_ms: dict[Order, int | None] = {}
    for each in sorted(intervals, key=_span_of_time):
        if each.until_ms is not None and (each.until_ms < ended_ms or each.until_ms < each.from_ms):
            continue
        if each.from_ms < ended_ms or reached_ms.get(each.began) == each.from_ms:
            stayed.append(each)
            reached_ms[each.began] = each.until_ms
    return stayed


def _span_of_time(interval: Interval) -> tuple[int, float]:
    return interval.from_ms, float("inf") if interval.until_ms is None else interval.until_ms


class Step(NamedTuple):
    """An entry that changed how many seats are held in the pool: by `delta`, at `at_ms` as the entry says.

    A leg that moves inside the pool takes what it has just given back: that is a step of 0, or none.
    """

    at_ms: int
    entry: Order
    delta: int


@dataclass(frozen=True, slots=True)
class SeatRegister:
    """The register of a day as the store keeps it: of seats held, connected or not, with the first instants (ms) of its maxima."""

    committed: int
    """The last one of the day."""
    peak: int
    peak_at_ms: int
    overage: int
    overage_at_ms: int


class _Register:
    """The register of the day that is open, moved as the store's scripts move it."""

    def __init__(self, day: Day, seats: int) -> None:
        self._day = day
        self._seats = seats
        self._terms: Install | None = None
        self._metered = False
        """Whether the pool has a commitment; without one joins do not move the register (T1.4)."""
        self._now: SeatRegister | None = None
        self._closed: dict[int, SeatRegister] = {}

    def rows(self) -> dict[int, SeatRegister]:
        """By day: those of the days that are over, and the open one."""
        return {**self._closed, self._day.ordinal: self._now} if self._now else self._closed

    def reach(self, at_ms: int) -> int:
        """Opens all days up to an instant; the instant, which never lies on a day that is over."""
        while at_ms >= self._day.end_ms:
            self._roll()
        return max(at_ms, self._day.start_ms)

    def take(self, step: Step) -> None:
        at_ms = self.reach(step.at_ms)
        self._seats += step.delta
        if step.delta > 0 and self._metered and self._now:
            self._now = _raised(self._now, self._seats, at_ms)

    def install(self, terms: Install) -> None:
        at_ms = self.reach(terms.at_ms)
        self._terms = terms
        committed = terms.on(self._day.ordinal)
        self._metered = committed is not None
        if committed is not None:
            known = self._now
            self._now = (
                _raised(replace(known, committed=committed), self._seats, at_ms)
                if known
                else _opened(committed, self._seats, at_ms)
            )

    def _roll(self) -> None:
        closing = self._now
        if closing:
            self._closed[self._day.ordinal] = closing
        self._day = day_of(self._day.ordinal + 1)
        committed = self._terms.on(self._day.ordinal) if self._terms else None
        self._metered = committed is not None
        if committed is not None:
            self._now = _opened(committed, self._seats, self._day.start_ms)
        elif closing:
            # At most as many stayed as there were; when nobody has, there is nothing to keep (T1.4).
            stayed = min(closing.peak, self._seats)
            self._now = _opened(closing.committed, stayed, self._day.start_ms) if stayed > 0 else None


def held_of_day(
    steps: Iterable[Step], day: Day, commitments: CommitmentTimeline, now_ms: int, seats: int = 0
) -> SeatRegister | None:
    """The register of one day, as of `held_of_days`."""
    return held_of_days(steps, [day], commitments, now_ms, seats).get(day.ordinal)


def held_of_days(
    steps: Iterable[Step], days: Sequence[Day], commitments: CommitmentTimeline, now_ms: int, seats: int = 0
) -> dict[int, SeatRegister]:
    """The registers of a pool by day (ordinal), as the store keeps them, for `days` that follow each other, up to the one of `now_ms`.

    `seats` were held before the first of the `steps`. These are all there ever were; or those from the first of `days` on, as long as the pool
    has a commitment when that begins, else those from the last day on that had one (T1.4). Entries decide the order, also against versions; an
    instant before the open day counts as its first (a clock that was set back).

    A day begins with the seats held then, and a day without a step has its row all the same.
    """
    if not commitments.installs:
        return {}
    # Days before those that are asked for cost next to nothing, and are what the last commitment comes from.
    register, last = _Register(day_at(commitments.installs[0].at_ms), seats), days[-1]
    happened: list[Step | Install] = [*steps, *commitments.installs]
    for each in sorted(happened, key=_entry):
        if each.at_ms >= last.end_ms:
            break
        if isinstance(each, Install):
            register.install(each)
        else:
            register.take(each)
    register.reach(min(now_ms, last.end_ms - 1))
    rows = register.rows()
    return {day.ordinal: rows[day.ordinal] for day in days if day.ordinal in rows}


def _entry(happened: Step | Install) -> Order:
    return happened.entry


def _opened(committed: int, seats: int, at_ms: int) -> SeatRegister:
    return SeatRegister(committed, seats, at_ms, max(seats - committed, 0), at_ms)


def _raised(register: SeatRegister, seats: int, at_ms: int) -> SeatRegister:
    if seats > register.peak:
        register = replace(register, peak=seats, peak_at_ms=at_ms)
    if seats - register.committed > register.overage:
        register = replace(register, overage=seats - register.committed, overage_at_ms=at_ms)
    return register
