"""Rate cards: what a minute of calling costs, by country, calling kind and number class (T15.4).

Cards of one id follow each other by the day from which they are in effect. A leg is rated, whole, with the card in force on the Pacific day on
which it was connected. Where there is no rate for it, that is said: a charge is never silently nothing. What is included has a rate of "0".

Charges of legs are exact fractions. They are rounded where they are shown as money (see `gateway.domain.billing.calling`), because rates are
often below the least coin: rounded by leg, a thousand minutes at 0.004 would cost nothing.
"""

import functools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StrictInt, TypeAdapter, ValidationError

from gateway.domain.customer import CivilDate, Fault, Identifier, Model, shown


EVERY = "*"
CARDS_MAX, RATES_MAX = 1000, 10_000
MINUTE_S = 60

_MONEY = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_NO_MINOR = frozenset(
    {
        *("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG"),
        *("RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"),
    }
)
_THOUSANDTHS = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
"""ISO 4217: currencies without a minor unit, and with three digits of it; all others have two."""


def _money(value: object) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if not isinstance(value, str) or not _MONEY.fullmatch(value):
        raise ValueError('is not an amount written as a string, such as "0.042"')
    return Decimal(value)


Money = Annotated[Decimal, BeforeValidator(_money)]
"""An amount of at least 0. Numbers are refused: a float is no exact amount."""


class Rate(Model):
    """The rate of one kind of leg. `*` stands for all countries, or both number classes, that have no rate of their own."""

    country: Annotated[str, Field(pattern=r"^([A-Z]{2}|\*)$(?!\n)")]
    """ISO 3166-1 alpha-2."""
    calling: Literal["toll", "toll_free", "international", "call_me", "premium"]
    number_class: Literal["standard", "premium_rate", "*"] = "*"
    per_minute: Money
    per_leg: Money = Decimal(0)
    """Charged once for each leg, beside its minutes."""
    increment_s: Annotated[StrictInt, Field(ge=1, le=3600)] = MINUTE_S
    """Begun units of so many seconds are charged; 60: begun minutes."""
    minimum_s: Annotated[StrictInt, Field(ge=0, le=86_400)] = 0
    """Each leg is charged for at least so long."""

    def billed_s(self, duration_ms: int) -> int:
        """The seconds that a leg of that length is charged for; one of no length only for the minimum."""
        return begun_s(max(duration_ms, 1000 * self.minimum_s), self.increment_s)

    def charge(self, billed_s: int, legs: int = 1) -> Fraction:
        """The exact charge of a leg, or of several with so many seconds together, in whole units of the currency."""
        return Fraction(self.per_minute) * billed_s / MINUTE_S + Fraction(self.per_leg) * legs


class RateCard(Model):
    """Rates in one currency, in effect until a card of the same id takes over."""

    id: Identifier
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$(?!\n)")]
    """ISO 4217."""
    effective_from: CivilDate
    rates: tuple[Rate, ...] = Field(max_length=RATES_MAX)

    def rate(self, country: str | None, calling: str, number_class: str) -> Rate | None:
        """The rate of a leg: its country's before that of all, and in each its class before both. None: not rated."""
        for place in dict.fromkeys([country or EVERY, EVERY]):
            for kind in (number_class, EVERY):
                if rate := self._by_leg.get((place, calling, kind)):
                    return rate
        return None

    @functools.cached_property
    def _by_leg(self) -> dict[tuple[str, str, str], Rate]:
        return {(rate.country, rate.calling, rate.number_class): rate for rate in self.rates}


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency, and how amounts in it are rounded."""

    code: str

    def nearest(self, amount: Fraction | Decimal) -> Decimal:
        """To the least coin, half up."""
        return self._coins(Fraction(amount) * self._per_unit + Fraction(1, 2))

    def at_most(self, amount: Fraction | Decimal) -> Decimal:
        """To the least coin, down."""
        return self._coins(Fraction(amount) * self._per_unit)

    @property
    def _digits(self) -> int:
        return 0 if self.code in _NO_MINOR else 3 if self.code in _THOUSANDTHS else 2

    @property
    def _per_unit(self) -> int:
        return int(10**self._digits)

    def _coins(self, coins: Fraction) -> Decimal:
        whole = coins.numerator // coins.denominator
        return Decimal(whole).scaleb(-self._digits)


class RateCardsInvalid(ValueError):
    """Rate cards that are refused, with all their faults."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join([f"{fault.path}: {fault.message}" for fault in faults[:20]]))
        self.faults = tuple(faults)


class _Document(Model):
    rate_cards: tuple[RateCard, ...] = Field(max_length=CARDS_MAX)


_DOCUMENT = TypeAdapter(_Document)


def parse_rate_cards(document: object) -> tuple[RateCard, ...]:
    """All cards of a document of the form `{"rate_cards": [...]}`, given as the plain data of YAML or JSON (see `documents.read_document`).

    Raises:
        RateCardsInvalid: with every fault found, each at its path.
    """
    try:
        cards = _DOCUMENT.validate_python(document).rate_cards
    except ValidationError as error:
        raise RateCardsInvalid([_shape_fault(found) for found in error.errors(include_url=False)]) from None
    if faults := [*_repeated(cards), *_disagreeing(cards)]:
        raise RateCardsInvalid(faults)
    return cards


def card_in_force(cards: Iterable[RateCard], card_id: str, on: date) -> RateCard | None:
    """The card of that id that took effect last, on the day or before; None where none has."""
    begun = [card for card in cards if card.id == card_id and card.effective_from <= on]
    return max(begun, key=lambda card: card.effective_from, default=None)


def begun_s(duration_ms: int, increment_s: int = MINUTE_S) -> int:
    """The seconds of all units of `increment_s` that have begun; none of a duration of 0."""
    return -(-max(0, duration_ms) // (1000 * increment_s)) * increment_s


def _repeated(cards: Sequence[RateCard]) -> Iterator[Fault]:
    for place, card in enumerate(cards):
        seen: dict[tuple[str, str, str], int] = {}
        for position, rate in enumerate(card.rates):
            first = seen.setdefault((rate.country, rate.calling, rate.number_class), position)
            if first != position:
                yield Fault(
                    f"$.rate_cards[{place}].rates[{position}]", f"is of the same legs as rates[{first}]", "T15.4"
                )


def _disagreeing(cards: Sequence[RateCard]) -> Iterator[Fault]:
    """Cards of one id share a currency, and begin on different days."""
    of_id: dict[str, list[tuple[int, RateCard]]] = defaultdict(list)
    for place, card in enumerate(cards):
        of_id[card.id].append((place, card))
    for (first, one), *others in of_id.values():
        days = {one.effective_from: first}
        for place, card in others:
            if card.currency != one.currency:
                message = f"is {card.currency}, while rate_cards[{first}] of the same id is in {one.currency}"
                yield Fault(f"$.rate_cards[{place}].currency", message, "T15.4")
            taken = days.setdefault(card.effective_from, place)
            if taken != place:
                message = f"is the first day of rate_cards[{taken}] of the same id too"
                yield Fault(f"$.rate_cards[{place}].effective_from", message, "T15.4")


def _shape_fault(found: object) -> Fault:
    """A fault from what pydantic found, at its JSONPath."""
    detail: dict[str, object] = dict(found)  # type: ignore[call-overload]  # one of pydantic's ErrorDetails
    path, message, kind = "$", str(detail["msg"]).removeprefix("Value error, "), detail["type"]
    for part in detail["loc"]:  # type: ignore[attr-defined]
        path += f"[{part}]" if isinstance(part, int) else f".{shown(str(part))}"
    if kind == "extra_forbidden":
        message = "is not a known field"
    elif kind == "missing":
        message = "is required"
    elif kind == "string_pattern_mismatch":
        message = "has not the form that is wanted here: a country as FR or *, a currency as EUR"
    elif kind in {"date_type", "date_from_datetime_parsing"}:
        message = "is not a date (YYYY-MM-DD)"
    return Fault(path, message)
