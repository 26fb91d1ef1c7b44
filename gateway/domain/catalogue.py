"""Reading a catalogue: customers with their subscriptions, validated whole, every fault named."""

from collections.abc import Iterator
from typing import Any

from pydantic import Field, ValidationError

from gateway.domain.customer import SUBSCRIPTIONS_MAX, CustomerBase, Fault, shown
from gateway.domain.documents import DocumentError, read_document
from gateway.domain.plans import AnySubscription


FILE_BYTES_MAX = 64 * 1024 * 1024
CUSTOMERS_MAX = 100_000
TOLD_MAX = 20
"""Faults that the text of the error names; all of them are in `faults`."""


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


def _faults(customer: Customer, path: str) -> Iterator[Fault]:
    seen: dict[str, int] = {}
    for position, subscription in enumerate(customer.subscriptions):
        where = f"{path}.subscriptions[{position}]"
        if subscription.id in seen:
            yield Fault(f"{where}.id", f"{subscription.id!r} is the id of subscriptions[{seen[subscription.id]}] too")
        seen.setdefault(subscription.id, position)
        yield from subscription.faults(customer, where)
    yield from _disagreements(customer, path)


def _disagreements(customer: Customer, path: str) -> Iterator[Fault]:
    """T1.5: subscriptions of one plan whose terms overlap must agree on enforcement."""
    for position, later in enumerate(customer.subscriptions):
        if later.agrees_on is None:
            continue
        for earlier in customer.subscriptions[:position]:
            overlap = later.term.first <= earlier.term.last and earlier.term.first <= later.term.last
            if later.plan != earlier.plan or not overlap:
                continue
            one, other = getattr(later, later.agrees_on), getattr(earlier, later.agrees_on)
            if one != other:
                message = f"is {one}, while {earlier.id} of the same plan and time is {other}"
                yield Fault(f"{path}.subscriptions[{position}].{later.agrees_on}", message, "T1.5")


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
