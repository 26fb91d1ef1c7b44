"""The billing month of a subscription (terms: "cycle").

A cycle begins on the anchor day of one month and ends on the day before that of the next. An anchor day past a month's end is the month's last
day, so an anchor of 31 begins on 28 or 29 February. Days are Pacific, and handed around as ordinals like those of `gateway.domain.days`.
"""

from calendar import monthrange
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Cycle:
    """One billing month: ordinals of its `first` and `last` day, both included, and its name such as `2026-11`."""

    first: int
    last: int
    name: str
    """Of the month it begins in."""


def cycle_of(ordinal: int, anchor_day: int = 1) -> Cycle:
    """The cycle that contains the day; `anchor_day` is 1 to 31. Raises ValueError where it reaches outside years 1 to 9999."""
    day = date.fromordinal(ordinal)
    year, month = day.year, day.month
    if ordinal < _begin(year, month, anchor_day):
        year, month = _month_before(year, month)
    following = _begin(*_month_after(year, month), anchor_day)
    return Cycle(_begin(year, month, anchor_day), following - 1, f"{year:04d}-{month:02d}")


def _begin(year: int, month: int, anchor_day: int) -> int:
    return date(year, month, min(anchor_day, monthrange(year, month)[1])).toordinal()


def _month_before(year: int, month: int) -> tuple[int, int]:
    return (year, month - 1) if month > 1 else (year - 1, 12)


def _month_after(year: int, month: int) -> tuple[int, int]:
    return (year, month + 1) if month < 12 else (year + 1, 1)
