"""Calling of a month: minutes by country, kind and number class, their charges, discount and deduction (T15.4, T16.2).

How the terms are read:

- A leg belongs, whole, to the cycle, the subscription and the rate card of the Pacific day on which it was connected; one that spans the end of
  a cycle is not divided. One that is live is charged up to now, and its month is running.
- A subscription is in force on the days of its term, also where it was entered late, until the day on which it was removed.
- Of several calling subscriptions in force on a day, Global Audio comes before the others (T16.1), then the one that ends first (T1.5). Where
  T16 takes over inside a cycle, each has figures of its own, and only those of T16 have a discount and a deduction.
- Money is rounded so that what is shown adds up: the charge of each row to the nearest coin, half up; the gross is their sum; what the discount
  leaves, half up; the deduction is at most the monthly fee rounded down, and at most what is left. So nothing is due below 0.
- The monthly fee is a twelfth of the annual fee, in every cycle in which the subscription is in force on a day, a short one too. What is not
  deducted is lost. The fee itself is not among these charges.
- Legs without a rate are shown with their begun minutes and the reason, and are in no sum.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType

from gateway.domain.billing.rate_card import Currency, Rate, RateCard, begun_s, card_in_force
from gateway.domain.customer import Subscription
from gateway.domain.cycles import Cycle
from gateway.domain.days import day, days_between
from gateway.domain.licensing import by_end
from gateway.domain.plans.calling import CallingSubscription, GlobalAudio, PremiumCalling


MONTHS = 12


@dataclass(frozen=True, slots=True)
class CallingUse:
    """A connected telephone leg; `until_ms` None: still live.

    Country (ISO 3166-1 alpha-2; None: of no one country, or not known) and class are those of the number that is called: the person's in a Call
    Me, the access number in a dial-in (T15.2, T15.4).
    """

    country: str | None
    calling: str
    number_class: str
    from_ms: int
    until_ms: int | None


@dataclass(frozen=True, slots=True)
class RatedLeg:
    """A leg with its charge: `billed_s` seconds at `rate`. Without a rate, `unrated` says why, and the seconds are those of begun minutes."""

    use: CallingUse
    connected_ms: int
    billed_s: int
    rate: Rate | None = None
    unrated: str = ""

    @property
    def charge(self) -> Fraction | None:
        """Exact, in whole units of the currency; None where it is not rated."""
        return self.rate.charge(self.billed_s) if self.rate else None


@dataclass(frozen=True, slots=True)
class CallingRow:
    """The legs of one country, kind and number class."""

    country: str | None
    calling: str
    number_class: str
    legs: int
    connected_ms: int
    billed_s: int
    """Of all legs, rated or not; sixty are a minute."""
    charge: Decimal | None
    """Of the rated legs; None where none is."""
    unrated_legs: int
    unrated: tuple[str, ...]
    """Why, each reason once."""


@dataclass(frozen=True, slots=True)
class CallingMonth:
    """The calling of one cycle under one subscription. Amounts are None where no rate card tells the currency."""

    cycle: str
    subscription: str | None
    """None: telephone legs of days without a calling subscription."""
    running: bool
    currency: str | None
    rows: tuple[CallingRow, ...]
    unrated_legs: int
    gross: Decimal | None
    """The sum of the rows' charges."""
    discount_percent: int
    discounted: Decimal | None
    """What the discount leaves of it."""
    monthly_fee: Decimal | None
    """The most that can be deducted; None where no annual fee is stated."""
    deduction: Decimal | None
    due: Decimal | None


def calling_months(
    subscriptions: Iterable[Subscription],
    uses: Iterable[CallingUse],
    cards: Sequence[RateCard],
    cycle: Cycle,
    now_ms: int,
    removed: Mapping[str, int] = MappingProxyType({}),
) -> list[CallingMonth]:
    """T15.4 and T16.2 of a cycle, as of an instant: one for each subscription in force in it, in the order of their days.

    `subscriptions` are all of the customer's, also those of other days; `removed`, by id, the last day (ordinal) of those that it holds no
    more, whatever their term says. `uses` of other cycles are left out.
    """
    calling = [held for held in subscriptions if isinstance(held, CallingSubscription)]
    held_on = {
        ordinal: charged_under([held for held in calling if ordinal <= removed.get(held.id, ordinal)], ordinal)
        for ordinal in range(cycle.first, cycle.last + 1)
    }
    card_on = {ordinal: _card(held, cards, ordinal) for ordinal, held in held_on.items()}
    legs: dict[str | None, list[RatedLeg]] = {held.id: [] for held in held_on.values() if held}
    starts, end_ms = [one.start_ms for one in days_between(cycle.first, cycle.last)], day(cycle.last).end_ms
    for use in uses:
        if starts[0] <= use.from_ms < end_ms and use.from_ms <= now_ms:
            ordinal = cycle.first + bisect_right(starts, use.from_ms) - 1
            held = held_on[ordinal]
            legs.setdefault(held.id if held else None, []).append(rated(use, card_on[ordinal], now_ms))
    by_id = {held.id: held for held in calling}
    return [
        _month(by_id[key] if key is not None else None, rated_legs, cards, cycle, now_ms)
        for key, rated_legs in legs.items()
    ]


def charged_under(calling: Iterable[CallingSubscription], ordinal: int) -> CallingSubscription | None:
    """The subscription that calls connected on a day are charged under (T16.1, T1.5)."""
    held = list(calling)
    replaced = any(isinstance(each, GlobalAudio) and each.term.first.toordinal() <= ordinal for each in held)
    in_force = [
        each for each in by_end(held) if each.active(ordinal) and not (replaced and isinstance(each, PremiumCalling))
    ]
    return in_force[0] if in_force else None


def rated(use: CallingUse, card: RateCard | str, now_ms: int) -> RatedLeg:
    """A leg at the rate of a card (T15.4); a text says why there is no card."""
    ended_ms = now_ms if use.until_ms is None else min(use.until_ms, now_ms)
    connected_ms = max(0, ended_ms - use.from_ms)
    if isinstance(card, str):
        return RatedLeg(use, connected_ms, begun_s(connected_ms), unrated=card)
    rate = card.rate(use.country, use.calling, use.number_class)
    if rate is None:
        why = f"rate card {card.id} of {card.effective_from} has no rate for it"
        return RatedLeg(use, connected_ms, begun_s(connected_ms), unrated=why)
    return RatedLeg(use, connected_ms, rate.billed_s(connected_ms), rate)


def _card(held: CallingSubscription | None, cards: Iterable[RateCard], ordinal: int) -> RateCard | str:
    """The card in force on a day, or why there is none."""
    if held is None:
        return "no calling subscription is in force"
    if held.rate_card is None:
        return f"{held.id} names no rate card"
    card = card_in_force(cards, held.rate_card, date.fromordinal(ordinal))
    return card or f"no rate card {held.rate_card} is in effect"


def _month(
    held: CallingSubscription | None, legs: Sequence[RatedLeg], cards: Iterable[RateCard], cycle: Cycle, now_ms: int
) -> CallingMonth:
    card_id = held.rate_card if held else None
    code = next((card.currency for card in cards if card.id == card_id), None)
    currency = Currency(code) if code else None
    rows = _rows(legs, currency)
    discount = held.discount if isinstance(held, GlobalAudio) else 0
    annual_fee = held.annual_fee if isinstance(held, GlobalAudio) else None
    gross = discounted = fee = deduction = due = None
    if currency:
        gross = sum([row.charge for row in rows if row.charge is not None], currency.nearest(Fraction(0)))
        discounted = currency.nearest(Fraction(gross) * (100 - discount) / 100)
        fee = None if annual_fee is None else currency.at_most(Fraction(annual_fee, MONTHS))
        deduction = min(discounted, currency.nearest(Fraction(0)) if fee is None else fee)
        due = discounted - deduction
    return CallingMonth(
        cycle=cycle.name,
        subscription=held.id if held else None,
        running=now_ms < day(cycle.last).end_ms or any(_live(leg.use, now_ms) for leg in legs),
        currency=code,
        rows=rows,
        unrated_legs=sum([row.unrated_legs for row in rows]),
        gross=gross,
        discount_percent=discount,
        discounted=discounted,
        monthly_fee=fee,
        deduction=deduction,
        due=due,
    )


def _live(use: CallingUse, now_ms: int) -> bool:
    return use.until_ms is None or use.until_ms > now_ms


def _rows(legs: Iterable[RatedLeg], currency: Currency | None) -> tuple[CallingRow, ...]:
    """By country, kind and class, in that order; numbers of no one country come first."""
    kinds: dict[tuple[str, str, str], list[RatedLeg]] = defaultdict(list)
    for leg in legs:
        kinds[leg.use.country or "", leg.use.calling, leg.use.number_class].append(leg)
    return tuple([_row(*kind, members, currency) for kind, members in sorted(kinds.items(), key=lambda one: one[0])])


def _row(
    country: str, calling: str, number_class: str, legs: Sequence[RatedLeg], currency: Currency | None
) -> CallingRow:
    # Legs of one rate are charged together, which is the same: charges are exact until a row is rounded.
    of_rate: dict[int, list[RatedLeg]] = defaultdict(list)
    for leg in legs:
        if leg.rate:
            of_rate[id(leg.rate)].append(leg)
    charges = [_charge(members) for members in of_rate.values()]
    return CallingRow(
        country=country or None,
        calling=calling,
        number_class=number_class,
        legs=len(legs),
        connected_ms=sum([leg.connected_ms for leg in legs]),
        billed_s=sum([leg.billed_s for leg in legs]),
        charge=currency.nearest(sum(charges, Fraction(0))) if currency and charges else None,
        unrated_legs=sum([leg.rate is None for leg in legs]),
        unrated=tuple(sorted({leg.unrated for leg in legs if leg.unrated})),
    )


def _charge(legs: Sequence[RatedLeg]) -> Fraction:
    """Of legs that share a rate."""
    rate = legs[0].rate
    assert rate is not None, "they are rated"
    return rate.charge(sum([leg.billed_s for leg in legs]), len(legs))
