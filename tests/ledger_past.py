"""Pasts of a customer, told leg by leg, and written into a database by the real writer."""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

import msgspec
from support import customer

from gateway.domain.billing.entry import EntryId
from gateway.domain.billing.stretch import Shape
from gateway.domain.days import PACIFIC, day
from gateway.domain.record import Record
from gateway.kernel.keys import bucket_of
from gateway.ledger.database import Database
from gateway.ledger.entries import Change, Denial, Entry, LegEntry, Seen
from gateway.ledger.lease import Lease
from gateway.ledger.writer import Writer
from gateway.stored_record import encode_record


EPOCH = 1_600_000_000_000


def at(text: str) -> int:
    """An instant in Unix ms from Pacific time such as `2026-11-20 09:30`, seconds too where they are given."""
    return round(dt.datetime.fromisoformat(text).replace(tzinfo=PACIFIC).timestamp() * 1000)


def noon(date: str) -> int:
    """Noon of a day."""
    return at(f"{date} 12:00")


def ordinal(date: str) -> int:
    """A day."""
    return day(dt.date.fromisoformat(date).toordinal()).ordinal


@dataclass
class Past:
    """What happened, in any order; entries are numbered by their instants when it is written."""

    customer: str = "acme"
    _told: list[tuple[int, int, Any]] = field(default_factory=list)
    _versions: int = 0

    def hold(self, at_ms: int, *subscriptions: dict[str, Any], **fields: Any) -> None:
        """From then on the customer holds these."""
        self._versions += 1
        held = customer(*subscriptions, id=self.customer, **fields)
        document = encode_record(Record(self._versions, held))
        version = self._versions
        self._tell(at_ms, lambda id_: Change(id_, at_ms, self.customer, version, "install", "test", document))

    def leg(
        self,
        connection: str,
        from_ms: int,
        until_ms: int | None = None,
        *,
        op: str = "admit",
        ends: str = "release",
        alive_ms: int | None = None,
        **what: Any,
    ) -> None:
        """A leg, connected at once, that is released; `ends` as `reclaim` with its last sign of life, or as nothing where it moves on."""
        seen = seen_of(from_ms, **what)
        self._leg(op, connection, from_ms, seen)
        if until_ms is not None and ends:
            self._leg(ends, connection, until_ms, seen, "released" if ends == "release" else "lapsed", alive_ms)

    def move(self, connection: str, at_ms: int, until_ms: int | None = None, **what: Any) -> None:
        """It goes on as something else."""
        self.leg(connection, at_ms, until_ms, op="move", **what)

    def deny(self, at_ms: int, reason: str) -> None:
        """A refused join."""
        self._tell(at_ms, lambda id_: Denial(id_, at_ms, self.customer, reason))

    async def write(self, database: Database) -> None:
        """Writes it, as the ledger's process does."""
        lease = Lease("test")
        assert await lease.acquire(database)
        told = sorted(self._told, key=lambda each: each[:2])
        entries: list[Entry] = [make(EntryId(EPOCH, number)) for number, (_, _, make) in enumerate(told)]
        writer = Writer(database, lease)
        await writer.load()
        assert [] == await writer.write({bucket_of(self.customer): entries})
        await lease.release(database)

    def _leg(
        self, op: str, connection: str, at_ms: int, seen: Seen, cause: str = "", alive_ms: int | None = None
    ) -> None:
        alive = at_ms if alive_ms is None else alive_ms
        self._tell(at_ms, lambda id_: LegEntry(id_, op, at_ms, self.customer, connection, seen, cause, alive))

    def _tell(self, at_ms: int, make: Any) -> None:
        self._told.append((at_ms, len(self._told), make))


def seen_of(
    at_ms: int,
    *,
    meeting: str = "m1",
    host: str | None = "alice@acme.example",
    person: str | None = None,
    connected: bool = True,
    **shape: Any,
) -> Seen:
    """What a record says of a leg; `shape` are fields of a `Shape`."""
    made = Shape(**{"service": "meeting", "endpoint": "web", "role": "participant", "pools": ("ports",), **shape})
    return Seen(
        msgspec.json.encode(made).decode(), at_ms, at_ms if connected else None, meeting, host, person, None, None
    )
