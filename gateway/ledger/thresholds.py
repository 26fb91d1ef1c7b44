"""When the use of a pool is worth telling, and when it is worth telling again.

A threshold is raised, and told, when use reaches it; it is lowered, in silence, when use has fallen clearly below; it is told again only after
that. So use that goes up and down around a threshold is told once.

What happens above the commitment is told at most once in each Pacific day, as it is billed by days (T4.3): the first overage, and the excess
notice of a special offer (T10.3).
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gateway.domain.days import day_at


PERCENTAGES = (80, 90, 100)
"""Of the commitment."""
FALL_PERCENT = 5
"""So many percentage points below a threshold it is lowered; whole connections, so that it is one below at least."""

CEILING, OVERAGE, EXCESS = "ceiling", "overage", "excess"
DAILY = (OVERAGE, EXCESS)


class Bounds(NamedTuple):
    """What one pool of a customer is measured against; None: there is no such bound."""

    committed: int | None
    ceiling: int | None
    offered: bool = False
    """A special offer that lets in above its quantity, with a notice, is in force (T10.3)."""


class Raised(NamedTuple):
    """The state of a threshold: whether it was told and not left again, and when that last changed (Unix ms)."""

    raised: bool
    at_ms: int


class Level(NamedTuple):
    """Use at which a threshold is reached, and use at which it has been left."""

    reached: int
    left: int


def levels(bounds: Bounds) -> dict[str, Level]:
    """The thresholds with hysteresis. Percentages need a commitment above 0; a ceiling of 0 is reached by the first connection."""
    found = {}
    if bounds.committed:
        for percent in PERCENTAGES:
            found[str(percent)] = _level(bounds.committed, percent)
    if bounds.ceiling is not None:
        found[CEILING] = _level(bounds.ceiling, 100)
    return found


def changes(
    used: int, bounds: Bounds, before: Mapping[str, Raised], now_ms: int
) -> tuple[dict[str, Raised], tuple[str, ...]]:
    """What becomes of the thresholds of one pool at an instant, and which of them are to be told now, the lowest first.

    `used` are the connected legs, `before` the states as they were stored. Only states that change are in the answer.
    """
    becomes: dict[str, Raised] = {}
    known = levels(bounds)
    for name, level in known.items():
        raised = name in before and before[name].raised
        if not raised and used >= level.reached:
            becomes[name] = Raised(True, now_ms)
        elif raised and used <= level.left:
            becomes[name] = Raised(False, now_ms)
    for name, state in before.items():
        if state.raised and name not in known and name not in DAILY:
            becomes[name] = Raised(False, now_ms)  # there is no such bound any more
    for name in _above(used, bounds):
        if name not in before or day_at(before[name].at_ms).ordinal < day_at(now_ms).ordinal:
            becomes[name] = Raised(True, now_ms)
    return becomes, tuple([name for name, state in becomes.items() if state.raised])


def _above(used: int, bounds: Bounds) -> Iterable[str]:
    """T4.3, T10.3: above the commitment, of which 0 is one too."""
    if bounds.committed is None or used <= bounds.committed:
        return ()
    return DAILY if bounds.offered else (OVERAGE,)


def _level(bound: int, percent: int) -> Level:
    reached = max(-(-bound * percent // 100), 1)
    return Level(reached, bound * (percent - FALL_PERCENT) // 100)
