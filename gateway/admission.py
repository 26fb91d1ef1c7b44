"""The use cases of a join: admit, preview, move, confirm, release. The only place that decides what happens when the store does not answer.

A decision is asked of the kernel, at most twice and within a budget. Where the store cannot decide, `degraded.py` does, as the customer's
`store_failure` says.
"""

import asyncio
import contextlib
import functools
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import msgspec

from gateway.compilation import COMPILATIONS_MAX, Compiler, Unstable, within
from gateway.decisions import Confirmation, confirmation_of, confirmed_lease, decision_of, lease_of
from gateway.degraded import Degraded
from gateway.domain.claims import Claims
from gateway.domain.join import Decision, Join, Lease
from gateway.domain.reasons import Reason
from gateway.entitlements import Entitlements
from gateway.events import Decided, Emit, LegConfirmed, LegReleased, StoreFailed
from gateway.kernel import outcomes
from gateway.kernel.arguments import attempt_of
from gateway.kernel.errors import OutboxFull, OutcomeUnknown, StoreError, StoreRecovering, StoreUndecided
from gateway.kernel.kernel import Kernel
from gateway.kernel.outcomes import DecisionOutcome
from gateway.legs import info_of, infos_of
from gateway.load import Load
from gateway.nodes.sweeper import Sweeper


RETRY_PAUSE_S = 0.05
"""Long enough for the store connection to be made again after a cut."""
PATIENCE_S = 2.0
"""For what nobody who joins waits for."""
MOVES_MAX = 3  # looks at a leg that somebody else moves at the same time

T = TypeVar("T")
Decide = Callable[[float], Awaitable[Decision]]
"""An attempt to decide, given up at a time (time.monotonic)."""


class Evaluate(Protocol):
    """Asks the kernel. `final`: lapsed legs were reclaimed, so that a full limit is a denial."""

    def __call__(self, claims: Claims, *, final: bool = False) -> Awaitable[DecisionOutcome]:
        """The outcome."""


class ConnectionConflict(Exception):
    """The connection is live with other facts than the caller says; to change a meeting or a role is a move, not an admit."""


class ConnectionUnknown(Exception):
    """There is no such connection to move."""


class CustomerUnknown(Exception):
    """There is no such customer; its leg cannot be counted."""


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
        attempt = attempt_of(self._kernel.store_now_ms(join.customer) + int(budget_s * 1000))
        lease = lease_of(join)

        async def evaluate(claims: Claims, *, final: bool = False) -> DecisionOutcome:
            return await self._kernel.admit(
                join,
                claims,
                attempt=attempt,
                lease_ms=lease.expires_in_s * 1000,
                connected=not lease.provisional,
                final=final,
                infos=infos_of(join, claims),
            )

        try:
            decision = await self._decided("admit", lambda until_s: self._decide(join, evaluate, until_s), budget_s)
        except StoreError as error:
            if not (found := await self._degraded.admit(join, self._compiler.heard(join), error, attempt)):
                raise
            decision = found
        self._emit(Decided("admit", decision, time.perf_counter() - began))
        return decision

    async def preview(self, join: Join) -> Decision:
        """What `admit` would decide now; changes nothing. Raises as `admit`."""

        async def evaluate(claims: Claims, *, final: bool = False) -> DecisionOutcome:  # noqa: ARG001 - a preview reclaims nothing
            return await self._kernel.preview(join, claims)

        return await self._timed("preview", lambda until_s: self._decide(join, evaluate, until_s), self._budget_s)

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

        async def attempt(until_s: float) -> Decision:
            for _ in range(MOVES_MAX):
                try:
                    return await self._move(join, origin, deadline_ms, until_s)
                except _MovedMeanwhile:
                    continue
            raise ConnectionConflict

        return await self._timed("move", attempt, budget_s)

    async def _move(self, join: Join, origin: str, deadline_ms: int, until_s: float) -> Decision:
        leg = await within(self._kernel.leg(join.customer, join.connection), until_s)
        held = leg.fingerprint if leg else ""
        owner: str | None = None
        stays = False
        if leg is not None and held != join.fingerprint:
            info = info_of(leg.info)
            if info.meeting != origin:
                raise ConnectionConflict
            owner, stays = info.host, (info.service, info.meeting) == (join.service, join.meeting)

        async def evaluate(claims: Claims, *, final: bool = False) -> DecisionOutcome:
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

        decision = await self._decide(join, evaluate, until_s, coming_from=owner)
        if leg is None or decision.lease is None or decision.reason is Reason.REPLAYED:
            return decision
        left_ms = max((leg.expires_ms or 0) - decision.decided_at_ms, 0)  # a move leaves it as it is
        lease = Lease(provisional=leg.connected_ms is None, expires_in_s=left_ms // 1000)
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

        _, _, outcome = await self._retried(
            "confirm", lambda until_s: self._compiler.ask(join, evaluate, until_s=until_s), PATIENCE_S
        )
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

        async def attempt(until_s: float) -> outcomes.Released | outcomes.NotReleased:
            for _ in range(COMPILATIONS_MAX):
                outcome = await self._kernel.release(customer, connection, node=node, cause=cause)
                if not isinstance(outcome, outcomes.DayOver):
                    return outcome
                await within(self._entitlements.roll(customer, outcome), until_s)
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

    async def _decide(
        self, join: Join, evaluate: Evaluate, until_s: float, *, coming_from: str | None = None
    ) -> Decision:
        ask = functools.partial(self._compiler.ask, join, until_s=until_s, coming_from=coming_from)
        policy, claims, outcome = await ask(evaluate)
        if isinstance(outcome, outcomes.Lapsed):
            # A denial by a full limit must not become an outage because reclaiming takes too long.
            with contextlib.suppress(StoreError):
                await within(self._sweeper.reclaim(join.customer), (time.monotonic() + until_s) / 2)
            policy, claims, outcome = await ask(functools.partial(evaluate, final=True))
        self._degraded.observe(join.customer, claims, outcome)
        match outcome:
            case (
                outcomes.Admitted() | outcomes.Denied() | outcomes.Replayed()
                | outcomes.Shadowed() | outcomes.AlreadyReleased() | outcomes.Late()
            ):  # fmt: skip
                return decision_of(join, policy, claims, outcome)
            case outcomes.Conflict():
                raise ConnectionConflict
            case outcomes.Unknown():
                raise ConnectionUnknown
            case outcomes.Moved():
                raise _MovedMeanwhile
            case outcomes.Recovering():
                raise StoreRecovering("nodes are bringing back what the store has lost")
            case outcomes.Full():
                raise OutboxFull("the ledger is too far behind")
        raise AssertionError("the others have been dealt with")

    async def _timed(self, operation: str, attempt: Decide, budget_s: float) -> Decision:
        began = time.perf_counter()
        decision = await self._decided(operation, attempt, budget_s)
        self._emit(Decided(operation, decision, time.perf_counter() - began))
        return decision

    async def _decided(self, operation: str, attempt: Decide, budget_s: float) -> Decision:
        """A decision, unless the gateway is behind. Raises StoreError."""
        self._load.begin()
        try:
            return await self._retried(operation, attempt, budget_s)
        finally:
            self._load.end()

    async def _retried(self, operation: str, attempt: Callable[[float], Awaitable[T]], budget_s: float) -> T:
        """Runs once, and once more where the store gave no answer and time is left: the operation is idempotent on its id."""
        until_s = time.monotonic() + budget_s
        try:
            return await attempt(until_s)
        except StoreUndecided:
            raise
        except StoreError as error:
            self._emit(StoreFailed(operation, isinstance(error, OutcomeUnknown), str(error)))
            if time.monotonic() + RETRY_PAUSE_S >= until_s:
                raise
            first = error
        await asyncio.sleep(RETRY_PAUSE_S)
        try:
            return await attempt(until_s)
        except StoreError as error:
            self._emit(StoreFailed(operation, isinstance(error, OutcomeUnknown), str(error)))
            if isinstance(first, OutcomeUnknown):
                raise first from error  # it may have been executed, whatever became of the second attempt
            raise
