"""What the outbox says, as values."""

from collections.abc import Mapping

import msgspec

from gateway.domain.billing.entry import EntryId
from gateway.domain.billing.stretch import Shape
from gateway.domain.contract import METERED_POOLS, REPORTED_POOLS
from gateway.legs import info_of


OF_LEGS = frozenset({"admit", "confirm", "adopt", "move", "release", "reclaim"})

_POOLS = frozenset([REPORTED_POOLS[pool] for pool in METERED_POOLS])


class Seen(msgspec.Struct, frozen=True):
    """What an entry about a leg says of it; who and where by name."""

    shape: str
    """JSON of a `Shape`: what is stored and compared."""
    admitted_ms: int
    connected_ms: int | None
    meeting: str
    host: str | None
    person: str | None
    node: str | None
    telephone: str | None


class LegEntry(msgspec.Struct, frozen=True):
    """Something that happened to a leg."""

    id: EntryId
    op: str
    at_ms: int
    customer: str
    connection: str
    seen: Seen
    cause: str = ""
    alive_ms: int = 0
    """Its last sign of life, where it ended."""


class Denial(msgspec.Struct, frozen=True):
    """A refused join."""

    id: EntryId
    at_ms: int
    customer: str
    reason: str


class Change(msgspec.Struct, frozen=True):
    """Entitlements at a new version; `change` names what was done."""

    id: EntryId
    at_ms: int
    customer: str
    version: int
    change: str
    by: str
    document: bytes


class EpochBegan(msgspec.Struct, frozen=True):
    """A bucket began a new epoch. `lost`: something that was acknowledged before is missing in the store."""

    id: EntryId
    at_ms: int
    prior: EntryId | None
    """The last entry of the epoch before that the store has."""
    told: EntryId
    lost: bool


class Other(msgspec.Struct, frozen=True):
    """Whatever bears on no figure: a day rolled, a repair, registers asserted."""

    id: EntryId
    at_ms: int
    op: str


Entry = LegEntry | Denial | Change | EpochBegan | Other


def entry_of(id_: EntryId, fields: Mapping[bytes, bytes]) -> Entry:
    """An entry from its fields. Raises KeyError, ValueError where it is none that this version knows."""
    op, at_ms = fields[b"op"].decode(), int(fields[b"at"])
    if op in OF_LEGS:
        return LegEntry(
            id_, op, at_ms, fields[b"customer"].decode(), fields[b"connection"].decode(), seen_of(fields[b"leg"]),
            fields.get(b"cause", b"").decode(), int(fields.get(b"alive", at_ms)),
        )  # fmt: skip
    if op == "deny":
        return Denial(id_, at_ms, fields[b"customer"].decode(), fields[b"reason"].decode())
    if b"version" in fields:
        return Change(
            id_, at_ms, fields[b"customer"].decode(), int(fields[b"version"]), op, fields.get(b"by", b"").decode(),
            fields.get(b"document", b""),
        )  # fmt: skip
    if op == "epoch":
        prior = fields.get(b"prior", b"").decode()
        return EpochBegan(
            id_, at_ms, EntryId.parse(prior) if prior else None, EntryId.parse(fields[b"told"].decode()),
            fields[b"lost"] == b"1",
        )  # fmt: skip
    return Other(id_, at_ms, op)


def seen_of(packed: bytes) -> Seen:
    """What a leg's record says (`kernel/lua/include/legs.lua`)."""
    admitted, connected, _, node, _, groups, _, would_deny, info, adopted, *_ = msgspec.msgpack.decode(packed)
    found = info_of(info.encode())
    number, access = found.number, found.access_number
    shape = Shape(
        found.service, found.endpoint, found.role, tuple([group for group in groups or () if group in _POOLS]),
        found.licensed_by, found.counted_in, found.department, found.room, found.country, found.calling,
        number.country if number else None, number.number_class if number else None,
        access.country if access else None, access.number_class if access else None,
        found.access, found.audio_only, bool(adopted), would_deny,
    )  # fmt: skip
    return Seen(
        msgspec.json.encode(shape).decode(), admitted, connected or None, found.meeting, found.host, found.person, node or None,
        number.hash if number else None,
    )  # fmt: skip
