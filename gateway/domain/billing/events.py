"""Events by replay: openings, attendees, live time, and what is above the order (T11.1 to T11.5, T12.2).

How the terms are read, as the kernel does (`gateway.domain.checks`, and the ages that its scripts keep):

- An event is open from its first presenter or attendee until the last of them leaves. Moderators neither open it nor keep it open: alone they
  rehearse, before and after. Live time is the sum of its openings.
- Its licence is that of the leg that opens it; whoever joins meanwhile is counted under that. Opened again under another licence it is another
  event. Opened again under the first, it continues that one, because an id is remembered for the term (T11.1); there the kernel, which
  remembers the last licence only, begins anew. Openings are listed, so that either can be recomputed.
- Uses are half-open: who leaves in the millisecond in which another joins is gone. A use of no length opens the event and has joined, and is in
  no peak.
- Panel legs belong to the opening beside which they begin; those of a rehearsal to the next one, those after the last one to the last.
- Above `max_attendees` or the included duration there is overage, whether the order is metered or hard: hard orders are exceeded only by legs
  that were counted without a check.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.domain.days import MINUTE_MS
from gateway.domain.join import Role
from gateway.domain.plans.event_terms import EventOrder


@dataclass(frozen=True, slots=True)
class EventUse:
    """The time for which a connected leg had one role in an event; `until_ms` None: still live."""

    event: str
    role: str
    licensed_by: str | None
    from_ms: int
    until_ms: int | None
    joins: bool = True
    """False: the leg was a presenter or attendee of this event until then (a move), or comes back after it was lost."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A time in which an event was live; `until_ms` None: it is. Attendees include presenters."""

    licensed_by: str | None
    from_ms: int
    until_ms: int | None
    peak: int
    """The greatest number of attendees at one time."""
    peak_at_ms: int
    """When that was reached first."""
    joined: int


@dataclass(frozen=True, slots=True)
class EventFigure:
    """An event under one licence, over all its openings."""

    event: str
    licensed_by: str | None
    openings: tuple[Opening, ...]
    first_ms: int
    live: bool
    peak_attendees: int
    peak_at_ms: int
    joined_total: int
    peak_panel: int
    live_ms: int
    max_attendees: int | None
    """Of the order that licenses it; None where that is not known, like the overages."""
    attendee_overage: int | None
    duration_overage_minutes: int | None
    """Begun minutes beyond the included duration."""


@dataclass(frozen=True, slots=True)
class OrderFigure:
    """The events of one order."""

    order: str
    events: int
    attendee_overage: int
    duration_overage_minutes: int


def event_figures(uses: Iterable[EventUse], orders: Mapping[str, EventOrder], now_ms: int) -> list[EventFigure]:
    """All events that were opened, as of an instant, in the order of their first openings. `orders` by subscription id."""
    of_event: dict[str, list[EventUse]] = defaultdict(list)
    for use in uses:
        if use.from_ms <= now_ms:
            still_live = use.until_ms is not None and use.until_ms > now_ms
            of_event[use.event].append(replace(use, until_ms=None) if still_live else use)
    found = [figure for members in of_event.values() for figure in _figures(members, orders, now_ms)]
    return sorted(found, key=lambda figure: (figure.first_ms, figure.event))


def order_figures(figures: Iterable[EventFigure], orders: Mapping[str, EventOrder]) -> list[OrderFigure]:
    """What was used of each order, in their order."""
    of_order: dict[str | None, list[EventFigure]] = defaultdict(list)
    for figure in figures:
        of_order[figure.licensed_by].append(figure)
    return [
        OrderFigure(
            order=order,
            events=len(of_order[order]),
            attendee_overage=sum([figure.attendee_overage or 0 for figure in of_order[order]]),
            duration_overage_minutes=sum([figure.duration_overage_minutes or 0 for figure in of_order[order]]),
        )
        for order in orders
    ]


def openings(uses: Iterable[EventUse]) -> Iterator[Opening]:
    """The openings of one event, in order, from uses that are all of presenters and attendees (T11.1, T11.2)."""
    begin: _Running | None = None
    emptied_ms: int | None = None
    for at_ms, step, use in _steps(uses):
        if begin and emptied_ms is not None and not (at_ms == emptied_ms and step > 0 and not use.joins):
            yield begin.opening(emptied_ms)
            begin = None
        if begin is None:
            begin = _Running(use.licensed_by, at_ms, at_ms)
        begin.count += step
        if step >= 0:
            begin.joined += use.joins
        if begin.count > begin.peak:
            begin.peak, begin.peak_at_ms = begin.count, at_ms
        emptied_ms = at_ms if begin.count == 0 else None
    if begin is not None:
        yield begin.opening(emptied_ms)


@dataclass(slots=True)
class _Running:
    """An opening while its legs are counted."""

    licensed_by: str | None
    from_ms: int
    peak_at_ms: int
    count: int = 0
    peak: int = 0
    joined: int = 0

    def opening(self, until_ms: int | None) -> Opening:
        return Opening(self.licensed_by, self.from_ms, until_ms, self.peak, self.peak_at_ms, self.joined)


def _steps(uses: Iterable[EventUse]) -> list[tuple[int, int, EventUse]]:
    """Who leaves (-1), joins (1), or only passes (0), in order: of one instant first who leaves, then who was there before, then the others."""
    steps: list[tuple[int, int, int, EventUse]] = []
    for use in uses:
        if use.until_ms is not None and use.until_ms <= use.from_ms:
            steps.append((use.from_ms, 3, 0, use))
            continue
        steps.append((use.from_ms, 2 if use.joins else 1, 1, use))
        if use.until_ms is not None:
            steps.append((use.until_ms, 0, -1, use))
    steps.sort(key=lambda step: step[:2])
    return [(at_ms, change, use) for at_ms, _, change, use in steps]


def _figures(uses: Sequence[EventUse], orders: Mapping[str, EventOrder], now_ms: int) -> Iterator[EventFigure]:
    opened = list(openings([use for use in uses if use.role != Role.MODERATOR]))
    if not opened:
        return
    of_licence: dict[str | None, list[Opening]] = defaultdict(list)
    for opening in opened:
        of_licence[opening.licensed_by].append(opening)
    panels = _panels([use for use in uses if use.role != Role.ATTENDEE], opened)
    for licence, members in of_licence.items():
        order = orders.get(licence) if licence is not None else None
        yield _figure(uses[0].event, members, panels.get(licence, 0), order, now_ms)


def _panels(uses: Iterable[EventUse], opened: Sequence[Opening]) -> dict[str | None, int]:
    """The greatest panel (T11.4) of each licence."""
    # One that is live ends after everything; ends never fall.
    ends = [opening.until_ms for opening in opened if opening.until_ms is not None]
    of_licence: dict[str | None, list[EventUse]] = defaultdict(list)
    for use in uses:
        beside = min(bisect_right(ends, use.from_ms), len(opened) - 1)
        of_licence[opened[beside].licensed_by].append(use)
    return {licence: max([spell.peak for spell in openings(members)]) for licence, members in of_licence.items()}


def _figure(event: str, opened: Sequence[Opening], panel: int, order: EventOrder | None, now_ms: int) -> EventFigure:
    highest = max(opened, key=lambda opening: opening.peak)
    ends = [max(now_ms, opening.from_ms) if opening.until_ms is None else opening.until_ms for opening in opened]
    live_ms = sum([end - opening.from_ms for end, opening in zip(ends, opened, strict=True)])
    return EventFigure(
        event=event,
        licensed_by=opened[0].licensed_by,
        openings=tuple(opened),
        first_ms=opened[0].from_ms,
        live=opened[-1].until_ms is None,
        peak_attendees=highest.peak,
        peak_at_ms=highest.peak_at_ms,
        joined_total=sum([opening.joined for opening in opened]),
        peak_panel=panel,
        live_ms=live_ms,
        max_attendees=order.max_attendees if order else None,
        attendee_overage=max(0, highest.peak - order.max_attendees) if order else None,
        duration_overage_minutes=-(-max(0, live_ms - order.duration_ms) // MINUTE_MS) if order else None,
    )
