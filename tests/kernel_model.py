"""A plain model of the gateway: it keeps the live legs in a list and counts by looking at all of them, every time.

It knows no counter, chain, mark or script, only the rules of the terms. The property test compares it with the real thing, step by step.
What is held is read in `kernel_model_held`, who is where in `kernel_model_world`, the rules are in `kernel_model_rules`, what outlasts legs in
`kernel_model_past`.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import kernel_model_leases as leases
from kernel_model_held import (
    HOUR_MS,
    Held,
    Sub,
    attends,
    counts_in,
    normal,
    owner_said,
    rooms,
)
from kernel_model_past import Past
from kernel_model_rules import Case, before_the_licence, licences, refusals
from kernel_model_world import Facts, Leg, Place, World, place_of

from gateway.domain.days import day, day_at
from gateway.domain.join import Join, Role, Service
from gateway.domain.reasons import Reason


TOMBSTONE_MS = 120_000
EVENTS_FULL = {"events_concurrent_full", "events_exhausted"}


@dataclass(frozen=True)
class Verdict:
    """A decision; also `conflict` and `unknown`, where there is none."""

    reason: str
    licensed_by: str | None = None
    counted_in: tuple[str, ...] = ()
    overage: bool = False
    would_deny: str | None = None


@dataclass
class Register:
    """Greatest use of a pool in a day."""

    committed: int
    peak: int
    peak_at_ms: int
    overage: int

    def see(self, count: int, now_ms: int) -> None:
        """Notes a count."""
        if count > self.peak:
            self.peak, self.peak_at_ms = count, now_ms
        self.overage = max(self.overage, count - self.committed)


def open_register(committed: int, count: int, now_ms: int) -> Register:
    """A register that begins with legs already there (T4.3)."""
    return Register(committed, count, now_ms, max(0, count - committed))


@dataclass(frozen=True)
class Judged:
    """What would become of a join."""

    verdict: Verdict
    leg: Leg
    licence: Sub | None
    after: World

    @property
    def reason(self) -> str:
        """Why it is refused, or would be but for shadow mode."""
        return self.verdict.would_deny or self.verdict.reason


@dataclass
class Model:
    """One customer."""

    now_ms: int
    held: Held = field(default_factory=Held)
    suspended: bool = False
    suspended_hosts: set[str] = field(default_factory=set)
    world: World = field(default_factory=World)
    past: Past = field(default_factory=Past)
    tombstones: dict[str, int] = field(default_factory=dict)
    registers: dict[str, Register] = field(default_factory=dict)
    rows: dict[tuple[int, str], Register] = field(default_factory=dict)
    denied: Counter[str] = field(default_factory=Counter)
    would_deny: Counter[str] = field(default_factory=Counter)
    lapses: leases.Lapses = field(default_factory=leases.Lapses)

    @property
    def today(self) -> int:
        """The day of now."""
        return day_at(self.now_ms).ordinal

    def change(self, held: Held) -> None:
        """Other entitlements from now on (T4.3)."""
        self.held = held
        for name, pool in held.pools(self.today).items():
            if name in self.registers:
                self.registers[name].committed = pool.committed
                self.registers[name].see(self.world.pool(name), self.now_ms)
            else:
                self.registers[name] = open_register(pool.committed, self.world.pool(name), self.now_ms)

    def advance(self, now_ms: int) -> None:
        """Time passes; at each midnight the registers begin anew with the legs that are there.

        Without a commitment any more, legs that stayed are held at the last one, and nobody joins them (T1.4).
        """
        while day(self.today).end_ms <= now_ms:
            closed, pools = self.today, self.held.pools(self.today + 1)
            self.now_ms = day(closed).end_ms
            for name, register in self.registers.items():
                self.rows[closed, name] = register
            stayed = {
                name: open_register(register.committed, min(register.peak, self.world.pool(name)), self.now_ms)
                for name, register in self.registers.items()
            }
            self.registers = {name: register for name, register in stayed.items() if register.peak}
            for name, pool in pools.items():
                self.registers[name] = open_register(pool.committed, self.world.pool(name), self.now_ms)
        self.now_ms = now_ms

    def all_rows(self) -> dict[tuple[int, str], Register]:
        """Closed days and the running one."""
        return {**self.rows, **{(self.today, name): register for name, register in self.registers.items()}}

    def ends(self) -> list[tuple[int, Place]]:
        """When live events and streams reach what they may last at most, under whatever order (T1.3, T11.5, T12.2)."""
        events = [
            (self.now_ms + hours * HOUR_MS - self.past.events[event].live_ms(self.now_ms), (service, event))
            for service, event in self.world.live_places(Service.EVENT)
            for hours in (2, 8)
        ]
        since = [(facts.streams_since, place) for place, facts in self.world.facts.items()]
        streams = [(began + HOUR_MS // parts, place) for began, place in since if began is not None for parts in (2, 1)]
        return sorted([*events, *streams])

    def decide(self, join: Join) -> Verdict:
        """What would be decided; changes nothing."""
        return self._known(join) or self._judged(join, self.world).verdict

    def admit(self, join: Join) -> Verdict:
        """Decides and takes the seat."""
        known = self._known(join)
        if known:
            if known.reason == "replayed":
                self.world = self.world.with_changed(leases.asked_again(self.world.legs[join.connection], self.now_ms))
            return known
        judged = self._without_lapsed(lambda: self._judged(join, self.world))
        if judged.verdict.reason in {"admitted", "shadow"}:
            self.past.count_joined(join, self.world, self.today, counted=judged.leg.counted)
        return self._carried_out(judged)

    def move(self, join: Join, origin: str) -> Verdict:
        """From one meeting or role to another, in one step."""
        if self.tombstones.get(join.connection, 0) > self.now_ms:
            return Verdict("already_released")
        leg = self.world.legs.get(join.connection)
        if leg is None:
            return Verdict("unknown")
        if leg.join.fingerprint == join.fingerprint:
            return _replayed(leg)
        if leg.join.meeting != origin:
            return Verdict("conflict")

        def judge() -> Judged:
            return self._judged(join, self.world.without(join.connection), moving=leg)

        judged = self._without_lapsed(judge)
        return self._carried_out(judged) if join.connection in self.world.legs else Verdict("unknown")

    def confirm(self, join: Join) -> str:
        """A leg is connected; one that is not known is counted all the same."""
        if self.tombstones.get(join.connection, 0) > self.now_ms:
            return "released"
        leg = self.world.legs.get(join.connection)
        if leg is None:
            self._adopt(join)
            return "adopted"
        if leg.join.fingerprint != join.fingerprint:
            return "conflict"
        self.world = self.world.with_changed(leases.confirmed(leg, join, self.now_ms))
        if leg.counted and not leg.connected:
            self.past.confirm(leg)
        return "confirmed"

    def beat(self, connections: Iterable[str]) -> list[str]:
        """A node lists legs; those that are unknown."""
        listed = list(connections)
        for connection in listed:
            if connection in self.world.legs:
                self.world = self.world.with_changed(leases.listed(self.world.legs[connection], self.now_ms))
        released = {connection for connection, until_ms in self.tombstones.items() if until_ms > self.now_ms}
        return [each for each in listed if each not in self.world.legs and each not in released]

    def sweep(self) -> list[Leg]:
        """Lapsed legs are reclaimed, in this order."""
        found = self.lapses.found(self.world.legs.values(), self.now_ms)
        self.reclaim([leg.join.connection for leg in found])
        return found

    def reclaim(self, connections: Iterable[str]) -> None:
        """Seats of legs are taken back; who is alive after all is adopted again."""
        for connection in connections:
            self._becomes(self.world.without(connection), connection)

    def release(self, connection: str) -> bool:
        """Gives the seat back; whether there was one."""
        if self.tombstones.get(connection, 0) > self.now_ms:
            return False
        self.tombstones[connection] = self.now_ms + TOMBSTONE_MS
        found = connection in self.world.legs
        self._becomes(self.world.without(connection), connection)
        return found

    def _without_lapsed(self, judge: Callable[[], Judged]) -> Judged:
        """A limit that is full is judged once more without the legs that have lapsed."""
        judged = judge()
        lapsed = any(leg.lease_end_ms <= self.now_ms for leg in self.world.legs.values())
        if judged.reason in {"admitted", "host_not_present", *leases.NO_LIMIT} or not lapsed:
            return judged
        found = self.lapses.found(self.world.legs.values(), self.now_ms)[: leases.AT_ONCE]
        self.reclaim([leg.join.connection for leg in found])
        return judge()

    def _adopt(self, join: Join) -> None:
        """A leg that is there is counted as far as anything licenses it, over every limit."""
        judged = self._judged(join, self.world, adopting=True)
        if judged.licence:
            self.past.take(judged.leg, judged.licence, self.world, judged.after, now_ms=self.now_ms, joins=False)
            self._note(judged.leg, judged.licence)
        self._becomes(judged.after, join.connection)

    def _note(self, leg: Leg, licence: Sub) -> None:
        room = rooms(self.held, self.today).get(normal(leg.join.room)) if leg.join.room else None
        self.past.note(leg, licence, room, self.today)

    def _known(self, join: Join) -> Verdict | None:
        if self.tombstones.get(join.connection, 0) > self.now_ms:
            return Verdict("already_released")
        leg = self.world.legs.get(join.connection)
        if leg is None:
            return None
        return _replayed(leg) if leg.join.fingerprint == join.fingerprint else Verdict("conflict")

    def _leg(self, join: Join, moving: Leg | None, *, adopting: bool) -> Leg:
        leg = Leg(join, counted=True, connected=adopting, owner=self._facts(join).owner)
        if moving:
            return leases.moved(replace(leg, connected=moving.connected), moving)
        if adopting:
            return leases.adopted(leg, self.now_ms)
        return leases.admitted(replace(leg, connected=not (join.node or join.lease_s)), self.now_ms)

    def _judged(self, join: Join, without: World, moving: Leg | None = None, *, adopting: bool = False) -> Judged:
        facts, leg = self._facts(join), self._leg(join, moving, adopting=adopting)
        if self.suspended:
            return self._refused("customer_suspended", leg, without, adopting=adopting)
        used = {sub for sub in self.past.used if join.meeting in self.past.used_by(sub, self.world)}
        found = licences(self.held, join, facts, self.today, used)
        if isinstance(found, str):
            reason = _first([found, *before_the_licence(self.held, join, self.today)])
            return self._refused(reason, leg, without, adopting=adopting)
        exempt = moving is not None and moving.owner is not None and moving.owner == facts.owner
        facts = _with_leg(facts, join, self.now_ms)
        for licence in found:
            leg, after = self._placed(leg, facts, licence, without)
            case = Case(
                join, licence, facts, self.world, without, after, self.held, self.past, self.today, self.now_ms, exempt
            )
            reason = _first(refusals(case, self.suspended_hosts))
            if reason is None:
                return Judged(Verdict("admitted", leg.licensed_by, leg.counted_in, leg.overage), leg, licence, after)
            if reason not in EVENTS_FULL:
                break
        if adopting and not self.held.shadow and reason not in leases.NO_LIMIT:
            return Judged(Verdict("adopted"), leg, licence, after)
        return self._refused(reason, leg, without, adopting=adopting)

    def _refused(self, reason: str | None, leg: Leg, without: World, *, adopting: bool) -> Judged:
        assert reason, "there is one"
        shadow = self.held.shadow and not self.suspended
        if not (shadow or adopting):
            return Judged(Verdict(reason), leg, None, self.world)
        leg = replace(leg, counted=False, licensed_by=None, counted_in=(), overage=False)
        leg = replace(leg, would_deny=reason if shadow else None)
        after = without.with_leg(leg, None, None)
        return Judged(Verdict("shadow", would_deny=reason), leg, None, after)

    def _facts(self, join: Join) -> Facts:
        """Those of the live meeting, otherwise what the join says."""
        department = join.department if join.service is Service.EVENT else None
        return self.world.facts.get(place_of(join)) or Facts(owner_said(join), department)

    def _placed(self, leg: Leg, facts: Facts, licence: Sub, without: World) -> tuple[Leg, World]:
        """The leg under a licence, and the world with it."""
        join = leg.join
        if join.service is Service.EVENT and attends(join):
            facts = replace(facts, licence=licence["id"])
        leg = replace(leg, licensed_by=licence["id"])
        after = without.with_leg(leg, facts, licence["plan"])
        pools = {name: pool for name, pool in self.held.pools(self.today).items() if counts_in(name, join)}
        over = any(after.pool(name) > pool.committed for name, pool in pools.items())
        drawn_on = [sub for pool in pools.values() for sub in pool.subs]
        if join.service is Service.EVENT:
            drawn_on.append(licence["id"])
            over = over or (attends(join) and after.attendees(join.meeting) > licence["max_attendees"])
        leg = replace(leg, overage=over, counted_in=tuple(sorted(set(drawn_on))))
        return leg, without.with_leg(leg, facts, licence["plan"])

    def _carried_out(self, judged: Judged) -> Verdict:
        verdict, leg = judged.verdict, judged.leg
        if verdict.reason not in {"admitted", "shadow"}:
            self.denied[verdict.reason] += 1
            return verdict
        if verdict.would_deny:
            self.would_deny[verdict.would_deny] += 1
        if judged.licence:
            self.past.take(leg, judged.licence, self.world, judged.after, now_ms=self.now_ms)
            self._note(leg, judged.licence)
        self._becomes(judged.after, leg.join.connection)
        return verdict

    def _becomes(self, after: World, connection: str) -> None:
        self.past.settle(self.world, after, now_ms=self.now_ms, left_quietly=_goes_on(self.world, after, connection))
        self.world = after
        for name in self.held.pools(self.today):
            self.registers[name].see(after.pool(name), self.now_ms)


def _with_leg(facts: Facts, join: Join, now_ms: int) -> Facts:
    """The facts with this leg: a host has been there (T4.4), it streams (T1.3)."""
    if join.service is Service.MEETING and join.role is Role.HOST:
        facts = replace(facts, hosted=True)
    if "streaming" in join.features and facts.streams_since is None:
        facts = replace(facts, streams_since=now_ms)
    return facts


def _goes_on(before: World, after: World, connection: str) -> Place | None:
    """The meeting that a leg has left for another one of the same owner (T4.4)."""
    was, becomes = before.legs.get(connection), after.legs.get(connection)
    if was is None or becomes is None or was.owner is None or place_of(was.join) == place_of(becomes.join):
        return None
    return place_of(was.join) if was.owner == becomes.owner else None


def _first(reasons: Iterable[str]) -> str | None:
    return min(reasons, key=lambda reason: Reason(reason).rank, default=None)


def _replayed(leg: Leg) -> Verdict:
    return Verdict("replayed", leg.licensed_by, leg.counted_in, leg.overage, leg.would_deny)
