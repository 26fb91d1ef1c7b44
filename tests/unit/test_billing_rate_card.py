"""Rate cards: reading, choosing a card and a rate, charging a leg (T15.4)."""

import json
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.billing.rate_card import (
    Currency,
    Rate,
    RateCard,
    RateCardsInvalid,
    begun_s,
    card_in_force,
    parse_rate_cards,
)
from gateway.domain.documents import read_document


TEXT = """
rate_cards:
  - id: standard-2026
    currency: EUR
    effective_from: 2026-01-01
    rates:
      - {country: FR, calling: call_me, number_class: standard, per_minute: "0.0420"}
      - {country: FR, calling: call_me, per_minute: "0.5", per_leg: "0.10", increment_s: 6, minimum_s: 30}
      - {country: "*", calling: call_me, number_class: premium_rate, per_minute: "2"}
      - {country: "*", calling: toll, per_minute: "0"}
"""


def rate(country: str = "FR", calling: str = "call_me", per_minute: str = "0.05", **fields: Any) -> dict[str, Any]:
    """A rate as a document has it."""
    return {"country": country, "calling": calling, "per_minute": per_minute, **fields}


def card(*rates: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A card as a document has it."""
    return {"id": "c", "currency": "EUR", "effective_from": "2026-01-01", "rates": list(rates), **fields}


def parsed(*cards: dict[str, Any]) -> tuple[RateCard, ...]:
    """Cards of a document."""
    return parse_rate_cards({"rate_cards": list(cards)})


def faults(*cards: dict[str, Any]) -> dict[str, str]:
    """The faults of a document, message by path."""
    with pytest.raises(RateCardsInvalid) as caught:
        parsed(*cards)
    return {fault.path: fault.message for fault in caught.value.faults}


def test_T15_4_cards_are_read_from_yaml_and_json_alike() -> None:
    """Amounts are the decimals that are written; a rate has begun minutes, no minimum and no fee unless it says so."""
    document = read_document(TEXT)
    (found,) = parse_rate_cards(document)

    assert ("standard-2026", "EUR", date(2026, 1, 1), 4) == (
        found.id,
        found.currency,
        found.effective_from,
        len(found.rates),
    )
    assert ("0.0420", Decimal(0), 60, 0) == (str(found.rates[0].per_minute), *_rest(found.rates[0]))
    assert ("0.5", Decimal("0.10"), 6, 30) == (str(found.rates[1].per_minute), *_rest(found.rates[1]))
    assert (found,) == parse_rate_cards(read_document(json.dumps(document)))


def _rest(found: Rate) -> tuple[Decimal, int, int]:
    return found.per_leg, found.increment_s, found.minimum_s


def test_T15_4_every_fault_is_named_by_its_path() -> None:
    """All faults of a document at once, each where it stands."""
    first = card(rate(), rate("GB"), rate("DE", per_minute=0.042), currency="euro")  # type: ignore[arg-type]
    second = card(rate("fr", "dial", number_class="gold", increment_s=0), effective_from="2026-02-30", colour="red")

    assert [
        "$.rate_cards[0].currency",
        "$.rate_cards[0].rates[2].per_minute",
        "$.rate_cards[1].colour",
        "$.rate_cards[1].effective_from",
        "$.rate_cards[1].rates[0].calling",
        "$.rate_cards[1].rates[0].country",
        "$.rate_cards[1].rates[0].increment_s",
        "$.rate_cards[1].rates[0].number_class",
    ] == sorted(faults(first, second))


@pytest.mark.parametrize(
    "amount", [0.042, 1, True, None, "-0.01", "1e-3", "0,042", "", " 1", "1.0000000001", "NaN", "Infinity", "٣"]
)
def test_T15_4_money_is_written_as_a_string(amount: object) -> None:
    """Floats and other numbers are refused, and so is any text that is no plain amount."""
    found = faults(card(rate(per_minute=amount)))  # type: ignore[arg-type]

    assert {"$.rate_cards[0].rates[0].per_minute": 'is not an amount written as a string, such as "0.042"'} == found


def test_T15_4_what_is_missing_is_named() -> None:
    """A document without cards, a card without rates, a rate without an amount."""
    incomplete = {name: value for name, value in card().items() if name != "rates"}

    assert {"$.rate_cards[0].rates": "is required"} == faults(incomplete)
    assert {"$.rate_cards[0].rates[0].per_minute": "is required"} == faults(card({"country": "FR", "calling": "toll"}))
    with pytest.raises(RateCardsInvalid, match=r"^\$\.rate_cards: is required$"):
        parse_rate_cards({})
    with pytest.raises(RateCardsInvalid, match=r"^\$: "):
        parse_rate_cards([])


def test_T15_4_two_rates_for_the_same_legs_are_refused() -> None:
    """`*` beside a class of its own is none; the same three again are."""
    assert {"$.rate_cards[0].rates[2]": "is of the same legs as rates[0]"} == faults(
        card(rate(), rate(number_class="standard"), rate(per_minute="9"))
    )


def test_T15_4_cards_of_one_id_share_a_currency_and_begin_on_different_days() -> None:
    """Otherwise a month had two currencies, or a day two cards; another id is free."""
    other = card(id="d", currency="USD")
    found = faults(card(), other, card(currency="USD"), card(effective_from="2026-02-01"))

    assert {
        "$.rate_cards[2].currency": "is USD, while rate_cards[0] of the same id is in EUR",
        "$.rate_cards[2].effective_from": "is the first day of rate_cards[0] of the same id too",
    } == found


@pytest.mark.parametrize(
    ("on", "first"),
    [("2025-12-31", None), ("2026-01-01", "2026-01-01"), ("2026-06-30", "2026-01-01"), ("2026-07-01", "2026-07-01")],
)
def test_T15_4_the_card_in_force_is_the_last_that_took_effect(on: str, first: str | None) -> None:
    """From its day on, whatever the order of the document; before the first there is none."""
    cards = parsed(card(effective_from="2026-07-01"), card(), card(id="d", effective_from="2026-06-01"))
    found = card_in_force(cards, "c", date.fromisoformat(on))

    assert first == (str(found.effective_from) if found else None)


@pytest.mark.parametrize(
    ("country", "number_class", "per_minute"),
    [
        ("FR", "standard", "0.0420"),
        ("FR", "premium_rate", "0.5"),
        ("GB", "premium_rate", "2"),
        ("GB", "standard", None),
        (None, "premium_rate", "2"),
    ],
)
def test_T15_4_the_rate_is_that_of_the_country_before_that_of_all(
    country: str | None, number_class: str, per_minute: str | None
) -> None:
    """In a country its class comes before both; a number of no country has the rates of all; without any the leg is not rated."""
    found = parse_rate_cards(read_document(TEXT))[0].rate(country, "call_me", number_class)

    assert per_minute == (str(found.per_minute) if found else None)


def test_T15_4_a_rate_is_of_its_calling_kind_only() -> None:
    """Toll is included at 0, international is not rated at all."""
    found = parse_rate_cards(read_document(TEXT))[0]

    assert found.rate("FR", "international", "standard") is None
    toll = found.rate("FR", "toll", "standard")
    assert toll
    assert Fraction(0) == toll.charge(toll.billed_s(60_001))


@pytest.mark.parametrize(
    ("duration_ms", "minutes", "sixths", "minimum"),
    [
        (0, 0, 0, 30),
        (1, 60, 6, 30),
        (6000, 60, 6, 30),
        (6001, 60, 12, 30),
        (30_001, 60, 36, 36),
        (60_000, 60, 60, 60),
        (60_001, 120, 66, 66),
    ],
)
def test_T15_4_begun_increments_are_charged(duration_ms: int, minutes: int, sixths: int, minimum: int) -> None:
    """To the millisecond: in minutes, in units of 6 s, and in those with a minimum of 30 s; a negative duration is none."""
    by_six = Rate.model_validate(rate(increment_s=6))
    at_least = Rate.model_validate(rate(increment_s=6, minimum_s=30))

    assert (minutes, sixths, minimum) == (
        begun_s(duration_ms),
        by_six.billed_s(duration_ms),
        at_least.billed_s(duration_ms),
    )
    assert 0 == by_six.billed_s(-duration_ms)


def test_T15_4_a_charge_is_exact() -> None:
    """66 s at 0.05 a minute and 0.10 a leg are 0.155; 7 s at 0.10 a minute are 7/600."""
    fee, seconds = (
        Rate.model_validate(rate(per_leg="0.10", increment_s=6)),
        Rate.model_validate(rate(per_minute="0.10")),
    )

    assert Fraction(155, 1000) == fee.charge(fee.billed_s(60_001))
    assert Fraction(7, 600) == seconds.charge(7)


@pytest.mark.parametrize(
    ("code", "amount", "nearest", "at_most"),
    [
        ("EUR", "0.125", "0.13", "0.12"),
        ("EUR", "0.1249999", "0.12", "0.12"),
        ("EUR", "7", "7.00", "7.00"),
        ("JPY", "12.5", "13", "12"),
        ("KWD", "0.0005", "0.001", "0.000"),
    ],
)
def test_money_is_rounded_to_the_least_coin_of_its_currency(code: str, amount: str, nearest: str, at_most: str) -> None:
    """Two digits, none in yen, three in dinars; half up, or down."""
    currency = Currency(code)

    assert (nearest, at_most) == (str(currency.nearest(Fraction(amount))), str(currency.at_most(Fraction(amount))))


@given(numerator=st.integers(0, 10**12), denominator=st.integers(1, 10**6))
def test_rounding_is_never_off_by_more_than_half_a_coin(numerator: int, denominator: int) -> None:
    """Half up is the nearest coin, and at_most the greatest that is not more."""
    amount, euro = Fraction(numerator, denominator), Currency("EUR")
    near, below = Fraction(euro.nearest(amount)), Fraction(euro.at_most(amount))

    assert Fraction(-1, 200) < near - amount <= Fraction(1, 200)
    assert 0 <= amount - below < Fraction(1, 100)
