"""A year of a busy provider, as the entries that its legs would have left in the outboxes.

200 customers of uneven size in six time zones; meetings of about 8 legs, most of them on working days between 8 and 18 h; legs by web, app, SIP
and telephone. 3 % of the legs move once, 1.5 % are reclaimed (half of these are adopted again), 1 % are never answered; some joins are denied.
Entries come in the order of their instants, with the numbers and the records that the scripts of the store would have given them.
"""

import random
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import hiredis
import msgspec

from gateway.domain.catalogue import Customer, parse_customer
from gateway.domain.contract import REPORTED_POOLS
from gateway.domain.days import DAY_MS, HOUR_MS, MINUTE_MS, day
from gateway.domain.join import Telephone
from gateway.domain.record import Record
from gateway.kernel.keys import BUCKETS, bucket_key, bucket_of
from gateway.legs import LegInfo
from gateway.stored_record import encode_record


CUSTOMERS = 200
DAYS = 365
FIRST_DAY = date(2025, 1, 1).toordinal()
LEASE_MS = 90_000
LEGS_PER_MEETING = 7.75

PACIFIC_H = -8
ZONES_H = (-8, -8, -5, -5, -5, 0, 1, 1, 5, 9)
"""Offsets from UTC of customers, in turn."""
OF_WEEK = (1.0, 1.1, 1.1, 1.05, 0.8, 0.1, 0.06)
OF_MONTH = (1.0, 1.05, 1.05, 1.0, 1.0, 1.0, 0.8, 0.7, 1.05, 1.1, 1.05, 0.75)
OF_HOUR = (8, *(9,) * 4, *(10,) * 5, *(11,) * 4, 12, 13, *(14,) * 4, *(15,) * 5, *(16,) * 3, 17, 18, 20)
SIZES = (2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 19)
MINUTES = (15, 25, 30, 30, 30, 45, 50, 55, 60, 60, 90)
ENDPOINTS = (*("web",) * 50, *("app",) * 35, *("pstn",) * 10, *("sip",) * 5)
MOVED, RECLAIMED, UNANSWERED, DENIED = 0.03, 0.015, 0.01, 0.003

Happens = tuple[int, str, "Leg", str, int]
"""Instant (ms), operation, leg, cause, last sign of life (ms)."""


@dataclass(frozen=True, slots=True)
class Company:
    """A customer of the provider: its part of all legs, its people, its place."""

    customer: Customer
    share: float
    zone_ms: int
    """How far its clocks are ahead of Pacific ones."""
    people: int
    bucket: int

    @property
    def id(self) -> str:
        """The customer's."""
        return self.customer.id


@dataclass(slots=True)
class Leg:
    """A leg, with what its record says now."""

    company: Company
    connection: str
    info: LegInfo
    groups: list[str]
    node: str
    admitted_ms: int
    connected_ms: int = 0
    adopted: int = 0

    def record(self) -> bytes:
        """As the store keeps it (`kernel/lua/include/legs.lua`)."""
        info = msgspec.json.encode(self.info).decode()
        fields = (
            self.admitted_ms, self.connected_ms, LEASE_MS, self.node, "0f1e2d3c4b5a697887", self.groups, 0, "", info,
            self.adopted, 0,
        )  # fmt: skip
        return msgspec.msgpack.encode(fields)


@dataclass(slots=True)
class Expected:
    """What the ledger must come to."""

    entries: int = 0
    legs: int = 0
    stretches: int = 0
    billed_ms: int = 0
    denials: int = 0


@dataclass
class Year:
    """The entries of about so many legs, day by day; the same for the same seed."""

    legs: int
    seed: int = 1
    expected: Expected = field(default_factory=Expected)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        weights = [1 / (rank + 1) ** 0.8 for rank in range(CUSTOMERS)]
        total = sum(weights)
        self.companies = [self._company(rank, weight / total) for rank, weight in enumerate(weights)]
        self.start_ms = day(FIRST_DAY).start_ms
        self._numbers = [0] * BUCKETS
        self._due: dict[int, list[Happens]] = defaultdict(list)
        of_days = [self._weight(index) for index in range(DAYS)]
        self._of_days = [weight / sum(of_days) for weight in of_days]

    def first(self) -> Iterator[bytes]:
        """Commands that add the beginning of every bucket, and what the customers are entitled to."""
        at_ms = self.start_ms - HOUR_MS
        for bucket in range(BUCKETS):
            yield self._entry(bucket, "epoch", at_ms, "server", "0" * 40, "told", "0-0", "lost", 0, "prior", "")
        for company in self.companies:
            yield self._entry(
                company.bucket, "install", at_ms, "customer", company.id, "version", 1, "by", "alice@provider.example",
                "document", encode_record(Record(1, company.customer)),
            )  # fmt: skip

    def days(self) -> Iterator[Iterator[bytes]]:
        """For each day commands that add its entries, in order."""
        for index in range(DAYS + 2):
            if index < DAYS:
                for company in self.companies:
                    self._meet(company, index)
            happens = sorted(self._due.pop(index, []), key=lambda each: each[0])
            yield self._commands(happens)
        assert not self._due, "all that happens is told"

    def _commands(self, happens: list[Happens]) -> Iterator[bytes]:
        for at_ms, op, leg, cause, alive_ms in happens:
            self._turn(leg, op, at_ms)
            of_leg = ("customer", leg.company.id, "connection", leg.connection)
            if op == "deny":
                yield self._entry(leg.company.bucket, op, at_ms, *of_leg, "reason", "ports_full", "info", "[]")
            elif cause:
                ends = ("cause", cause, "alive", alive_ms, "leg", leg.record())
                yield self._entry(leg.company.bucket, op, at_ms, *of_leg, *ends)
            else:
                yield self._entry(leg.company.bucket, op, at_ms, *of_leg, "leg", leg.record())

    @staticmethod
    def _turn(leg: Leg, op: str, at_ms: int) -> None:
        if op == "confirm":
            leg.connected_ms = at_ms
        elif op == "adopt":
            leg.admitted_ms, leg.connected_ms, leg.adopted = at_ms, at_ms, 1
        elif op == "move":
            leg.info = msgspec.structs.replace(leg.info, role="host")

    def _entry(self, bucket: int, op: str, at_ms: int, *fields: Any) -> bytes:
        number = self._numbers[bucket]
        self._numbers[bucket] += 1
        self.expected.entries += 1
        name = f"{self.start_ms}-{number}"
        command: bytes = hiredis.pack_command(
            ("XADD", bucket_key("outbox", bucket), name, "op", op, "at", at_ms, *fields)
        )
        return command

    def _company(self, rank: int, share: float) -> Company:
        name = f"customer-{rank:03d}"
        term = {"from": "2020-01-01", "to": "2099-12-31"}
        # On busy days a little less than it needs.
        ports = {
            "plan": "meetings.concurrent_connections",
            "term": term,
            "committed": max(5, round(self.legs * share / 2_800)),
            "enforcement": "metered",
        }
        customer = parse_customer({"id": name, "name": name, "domains": [f"{name}.example"], "subscriptions": [ports]})
        people = max(20, round(self.legs * share / 150))
        zone_ms = (ZONES_H[rank % len(ZONES_H)] - PACIFIC_H) * HOUR_MS
        return Company(customer, share, zone_ms, people, bucket_of(name))

    def _weight(self, index: int) -> float:
        at = date.fromordinal(FIRST_DAY + index)
        return OF_WEEK[at.weekday()] * OF_MONTH[at.month - 1]

    def _meet(self, company: Company, index: int) -> None:
        """All meetings of a customer on a day."""
        meetings = self.legs * company.share * self._of_days[index] / LEGS_PER_MEETING
        draw = self._random
        for _ in range(int(meetings + draw.random())):
            local_ms = draw.choice(OF_HOUR) * HOUR_MS + draw.choice((0, 0, 0, 30, 30, 15)) * MINUTE_MS
            start_ms = self.start_ms + index * DAY_MS + (local_ms - company.zone_ms) % DAY_MS
            owner = int(draw.random() ** 2 * company.people)
            recurs = draw.random() < 0.6
            meeting = str(8_000_000_000 + (owner if recurs else draw.getrandbits(32)))
            length_ms = draw.choice(MINUTES) * MINUTE_MS
            for place in range(draw.choice(SIZES)):
                self._join(company, start_ms, length_ms, meeting, owner, place)

    def _join(self, company: Company, start_ms: int, length_ms: int, meeting: str, owner: int, place: int) -> None:
        draw = self._random
        who = owner if place == 0 else int(draw.random() * company.people)
        leg = self._leg(company, meeting, f"user{owner}@{company.id}.example", f"user{who}@{company.id}.example", place)
        at_ms = start_ms + round(abs(draw.gauss(0, 120_000)))
        end_ms = max(at_ms + 10_000, start_ms + length_ms + round(draw.gauss(0, 120_000)))
        leg.admitted_ms = at_ms
        if draw.random() < DENIED:
            self.expected.denials += 1
            self._happen(at_ms, "deny", leg)
            return
        self.expected.legs += 1
        self.expected.stretches += 1
        self._happen(at_ms, "admit", leg)
        if draw.random() < UNANSWERED:
            self._happen(at_ms + 30_000, "release", leg, "unanswered", at_ms + 30_000)
        else:
            self._live(leg, at_ms + draw.randrange(300, 4_000), end_ms)

    def _leg(self, company: Company, meeting: str, host: str, person: str, place: int) -> Leg:
        draw = self._random
        endpoint = draw.choice(ENDPOINTS)
        connection = f"{draw.getrandbits(128):032x}"
        groups, telephone, country = ["ports", f"meeting\x1f{meeting}"], None, None
        if endpoint == "pstn":
            groups.append(REPORTED_POOLS["pstn"])
            country = draw.choice(("US", "US", "GB", "FR", "DE", "JP"))
            telephone = Telephone(f"hash:0a1b2c3d:{zlib.crc32(person.encode()):032x}", None, country)
        info = LegInfo(
            "meeting", meeting, endpoint, "host" if place == 0 else "participant", host,
            None if endpoint == "pstn" else person, None, None, (), None, None, endpoint == "pstn", country,
            "dial_in" if endpoint == "pstn" else None, telephone, None,
        )  # fmt: skip
        node = f"node-{draw.randrange(40):02d}"
        name = "-".join((connection[:8], connection[8:12], connection[12:16], connection[16:20], connection[20:]))
        return Leg(company, name, info, groups, node, 0)

    def _live(self, leg: Leg, connected_ms: int, end_ms: int) -> None:
        """From its confirm on: what it does, and what it is to be billed."""
        draw, expected = self._random, self.expected
        self._happen(connected_ms, "confirm", leg)
        fate = draw.random()
        end_ms = max(end_ms, connected_ms + 5_000)
        if fate < MOVED:
            self._happen(connected_ms + (end_ms - connected_ms) // 3, "move", leg)
            expected.stretches += 1
        elif fate < MOVED + RECLAIMED:
            alive_ms = connected_ms + (end_ms - connected_ms) // 2
            gone_ms = alive_ms + LEASE_MS
            self._happen(gone_ms, "reclaim", leg, "lapsed", alive_ms)
            if fate < MOVED + RECLAIMED / 2:
                expected.billed_ms += alive_ms - connected_ms
                return
            back_ms = gone_ms + draw.randrange(1_000, 1_800_000)
            end_ms = max(end_ms, back_ms + 60_000)
            self._happen(back_ms, "adopt", leg)
            expected.stretches += 1
        self._happen(end_ms, "release", leg, "released", end_ms)
        expected.billed_ms += end_ms - connected_ms

    def _happen(self, at_ms: int, op: str, leg: Leg, cause: str = "", alive_ms: int = 0) -> None:
        self._due[max(0, (at_ms - self.start_ms) // DAY_MS)].append((at_ms, op, leg, cause, alive_ms))
