"""How settled the figures of a day are."""

from typing import Literal

from gateway.domain.days import DAY_MS, HOUR_MS, Day


DayState = Literal["open", "provisional", "closed", "final"]

PROVISIONAL_MS = 2 * HOUR_MS
"""So long after its end a day still takes in what arrives late: a leg that was reclaimed may be adopted again."""

FINAL_MS = DAY_MS
"""So long after its end a day is final; facts that come later are adjustments."""


def state_of_day(day: Day, now_ms: int) -> DayState:
    """The state of a day's figures at an instant (Unix ms).

    `open` until the day ends (also before it begins), `provisional` for 2 h of time that passes after its end, `closed` until 24 h after it,
    then `final`. At the very instant of a change the later state holds.
    """
    since_end_ms = now_ms - day.end_ms
    if since_end_ms < 0:
        return "open"
    if since_end_ms < PROVISIONAL_MS:
        return "provisional"
    return "closed" if since_end_ms < FINAL_MS else "final"
