"""Puts histories into a ledger's database through the real writer, for tests of figures."""

import itertools
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import msgspec
from support import customer, named_hosts, ports

from gateway.domain.billing.entry import EntryId
from gateway.domain.billing.stretch import Shape
from gateway.domain.catalogue import Customer
from gateway.domain.days import HOUR_MS, Day, day
from gateway.domain.record import Record
from gateway.kernel.keys import bucket_of
from gateway.ledger.database import Database
from gateway.ledger.entries import Change, Entry, EpochBegan, LegEntry, Seen
from gateway.ledger.lease import Lease
from gateway.ledger.writer import Writer
from gateway.stored_record import encode_record


ENDLESS = {"term": {"from": "2020-01-01", "to": "9999-12-31"}}
EPOCH = 1_000


def on(text: str) -> Day:
    """The day of a date."""
    return day(date.fromisoformat(text).toordinal())


def at(of: Day, hours: float) -> int:
    """So many hours after a day began."""
    return of.start_ms + round(hours * HOUR_MS)


def metered(committed: int, *more: dict[str, Any], **fields: Any) -> Customer:
    """A customer with so many ports, and these."""
    return customer(named_hosts("alice"), ports(committed, id="ports", **{**ENDLESS, **fields}), *more)


@dataclass
class Bucket:
    """The entries of the bucket of one customer, in their order; `write` stores those that are not stored yet."""

    writer: Writer
    customer: str = "acme"
    epoch: int = EPOCH
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    waiting: list[Entry] = field(default_factory=list)
    version: int = 0
    seen: dict[str, Seen] = field(default_factory=dict)

    @classmethod
    async def open(cls, database: Database, name: str = "acme") -> "Bucket":
        """With the right to write."""
        lease = Lease("test")
        assert await lease.acquire(database)
        writer = Writer(database, lease)
        await writer.load()
        return cls(writer, name)

    @property
    def lease(self) -> Lease:
        """The right to write that the writer has."""
        return self.writer._lease

    async def write(self) -> None:
        """Stores what has happened since the last time."""
        entries, self.waiting = self.waiting, []
        await self.writer.write({bucket_of(self.customer): entries})

    def next_id(self) -> EntryId:
        """The id of the next entry."""
        return EntryId(self.epoch, next(self.numbers))

    def skip(self, count: int) -> None:
        """So many entries are never read."""
        for _ in range(count):
            next(self.numbers)

    def new_epoch(self, epoch: int, at_ms: int, told: EntryId, *, lost: bool) -> None:
        """The store began anew; `told` is the last entry that gateways know of."""
        self.epoch, self.numbers = epoch, itertools.count()
        self.waiting.append(EpochBegan(self.next_id(), at_ms, None, told, lost))

    def install(self, held: Customer | None, at_ms: int) -> EntryId:
        """Other entitlements."""
        self.version += 1
        document = encode_record(Record(self.version, held))
        id_ = self.next_id()
        self.waiting.append(Change(id_, at_ms, self.customer, self.version, "install", "operator", document))
        return id_

    def admit(
        self,
        connection: str,
        at_ms: int,
        *pools: str,
        connected: bool = True,
        adopted: bool = False,
        meeting: str = "m1",
        endpoint: str = "web",
    ) -> EntryId:
        """A leg is let in; in the pool of ports, unless others are named. `adopted`: without a check."""
        shape = Shape("meeting", endpoint, "host", pools or ("ports",), "ports", ("ports",), adopted=adopted)
        self.seen[connection] = Seen(
            msgspec.json.encode(shape).decode(), at_ms, at_ms if connected else None, meeting, "alice@acme.example",
            f"{connection}@acme.example", None, None,
        )  # fmt: skip
        return self._leg("adopt" if adopted else "admit", connection, at_ms)

    def confirm(self, connection: str, at_ms: int) -> EntryId:
        """It is connected."""
        self.seen[connection] = msgspec.structs.replace(self.seen[connection], connected_ms=at_ms)
        return self._leg("confirm", connection, at_ms)

    def move(self, connection: str, at_ms: int, *pools: str, meeting: str = "m2") -> EntryId:
        """It goes to another meeting."""
        seen = self.seen[connection]
        shape = msgspec.structs.replace(msgspec.json.decode(seen.shape, type=Shape), pools=pools or ("ports",))
        text = msgspec.json.encode(shape).decode()
        self.seen[connection] = msgspec.structs.replace(seen, shape=text, meeting=meeting)
        return self._leg("move", connection, at_ms)

    def release(self, connection: str, at_ms: int) -> EntryId:
        """It ends."""
        return self._leg("release", connection, at_ms, "released")

    def give_back(self, connection: str, at_ms: int) -> EntryId:
        """Nobody heard that it was let in."""
        return self._leg("release", connection, at_ms, "unanswered")

    def reclaim(self, connection: str, at_ms: int, alive_ms: int) -> EntryId:
        """Its lease is over; it was last heard of at `alive_ms`."""
        return self._leg("reclaim", connection, at_ms, "lapsed", alive_ms)

    def _leg(self, op: str, connection: str, at_ms: int, cause: str = "", alive_ms: int = 0) -> EntryId:
        id_ = self.next_id()
        self.waiting.append(
            LegEntry(id_, op, at_ms, self.customer, connection, self.seen[connection], cause, alive_ms or at_ms)
        )
        return id_
