"""Bills that are easily wrong: legs of about a day that come back, joins of which nobody heard, orders that change under calls and events."""

from typing import Any

import pytest
from ledger_days import Bucket, at, metered, on
from ledger_past import Past, noon
from ledger_past import at as instant
from plans import corporate, per_event, premium_calling
from support import ports, term

from gateway.domain.billing.rate_card import parse_rate_cards
from gateway.domain.days import MINUTE_MS
from gateway.kernel.keys import bucket_of
from gateway.ledger import schema
from gateway.ledger.calling_reports import CallingReports
from gateway.ledger.database import Database
from gateway.ledger.event_replay import EventReplay
from gateway.ledger.figures import Figures
from gateway.ledger.live_rows import read_where
from gateway.ledger.past import remembered_past
from gateway.ledger.rate_cards import RateCards
from gateway.ledger.stretches import Stretches


DAY = on("2026-11-20")
MINUTE = MINUTE_MS
ON_ONE = pytest.mark.parametrize("ledger_kind", ["sqlite"], indirect=True)


@pytest.mark.parametrize("hours", [23.4, 24.5, 60])
async def test_T4_3_a_leg_of_about_a_day_that_was_adopted_after_midnight_counts_on_the_new_day(
    ledger_database: Database, hours: float
) -> None:
    """Its seat was reclaimed at 23:00, after about a day, and it is adopted at 0:30: it is billed at 0:00, whichever days are read together."""
    acme = await Bucket.open(ledger_database)
    acme.install(metered(0), at(DAY, -100))
    acme.admit("a", at(DAY, -1 - hours))
    acme.reclaim("a", at(DAY, -1), at(DAY, -1.01))
    acme.admit("a", at(DAY, 0.5), adopted=True)
    acme.release("a", at(DAY, 1))
    await acme.write()
    figures = Figures(ledger_database)

    alone = await figures.overage("acme", DAY.ordinal, DAY.ordinal, DAY.end_ms)
    together = await figures.overage("acme", DAY.ordinal - 4, DAY.ordinal, DAY.end_ms)

    assert [(1, 1, DAY.start_ms)] == [(row.peak, row.overage, row.peak_at_ms) for row in alone]
    assert alone == together[-1:]


@ON_ONE
async def test_T4_3_a_join_of_which_nobody_heard_is_not_billed(ledger_database: Database) -> None:
    """It was connected at once, answered as a refusal, and given back: it held a seat beside another leg, and was no connection."""
    acme = await Bucket.open(ledger_database)
    acme.install(metered(1), at(DAY, 0))
    acme.admit("a", at(DAY, 8))
    acme.admit("b", at(DAY, 9))
    acme.give_back("b", at(DAY, 9) + 300)
    await acme.write()

    (row,) = await Figures(ledger_database).overage("acme", DAY.ordinal, DAY.ordinal, DAY.end_ms)

    assert (1, 0, 2) == (row.peak, row.overage, row.held_peak)


@ON_ONE
async def test_T4_3_legs_that_a_store_has_lost_count_at_the_last_instant_that_is_known(
    ledger_database: Database,
) -> None:
    """Three join one after the other, and then the store is emptied; nobody brings them back: three at one time, as the last one joined."""
    acme = await Bucket.open(ledger_database)
    acme.install(metered(2), at(DAY, 0))
    for hour, name in enumerate("abc", 9):
        told = acme.admit(name, at(DAY, hour))
    acme.new_epoch(at(DAY, 15), at(DAY, 15), told, lost=True)
    await acme.write()
    bucket = bucket_of("acme")
    async with ledger_database.reading() as connection:
        live = await read_where(connection, schema.live.c.bucket == bucket)
    stretches = Stretches(dict(live))
    stretches.lose(list(live), acme.writer.positions[bucket].id, acme.writer.doubts[bucket])
    await acme.writer.settle(bucket, stretches, live.keys())

    (row,) = await Figures(ledger_database).overage("acme", DAY.ordinal, DAY.ordinal, DAY.end_ms)

    assert (3, 1, at(DAY, 11)) == (row.peak, row.overage, row.peak_at_ms)


CALL: dict[str, Any] = {
    "endpoint": "pstn", "calling": "call_me", "number_country": "FR", "number_class": "standard", "pools": ("ports",),
}  # fmt: skip


@ON_ONE
async def test_T15_4_calls_are_charged_under_what_was_held_on_their_day(ledger_database: Database) -> None:
    """One calling order takes the place of another within a month, before its term has ended: each has the calls of its own days."""
    past, year = Past(), term("2026-01-01", "2026-12-31")
    past.hold(instant("2026-01-01 00:00"), ports(10), premium_calling(id="old", rate_card="old", **year))
    past.hold(
        instant("2026-10-15 00:00"),
        *[ports(10), premium_calling(id="new", rate_card="new", **term("2026-10-15", "2027-12-31"))],
    )
    for date in ("2026-10-05", "2026-10-20", "2026-10-21"):
        past.leg(date, noon(date), noon(date) + MINUTE, **CALL)
    await past.write(ledger_database)
    rate = {"country": "FR", "calling": "call_me", "number_class": "standard", "per_minute": "0.10"}
    cards = [{"id": id_, "currency": "USD", "effective_from": "2026-01-01", "rates": [rate]} for id_ in ("old", "new")]
    await RateCards(ledger_database).apply(parse_rate_cards({"rate_cards": cards}), "test", noon("2026-10-01"))

    months = await CallingReports(ledger_database).calling("acme", "2026-10", noon("2026-11-20"))

    assert [("old", 1), ("new", 2)] == [(month.subscription, sum(row.legs for row in month.rows)) for month in months]


EVENT: dict[str, Any] = {"service": "event", "meeting": "e1", "licensed_by": "ev", "pools": ()}


@ON_ONE
async def test_T11_3_an_event_is_judged_by_the_order_of_its_time(ledger_database: Database) -> None:
    """Two presenters and an attendee against 2: one above, also when the order has 5 later."""
    past = Past()
    past.hold(instant("2026-01-01 00:00"), per_event(quantity=5, max_attendees=2, id="ev"))
    start = noon("2026-10-05")
    for name in "abc":
        past.leg(name, start, start + MINUTE, role="presenter", **EVENT)
    past.hold(instant("2026-10-20 00:00"), per_event(quantity=5, max_attendees=5, id="ev"))
    await past.write(ledger_database)

    found = await EventReplay(ledger_database).events("acme", noon("2026-11-20"))

    assert [(3, 2, 1)] == [(e.peak_attendees, e.max_attendees, e.attendee_overage) for e in found.events]


@ON_ONE
async def test_T11_5_the_time_of_an_event_that_goes_on_is_given_back_up_to_what_is_known(
    ledger_database: Database,
) -> None:
    """Live for an hour before, and for 40 min when something was last heard: a store that has lost it is told of 100 min."""
    past = Past()
    past.hold(instant("2026-01-01 00:00"), per_event(quantity=5, id="ev"))
    start = noon("2026-10-05")
    past.leg("a", start, start + 60 * MINUTE, role="presenter", **EVENT)
    past.leg("b", start + 70 * MINUTE, role="presenter", **EVENT)
    past.leg("c", start + 110 * MINUTE, start + 110 * MINUTE, role="moderator", **EVENT)
    await past.write(ledger_database)

    _, (age,) = await remembered_past(ledger_database, "acme", start + 500 * MINUTE)

    assert (100 * MINUTE, start + 110 * MINUTE, 2) == (age.summed_ms, age.since_ms, age.joined)


@ON_ONE
async def test_T3_3_hosts_that_shadow_mode_let_in_are_not_given_back(ledger_database: Database) -> None:
    """What would have been denied takes no claims: the store did not count that host either."""
    past = Past()
    past.hold(instant("2026-01-01 00:00"), corporate(id="corp"))
    for name, would_deny in (("alice", ""), ("bob", "hosts_full")):
        past.leg(
            name,
            noon("2026-10-05"),
            host=f"{name}@acme.example",
            meeting=name,
            licensed_by="corp",
            would_deny=would_deny,
        )
    await past.write(ledger_database)

    marks, _ = await remembered_past(ledger_database, "acme", noon("2026-10-06"))

    assert ["alice@acme.example"] == [mark.member for each in marks.values() for mark in each]
