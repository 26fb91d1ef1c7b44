"""Plain models of what is billed by concurrency, for tests: slow, and too simple to be wrong in the same way.

`brute_force` asks at every instant at which anything can change who is there. `PlainRegister` is told entry after entry, as the store is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gateway.domain.billing.concurrency import Interval, PoolDay
from gateway.domain.days import Day


Change = tuple[int, int | None]
"""An instant (ms), and the commitment from then on; None: there is none any more."""


def in_force(changes: Sequence[Change], ms: int) -> tuple[int, int | None] | None:
    """The commitment of an instant, and since when it has ended (None: it has not); None: the pool has had none yet. `changes` in order."""
    state: tuple[int, int | None] | None = None
    for at_ms, committed in changes:
        if at_ms > ms:
            break
        if committed is not None:
            state = committed, None
        elif state is not None and state[1] is None:
            state = state[0], at_ms
    return state


def is_there(interval: Interval, ms: int) -> bool:
    """From its first millisecond to the last one before its end."""
    return interval.from_ms <= ms and (interval.until_ms is None or ms < interval.until_ms)


def joined_ms(interval: Interval, intervals: Sequence[Interval]) -> int:
    """When its leg came into the pool, over all stretches that go before without a gap."""
    earlier = [each for each in intervals if each.began == interval.began and each.from_ms < interval.from_ms]
    before = [each for each in earlier if each.until_ms == interval.from_ms]
    return joined_ms(before[0], intervals) if before else interval.from_ms


def brute_force(intervals: Sequence[Interval], day: Day, changes: Sequence[Change], now_ms: int) -> PoolDay | None:
    """The figures of a day, from the count at every instant at which something begins or ends, and at midnight."""
    ends = [each.until_ms for each in intervals if each.until_ms is not None]
    instants = {day.start_ms, *[each.from_ms for each in intervals], *ends, *[at_ms for at_ms, _ in changes]}
    row: PoolDay | None = None
    for ms in sorted(instants):
        state = in_force(changes, ms)
        if not day.start_ms <= ms < day.end_ms or ms > now_ms or state is None:
            continue
        committed, ended_ms = state
        there = [each for each in intervals if is_there(each, ms)]
        if ended_ms is not None:
            there = [each for each in there if joined_ms(each, intervals) < ended_ms]
            if not there:
                continue
        row = _seen(row, day.ordinal, ms, committed, there)
    return row


def _seen(row: PoolDay | None, ordinal: int, ms: int, committed: int, there: Sequence[Interval]) -> PoolDay:
    count, adopted = len(there), sum(each.adopted for each in there)
    if row is None:
        row = PoolDay(ordinal, committed, count, ms, 0, None, adopted)
    kept = (row.committed, row.overage, row.overage_at_ms)
    if count > row.peak:
        if not row.overage:
            kept = (committed, *kept[1:])
        row = PoolDay(ordinal, kept[0], count, ms, kept[1], kept[2], adopted)
    if count - committed > row.overage:
        kept = (committed, count - committed, ms)
    return PoolDay(ordinal, kept[0], row.peak, row.peak_at_ms, kept[1], kept[2], row.adopted)


Row = tuple[int, int, int, int, int]
"""`committed peak peak_at overage overage_at`, as a register is stored."""


@dataclass
class PlainRegister:
    """One pool of the store: how many seats are held, the register of the open day, and those of the days that are over."""

    day: Day
    seats: int = 0
    metered: bool = False
    register: list[int] | None = None
    rows: dict[int, Row] = field(default_factory=dict)

    def install(self, committed: int | None, now_ms: int) -> None:
        """Other entitlements; None: nothing is committed."""
        self.metered = committed is not None
        if committed is None:
            return
        if self.register is None:
            self.register = self.opened(committed, self.seats, now_ms)
        else:
            self.register[0] = committed
            self.see(now_ms)

    def take(self, now_ms: int) -> None:
        """A leg is let in, or adopted."""
        self.seats += 1
        self.stay(now_ms)

    def stay(self, now_ms: int) -> None:
        """A leg moves inside the pool."""
        if self.metered and self.register is not None:
            self.see(now_ms)

    def give(self) -> None:
        """A leg is released, reclaimed, or moves away."""
        self.seats -= 1

    def roll(self, following: Day, committed: int | None) -> None:
        """The open day is over."""
        before = self.register
        if before is not None:
            self.rows[self.day.ordinal] = _row(before)
        self.day, self.metered, self.register = following, committed is not None, None
        if committed is not None:
            self.register = self.opened(committed, self.seats, following.start_ms)
        elif before is not None and min(before[1], self.seats) > 0:
            self.register = self.opened(before[0], min(before[1], self.seats), following.start_ms)

    def see(self, now_ms: int) -> None:
        """Maxima move only where they are passed."""
        assert self.register is not None
        if self.seats > self.register[1]:
            self.register[1:3] = [self.seats, now_ms]
        if self.seats - self.register[0] > self.register[3]:
            self.register[3:5] = [self.seats - self.register[0], now_ms]

    @staticmethod
    def opened(committed: int, seats: int, now_ms: int) -> list[int]:
        """A register that begins with seats that are held already."""
        return [committed, seats, now_ms, max(seats - committed, 0), now_ms]

    def all_rows(self) -> dict[int, Row]:
        """By day, the open one included."""
        return {**self.rows, **({self.day.ordinal: _row(self.register)} if self.register is not None else {})}


def _row(register: Iterable[int]) -> Row:
    committed, peak, peak_at, overage, overage_at = register
    return committed, peak, peak_at, overage, overage_at
