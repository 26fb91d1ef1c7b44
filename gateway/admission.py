"""The use cases of a join: admit, preview, move, confirm, release. The only place that decides what happens when the store does not answer.

A decision is asked of the kernel, at most twice and within a budget. Where the store cannot decide, `degraded.py` does, as the customer's
`store_failure` says.
"""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import msgspec

from gateway.compilation import COMPILATIONS_MAX, Compiler, Unstable
from gateway.decisions import Confirmation, confirmation_of, confirmed_lease, decision_of, lease_left, lease_of
from gateway.degraded import Degraded
from gateway.domain.claims import Claims
from gateway.domain.join import Decision, Join
from gateway.domain.reasons import Reason
from gateway.entitlements import Entitlements
from gateway.events import Decided, Emit, LegConfirmed, LegReleased, StoreFailed
from gateway.kernel import outcomes
from gateway.kernel.errors import OutcomeUnknown, StoreError, StoreRecovering
from gateway.kernel.kernel import Kernel
from gateway.kernel.outcomes import DecisionOutcome
from gateway.legs import info_of, infos_of
from gateway.load import Load
from gateway.nodes.sweeper import Sweeper


RETRY_PAUSE_S = 0.05
"""Long enough for the store connection to be made again after a cut."""
PATIENCE_S = 2.0
"""For what nobody who joins waits for."""
MOVES_MAX = 3
"""Looks at a leg that somebody else moves at the same time."""

T = TypeVar("T")


class Evaluate(Protocol):
    """Asks the kernel. `final`: lapsed legs were reclaimed, so that a full limit is a denial."""

    def __call__(self, claims: Claims, *, final: bool) -> Awaitable[DecisionOutcome]:
        """The outcome."""


class ConnectionConflict(Exception):
    """The connection is live with other facts than the caller says; to change a meeting or a role is a move, not an admit."""


class ConnectionUnknown(Exception):
    """There is no such connection to move."""


class CustomerUnknown(Exception):
    """There is no such customer, so that its leg cannot be counted."""


class _MovedMeanwhile(Exception):
    """The leg is not any more where it was looked at."""


class Admission:
    """Decides joins with one kernel. `budget_s` is how long a decision may wait for the store."""

    def __init__(
        self,
        kernel: Kernel,
        entitlements: Entitlements,
        sweeper: Sweeper,
        degraded: Degraded,
        load: Load,
        emit: Emit,
        *,
        budget_s: float,
    ) -> None:
        self._kernel = kernel
        self._entitlements = entitlements
        self._compiler = Compiler(entitlements)
        self._sweeper = sweeper
        self._degraded = degraded
        self._load = load
        self._emit = emit
        self._budget_s = budget_s

    async def admit(self, join: Join, *, wait_s: float) -> Decision:
        """Decides a join and takes its seat. `wait_s`: how long the caller waits; nothing is taken after that.

        Raises:
            ConnectionConflict: the id is live with another fingerprint.
            StoreError: the store could not decide, and the customer's `store_failure` is to refuse then.
        """
        began = time.perf_counter()
        budget_s = min(wait_s, self._budget_s)
        deadline_ms = self._kernel.store_now_ms(join.customer) + int(budget_s * 1000)
        lease = lease_of(join)

        async def evaluate(claims: Claims, *, final: bool) -> DecisionOutcome:
            return await self._kernel.admit(
                join,
                claims,
                deadline_ms=deadline_ms,
                lease_ms=lease.expires_in_s * 1000,
                connected=not lease.provisional,
                final=final,
                infos=infos_of(join, claims),
            )

        try:
            with self._load.decision():
                decision = await self._retried("admit", lambda: self._decide(join, evaluate), budget_s)
        except StoreError as error:
            if not (found := await self._degraded.admit(join, self._compiler.heard(join), error, deadline_ms)):
                raise
            decision = found
        self._emit(Decided("admit", decision, time.perf_counter() - began))
        return decision

    async def preview(self, join: Join) -> Decision:
        """What `admit` would decide now; changes nothing. Raises as `admit`."""

        async def evaluate(claims: Claims, *, final: bool) -> DecisionOutcome:  # noqa: ARG001 - a preview reclaims nothing
            return await self._kernel.preview(join, claims)

        return await self._timed("preview", lambda: self._decide(join, evaluate), self._budget_s)

    async def move(self, join: Join, origin: str, *, wait_s: float) -> Decision:
        """Takes a leg from the meeting `origin` to the meeting or role of `join`, in one step; denied, it stays where it is.

        Checked on the net change: what the leg held and holds again refuses nothing. Between meetings of one owner it waits for no host
        (T4.4). Without the store nothing is moved, whatever `store_failure` says: the leg has its seat.

        Raises:
            ConnectionUnknown: there is no such leg.
            ConnectionConflict: the leg is in another meeting.
            StoreError: the store could not decide.
        """
        budget_s = min(wait_s, self._budget_s)
        deadline_ms = self._kernel.store_now_ms(join.customer) + int(budget_s * 1000)

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

        async def evaluate(claims: Claims, *, final: bool) -> DecisionOutcome:
            # A host that goes on to another of its meetings has not left its guests alone (T4.4).
            goes_on = not stays and owner is not None and claims.alternatives[0].facts.host == owner
            return await self._kernel.move(
                join,
                claims,
                deadline_ms=deadline_ms,
                held=held,
                quiet=goes_on,
                final=final,
                infos=infos_of(join, claims),
            )

        decision = await self._decide(join, evaluate, coming_from=owner)
        if leg is None or decision.lease is None or decision.reason is Reason.REPLAYED:
            return decision
        lease = lease_left(leg.connected_ms, leg.lease_ms, decision.decided_at_ms)  # a move leaves it as it is
        return msgspec.structs.replace(decision, lease=lease)

    async def confirm(self, join: Join) -> Confirmation:
        """A leg is connected. One that the store does not know is adopted: counted without a check, because it is there.

        Raises:
            ConnectionConflict: the id is live with another fingerprint.
            CustomerUnknown: there is no such customer.
            StoreError: the store gave no answer.
        """
        lease = confirmed_lease(join)

        async def evaluate(claims: Claims) -> outcomes.ConfirmOutcome:
            return await self._kernel.confirm(
                join, claims, lease_ms=lease.expires_in_s * 1000, connected=True, infos=infos_of(join, claims)
            )

        _, _, outcome = await self._retried("confirm", lambda: self._compiler.ask(join, evaluate), PATIENCE_S)
        if isinstance(outcome, outcomes.Conflict):
            raise ConnectionConflict
        if isinstance(outcome, outcomes.Nobody):
            raise CustomerUnknown
        confirmation = confirmation_of(outcome)
        self._emit(LegConfirmed(join.customer, confirmation.result))
        return confirmation

    async def release(
        self, customer: str, connection: str, *, node: str = "", cause: str = "released"
    ) -> outcomes.Released | outcomes.NotReleased | None:
        """Gives back the seat of a leg; quiet where there is none. None: the journal will see to it. Raises StoreError."""
        began = time.perf_counter()

        async def attempt() -> outcomes.Released | outcomes.NotReleased:
            for _ in range(COMPILATIONS_MAX):
                outcome = await self._kernel.release(customer, connection, node=node, cause=cause)
                if not isinstance(outcome, outcomes.DayOver):
                    return outcome
                await self._entitlements.roll(customer, outcome)
            raise Unstable("the day could not be rolled")

        try:
            outcome = await self._retried("release", attempt, PATIENCE_S)
        except StoreError:
            if cause == "operator" or not await self._degraded.release(customer, connection, node):
                raise
            return None
        found = isinstance(outcome, outcomes.Released)
        self._emit(LegReleased(customer, connection, found, cause, time.perf_counter() - began))
        return outcome

    async def _decide(self, join: Join, evaluate: Evaluate, *, coming_from: str | None = None) -> Decision:
        for final in (False, True):
            policy, claims, outcome = await self._compiler.ask(
                join, functools.partial(evaluate, final=final), coming_from=coming_from
            )
            match outcome:
                case outcomes.Lapsed():
                    await self._sweeper.reclaim(join.customer)
                case outcomes.Conflict():
                    raise ConnectionConflict
                case outcomes.Unknown():
                    raise ConnectionUnknown
                case outcomes.Moved():
                    raise _MovedMeanwhile
                case outcomes.Stale() | outcomes.DayOver() | outcomes.Bound():
                    raise AssertionError("the compiler has dealt with these")
                case outcomes.Recovering():
                    raise StoreRecovering("nodes are bringing back what the store has lost")
                case _:
                    self._degraded.observe(join.customer, claims, outcome)
                    return decision_of(join, policy, claims, outcome)
        raise Unstable("lapsed legs come without pause")

    async def _timed(self, operation: str, attempt: Callable[[], Awaitable[Decision]], budget_s: float) -> Decision:
        began = time.perf_counter()
        with self._load.decision():
            decision = await self._retried(operation, attempt, budget_s)
        self._emit(Decided(operation, decision, time.perf_counter() - began))
        return decision

    async def _retried(self, operation: str, attempt: Callable[[], Awaitable[T]], budget_s: float) -> T:
        """Runs once, and once more where the store gave no answer and time is left: the operation is idempotent on its id."""
        began = time.monotonic()
        for last in (False, True):
            left_s = budget_s - (time.monotonic() - began)
            try:
                return await _within(attempt, left_s)
            except StoreRecovering:
                raise
            except StoreError as error:
                self._emit(StoreFailed(operation, isinstance(error, OutcomeUnknown), str(error)))
                if last or time.monotonic() - began + RETRY_PAUSE_S >= budget_s:
                    raise
            await asyncio.sleep(RETRY_PAUSE_S)
        raise AssertionError("the last attempt returns or raises")


async def _within(attempt: Callable[[], Awaitable[T]], left_s: float) -> T:
    """What an attempt gives in time. An attempt may ask the store more than once, and each time has its own bound."""
    try:
        async with asyncio.timeout(left_s):
            return await attempt()
    except TimeoutError:
        raise OutcomeUnknown("no answer in time") from None
