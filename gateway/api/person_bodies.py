"""Bodies of the routes about one person (T21.4): the correction as it is sent, and what is answered."""

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from gateway.api.bodies import given
from gateway.api.problems import decoded
from gateway.api.report_bodies import ConnectionBody, connection_body
from gateway.api.wire import Identifier
from gateway.domain.days import instant
from gateway.ledger.persons import KeptLeg
from gateway.people import Done, Export


class PersonRequest(Struct, forbid_unknown_fields=True, frozen=True):
    """The address by which the person goes from now on."""

    person: Identifier


class PersonLegBody(Struct, frozen=True):
    """A connection of the person, or to a meeting that it owned, from its beginning or a move to the next move or its end."""

    connection: str
    service: str
    meeting: str
    endpoint: str
    role: str
    held_at: str
    connected_at: str | UnsetType = UNSET
    until: str | UnsetType = UNSET
    freed_at: str | UnsetType = UNSET
    cause: str | UnsetType = UNSET
    host: str | UnsetType = UNSET
    person: str | UnsetType = UNSET
    node: str | UnsetType = UNSET
    department: str | UnsetType = UNSET
    room: str | UnsetType = UNSET
    country: str | UnsetType = UNSET


class PersonPlaceBody(Struct, frozen=True):
    """What stands about the person at a place of the customer's record as it is now."""

    path: str
    value: Any


class PersonVersionsBody(Struct, frozen=True):
    """The same in versions of the entitlements, from `first` to `last`."""

    first: int
    last: int
    path: str
    value: Any


class PersonMarkBody(Struct, frozen=True):
    """The person is remembered in a set: as a host of a cycle (T3.3), as an owner outside the domains (T4.5)."""

    set: str
    at: str


class PersonNoticeBody(Struct, frozen=True):
    """A finding, a notice, or a row of the audit in which the person stands."""

    kind: str
    at: str
    text: str


class PersonBody(Struct, frozen=True):
    """Everything that is kept about a person. `next` leads to more of `legs`; pages behind the first have nothing else."""

    customer: str
    legs: tuple[PersonLegBody, ...]
    next: str | None
    live: tuple[ConnectionBody, ...] = ()
    record: tuple[PersonPlaceBody, ...] = ()
    versions: tuple[PersonVersionsBody, ...] = ()
    marks: tuple[PersonMarkBody, ...] = ()
    notices: tuple[PersonNoticeBody, ...] = ()
    pseudonym: str | UnsetType = UNSET


class PersonDoneBody(Struct, frozen=True):
    """How much was corrected or erased, by where it stood. `pseudonym`: what stands for the person from now on, where it was erased."""

    customer: str
    entitlements: int
    marks: int
    legs: int
    names: int
    meetings: int
    versions: int
    notices: int
    audit: int
    pseudonym: str | UnsetType = UNSET


_PERSON = msgspec.json.Decoder(PersonRequest)


def decode_person(body: bytes) -> PersonRequest:
    """A correction as it was sent. Raises msgspec.DecodeError, msgspec.ValidationError."""
    return decoded(_PERSON.decode, body)


def person_body(customer: str, export: Export) -> PersonBody:
    """A page of an export."""
    return PersonBody(
        customer,
        tuple([_leg(leg) for leg in export.legs]),
        "_".join([str(part) for part in export.place]) if export.place else None,
        tuple([connection_body(leg, info) for leg, info in export.live]),
        tuple([PersonPlaceBody(path, value) for path, value in export.record]),
        tuple([PersonVersionsBody(each.first, each.last, each.path, each.value) for each in export.mentions]),
        tuple([PersonMarkBody(seen.set, instant(seen.made_ms)) for seen in export.marks]),
        tuple([PersonNoticeBody(each.kind, instant(each.at_ms), each.text) for each in export.notices]),
        given(export.pseudonym),
    )


def done_body(customer: str, done: Done) -> PersonDoneBody:
    """What was done."""
    kept = done.ledger
    return PersonDoneBody(
        customer, done.entitlements, done.marks, kept.legs, kept.names, kept.meetings, kept.versions, kept.notices, kept.audit,
        given(done.pseudonym),
    )  # fmt: skip


def _leg(leg: KeptLeg) -> PersonLegBody:
    shape = leg.shape
    return PersonLegBody(
        connection=leg.connection,
        service=shape.service,
        meeting=leg.meeting,
        endpoint=shape.endpoint,
        role=shape.role,
        held_at=instant(leg.held_ms),
        connected_at=_instant(leg.connected_ms),
        until=_instant(leg.until_ms),
        freed_at=_instant(leg.freed_ms),
        cause=given(leg.cause or None),
        host=given(leg.host),
        person=given(leg.person),
        node=given(leg.node),
        department=given(shape.department),
        room=given(shape.room),
        country=given(shape.country),
    )


def _instant(ms: int | None) -> str | UnsetType:
    return UNSET if ms is None else instant(ms)
