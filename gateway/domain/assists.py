"""Assists: the provider's staff helps with a meeting or an event, booked ahead (T18, T19)."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import msgspec

from gateway.domain.days import DAY_MS, MINUTE_MS, day, day_at


Kind = Literal["meeting", "event"]

BOOKINGS_MAX = 1000
"""Bookings that are kept of one customer."""
KEPT_DAYS = 400
"""How long a booking is kept after its end."""

MINUTES_MIN: dict[Kind, int] = {"meeting": 60, "event": 120}
"""T18.1, T19.1: the least length."""
DAYS_AHEAD: dict[Kind, int] = {"meeting": 2, "event": 7}
"""T18.1, T19.1: whole Pacific days between the day of booking and the day of the assist."""
DAYS_AHEAD_STREAMING = 7
"""T18.1: for a meeting that streams."""

ASSISTS: dict[Kind, str] = {"meeting": "A meeting assist", "event": "An event assist"}



class Booking(msgspec.Struct, frozen=True):
    """One booked assist; instants in Unix milliseconds, `minutes` its length, `by` who booked it."""

    id: str
    kind: Kind
    starts_at_ms: int
    minutes: int
    streams: bool = False
    booked_at_ms: int = 0
    by: str | None = None

    @property
    def ends_at_ms(self) -> int:
        """The first millisecond after it."""
        return self.starts_at_ms + self.minutes * MINUTE_MS


class AssistCode(enum.StrEnum):
    """Why an assist is not booked, in the order of the checks."""

    TOO_SHORT = "assist_too_short"
    TOO_LATE = "assist_too_late"


@dataclass(frozen=True, slots=True)
class AssistRefusal:
    """A booking that is refused: the code for programs, the message for people."""

    code: AssistCode
    message: str


def refusal(kind: Kind, starts_at_ms: int, minutes: int, streams: bool, now_ms: int) -> AssistRefusal | None:
    """Why an assist cannot be booked now (T18.1, T19.1); None if it can.

    Whole days between are the Pacific days after that of booking and before that of the assist.
    """
    what = ASSISTS[kind]
    if minutes < MINUTES_MIN[kind]:
        message = f"{what} is at least {MINUTES_MIN[kind]} minutes long; {minutes} were asked for."
        return AssistRefusal(AssistCode.TOO_SHORT, message)
    ahead = DAYS_AHEAD_STREAMING if kind == "meeting" and streams else DAYS_AHEAD[kind]
    earliest = day(day_at(now_ms).ordinal + ahead + 1)
    if starts_at_ms < earliest.start_ms:
        streaming = " of a meeting that streams" if ahead != DAYS_AHEAD[kind] else ""
        message = f"{what}{streaming} needs {ahead} whole days between; booked today, it is on {earliest.date} (Pacific) or later."
        return AssistRefusal(AssistCode.TOO_LATE, message)
    return None


def remembered(bookings: Iterable[Booking], now_ms: int) -> tuple[Booking, ...]:
    """The bookings without those that ended more than 400 days ago, in the order given."""
    return tuple([booking for booking in bookings if booking.ends_at_ms >= now_ms - KEPT_DAYS * DAY_MS])
