"""The operations of the kernel: values in, one script, a value out.

`Kernel` turns claims into the arguments of a script and its answer into an outcome. It decides nothing and retries nothing; a caller that gets
a `StoreError` knows from its class whether the operation may have happened.
"""

import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from gateway.domain.claims import Claims
from gateway.domain.days import Day
from gateway.domain.join import Join
from gateway.domain.reasons import DENIALS, Reason
from gateway.events import Emit, StoreAnswered
from gateway.kernel import outcomes
from gateway.kernel.arguments import OUTBOX_MAX, decision_arguments, decision_outcome, move_arguments
from gateway.kernel.connection import StoreConnection
from gateway.kernel.keys import BUCKETS, bucket_key, keys_of
from gateway.kernel.outcomes import DecisionOutcome, Register
from gateway.kernel.scripts import Script


TOMBSTONE_MS = 120_000
"""How long a released id stays refused: longer than any retry of its admit may be on its way."""

DAYS_KEPT = 400
"""Rows of registers per pool: a year of billing and a month to look back."""

TALLIED = tuple([reason for reason in DENIALS if reason.rank < Reason.STORE_UNAVAILABLE.rank])


class Kernel:
    """Runs operations on one store connection. `timeout_s` bounds each of them, `decision_timeout_s` those that a join waits for."""

    def __init__(
        self,
        store: StoreConnection,
        scripts: Mapping[str, Script],
        *,
        decision_timeout_s: float,
        timeout_s: float = 5.0,
        emit: Emit = lambda _: None,
    ) -> None:
        self._store = store
        self._emit = emit
        self._scripts = scripts
        self._decision_timeout_s = decision_timeout_s
        self._timeout_s = timeout_s

    def store_now_ms(self) -> int:
        """The store's clock, estimated; never ahead of it."""
        return self._store.store_now_ms()

    async def admit(
        self,
        join: Join,
        claims: Claims,
        *,
        deadline_ms: int,
        lease_ms: int,
        connected: bool,
        infos: Sequence[bytes],
    ) -> DecisionOutcome:
        """Decides a join and takes the claims of one alternative.

        `infos`, one per alternative, is kept with the leg. After `deadline_ms` (the store's clock) nothing is taken, and nobody waits for the
        answer.
        """
        args = decision_arguments(
            join, claims, deadline_ms=deadline_ms, lease_ms=lease_ms, connected=connected, infos=infos
        )
        answer = await self._run("admit", join.customer, args, self._until(deadline_ms))
        return decision_outcome(answer, claims)

    async def preview(self, join: Join, claims: Claims) -> DecisionOutcome:
        """What `admit` would answer now. Writes nothing."""
        infos = [b""] * len(claims.alternatives)
        args = decision_arguments(join, claims, deadline_ms=0, lease_ms=0, connected=True, infos=infos)
        answer = await self._run("preview", join.customer, args, self._decision_timeout_s)
        return decision_outcome(answer, claims)

    async def move(
        self, join: Join, claims: Claims, *, deadline_ms: int, held: str, quiet: bool, infos: Sequence[bytes]
    ) -> DecisionOutcome:
        """Takes a leg from what it holds, with the fingerprint `held`, to the new claims; one step, checked on the net change.

        `quiet`: it is not noted where a group that the leg attended is left empty.
        """
        args = move_arguments(join, claims, deadline_ms=deadline_ms, held=held, quiet=quiet, infos=infos)
        answer = await self._run("move", join.customer, args, self._until(deadline_ms))
        return decision_outcome(answer, claims)

    async def leg(self, customer: str, connection: str) -> outcomes.Leg | None:
        """A live leg by its id."""
        (legs_key,) = keys_of(customer, ("legs",))
        packed = await self._store.command("HGET", legs_key, connection)
        return next(iter(read_legs([(connection.encode(), packed or b"")])), None)

    def _until(self, deadline_ms: int) -> float:
        return min((deadline_ms - self.store_now_ms()) / 1000, self._decision_timeout_s)

    async def release(
        self, customer: str, connection: str, *, node: str = "", cause: str = "released"
    ) -> outcomes.Released | outcomes.NotReleased | outcomes.DayOver:
        """Gives back what a leg took; with `node` only if that node owns it."""
        args = (customer, connection, node, cause, TOMBSTONE_MS, OUTBOX_MAX)
        answer = await self._run("release", customer, args, self._decision_timeout_s)
        match answer[0]:
            case b"RELEASED":
                return outcomes.Released(answer[1], answer[2], answer[3] or None)
            case b"ROLL":
                return outcomes.DayOver(answer[1], int(answer[2]), int(answer[3]))
        return outcomes.NotReleased(answer[1], foreign=answer[0] == b"FOREIGN")

    async def install(
        self,
        customer: str,
        expected: int,
        document: bytes,
        day: Day,
        meters: Mapping[str, int],
        *,
        change: str = "install",
    ) -> outcomes.Installed | outcomes.VersionConflict | outcomes.DayOver | outcomes.Stale:
        """Replaces entitlements of version `expected` (0: none yet); `meters` are the commitments of `day` by group."""
        args = (
            customer, expected, document, day.ordinal, day.start_ms, day.end_ms, change, OUTBOX_MAX, *_flat(meters),
        )  # fmt: skip
        answer = await self._run("install", customer, args, self._timeout_s)
        match answer[0]:
            case b"INSTALLED":
                return outcomes.Installed(answer[1], answer[2])
            case b"CONFLICT":
                return outcomes.VersionConflict(answer[1], int(answer[2]))
            case b"ROLL":
                return outcomes.DayOver(answer[1], int(answer[2]), int(answer[3]))
        return outcomes.Stale(answer[1], int(answer[2]), int(answer[3]))

    async def entitlements(self, customer: str) -> outcomes.Entitlements:
        """What is installed for a customer."""
        answer = await self._run("entitlements", customer, (), self._decision_timeout_s)
        return outcomes.Entitlements(answer[1], int(answer[2]), int(answer[3]), answer[4])

    async def roll(self, customer: str, version: int, days: Sequence[tuple[Day, Mapping[str, int]]]) -> int | None:
        """Opens the days in turn with their commitments. The day that is open now, or None if `version` is stale."""
        groups = sorted({group for _, meters in days for group in meters})
        rows: list[Any] = []
        for day, meters in days:
            rows += [day.ordinal, day.start_ms, day.end_ms, *_flat({group: meters.get(group, -1) for group in groups})]
        args = (customer, version, len(groups), DAYS_KEPT, OUTBOX_MAX, *rows)
        answer = await self._run("roll", customer, args, self._timeout_s)
        return int(answer[2]) if answer[0] == b"ROLLED" else None

    async def snapshot(self, customer: str, groups: Sequence[str]) -> outcomes.Snapshot | outcomes.DayOver:
        """Use, registers and tallies of a customer."""
        answer = await self._run("snapshot", customer, (len(groups), *groups, *TALLIED), self._timeout_s)
        if answer[0] == b"ROLL":
            return outcomes.DayOver(answer[1], int(answer[2]), int(answer[3]))
        pairs, tallies = answer[8 : 8 + 2 * len(groups)], answer[8 + 2 * len(groups) :]
        counts = [(pairs[at], Register.parse(pairs[at + 1])) for at in range(0, len(pairs), 2)]
        return outcomes.Snapshot(
            now_ms=answer[1],
            version=int(answer[2]),
            day=int(answer[3]),
            live=answer[4],
            shadow_live=answer[5],
            joined=answer[6],
            audio=answer[7],
            groups=dict(zip(groups, counts, strict=True)),
            denied={reason: count for reason, count in zip(TALLIED, tallies[::2], strict=True) if count},
            would_deny={reason: count for reason, count in zip(TALLIED, tallies[1::2], strict=True) if count},
        )

    async def days(self, customer: str, rows: Sequence[tuple[int, str]]) -> list[Register | None]:
        """Registers of closed days, by ordinal and group."""
        if not rows:
            return []
        (key,) = keys_of(customer, ("days",))
        fields = [f"{ordinal} {group}" for ordinal, group in rows]
        return [Register.parse(value or b"") for value in await self._store.command("HMGET", key, *fields)]

    async def joined(self, customer: str, ordinals: Sequence[int]) -> dict[int, tuple[int, int]]:
        """Of closed days on which there were any: legs that joined, and how many of them were audio-only (T1.2)."""
        (key,) = keys_of(customer, ("days",))
        values = await self._store.command("HMGET", key, *[f"{ordinal} !joined" for ordinal in ordinals])
        pairs = {ordinal: value.split() for ordinal, value in zip(ordinals, values, strict=True) if value}
        return {ordinal: (int(legs), int(audio)) for ordinal, (legs, audio) in pairs.items()}

    async def customers(self) -> dict[str, int]:
        """All customers ever installed, with the version of their entitlements."""
        calls = [self._store.command("HGETALL", bucket_key("customers", bucket)) for bucket in range(BUCKETS)]
        found: dict[str, int] = {}
        for call in calls:
            flat = await call
            found.update({flat[at].decode(): int(flat[at + 1]) for at in range(0, len(flat), 2)})
        return found

    async def legs(self, customer: str, cursor: int, count: int) -> tuple[int, list[outcomes.Leg]]:
        """A page of live legs: the cursor of the next (0: none) and about `count` legs. A leg that lives throughout is seen once or more."""
        legs_key, leases_key = keys_of(customer, ("legs", "leases"))
        following, flat = await self._store.command("HSCAN", legs_key, cursor, "COUNT", count)
        found = list(read_legs(zip(flat[::2], flat[1::2], strict=True)))
        if not found:
            return int(following), []
        scores = await self._store.command("ZMSCORE", leases_key, *[leg.connection for leg in found])
        return int(following), [
            msgspec.structs.replace(leg, expires_ms=int(score) if score else None)
            for leg, score in zip(found, scores, strict=True)
        ]

    async def leg_pages(self, customer: str, count: int) -> AsyncIterator[list[outcomes.Leg]]:
        """All live legs, page by page; see `legs`."""
        cursor = -1
        while cursor:
            cursor, page = await self.legs(customer, max(cursor, 0), count)
            yield page

    async def fields(self, customer: str, key: str, match: str, count: int) -> AsyncIterator[tuple[str, str]]:
        """Fields of one of the customer's hashes whose names match, page by page; one may come more than once."""
        (name,) = keys_of(customer, (key,))
        cursor = -1
        while cursor:
            following, flat = await self._store.command("HSCAN", name, max(cursor, 0), "MATCH", match, "COUNT", count)
            cursor = int(following)
            for at in range(0, len(flat), 2):
                if flat[at]:
                    yield flat[at].decode(), flat[at + 1].decode()

    async def drop_past(self, customer: str, fields: Sequence[str]) -> int:
        """Forgets fields of `past`, and says how many there were; what they counted in must be dropped as well."""
        (name,) = keys_of(customer, ("past",))
        return int(await self._store.command("HDEL", name, *fields))

    async def count_spells(self, customer: str, change: int) -> None:
        """Changes the number of spells that are remembered."""
        (name,) = keys_of(customer, ("past",))
        await self._store.command("HINCRBY", name, "+~", change)

    async def dump(self, customer: str, legs_max: int) -> list[Any]:
        """Raw state for `verify`; see `lua/dump.lua`."""
        answer: list[Any] = await self._run("dump", customer, (legs_max,), self._timeout_s)
        return answer

    async def repair(self, customer: str, mark: bytes, counts: Mapping[str, int]) -> bool:
        """Writes counts, if nothing has changed since `mark`; says whether it did."""
        answer = await self._run("repair", customer, (customer, mark, OUTBOX_MAX, *_flat(counts)), self._timeout_s)
        return bool(answer[0] == b"REPAIRED")

    async def _run(self, name: str, customer: str, args: Sequence[Any], timeout_s: float) -> list[Any]:
        script = self._scripts[name]
        began = time.perf_counter()
        answer: list[Any] = await self._store.call(script, keys_of(customer, script.keys), args, timeout_s)
        self._emit(StoreAnswered(name, time.perf_counter() - began))
        if type(answer[1]) is int:
            self._store.observe_clock(answer[1])
        return answer


def read_legs(pairs: Iterable[tuple[bytes, bytes]]) -> Iterable[outcomes.Leg]:
    """The legs among the fields of a `legs` hash, which also holds tombstones and a sentinel."""
    for connection, packed in pairs:
        if not packed or packed.startswith(b"-"):
            continue
        admitted, connected, lease, node, fingerprint, groups, overage, would_deny, info = msgspec.msgpack.decode(packed)
        yield outcomes.Leg(
            connection.decode(), admitted, connected or None, lease, node, tuple(groups or ()), bool(overage), would_deny,
            info.encode(), fingerprint,
        )  # fmt: skip


def _flat(pairs: Mapping[str, int]) -> list[str | int]:
    return [part for pair in pairs.items() for part in pair]
