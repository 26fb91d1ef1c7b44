"""What the outbox says, as values."""

from collections.abc import Sequence

import msgspec

from gateway.domain.billing.entry import EntryId
from gateway.domain.billing.stretch import Shape
from gateway.domain.contract import POOL_OF_GROUP
from gateway.kernel.outbox import RawEntry
from gateway.kernel.outcomes import Leg
from gateway.legs import info_of


OF_LEGS = frozenset({"admit", "confirm", "adopt", "move", "release", "reclaim"})


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


def entry_of(raw: RawEntry) -> Entry:
    """An entry as a value. Raises KeyError, ValueError where it is none that this version knows."""
    id_, op, fields = raw
    at_ms = int(fields["at"])
    if op in OF_LEGS:
        return LegEntry(
            id_, op, at_ms, fields["customer"].decode(), fields["connection"].decode(), seen_of(fields["leg"]),
            fields.get("cause", b"").decode(), int(fields.get("alive", at_ms)),
        )  # fmt: skip
    if op == "deny":
        return Denial(id_, at_ms, fields["customer"].decode(), fields["reason"].decode())
    if "version" in fields:
        return Change(
            id_, at_ms, fields["customer"].decode(), int(fields["version"]), op, fields.get("by", b"").decode(),
            fields.get("document", b""),
        )  # fmt: skip
    if op == "epoch":
        prior = fields.get("prior", b"").decode()
        return EpochBegan(
            id_, at_ms, EntryId.parse(prior) if prior else None, EntryId.parse(fields["told"].decode()),
            fields["lost"] == b"1",
        )  # fmt: skip
    return Other(id_, at_ms, op)


def seen_of(packed: bytes) -> Seen:
    """What a leg's record says (`kernel/lua/include/legs.lua`)."""
    admitted, connected, _, node, _, groups, _, would_deny, info, adopted, *_ = msgspec.msgpack.decode(packed)
    return _seen(admitted, connected or None, node, groups or (), would_deny, info.encode(), adopted=bool(adopted))


def seen_of_leg(leg: Leg) -> Seen:
    """What a live leg says, as the store has it."""
    return _seen(leg.admitted_ms, leg.connected_ms, leg.node, leg.groups, leg.would_deny, leg.info, adopted=leg.adopted)


def _seen(
    admitted_ms: int,
    connected_ms: int | None,
    node: str,
    groups: Sequence[str],
    would_deny: str,
    info: bytes,
    *,
    adopted: bool,
) -> Seen:
    found = info_of(info)
    number, access = found.number, found.access_number
    shape = Shape(
        found.service, found.endpoint, found.role, tuple([group for group in groups if group in POOL_OF_GROUP]),
        found.licensed_by, found.counted_in, found.department, found.room, found.country, found.calling,
        number.country if number else None, number.number_class if number else None,
        access.country if access else None, access.number_class if access else None,
        found.access, found.audio_only, adopted, would_deny,
    )  # fmt: skip
    return Seen(
        msgspec.json.encode(shape).decode(), admitted_ms, connected_ms, found.meeting, found.host, found.person, node or None,
        number.hash if number else None,
    )  # fmt: skip
