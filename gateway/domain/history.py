"""What is remembered of a customer from version to version of its entitlements, because findings ask for it (T2.5, T3.3).

A seat is one licence of a named-host subscription (T2, T7). Only what the catalogue does not say is stored: a seat whose holder is listed and
that changed no person lately is not, so that 100,000 undisturbed hosts take no room. The rest takes some 50 bytes a seat.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from gateway.domain.catalogue import Customer
from gateway.domain.customer import Subscription
from gateway.domain.enterprise import Host
from gateway.domain.plans.enterprise_hosts import EnterprisePlan
from gateway.domain.plans.named_host import NamedHostPlan


S = TypeVar("S", bound=Subscription)

CHANGES_KEPT_DAYS = 60
CHANGES_KEPT = 10
"""Of one seat, the latest."""
EMPTY_KEPT_DAYS = 180
"""So long an empty seat keeps the address of its last holder (T21.3); then it counts as never used."""


class Seat(msgspec.Struct, frozen=True, array_like=True):
    """A seat of which something is to be remembered."""

    emptied_on: dt.date | None = None
    """The day on which its last holder left the catalogue; None while it is held."""
    changes: tuple[dt.date, ...] = ()
    """The days on which its person changed, in order."""


class History(msgspec.Struct, frozen=True):
    """Seats by subscription id and normal address of the holder, or of the last one; days of reports by subscription id."""

    seats: dict[str, dict[str, Seat]] = msgspec.field(default_factory=dict)
    """T2.5, for subscriptions of named hosts."""
    reported: dict[str, dt.date] = msgspec.field(default_factory=dict)
    """T3.3: the day on which a subscription's `employee_count` last changed."""


def held_of(customer: Customer | None, plan: type[S]) -> list[S]:
    """The subscriptions of a kind, whether in force or not, in the order of the catalogue."""
    return [held for held in customer.subscriptions if isinstance(held, plan)] if customer else []


def followed(history: History, before: Customer | None, after: Customer | None, today: dt.date) -> History:
    """The history once the entitlements `before` have become `after`, on the Pacific day `today`.

    With `before` the same as `after` it forgets what is old. What concerned a subscription that is gone is gone too.
    """
    return History(_seats(history, before, after, today), _reported(history, before, after, today))


def recent_changes(seat: Seat, today: dt.date) -> tuple[dt.date, ...]:
    """The changes of person that count today (T2.5): those of the last 60 days."""
    return tuple([day for day in seat.changes if (today - day).days < CHANGES_KEPT_DAYS])


def _reported(history: History, before: Customer | None, after: Customer | None, today: dt.date) -> dict[str, dt.date]:
    counts = {held.id: held.employee_count for held in held_of(before, EnterprisePlan)}
    found: dict[str, dt.date] = {}
    for held in held_of(after, EnterprisePlan):
        if held.employee_count is None:
            continue
        same = counts.get(held.id) == held.employee_count
        found[held.id] = history.reported.get(held.id, today) if same else today
    return found


def _seats(
    history: History, before: Customer | None, after: Customer | None, today: dt.date
) -> dict[str, dict[str, Seat]]:
    earlier = {held.id: held for held in held_of(before, NamedHostPlan)}
    found: dict[str, dict[str, Seat]] = {}
    for held in held_of(after, NamedHostPlan):
        was = earlier.get(held.id)
        remembered = history.seats.get(held.id, {}) if was else {}
        left, came = _moved(was.hosts if was else (), held.hosts)
        seats = _with_left(remembered, left, today)
        newcomers = _seat_returned(seats, came)
        _seat_newcomers(seats, newcomers, vacant=held.quantity - len(held.hosts) + len(newcomers), today=today)
        if seats := _worth_keeping(seats, today):
            found[held.id] = seats
    return found


def _moved(before: Iterable[Host], after: Iterable[Host]) -> tuple[set[str], set[str]]:
    """Normal addresses of the hosts that left and of those that came; an address that is spelt otherwise leaves and comes back."""
    # Ids as written are compared: almost all of 100,000 hosts stay, and need no normal form.
    old, new = {host.id for host in before}, {host.id for host in after}
    left = {host.address for host in before if host.id not in new}
    came = {host.address for host in after if host.id not in old}
    return left, came


def _with_left(remembered: Mapping[str, Seat], left: Iterable[str], today: dt.date) -> dict[str, Seat]:
    """The seats after those people left, without what has been empty for too long to be remembered."""
    seats = {
        holder: seat
        for holder, seat in remembered.items()
        if seat.emptied_on is None or (today - seat.emptied_on).days < EMPTY_KEPT_DAYS
    }
    for person in left:
        seats[person] = Seat(today, seats.get(person, Seat()).changes)
    return seats


def _seat_returned(seats: dict[str, Seat], came: Iterable[str]) -> list[str]:
    """Gives those that came back their own last seats; the others, in a fixed order, are the answer."""
    newcomers: list[str] = []
    for person in sorted(came):
        if person in seats:
            seats[person] = Seat(None, seats[person].changes)
        else:
            newcomers.append(person)
    return newcomers


def _seat_newcomers(seats: dict[str, Seat], newcomers: Sequence[str], *, vacant: int, today: dt.date) -> None:
    """Gives each newcomer a never-used seat, or the one empty longest; `vacant` seats have no holder, used before or never."""
    empty = [(seat.emptied_on, holder) for holder, seat in seats.items() if seat.emptied_on]
    empty.sort()
    surplus = max(len(empty) - vacant, 0)  # a smaller quantity has fewer seats
    for _, holder in empty[:surplus]:
        del seats[holder]
    never_used = max(vacant - len(empty), 0)
    for person, (_, last_holder) in zip(newcomers[never_used:], empty[surplus:], strict=False):
        seats[person] = Seat(None, (*seats.pop(last_holder).changes, today))


def _worth_keeping(seats: Mapping[str, Seat], today: dt.date) -> dict[str, Seat]:
    kept: dict[str, Seat] = {}
    for holder, seat in seats.items():
        changes = recent_changes(seat, today)[-CHANGES_KEPT:]
        if changes or seat.emptied_on:
            kept[holder] = Seat(seat.emptied_on, changes)
    return kept
