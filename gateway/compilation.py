"""Compiling claims until they hold: by the entitlements at hand, and again where the kernel says that they are for something else."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from gateway.domain.claims import Claims, Facts
from gateway.domain.join import Join
from gateway.domain.policy import Policy, bind_group
from gateway.entitlements import Entitlements
from gateway.facts import FactsHeard
from gateway.kernel import outcomes
from gateway.kernel.errors import StoreError, StoreUnavailable


COMPILATIONS_MAX = 6
"""One, and again for a wrong guess of the facts, a new version, a new day and new facts; more is a customer that changes without pause."""

Outcome = TypeVar("Outcome")
T = TypeVar("T")


class Unstable(StoreError):
    """Entitlements, or the facts of the meeting, changed at every attempt to decide by them."""


class Compiler:
    """Compiles joins by the entitlements and the facts of meetings that this gateway has heard of."""

    def __init__(self, entitlements: Entitlements) -> None:
        self._entitlements = entitlements
        self._heard = FactsHeard()

    async def ask(
        self,
        join: Join,
        evaluate: Callable[[Claims], Awaitable[Outcome]],
        *,
        until_s: float,
        coming_from: str | None = None,
    ) -> tuple[Policy, Claims, Outcome]:
        """The outcome of claims that hold, with the policy that they come from.

        `evaluate` keeps to its own time; what has to be read before it may be asked again is given up at `until_s` (time.monotonic).
        `coming_from`: owner of the meeting that the leg is in.

        Raises:
            StoreError: the store gave no outcome.
        """
        entitlements = self._entitlements
        policy = entitlements.cached(join.customer)
        if policy is None:
            policy = await within(entitlements.load(join.customer), until_s)
        group = bind_group(join)
        facts = self._heard.get(join.customer, group)
        for _ in range(COMPILATIONS_MAX):
            exempt = coming_from is not None and coming_from == policy.owner(join, facts)
            claims = policy.claims(join, facts, exempt=exempt)
            outcome = await evaluate(claims)
            match outcome:
                case outcomes.Stale():
                    policy = await within(entitlements.current(join.customer, outcome), until_s)
                case outcomes.DayOver():
                    policy = await within(entitlements.roll(join.customer, outcome), until_s)
                case outcomes.Bound():
                    facts = Facts.parse(outcome.facts) if outcome.facts is not None else None
                    self._heard.put(join.customer, group, facts)
                case _:
                    return policy, claims, outcome
        raise Unstable("entitlements changed at every attempt")

    def heard(self, join: Join) -> Facts | None:
        """Facts of the join's meeting, as this gateway last heard of them."""
        return self._heard.get(join.customer, bind_group(join))


async def within(work: Awaitable[T], until_s: float) -> T:
    """What some work gives, given up at `until_s` (time.monotonic). Raises StoreUnavailable then: it is never the operation itself."""
    try:
        async with asyncio.timeout(until_s - time.monotonic()):
            return await work
    except TimeoutError:
        raise StoreUnavailable("no answer in time") from None
