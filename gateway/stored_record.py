"""The form in which a record is stored: JSON that the kernel does not look into. Fields are only ever added, with defaults."""

from typing import Any

import msgspec

from gateway.domain.assists import Booking
from gateway.domain.catalogue import Customer
from gateway.domain.history import History
from gateway.domain.record import Record, Status, Suspension


class _Document(msgspec.Struct, omit_defaults=True):
    customer: dict[str, Any] | None = None
    status: Status = "active"
    status_reason: str | None = None
    status_at_ms: int | None = None
    status_by: str | None = None
    suspended_hosts: dict[str, Suspension] = msgspec.field(default_factory=dict)
    history: History = msgspec.field(default_factory=History)
    assists: tuple[Booking, ...] = ()


def encode_record(record: Record) -> bytes:
    """A record as it is stored; its version is kept beside it."""
    return msgspec.json.encode(
        _Document(
            record.customer.document() if record.customer else None,
            record.status, record.status_reason, record.status_at_ms, record.status_by,
            dict(record.suspended_hosts), record.history, record.assists,
        )
    )  # fmt: skip


def decode_record(version: int, document: bytes) -> Record:
    """A record from its stored form; an empty one where nothing was ever installed."""
    if not document:
        return Record(version)
    found = msgspec.json.decode(document, type=_Document)
    # By shape only: a rule that has become stricter since must not take away what is in force.
    customer = Customer.model_validate(found.customer) if found.customer is not None else None
    return Record(
        version, customer, found.status, found.status_reason, found.status_at_ms, found.status_by,
        found.suspended_hosts, found.history, found.assists,
    )  # fmt: skip
