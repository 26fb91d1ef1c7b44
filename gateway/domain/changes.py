"""Changes of what a customer holds, as functions from a record to the next one. Pure: who stores it, and when it is, is said by the caller.

A change that cannot be made raises a `ChangeRefused` and leaves everything as it was.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import msgspec

from gateway.domain.addresses import normal_address
from gateway.domain.assists import BOOKINGS_MAX, Booking, remembered
from gateway.domain.catalogue import Customer, parse_customer
from gateway.domain.days import day_at
from gateway.domain.enterprise import Certification
from gateway.domain.history import History, followed
from gateway.domain.person import Rewriting, rewritten
from gateway.domain.plans.enterprise_hosts import EnterprisePlan
from gateway.domain.record import Record, Status, Suspension


SUSPENDED_HOSTS_MAX = 10_000

Change = Callable[[Record, int], Record]
"""The next record from the one before and the instant of the change (Unix ms), which not every change asks for."""


class ChangeRefused(Exception):
    """A change that cannot be made; says why.

    ChangeRefused
    ├── CustomerNotFound
    ├── VersionMismatch     the entitlements are not of the version that the caller has seen
    ├── StatusFinal         a terminated customer stays terminated
    ├── NotSuspended        the host that is resumed is not suspended
    ├── NoSuchSubscription  nothing that counts employees, or more than one and none was named
    └── TooMany             of what a record holds a bounded number of
    """


class CustomerNotFound(ChangeRefused):
    """No such customer."""


class VersionMismatch(ChangeRefused):
    """The entitlements have another version. `current` says which."""

    def __init__(self, current: int) -> None:
        super().__init__(f"the entitlements are at version {current}")
        self.current = current


class StatusFinal(ChangeRefused):
    """The customer was terminated; that is final."""


class NotSuspended(ChangeRefused):
    """The host is not suspended."""


class NoSuchSubscription(ChangeRefused):
    """The customer holds no such subscription that counts employees."""


class TooMany(ChangeRefused):
    """There is no room for one more."""


def replaced(customer: Customer, expected: int | None) -> Change:
    """Other entitlements, over version `expected` if given (0: there must be none yet). Status, suspensions and bookings stay."""

    def changed(record: Record, now_ms: int) -> Record:
        if expected is not None and record.version != expected:
            raise VersionMismatch(record.version)
        return _with_customer(record, customer, now_ms)

    return changed


def removed(customer: str, expected: int | None) -> Change:
    """No customer any more. Live legs stay until they are released; the version counts on."""

    def changed(record: Record, _now_ms: int) -> Record:
        _existing(record, customer)
        if expected is not None and record.version != expected:
            raise VersionMismatch(record.version)
        return Record(record.version)

    return changed


def with_status(customer: str, status: Status, reason: str | None, by: str) -> Change:
    """Suspends, resumes or terminates (T20.1); who, when and why are kept."""

    def changed(record: Record, now_ms: int) -> Record:
        _existing(record, customer)
        if record.status == "terminated" and status != "terminated":
            raise StatusFinal("a terminated customer stays terminated")
        return replace(record, status=status, status_reason=reason, status_at_ms=now_ms, status_by=by or None)

    return changed


def host_suspended(customer: str, host: str, reason: str, by: str) -> Change:
    """Refuses meetings of one host (T20.1); who, when and why are kept."""
    address = normal_address(host)

    def changed(record: Record, now_ms: int) -> Record:
        _existing(record, customer)
        if len(record.suspended_hosts) >= SUSPENDED_HOSTS_MAX and address not in record.suspended_hosts:
            raise TooMany(f"at most {SUSPENDED_HOSTS_MAX} hosts of a customer are suspended at one time")
        suspension = Suspension(reason, now_ms, by or None)
        return replace(record, suspended_hosts={**record.suspended_hosts, address: suspension})

    return changed


def host_resumed(customer: str, host: str) -> Change:
    """Ends the suspension of a host."""
    address = normal_address(host)

    def changed(record: Record, _now_ms: int) -> Record:
        _existing(record, customer)
        if address not in record.suspended_hosts:
            raise NotSuspended("the host is not suspended")
        left = {name: each for name, each in record.suspended_hosts.items() if name != address}
        return replace(record, suspended_hosts=left)

    return changed


def certified(customer: str, subscription: str | None, count: int, on: date | None, by: str | None) -> Change:
    """An officer vouches for a count of employees (T3.2); `on` None: today. `subscription` may be left out where only one counts them."""

    def changed(record: Record, now_ms: int) -> Record:
        held = _counting(record, customer, subscription)
        certification = Certification(certified_on=on or day_at(now_ms).date, count=count, certified_by=by)
        return _with_fields(record, held, {"certifications": (*held.certifications, certification)}, now_ms)

    return changed


def reported(customer: str, subscription: str | None, count: int) -> Change:
    """The customer reports a count of employees (T3.3)."""

    def changed(record: Record, now_ms: int) -> Record:
        return _with_fields(record, _counting(record, customer, subscription), {"employee_count": count}, now_ms)

    return changed


def booked(customer: str, booking: Booking) -> Change:
    """One more assist (T18, T19); bookings that are long over are dropped."""

    def changed(record: Record, now_ms: int) -> Record:
        _existing(record, customer)
        assists = sorted([*remembered(record.assists, now_ms), booking], key=lambda each: (each.starts_at_ms, each.id))
        if len(assists) > BOOKINGS_MAX:
            raise TooMany(f"at most {BOOKINGS_MAX} bookings of a customer are kept")
        return replace(record, assists=tuple(assists))

    return changed


def forgotten(record: Record, now_ms: int) -> Record:
    """Without what is remembered of earlier versions for longer than findings ask for (T21.3), and without bookings that are long over."""
    history = followed(record.history, record.customer, record.customer, day_at(now_ms).date)
    return replace(record, history=history, assists=remembered(record.assists, now_ms))


def with_people(how: Rewriting) -> Change:
    """Everywhere in the record people go by other addresses (T21.4). Where somebody only changed the address, the catalogue must allow it.

    Raises, when it is applied: CatalogueInvalid.
    """

    def changed(record: Record, _now_ms: int) -> Record:
        new = record.customer
        if new is not None:
            document = rewritten(new.document(), how)
            new = parse_customer(document) if how.keeps_names else Customer.model_validate(document)
        beside = (record.status_reason, record.status_by, record.suspended_hosts, record.history, record.assists)
        names = ("status_reason", "status_by", "suspended_hosts", "history", "assists")
        told = rewritten(dict(zip(names, msgspec.to_builtins(beside), strict=True)), how)
        return replace(
            record,
            customer=new,
            status_reason=told["status_reason"],
            status_by=told["status_by"],
            suspended_hosts=msgspec.convert(told["suspended_hosts"], dict[str, Suspension]),
            history=msgspec.convert(told["history"], History),
            assists=msgspec.convert(told["assists"], tuple[Booking, ...]),
        )

    return changed


def _existing(record: Record, customer: str) -> Customer:
    if record.customer is None:
        raise CustomerNotFound(customer)
    return record.customer


def _with_customer(record: Record, customer: Customer, now_ms: int) -> Record:
    history = followed(record.history, record.customer, customer, day_at(now_ms).date)
    return replace(record, customer=customer, history=history)


def _counting(record: Record, customer: str, subscription: str | None) -> EnterprisePlan:
    """The subscription that counts employees; the one that is meant, or the only one."""
    held = [each for each in _existing(record, customer).subscriptions if isinstance(each, EnterprisePlan)]
    meant = [each for each in held if subscription in {None, each.id}]
    if not meant:
        raise NoSuchSubscription("there is no such subscription that counts employees")
    if len(meant) > 1:
        raise NoSuchSubscription("more than one subscription counts employees; name it")
    return meant[0]


def _with_fields(record: Record, held: EnterprisePlan, fields: dict[str, object], now_ms: int) -> Record:
    """The record with other values in one subscription; checked like any catalogue. Raises CatalogueInvalid."""
    assert record.customer is not None, "the subscription was found in it"
    document = record.customer.document()
    new = held.model_copy(update=fields).model_dump(
        mode="json", by_alias=True, exclude_none=True, exclude_defaults=True
    )
    document["subscriptions"] = [
        new if each.get("id", each["plan"]) == held.id else each for each in document["subscriptions"]
    ]
    return _with_customer(record, parse_customer(document), now_ms)
