"""Active hosts, calling, events, rate cards and what-if, from pasts that the real writer has written."""

import random
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from ledger_past import Past, at, noon, ordinal
from plans import active_enterprise, global_audio, per_event, premium_calling
from sqlalchemy import select, update
from support import ports, term

from gateway.domain.billing.rate_card import RateCardsInvalid, parse_rate_cards
from gateway.domain.days import HOUR_MS, MINUTE_MS, day
from gateway.ledger import schema
from gateway.ledger.calling_reports import CallingReports
from gateway.ledger.database import Database
from gateway.ledger.event_replay import EventReplay
from gateway.ledger.host_reports import HostReports
from gateway.ledger.rate_cards import RateCards, card_document
from gateway.ledger.what_if import OtherContract, what_if


NOW = noon("2026-11-20")
MINUTE = MINUTE_MS

CERTIFIED = {"certifications": [{"count": 30, "certified_on": "2025-12-15", "certified_by": "An Officer"}]}


def enterprise(**fields: Any) -> dict[str, Any]:
    """T5 for 2026 in two periods, 10 % of 30 employees at least."""
    held = {
        "id": "ah", "base_percentage": 10, **term("2026-01-01", "2026-12-31"), **CERTIFIED,
        "subscription_periods": [
            {"from": "2026-01-01", "to": "2026-06-30"}, {"from": "2026-07-01", "to": "2026-12-31"},
        ],
    }  # fmt: skip
    return active_enterprise(**{**held, **fields})


def hosting(past: Past, date: str, *names: str, licensed_by: str = "ah") -> None:
    """Each of them owns a meeting of an hour on that day."""
    for name in names:
        past.leg(
            f"{date}-{name}", noon(date), noon(date) + HOUR_MS, host=f"{name}@acme.example", meeting=f"m-{name}",
            licensed_by=licensed_by,
        )  # fmt: skip


def card(per_minute: str = "0.10", *, effective_from: str = "2026-01-01", currency: str = "USD") -> dict[str, Any]:
    """A rate card `std` of Call Me to France."""
    rate = {"country": "FR", "calling": "call_me", "number_class": "standard", "per_minute": per_minute}
    return {"id": "std", "currency": currency, "effective_from": effective_from, "rates": [rate]}


async def apply(database: Database, *cards: dict[str, Any]) -> list[bool]:
    """Keeps them."""
    return await RateCards(database).apply(parse_rate_cards({"rate_cards": list(cards)}), "test", NOW)


async def test_T5_2_hosts_are_counted_once_in_each_cycle_that_they_touch(ledger_database: Database) -> None:
    """Alice twice in September, Bob over the end of the month, Carol under another plan, Dora never connected: 2, then 1 in October."""
    past = Past()
    past.hold(at("2026-01-01 00:00"), enterprise())
    hosting(past, "2026-09-10", "alice")
    hosting(past, "2026-09-11", "alice")
    hosting(past, "2026-09-12", "carol", licensed_by="corporate")
    past.leg("bob", at("2026-09-30 23:30"), at("2026-10-01 00:30"), host="bob@acme.example", licensed_by="ah")
    past.leg("dora", noon("2026-09-13"), host="dora@acme.example", licensed_by="ah", connected=False)
    await past.write(ledger_database)

    (september,) = await HostReports(ledger_database).active_hosts("acme", "2026-09", NOW)
    (october,) = await HostReports(ledger_database).active_hosts("acme", "2026-10", NOW)

    assert ("ah", 2, 1) == (september.subscription, september.cycle.hosts, october.cycle.hosts)
    assert [0] * 8 + [2] == [count.hosts for count in september.figures.cycles if count.name <= "2026-09"]


async def test_T5_3_the_billed_quantity_is_the_mean_where_that_is_greater(ledger_database: Database) -> None:
    """Base ceil(30 x 10 %) = 3; March to May had 4, 5 and 4 hosts: (4 + 5 + 4) / 3 = 4.33, so 5 from July on."""
    past = Past()
    past.hold(at("2026-01-01 00:00"), enterprise())
    for month, names in (("03", "abcd"), ("04", "abcde"), ("05", "abcd")):
        hosting(past, f"2026-{month}-10", *names)
    await past.write(ledger_database)

    (report,) = await HostReports(ledger_database).active_hosts("acme", "2026-07", NOW)

    first, second = report.figures.periods
    assert (3, "base", 3) == (first.billed, first.won, first.base)
    assert second.mean is not None
    assert (5, "mean", 3, Fraction(13, 3)) == (second.billed, second.won, second.before, second.mean.value)
    assert report.figures.termination is None


async def test_T5_2_a_live_leg_counts_and_a_later_version_of_the_order_is_not_known_before(
    ledger_database: Database,
) -> None:
    """Alice has been in her meeting since October: she counts in November. A customer that is not there has no report."""
    past = Past()
    past.hold(at("2026-01-01 00:00"), enterprise())
    past.leg("alice", at("2026-10-31 23:59"), licensed_by="ah")
    past.hold(at("2026-11-15 00:00"), enterprise(base_percentage=50))
    await past.write(ledger_database)
    reports = HostReports(ledger_database)

    (november,) = await reports.active_hosts("acme", "2026-11", NOW)

    assert (1, True, NOW) == (november.cycle.hosts, november.cycle.running, november.as_of_ms)
    assert [] == await reports.active_hosts("acme", "2025-12", NOW)
    assert [] == await reports.active_hosts("globex", "2026-11", NOW)
    with pytest.raises(ValueError, match="is no cycle"):
        await reports.active_hosts("acme", "2026-13", NOW)


async def test_T21_2_a_host_whose_name_was_forgotten_between_two_meetings_counts_once(
    ledger_database: Database,
) -> None:
    """A name and its pseudonym are one host."""
    past = Past()
    past.hold(at("2026-01-01 00:00"), enterprise())
    hosting(past, "2026-09-10", "alice")
    hosting(past, "2026-09-12", "bob")
    await past.write(ledger_database)
    names, legs = schema.names, schema.legs
    async with ledger_database.writing() as connection:
        alice = (await connection.execute(select(names).where(names.c.name == "alice@acme.example"))).one()
        twin = (
            await connection.execute(
                names.insert().values(customer="acme", kind="person", name=None, pseudonym=alice.pseudonym)
            )
        ).inserted_primary_key
        assert twin is not None
        bob = select(names.c.id).where(names.c.name == "bob@acme.example").scalar_subquery()
        await connection.execute(update(legs).where(legs.c.host == bob).values(host=twin[0]))

    (september,) = await HostReports(ledger_database).active_hosts("acme", "2026-09", NOW)

    assert 1 == september.cycle.hosts


@pytest.mark.parametrize("anchor_day", [1, 15, 31])
async def test_T5_2_random_uses_give_what_a_plain_count_gives(ledger_database: Database, anchor_day: int) -> None:
    """200 legs of 12 hosts, some over several cycles, some at their very ends: every cycle has the hosts of the legs that touch it."""
    seed = random.randrange(2**32)
    draw, past, uses = random.Random(seed), Past(), list[tuple[str, int, int]]()
    past.hold(at("2026-01-01 00:00"), enterprise(anchor_day=anchor_day))
    edges = [at(f"2026-{month:02d}-{place:02d} 00:00") for month in range(1, 11) for place in (1, 15, 28)]
    for number in range(200):
        host, edge = f"h{draw.randrange(12)}@acme.example", draw.choice(edges)
        from_ms = max(edge + draw.choice([-1, 0, draw.randrange(-20 * HOUR_MS, 20 * HOUR_MS)]), edges[0])
        until_ms = from_ms + draw.choice([0, 1, HOUR_MS, 45 * 24 * HOUR_MS])
        past.leg(f"leg-{number}", from_ms, until_ms, host=host, licensed_by="ah")
        uses.append((host, from_ms, until_ms))
    await past.write(ledger_database)

    (report,) = await HostReports(ledger_database).active_hosts("acme", "2026-10", NOW)

    for count in report.figures.cycles:
        start_ms, end_ms = day(count.first).start_ms, day(count.last).end_ms
        plain = {
            host
            for host, from_ms, until_ms in uses
            if from_ms < min(end_ms, report.as_of_ms + 1) and (from_ms >= start_ms or until_ms > start_ms)
        }
        assert len(plain) == count.hosts, (count.name, seed)


CALL_ME: dict[str, Any] = {
    "endpoint": "pstn", "calling": "call_me", "number_country": "FR", "number_class": "standard", "pools": ("ports",),
}  # fmt: skip


async def test_T15_4_T16_2_minutes_are_charged_discounted_and_deducted(ledger_database: Database) -> None:
    """61 s and 10 min are 2 + 10 min at 0.10 = 1.20; less 25 % = 0.90; a twelfth of 6 is 0.50: due 0.40. 90 s unrated are named."""
    past = Past()
    audio = global_audio(id="audio", rate_card="std", discount=25, annual_fee=6)
    past.hold(at("2026-01-01 00:00"), ports(10), audio)
    start = noon("2026-10-05")
    past.leg("one", start, start + 61_000, **CALL_ME)
    past.leg("two", start, start + 10 * MINUTE, **CALL_ME)
    past.leg("three", start, start + 90_000, **{**CALL_ME, "number_country": "DE"})
    past.leg("web", start, start + HOUR_MS)
    past.leg("before", at("2026-09-30 23:00"), at("2026-10-01 01:00"), **CALL_ME)
    await past.write(ledger_database)
    await apply(ledger_database, card())

    (month,) = await CallingReports(ledger_database).calling("acme", "2026-10", NOW)

    assert [("DE", 1, 120, None), ("FR", 2, 720, Decimal("1.20"))] == [
        (row.country, row.legs, row.billed_s, row.charge) for row in month.rows
    ]
    amounts = (month.gross, month.discounted, month.deduction, month.due)
    assert tuple([Decimal(text) for text in ("1.20", "0.90", "0.50", "0.40")]) == amounts
    assert (1, ("rate card std of 2026-01-01 has no rate for it",)) == (month.unrated_legs, month.rows[0].unrated)


async def test_T15_4_T21_2_a_leg_that_moves_or_comes_back_is_charged_once(ledger_database: Database) -> None:
    """30 s, moved, 20 s; 40 s until its last sign of life, adopted after 100 s, until 130 s: 1 and 3 begun minutes, also when forgotten."""
    past = Past()
    past.hold(at("2026-01-01 00:00"), ports(10), premium_calling(id="calls", rate_card="std"))
    start = at("2026-10-31 23:59:30")
    past.leg("one", start, **CALL_ME, ends="")
    past.move("one", start + 30_000, start + 50_000, **CALL_ME, meeting="m2")
    past.leg("two", start, start + 60_000, ends="reclaim", alive_ms=start + 40_000, **CALL_ME)
    past.leg("two", start + 100_000, start + 130_000, op="adopt", adopted=True, **CALL_ME)
    await past.write(ledger_database)
    await apply(ledger_database, card())
    reports = CallingReports(ledger_database)

    for forgotten in (None, "", "~"):
        if forgotten is not None:
            async with ledger_database.writing() as connection:
                await connection.execute(update(schema.legs).values(connection=forgotten))
        (october,) = await reports.calling("acme", "2026-10", NOW)
        (november,) = await reports.calling("acme", "2026-11", NOW)

        assert [(2, 60 + 180, Decimal("0.40"))] == [(row.legs, row.billed_s, row.charge) for row in october.rows]
        assert () == november.rows


async def test_T15_4_dialled_numbers_are_rated_by_the_access_number(ledger_database: Database) -> None:
    """Of a dial-in the provider's own number counts; where none was told, its country and class are not guessed."""
    past = Past()
    past.hold(at("2026-01-01 00:00"), ports(10), premium_calling(id="calls"))
    start = noon("2026-10-05")
    dialled: dict[str, Any] = {
        "endpoint": "pstn",
        "calling": "premium",
        "number_country": "FR",
        "number_class": "standard",
    }
    past.leg("one", start, start + MINUTE, **dialled, access_country="GB", access_class="premium_rate")
    past.leg("two", start, start + MINUTE, **dialled)
    await past.write(ledger_database)

    (month,) = await CallingReports(ledger_database).calling("acme", "2026-10", NOW)

    assert [(None, "unstated"), ("GB", "premium_rate")] == [(row.country, row.number_class) for row in month.rows]
    assert {("calls names no rate card",)} == {row.unrated for row in month.rows}


async def test_T15_4_what_a_rate_card_was_is_never_written_over(ledger_database: Database) -> None:
    """The same again changes nothing; other rates from the same day, or another currency, are refused with all that came with them."""
    assert [True] == await apply(ledger_database, card())
    assert [False, True] == await apply(ledger_database, card("0.1"), card("0.000000001", effective_from="2026-06-01"))

    with pytest.raises(RateCardsInvalid, match=r"\$.rate_cards\[1\].effective_from: std is kept with other rates"):
        await apply(ledger_database, card("0.30", effective_from="2026-12-01"), card("0.30"))
    with pytest.raises(RateCardsInvalid, match=r"\$.rate_cards\[0\].currency: is EUR, while std is kept in USD"):
        await apply(ledger_database, card(effective_from="2026-12-01", currency="EUR"))

    kept = await RateCards(ledger_database).kept()
    assert [("2026-01-01", "0.10"), ("2026-06-01", "0.000000001")] == [
        (document["effective_from"], document["rates"][0]["per_minute"])
        for document in [card_document(each.card) for each in kept]
    ]


EVENT: dict[str, Any] = {"service": "event", "endpoint": "web", "pools": (), "licensed_by": "ev", "meeting": "e1"}


async def test_T11_2_T11_5_events_are_replayed(ledger_database: Database) -> None:
    """A presenter for 150 min and three attendees, one of whom became a presenter, against 2: overage 1, and 30 min beyond 2 h."""
    past = Past()
    past.hold(at("2026-01-01 00:00"), per_event(quantity=5, max_attendees=2, id="ev"))
    start = noon("2026-10-05")
    past.leg("p", start, start + 150 * MINUTE, role="presenter", **EVENT)
    past.leg("mod", start - HOUR_MS, start + HOUR_MS, role="moderator", **EVENT)
    past.leg("a", start + MINUTE, role="attendee", ends="", **EVENT)
    past.move("a", start + 2 * MINUTE, start + 20 * MINUTE, role="presenter", **EVENT)
    past.leg("b", start + 3 * MINUTE, start + 5 * MINUTE, role="attendee", **EVENT)
    await past.write(ledger_database)

    found = await EventReplay(ledger_database).events("acme", NOW)

    (event,) = found.events
    assert ("e1", "ev", 3, 3, start + 3 * MINUTE) == (
        event.event, event.licensed_by, event.peak_attendees, event.joined_total, event.peak_at_ms,
    )  # fmt: skip
    assert (3, 150 * MINUTE, 1, 30) == (
        event.peak_panel, event.live_ms, event.attendee_overage, event.duration_overage_minutes,
    )  # fmt: skip
    assert [("ev", 1, 1, 30)] == [
        (each.order, each.events, each.attendee_overage, each.duration_overage_minutes) for each in found.orders
    ]


async def test_T4_3_what_if_denies_in_order_and_does_not_count_who_was_denied(ledger_database: Database) -> None:
    """Five legs against 2 (overage 3). With 3 and a ceiling of 4 the fifth is denied: 4, overage 1. Refusals of then stand beside it."""
    past = Past()
    past.hold(at("2026-01-01 00:00"), ports(2, enforcement="metered", ceiling=5))
    start = noon("2026-10-05")
    for place in range(5):
        past.leg(f"leg-{place}", start + place * MINUTE, start + HOUR_MS)
    past.leg("late", start + 2 * HOUR_MS, start + 3 * HOUR_MS)
    for reason in ("ports_full", "ports_full", "host_busy"):
        past.deny(start + 6 * MINUTE, reason)
    await past.write(ledger_database)
    days = ordinal("2026-10-05"), ordinal("2026-10-06")

    found = await what_if(ledger_database, "acme", "ports", OtherContract(3, 4), *days, NOW)
    without = await what_if(ledger_database, "acme", "ports", OtherContract(5), *days, NOW)

    first, second = found.days
    assert first.then is not None
    assert (5, 2, 3, 4, 1, 1) == (
        first.then.peak, first.then.committed, first.then.overage, first.other.peak, first.other.overage, first.denied,
    )  # fmt: skip
    assert (0, 0) == (second.other.peak, second.denied)
    assert (1, 1, 3, 1, 1) == (found.days_over_then, found.days_over, found.overage_then, found.overage, found.denied)
    assert {"ports_full": 2, "host_busy": 1} == found.denied_then
    assert (1, 0, 0, 5) == (without.days_over_then, without.days_over, without.denied, without.days[0].other.peak)


async def test_T4_1_what_if_denies_a_leg_with_all_that_it_went_on_with(ledger_database: Database) -> None:
    """Over a ceiling of 1: who was there at midnight stays, who joins is denied and counts nowhere after a move; who was adopted counts."""
    past = Past()
    past.hold(at("2026-01-01 00:00"), ports(5))
    start = noon("2026-10-05")
    past.leg("there", at("2026-10-04 23:00"), start + HOUR_MS)
    past.leg("denied", start, ends="")
    past.move("denied", start + MINUTE, start + HOUR_MS, meeting="m2")
    past.leg("adopted", start + 2 * MINUTE, start + 3 * MINUTE, op="adopt", adopted=True)
    past.leg("next", start + HOUR_MS, start + 2 * HOUR_MS)
    await past.write(ledger_database)
    days = ordinal("2026-10-05"), ordinal("2026-10-05")

    (only,) = (await what_if(ledger_database, "acme", "ports", OtherContract(1, 1), *days, NOW)).days

    assert (2, start + 2 * MINUTE, 1, 1) == (only.other.peak, only.other.peak_at_ms, only.other.overage, only.denied)
    assert [] == list(
        (
            await what_if(
                ledger_database, "acme", "china", OtherContract(1), ordinal("2027-01-01"), ordinal("2027-01-02"), NOW
            )
        ).days
    )
