"""Request bodies of the routes that people use. Requests are decoded by these types, and the OpenAPI document is made from them."""

import datetime as dt
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.api.problems import decoded
from gateway.api.wire import Code, Identifier
from gateway.domain.customer import PRINTABLE, QUANTITY_MAX


ASSIST_MINUTES_MAX = 7 * 24 * 60

Count = Annotated[int, Meta(ge=1, le=QUANTITY_MAX)]
Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=PRINTABLE)]


class StatusRequest(Struct, forbid_unknown_fields=True, frozen=True):
    """Why a customer or a host is suspended, resumed or terminated; `drop_live` also ends the live legs."""

    reason: Code | None = None
    drop_live: bool = False


class CertificationRequest(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """An officer vouches for a count of employees (T3.2). `certified_on` left out: today; `subscription`: the only one that counts them."""

    count: Count
    subscription: Identifier | None = None
    certified_on: dt.date | None = None
    certified_by: Name | None = None


class EmployeeCountRequest(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The customer reports a count of employees (T3.3)."""

    count: Count
    subscription: Identifier | None = None


class AssistRequest(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """An assist that is to be booked (T18, T19). With an `id` of the caller's, asking again answers the same booking."""

    kind: Literal["meeting", "event"]
    starts_at: Annotated[dt.datetime, Meta(tz=True)]
    minutes: Annotated[int, Meta(ge=1, le=ASSIST_MINUTES_MAX)]
    streams: bool = False
    id: Identifier | None = None


_STATUS = msgspec.json.Decoder(StatusRequest)
_CERTIFICATION = msgspec.json.Decoder(CertificationRequest)
_EMPLOYEE_COUNT = msgspec.json.Decoder(EmployeeCountRequest)
_ASSIST = msgspec.json.Decoder(AssistRequest)


def decode_status(body: bytes) -> StatusRequest:
    """A change of status as it was sent; nothing is taken for `{}`. Raises msgspec.DecodeError, msgspec.ValidationError."""
    return decoded(_STATUS.decode, body or b"{}")


def decode_certification(body: bytes) -> CertificationRequest:
    """A certification as it was sent. Raises as `decode_status`."""
    return decoded(_CERTIFICATION.decode, body)


def decode_employee_count(body: bytes) -> EmployeeCountRequest:
    """A reported count as it was sent. Raises as `decode_status`."""
    return decoded(_EMPLOYEE_COUNT.decode, body)


def decode_assist(body: bytes) -> AssistRequest:
    """A booking as it was sent. Raises as `decode_status`."""
    return decoded(_ASSIST.decode, body)
