"""Deciding without the store, as the customer's `store_failure` says: deny, admit, or admit within a bound.

A leg that was let in and has a node needs no more: its node's heartbeat brings it in. What has none, and what was released or must be taken
back while the store is away, goes to the journal, which `replay.py` carries out in order when the store is back.
"""

import time
from collections import OrderedDict, defaultdict

import msgspec
import structlog

from gateway.compilation import within
from gateway.decisions import lease_of
from gateway.disk import MemoryFailed
from gateway.domain.claims import Alternative, Claims, Count, Deny, Facts
from gateway.domain.contract import REPORTED_POOLS
from gateway.domain.days import day_at
from gateway.domain.join import Decision, Join
from gateway.domain.reasons import Reason
from gateway.entitlements import Entitlements
from gateway.events import Emit, JournalChanged
from gateway.journal import Entry, Journal
from gateway.kernel import outcomes
from gateway.kernel.errors import OutcomeUnknown, StoreError, StoreUndecided
from gateway.kernel.kernel import Kernel
from gateway.kernel.outcomes import DecisionOutcome
from gateway.legs import infos_of


CUSTOMERS_MAX = 20_000
"""Customers whose headroom is remembered; the one asked about longest ago gives way, and has none."""

BROUGHT_IN_S = 30.0
"""So long after the store is heard of again, its counts tell of legs that were let in without it: their nodes have brought them in by then."""

BOUNDED_GROUPS = frozenset(REPORTED_POOLS.values())
"""Limits that hold for a whole customer; those of single meetings cannot be judged without the store."""

_log = structlog.get_logger("gateway.degraded")


class Headroom:
    """Room below a customer's limits as last seen, and what this gateway has used of its share since without the store."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, dict[str, int]] = OrderedDict()
        self._taken: dict[str, dict[str, frozenset[str]]] = defaultdict(dict)
        self._heard: dict[str, float] = {}

    def see(self, customer: str, group: str, left: int) -> None:
        """The store told how much room there is."""
        if self._taken.get(customer):
            now = time.monotonic()
            if now - self._heard.setdefault(customer, now) > BROUGHT_IN_S:
                del self._taken[customer], self._heard[customer]
        self._left.setdefault(customer, {})[group] = left
        self._left.move_to_end(customer)
        if len(self._left) > CUSTOMERS_MAX:
            self._left.popitem(last=False)

    def take(self, customer: str, connection: str, alternative: Alternative, gateways: int) -> bool:
        """Takes this gateway's share of the room for a leg; the same leg takes it once. False where there is none, or none was ever seen."""
        taken = self._taken[customer]
        self._heard.pop(customer, None)
        if connection in taken:
            return True
        bounded = frozenset([
            check.group
            for check in alternative.checks
            if type(check) is Count and check.ceiling is not None and check.group in BOUNDED_GROUPS
        ])  # fmt: skip
        if not bounded:
            return True
        left = self._left.get(customer, {})
        for group in bounded:
            used = sum([group in groups for groups in taken.values()])
            if used >= left.get(group, 0) // max(gateways, 1):
                return False
        taken[connection] = bounded
        return True

    def give(self, customer: str, connection: str) -> None:
        """The leg has gone."""
        self._taken.get(customer, {}).pop(connection, None)


class Degraded:
    """Decides what can be decided without the store."""

    def __init__(
        self, kernel: Kernel, entitlements: Entitlements, journal: Journal | None, emit: Emit, *, budget_s: float
    ) -> None:
        self._kernel = kernel
        self._entitlements = entitlements
        self._journal = journal
        self._emit = emit
        self._budget_s = budget_s
        self.headroom = Headroom()
        self.gateways = 1
        """How many share the headroom."""

    def observe(self, customer: str, claims: Claims, outcome: DecisionOutcome) -> None:
        """Notes what the store told of a customer's limits, and of its registers."""
        if isinstance(outcome, outcomes.Admitted):
            for check in outcome.alternative.checks:
                if type(check) is Count and check.group in BOUNDED_GROUPS:
                    count = outcome.counts[check.group]
                    if check.ceiling is not None:
                        self.headroom.see(customer, check.group, check.ceiling - count)
                    if check.committed is not None:
                        self._entitlements.see_register(
                            customer, claims.day, check.group, check.committed, count, outcome.now_ms
                        )
        elif isinstance(outcome, outcomes.Denied) and type(outcome.check) is Count:
            check = outcome.check
            if check.group in BOUNDED_GROUPS and check.ceiling is not None:
                self.headroom.see(customer, check.group, check.ceiling - outcome.use)

    async def admit(self, join: Join, facts: Facts | None, error: StoreError, attempt: int) -> Decision | None:
        """A join that the store did not decide; None: it is refused. What may have been taken all the same is given back then."""
        decision = await self._let_in(join, facts, error)
        if decision is None and isinstance(error, OutcomeUnknown):
            await self._append("compensate", join.customer, join.connection, str(attempt).encode())
        return decision

    async def release(self, customer: str, connection: str, node: str) -> bool:
        """A release that did not reach the store; whether the journal will see to it."""
        self.headroom.give(customer, connection)
        return await self._append("release", customer, connection, node.encode())

    async def _let_in(self, join: Join, facts: Facts | None, error: StoreError) -> Decision | None:
        now_ms = self._kernel.store_now_ms(join.customer)
        policy = await self._entitlements.at_hand(join.customer, day_at(now_ms).ordinal)
        customer = policy.record.customer if policy is not None else None
        if policy is None or customer is None:
            return None
        claims, mode = policy.claims(join, facts), customer.store_failure
        chosen = claims.alternatives[0]
        refused = not claims.shadow and any(type(check) is Deny for check in chosen.checks)
        if mode == "deny" or refused:
            return None
        bounded = mode == "bounded" and not claims.shadow
        if bounded and not self.headroom.take(join.customer, join.connection, chosen, self.gateways):
            return None
        if not await self._kept(join, claims, now_ms, error):
            self.headroom.give(join.customer, join.connection)
            return None
        return Decision(
            admitted=True, reason=Reason.DEGRADED, join=join, decided_at_ms=now_ms, mode=policy.mode,
            licensed_by=chosen.licensed_by, counted_in=chosen.counted_in, lease=lease_of(join),
        )  # fmt: skip

    async def _kept(self, join: Join, claims: Claims, now_ms: int, error: StoreError) -> bool:
        """Sees to it that the leg will be counted: by the store where that answers but cannot judge, by its node, or by the journal."""
        if isinstance(error, StoreUndecided):
            lease = lease_of(join)
            try:
                confirm = self._kernel.confirm(
                    join, claims, lease_ms=lease.expires_in_s * 1000, connected=not lease.provisional, joins=True,
                    infos=infos_of(join, claims),
                )  # fmt: skip
                outcome = await within(confirm, time.monotonic() + self._budget_s)
            except StoreError:
                pass
            else:
                if isinstance(outcome, outcomes.Confirmed | outcomes.Adopted):
                    return True  # else the claims do not hold any more: they are compiled again, from the journal
        return bool(join.node) or await self._append(
            "adopt", join.customer, join.connection, msgspec.json.encode(join), now_ms
        )

    async def _append(self, kind: str, customer: str, connection: str, body: bytes, at_ms: int | None = None) -> bool:
        if self._journal is None:
            return False
        entry = Entry(kind, customer, connection, at_ms or self._kernel.store_now_ms(), body)  # type: ignore[arg-type] # one of its kinds
        try:
            await self._journal.append(entry)
        except MemoryFailed as error:
            _log.error("journal.failed", kind=kind, customer=customer, error=str(error))
            return False
        self._emit(JournalChanged(self._journal.pending()))
        return True
