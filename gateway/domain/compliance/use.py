"""Findings about use: audio (T1.2), seats (T2.5), hosts and owners of meetings (T4.4, T4.5), special offers (T10.3), rooms (T13.5)."""

import datetime as dt
import itertools
from collections.abc import Iterator

from gateway.domain.addresses import domain_of, normal_address
from gateway.domain.catalogue import Customer
from gateway.domain.compliance.finding import Finding, Observed
from gateway.domain.days import MINUTE_MS, instant
from gateway.domain.history import History, held_of, recent_changes
from gateway.domain.plans.named_host import NamedHostPlan
from gateway.domain.plans.rooms import DolbyRooms, room_licences
from gateway.domain.plans.special_offer import SpecialOffer


LEGS_MIN = 20
"""T1.2: a day with fewer legs is no finding."""
CHANGES_APART_DAYS = 30
"""T2.5: two changes of person that are fewer days apart are too many."""


def use_findings(customer: Customer, history: History, today: dt.date, observed: Observed) -> Iterator[Finding]:
    """T1.2, T2.5, T4.4, T4.5, T10.3 and T13.5."""
    yield from _audio(customer, observed)
    yield from _shared_seats(customer, history, today)
    yield from _unhosted(observed)
    yield from _resold(customer, observed)
    yield from _excess(customer, today, observed)
    yield from _abroad(customer, today, observed)


def _audio(customer: Customer, observed: Observed) -> Iterator[Finding]:
    """T1.2: over half of at least 20 legs of a day are audio-only."""
    for ordinal, (legs, audio_only) in observed.audio_days.items():
        if legs >= LEGS_MIN and 2 * audio_only > legs:
            day = dt.date.fromordinal(ordinal)
            detail = f"{audio_only} of {legs} legs on {day} were audio-only; the service is no audio bridge."
            yield Finding("T1.2", str(day), customer.id, detail)


def _shared_seats(customer: Customer, history: History, today: dt.date) -> Iterator[Finding]:
    """T2.5, for as long as both changes are remembered; `since` is the one that was too many."""
    for held in held_of(customer, NamedHostPlan):
        if not held.active(today.toordinal()):
            continue
        for holder, seat in history.seats.get(held.id, {}).items():
            changes = recent_changes(seat, today)
            too_many = [
                later for earlier, later in itertools.pairwise(changes) if (later - earlier).days < CHANGES_APART_DAYS
            ]
            if too_many:
                days = ", ".join([str(day) for day in changes])
                detail = f"The seat of {holder} changed person on {days}: more than once in {CHANGES_APART_DAYS} days."
                yield Finding("T2.5", str(too_many[0]), held.id, detail)


def _unhosted(observed: Observed) -> Iterator[Finding]:
    """T4.4: with its first and last minute."""
    for meeting, first_ms, last_ms in observed.unhosted:
        first = _minute(first_ms)
        ended = "and still is" if last_ms is None else f"until {_minute(last_ms)}"
        yield Finding("T4.4", first, meeting, f"The meeting {meeting} was live without a host from {first}, {ended}.")


def _resold(customer: Customer, observed: Observed) -> Iterator[Finding]:
    """T4.5: unless the domain has become the customer's since."""
    for owner, seen_ms in observed.foreign_owners.items():
        if not customer.employs(domain_of(owner)):
            detail = f"A meeting was owned by {owner}, outside the customer's domains (resale)."
            yield Finding("T4.5", instant(seen_ms), owner, detail)


def _excess(customer: Customer, today: dt.date, observed: Observed) -> Iterator[Finding]:
    """T10.3: the excess notice of an offer that does not refuse."""
    for offer in held_of(customer, SpecialOffer):
        if offer.enforcement != "notify" or not offer.active(today.toordinal()):
            continue
        for ordinal, (overage, at_ms) in observed.excess.items():
            if overage > 0 and offer.active(ordinal):
                day = dt.date.fromordinal(ordinal)
                detail = f"{overage} connection{'s' if overage != 1 else ''} above the quantity at one time on {day}: contact the customer."
                yield Finding("T10.3", instant(at_ms), offer.id, detail)


def _abroad(customer: Customer, today: dt.date, observed: Observed) -> Iterator[Finding]:
    """T13.5: by the territory as it is today."""
    ordinal = today.toordinal()
    licences = room_licences([held for held in held_of(customer, DolbyRooms) if held.active(ordinal)])
    for (room, country), seen_ms in observed.abroad.items():
        licence = licences.get(normal_address(room))
        if licence is None or licence.territory is None or country in licence.territory:
            continue
        detail = f"The room {room} was used in {country}; its licence is for {', '.join(sorted(licence.territory))}."
        yield Finding("T13.5", instant(seen_ms), room, detail)


def _minute(ms: int) -> str:
    return instant(ms - ms % MINUTE_MS)
