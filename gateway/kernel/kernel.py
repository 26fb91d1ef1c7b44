"""The operations of the kernel: values in, one script, a value out.

`Kernel` turns claims into the arguments of a script and its answer into an outcome. It decides nothing and retries nothing; a caller that gets
a `StoreError` knows from its class whether the operation may have happened.
"""

import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from gateway.domain.claims import Claims, Count, Require
from gateway.domain.days import Day
from gateway.domain.join import Join
from gateway.domain.reasons import Reason
from gateway.events import Emit, StoreAnswered
from gateway.kernel import outcomes
from gateway.kernel.connection import StoreConnection
from gateway.kernel.keys import BUCKETS, bucket_key, keys_of
from gateway.kernel.outcomes import AdmitOutcome, Register
from gateway.kernel.scripts import Script


TOMBSTONE_MS = 120_000
"""How long a released id stays refused: longer than any retry of its admit may be on its way."""

DAYS_KEPT = 400
"""Rows of registers per pool: a year of billing and a month to look back."""

OUTBOX_MAX = 20_000
"""Entries kept per bucket as long as nothing reads them: some minutes of a busy provider, and at most about 200 MB over all buckets."""

TALLIED = tuple([reason for reason in Reason if reason.rank < Reason.STORE_UNAVAILABLE.rank])


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
        info: bytes,
    ) -> AdmitOutcome:
        """Decides a join and takes its claims.

        `info` is kept with the leg. After `deadline_ms` (the store's clock) nothing is taken, and nobody waits for the answer.
        """
        args = _decision_args(join, claims, deadline_ms, lease_ms, connected=connected, info=info)
        left_s = (deadline_ms - self.store_now_ms()) / 1000
        answer = await self._run("admit", join.customer, args, min(left_s, self._decision_timeout_s))
        return _decision(answer, claims)

    async def preview(self, join: Join, claims: Claims) -> AdmitOutcome:
        """What `admit` would answer now. Writes nothing."""
        args = _decision_args(join, claims, 0, 0, connected=True, info=b"")
        answer = await self._run("preview", join.customer, args, self._decision_timeout_s)
        return _decision(answer, claims)

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
        pairs, tallies = answer[6 : 6 + 2 * len(groups)], answer[6 + 2 * len(groups) :]
        counts = [(pairs[at], Register.parse(pairs[at + 1])) for at in range(0, len(pairs), 2)]
        return outcomes.Snapshot(
            now_ms=answer[1],
            version=int(answer[2]),
            day=int(answer[3]),
            live=answer[4],
            shadow_live=answer[5],
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

    async def dump(self, customer: str, legs_max: int) -> list[Any]:
        """Raw state for `verify`; see `lua/dump.lua`."""
        answer: list[Any] = await self._run("dump", customer, (legs_max,), self._timeout_s)
        return answer

    async def repair(self, customer: str, mark: bytes, counts: Mapping[str, int]) -> bool:
        """Writes counts, if nothing has changed since `mark`; says whether it did."""
        answer = await self._run("repair", customer, (customer, mark, OUTBOX_MAX, *_flat(counts)), self._timeout_s)
        return bool(answer[0] == b"REPAIRED")

    async def _run(self, name: str, customer: str, args: tuple[Any, ...], timeout_s: float) -> list[Any]:
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
        admitted, connected, lease, node, _, groups, overage, would_deny, info = msgspec.msgpack.decode(packed)
        yield outcomes.Leg(
            connection.decode(), admitted, connected or None, lease, node, tuple(groups or ()), bool(overage), would_deny,
            info.encode(),
        )  # fmt: skip


def _flat(pairs: Mapping[str, int]) -> list[str | int]:
    return [part for pair in pairs.items() for part in pair]


def _decision_args(
    join: Join, claims: Claims, deadline_ms: int, lease_ms: int, *, connected: bool, info: bytes
) -> tuple[Any, ...]:
    """Arguments of admit and preview, as their headers list them."""
    binding = claims.binding
    args: list[Any] = [
        join.customer, join.connection, join.fingerprint, deadline_ms, claims.version, claims.day, int(claims.shadow),
        binding.group, binding.value, int(binding.live), lease_ms, int(connected), join.node or "", info, OUTBOX_MAX,
    ]  # fmt: skip
    positions = {check.group: at for at, check in enumerate(claims.checks, 1) if type(check) is Count}
    for check in claims.checks:
        if type(check) is Count:
            args += (
                "first" if check.first else "parent",
                check.group,
                -1 if check.ceiling is None else check.ceiling,
                -1 if check.committed is None else check.committed,
                positions[check.parent] if check.parent else 0,
                check.reason,
            )
        elif type(check) is Require:
            args += ("require", check.group, -1, -1, 0, check.reason)
        else:
            args += ("deny", "", -1, -1, 0, check.reason)
    return tuple(args)


def _decision(answer: list[Any], claims: Claims) -> AdmitOutcome:
    now_ms = answer[1]
    match answer[0]:
        case b"ADMIT":
            counts = {
                check.group: use for check, use in zip(claims.checks, answer[3:], strict=True) if type(check) is Count
            }
            return outcomes.Admitted(now_ms, bool(answer[2]), counts)
        case b"DENY":
            position = answer[2] - 1
            return outcomes.Denied(now_ms, claims.checks[position].reason, position, answer[3], answer[4].decode())
        case b"REPLAY":
            return _replayed(answer)
        case b"SHADOW":
            return outcomes.Shadowed(now_ms, claims.checks[answer[2] - 1].reason, answer[3])
        case b"STALE":
            return outcomes.Stale(now_ms, int(answer[2]), int(answer[3]) if len(answer) > 3 else 0)
        case b"ROLL":
            return outcomes.DayOver(now_ms, int(answer[2]), int(answer[3]))
        case b"BOUND":
            return outcomes.Bound(now_ms, answer[2].decode() if len(answer) > 2 else None)
        case b"CONFLICT":
            return outcomes.Conflict(now_ms)
        case b"RELEASED":
            return outcomes.AlreadyReleased(now_ms)
        case b"LATE":
            return outcomes.Late(now_ms)
    raise AssertionError(f"unreachable: {answer[0]!r}")


def _replayed(answer: list[Any]) -> outcomes.Replayed:
    now_ms, admitted_ms, connected_ms, lease_ms, overage, would_deny, info = answer[1:8]
    counts = {answer[at].decode(): answer[at + 1] for at in range(8, len(answer), 2)}
    return outcomes.Replayed(
        now_ms=now_ms,
        admitted_ms=admitted_ms,
        connected_ms=connected_ms or None,
        lease_ms=lease_ms,
        overage=bool(overage),
        would_deny=Reason(would_deny.decode()) if would_deny else None,
        info=info,
        counts=counts,
    )
