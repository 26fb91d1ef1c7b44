"""Claims as arguments of the scripts that decide, and their answers as outcomes. `lua/include/decide.lua` is the other side."""

import random
from collections.abc import Sequence
from typing import Any

from gateway.domain.claims import Age, Alternative, Attend, Before, Check, Claims, Count, Deny, Mark, Require
from gateway.domain.join import Join
from gateway.domain.reasons import Reason
from gateway.kernel import outcomes
from gateway.kernel.bounds import Bounds
from gateway.kernel.outcomes import ConfirmOutcome, DecisionOutcome, Register


InstallOutcome = outcomes.Installed | outcomes.VersionConflict | outcomes.DayOver | outcomes.Stale


NODE_LEASE_MS = 30_000
"""Lease of a leg that a node keeps alive; also how long nothing is reclaimed after anything that may have kept nodes from renewing."""

ATTEMPTS_PER_MS = 4096
"""An attempt to admit is named by its deadline and a number below this, because two may have one deadline. As the scripts know it."""

_NONE = -1


def decision_arguments(
    join: Join,
    claims: Claims,
    bounds: Bounds,
    *,
    attempt: int,
    lease_ms: int,
    connected: bool,
    final: bool,
    infos: Sequence[bytes],
) -> list[Any]:
    """Arguments of admit and preview, as their headers list them. `infos`: what is kept with the leg, for each alternative."""
    head = _head(join, claims, bounds, attempt, lease_ms, connected=connected, final=final)
    return [*head, *_alternatives(claims, infos)]


def move_arguments(
    join: Join,
    claims: Claims,
    bounds: Bounds,
    *,
    deadline_ms: int,
    held: str,
    quiet: bool,
    final: bool,
    infos: Sequence[bytes],
) -> list[Any]:
    """Arguments of move, as its header lists them."""
    head = _head(join, claims, bounds, deadline_ms * ATTEMPTS_PER_MS, 0, connected=False, final=final)
    return [*head, held, int(quiet), *_alternatives(claims, infos)]


def confirm_arguments(
    join: Join, claims: Claims, bounds: Bounds, *, lease_ms: int, connected: bool, joins: bool, infos: Sequence[bytes]
) -> list[Any]:
    """Arguments of confirm, as its header lists them."""
    head = _head(join, claims, bounds, 0, lease_ms, connected=connected, final=True)
    return [*head, NODE_LEASE_MS, int(joins), *_alternatives(claims, infos)]


def _head(
    join: Join, claims: Claims, bounds: Bounds, attempt: int, lease_ms: int, *, connected: bool, final: bool
) -> list[Any]:
    cut_at, pressure = bounds.of(join.customer)
    return [
        join.customer, join.connection, join.fingerprint, attempt, claims.version, claims.day, int(claims.shadow),
        claims.bind_group, claims.live_facts.value if claims.live_facts else "", claims.person_group or "", claims.audio,
        lease_ms, int(connected), join.node or "", cut_at, int(final), pressure,
    ]  # fmt: skip


def _alternatives(claims: Claims, infos: Sequence[bytes]) -> list[Any]:
    args: list[Any] = [len(claims.alternatives)]
    for alternative, info in zip(claims.alternatives, infos, strict=True):
        args += (alternative.facts.value, info, len(alternative.checks))
        positions = {check.group: at for at, check in enumerate(alternative.checks, 1) if type(check) is Count}
        for check in alternative.checks:
            args += _check(check, positions, alternative)
    return args


def _check(check: Check, positions: dict[str, int], alternative: Alternative) -> tuple[Any, ...]:
    """Six values: kind, group, ceiling, committed, parent, reason."""
    if type(check) is Count:
        return (
            "first" if check.first else "parent",
            check.group,
            _NONE if check.ceiling is None else check.ceiling,
            _NONE if check.committed is None else check.committed,
            positions[check.parent] if check.parent else 0,
            check.reason,
        )
    if type(check) is Attend:
        return ("attend", check.group, _NONE, _NONE, positions[check.attends], "watched" if check.watched else "")
    if type(check) is Require:
        return ("require", f"%{check.group}", _NONE, _NONE, 0, check.reason)
    if type(check) is Mark:
        ceiling = _NONE if check.ceiling is None else check.ceiling
        return ("mark", f"{check.set}\x1f{check.member}", ceiling, _NONE, positions[check.group], check.reason)
    if type(check) is Age:
        limit_ms = _NONE if check.limit_ms is None else check.limit_ms
        name = f"{check.group}\x1f{alternative.licensed_by or ''}"
        return ("age", name, limit_ms, _NONE, positions[check.group], check.reason)
    if type(check) is Before:
        return ("before", "", check.instant_ms, _NONE, positions[check.group], check.reason)
    assert type(check) is Deny, "there are no more kinds"
    return ("deny", "", _NONE, _NONE, 0, check.reason)


def decision_outcome(answer: list[Any], claims: Claims) -> DecisionOutcome:
    """The outcome that an answer of admit, preview or move is."""
    now_ms = answer[1]
    match answer[0]:
        case b"ADMIT":
            alternative = claims.alternatives[answer[3] - 1]
            counts = {
                check.group: use
                for check, use in zip(alternative.checks, answer[5:], strict=True)
                if type(check) is Count
            }
            return outcomes.Admitted(now_ms, alternative, bool(answer[4]), counts)
        case b"DENY":
            check = claims.alternatives[answer[3] - 1].checks[answer[4] - 1]
            return outcomes.Denied(now_ms, check, answer[5], answer[6].decode())
        case b"REPLAY":
            return _replayed(answer)
        case b"SHADOW":
            check = claims.alternatives[answer[3] - 1].checks[answer[4] - 1]
            return outcomes.Shadowed(now_ms, check, answer[5])
    return _compiled_for_another(answer) or _ANSWERS[answer[0]](now_ms)


def confirm_outcome(answer: list[Any]) -> ConfirmOutcome:
    """The outcome that an answer of confirm is."""
    now_ms = answer[1]
    match answer[0]:
        case b"CONFIRMED":
            return outcomes.Confirmed(now_ms, answer[3], answer[4], answer[5])
        case b"ADOPTED":
            return outcomes.Adopted(now_ms, answer[3])
        case b"DEAD":
            return outcomes.Dead(now_ms, answer[2].decode())
    return _compiled_for_another(answer) or _ANSWERS[answer[0]](now_ms)


def install_outcome(answer: list[Any], version: int) -> InstallOutcome:
    """The outcome that an answer of install is."""
    match answer[0]:
        case b"INSTALLED":
            return outcomes.Installed(answer[1], version)
        case b"CONFLICT":
            return outcomes.VersionConflict(answer[1], int(answer[2]))
        case b"ROLL":
            return outcomes.DayOver(answer[1], int(answer[2]), int(answer[3]))
    return outcomes.Stale(answer[1], int(answer[2]), int(answer[3]))


def snapshot_outcome(
    answer: list[Any], groups: Sequence[str], tallied: Sequence[Reason]
) -> outcomes.Snapshot | outcomes.DayOver:
    """The outcome that an answer of snapshot is, where these groups and tallies were asked for."""
    if answer[0] == b"ROLL":
        return outcomes.DayOver(answer[1], int(answer[2]), int(answer[3]))
    pairs, tallies = answer[8 : 8 + 2 * len(groups)], answer[8 + 2 * len(groups) :]
    counts = [(pairs[at], Register.parse(pairs[at + 1])) for at in range(0, len(pairs), 2)]
    return outcomes.Snapshot(
        now_ms=answer[1],
        version=int(answer[2]),
        day=int(answer[3]),
        live=answer[4],
        shadow_live=answer[5],
        joined=answer[6],
        audio=answer[7],
        groups=dict(zip(groups, counts, strict=True)),
        denied={reason: count for reason, count in zip(tallied, tallies[::2], strict=True) if count},
        would_deny={reason: count for reason, count in zip(tallied, tallies[1::2], strict=True) if count},
    )


def _compiled_for_another(answer: list[Any]) -> outcomes.Stale | outcomes.DayOver | outcomes.Bound | None:
    """The outcome where claims were compiled for another version, day or facts than hold."""
    now_ms = answer[1]
    match answer[0]:
        case b"STALE":
            return outcomes.Stale(now_ms, int(answer[2]), int(answer[3]) if len(answer) > 3 else 0)
        case b"ROLL":
            return outcomes.DayOver(now_ms, int(answer[2]), int(answer[3]))
        case b"BOUND":
            return outcomes.Bound(now_ms, answer[2].decode() if len(answer) > 2 else None)
    return None


_ANSWERS: dict[bytes, Any] = {
    b"CONFLICT": outcomes.Conflict,
    b"NOBODY": outcomes.Nobody,
    b"RECOVERING": outcomes.Recovering,
    b"FULL": outcomes.Full,
    b"LAPSED": outcomes.Lapsed,
    b"RELEASED": outcomes.AlreadyReleased,
    b"LATE": outcomes.Late,
    b"UNKNOWN": outcomes.Unknown,
    b"MOVED": outcomes.Moved,
}


def _replayed(answer: list[Any]) -> outcomes.Replayed:
    now_ms, admitted_ms, connected_ms, left_ms, overage, would_deny, info = answer[1:8]
    counts = {answer[at].decode(): answer[at + 1] for at in range(8, len(answer), 2)}
    return outcomes.Replayed(
        now_ms=now_ms,
        admitted_ms=admitted_ms,
        connected_ms=connected_ms or None,
        left_ms=left_ms,
        overage=bool(overage),
        would_deny=Reason(would_deny.decode()) if would_deny else None,
        info=info,
        counts=counts,
    )


def attempt_of(deadline_ms: int) -> int:
    """Names an attempt to admit a leg that nothing may be taken for after an instant (the store's clock); no two have one name."""
    return deadline_ms * ATTEMPTS_PER_MS + random.randrange(ATTEMPTS_PER_MS)  # noqa: S311 - unique, not secret


def deadline_of(attempt: int) -> int:
    """The instant after which nothing may be taken."""
    return attempt // ATTEMPTS_PER_MS
