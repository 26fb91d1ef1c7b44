"""The civil day in which connections are counted.

A day is a date in America/Los_Angeles (terms: "day"). It has 23, 24 or 25 hours, so its length is never computed: its start and its end are
looked up as instants. Days are handed around as ordinals (`datetime.date.toordinal`), because ordinals can be added to and compared in Lua.
"""

import functools
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo


PACIFIC = ZoneInfo("America/Los_Angeles")

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
"""Of time that passes; a civil day may be shorter or longer."""

YEARS = range(2000, 2201)
"""Of which there may be reports."""


@dataclass(frozen=True, slots=True)
class Day:
    """One Pacific civil day: `start_ms` is its first millisecond, `end_ms` the first of the next day (Unix time)."""

    ordinal: int
    start_ms: int
    end_ms: int

    @property
    def date(self) -> date:
        """The calendar date."""
        return date.fromordinal(self.ordinal)


@functools.lru_cache(maxsize=4096)
def day(ordinal: int) -> Day:
    """The day with that ordinal. Raises ValueError outside years 1 to 9999."""
    return Day(ordinal, _midnight_ms(ordinal), _midnight_ms(ordinal + 1))


def day_at(now_ms: int) -> Day:
    """The day that contains the instant `now_ms` (Unix milliseconds)."""
    return day(datetime.fromtimestamp(now_ms / 1000, PACIFIC).toordinal())


def days_between(first: int, last: int) -> list[Day]:
    """All days from ordinal `first` to ordinal `last`, both included, in order."""
    return [day(ordinal) for ordinal in range(first, last + 1)]


def date_of(text: str) -> date:
    """The date that is written as `YYYY-MM-DD`, and in no other way. Raises ValueError."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError("is not a date (YYYY-MM-DD)")
    return date.fromisoformat(text)


def reported_date(text: str) -> date:
    """The same, of which there may be a report. Raises ValueError."""
    found = date_of(text)
    if found.year not in YEARS:
        raise ValueError("is not a date of these centuries")
    return found


def instant(ms: int) -> str:
    """An instant as RFC 3339 in UTC with milliseconds."""
    second, part = divmod(ms, 1000)
    return f"{_second(second)}.{part:03d}Z"


@functools.lru_cache(maxsize=1024)
def _second(second: int) -> str:
    # Thousands of decisions share a second.
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _midnight_ms(ordinal: int) -> int:
    # Pacific clocks change at 02:00, so midnight is never ambiguous and never skipped.
    midnight = datetime.combine(date.fromordinal(ordinal), datetime.min.time(), PACIFIC)
    return round(midnight.timestamp() * 1000)
