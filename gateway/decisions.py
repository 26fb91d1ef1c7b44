"""Outcomes of the kernel as decisions."""

import msgspec

from gateway.domain.addresses import normal_address
from gateway.domain.claims import Check, Claims, Count, Facts, Mark, member_of
from gateway.domain.join import Decision, Join, Lease, LimitUse
from gateway.domain.policy import Policy
from gateway.domain.reasons import Reason
from gateway.kernel import outcomes
from gateway.kernel.arguments import NODE_LEASE_MS
from gateway.legs import info_of


NODE_LEASE_S = NODE_LEASE_MS // 1000
LONG_LEASE_S = 12 * 3600

Decided = (
    outcomes.Admitted
    | outcomes.Replayed
    | outcomes.Shadowed
    | outcomes.Denied
    | outcomes.AlreadyReleased
    | outcomes.Late
)


class Confirmation(msgspec.Struct, frozen=True):
    """What became of a leg that said it is connected: confirmed, adopted or released. `drop`: an operator ended it."""

    result: str
    lease: Lease | None = None
    drop: bool = False


def lease_of(join: Join) -> Lease:
    """Which lease covers a leg: a node's and a stated one are provisional until confirmed, otherwise the leg is connected at once."""
    if join.lease_s is not None:
        return Lease(provisional=True, expires_in_s=join.lease_s)
    if join.node:
        return Lease(provisional=True, expires_in_s=NODE_LEASE_S)
    return Lease(provisional=False, expires_in_s=LONG_LEASE_S)


def confirmed_lease(join: Join) -> Lease:
    """Which lease covers a leg from its confirmation on."""
    if join.node:
        return Lease(provisional=False, expires_in_s=NODE_LEASE_S)
    return Lease(provisional=False, expires_in_s=join.lease_s or LONG_LEASE_S)


def decision_of(join: Join, policy: Policy, claims: Claims, outcome: Decided) -> Decision:
    """The decision that an outcome means."""
    match outcome:
        case outcomes.Admitted(alternative=chosen):
            return Decision(
                admitted=True, reason=Reason.ADMITTED, join=join, decided_at_ms=outcome.now_ms, mode=policy.mode,
                overage=outcome.overage, licensed_by=chosen.licensed_by, counted_in=chosen.counted_in,
                limits=_limits(outcome), lease=lease_of(join), meeting_host=_other_host(join, chosen.facts),
            )  # fmt: skip
        case outcomes.Replayed():
            return _replayed(join, policy, claims, outcome)
        case outcomes.Shadowed():
            return Decision(
                admitted=True, reason=Reason.SHADOW, join=join, decided_at_ms=outcome.now_ms, mode=policy.mode,
                would_deny=_reason(outcome.check), lease=lease_of(join),
            )  # fmt: skip
        case outcomes.Denied(check=failed):
            busy = member_of(outcome.child) if _reason(failed) is Reason.HOST_BUSY and outcome.child else None
            return Decision(
                admitted=False, reason=_reason(failed), join=join, decided_at_ms=outcome.now_ms, mode=policy.mode,
                limits=_failed_limit(failed, outcome.use), busy_meeting=busy,
                meeting_host=_other_host(join, claims.live_facts),
            )  # fmt: skip
        case outcomes.AlreadyReleased():
            reason = Reason.ALREADY_RELEASED
        case outcomes.Late():
            reason = Reason.TOO_LATE
    return Decision(admitted=False, reason=reason, join=join, decided_at_ms=outcome.now_ms, mode=policy.mode)


def confirmation_of(outcome: outcomes.ConfirmOutcome) -> Confirmation:
    """What an outcome means for a leg that said it is connected."""
    match outcome:
        case outcomes.Dead():
            return Confirmation("released", drop=outcome.cause == "operator")
        case outcomes.Confirmed() | outcomes.Adopted():
            result = "adopted" if isinstance(outcome, outcomes.Adopted) else "confirmed"
            return Confirmation(result, Lease(provisional=False, expires_in_s=outcome.lease_ms // 1000))
    raise AssertionError("the others are no answer to a leg")


def _reason(check: Check) -> Reason:
    reason = getattr(check, "reason", None)
    assert isinstance(reason, Reason), f"a check that has no reason does not fail: {check}"
    return reason


def _other_host(join: Join, facts: Facts | None) -> str | None:
    """The meeting's owner, where the caller named a different one."""
    owner = facts.host if facts else None
    return owner if join.host and owner and normal_address(join.host) != owner else None


def _failed_limit(check: Check, use: int) -> tuple[LimitUse, ...]:
    if isinstance(check, Count):
        return (LimitUse(check.limit, use, check.committed, check.ceiling),)
    if isinstance(check, Mark):
        return (LimitUse("events", use, None, check.ceiling),)
    return ()


def _limits(outcome: outcomes.Admitted) -> tuple[LimitUse, ...]:
    """Limits that governed an admission, the widest first."""
    return tuple(
        [
            LimitUse(check.limit, outcome.counts[check.group], check.committed, check.ceiling)
            for check in reversed(outcome.alternative.checks)
            if type(check) is Count and (check.ceiling is not None or check.committed is not None)
        ]
    )


def _replayed(join: Join, policy: Policy, claims: Claims, outcome: outcomes.Replayed) -> Decision:
    info = info_of(outcome.info)
    governing = {
        check.group: check
        for each in claims.alternatives
        for check in each.checks
        if isinstance(check, Count) and each.licensed_by == info.licensed_by
    }
    limits = [
        LimitUse(check.limit, use, check.committed, check.ceiling)
        for group, use in reversed(list(outcome.counts.items()))
        if (check := governing.get(group)) and (check.ceiling is not None or check.committed is not None)
    ]
    return Decision(
        admitted=True,
        reason=Reason.REPLAYED,
        join=join,
        decided_at_ms=outcome.admitted_ms,
        mode="shadow" if outcome.would_deny else policy.mode,
        overage=outcome.overage,
        licensed_by=None if outcome.would_deny else info.licensed_by,
        counted_in=() if outcome.would_deny else info.counted_in,
        limits=tuple(limits),
        lease=Lease(provisional=outcome.connected_ms is None, expires_in_s=outcome.left_ms // 1000),
        would_deny=outcome.would_deny,
    )
