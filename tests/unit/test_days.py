"""The Pacific day."""

import itertools
from datetime import UTC, date, datetime

import pytest

from gateway.domain.days import day, day_at, days_between, instant


HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("text", "hours"), [("2026-03-08", 23), ("2026-11-01", 25), ("2026-06-10", 24), ("2026-12-31", 24)]
)
def test_a_day_has_as_many_hours_as_its_clocks_show(text: str, hours: int) -> None:
    """Clocks go forward in March and back in November."""
    found = day(date.fromisoformat(text).toordinal())

    assert hours * HOUR_MS == found.end_ms - found.start_ms


def test_a_day_begins_at_pacific_midnight() -> None:
    """Midnight is 08:00 UTC in winter and 07:00 UTC in summer."""
    assert "2026-01-15T08:00:00.000Z" == instant(day(date(2026, 1, 15).toordinal()).start_ms)
    assert "2026-07-15T07:00:00.000Z" == instant(day(date(2026, 7, 15).toordinal()).start_ms)


def test_every_instant_lies_in_exactly_one_day() -> None:
    """Over two years of hours the day found contains the instant, and days follow each other without a gap."""
    first = datetime(2026, 1, 1, tzinfo=UTC)
    for hour in range(2 * 366 * 24):
        now_ms = round(first.timestamp() * 1000) + hour * HOUR_MS
        found = day_at(now_ms)
        assert found.start_ms <= now_ms < found.end_ms
    days = days_between(day_at(round(first.timestamp() * 1000)).ordinal, found.ordinal)
    assert all(one.end_ms == other.start_ms for one, other in itertools.pairwise(days))


def test_the_last_millisecond_belongs_to_the_day() -> None:
    """The end is the first millisecond of the next day."""
    found = day(date(2026, 11, 1).toordinal())

    assert found == day_at(found.end_ms - 1)
    assert found.ordinal + 1 == day_at(found.end_ms).ordinal
