"""The use cases of a join: admit, preview, release. The only place that decides what happens when the store does not answer.

A decision is a loop: compile claims from the entitlements at hand, let the kernel decide, and compile again where it says that they were
compiled for something that no longer holds (another version, day or owner of the meeting). The loop is bounded.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from gateway.domain.addresses import normal_address
from gateway.domain.claims import Claims, Count, member_of
from gateway.domain.join import Decision, Join, Lease, LimitUse
from gateway.domain.policy import Policy
from gateway.domain.reasons import Reason
from gateway.entitlements import Entitlements
from gateway.events import Decided, Emit, LegReleased, StoreFailed
from gateway.kernel import outcomes
from gateway.kernel.errors import OutcomeUnknown, StoreError
from gateway.kernel.kernel import Kernel
from gateway.kernel.outcomes import AdmitOutcome


NODE_LEASE_S = 30
LONG_LEASE_S = 12 * 3600
COMPILATIONS_MAX = 5
"""One, and again for a new version, a new day and a new owner of the meeting; more is a customer that changes without pause."""

RETRY_PAUSE_S = 0.05
"""Long enough for the store connection to be made again after a cut."""

T = TypeVar("T")
Evaluate = Callable[[Claims], Awaitable[AdmitOutcome]]


class ConnectionConflict(Exception):
    """The connection is live with another fingerprint; to change a meeting or a role is a move, not an admit."""


class Unstable(StoreError):
    """Entitlements changed at every attempt to decide by them."""


class LegInfo(msgspec.Struct, array_like=True, frozen=True):
    """What is kept with a leg for replays and reports. Stored as an array: fields are only ever added at the end."""

    service: str
    meeting: str
    endpoint: str
    role: str
    host: str | None = None
    person: str | None = None
    department: str | None = None
    licensed_by: str | None = None
    counted_in: tuple[str, ...] = ()


class Admission:
    """Decides joins with one kernel. `budget_s` is how long a decision may wait for the store."""

    def __init__(self, kernel: Kernel, entitlements: Entitlements, emit: Emit, *, budget_s: float) -> None:
        self._kernel = kernel
        self._entitlements = entitlements
        self._emit = emit
        self._budget_s = budget_s

    async def admit(self, join: Join, *, wait_s: float) -> Decision:
        """Decides a join and takes its seat. `wait_s`: how long the caller waits; nothing is taken after that.

        Raises:
            ConnectionConflict: the id is live with another fingerprint.
            StoreError: the store could not decide.
        """
        budget_s = min(wait_s, self._budget_s)
        deadline_ms = self._kernel.store_now_ms() + int(budget_s * 1000)
        lease = lease_of(join)

        async def evaluate(claims: Claims) -> AdmitOutcome:
            return await self._kernel.admit(
                join,
                claims,
                deadline_ms=deadline_ms,
                lease_ms=lease.expires_in_s * 1000,
                connected=not lease.provisional,
                info=_info(join, claims),
            )

        return await self._decide("admit", join, evaluate, budget_s)

    async def preview(self, join: Join) -> Decision:
        """What `admit` would decide now; changes nothing. Raises as `admit`."""
        return await self._decide("preview", join, lambda claims: self._kernel.preview(join, claims), self._budget_s)

    async def release(
        self, customer: str, connection: str, *, node: str = "", cause: str = "released"
    ) -> outcomes.Released | outcomes.NotReleased:
        """Gives back the seat of a leg; quiet where there is none. Raises StoreError."""
        began = time.perf_counter()

        async def attempt() -> outcomes.Released | outcomes.NotReleased:
            for _ in range(COMPILATIONS_MAX):
                outcome = await self._kernel.release(customer, connection, node=node, cause=cause)
                if not isinstance(outcome, outcomes.DayOver):
                    return outcome
                await self._entitlements.roll(customer, outcome)
            raise Unstable("the day could not be rolled")

        outcome = await self._retried("release", attempt, self._budget_s)
        found = isinstance(outcome, outcomes.Released)
        self._emit(LegReleased(customer, connection, found, cause, time.perf_counter() - began))
        return outcome

    async def _decide(self, operation: str, join: Join, evaluate: Evaluate, budget_s: float) -> Decision:
        began = time.perf_counter()

        async def attempt() -> Decision:
            policy = await self._entitlements.policy(join.customer)
            facts: str | None = None
            for _ in range(COMPILATIONS_MAX):
                claims = policy.claims(join, facts)
                outcome = await evaluate(claims)
                match outcome:
                    case outcomes.Stale():
                        policy = await self._entitlements.current(join.customer, outcome)
                    case outcomes.DayOver():
                        policy = await self._entitlements.roll(join.customer, outcome)
                    case outcomes.Bound():
                        facts = outcome.facts
                    case outcomes.Conflict():
                        raise ConnectionConflict
                    case _:
                        return _decision(join, policy, claims, outcome)
            raise Unstable("entitlements changed at every attempt")

        decision = await self._retried(operation, attempt, budget_s)
        self._emit(Decided(operation, decision, time.perf_counter() - began))
        return decision

    async def _retried(self, operation: str, attempt: Callable[[], Awaitable[T]], budget_s: float) -> T:
        """Runs once, and once more where the store gave no answer and time is left: the operation is idempotent on its id."""
        began = time.monotonic()
        try:
            return await attempt()
        except StoreError as error:
            self._emit(StoreFailed(operation, isinstance(error, OutcomeUnknown), str(error)))
            if time.monotonic() - began + RETRY_PAUSE_S >= budget_s:
                raise
        await asyncio.sleep(RETRY_PAUSE_S)
        try:
            return await attempt()
        except StoreError as error:
            self._emit(StoreFailed(operation, isinstance(error, OutcomeUnknown), str(error)))
            raise


def lease_of(join: Join) -> Lease:
    """Which lease covers a leg: a node's and a stated one are provisional until confirmed, otherwise the leg is connected at once."""
    if join.lease_s is not None:
        return Lease(provisional=True, expires_in_s=join.lease_s)
    if join.node:
        return Lease(provisional=True, expires_in_s=NODE_LEASE_S)
    return Lease(provisional=False, expires_in_s=LONG_LEASE_S)


def _info(join: Join, claims: Claims) -> bytes:
    return msgspec.json.encode(
        LegInfo(
            join.service, join.meeting, join.endpoint, join.role, claims.binding.host, join.person,
            claims.binding.department or join.department, claims.licensed_by, claims.counted_in,
        )
    )  # fmt: skip


def _decision(join: Join, policy: Policy, claims: Claims, outcome: AdmitOutcome) -> Decision:
    """The decision that an outcome means."""
    owner = claims.binding.host
    meeting_host = owner if join.host and owner and normal_address(join.host) != owner else None
    match outcome:
        case outcomes.Admitted():
            return Decision(
                admitted=True, reason=Reason.ADMITTED, join=join, decided_at_ms=outcome.now_ms, mode=policy.mode,
                overage=outcome.overage, licensed_by=claims.licensed_by, counted_in=claims.counted_in,
                limits=_limits(claims, outcome), lease=lease_of(join), meeting_host=meeting_host,
            )  # fmt: skip
        case outcomes.Replayed():
            return _replayed(join, policy, claims, outcome)
        case outcomes.Shadowed():
            return Decision(
                admitted=True, reason=Reason.SHADOW, join=join, decided_at_ms=outcome.now_ms, mode=policy.mode,
                would_deny=outcome.reason, lease=lease_of(join),
            )  # fmt: skip
        case outcomes.Denied():
            failed = claims.checks[outcome.check]
            use = (
                (LimitUse(failed.limit, outcome.use, failed.committed, failed.ceiling),)
                if isinstance(failed, Count)
                else ()
            )
            busy = member_of(outcome.child) if outcome.reason is Reason.HOST_BUSY and outcome.child else None
            return Decision(
                admitted=False, reason=outcome.reason, join=join, decided_at_ms=outcome.now_ms, mode=policy.mode,
                limits=use, busy_meeting=busy, meeting_host=meeting_host,
            )  # fmt: skip
    reason = Reason.ALREADY_RELEASED if isinstance(outcome, outcomes.AlreadyReleased) else Reason.TOO_LATE
    return Decision(admitted=False, reason=reason, join=join, decided_at_ms=outcome.now_ms, mode=policy.mode)


def _replayed(join: Join, policy: Policy, claims: Claims, outcome: outcomes.Replayed) -> Decision:
    info = msgspec.json.decode(outcome.info, type=LegInfo)
    governing = {check.group: check for check in claims.checks if isinstance(check, Count)}
    limits = [
        LimitUse(check.limit, use, check.committed, check.ceiling)
        for group, use in reversed(list(outcome.counts.items()))
        if (check := governing.get(group)) and (check.ceiling is not None or check.committed is not None)
    ]
    if outcome.connected_ms is None:
        lease = Lease(provisional=True, expires_in_s=outcome.lease_ms // 1000)
    else:
        left_ms = outcome.connected_ms + outcome.lease_ms - outcome.now_ms
        lease = Lease(provisional=False, expires_in_s=max(0, left_ms // 1000))
    return Decision(
        admitted=True,
        reason=Reason.REPLAYED,
        join=join,
        decided_at_ms=outcome.admitted_ms,
        mode="shadow" if outcome.would_deny else policy.mode,
        overage=outcome.overage,
        licensed_by=info.licensed_by,
        counted_in=info.counted_in,
        limits=tuple(limits),
        lease=lease,
        would_deny=outcome.would_deny,
    )


def _limits(claims: Claims, outcome: outcomes.Admitted) -> tuple[LimitUse, ...]:
    """Limits that governed an admission, the widest first."""
    return tuple(
        [
            LimitUse(check.limit, outcome.counts[check.group], check.committed, check.ceiling)
            for check in reversed(claims.checks)
            if type(check) is Count and (check.ceiling is not None or check.committed is not None)
        ]
    )
