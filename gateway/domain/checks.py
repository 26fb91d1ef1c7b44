"""The checks of a join under one licence, in the order of reasons."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from gateway.domain.addresses import domain_of, normal_address
from gateway.domain.claims import Age, Alternative, Attend, Before, Check, Count, Facts, Mark, Require, group_name
from gateway.domain.contract import CHINA, POOLS, Contract
from gateway.domain.customer import Streaming
from gateway.domain.cycles import cycle_of
from gateway.domain.join import Endpoint, Join, Role, Service
from gateway.domain.licensing import Licence
from gateway.domain.limits import Limit
from gateway.domain.reasons import Reason


MINUTE_MS = 60_000

EVENTS_USED, HOSTS_SEEN, FOREIGN_OWNERS, ABROAD = "events", "hosts", "foreign", "abroad"
"""Sets that are remembered, by the first word of their names: events held under a subscription (T11.1), hosts of a subscription's cycle (T3.3);
and of a month, for findings, owners outside the customer's domains (T4.5) and rooms outside their territory (T13.5)."""

_UNBOUNDED = Limit()


@dataclass(frozen=True, slots=True)
class Situation:
    """What a join is judged by: the day, what its customer holds, the facts of the meeting."""

    contract: Contract
    day: int
    facts: Facts
    streaming: Streaming
    """How far the service's meetings may stream."""
    exempt: bool = False
    """Whether the leg comes from another meeting of the same owner (T4.4)."""


def alternative(join: Join, licence: Licence, situation: Situation) -> Alternative:
    """Everything that the join takes and needs under a licence, and the facts that hold from then on."""
    facts = _facts_after(join, licence, situation.facts)
    find = _event if join.service is Service.EVENT else _meeting
    checks: list[Check] = [
        *_room(join, situation),
        *find(join, licence, situation, facts),
        *_customer_wide(join, situation),
    ]
    limits = situation.contract.limits
    drawn_on = [limits[check.group].counted_in for check in checks if isinstance(check, Count) and check.group in limits]
    return Alternative(
        checks=tuple(checks),
        facts=facts,
        licensed_by=licence.subscription,
        counted_in=tuple([subscription for held in drawn_on for subscription in held]) + licence.counts_in,
    )


def _facts_after(join: Join, licence: Licence, facts: Facts) -> Facts:
    if join.service is Service.EVENT and facts.licence != licence.subscription:
        facts = msgspec.structs.replace(facts, licence=licence.subscription)
    if "streaming" in join.features and facts.streaming_since_ms is None:
        facts = msgspec.structs.replace(facts, streams_now=True)
    return facts


def _room(join: Join, situation: Situation) -> Iterator[Check]:
    """T13.1: the legs of a room are in one meeting at a time; T13.5."""
    if join.room is None:
        return
    room = normal_address(join.room)
    of_all = f"room:{room}"
    yield Count(of_all, Reason.ROOM_IN_USE, ceiling=1, first=False)
    yield Count(
        f"{group_name('room_leg', join.service, join.meeting)}\x1f{room}", Reason.ROOM_IN_USE, parent=of_all
    )
    territory = situation.contract.rooms[room].territory
    if territory is not None and join.country is not None and join.country not in territory:
        month = cycle_of(situation.day).name
        yield Mark(f"{ABROAD} {month}", f"{room} {join.country}", of_all, Reason.ROOM_IN_USE)


def _meeting(join: Join, licence: Licence, situation: Situation, facts: Facts) -> Iterator[Check]:
    """Services meeting and teams."""
    service, owner = join.service, facts.host
    meeting = group_name("meeting", service, join.meeting)
    host = group_name("host", service, owner) if owner else None
    if host:
        hosts = group_name("hosts", service) if licence.by_host else None
        yield _count(host, Reason.HOST_BUSY, licence.limits, parent=hosts, first=False)
        if hosts:
            yield _pool(hosts, Reason.HOSTS_FULL, situation, first=False)
    hosts_it = join.role is Role.HOST
    if licence.host_begins and not (hosts_it or situation.exempt):
        yield Require(meeting, Reason.HOST_NOT_PRESENT)  # T4.4
    yield from _over_time(situation, facts)
    yield _count(meeting, Reason.MEETING_FULL, _streamed(licence.limits, "meeting", situation, facts), parent=host)
    if service is Service.MEETING and (hosts_it or situation.exempt):  # T4.4
        hosting = group_name("hosting", service, join.meeting)
        yield Attend(hosting, meeting, present=hosts_it, watched=licence.host_begins)
    yield from _noted(owner, host, meeting, licence, situation)


def _noted(
    owner: str | None, host: str | None, meeting: str, licence: Licence, situation: Situation
) -> Iterator[Check]:
    """What is only remembered, for findings (T3.3, T4.5)."""
    if owner is None or host is None:
        return
    if licence.counts_hosts:
        cycle = cycle_of(situation.day, situation.contract.anchor_days[licence.subscription])
        yield Mark(f"{HOSTS_SEEN} {licence.subscription} {cycle.name}", owner, host, Reason.HOST_NOT_LICENSED)
    domain = domain_of(owner)
    if licence.host_begins and domain and domain not in situation.contract.domains:
        yield Mark(f"{FOREIGN_OWNERS} {cycle_of(situation.day).name}", owner, meeting, Reason.HOST_NOT_LICENSED)


def _event(join: Join, licence: Licence, situation: Situation, facts: Facts) -> Iterator[Check]:
    """Service event (T11, T12)."""
    service, event = join.service, join.meeting
    attendees, panel = group_name("attendees", service, event), group_name("panel", service, event)
    attends = join.role is not Role.MODERATOR
    events = group_name("events", service) if licence.concurrent else None
    if attends and licence.events_held is not None:
        used = f"{EVENTS_USED} {licence.subscription}"
        yield Mark(used, event, attendees, Reason.EVENTS_EXHAUSTED, licence.events_held)
    if attends and events:
        yield _pool(events, Reason.EVENTS_CONCURRENT_FULL, situation, first=False)
    if attends:
        yield Age(attendees, Reason.EVENT_OVER_TIME, licence.duration_ms)
    yield from _over_time(situation, facts)
    if join.role is not Role.ATTENDEE:
        yield _count(panel, Reason.PANEL_FULL, licence.limits)
        yield Age(panel, Reason.PANEL_FULL)
    if attends:
        limits = _streamed(licence.limits, "attendees", situation, facts)
        yield _count(attendees, Reason.EVENT_FULL, limits, parent=events)


def _customer_wide(join: Join, situation: Situation) -> Iterator[Check]:
    """Pools of the whole customer (T15.3, T17.1, T4.1, T8.1)."""
    if join.endpoint is Endpoint.PSTN:
        yield _pool(group_name("pstn", join.service), Reason.PSTN_FULL, situation)
    if join.access == "china":
        yield _pool(CHINA, Reason.CHINA_FULL, situation)
    if join.service in POOLS:
        yield _pool(*POOLS[join.service], situation)


def _over_time(situation: Situation, facts: Facts) -> Iterator[Check]:
    """T1.3: from a meeting that streams too long on, nobody joins."""
    if facts.streaming_since_ms is not None and situation.streaming.max_minutes is not None:
        until_ms = facts.streaming_since_ms + situation.streaming.max_minutes * MINUTE_MS
        yield Before(until_ms, Reason.STREAMING_OVER_TIME)


def _streamed(
    limits: Mapping[str, Limit], level: str, situation: Situation, facts: Facts
) -> Mapping[str, Limit]:
    """T1.3: a meeting that streams has the lower of its limits."""
    most = situation.streaming.max_endpoints
    if most is None or not (facts.streams_now or facts.streaming_since_ms is not None):
        return limits
    limit = limits.get(level, _UNBOUNDED)
    ceiling = most if limit.ceiling is None else min(most, limit.ceiling)
    return {**limits, level: Limit(ceiling, limit.committed)}


def _count(
    group: str, reason: Reason, limits: Mapping[str, Limit], *, parent: str | None = None, first: bool = True
) -> Count:
    limit = limits.get(group.partition(":")[0], _UNBOUNDED)
    return Count(group, reason, limit.ceiling, limit.committed, parent, first)


def _pool(group: str, reason: Reason, situation: Situation, *, first: bool = True) -> Count:
    found = situation.contract.limits.get(group)
    limit = found.limit if found else _UNBOUNDED
    return Count(group, reason, limit.ceiling, limit.committed, first=first)
