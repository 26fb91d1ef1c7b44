"""The checks of a join under one licence, in the order of reasons."""

from collections.abc import Iterator, Mapping

import msgspec

from gateway.domain.addresses import domain_of, normal_address
from gateway.domain.claims import Age, Alternative, Attend, Before, Check, Count, Facts, Mark, Require, group_name
from gateway.domain.contract import CHINA, POOLS, Contract
from gateway.domain.customer import Streaming
from gateway.domain.cycles import cycle_of
from gateway.domain.days import MINUTE_MS
from gateway.domain.join import Endpoint, Join, Role, Service
from gateway.domain.licensing import Licence
from gateway.domain.limits import Limit
from gateway.domain.reasons import Reason


EVENTS_USED, HOSTS_SEEN, FOREIGN_OWNERS, ABROAD = "events", "hosts", "foreign", "abroad"
"""Sets that are remembered, by the first word of their names: events held under a subscription (T11.1), hosts of a subscription's cycle (T3.3);
and of a month, for findings, owners outside the customer's domains (T4.5) and rooms outside their territory (T13.5)."""

_UNBOUNDED = Limit()


class Situation(msgspec.Struct, frozen=True):
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
    checks: list[Check] = list(_room(join, situation)) if join.room is not None else []
    if join.service is Service.EVENT:
        checks += _event(join, licence, situation, facts)
    else:
        checks += _meeting(join, licence, situation, facts)
    counted_in: tuple[str, ...] = ()
    for group, reason in _pools(join):
        found = situation.contract.limits.get(group)
        if found is None:
            checks.append(Count(group, reason))
        else:
            checks.append(Count(group, reason, found.limit.ceiling, found.limit.committed))
            counted_in += found.counted_in
    return Alternative(
        checks=tuple(checks),
        facts=facts,
        licensed_by=licence.subscription,
        counted_in=tuple(dict.fromkeys(counted_in + licence.counts_in)),
    )


def _facts_after(join: Join, licence: Licence, facts: Facts) -> Facts:
    if join.service is Service.EVENT and join.role is not Role.MODERATOR and facts.licence != licence.subscription:
        facts = msgspec.structs.replace(facts, licence=licence.subscription)
    if "streaming" in join.features and facts.streaming_since_ms is None:
        facts = msgspec.structs.replace(facts, streams_now=True)
    return facts


def _room(join: Join, situation: Situation) -> Iterator[Check]:
    """T13.1: the legs of a room are in one meeting at a time; T13.5. In all else they are legs like any other (T13.4)."""
    assert join.room is not None, "asked only then"
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


def _meeting(join: Join, licence: Licence, situation: Situation, facts: Facts) -> list[Check]:
    """Services meeting and teams. On the way of every join: what most joins do not need is asked for before it is looked at."""
    checks: list[Check] = []
    service, owner, limits, host = join.service, facts.host, licence.limits, None
    meeting = group_name("meeting", service, join.meeting)
    if owner:
        host = group_name("host", service, owner)
        hosts = group_name("hosts", service) if licence.by_host else None
        checks.append(_count(host, Reason.HOST_BUSY, limits, parent=hosts, first=False))
        if hosts:
            checks.append(_pool(hosts, Reason.HOSTS_FULL, situation, first=False))
    present = join.role is Role.HOST
    if licence.host_begins and not (present or situation.exempt):
        checks.append(Require(meeting, Reason.HOST_NOT_PRESENT))  # T4.4
    if facts.streaming_since_ms is not None or facts.streams_now:
        checks += _over_time(meeting, situation, facts)
        limits = _streamed(limits, "meeting", situation)
    checks.append(_count(meeting, Reason.MEETING_FULL, limits, parent=host))
    if service is Service.MEETING and present:  # T4.4
        hosting = group_name("hosting", service, join.meeting)
        checks.append(Attend(hosting, meeting, watched=licence.host_begins))
    if owner and host and (licence.counts_hosts or licence.host_begins):
        checks += _noted(owner, host, meeting, licence, situation)
    return checks


def _noted(owner: str, host: str, meeting: str, licence: Licence, situation: Situation) -> Iterator[Check]:
    """What is only remembered, for findings (T3.3, T4.5)."""
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
    limits = licence.limits
    if facts.streaming_since_ms is not None or facts.streams_now:
        yield from _over_time(attendees if attends else panel, situation, facts)
        limits = _streamed(limits, "attendees", situation)
    if join.role is not Role.ATTENDEE:
        yield _count(panel, Reason.PANEL_FULL, licence.limits)
        yield Age(panel, Reason.PANEL_FULL)
    if attends:
        yield _count(attendees, Reason.EVENT_FULL, limits, parent=events)


def _pools(join: Join) -> list[tuple[str, Reason]]:
    """Groups that count for the whole customer (T15.3, T17.1, T4.1, T8.1)."""
    pools = []
    if join.endpoint is Endpoint.PSTN:
        pools.append((group_name("pstn", join.service), Reason.PSTN_FULL))
    if join.access == "china":
        pools.append((CHINA, Reason.CHINA_FULL))
    if join.service in POOLS:
        pools.append(POOLS[join.service])
    return pools


def _over_time(group: str, situation: Situation, facts: Facts) -> Iterator[Check]:
    """T1.3: from a meeting that streams too long on, nobody joins."""
    if facts.streaming_since_ms is not None and situation.streaming.max_minutes is not None:
        until_ms = facts.streaming_since_ms + situation.streaming.max_minutes * MINUTE_MS
        yield Before(until_ms, group, Reason.STREAMING_OVER_TIME)


def _streamed(limits: Mapping[str, Limit], level: str, situation: Situation) -> Mapping[str, Limit]:
    """T1.3: a meeting that streams has the lower of its limits."""
    most, limit = situation.streaming.max_endpoints, limits.get(level, _UNBOUNDED)
    if most is None:
        return limits
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
