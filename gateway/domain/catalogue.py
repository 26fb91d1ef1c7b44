"""Reading a catalogue: customers with their subscriptions, validated whole, every fault named."""

import datetime as dt
import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import Field, ValidationError

from gateway.domain.addresses import normal_address
from gateway.domain.customer import SUBSCRIPTIONS_MAX, CustomerBase, EndsOnNotice, Fault, Order, Subscription, shown
from gateway.domain.documents import DocumentError, read_document
from gateway.domain.join import KEPT_NUMBER, Service
from gateway.domain.plans import AnySubscription
from gateway.domain.plans.calling import CallingSubscription, GlobalAudio, PremiumCalling
from gateway.domain.plans.rooms import RoomSubscription
from gateway.domain.plans.special_offer import SpecialOffer


FILE_BYTES_MAX = 64 * 1024 * 1024
CUSTOMERS_MAX = 100_000
TOLD_MAX = 20
"""Faults that the text of the error names; all of them are in `faults`."""

PSTN_ENFORCEMENT = "pstn_enforcement"
"""Agreed on by all orders of a service, of whatever plan, that state a limit (T15.3)."""


class Customer(CustomerBase):
    """A customer with all that it holds."""

    subscriptions: tuple[AnySubscription, ...] = Field(default=(), max_length=SUBSCRIPTIONS_MAX)

    def document(self) -> dict[str, Any]:
        """The customer as it stands in a catalogue, in JSON's types."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)


class CatalogueInvalid(ValueError):
    """A catalogue or a customer that is refused, with all its faults."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(f"{fault.path}: {fault.message}" for fault in faults[:TOLD_MAX]))
        self.faults = faults


def parse_catalogue(text: bytes | str) -> list[Customer]:
    """All customers of a catalogue in YAML or JSON (which YAML includes).

    Raises:
        CatalogueInvalid: with every fault found; nothing of an invalid catalogue is used.
    """
    if len(text) > FILE_BYTES_MAX:
        raise CatalogueInvalid([Fault("$", f"is larger than {FILE_BYTES_MAX} bytes")])
    try:
        document = read_document(text)
    except DocumentError as error:
        raise CatalogueInvalid([Fault("$", str(error))]) from None
    if not isinstance(document, dict) or not isinstance(document.get("customers"), list):
        raise CatalogueInvalid([Fault("$", "needs a list `customers`")])
    faults = [Fault(f"$.{shown(str(name))}", "is not a known field") for name in document if name != "customers"]
    entries = document["customers"]
    if len(entries) > CUSTOMERS_MAX:
        raise CatalogueInvalid([Fault("$.customers", f"has more than {CUSTOMERS_MAX} entries")])
    customers: list[Customer] = []
    places: dict[str, int] = {}
    offers: dict[str, int] = {}
    for position, entry in enumerate(entries):
        path = f"$.customers[{position}]"
        try:
            customer = parse_customer(entry, path)
        except CatalogueInvalid as error:
            faults += error.faults
            continue
        if customer.id in places:
            faults.append(Fault(f"{path}.id", f"is the id of customers[{places[customer.id]}] too"))
        places.setdefault(customer.id, position)
        faults += _group_faults(customer, path, offers)
        for group in offer_groups(customer):
            offers.setdefault(group, position)
        customers.append(customer)
    if faults:
        raise CatalogueInvalid(faults)
    return customers


def parse_customer(data: object, path: str = "$") -> Customer:
    """One customer from plain data; `path` is where it stands.

    Raises:
        CatalogueInvalid: with every fault found.
    """
    try:
        customer = Customer.model_validate(data)
    except ValidationError as error:
        raise CatalogueInvalid([_shape_fault(path, detail) for detail in error.errors(include_url=False)]) from None
    faults = list(_faults(customer, path))
    if faults:
        raise CatalogueInvalid(faults)
    return customer


def offer_groups(customer: Customer) -> set[str]:
    """The company groups, case-folded, that hold a special offer with this customer; another customer with one of them is refused (T10.1)."""
    return {offer.company_group.casefold() for _, offer in _offers(customer)}


def blocked_in_clear(customer: Customer) -> bool:
    """Whether a blocked number stands in the entitlements as given; then they are not stored before `with_kept_numbers` (T21.1)."""
    return any(
        not re.fullmatch(KEPT_NUMBER, number)
        for held in customer.subscriptions
        if isinstance(held, CallingSubscription)
        for number in held.blocked_numbers
    )


def with_kept_numbers(customer: Customer, keep: Callable[[str], str]) -> Customer:
    """The customer with every blocked number in the form in which it is kept (T15.2); `keep` makes that of a number as in E.164."""
    subscriptions = [
        held.model_copy(update={"blocked_numbers": tuple([_kept(number, keep) for number in held.blocked_numbers])})
        if isinstance(held, CallingSubscription)
        else held
        for held in customer.subscriptions
    ]
    return customer.model_copy(update={"subscriptions": tuple(subscriptions)})


def _kept(number: str, keep: Callable[[str], str]) -> str:
    kept = number if re.fullmatch(KEPT_NUMBER, number) else keep(number)
    assert re.fullmatch(KEPT_NUMBER, kept), "keep gives the kept form"
    return kept


def _group_faults(customer: Customer, path: str, offers: dict[str, int]) -> Iterator[Fault]:
    """T10.1: a company group has one special offer; `offers` are the places of the customers before this one."""
    for position, offer in _offers(customer):
        place = offers.get(offer.company_group.casefold())
        if place is not None:
            message = f"has a special offer with customers[{place}] already"
            yield Fault(f"{path}.subscriptions[{position}].company_group", message, "T10.1")


def _faults(customer: Customer, path: str) -> Iterator[Fault]:
    seen: dict[str, int] = {}
    for position, subscription in enumerate(customer.subscriptions):
        where = f"{path}.subscriptions[{position}]"
        if subscription.id in seen:
            yield Fault(f"{where}.id", f"{subscription.id!r} is the id of subscriptions[{seen[subscription.id]}] too")
        seen.setdefault(subscription.id, position)
        yield from subscription.faults(customer, where)
    yield from _disagreements(customer, path)
    yield from _offer_faults(customer, path)
    yield from _room_faults(customer, path)
    yield from _calling_faults(customer, path)


def _disagreements(customer: Customer, path: str) -> Iterator[Fault]:
    """T1.5: subscriptions of one plan that are active at one time agree; T15.3: so do orders of one service on their PSTN limits."""
    groups: dict[tuple[str, str, str], list[tuple[int, Subscription]]] = defaultdict(list)
    for position, held in enumerate(customer.subscriptions):
        for field in held.agrees_on:
            if field != PSTN_ENFORCEMENT:
                groups["plan", held.plan, field].append((position, held))
        if isinstance(held, Order) and held.pstn_limit is not None:
            groups["service", str(held.service), PSTN_ENFORCEMENT].append((position, held))
    for (shared, _, field), members in groups.items():
        if len({getattr(held, field) for _, held in members}) == 1:
            continue  # pairs are looked at only where there is a difference, so that a good catalogue takes linear time
        for (_, earlier), (position, later) in itertools.combinations(members, 2):
            one, other = getattr(later, field), getattr(earlier, field)
            if one != other and _overlap(earlier, later):
                message = f"is {one}, while {earlier.id} of the same {shared} and time is {other}"
                rule = "T1.5" if shared == "plan" else "T15.3"
                yield Fault(f"{path}.subscriptions[{position}].{field}", message, rule)


def _offer_faults(customer: Customer, path: str) -> Iterator[Fault]:
    """T10.1: a special offer is not renewed, and not for a customer with an active subscription the day before."""
    offers = _offers(customer)
    for position, _ in offers[1:]:
        message = f"is held once and not renewed; {offers[0][1].id} is a special offer too"
        yield Fault(f"{path}.subscriptions[{position}].plan", message, "T10.1")
    for position, offer in offers:
        day_before = offer.signed_on.toordinal() - 1
        held = next((held for held in customer.subscriptions if held is not offer and held.active(day_before)), None)
        if held is not None:
            message = f"is a day after {held.id} was active; the offer is for those without an active subscription"
            yield Fault(f"{path}.subscriptions[{position}].signed_on", message, "T10.1")


def _room_faults(customer: Customer, path: str) -> Iterator[Fault]:
    """T13.1: a room is licensed once at a time; T13.3: only beside a Meetings or Events subscription."""
    needed = [held for held in customer.subscriptions if held.service in {Service.MEETING, Service.EVENT}]
    licensed: dict[str, list[Subscription]] = defaultdict(list)
    for position, held in enumerate(customer.subscriptions):
        if not isinstance(held, RoomSubscription):
            continue
        where = f"{path}.subscriptions[{position}]"
        if not any(_overlap(held, other) for other in needed):
            yield Fault(where, "needs a Meetings or Events subscription whose term overlaps with its own", "T13.3")
        for number, room in enumerate(held.rooms):
            earlier = licensed[normal_address(room.id)]
            twice = next((other for other in earlier if other is held or _overlap(held, other)), None)
            if twice is not None:
                message = f"is listed in {twice.id} already (rooms compare case-folded, plus-tags removed)"
                yield Fault(f"{where}.rooms[{number}].id", message, "T13.1")
            earlier.append(held)


def _calling_faults(customer: Customer, path: str) -> Iterator[Fault]:
    """T16.1: what Global Audio replaced does not come back."""
    audio = [held for held in customer.subscriptions if isinstance(held, GlobalAudio)]
    if not audio:
        return
    first = min(audio, key=lambda held: held.term.first)
    for position, held in enumerate(customer.subscriptions):
        if isinstance(held, PremiumCalling) and held.term.first >= first.term.first:
            message = f"is not before the first day of {first.id}, which replaces this plan for good"
            yield Fault(f"{path}.subscriptions[{position}].term.from", message, "T16.1")


def _offers(customer: Customer) -> list[tuple[int, SpecialOffer]]:
    held = enumerate(customer.subscriptions)
    return [(position, subscription) for position, subscription in held if isinstance(subscription, SpecialOffer)]


def _overlap(one: Subscription, other: Subscription) -> bool:
    """Whether there is a day on which both are in force."""
    return max(one.term.first, other.term.first) <= min(_last_day(one), _last_day(other))


def _last_day(held: Subscription) -> dt.date:
    ends_on = held.ends_on if isinstance(held, EndsOnNotice) else None
    return held.term.last if ends_on is None else min(held.term.last, ends_on)


def _shape_fault(path: str, detail: Any) -> Fault:
    """A fault from what pydantic found, at its JSONPath."""
    loc = list(detail["loc"])
    if len(loc) > 2 and loc[0] == "subscriptions":
        del loc[2]  # the discriminator's value, which is no part of the document
    if loc and loc[-1] == "[key]":
        del loc[-1]  # pydantic's mark for the name itself, which stands before it
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{shown(part)}"
    message = detail["msg"].removeprefix("Value error, ")
    match detail["type"]:
        case "extra_forbidden":
            message = "is not a known field"
        case "missing":
            message = "is required"
        case "string_pattern_mismatch":
            message = "has characters that are not allowed here, or looks like a telephone number"
        case "union_tag_invalid" | "union_tag_not_found":
            path, message = (
                f"{path}.plan",
                f"is not a known plan; known are {detail['ctx'].get('expected_tags', 'listed in the docs')}",
            )
        case "date_from_datetime_parsing" | "date_type":
            message = "is not a date (YYYY-MM-DD)"
    return Fault(path, message)
