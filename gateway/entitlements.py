"""Entitlements of customers: the copy that decisions are compiled from, and the changes.

The store is the truth. A gateway keeps a copy per customer and never asks whether it is current: the kernel says so with the next decision,
because claims carry the version that they were compiled from. So a change made through one gateway governs the very next decision of another.

What a gateway was told it also remembers on disk. A store that has an older version than that, or none, has lost it, and gets it back.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import structlog

from gateway.disk import MemoryFailed
from gateway.domain.changes import Change
from gateway.domain.contract import commitments
from gateway.domain.days import day, day_at, days_between
from gateway.domain.policy import Policy
from gateway.domain.record import Record
from gateway.events import CustomerChanged, Emit
from gateway.kernel import outcomes
from gateway.kernel.errors import OutcomeUnknown, StoreUnavailable
from gateway.kernel.kernel import Kernel
from gateway.kernel.keys import bucket_of
from gateway.recollection import Recollection
from gateway.shared import Shared
from gateway.stored_record import decode_record, encode_record


COPIES_MAX = 20_000
"""Customers whose entitlements are kept at hand; the least recently used one gives way."""

LARGE_DOCUMENT_BYTES = 16 * 1024
"""Larger documents are compiled in a thread, because the event loop must not stand still for thousands of hosts."""

ATTEMPTS_MAX = 8
ROLL_DAYS_MAX = 200
"""Days rolled in one script; a customer that slept longer takes several."""
ROLLS_MAX = 4
"""One at midnight, and again where the entitlements change meanwhile."""

T = TypeVar("T")

_log = structlog.get_logger("gateway.entitlements")


class Entitlements:
    """Copies of records, compiled to policies, and the operations that change them."""

    def __init__(self, kernel: Kernel, emit: Emit, memory: Recollection | None = None) -> None:
        self._kernel = kernel
        self._emit = emit
        self._memory = memory
        self._policies: OrderedDict[str, Policy] = OrderedDict()
        self._loading: Shared[str, Policy] = Shared()

    def cached(self, customer: str) -> Policy | None:
        """The policy that this gateway has in memory."""
        found = self._policies.get(customer)
        if found is not None:
            self._policies.move_to_end(customer)
        return found

    async def policy(self, customer: str) -> Policy:
        """The policy in memory, or the one that the store holds."""
        return self.cached(customer) or await self.load(customer)

    async def load(self, customer: str) -> Policy:
        """The policy that the store holds now. Many callers at a time share one read."""
        return await self._loading.once(customer, lambda: self._load(customer))

    async def at_hand(self, customer: str, today: int | None = None) -> Policy | None:
        """The policy as this gateway knows it, without asking the store; None: it knows none. `today`: for that day."""
        found = self._policies.get(customer)
        if found is None:
            found = await self._from_disk(customer)
        if found is not None and today not in {None, found.day}:
            found = self._keep(customer, await asyncio.to_thread(Policy, found.record, today))
        return found

    async def _from_disk(self, customer: str) -> Policy | None:
        if self._memory is None:
            return None
        try:
            kept = await self._memory.entitlements(customer)
        except MemoryFailed as error:  # a disk that fails must not end decisions
            _log.error("memory.unreadable", customer=customer, error=str(error))
            return None
        if kept is None:
            return None
        today = day_at(self._kernel.store_now_ms(customer)).ordinal
        return self._keep(customer, await asyncio.to_thread(lambda: Policy(decode_record(*kept), today)))

    async def current(self, customer: str, stale: outcomes.Stale) -> Policy:
        """The policy for the version and day that the kernel named."""
        found = self._policies.get(customer)
        if found is not None and found.record.version == stale.version:
            return self._keep(customer, Policy(found.record, stale.day))
        return await self.load(customer)

    async def remembered(self, bucket: int) -> dict[str, int]:
        """Customers of a bucket that this gateway has heard of, and the greatest version of each. Raises MemoryFailed."""
        versions: dict[str, int] = {}
        if self._memory is not None:
            versions = dict.fromkeys(await self._memory.customers_of(bucket), 0)
            versions.update({customer: version for customer, version, _ in await self._memory.entitlements_of(bucket)})
        for customer, policy in self._policies.items():
            if bucket_of(customer) == bucket:
                versions[customer] = max(policy.record.version, versions.get(customer, 0))
        return versions

    async def restore(self, customer: str) -> Policy:
        """Gives the store back what it has lost: the greatest version that this gateway was told. Raises StoreError."""
        policy = await self.at_hand(customer)
        if policy is None:
            return await self.load(customer)
        document = await asyncio.to_thread(encode_record, policy.record)
        today = day_at(self._kernel.store_now_ms())
        for _ in range(ATTEMPTS_MAX):
            meters = commitments(policy.record.customer, today.ordinal)
            outcome = await self._kernel.install(
                customer, None, policy.record.version, document, today, meters, change="restore"
            )
            match outcome:
                case outcomes.Installed():
                    self._emit(CustomerChanged(customer, "restore", policy.record.version, ""))
                    return self._keep(customer, Policy(policy.record, today.ordinal))
                case outcomes.VersionConflict():  # somebody else has, or it was changed since
                    return await self._load(customer)
                case outcomes.DayOver():
                    await self._close_days(customer, outcome)
                case outcomes.Stale():
                    today = day(outcome.day)
        raise OutcomeUnknown(f"{customer} is changed by others without pause")

    def see_register(self, customer: str, ordinal: int, group: str, committed: int, count: int, now_ms: int) -> None:
        """A metered group was that full on a day; remembered, in case the store loses it."""
        if self._memory is not None:
            self._memory.see_register(customer, bucket_of(customer), ordinal, group, committed, count, now_ms)

    async def roll(self, customer: str, over: outcomes.DayOver) -> Policy:
        """Closes the days that are over, and gives the policy of the day that is open then."""
        await self._close_days(customer, over)
        return await self.load(customer)

    async def rolled(self, customer: str, operation: Callable[[], Awaitable[T | outcomes.DayOver]]) -> T:
        """What an operation answers that is done on the day that is open: those that are over are closed first. Raises StoreError."""
        for _ in range(ROLLS_MAX):
            outcome = await operation()
            if not isinstance(outcome, outcomes.DayOver):
                return outcome
            await self.roll(customer, outcome)
        raise StoreUnavailable("the day could not be rolled")

    async def _close_days(self, customer: str, over: outcomes.DayOver) -> None:
        policy = self._policies.get(customer)
        if policy is None or policy.record.version != over.version:
            policy = _compiled(await self._kernel.entitlements(customer))
        days = days_between(over.day + 1, day_at(over.now_ms).ordinal)
        for at in range(0, len(days), ROLL_DAYS_MAX):
            rows = [(each, commitments(policy.record.customer, each.ordinal)) for each in days[at : at + ROLL_DAYS_MAX]]
            if await self._kernel.roll(customer, policy.record.version, rows) is None:
                break  # changed meanwhile: the caller's next attempt is told so

    async def change(self, customer: str, changed: Change, change: str, by: str = "") -> Record:
        """Reads the record, changes it and installs it; again if somebody else was faster. `change` names it for the outbox and the logs.

        Raises:
            ChangeRefused: as `changed` says; nothing was done.
            CatalogueInvalid: the change makes entitlements that no catalogue may hold.
        """
        policy = await self.load(customer)
        for _ in range(ATTEMPTS_MAX):
            # In a thread, because a customer may have 100,000 hosts, and the event loop must not stand still for them.
            record, document = await asyncio.to_thread(_changed, changed, policy.record, self._kernel.store_now_ms())
            today = day(policy.day) if policy.record.version else day_at(self._kernel.store_now_ms())
            meters = commitments(record.customer, today.ordinal)
            expected = policy.record.version
            outcome = await self._kernel.install(
                customer, expected, expected + 1, document, today, meters, change=change, by=by
            )
            match outcome:
                case outcomes.Installed(version=version):
                    record = replace(record, version=version)
                    self._keep(customer, await asyncio.to_thread(Policy, record, today.ordinal), document)
                    self._emit(CustomerChanged(customer, change, version, by))
                    return record
                case outcomes.DayOver():
                    policy = await self.roll(customer, outcome)
                case _:
                    policy = await self.load(customer)
        raise OutcomeUnknown(f"{customer} is changed by others without pause")

    async def _load(self, customer: str) -> Policy:
        found = await self._kernel.entitlements(customer)
        known = await self.at_hand(customer)
        if known is not None and known.record.version > found.version:
            return await self.restore(customer)
        if len(found.document) > LARGE_DOCUMENT_BYTES:
            return self._keep(customer, await asyncio.to_thread(_compiled, found), found.document)
        return self._keep(customer, _compiled(found), found.document)

    def _keep(self, customer: str, policy: Policy, document: bytes | None = None) -> Policy:
        if self._memory is not None and document is not None and policy.record.version:
            self._memory.keep_entitlements(customer, bucket_of(customer), policy.record.version, document)
        known = self._policies.get(customer)
        if known is not None and known.record.version > policy.record.version:
            return known  # a read that was overtaken by a later one
        if policy.record.version == 0:
            return (
                policy  # nothing to keep of a customer that was never installed: callers may invent any number of ids
            )
        self._policies[customer] = policy
        self._policies.move_to_end(customer)
        if len(self._policies) > COPIES_MAX:
            self._policies.popitem(last=False)
        return policy


def _changed(changed: Change, record: Record, now_ms: int) -> tuple[Record, bytes]:
    following = changed(record, now_ms)
    return following, encode_record(following)


def _compiled(found: outcomes.Entitlements) -> Policy:
    return Policy(decode_record(found.version, found.document), found.day)
