"""Bounds of a counter."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """Bounds of one group. `ceiling` refuses, `committed` marks overage; None: no such bound."""

    ceiling: int | None = None
    committed: int | None = None


def total(values: Sequence[int | None]) -> int | None:
    """Quantities of several subscriptions added up (T1.5); without a bound as soon as one has none."""
    present = [value for value in values if value is not None]
    return sum(present) if len(present) == len(values) else None
