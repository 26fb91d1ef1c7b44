"""The operations of the kernel: values in, one script, a value out.

`Kernel` turns claims into the arguments of a script and its answer into an outcome. It decides nothing and retries nothing; a caller that gets
a `StoreError` knows from its class whether the operation may have happened.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec

from gateway.domain.claims import Claims
from gateway.domain.days import Day
from gateway.domain.join import Join
from gateway.domain.reasons import DENIALS, Reason
from gateway.events import Emit
from gateway.kernel import outcomes
from gateway.kernel.arguments import (
    confirm_arguments,
    confirm_outcome,
    deadline_of,
    decision_arguments,
    decision_outcome,
    install_outcome,
    move_arguments,
    snapshot_outcome,
)
from gateway.kernel.bounds import Bounds
from gateway.kernel.epochs import Epochs, Told, ToldSinceStart
from gateway.kernel.keys import BUCKETS, bucket_key, keys_of
from gateway.kernel.leg_records import read_legs
from gateway.kernel.outcomes import DecisionOutcome, Register
from gateway.kernel.runner import Runner
from gateway.kernel.scripts import Script
from gateway.kernel.store import Store


TOMBSTONE_MS = 120_000
"""How long a released id stays refused: longer than any retry of its admit may be on its way."""

DAYS_KEPT = 400
"""Rows of registers per pool: a year of billing and a month to look back."""

TALLIED = tuple([reason for reason in DENIALS if reason.rank < Reason.STORE_UNAVAILABLE.rank])


class Kernel:
    """Runs operations. `timeout_s` bounds each of them, `decision_timeout_s` those that a join waits for.

    `urgent` is a connection of its own for what frees seats and keeps them, so that joins cannot hold it up; left out, there is one for all.
    `outbox_max`: see `Bounds`.
    """

    def __init__(
        self,
        store: Store,
        scripts: Mapping[str, Script],
        *,
        decision_timeout_s: float,
        timeout_s: float = 5.0,
        emit: Emit = lambda _: None,
        urgent: Store | None = None,
        told: Told | None = None,
        outbox_max: int | None = None,
    ) -> None:
        self._store = store
        self.bounds = bounds = Bounds(outbox_max)
        self.epochs = Epochs(scripts["epoch"], told or ToldSinceStart(), bounds, emit)
        self._runner = Runner(store, scripts, self.epochs, bounds, emit)
        self.urgent = Runner(urgent or store, scripts, self.epochs, bounds, emit)
        self._decision_timeout_s = decision_timeout_s
        self._timeout_s = timeout_s

    def store_now_ms(self, customer: str | None = None) -> int:
        """The clock of the store, of the server that has the customer, estimated; never ahead of it."""
        return self._store.store_now_ms(keys_of(customer, ("meta",))[0] if customer is not None else None)

    async def admit(
        self,
        join: Join,
        claims: Claims,
        *,
        attempt: int,
        lease_ms: int,
        connected: bool,
        final: bool,
        infos: Sequence[bytes],
    ) -> DecisionOutcome:
        """Decides a join and takes the claims of one alternative.

        `infos`, one per alternative, is kept with the leg. After the deadline in `attempt` (see `attempt_of`) nothing is taken, and nobody
        waits for the answer. Not `final`: where a lapsed leg may stand in a full limit, that is answered first.
        """
        args = decision_arguments(
            join, claims, self.bounds, attempt=attempt, lease_ms=lease_ms, connected=connected, final=final, infos=infos
        )
        answer = await self._runner.of_customer(
            "admit", join.customer, args, self._until(join.customer, deadline_of(attempt))
        )
        return decision_outcome(answer, claims)

    async def preview(self, join: Join, claims: Claims) -> DecisionOutcome:
        """What `admit` would answer now. Writes nothing."""
        infos = [b""] * len(claims.alternatives)
        args = decision_arguments(
            join, claims, self.bounds, attempt=0, lease_ms=0, connected=True, final=True, infos=infos
        )
        answer = await self._runner.of_customer("preview", join.customer, args, self._decision_timeout_s)
        return decision_outcome(answer, claims)

    async def confirm(
        self, join: Join, claims: Claims, *, lease_ms: int, connected: bool, infos: Sequence[bytes], joins: bool = False
    ) -> outcomes.ConfirmOutcome:
        """A leg is connected. One that is not known is counted without a check.

        Not `connected`, it is provisional. `joins`: it was let in without a check, and has not joined before.
        """
        args = confirm_arguments(
            join, claims, self.bounds, lease_ms=lease_ms, connected=connected, joins=joins, infos=infos
        )
        answer = await self.urgent.of_customer("confirm", join.customer, args, self._timeout_s)
        return confirm_outcome(answer)

    async def move(
        self,
        join: Join,
        claims: Claims,
        *,
        deadline_ms: int,
        held: str,
        quiet: bool,
        final: bool,
        infos: Sequence[bytes],
    ) -> DecisionOutcome:
        """Takes a leg from what it holds, with the fingerprint `held`, to the new claims; one step, checked on the net change.

        `quiet`: it is not noted where a group that the leg attended is left empty.
        """
        args = move_arguments(
            join, claims, self.bounds, deadline_ms=deadline_ms, held=held, quiet=quiet, final=final, infos=infos
        )
        answer = await self._runner.of_customer("move", join.customer, args, self._until(join.customer, deadline_ms))
        return decision_outcome(answer, claims)

    async def leg(self, customer: str, connection: str) -> outcomes.Leg | None:
        """A live leg by its id."""
        legs_key, leases_key = keys_of(customer, ("legs", "leases"))
        asked = [self._store.command(*what, connection) for what in (("HGET", legs_key), ("ZSCORE", leases_key))]
        packed, score = await asyncio.gather(*asked)
        leg = next(iter(read_legs([(connection.encode(), packed or b"")])), None)
        return msgspec.structs.replace(leg, expires_ms=int(score) if score else None) if leg else None

    def _until(self, customer: str, deadline_ms: int) -> float:
        return min((deadline_ms - self.store_now_ms(customer)) / 1000, self._decision_timeout_s)

    async def release(
        self, customer: str, connection: str, *, node: str = "", cause: str = "released", attempt: int = 0
    ) -> outcomes.Released | outcomes.NotReleased | outcomes.DayOver:
        """Gives back what a leg took; with `node` only if that node owns it.

        With cause `unanswered` only if that `attempt` to admit it was the last sign of it.
        """
        args = (customer, connection, node, cause, TOMBSTONE_MS, self.bounds.cut_at, attempt)
        answer = await self.urgent.of_customer("release", customer, args, self._timeout_s)
        match answer[0]:
            case b"RELEASED":
                return outcomes.Released(answer[1], answer[3], answer[4] or None)
            case b"ROLL":
                return outcomes.DayOver(answer[1], int(answer[2]), int(answer[3]))
        return outcomes.NotReleased(answer[1], foreign=answer[0] == b"FOREIGN")

    async def install(
        self,
        customer: str,
        expected: int | None,
        version: int,
        document: bytes,
        day: Day,
        meters: Mapping[str, int],
        *,
        change: str = "install",
        by: str = "",
    ) -> outcomes.Installed | outcomes.VersionConflict | outcomes.DayOver | outcomes.Stale:
        """Replaces entitlements of version `expected` by those of `version`; `meters` are the commitments of `day` by group.

        `expected` 0: none yet; None: any that is older. `change` and `by` (who) are for the outbox.
        """
        args = (
            customer, "" if expected is None else expected, version, document, day.ordinal, day.start_ms, day.end_ms, change, by,
            self.bounds.cut_at, int(self.bounds.is_read), *_flat(meters),
        )  # fmt: skip
        answer = await self._runner.of_customer("install", customer, args, self._timeout_s)
        return install_outcome(answer, version)

    async def entitlements(self, customer: str) -> outcomes.Entitlements:
        """What is installed for a customer."""
        answer = await self._runner.of_customer("entitlements", customer, (), self._decision_timeout_s)
        return outcomes.Entitlements(answer[1], int(answer[2]), int(answer[3]), answer[4])

    async def roll(self, customer: str, version: int, days: Sequence[tuple[Day, Mapping[str, int]]]) -> int | None:
        """Opens the days in turn with their commitments. The day that is open now, or None if `version` is stale."""
        groups = sorted({group for _, meters in days for group in meters})
        rows: list[Any] = []
        for day, meters in days:
            rows += [day.ordinal, day.start_ms, day.end_ms, *_flat({group: meters.get(group, -1) for group in groups})]
        args = (customer, version, len(groups), DAYS_KEPT, self.bounds.cut_at, *rows)
        answer = await self._runner.of_customer("roll", customer, args, self._timeout_s)
        return int(answer[3]) if answer[0] == b"ROLLED" else None

    async def snapshot(self, customer: str, groups: Sequence[str]) -> outcomes.Snapshot | outcomes.DayOver:
        """Use, registers and tallies of a customer."""
        args = (len(groups), *groups, *TALLIED)
        answer = await self._runner.of_customer("snapshot", customer, args, self._timeout_s)
        return snapshot_outcome(answer, groups, TALLIED)

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
        asked = [self._store.command("HGETALL", bucket_key("customers", bucket)) for bucket in range(BUCKETS)]
        found = await asyncio.gather(*asked)
        return {flat[at].decode(): int(flat[at + 1]) for flat in found for at in range(0, len(flat), 2)}

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
        """All live legs; see `legs`."""
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

    async def drop_past(self, customer: str, fields: Sequence[str], *, counted_in: str | None = None) -> int:
        """Forgets fields of `past`, takes them from the field that counts them, and says how many there were."""
        (name,) = keys_of(customer, ("past",))
        dropped = int(await self._store.command("HDEL", name, *fields))
        if counted_in is not None:
            await self._store.command("HINCRBY", name, counted_in, -dropped)
        return dropped

    async def dump(self, customer: str, legs_max: int) -> list[Any]:
        """Raw state for `verify`; see `lua/dump.lua`."""
        answer: list[Any] = await self._runner.of_customer("dump", customer, (legs_max,), self._timeout_s)
        return answer

    async def repair(self, customer: str, mark: bytes, counts: Mapping[str, int]) -> bool:
        """Writes counts, if nothing has changed since `mark`; says whether it did."""
        args = (customer, mark, self.bounds.cut_at, *_flat(counts))
        answer = await self._runner.of_customer("repair", customer, args, self._timeout_s)
        return bool(answer[0] == b"REPAIRED")


def _flat(pairs: Mapping[str, int]) -> list[str | int]:
    return [part for pair in pairs.items() for part in pair]
