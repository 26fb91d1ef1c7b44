"""Billing months from an anchor day."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.cycles import Cycle, cycle_of


def found(text: str, anchor_day: int) -> tuple[str, str, str]:
    """First day, last day and name of a day's cycle."""
    cycle = cycle_of(date.fromisoformat(text).toordinal(), anchor_day)
    return str(date.fromordinal(cycle.first)), str(date.fromordinal(cycle.last)), cycle.name


@pytest.mark.parametrize(
    ("day", "anchor_day", "first", "last", "name"),
    [
        ("2026-11-01", 1, "2026-11-01", "2026-11-30", "2026-11"),
        ("2026-11-30", 1, "2026-11-01", "2026-11-30", "2026-11"),
        ("2026-11-14", 15, "2026-10-15", "2026-11-14", "2026-10"),
        ("2026-11-15", 15, "2026-11-15", "2026-12-14", "2026-11"),
        ("2027-01-14", 15, "2026-12-15", "2027-01-14", "2026-12"),
        ("2026-02-27", 31, "2026-01-31", "2026-02-27", "2026-01"),
        ("2026-02-28", 31, "2026-02-28", "2026-03-30", "2026-02"),
        ("2028-02-28", 31, "2028-01-31", "2028-02-28", "2028-01"),
        ("2028-02-29", 30, "2028-02-29", "2028-03-29", "2028-02"),
        ("2026-04-30", 31, "2026-04-30", "2026-05-30", "2026-04"),
    ],
)
def test_a_cycle_begins_on_its_anchor_day_and_is_named_after_that_month(
    day: str, anchor_day: int, first: str, last: str, name: str
) -> None:
    """An anchor day past a month's end is that month's last day."""
    assert (first, last, name) == found(day, anchor_day)


def test_the_anchor_day_is_the_first_unless_stated() -> None:
    """Then a cycle is a calendar month."""
    first, last = date(2026, 11, 1).toordinal(), date(2026, 11, 30).toordinal()

    assert Cycle(first, last, "2026-11") == cycle_of(date(2026, 11, 22).toordinal())


@given(ordinal=st.integers(date(1990, 1, 1).toordinal(), date(2200, 12, 31).toordinal()), anchor_day=st.integers(1, 31))
def test_cycles_tile_the_calendar(ordinal: int, anchor_day: int) -> None:
    """Every day is in the cycle that is found for it, all days of that cycle find it, and the next begins the day after."""
    cycle = cycle_of(ordinal, anchor_day)
    following = cycle_of(cycle.last + 1, anchor_day)

    assert cycle.first <= ordinal <= cycle.last
    assert {cycle} == {cycle_of(day, anchor_day) for day in range(cycle.first, cycle.last + 1)}
    assert cycle.last + 1 == following.first
    assert cycle.name < following.name
    assert f"{date.fromordinal(cycle.first):%Y-%m}" == cycle.name
