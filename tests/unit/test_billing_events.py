"""Events by replay: T11.1 to T11.5, T12.2."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.billing.events import (
    EventFigure,
    EventUse,
    Opening,
    OrderFigure,
    event_figures,
    openings,
    order_figures,
)
from gateway.domain.days import HOUR_MS, MINUTE_MS
from gateway.domain.plans.event_terms import EventOrder
from gateway.domain.plans.events_unlimited import EventsUnlimited
from gateway.domain.plans.per_event import EventsPerEvent


TERM = {"from": "2026-01-01", "to": "2026-12-31"}


def per_event(max_attendees: int = 2, **fields: Any) -> EventsPerEvent:
    """Five events of two hours."""
    given = {"id": "pack", "plan": "events.per_event", "term": TERM, "quantity": 5, **fields}
    return EventsPerEvent.model_validate({**given, "max_attendees": max_attendees})


def unlimited(max_attendees: int = 2) -> EventsUnlimited:
    """One licence of eight hours."""
    given = {"id": "all", "plan": "events.unlimited", "term": TERM, "departments": {"finance": 1}}
    return EventsUnlimited.model_validate({**given, "max_attendees": max_attendees})


ORDERS: Mapping[str, EventOrder] = {"pack": per_event(), "all": unlimited()}


def use(
    from_ms: int,
    until_ms: int | None,
    role: str = "attendee",
    *,
    event: str = "e1",
    by: str | None = "pack",
    joins: bool = True,
) -> EventUse:
    """A leg of an event under the order `pack`."""
    return EventUse(event, role, by, from_ms, until_ms, joins)


def figures(*uses: EventUse, now_ms: int = 10**12, orders: Mapping[str, EventOrder] = ORDERS) -> list[EventFigure]:
    """All events."""
    return event_figures(uses, orders, now_ms)


def figure(*uses: EventUse, now_ms: int = 10**12, orders: Mapping[str, EventOrder] = ORDERS) -> EventFigure:
    """The only event."""
    (found,) = figures(*uses, now_ms=now_ms, orders=orders)
    return found


def spans(uses: Iterable[EventUse]) -> list[tuple[int, int | None]]:
    """First instant and end of each opening."""
    return [(opening.from_ms, opening.until_ms) for opening in openings(uses)]


def test_T11_worked_example() -> None:
    """Two attendees at most, two hours included.

    A moderator rehearses from minute 0. A presenter joins at 10 and stays until 100; attendees 20 to 60, 30 to 90, 60 to 70. At 30 there are 3:
    overage 1; who joins at 60 replaces who leaves then. The panel is 2. Open again from 200 to 240 and half a minute more, with one presenter:
    90 + 40.5 = 130.5 minutes live, 10.5 beyond 120, 11 begun.
    """
    minute = MINUTE_MS
    found = figure(
        use(0, 120 * minute, "moderator"),
        use(10 * minute, 100 * minute, "presenter"),
        use(20 * minute, 60 * minute),
        use(30 * minute, 90 * minute),
        use(60 * minute, 70 * minute),
        use(200 * minute, 240 * minute + 30_000, "presenter"),
    )

    assert (
        EventFigure(
            event="e1",
            licensed_by="pack",
            openings=(
                Opening("pack", 10 * minute, 100 * minute, 3, 30 * minute, 4),
                Opening("pack", 200 * minute, 240 * minute + 30_000, 1, 200 * minute, 1),
            ),
            first_ms=10 * minute,
            live=False,
            peak_attendees=3,
            peak_at_ms=30 * minute,
            joined_total=5,
            peak_panel=2,
            live_ms=130 * minute + 30_000,
            max_attendees=2,
            attendee_overage=1,
            duration_overage_minutes=11,
        )
        == found
    )


def test_T11_1_moderators_alone_rehearse() -> None:
    """They open no event, and one that stays keeps none open."""
    assert [] == figures(use(0, 100, "moderator"), use(0, None, "moderator"))
    assert [(10, 20), (30, 40)] == [
        (opening.from_ms, opening.until_ms)
        for opening in figure(use(0, 100, "moderator"), use(10, 20), use(30, 40, "presenter")).openings
    ]


def test_T11_1_opening_again_is_not_a_second_event() -> None:
    """Three openings are one event of the order, and it is not live between them."""
    found = figure(use(10, 20), use(30, 40), use(50, 60))

    assert (3, 3, 30, 10, False) == (found.joined_total, len(found.openings), found.live_ms, found.first_ms, found.live)


def test_T11_1_opened_again_under_another_licence_it_is_another_event() -> None:
    """Each licence has the figures of its own openings; the first one goes on where it comes back."""
    found = figures(use(10, 20), use(30, 45, by="all"), use(50, 60))

    assert [("pack", 10, 20, 2), ("all", 30, 15, 1)] == [
        (one.licensed_by, one.first_ms, one.live_ms, one.joined_total) for one in found
    ]


def test_T11_1_the_licence_is_that_of_the_leg_that_opens_it() -> None:
    """Who joins under another one while it is live is counted where the event is; the millisecond in which it has emptied is too late."""
    together, apart = figures(use(10, 20), use(15, 30, by="all")), figures(use(10, 20), use(20, 30, by="all"))

    assert [("pack", 20, 2)] == [(one.licensed_by, one.live_ms, one.joined_total) for one in together]
    assert [("pack", 10, 1), ("all", 10, 1)] == [(one.licensed_by, one.live_ms, one.joined_total) for one in apart]


def test_T11_2_attendees_are_all_but_moderators_and_concurrent() -> None:
    """A presenter counts; ten that follow each other are one at a time, and ten joined."""
    found = figure(
        use(0, 100, "presenter"), use(0, 100, "moderator"), *[use(ten, ten + 10) for ten in range(0, 100, 10)]
    )

    assert (2, 0, 11) == (found.peak_attendees, found.peak_at_ms, found.joined_total)


@pytest.mark.parametrize(("until_ms", "peak", "peak_at_ms"), [(49, 1, 0), (50, 1, 0), (51, 2, 50)])
def test_T11_2_who_leaves_in_the_millisecond_in_which_another_joins_is_gone(
    until_ms: int, peak: int, peak_at_ms: int
) -> None:
    """A use ends before its last instant: 0 to 50 and 50 to 100 are never two."""
    found = figure(use(0, until_ms), use(50, 100))

    assert (peak, peak_at_ms) == (found.peak_attendees, found.peak_at_ms)


def test_T11_2_the_peak_is_where_it_was_reached_first() -> None:
    """Two at 20, two again at 60 in another opening."""
    found = figure(use(10, 30), use(20, 30), use(50, 70), use(60, 70))

    assert (2, 20) == (found.peak_attendees, found.peak_at_ms)


def test_T11_2_a_leg_that_changes_its_role_has_joined_once() -> None:
    """An attendee alone becomes presenter at 20 and attendee again at 30: one opening, one that joined, one at a time."""
    found = figure(use(10, 20), use(20, 30, "presenter", joins=False), use(30, 40, joins=False))

    assert (Opening("pack", 10, 40, 1, 10, 1),) == found.openings
    assert 1 == found.peak_panel


@pytest.mark.parametrize("order", [1, -1])
def test_T11_2_who_joins_while_the_only_leg_moves_finds_the_event_open(order: int) -> None:
    """At 20 the only attendee becomes presenter, and another leg joins in the same millisecond, told before or after it."""
    moves, joins = use(20, 30, "presenter", joins=False), use(20, 25, by="all")

    assert [Opening("pack", 10, 30, 2, 20, 2)] == list(openings([use(10, 20), *[moves, joins][::order]]))


def test_T11_2_a_leg_that_comes_back_after_a_gap_opens_the_event_again_and_has_not_joined_again() -> None:
    """It was lost at 20, and is back at 25."""
    assert [Opening("pack", 10, 20, 1, 10, 1), Opening("pack", 25, 30, 1, 25, 0)] == list(
        openings([use(10, 20), use(25, 30, joins=False)])
    )


def test_T11_2_a_moderator_who_becomes_presenter_joins() -> None:
    """Before that the leg was no attendee."""
    found = figure(use(0, 20, "moderator"), use(20, 30, "presenter"))

    assert (20, 1, 1, 1) == (found.first_ms, found.joined_total, found.peak_attendees, found.peak_panel)


def test_T11_1_a_leg_of_no_length_uses_the_event_up() -> None:
    """Connected and gone in one millisecond: the event was opened, somebody joined, nobody was there for any time."""
    found = figure(use(10, 10))

    assert ((Opening("pack", 10, 10, 0, 10, 1),), 0, 0, 1) == (
        found.openings, found.live_ms, found.peak_attendees, found.joined_total,
    )  # fmt: skip
    assert [(10, 30)] == spans([use(10, 30), use(20, 20)])
    assert [(10, 20), (20, 20)] == spans([use(10, 20), use(20, 20)])
    assert [(10, 20)] == spans([use(10, 20), use(10, 10)])


@pytest.mark.parametrize(("peak", "overage"), [(1, 0), (2, 0), (3, 1), (7, 5)])
def test_T11_3_attendee_overage_is_what_is_above_the_order(peak: int, overage: int) -> None:
    """The greatest concurrent count less two, at least 0."""
    assert overage == figure(*[use(0, 10) for _ in range(peak)]).attendee_overage


def test_T11_4_the_panel_is_presenters_and_moderators_at_one_time() -> None:
    """Those of a rehearsal belong to the next opening, those after the last one to it; attendees are none."""
    rehearsal, afterwards = [use(0, 10, "moderator")] * 4, [use(90, 95, "moderator")] * 3
    found = figures(*rehearsal, use(20, 30), use(40, 50, "presenter", by="all"), use(42, 44, "moderator"), *afterwards)

    assert [("pack", 4), ("all", 3)] == [(one.licensed_by, one.peak_panel) for one in found]
    assert 0 == figure(use(0, 10), use(0, 10)).peak_panel
    at_the_end = figures(use(20, 30), use(30, 31, "moderator"), use(40, 50, by="all"))
    assert [("pack", 0), ("all", 1)] == [(one.licensed_by, one.peak_panel) for one in at_the_end]


@pytest.mark.parametrize(
    ("live_ms", "of_pack", "of_all"),
    [
        (2 * HOUR_MS, 0, 0),
        (2 * HOUR_MS + 1, 1, 0),
        (2 * HOUR_MS + MINUTE_MS, 1, 0),
        (2 * HOUR_MS + MINUTE_MS + 1, 2, 0),
        (8 * HOUR_MS, 360, 0),
        (8 * HOUR_MS + 1, 361, 1),
    ],
)
def test_T11_5_T12_2_duration_overage_is_in_begun_minutes(live_ms: int, of_pack: int, of_all: int) -> None:
    """To the millisecond; two hours are included per event, eight in an unlimited one. Openings add up."""
    half = live_ms // 2
    found = figures(use(0, half), use(half + 7, live_ms + 7), use(0, live_ms, event="e2", by="all"))

    assert [("e1", of_pack), ("e2", of_all)] == [(one.event, one.duration_overage_minutes) for one in found]


def test_T11_5_a_live_event_counts_up_to_now() -> None:
    """A leg that ends later than the instant that is asked for is live, one that begins later is not there."""
    uses = [use(10, None), use(20, 200), use(150, None)]
    early, late = figure(*uses, now_ms=100), figure(*uses, now_ms=1000)

    assert (True, 90, 2, 2) == (early.live, early.live_ms, early.peak_attendees, early.joined_total)
    assert (True, 990, 3, 3) == (late.live, late.live_ms, late.peak_attendees, late.joined_total)
    assert [] == figures(*uses, now_ms=9)
    assert (True, 0, 1) == (
        figure(*uses, now_ms=10).live,
        figure(*uses, now_ms=10).live_ms,
        figure(*uses, now_ms=10).joined_total,
    )
    assert not figure(use(10, 20), now_ms=20).live


@pytest.mark.parametrize("by", [None, "gone"])
def test_an_event_without_a_known_order_has_no_overage(by: str | None) -> None:
    """What it is above cannot be told; the rest can."""
    found = figure(use(0, 3 * HOUR_MS, by=by))

    assert (None, None, None, 1, 3 * HOUR_MS) == (
        found.max_attendees, found.attendee_overage, found.duration_overage_minutes, found.peak_attendees, found.live_ms,
    )  # fmt: skip


def test_events_are_in_the_order_of_their_first_openings() -> None:
    """Whatever the order in which uses are told."""
    found = figures(
        use(30, 40, event="a"), use(10, 20, event="b"), use(30, 31, event="c"), use(5, 6, "moderator", event="a")
    )

    assert ["b", "a", "c"] == [one.event for one in found]


def test_figures_of_orders_are_sums_over_their_events() -> None:
    """Two events of `pack` with 1 and 2 attendees above and 1 minute over; an order without events has zeros."""
    found = figures(
        *[use(0, 10) for _ in range(3)],
        *[use(0, 2 * HOUR_MS + 1, event="e2") for _ in range(4)],
        use(0, 10, event="e3", by="gone"),
    )

    assert [OrderFigure("pack", 2, 3, 1), OrderFigure("all", 0, 0, 0)] == order_figures(found, ORDERS)


DRAWN = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 15), st.sampled_from(["attendee", "presenter", "moderator"])),
    max_size=10,
)


@settings(max_examples=80, deadline=None)
@given(drawn=DRAWN)
def test_T11_equals_a_model_that_looks_at_every_millisecond(drawn: list[tuple[int, int, str]]) -> None:
    """Peak, its instant, live time, panel and openings by counting who is there in each millisecond."""
    uses = [use(begin, begin + length, role) for begin, length, role in drawn]
    attending = [one for one in uses if one.role != "moderator"]
    lasting = [one for one in attending if one.until_ms != one.from_ms]
    there = [
        {index for index, one in enumerate(lasting) if one.from_ms <= ms < (one.until_ms or 0)} for ms in range(60)
    ]
    panel = [
        sum(one.role != "attendee" and one.from_ms <= ms < (one.until_ms or 0) for one in uses) for ms in range(60)
    ]

    found = figures(*uses)
    assert bool(attending) == bool(found)
    if found:
        (event,) = found
        peak = max(len(legs) for legs in there)
        assert sum(bool(legs) for legs in there) == event.live_ms
        assert (peak, max(panel), len(attending)) == (event.peak_attendees, event.peak_panel, event.joined_total)
        assert min(one.from_ms for one in attending) == event.first_ms
        if peak:
            assert [len(legs) for legs in there].index(peak) == event.peak_at_ms
    opened = [ms for ms in range(60) if there[ms] and not (ms and there[ms] & there[ms - 1])]
    closed = [ms for ms in range(1, 60) if there[ms - 1] and not there[ms] & there[ms - 1]]
    assert list(zip(opened, closed, strict=True)) == spans(lasting)
