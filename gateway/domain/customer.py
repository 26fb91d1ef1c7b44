"""The entitlements of a customer: the shape of the catalogue, and the faults a catalogue can have.

A catalogue is refused whole, with every fault named by its path. Shape is checked by pydantic, which collects all faults of a document; the
rules of each plan (`Subscription.faults`) run on every customer whose shape is right.
"""

import datetime as dt
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, model_validator

from gateway.domain.days import date_of
from gateway.domain.join import Service
from gateway.domain.limits import Limit


PRINTABLE = (
    r"^(?![Tt][Ee][Ll]:)(?!([Ss][Ii][Pp][Ss]?:)? *\+([ ().-]*[0-9]){8,15} *($|[@;]))"
    r"[^\u0000-\u001f\u007f-\u009f]+$(?!\n)"
)
"""Ids hold no control characters and do not look like a telephone number, spaced or in a SIP address either (T21.1).

`(?!\\n)`: Python's `$` would let one newline pass.
"""

CUSTOMER_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)"
"""Customer ids stand in URLs and in the store's keys."""

SHOWN_NAME_MAX, SHOWN_DIGITS_MAX = 64, 7

QUANTITY_MAX = 10_000_000
HOSTS_MAX = 100_000
SUBSCRIPTIONS_MAX = 100

ENDPOINTS_PER_MEETING = 100
"""T2.6, where the order states no other number."""

TEAMS_FEATURES = frozenset({"one_touch", "relay"})
"""Features of the Teams gateway (T10.2)."""


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
            return date_of(value)
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

    model_config = ConfigDict(extra="forbid", frozen=True, regex_engine="python-re", hide_input_in_errors=True)


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

    service: ClassVar[Service | None] = None
    """The service whose meetings it licenses; None: it adds to others (rooms, calling, access, assists)."""
    agrees_on: ClassVar[tuple[str, ...]] = ()
    """Fields in which all subscriptions of the plan that are active at one time are the same (T1.5)."""

    id: Annotated[Identifier, Field(json_schema_extra=lambda schema: schema.pop("default", None))] = ""
    """Left out, the plan's name serves; the empty default stands for that, and is no part of the schema."""
    plan: str
    term: Term

    @model_validator(mode="before")
    @classmethod
    def _named_after_plan(cls, data: Any) -> Any:
        # Left out, the plan's name serves as the id.
        return {"id": data.get("plan"), **data} if isinstance(data, dict) else data

    def active(self, ordinal: int) -> bool:
        """Whether it is in force on a day (T1.1)."""
        return self.term.contains(ordinal)

    @property
    def included_features(self) -> frozenset[str]:
        """Features that a join of its service may ask for without a further order (T1.3, T10.2)."""
        return frozenset()

    def limits(self) -> dict[str, Limit]:
        """What it adds, while it is active, to the bounds of groups that are counted for the whole customer (T1.5)."""
        return {}

    def faults(self, customer: "CustomerBase", path: str) -> Iterator[Fault]:
        """Rules of the plan that its shape cannot say; `path` is where this subscription stands."""
        yield from ()


class EndsOnNotice(Subscription):
    """A subscription that the provider may end before its term does (T10.3, T17.2)."""

    ends_on: CivilDate | None = None
    """The last day on which it is in force."""

    def active(self, ordinal: int) -> bool:
        """Within the term, and not after `ends_on`."""
        return super().active(ordinal) and (self.ends_on is None or ordinal <= self.ends_on.toordinal())


class Streaming(Model):
    """How far a meeting may stream (T1.3); None: no such bound."""

    max_minutes: Positive | None = None
    max_endpoints: Positive | None = None


class Order(Subscription):
    """What every Meetings or Events order may state."""

    agrees_on: ClassVar[tuple[str, ...]] = ("pstn_enforcement",)

    pstn_limit: Quantity | None = None
    """All PSTN legs of the service together (T15.3); None: not stated."""
    pstn_enforcement: Literal["metered", "hard"] = "metered"
    features: tuple[Literal["streaming"], ...] = Field(default=(), max_length=1)
    """Features that are in the order (T1.3)."""
    streaming: Streaming = Streaming()

    @property
    def included_features(self) -> frozenset[str]:
        """Streaming needs to be in the order (T1.3)."""
        return frozenset(self.features)

    def limits(self) -> dict[str, Limit]:
        """The PSTN limit is metered or hard, per service (T15.3)."""
        if self.pstn_limit is None:
            return {}
        ceiling = self.pstn_limit if self.pstn_enforcement == "hard" else None
        return {f"pstn:{self.service}": Limit(ceiling, self.pstn_limit)}


class MeetingsOrder(Order):
    """What every Meetings order may state."""

    service: ClassVar[Service | None] = Service.MEETING

    max_endpoints: Positive | None = None

    @property
    def endpoints_per_meeting(self) -> int:
        """At most so many endpoints are in a meeting (T2.6)."""
        return self.max_endpoints or ENDPOINTS_PER_MEETING


class TeamsSubscription(Subscription):
    """A paid subscription of the Teams gateway (T7, T8, T9)."""

    service: ClassVar[Service | None] = Service.TEAMS

    @property
    def included_features(self) -> frozenset[str]:
        """All features of the gateway; only the special offer leaves some out (T10.2)."""
        return TEAMS_FEATURES


class CustomerBase(Model):
    """What a customer is apart from its subscriptions."""

    id: CustomerId
    name: Name
    domains: tuple[Domain, ...] = Field(default=(), max_length=1000)
    mode: Literal["enforce", "shadow"] = "enforce"
    store_failure: Literal["deny", "admit", "bounded"] = "deny"
    employee_count: Positive | None = None
    retention_days: Positive | None = None
    """How long connection metadata is kept before it is pseudonymised; the administrator decides."""

    @functools.cached_property
    def own_domains(self) -> frozenset[str]:
        """The customer's domains, case-folded."""
        return frozenset([domain.casefold() for domain in self.domains])

    def employs(self, address_domain: str) -> bool:
        """Whether the domain is one of the customer's: exactly, subdomains only where listed."""
        return address_domain.casefold() in self.own_domains
