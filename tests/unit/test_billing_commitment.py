"""What a customer was committed to at any instant."""

from datetime import date
from typing import Any

import pytest
from billing_model import in_force
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import china, special_offer
from support import customer, named_hosts, term
from support import ports as dated_ports
from support import teams_ports as dated_teams_ports

from gateway.domain.billing.commitment import Span, Version, timelines
from gateway.domain.billing.day_state import state_of_day
from gateway.domain.billing.entry import EntryId
from gateway.domain.catalogue import Customer
from gateway.domain.contract import METERED_POOLS, REPORTED_POOLS, commitments
from gateway.domain.days import DAY_MS, HOUR_MS, Day, day, day_at


ENDLESS = term("2020-01-01", "9999-12-31")
"""A term that lasts to the end of the calendar: its last day has no midnight after it."""


def ports(committed: int, **fields: Any) -> dict[str, Any]:
    """A subscription of concurrent connections; endless, where nothing else is said."""
    return dated_ports(committed, **{**ENDLESS, **fields})


def teams_ports(committed: int) -> dict[str, Any]:
    """An endless subscription of Teams gateway connections."""
    return dated_teams_ports(committed, **ENDLESS)


def on(text: str) -> Day:
    """The day of a date."""
    return day(date.fromisoformat(text).toordinal())


START_MS = on("2026-05-01").start_ms


def version(number: int, since_ms: int, held: Customer | None) -> Version:
    """The version that the entry of that number installed."""
    return Version(since_ms, held, EntryId(1, number))


def spans(pool: str, *versions: Version) -> tuple[Span, ...]:
    """The timeline of a pool."""
    return timelines(versions)[pool].spans


def metered(*held: dict[str, Any]) -> Customer:
    """A customer with a licence for hosts, and these."""
    return customer(named_hosts("alice"), *held)


def test_T4_3_a_commitment_changes_at_the_instant_of_its_version() -> None:
    """Raised at noon and lowered in the evening: three spans, and in each instant the one of its moment."""
    noon, evening = on("2026-11-20").start_ms + 12 * HOUR_MS, on("2026-11-20").start_ms + 18 * HOUR_MS
    morning = on("2026-11-20").start_ms + 6 * HOUR_MS
    held = [
        version(n, at, customer(ports(many))) for n, (at, many) in enumerate([(morning, 5), (noon, 8), (evening, 3)])
    ]
    found = timelines(held)["ports"]

    assert (Span(morning, noon, 5, None), Span(noon, evening, 8, None), Span(evening, None, 3, None)) == found.spans
    assert [None, 5, 5, 8, 3] == [
        span.committed if (span := found.at(ms)) else None
        for ms in (morning - 1, morning, noon - 1, noon, evening)
    ]  # fmt: skip


def test_T1_5_subscriptions_add_up_while_their_terms_overlap() -> None:
    """A second one from 1 November to 30 November: 5, 12, 5, changing at Pacific midnights, the first of which ends a day of summer time."""
    held = customer(ports(5, id="base"), ports(7, id="more", **term("2026-11-01", "2026-11-30")))
    begins, first, after = on("2026-10-01").start_ms, on("2026-11-01").start_ms, on("2026-12-01").start_ms

    assert (Span(begins, first, 5, None), Span(first, after, 12, None), Span(after, None, 5, None)) == spans(
        "ports", version(0, begins, held)
    )


def test_T1_4_after_the_term_the_last_commitment_is_held() -> None:
    """From the midnight after the last day on, until another order begins; before the first there is nothing."""
    held = metered(
        ports(5, id="old", **term("2026-01-10", "2026-02-28")), ports(9, id="new", **term("2026-03-08", "2026-12-31"))
    )
    first, ended, again, over = (on(text).start_ms for text in ("2026-01-10", "2026-03-01", "2026-03-08", "2027-01-01"))

    assert (
        Span(first, ended, 5, None),
        Span(ended, again, 5, ended),
        Span(again, over, 9, None),
        Span(over, None, 9, over),
    ) == spans("ports", version(0, on("2026-01-01").start_ms, held))


def test_T1_4_a_version_that_drops_the_order_ends_the_commitment_at_its_instant() -> None:
    """Also where the customer is removed; a later version without it changes nothing."""
    start = on("2026-05-01").start_ms
    held = [version(0, start, metered(ports(4))), version(1, start + 5, metered()), version(2, start + 9, None)]

    assert (Span(start, start + 5, 4, None), Span(start + 5, None, 4, start + 5)) == spans("ports", *held)


def test_T17_1_T10_3_an_order_that_is_ended_on_notice_ends_with_that_day() -> None:
    """The China pool and the offer of Teams connections end with the day `ends_on`, before their terms do."""
    held = metered(china(5, ends_on="2026-07-04")), customer(special_offer(2, ends_on="2026-08-31"))
    start, china_over, offer_over = (on(text).start_ms for text in ("2026-03-01", "2026-07-05", "2026-09-01"))

    assert (Span(start, china_over, 5, None), Span(china_over, None, 5, china_over)) == spans(
        "china", version(0, start, held[0])
    )
    assert (Span(start, offer_over, 2, None), Span(offer_over, None, 2, offer_over)) == spans(
        "teams_ports", version(0, start, held[1])
    )


def test_T15_3_T8_2_each_pool_has_a_timeline_of_its_own() -> None:
    """Ports, Teams ports, the limit of telephone legs; pools that nobody ordered have none."""
    found = timelines([version(0, START_MS, customer(ports(6, pstn_limit=2), teams_ports(3)))])

    assert {"ports": 6, "teams_ports": 3, "china": None, "pstn": 2, "event_pstn": None} == {
        pool: span.committed if (span := timeline.at(START_MS)) else None for pool, timeline in found.items()
    }
    assert list(METERED_POOLS) == list(found)


def test_a_clock_that_was_set_back_does_not_bring_back_an_older_version() -> None:
    """Entries decide which version is the later one; its instant is not before the one of the version that it replaced."""
    held = [version(1, START_MS - 9, customer(ports(8))), version(0, START_MS, customer(ports(5)))]

    assert (Span(START_MS, None, 8, None),) == spans("ports", *held)


def test_T1_4_a_clock_that_was_set_back_over_midnight_does_not_bring_back_a_term_that_has_ended() -> None:
    """The later version was installed a moment before midnight, after one of the day that had begun; its term ended with the day before."""
    over = metered(ports(8, **term("2026-01-01", "2026-04-30")))

    assert () == spans("ports", version(0, START_MS, metered()), version(1, START_MS - 9, over))


def test_a_timeline_is_cut_to_what_is_asked() -> None:
    """Spans that overlap the range, cut at both of its ends; what only touches it is not there."""
    one, two, three = START_MS, START_MS + 100, START_MS + 200
    found = timelines([version(n, at, customer(ports(n + 1))) for n, at in enumerate((one, two, three))])["ports"]

    assert [Span(one + 50, two, 1, None), Span(two, three, 2, None)] == list(found.between(one + 50, three))
    assert [] == list(found.between(one - 100, one))
    assert [Span(three + 1, three + 9, 3, None)] == list(found.between(three + 1, three + 9))


@pytest.mark.parametrize("last", ["9999-12-30", "9999-12-31"])
def test_a_term_that_lasts_to_the_end_of_the_calendar_never_ends(last: str) -> None:
    """The last day that has a midnight after it, or none, ends nothing."""
    held = customer(ports(5, **term("2020-01-01", last)))

    assert (Span(START_MS, None, 5, None),) == spans("ports", version(0, START_MS, held))


def test_T1_4_a_version_that_was_in_force_for_no_time_is_no_last_commitment() -> None:
    """Of two that were installed in one millisecond only the later one counts."""
    held = [version(0, START_MS, metered(ports(5))), version(1, START_MS, metered())]

    assert () == spans("ports", *held)


FIRST = on("2026-10-30").ordinal
DATES = st.integers(FIRST, FIRST + 5).map(date.fromordinal)
TERMS = st.tuples(DATES, DATES).map(lambda ends: term(min(ends), max(ends))) | st.just(ENDLESS)


@st.composite
def histories(draw: st.DrawFn) -> list[Version]:
    """Versions with ports, telephone limits and a China pool that come and go in a few days around a change of clocks."""
    instants = draw(st.lists(st.integers(day(FIRST).start_ms, day(FIRST + 5).end_ms), min_size=1, max_size=4))
    versions = []
    for number, since_ms in enumerate(sorted(instants)):
        held = [
            ports(draw(st.integers(0, 9)), id=f"ports{n}", pstn_limit=n + 1, **draw(TERMS))
            for n in range(draw(st.integers(0, 3)))
        ]
        if draw(st.booleans()):
            held.append(china(3, ends_on=str(draw(DATES))))
        versions.append(version(number, since_ms, draw(st.just(None) | st.just(metered(*held)))))
    return versions


@settings(max_examples=150, deadline=None, print_blob=True)
@given(versions=histories(), more=st.lists(st.integers(day(FIRST).start_ms, day(FIRST + 5).end_ms), max_size=5))
def test_T1_4_T1_5_at_every_instant_it_is_what_the_version_of_that_instant_says_of_that_day(
    versions: list[Version], more: list[int]
) -> None:
    """Of every pool, at every midnight, version, the instant before, and any: also the last commitment that is held, and since when."""
    marks = [day(ordinal).start_ms for ordinal in range(FIRST, FIRST + 7)] + [each.since_ms for each in versions]
    found = timelines(versions)
    for pool in METERED_POOLS:
        changes = [
            (ms, commitments(held[-1].customer, day_at(ms).ordinal).get(REPORTED_POOLS[pool]))
            for ms in sorted(marks)
            if (held := [each for each in versions if each.since_ms <= ms])
        ]
        for ms in [*marks, *[mark - 1 for mark in marks], *more]:
            span = found[pool].at(ms)
            assert in_force(changes, ms) == ((span.committed, span.ended_ms) if span else None)


@pytest.mark.parametrize("text", ["2026-03-08", "2026-11-01", "2026-12-31"])
def test_a_day_is_provisional_for_two_hours_and_final_after_a_day(text: str) -> None:
    """Counted in time that passes from its end on, whatever its own length; at the instant of a change the later state holds."""
    asked = on(text)
    since_end = {
        -DAY_MS: "open",
        -1: "open",
        0: "provisional",
        2 * HOUR_MS - 1: "provisional",
        2 * HOUR_MS: "closed",
        DAY_MS - 1: "closed",
        DAY_MS: "final",
        400 * DAY_MS: "final",
    }

    assert since_end == {ms: state_of_day(asked, asked.end_ms + ms) for ms in since_end}
