"""The use cases of a join: admit, preview, move, release. The only place that decides what happens when the store does not answer.

A decision is a loop: compile claims from the entitlements at hand, let the kernel decide, and compile again where it says that they were
compiled for something that no longer holds (another version, day, or facts of the meeting). The loop is bounded.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from gateway.decisions import decision_of, lease_left, lease_of
from gateway.domain.claims import Claims, Facts
from gateway.domain.join import Decision, Join
from gateway.domain.policy import bind_group
from gateway.domain.reasons import Reason
from gateway.entitlements import Entitlements
from gateway.events import Decided, Emit, LegReleased, StoreFailed
from gateway.facts import FactsHeard
from gateway.kernel import outcomes
from gateway.kernel.errors import OutcomeUnknown, StoreError
from gateway.kernel.kernel import Kernel
from gateway.kernel.outcomes import DecisionOutcome
from gateway.legs import info_of, infos_of


COMPILATIONS_MAX = 6
"""One, and again for a wrong guess of the facts, a new version, a new day and new facts; more is a customer that changes without pause."""

RETRY_PAUSE_S = 0.05
"""Long enough for the store connection to be made again after a cut."""

MOVES_MAX = 3
"""Looks at a leg that somebody else moves at the same time."""

T = TypeVar("T")
Evaluate = Callable[[Claims], Awaitable[DecisionOutcome]]


class ConnectionConflict(Exception):
    """The connection is live with other facts than the caller says; to change a meeting or a role is a move, not an admit."""


class ConnectionUnknown(Exception):
    """There is no such connection to move."""


class Unstable(StoreError):
    """Entitlements, or the facts of the meeting, changed at every attempt to decide by them."""


class _MovedMeanwhile(Exception):
    """The leg is not any more where it was looked at."""


class Admission:
    """Decides joins with one kernel. `budget_s` is how long a decision may wait for the store."""

    def __init__(self, kernel: Kernel, entitlements: Entitlements, emit: Emit, *, budget_s: float) -> None:
        self._kernel = kernel
        self._entitlements = entitlements
        self._emit = emit
        self._budget_s = budget_s
        self._heard = FactsHeard()

    async def admit(self, join: Join, *, wait_s: float) -> Decision:
        """Decides a join and takes its seat. `wait_s`: how long the caller waits; nothing is taken after that.

        Raises:
            ConnectionConflict: the id is live with another fingerprint.
            StoreError: the store could not decide.
        """
        budget_s = min(wait_s, self._budget_s)
        deadline_ms = self._kernel.store_now_ms() + int(budget_s * 1000)
        lease = lease_of(join)

        async def evaluate(claims: Claims) -> DecisionOutcome:
            return await self._kernel.admit(
                join,
                claims,
                deadline_ms=deadline_ms,
                lease_ms=lease.expires_in_s * 1000,
                connected=not lease.provisional,
                infos=infos_of(join, claims),
            )

        return await self._timed("admit", lambda: self._decide(join, evaluate), budget_s)

    async def preview(self, join: Join) -> Decision:
        """What `admit` would decide now; changes nothing. Raises as `admit`."""

        async def evaluate(claims: Claims) -> DecisionOutcome:
            return await self._kernel.preview(join, claims)

        return await self._timed("preview", lambda: self._decide(join, evaluate), self._budget_s)

    async def move(self, join: Join, origin: str, *, wait_s: float) -> Decision:
        """Takes a leg from the meeting `origin` to the meeting or role of `join`, in one step; denied, it stays where it is.

        Checked on the net change: what the leg held and holds again refuses nothing. Between meetings of one owner it waits for no host
        (T4.4).

        Raises:
            ConnectionUnknown: there is no such leg.
            ConnectionConflict: the leg is in another meeting.
            StoreError: the store could not decide.
        """
        budget_s = min(wait_s, self._budget_s)
        deadline_ms = self._kernel.store_now_ms() + int(budget_s * 1000)

        async def attempt() -> Decision:
            for _ in range(MOVES_MAX):
                try:
                    return await self._move(join, origin, deadline_ms)
                except _MovedMeanwhile:
                    continue
            raise ConnectionConflict

        return await self._timed("move", attempt, budget_s)

    async def _move(self, join: Join, origin: str, deadline_ms: int) -> Decision:
        leg = await self._kernel.leg(join.customer, join.connection)
        held = leg.fingerprint if leg else ""
        owner: str | None = None
        stays = False
        if leg is not None and held != join.fingerprint:
            info = info_of(leg.info)
            if info.meeting != origin:
                raise ConnectionConflict
            owner, stays = info.host, (info.service, info.meeting) == (join.service, join.meeting)

        async def evaluate(claims: Claims) -> DecisionOutcome:
            # A host that goes on to another of its meetings has not left its guests alone (T4.4).
            goes_on = not stays and owner is not None and claims.alternatives[0].facts.host == owner
            return await self._kernel.move(
                join, claims, deadline_ms=deadline_ms, held=held, quiet=goes_on, infos=infos_of(join, claims)
            )

        decision = await self._decide(join, evaluate, coming_from=owner)
        if leg is None or decision.lease is None or decision.reason is Reason.REPLAYED:
            return decision
        lease = lease_left(leg.connected_ms, leg.lease_ms, decision.decided_at_ms)  # a move leaves it as it is
        return msgspec.structs.replace(decision, lease=lease)

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

    async def _decide(self, join: Join, evaluate: Evaluate, *, coming_from: str | None = None) -> Decision:
        policy = await self._entitlements.policy(join.customer)
        group = bind_group(join)
        facts = self._heard.get(join.customer, group)
        for _ in range(COMPILATIONS_MAX):
            exempt = coming_from is not None and coming_from == policy.owner(join, facts)
            claims = policy.claims(join, facts, exempt=exempt)
            outcome = await evaluate(claims)
            match outcome:
                case outcomes.Stale():
                    policy = await self._entitlements.current(join.customer, outcome)
                case outcomes.DayOver():
                    policy = await self._entitlements.roll(join.customer, outcome)
                case outcomes.Bound():
                    facts = Facts.parse(outcome.facts) if outcome.facts is not None else None
                    self._heard.put(join.customer, group, facts)
                case outcomes.Conflict():
                    raise ConnectionConflict
                case outcomes.Unknown():
                    raise ConnectionUnknown
                case outcomes.Moved():
                    raise _MovedMeanwhile
                case _:
                    return decision_of(join, policy, claims, outcome)
        raise Unstable("entitlements changed at every attempt")

    async def _timed(self, operation: str, attempt: Callable[[], Awaitable[Decision]], budget_s: float) -> Decision:
        began = time.perf_counter()
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
