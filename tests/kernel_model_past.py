"""What the model remembers after legs have gone: events that were used and how long they were live, days without a host, audio-only legs."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date

from kernel_model_held import EVERYONE, OWN_DOMAIN, PER_EVENT, PORTS, Sub, attends, normal
from kernel_model_world import Leg, Place, World, place_of

from gateway.domain.join import Endpoint, Join, Role, Service


Noted = tuple[str, ...]
"""What a finding is made of."""

Bound = tuple[str, ...]
"""The meeting, the host or the room with which it was met."""


@dataclass
class EventHeld:
    """An event over all its openings (T11.2 - T11.5)."""

    first_ms: int
    licensed_by: str
    openings: list[list[int]] = field(default_factory=list)
    """Beginnings, with ends where they are over."""
    peak: int = 0
    peak_at_ms: int = 0
    joined: int = 0

    def live_ms(self, now_ms: int) -> int:
        """Live time up to now."""
        return sum((ends or [now_ms])[0] - began for began, *ends in self.openings)


@dataclass
class Past:
    """All that is remembered. `used` says of each event that a subscription licensed whether it was ever connected (T11.1)."""

    used: dict[str, dict[str, bool]] = field(default_factory=dict)
    events: dict[str, EventHeld] = field(default_factory=dict)
    panel_peaks: dict[str, tuple[str, int]] = field(default_factory=dict)
    """With the licence."""
    noted: set[Noted] = field(default_factory=set)
    ringing: dict[Noted, Bound] = field(default_factory=dict)
    """What is noted when somebody connects there, and forgotten when all have left."""
    spells: dict[tuple[Place, int], int] = field(default_factory=dict)
    alone_since: dict[Place, int] = field(default_factory=dict)
    lone_telephones: dict[tuple[Place, str], int] = field(default_factory=dict)
    joined: Counter[int] = field(default_factory=Counter)
    audio: Counter[int] = field(default_factory=Counter)

    def used_by(self, sub: str, world: World) -> set[str]:
        """Events used in a subscription: connected once, or live (T11.1)."""
        return {event for event, final in self.used.get(sub, {}).items() if final or world.attendees(event)}

    def held(self, event: str, licence: Sub, world: World) -> EventHeld | None:
        """What is remembered of an event; opened again under another licence it begins anew (T11.1)."""
        held = self.events.get(event)
        goes_on = held is not None and (held.licensed_by == licence["id"] or bool(world.attendees(event)))
        return held if goes_on else None

    def take(self, leg: Leg, licence: Sub, before: World, after: World, *, now_ms: int, joins: bool = True) -> None:
        """A counted leg has come; not `joins`: it was there already."""
        join = leg.join
        if join.service is not Service.EVENT:
            return
        event = join.meeting
        if join.role is not Role.ATTENDEE:
            of, peak = self.panel_peaks.get(event, ("", 0))
            goes_on = of == licence["id"] or before.panel(event)
            self.panel_peaks[event] = (licence["id"], max(peak if goes_on else 0, after.panel(event)))
        if not attends(join):
            return
        if licence["plan"] == PER_EVENT:
            used = self.used.setdefault(licence["id"], {})
            used[event] = used.get(event, False) or leg.connected
        held = self.held(event, licence, before) or EventHeld(now_ms, "")
        self.events[event] = held
        held.licensed_by = licence["id"]
        if not before.attendees(event):
            held.openings.append([now_ms])
        if after.attendees(event) > held.peak:
            held.peak, held.peak_at_ms = after.attendees(event), now_ms
        earlier = before.legs.get(join.connection)
        held.joined += joins and not (
            earlier and earlier.counted and place_of(earlier.join) == place_of(join) and attends(earlier.join)
        )

    def note(self, leg: Leg, licence: Sub, room: Sub | None, today: int) -> None:
        """What findings are made of, with the first connected leg (T3.3, T4.5, T13.5)."""
        join, owner, month = leg.join, leg.owner, date.fromordinal(today).strftime("%Y-%m")
        noted: dict[Noted, Bound] = {}
        if owner and licence["plan"] == EVERYONE:
            noted["hosts", licence["id"], month, owner] = ("host", join.service, owner)
        if owner and licence["plan"] == PORTS and not owner.endswith(f"@{OWN_DOMAIN}"):
            noted["foreign", month, owner] = ("meeting", *place_of(join))
        if join.room and room and join.country and join.country not in room.get("territory", [join.country]):
            noted["abroad", month, f"{normal(join.room)} {join.country}"] = ("room", normal(join.room))
        for what, bound in noted.items():
            if leg.connected:
                self.noted.add(what)
                self.ringing.pop(what, None)
            elif what not in self.noted:
                self.ringing.setdefault(what, bound)

    def confirm(self, leg: Leg) -> None:
        """A counted leg that rang is connected: what was met with its meeting, host or room is final (T11.1)."""
        join = leg.join
        if join.service is Service.EVENT and attends(join):
            for used in self.used.values():
                used.update({event: True for event in used if event == join.meeting})
        bounds: set[Bound] = {("meeting", *place_of(join)), ("host", join.service, leg.owner or "")}
        if join.room:
            bounds.add(("room", normal(join.room)))
        final = [what for what, bound in self.ringing.items() if bound in bounds]
        for what in final:
            self.noted.add(what)
            del self.ringing[what]

    def settle(self, before: World, after: World, *, now_ms: int, left_quietly: Place | None) -> None:
        """What ends or begins with a change. `left_quietly`: a meeting that a leg has left for another one of its owner (T4.4)."""
        for event in {place[1] for place in before.live_places(Service.EVENT) - after.live_places(Service.EVENT)}:
            self.events[event].openings[-1].append(now_ms)
        for used in self.used.values():
            for event in [event for event, final in used.items() if not final and not after.attendees(event)]:
                del used[event]
        self.ringing = {what: bound for what, bound in self.ringing.items() if _live(bound, after)}
        for place in before.live_places(Service.MEETING) | after.live_places(Service.MEETING):
            self._settle_host(place, before, after, now_ms, quietly=place == left_quietly)
        for lone in [lone for lone in self.lone_telephones if not after.persons(*lone)]:
            del self.lone_telephones[lone]

    def _settle_host(self, place: Place, before: World, after: World, now_ms: int, *, quietly: bool) -> None:
        """T4.4: from when to when a live meeting is without the host that it had."""
        if place in self.alone_since and (after.has_host(place) or not after.live(place)):
            self.spells[place, self.alone_since.pop(place)] = now_ms
        if place in before.watched and not after.has_host(place) and after.live(place) and not quietly:
            self.alone_since[place] = now_ms

    def count_joined(self, join: Join, before: World, today: int, *, counted: bool) -> None:
        """T1.2: legs that joined on a day, and those of audio only."""
        self.joined[today] += 1
        if not counted or join.service is Service.TEAMS:
            return
        telephone = join.endpoint is Endpoint.PSTN and join.media == "video"
        if join.media == "audio" or (telephone and not join.person):
            self.audio[today] += 1
        if not join.person:
            return
        who = place_of(join), normal(join.person)
        others = before.persons(*who)
        if telephone and not others:
            self.audio[today] += 1
            self.lone_telephones[who] = today
        elif others == 1:
            self.audio[today] -= self.lone_telephones.pop(who, None) == today


def _live(bound: Bound, world: World) -> bool:
    match bound:
        case ("meeting", service, meeting):
            return world.live((Service(service), meeting))
        case ("host", service, owner):
            return bool(world.meetings_of(Service(service), owner))
    return bool(world.places_of_room(bound[1]))
