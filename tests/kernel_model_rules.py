"""The rules of the terms, one after the other: every reason for which a join could be refused under a licence."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from kernel_model_held import (
    ENDPOINTS_MAX,
    EVERYONE,
    HOST_PLANS,
    HOUR_MS,
    NAMED,
    PANEL_MAX,
    PER_EVENT,
    PLANS_OF,
    PORTS,
    TEAMS_NAMED,
    UNLIMITED,
    Held,
    Sub,
    attends,
    calling,
    china_refusal,
    counts_in,
    covers,
    normal,
    rooms,
    total,
)
from kernel_model_past import Past
from kernel_model_world import Facts, World, place_of

from gateway.domain.join import Endpoint, Join, Role, Service


FULL = {
    "ports": "ports_full", "teams_ports": "teams_ports_full", "china": "china_full", "pstn": "pstn_full", "event_pstn": "pstn_full",
}  # fmt: skip
HOURS = {UNLIMITED: 8, PER_EVENT: 2}


@dataclass(frozen=True)
class Case:
    """A join under one licence. `before`: as it is; `without`: and as it would be without the leg that moves; `after`: with it come."""

    join: Join
    licence: Sub
    facts: Facts
    before: World
    without: World
    after: World
    held: Held
    past: Past
    today: int
    now_ms: int
    exempt: bool = False

    def grows_past(self, most: int | None, count: Callable[[World], int]) -> bool:
        """Whether a count is above its limit, and above what it was."""
        return most is not None and count(self.after) > max(most, count(self.before))

    def goes_on(self) -> bool:
        """Whether the leg moves within a meeting, and was there as what it is now: it joins nothing that has lasted too long."""
        leg = self.before.legs.get(self.join.connection)
        if leg is None or not leg.counted or place_of(leg.join) != place_of(self.join):
            return False
        return attends(leg.join) if attends(self.join) else leg.join.role is not Role.ATTENDEE


def licences(held: Held, join: Join, facts: Facts, today: int, used: set[str]) -> list[Sub] | str:
    """Who may license the meeting, the preferred first, or why nobody does (T1.1, T2.2, T12.1, T12.2).

    `used`: subscriptions in which the event has been used already.
    """
    if not held.orders(today, join.service):
        plans = PLANS_OF[join.service]
        was_held = any(sub["plan"] in plans for sub in held.subs)
        return "subscription_inactive" if was_held else "service_not_licensed"
    if join.service is Service.EVENT:
        return _event_licences(held, facts, today, used if attends(join) else set())
    for plan in PLANS_OF[join.service]:
        active = held.active(today, plan)
        found = [sub for sub in active if covers(sub, facts.owner)] if plan in HOST_PLANS else active
        if found:
            return found[:1]
    return "host_not_licensed"


def _event_licences(held: Held, facts: Facts, today: int, used: set[str]) -> list[Sub] | str:
    """T12 first; T11 where it may take what T12 leaves. A live event keeps its licence as long as that is in force.

    Opening an event again uses no event of another subscription (T11.1).

    The last of them is that of a leg which is there though none has room.
    """
    unlimited = [sub for sub in held.active(today, UNLIMITED) if facts.department in sub["departments"]]
    per_event = held.active(today, PER_EVENT)
    for sub in (*unlimited, *per_event):
        if sub["id"] == facts.licence:
            return [sub]
    per_event = [sub for sub in per_event if sub["id"] in used][:1] or per_event
    if unlimited:
        return unlimited + (per_event if unlimited[-1].get("fallback") else [])
    return per_event or "department_not_licensed"


def refusals(case: Case, suspended_hosts: set[str]) -> Iterator[str]:
    """Every reason that stands against the join, in no order."""
    yield from before_the_licence(case.held, case.join, case.today)
    if case.facts.owner in suspended_hosts:
        yield "host_suspended"  # T20.1
    yield from _room(case)
    yield from _event(case) if case.join.service is Service.EVENT else _meeting(case)
    most_minutes = case.held.streaming(case.today, case.join.service, "max_minutes")
    since = case.facts.streams_since
    over = since is not None and most_minutes is not None and case.now_ms - since >= most_minutes * 60_000
    if over and not case.goes_on():
        yield "streaming_over_time"  # T1.3
    for name, pool in case.held.pools(case.today).items():
        if counts_in(name, case.join) and case.grows_past(pool.ceiling, partial(World.pool, name=name)):
            yield FULL[name]  # T4.1, T8.1, T10.3, T15.3, T17.1


def before_the_licence(held: Held, join: Join, today: int) -> Iterator[str]:
    """Features, access, numbers, endpoint."""
    plans = calling(held, today)
    ordered = held.orders(today, Service.MEETING) or held.orders(today, Service.EVENT)
    if join.calling in {"call_me", "premium"} and not (plans and ordered):
        yield "feature_not_licensed"  # T15.1
    orders = held.orders(today, join.service)
    included = {feature for sub in orders for feature in sub.get("features", ())}
    if any(sub["plan"] in {TEAMS_NAMED, "teams.concurrent_connections"} for sub in orders):
        included |= {"one_touch", "relay"}
    asked = {"streaming"} | ({"one_touch", "relay"} if join.service is Service.TEAMS else set())
    if set(join.features) & asked - included:
        yield "feature_not_included"  # T1.3, T10.2
    if join.access == "china":
        refusal = china_refusal(held, today)
        if refusal:
            yield refusal
    number = join.number if join.calling == "call_me" else join.access_number
    codes = {int(code) for sub in plans for code in sub.get("blocked_country_codes", ())}
    if join.endpoint is Endpoint.PSTN and number and number.calling_code in codes:
        yield "number_blocked"  # T15.2
    if join.service is Service.TEAMS and join.endpoint not in {Endpoint.H323, Endpoint.SIP}:
        yield "endpoint_not_supported"  # T7.1


def _room(case: Case) -> Iterator[str]:
    """T13.1, T13.2."""
    room = case.join.room
    if room is None:
        return
    if normal(room) not in rooms(case.held, case.today):
        yield "room_not_licensed"
    if case.join.role in {Role.HOST, Role.MODERATOR}:
        yield "room_cannot_host"
    if case.grows_past(1, lambda world: world.places_of_room(room)):
        yield "room_in_use"


def _size(case: Case, size: int | None) -> int | None:
    """T1.3: a meeting that streams has the lower of its limits."""
    most = case.held.streaming(case.today, case.join.service, "max_endpoints")
    if case.facts.streams_since is None or most is None:
        return size
    return most if size is None else min(size, most)


def _meeting(case: Case) -> Iterator[str]:
    """T2.3, T2.7, T4.4, T2.6."""
    join, facts, plan = case.join, case.facts, case.licence["plan"]
    service = join.service
    if plan in HOST_PLANS:
        one = 1 if case.licence.get("one_meeting_per_host", True) else None
        if case.grows_past(one, lambda world: world.meetings_of(service, facts.owner)):
            yield "host_busy"
        if case.grows_past(case.held.hosts_limit(case.today, service), lambda world: world.hosts(service)):
            yield "hosts_full"
    if plan == PORTS and not facts.hosted and not case.exempt:
        yield "host_not_present"
    size = None
    if plan in {NAMED, EVERYONE}:
        size = case.licence.get("max_endpoints", ENDPOINTS_MAX)
    if plan == PORTS:
        size = max(sub.get("max_endpoints", ENDPOINTS_MAX) for sub in case.held.active(case.today, PORTS))
    if case.grows_past(_size(case, size), lambda world: len(world.joins(place_of(join)))):
        yield "meeting_full"


def _event(case: Case) -> Iterator[str]:
    """T11.1, T12.1, T11.5, T11.4, T11.3."""
    join, licence = case.join, case.licence
    event, plan = join.meeting, licence["plan"]
    if join.role is not Role.ATTENDEE and case.grows_past(PANEL_MAX, lambda world: world.panel(event)):
        yield "panel_full"
    if not attends(join):
        return
    if plan == PER_EVENT:
        used = case.past.used_by(licence["id"], case.before)
        kept = case.past.used_by(licence["id"], case.without)
        if len(kept | {event}) > max(licence["quantity"], len(used)):
            yield "events_exhausted"
    concurrent = [sum(sub["departments"].values()) for sub in case.held.active(case.today, UNLIMITED)]
    if plan == UNLIMITED and case.grows_past(total(concurrent), lambda world: len(world.concurrent)):
        yield "events_concurrent_full"
    held = case.past.held(event, licence, case.before)
    live_ms = held.live_ms(case.now_ms) if held else 0
    if licence.get("duration_enforcement") == "hard" and live_ms >= HOURS[plan] * HOUR_MS and not case.goes_on():
        yield "event_over_time"
    most = licence["max_attendees"] if licence.get("attendees_enforcement") == "hard" else None
    if case.grows_past(_size(case, most), lambda world: world.attendees(event)):
        yield "event_full"
