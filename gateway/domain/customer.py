"""The entitlements of a customer: the shape of the catalogue, and the faults a catalogue can have.

A catalogue is refused whole, with every fault named by its path. Shape is checked by pydantic, which collects all faults of a document; the
rules of each plan (`Subscription.faults`) run on every customer whose shape is right.
"""

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, model_validator

from gateway.domain.join import Service


PRINTABLE = r"^(?![Tt][Ee][Ll]:)(?!\+[0-9]{8,15}$)[^\u0000-\u001f\u007f-\u009f]+$(?!\n)"
"""Ids hold no control characters and do not look like a telephone number (T21.1). `(?!\\n)`: Python's `$` would let one newline pass."""

CUSTOMER_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)"
"""Customer ids stand in URLs and in the store's keys."""

SHOWN_NAME_MAX, SHOWN_DIGITS_MAX = 64, 7

QUANTITY_MAX = 10_000_000
HOSTS_MAX = 100_000
SUBSCRIPTIONS_MAX = 100


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a catalogue: where (`$.customers[0].name`), what, and by which rule of the terms."""

    path: str
    message: str
    rule: str | None = None


def shown(name: str) -> str:
    """The name of a field as a fault may show it: `?` where it is endless, no text, or could be a telephone number (T21.1)."""
    digits = sum(character.isdigit() for character in name)
    return name if name.isprintable() and len(name) <= SHOWN_NAME_MAX and digits <= SHOWN_DIGITS_MAX else "?"


def _civil_date(value: object) -> object:
    """Let pass a date or `YYYY-MM-DD` only: pydantic alone would also read numbers and times as dates."""
    if isinstance(value, str):
        try:
            return dt.date.fromisoformat(value) if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value) else ""
        except ValueError:
            return ""
    return value if isinstance(value, dt.date) and not isinstance(value, dt.datetime) else ""


Identifier = Annotated[str, Field(min_length=1, max_length=128, pattern=PRINTABLE)]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=PRINTABLE)]
CustomerId = Annotated[str, Field(min_length=1, max_length=64, pattern=CUSTOMER_ID)]
CivilDate = Annotated[dt.date, BeforeValidator(_civil_date)]
Quantity = Annotated[StrictInt, Field(ge=0, le=QUANTITY_MAX)]
Positive = Annotated[StrictInt, Field(ge=1, le=QUANTITY_MAX)]
Domain = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$(?!\n)")]


class Model(BaseModel):
    """A frozen value that refuses unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, regex_engine="python-re")


class Term(Model):
    """The licence term: first and last day, Pacific time, both included."""

    first: CivilDate = Field(alias="from")
    last: CivilDate = Field(alias="to")

    @model_validator(mode="after")
    def _in_order(self) -> "Term":
        if self.last < self.first:
            raise ValueError("ends before it begins")
        return self

    def contains(self, ordinal: int) -> bool:
        """Whether the day belongs to the term."""
        return self.first.toordinal() <= ordinal <= self.last.toordinal()


class Subscription(Model):
    """A plan with its quantities, held for a term. Each plan has a module of its own in `plans`."""

    service: ClassVar[Service]
    agrees_on: ClassVar[str | None] = None
    """The field in which all subscriptions of the plan that are active at one time are the same (T1.5)."""

    id: Annotated[Identifier, Field(json_schema_extra=lambda schema: schema.pop("default", None))] = ""
    """Left out, the plan's name serves; the empty default stands for that, and is no part of the schema."""
    plan: str
    term: Term

    @model_validator(mode="before")
    @classmethod
    def _named_after_plan(cls, data: Any) -> Any:
        # Left out, the plan's name serves as the id.
        return {"id": data.get("plan"), **data} if isinstance(data, dict) else data

    def faults(self, customer: "CustomerBase", path: str) -> Iterator[Fault]:
        """Rules of the plan that its shape cannot say; `path` is where this subscription stands."""
        yield from ()


class CustomerBase(Model):
    """What a customer is apart from its subscriptions."""

    id: CustomerId
    name: Name
    domains: tuple[Domain, ...] = Field(default=(), max_length=1000)
    mode: Literal["enforce", "shadow"] = "enforce"
    store_failure: Literal["deny", "admit", "bounded"] = "deny"

    def employs(self, address_domain: str) -> bool:
        """Whether the domain is one of the customer's: exactly, subdomains only where listed."""
        return address_domain.casefold() in {domain.casefold() for domain in self.domains}
