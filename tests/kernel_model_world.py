"""Who is where: live legs in a list, what is fixed while a meeting is live, and counts, made by looking at all legs every time."""

from dataclasses import dataclass, field, replace

from kernel_model_held import HOST_PLANS, PORTS, UNLIMITED, attends, counts_in, normal

from gateway.domain.join import Join, Role, Service


Place = tuple[Service, str]
"""A meeting of a service."""


def place_of(join: Join) -> Place:
    """Where a leg joins."""
    return join.service, join.meeting


@dataclass(frozen=True)
class Facts:
    """What is fixed while a meeting is live: by the leg that makes it live, and by the first that begins or streams it."""

    owner: str | None
    department: str | None
    licence: str | None = None
    hosted: bool = False
    streams_since: int | None = None


@dataclass(frozen=True)
class Leg:
    """A live leg. `counted`: not one that shadow mode let in, nor one that is there without anything that licenses it."""

    join: Join
    counted: bool
    connected: bool
    owner: str | None
    licensed_by: str | None = None
    counted_in: tuple[str, ...] = ()
    overage: bool = False
    would_deny: str | None = None
    node: str = ""
    admitted_ms: int = 0
    lease_ms: int = 0
    lease_end_ms: int = 0


@dataclass(frozen=True)
class World:
    """All live legs, and what is fixed when something goes live.

    `hosting`: owners that count as hosts (T2.7); `concurrent`: events that hold a licence of T12; `watched`: meetings whose host came under
    ports (T4.4).
    """

    legs: dict[str, Leg] = field(default_factory=dict)
    facts: dict[Place, Facts] = field(default_factory=dict)
    hosting: frozenset[tuple[Service, str]] = frozenset()
    concurrent: frozenset[str] = frozenset()
    watched: frozenset[Place] = frozenset()

    def joins(self, place: Place | None = None) -> list[Join]:
        """Legs that are counted, everywhere or in one place."""
        joins = [leg.join for leg in self.legs.values() if leg.counted]
        return [join for join in joins if place in {None, place_of(join)}]

    def attendees(self, event: str) -> int:
        """T11.2: presenters included, moderators not."""
        return sum(attends(join) for join in self.joins((Service.EVENT, event)))

    def panel(self, event: str) -> int:
        """T11.4: moderators and presenters together."""
        return sum(join.role is not Role.ATTENDEE for join in self.joins((Service.EVENT, event)))

    def live(self, place: Place) -> bool:
        """A meeting from its first leg on; an event from its first presenter or attendee."""
        return any(attends(join) for join in self.joins(place))

    def live_places(self, service: Service) -> set[Place]:
        """All that are live."""
        return {place_of(join) for join in self.joins() if join.service is service and attends(join)}

    def meetings_of(self, service: Service, owner: str | None) -> int:
        """How many live meetings somebody owns."""
        return sum(self.facts[place].owner == owner for place in self.live_places(service))

    def hosts(self, service: Service) -> int:
        """T2.7."""
        return sum(of is service for of, _ in self.hosting)

    def pool(self, name: str) -> int:
        """Legs that count in a pool."""
        return sum(counts_in(name, join) for join in self.joins())

    def places_of_room(self, room: str) -> int:
        """Meetings in which a room is (T13.1)."""
        return len({place_of(join) for join in self.joins() if join.room and normal(join.room) == normal(room)})

    def persons(self, place: Place, person: str) -> int:
        """Legs of a person in a meeting (T1.2), also those that nothing licenses."""
        joins = [leg.join for leg in self.legs.values() if not leg.would_deny and place_of(leg.join) == place]
        return sum(bool(join.person) and normal(join.person or "") == person for join in joins)

    def has_host(self, place: Place) -> bool:
        """Whether a leg has the role host (T4.4)."""
        return any(join.role is Role.HOST for join in self.joins(place))

    def with_changed(self, leg: Leg) -> "World":
        """A leg that is where it was, with other facts of its own."""
        return replace(self, legs={**self.legs, leg.join.connection: leg})

    def without(self, connection: str) -> "World":
        """One leg fewer; what has emptied is fixed no more."""
        legs = {name: leg for name, leg in self.legs.items() if name != connection}
        left = replace(self, legs=legs)
        left = replace(left, facts={place: facts for place, facts in self.facts.items() if left.live(place)})
        return replace(
            left,
            hosting=frozenset([each for each in self.hosting if left.meetings_of(*each)]),
            concurrent=frozenset([event for event in self.concurrent if left.attendees(event)]),
            watched=frozenset([place for place in self.watched if left.has_host(place)]),
        )

    def with_leg(self, leg: Leg, facts: Facts | None, plan: str | None) -> "World":
        """One leg more. `plan`: of the subscription that licenses it; without one it is not counted."""
        join, place = leg.join, place_of(leg.join)
        after = replace(self, legs={**self.legs, join.connection: leg}, facts=dict(self.facts))
        if facts is None or plan is None or not after.live(place):
            return after
        after.facts[place] = facts
        if plan == UNLIMITED and attends(join) and not self.live(place):
            after = replace(after, concurrent=self.concurrent | {join.meeting})
        if plan in HOST_PLANS and facts.owner and not self.meetings_of(join.service, facts.owner):
            after = replace(after, hosting=self.hosting | {(join.service, facts.owner)})
        if plan == PORTS and join.role is Role.HOST and not self.has_host(place):
            after = replace(after, watched=self.watched | {place})
        return after
