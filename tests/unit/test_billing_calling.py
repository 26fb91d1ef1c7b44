"""Calling minutes and charges of a month: T15.4, T16.1, T16.2."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.billing.calling import CallingMonth, CallingRow, CallingUse, calling_months, charged_under, rated
from gateway.domain.billing.rate_card import RateCard, parse_rate_cards
from gateway.domain.cycles import Cycle, cycle_of
from gateway.domain.days import HOUR_MS, PACIFIC, day, instant
from gateway.domain.plans.calling import CallingSubscription, GlobalAudio, PremiumCalling


NOVEMBER = cycle_of(date(2026, 11, 1).toordinal())
LATER = "2027-01-01T00:00"


def at(text: str) -> int:
    """An instant in Pacific time, in Unix milliseconds."""
    return round(datetime.fromisoformat(text).replace(tzinfo=PACIFIC).timestamp() * 1000)


def premium(id: str = "premium", first: str = "2026-01-01", last: str = "2026-12-31", **fields: Any) -> PremiumCalling:  # noqa: A002
    """T15 with the card `rates`."""
    term = {"from": first, "to": last}
    return PremiumCalling.model_validate(
        {"id": id, "plan": "calling.premium", "term": term, "rate_card": "rates", **fields}
    )


def audio(id: str = "audio", first: str = "2026-01-01", last: str = "2026-12-31", **fields: Any) -> GlobalAudio:  # noqa: A002
    """T16 with the card `rates`, 15 % off and 100 a year, unless stated."""
    given = {"rate_card": "rates", "discount": 15, "annual_fee": 100, **fields}
    return GlobalAudio.model_validate(
        {"id": id, "plan": "calling.global_audio", "term": {"from": first, "to": last}, **given}
    )


def cards(per_minute: str = "0.05", effective_from: str = "2026-01-01", **fields: Any) -> list[dict[str, Any]]:
    """A card with rates for Call Me in all countries, and for premium numbers in FR."""
    rates = [
        {"country": "*", "calling": "call_me", "per_minute": per_minute},
        {"country": "FR", "calling": "premium", "number_class": "premium_rate", "per_minute": "1.255"},
    ]
    return [{"id": "rates", "currency": "EUR", "effective_from": effective_from, "rates": rates, **fields}]


def use(
    start: str,
    seconds: float | None = 60,
    country: str | None = "FR",
    calling: str = "call_me",
    number_class: str = "standard",
) -> CallingUse:
    """A leg that begins then and lasts so long; None: still live."""
    begin = at(start)
    return CallingUse(country, calling, number_class, begin, None if seconds is None else begin + round(seconds * 1000))


def months(
    subscriptions: Iterable[CallingSubscription],
    uses: Iterable[CallingUse],
    *,
    made: Sequence[dict[str, Any]] = (),
    now: str = LATER,
    cycle: Cycle = NOVEMBER,
) -> list[CallingMonth]:
    """The figures of a cycle; `made` are the cards."""
    found: tuple[RateCard, ...] = parse_rate_cards({"rate_cards": list(made or cards())})
    return calling_months(subscriptions, uses, found, cycle, at(now))


def amounts(month: CallingMonth) -> list[str | None]:
    """Gross, discounted, fee, deduction, due, as they are written."""
    found = (month.gross, month.discounted, month.monthly_fee, month.deduction, month.due)
    return [None if amount is None else str(amount) for amount in found]


def test_T15_4_worked_example_rows_by_country_kind_and_class() -> None:
    """Begun minutes at 0.05; 61 s and 60 s to FR are 2 + 1 = 3 minutes: 0.15. 0.001 s to GB is a begun minute: 0.05.

    A premium-rate number in FR: 181 s are 4 minutes at 1.255 = 5.02. Gross 0.15 + 0.05 + 5.02 = 5.22.
    """
    uses = [
        use("2026-11-03T09:00", 61),
        use("2026-11-04T09:00", 60),
        use("2026-11-05T09:00", 0.001, "GB"),
        use("2026-11-06T09:00", 181, "FR", "premium", "premium_rate"),
    ]
    (found,) = months([premium()], uses)

    assert (
        CallingRow("FR", "call_me", "standard", 2, 121_000, 180, Decimal("0.15"), 0, ()),
        CallingRow("FR", "premium", "premium_rate", 1, 181_000, 240, Decimal("5.02"), 0, ()),
        CallingRow("GB", "call_me", "standard", 1, 1, 60, Decimal("0.05"), 0, ()),
    ) == found.rows
    assert ("2026-11", "premium", "EUR", 0, False) == (
        found.cycle, found.subscription, found.currency, found.unrated_legs, found.running,
    )  # fmt: skip
    assert ["5.22", "5.22", None, "0.00", "5.22"] == amounts(found)


def test_T16_2_worked_example() -> None:
    """15 % off, 100 a year: the monthly fee is 100 / 12 = 8.333..., at most 8.33.

    300 minutes at 0.05 = 15.00 and 7 at 1.255 = 8.785, half up 8.79: gross 23.79; 85 % are 20.2215, half up 20.22; less 8.33: due 11.89.
    """
    uses = [use("2026-11-03T09:00", 18_000), use("2026-11-03T09:00", 420, "FR", "premium", "premium_rate")]
    (found,) = months([audio()], uses)

    assert ["23.79", "20.22", "8.33", "8.33", "11.89"] == amounts(found)
    assert 15 == found.discount_percent


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        (0, ["0.00", "0.00", "10.00", "0.00", "0.00"]),
        (100, ["5.00", "4.00", "10.00", "4.00", "0.00"]),
        (250, ["12.50", "10.00", "10.00", "10.00", "0.00"]),
        (251, ["12.55", "10.04", "10.00", "10.00", "0.04"]),
    ],
)
def test_T16_2_the_deduction_is_at_most_what_is_left_and_nothing_is_due_below_0(
    minutes: int, expected: list[str]
) -> None:
    """20 % off and 120 a year: a fee of 10 takes off what there is, and no more than 10."""
    uses = [use("2026-11-03T00:00", 60 * minutes)] if minutes else []
    (found,) = months([audio(discount=20, annual_fee=120)], uses)

    assert expected == amounts(found)


def test_T16_2_nothing_rolls_over() -> None:
    """October has no calls, and leaves November's deduction what it is."""
    uses = [use("2026-11-03T00:00", 60 * 400)]
    held = audio(discount=0, annual_fee=120)
    (october,) = months([held], uses, cycle=cycle_of(date(2026, 10, 1).toordinal()))
    (november,) = months([held], uses)

    assert ["0.00", "0.00", "10.00", "0.00", "0.00"] == amounts(october)
    assert ["20.00", "20.00", "10.00", "10.00", "10.00"] == amounts(november)


@pytest.mark.parametrize(("discount", "due"), [(0, "5.00"), (100, "0.00"), (33, "3.35")])
def test_T16_2_without_an_annual_fee_there_is_no_deduction(discount: int, due: str) -> None:
    """Only the discount counts; 67 % of 5.00 are exactly 3.35."""
    (found,) = months([audio(discount=discount, annual_fee=None)], [use("2026-11-03T00:00", 6000)])

    assert ["5.00", due, None, "0.00", due] == amounts(found)


def test_T16_2_the_monthly_fee_is_rounded_down_so_that_it_is_never_exceeded() -> None:
    """50 a year are 4.1666... a month, of which 4.16 can be deducted; twelve of them are not more than 50."""
    (found,) = months([audio(discount=0, annual_fee=50)], [use("2026-11-03T00:00", 6000)])

    assert ["5.00", "5.00", "4.16", "4.16", "0.84"] == amounts(found)


def test_T15_4_a_charge_is_rounded_by_row_and_not_by_leg() -> None:
    """1,000 legs of a minute at 0.004 are 4.00; rounded by leg they would be nothing."""
    (found,) = months([premium()], [use("2026-11-03T09:00")] * 1000, made=cards("0.004"))

    assert ["4.00", "4.00", None, "0.00", "4.00"] == amounts(found)


def test_T15_4_a_row_is_the_exact_sum_of_its_legs() -> None:
    """Units of a second, 0.01 a leg, two cards: a leg of 7 s at 0.10 is 7/600 + 1/100, of 5 s 5/600 + 1/100; one at 0.20 of 8 s is 8/300.

    Together 12/600 + 2/100 + 8/300 = 20/300, half up 0.07.
    """
    first = {"country": "*", "calling": "call_me", "per_minute": "0.10", "increment_s": 1, "per_leg": "0.01"}
    second = {"country": "*", "calling": "call_me", "per_minute": "0.20", "increment_s": 1}
    both = [*cards(rates=[first]), *cards(rates=[second], effective_from="2026-11-10")]
    uses = [use("2026-11-09T09:00", 7), use("2026-11-09T10:00", 5), use("2026-11-10T09:00", 8)]
    parsed = parse_rate_cards({"rate_cards": both})
    (found,) = months([premium()], uses, made=both)
    legs = [rated(one, card, at(LATER)) for one, card in zip(uses, [parsed[0], parsed[0], parsed[1]], strict=True)]

    assert Fraction(20, 300) == sum([leg.charge or 0 for leg in legs], Fraction(0))
    assert ("0.07", 20) == (str(found.rows[0].charge), found.rows[0].billed_s)


def test_T15_4_a_row_is_rounded_half_up() -> None:
    """One minute at 0.005 is 0.01, at 0.0049 it is 0.00."""
    dues = [months([premium()], [use("2026-11-03T09:00")], made=cards(rate))[0].due for rate in ("0.005", "0.0049")]

    assert [Decimal("0.01"), Decimal("0.00")] == dues


def test_T15_4_a_leg_without_a_rate_is_shown_and_named_and_in_no_sum() -> None:
    """An international leg of 61 s has 2 begun minutes, no charge, and a reason."""
    (found,) = months([premium()], [use("2026-11-03T09:00"), use("2026-11-03T09:00", 61, calling="international")])

    assert (
        CallingRow("FR", "call_me", "standard", 1, 60_000, 60, Decimal("0.05"), 0, ()),
        CallingRow(
            "FR",
            "international",
            "standard",
            1,
            61_000,
            120,
            None,
            1,
            ("rate card rates of 2026-01-01 has no rate for it",),
        ),
    ) == found.rows
    assert (1, "0.05") == (found.unrated_legs, str(found.gross))


def test_T15_4_a_row_that_is_rated_in_part_has_the_charge_of_that_part() -> None:
    """The card takes effect on 10 November: the leg of the 9th is unrated, that of the 10th costs 0.05."""
    (found,) = months(
        [premium()], [use("2026-11-09T23:59"), use("2026-11-10T00:00")], made=cards(effective_from="2026-11-10")
    )

    assert (
        CallingRow(
            "FR", "call_me", "standard", 2, 120_000, 120, Decimal("0.05"), 1, ("no rate card rates is in effect",)
        ),
    ) == found.rows


@pytest.mark.parametrize(
    ("fields", "why"),
    [({"rate_card": None}, "premium names no rate card"), ({"rate_card": "gone"}, "no rate card gone is in effect")],
)
def test_T15_4_without_a_card_minutes_are_shown_and_no_money(fields: dict[str, Any], why: str) -> None:
    """No currency, no gross, nothing due: never a silent 0."""
    (found,) = months([premium(**fields)], [use("2026-11-03T09:00", 61)])

    assert (CallingRow("FR", "call_me", "standard", 1, 61_000, 120, None, 1, (why,)),) == found.rows
    assert [None] * 5 == amounts(found)
    assert found.currency is None


def test_T15_4_legs_of_days_without_a_calling_subscription_are_named() -> None:
    """Toll needs no subscription; its minutes stand under none, after those that have one."""
    held = premium(first="2026-11-10")
    toll, later = use("2026-11-09T09:00", calling="toll"), use("2026-11-10T09:00")
    licensed, unlicensed = months([held], [toll, later])

    assert ("premium", None) == (licensed.subscription, unlicensed.subscription)
    assert ("no calling subscription is in force",) == unlicensed.rows[0].unrated
    assert [] == months([], [use("2026-10-09T09:00", calling="toll")])


def test_T15_4_a_leg_is_rated_with_the_card_of_the_pacific_day_on_which_it_was_connected() -> None:
    """A leg over midnight of 9 November has, whole, the card of the 9th; the next millisecond has that of the 10th.

    Two hours at 0.05 = 6.00; one minute at 0.10.
    """
    both = [*cards(), *cards("0.10", "2026-11-10")]
    before, after = [
        months([premium()], [one], made=both)[0].gross
        for one in (use("2026-11-09T23:59:59.999", 7200), use("2026-11-10T00:00"))
    ]

    assert (Decimal("6.00"), Decimal("0.10")) == (before, after)


def test_T15_4_a_leg_belongs_whole_to_the_cycle_in_which_it_was_connected() -> None:
    """A leg of two hours begins a millisecond before November, another with it, one with its last millisecond, one after."""
    edges = [NOVEMBER_START - 1, NOVEMBER_START, NOVEMBER_END - 1, NOVEMBER_END]
    uses = [CallingUse("FR", "call_me", "standard", begin, begin + 2 * HOUR_MS) for begin in edges]
    spans = [cycle_of(date(2026, month, 1).toordinal()) for month in (10, 11, 12)]

    assert [1, 2, 1] == [months([premium()], uses, cycle=cycle)[0].rows[0].legs for cycle in spans]
    assert 14_400 == months([premium()], uses)[0].rows[0].billed_s


NOVEMBER_START, NOVEMBER_END = day(NOVEMBER.first).start_ms, day(NOVEMBER.last).end_ms


def test_the_cycle_of_a_day_of_25_hours() -> None:
    """November 2026 begins at 07:00 UTC in summer time and ends at 08:00 UTC in winter time."""
    assert ("2026-11-01T07:00:00.000Z", "2026-12-01T08:00:00.000Z") == (instant(NOVEMBER_START), instant(NOVEMBER_END))


def test_T15_4_a_duration_over_a_change_of_clocks_is_the_time_that_passed() -> None:
    """From 00:00 to 03:00 on 1 November are 4 hours, on 8 March 2."""
    spans = [("2026-11-01T00:00", "2026-11-01T03:00"), ("2026-03-08T00:00", "2026-03-08T03:00")]
    (card,) = parse_rate_cards({"rate_cards": cards()})
    uses = [CallingUse("FR", "call_me", "standard", at(first), at(last)) for first, last in spans]

    assert [4 * 3600, 2 * 3600] == [rated(one, card, at(LATER)).billed_s for one in uses]


def test_T15_4_a_live_leg_is_charged_up_to_now_and_its_month_runs() -> None:
    """90 s after it connected two minutes have begun; a leg that only begins later is not there; after its end the month is still running."""
    live = use("2026-11-30T23:59", None)
    early, ended = [months([premium()], [live], now=now)[0] for now in ("2026-11-30T23:59:30", "2026-12-01T00:00:30")]

    assert (60, True) == (early.rows[0].billed_s, early.running)
    assert (120, True) == (ended.rows[0].billed_s, ended.running)
    assert () == months([premium()], [live], now="2026-11-30T23:58:59")[0].rows
    assert [60, 120] == [
        months([premium()], [use("2026-11-30T23:59", 90)], now=now)[0].rows[0].billed_s
        for now in ("2026-11-30T23:59:30", "2026-12-01T00:00:30")
    ]


def test_T15_4_a_leg_that_has_ended_by_now_is_not_live() -> None:
    """A leg over the end of November that ends at 00:00:30 keeps its month running until that millisecond."""
    leg = use("2026-11-30T23:59:30", 60)
    found = [months([premium()], [leg], now=f"2026-12-01T00:00:{second}")[0].running for second in ("29.999", "30.000")]

    assert [True, False] == found


def test_a_month_without_legs_has_nothing_to_pay_and_runs_until_its_last_millisecond() -> None:
    """Every subscription in force in the cycle has its figures."""
    running, over = [months([premium()], [], now=now)[0] for now in ("2026-11-30T23:59:59.999", "2026-12-01T00:00")]

    assert (True, False) == (running.running, over.running)
    assert ["0.00", "0.00", None, "0.00", "0.00"] == amounts(over)


def test_T16_1_each_subscription_has_figures_of_its_own_where_global_audio_takes_over() -> None:
    """Until 14 November T15 without a discount; from the 15th, its first day, T16 with 15 % and 8.33 off.

    400 minutes at 0.05 = 20.00 each; 17.00 after the discount; 8.67 due.
    """
    held = [premium(last="2026-11-30"), audio(first="2026-11-15")]
    uses = [use("2026-11-14T23:59:59.999", 24_000), use("2026-11-15T00:00", 24_000)]
    before, after = months(held, uses)

    assert ("premium", ["20.00", "20.00", None, "0.00", "20.00"]) == (before.subscription, amounts(before))
    assert ("audio", ["20.00", "17.00", "8.33", "8.33", "8.67"]) == (after.subscription, amounts(after))


def test_T16_1_a_replaced_T15_does_not_come_back() -> None:
    """After T16 has ended, T15 of a longer term is not charged under; of two T16 the one that ends first is (T1.5)."""
    long, short, longer = (
        premium(),
        audio(first="2026-02-01", last="2026-03-31"),
        audio("b", "2026-03-01", "2026-04-30"),
    )
    days = [date(2026, month, 15).toordinal() for month in (1, 2, 3, 4, 5)]
    found = [charged_under([longer, long, short], one) for one in days]

    assert ["premium", "audio", "audio", "b", None] == [held.id if held else None for held in found]


def test_rows_are_in_the_order_of_their_names() -> None:
    """By country, kind and class; numbers of no one country come first, and have the rates of all."""
    uses = [use("2026-11-03T09:00", country=country) for country in ("GB", None, "AT")]
    (found,) = months([premium()], uses)

    assert [(None, "0.05"), ("AT", "0.05"), ("GB", "0.05")] == [(row.country, str(row.charge)) for row in found.rows]


LEGS = st.tuples(st.sampled_from(["FR", "GB"]), st.sampled_from(["standard", "premium_rate"]), st.integers(0, 10**7))


@settings(max_examples=60, deadline=None)
@given(
    legs=st.lists(LEGS, max_size=12),
    milli=st.tuples(*[st.integers(0, 5000)] * 4),
    discount=st.integers(0, 100),
    annual_fee=st.one_of(st.none(), st.integers(0, 3000)),
)
def test_T16_2_equals_a_model_in_whole_numbers(
    legs: list[tuple[str, str, int]], milli: tuple[int, ...], discount: int, annual_fee: int | None
) -> None:
    """The same in integers: rates in thousandths, amounts in cents, half up by adding half."""
    kinds = [(country, number_class) for country in ("FR", "GB") for number_class in ("standard", "premium_rate")]
    rates = [
        {"country": country, "calling": "call_me", "number_class": number_class, "per_minute": f"{price // 1000}.{price % 1000:03d}"}
        for (country, number_class), price in zip(kinds, milli, strict=True)
    ]  # fmt: skip
    start = at("2026-11-03T00:00")
    uses = [CallingUse(country, "call_me", kind, start, start + length) for country, kind, length in legs]
    (found,) = months([audio(discount=discount, annual_fee=annual_fee)], uses, made=cards(rates=rates))

    gross = 0
    for kind, price in zip(kinds, milli, strict=True):
        minutes = sum(
            (length + 59_999) // 60_000 for country, number_class, length in legs if (country, number_class) == kind
        )
        gross += (minutes * price + 5) // 10
    discounted = (gross * (100 - discount) + 50) // 100
    fee = 0 if annual_fee is None else annual_fee * 100 // 12
    expected = [gross, discounted, min(fee, discounted), discounted - min(fee, discounted)]
    made = [amount or Decimal(0) for amount in (found.gross, found.discounted, found.deduction, found.due)]
    assert [Fraction(cents, 100) for cents in expected] == [Fraction(amount) for amount in made]
    assert sum(row.legs for row in found.rows) == len(legs)
