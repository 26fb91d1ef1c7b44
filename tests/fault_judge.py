"""What a run has shown, judged offline: from the histories of media servers, from the outbox of the store, never from a gateway's own counters.

I1 to I11 are the invariants of docs/faults.md.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import aiohttp
from fault_truth import Call, History, Span
from redis.asyncio import Redis


LEASE_S = 30.0
PAGE = 1000
NOT_ON_SEATS = {"already_released", "too_late", "degraded"}
"""Reasons of answers that say nothing of seats."""

TAKES = {"admit", "adopt"}
GIVES = {"release", "reclaim"}
UNAVAILABLE = 503
CLOCKS_MS = 50
"""By how much the wall clock may have drifted from the monotonic one in a run."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the outbox: what a script did."""

    op: str
    at_ms: int
    customer: str
    connection: str
    cause: str


def most_live(spans: Iterable[Span]) -> int:
    """The greatest number of legs that were live at one time, in truth (I1): from the answer that let each in until its call ended."""
    return _most([(span.since, span.until) for span in spans])


def most_possible(history: History, customer: str) -> int:
    """The greatest number of seats that may have been held at one time (I1, the other way).

    Each id counts from when it was first asked for until its release was answered, whatever was heard of it; denied ones do not count.
    """
    begun: dict[str, float] = {}
    over: dict[str, float] = {}
    for event in history.events:
        if event.customer != customer:
            continue
        if event.what == "invoke" and event.operation == "admit":
            begun.setdefault(event.connection, event.at)
        elif event.what == "ok" and event.operation == "release":
            over[event.connection] = event.at
        elif event.what == "ok" and event.operation == "admit" and event.decision != "admit":
            over.setdefault(event.connection, begun[event.connection])
    return _most([(since, over.get(name)) for name, since in begun.items()])


def overshoot(history: History, customer: str, limit: int) -> int:
    """By how many legs a limit was passed, in truth (I1)."""
    return max(0, most_live(history.spans(customer)) - limit)


def contradictions(history: History) -> list[str]:
    """Ids that were let in, and then, before their release, refused (I2)."""
    let_in: dict[tuple[str, str], float] = {}
    found = []
    for call in history.calls("admit", "release"):
        key = (call.customer, call.connection)
        if call.operation == "release":
            let_in.pop(key, None)
        elif call.decision == "admit" and call.reason not in NOT_ON_SEATS:
            let_in.setdefault(key, call.ended)
        elif call.decision == "deny" and call.reason not in NOT_ON_SEATS and call.began > let_in.get(key, call.began):
            found.append(f"{call.connection}: admitted, then {call.reason}")
    return found


def double_effects(entries: Iterable[Entry]) -> list[str]:
    """Ids that took a seat while they had one, or gave one back that they had not (I2, I8)."""
    seated: set[tuple[str, str]] = set()
    found = []
    for entry in entries:
        key = (entry.customer, entry.connection)
        if entry.op in TAKES:
            if key in seated:
                found.append(f"{entry.op} of {entry.connection}, which has a seat")
            seated.add(key)
        elif entry.op in GIVES:
            if key not in seated:
                found.append(f"{entry.op} of {entry.connection}, which has no seat")
            seated.discard(key)
    return found


def balance(entries: Iterable[Entry], customer: str) -> int:
    """Seats taken less seats given back (I8): as many legs as are live."""
    ops = Counter(entry.op for entry in entries if entry.customer == customer)
    return sum(ops[op] for op in TAKES) - sum(ops[op] for op in GIVES)


def false_reclaims(entries: Iterable[Entry], history: History, *, lease_s: float = LEASE_S) -> list[str]:
    """Legs reclaimed although they were live and a sign of life of the last lease was acknowledged (I4)."""
    signs: dict[tuple[str, str], list[float]] = {}
    for call in history.calls("admit", "confirm"):
        if call.decision == "admit" or call.reason in {"confirmed", "adopted"}:
            signs.setdefault((call.customer, call.connection), []).append(history.store_ms(call.began))
    for event in history.events:
        if event.what == "beat":
            signs.setdefault((event.customer, event.connection), []).append(history.store_ms(event.at))
    spans = {(span.customer, span.connection): span for span in history.spans()}
    found = []
    for entry in entries:
        key = (entry.customer, entry.connection)
        span = spans.get(key)
        if entry.op != "reclaim" or span is None:
            continue
        ended = history.store_ms(span.until) if span.until is not None else float("inf")
        fresh = [sign for sign in signs.get(key, []) if entry.at_ms - lease_s * 1000 < sign <= entry.at_ms]
        if fresh and history.store_ms(span.since) <= entry.at_ms < ended:
            found.append(
                f"{entry.connection} reclaimed {(entry.at_ms - fresh[-1]) / 1000:.1f} s after its last sign of life"
            )
    return found


def longest_gap(history: History, since: float, until: float, *customers: str) -> float:
    """The longest time (s) within these bounds in which no decision was made with the store (I10): for one of these customers, or for all."""
    calls = [call for call in history.decisions() if since <= call.ended <= until]
    longest = 0.0
    for customer in customers or ("",):
        times = [since, *[call.ended for call in calls if customer in {"", call.customer}], until]
        longest = max(longest, *[after - before for before, after in pairwise(times)])
    return longest


def unlabelled(history: History) -> list[str]:
    """Answers that are neither a decision nor told as what they are: an outage (503, `store_unavailable`) (I11)."""
    found = [
        f"{event.operation} of {event.connection}: {event.status}" for event in history.events if event.what == "failed"
    ]
    return found + [
        f"{call.operation} of {call.connection}: {call.status} {call.reason}"
        for call in history.calls("admit")
        if call.status == UNAVAILABLE and call.reason != "store_unavailable"
    ]


def lost_admits(history: History, entries: Iterable[Entry]) -> list[str]:
    """Ids that were let in by the store, and of which the store that is left has no entry: acknowledged, and lost."""
    written = {(entry.customer, entry.connection) for entry in entries if entry.op == "admit"}
    told = {(call.customer, call.connection) for call in history.decisions() if call.reason == "admitted"}
    return sorted(connection for _, connection in told - written)


def reasons(calls: Iterable[Call]) -> Counter[str]:
    """Answers by their reasons; `none` where none came."""
    return Counter(call.reason or ("none" if not call.status else str(call.status)) for call in calls)


async def listed(admin_url: str, customer: str, *, headers: dict[str, str] | None = None) -> set[str]:
    """Ids of the live legs of a customer, as the gateway reads them from the store (I3)."""
    found: set[str] = set()
    cursor: str | None = "0"
    async with aiohttp.ClientSession(headers=headers) as http:
        while cursor is not None:
            query = {"cursor": cursor, "limit": str(PAGE)}
            async with http.get(f"{admin_url}/v1/customers/{customer}/connections", params=query) as response:
                response.raise_for_status()
                body = await response.json()
            found.update(each["connection"] for each in body["connections"])
            cursor = body["next"]
    return found


async def stored_peak(admin_url: str, customer: str, *, pool: str = "ports") -> int:
    """The greatest use of a pool today, as the store has it (I5)."""
    async with aiohttp.ClientSession() as http, http.get(f"{admin_url}/v1/customers/{customer}/usage") as response:
        assert response.status == 200, await response.text()
        pools = (await response.json())["pools"]
    return next(int(each["peak"]) for each in pools if each["pool"] == pool)


async def outbox(*ports: int) -> list[Entry]:
    """What the scripts of these servers wrote, bucket by bucket in order. Fails where a stream may have been trimmed."""
    found: list[Entry] = []
    for port in ports:
        store: Any = Redis(host="127.0.0.1", port=port, protocol=2)
        try:
            for key in sorted([key async for key in store.scan_iter(match="gateway:*:outbox", count=10_000)]):
                rows = await store.xrange(key)
                assert len(rows) < 20_000, f"{key} may have been trimmed"
                found += [_entry(fields) for _, fields in rows]
        finally:
            await store.aclose()
    return found


def _entry(fields: dict[bytes, bytes]) -> Entry:
    named = {
        name: fields.get(name.encode(), b"").decode("utf-8", "replace")
        for name in ("op", "customer", "connection", "cause")
    }
    return Entry(named["op"], int(fields.get(b"at", b"0")), named["customer"], named["connection"], named["cause"])


def _most(spans: Sequence[tuple[float, float | None]]) -> int:
    """At one instant, ends come before beginnings: a seat given back may be taken at once."""
    steps = [(since, 1) for since, until in spans if until is None or until > since]
    steps += [(until, -1) for since, until in spans if until is not None and until > since]
    most = now = 0
    for _, step in sorted(steps):
        now += step
        most = max(most, now)
    return most
