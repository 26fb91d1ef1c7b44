"""Compares the three witnesses of a day: replay, the registers of the store, and what gateways remember. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gateway.kernel.outcomes import Register
from gateway.ledger.figures import DayRow
from gateway.ledger.remembering import Remembered
from gateway.ledger.replaying import Replayed


REGISTER_DIFFERS = "register_differs"
REGISTER_OVERAGE_DIFFERS = "register_overage_differs"
REMEMBERED_ABOVE = "remembered_above"
REMEMBERED_OVERAGE_ABOVE = "remembered_overage_above"
BILLED_ABOVE_HELD = "billed_above_held"
FIGURE_DIFFERS = "figure_differs"
GAP = "gap"

OF_REGISTERS = frozenset({REGISTER_DIFFERS, REGISTER_OVERAGE_DIFFERS, REMEMBERED_ABOVE, REMEMBERED_OVERAGE_ABOVE})
"""Kinds that cannot be told without the store."""
KINDS = OF_REGISTERS | {BILLED_ABOVE_HELD, FIGURE_DIFFERS, GAP}

Place = tuple[int, str]
"""Day and pool."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A finding: the values of all three witnesses (None: it says nothing), and in words what differs. A gap has no pool."""

    day: int
    pool: str
    kind: str
    replayed: int | None
    registered: int | None
    remembered: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class Witnesses:
    """What is known of days of one customer, by day and pool. `registers` None: the store was not asked."""

    replayed: Mapping[Place, Replayed]
    registers: Mapping[Place, Register] | None
    remembered: Mapping[Place, Remembered]
    written: Mapping[Place, DayRow]
    """Figures of days that are closed, or final."""
    closed: frozenset[int]
    """Days that are closed, or final, also those without any figure."""
    gaps: Mapping[int, str]
    """Days that gaps touch, with the names of these."""
    forgotten_before: int
    """The store keeps no registers of earlier days."""


def kinds_told(known: Witnesses, day: int) -> frozenset[str]:
    """The kinds of differences that can be told of a day."""
    return KINDS if known.registers is not None and day >= known.forgotten_before else KINDS - OF_REGISTERS


def differences(known: Witnesses) -> list[Difference]:
    """All differences, in order of day and pool.

    Seats held by replay are what the register says, unless entries are missing or the store had lost something on that day; nobody remembers
    more than the register; what is billed was held, apart from legs that were reclaimed too early; what was written is what replay says.
    """
    registers: Mapping[Place, Register] = known.registers or {}
    places = known.replayed.keys() | registers.keys() | known.remembered.keys() | known.written.keys()
    with_figures = {day for day, _ in places}
    found = [
        Difference(day, "", GAP, None, None, None, detail)
        for day, detail in known.gaps.items()
        if day in with_figures
    ]  # fmt: skip
    for place in places:
        found += _of_registers(known, place)
        found += _of_figures(known, place)
    return sorted(found, key=lambda each: (each.day, each.pool, each.kind))


def _of_registers(known: Witnesses, place: Place) -> Iterator[Difference]:
    if known.registers is None or REGISTER_DIFFERS not in kinds_told(known, place[0]):
        return
    row, register, remembered = known.replayed.get(place), known.registers.get(place), known.remembered.get(place)
    held = row.held if row else None
    certain = place[0] not in known.gaps and not (row and row.doubtful)
    values = (
        (REGISTER_DIFFERS, REMEMBERED_ABOVE, "seats held", _peak(held), _peak(register), _peak(remembered)),
        (
            *(REGISTER_OVERAGE_DIFFERS, REMEMBERED_OVERAGE_ABOVE, "overage by seats held"),
            *(_overage(held), _overage(register), _overage(remembered)),
        ),
    )
    for differs, above, what, replayed, registered, told in values:
        three = replayed, registered, told
        if certain and replayed != registered:
            text = f"{what}: {_shown(replayed)} by replay, {_shown(registered)} in the register"
            yield Difference(*place, differs, *three, text)
        if told is not None and told > (registered or 0):
            text = f"{what}: a gateway was told {told}, and the register says {_shown(registered)}"
            yield Difference(*place, above, *three, text)


def _of_figures(known: Witnesses, place: Place) -> Iterator[Difference]:
    row, written = known.replayed.get(place), known.written.get(place)
    register, remembered = (known.registers or {}).get(place), known.remembered.get(place)
    billed = row.billed if row else None
    if row and billed:
        most = (row.held.peak if row.held else 0) + row.bridged
        if billed.peak > most:
            text = f"{billed.peak} connected legs are billed, and at most {most} held seats"
            three = billed.peak, _peak(register), _peak(remembered)
            yield Difference(*place, BILLED_ABOVE_HELD, *three, text)
    figure = written.current if written else (0, 0)
    now = (billed.peak, billed.overage) if billed else (0, 0)
    if figure != now and place[0] in known.closed:
        text = f"written: peak {figure[0]}, overage {figure[1]}; by replay now: peak {now[0]}, overage {now[1]}"
        three = now[1], _overage(register), _overage(remembered)
        yield Difference(*place, FIGURE_DIFFERS, *three, text)


def _peak(of: object) -> int | None:
    return getattr(of, "peak", None)


def _overage(of: object) -> int | None:
    return getattr(of, "overage", None)


def _shown(value: int | None) -> str:
    return "nothing" if value is None else str(value)
