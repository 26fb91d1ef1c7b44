"""A plain model of the gateway: it keeps the live legs in a list and counts by looking at all of them, every time.

It knows no counter, no chain and no script, only the rules of the terms. The property test compares it with the real thing, step by step.
"""

from collections import Counter
from dataclasses import dataclass, field

from gateway.domain.days import day, day_at
from gateway.domain.join import Endpoint, Join, Role, Service


TOMBSTONE_MS = 120_000


@dataclass(frozen=True)
class Ports:
    """A subscription of ports or Teams ports; days are ordinals."""

    committed: int
    ceiling: int | None
    first: int
    last: int

    def active(self, today: int) -> bool:
        """Whether the day is in the term."""
        return self.first <= today <= self.last


@dataclass(frozen=True)
class Held:
    """What a customer holds."""

    ports: tuple[Ports, ...] = ()
    teams: tuple[Ports, ...] = ()
    hosts: tuple[str, ...] = ()
    simultaneous_hosts: int | None = None
    host_meeting_size: int = 100
    ports_meeting_size: int = 100
    licences: int = 0
    max_attendees: int = 1000
    attendees_hard: bool = False
    shadow: bool = False


@dataclass
class Leg:
    """A live leg; `counted` is False for one that shadow mode let in."""

    join: Join
    counted: bool
    reason: str


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


@dataclass
class Model:
    """One customer."""

    now_ms: int
    held: Held = field(default_factory=Held)
    suspended: bool = False
    legs: dict[str, Leg] = field(default_factory=dict)
    tombstones: dict[str, int] = field(default_factory=dict)
    owners: dict[tuple[Service, str], tuple[str | None, str | None]] = field(default_factory=dict)
    registers: dict[str, Register] = field(default_factory=dict)
    rows: dict[tuple[int, str], Register] = field(default_factory=dict)
    denied: Counter[str] = field(default_factory=Counter)
    would_deny: Counter[str] = field(default_factory=Counter)

    @property
    def today(self) -> int:
        """The day of now."""
        return day_at(self.now_ms).ordinal

    def counted(self, service: Service, meeting: str | None = None) -> list[Join]:
        """Live legs of a service that took seats."""
        joins = [leg.join for leg in self.legs.values() if leg.counted]
        return [join for join in joins if join.service is service and meeting in {None, join.meeting}]

    def pool(self, name: str) -> int:
        """Legs in a pool (T4.1, T8.1)."""
        return len(self.counted(Service.MEETING if name == "ports" else Service.TEAMS))

    def live_events(self) -> set[str]:
        """Events with a presenter or attendee (T11.1)."""
        return {join.meeting for join in self.counted(Service.EVENT) if join.role is not Role.MODERATOR}

    def is_live(self, service: Service, meeting: str) -> bool:
        """Whether the meeting has facts that are fixed."""
        return meeting in self.live_events() if service is Service.EVENT else bool(self.counted(service, meeting))

    def change(self, held: Held) -> None:
        """Other entitlements from now on (T4.3)."""
        self.held = held
        for name, committed in self.commitments(self.today).items():
            if name in self.registers:
                self.registers[name].committed = committed
                self.registers[name].see(self.pool(name), self.now_ms)
            else:
                self.registers[name] = open_register(committed, self.pool(name), self.now_ms)

    def commitments(self, today: int) -> dict[str, int]:
        """Commitment of each pool that has an active subscription."""
        pools = {"ports": self.held.ports, "teams_ports": self.held.teams}
        active = {name: [each for each in held if each.active(today)] for name, held in pools.items()}
        return {name: sum(each.committed for each in held) for name, held in active.items() if held}

    def advance(self, now_ms: int) -> None:
        """Time passes; at each midnight the registers begin anew with the legs that are there.

        Without a commitment any more, legs that stayed are held at the last one, and nobody joins them (T1.4).
        """
        while day(self.today).end_ms <= now_ms:
            closed, committed = self.today, self.commitments(self.today + 1)
            self.now_ms = day(closed).end_ms
            for name, register in self.registers.items():
                self.rows[closed, name] = register
            stayed = {
                name: open_register(register.committed, min(register.peak, self.pool(name)), self.now_ms)
                for name, register in self.registers.items()
            }
            self.registers = {name: register for name, register in stayed.items() if register.peak}
            for name, quantity in committed.items():
                self.registers[name] = open_register(quantity, self.pool(name), self.now_ms)
        self.now_ms = now_ms

    def all_rows(self) -> dict[tuple[int, str], Register]:
        """Closed days and the running one."""
        return {**self.rows, **{(self.today, name): register for name, register in self.registers.items()}}

    def decide(self, join: Join) -> str:
        """The reason of the decision; `conflict` where the id is in use for something else."""
        if self.tombstones.get(join.connection, 0) > self.now_ms:
            return "already_released"
        if join.connection in self.legs:
            return "replayed" if self.legs[join.connection].join.fingerprint == join.fingerprint else "conflict"
        if self.suspended:
            return "customer_suspended"
        reason = self.refusal(join)
        if reason is None:
            return "admitted"
        return "shadow" if self.held.shadow else reason

    def refusal(self, join: Join) -> str | None:
        """Why enforcement would refuse a new leg."""
        match join.service:
            case Service.MEETING:
                return self._meeting_refusal(join)
            case Service.TEAMS:
                return self._teams_refusal(join)
            case Service.EVENT:
                return self._event_refusal(join)

    def admit(self, join: Join) -> str:
        """Decides and takes the seat."""
        reason = self.decide(join)
        if reason in {"admitted", "shadow"}:
            if reason == "shadow":
                self.would_deny[str(self.refusal(join))] += 1
            elif not self.is_live(join.service, join.meeting) and (
                join.service is not Service.EVENT or join.role is not Role.MODERATOR
            ):
                self.owners[join.service, join.meeting] = (join.host, join.department)
            self.legs[join.connection] = Leg(join, counted=reason == "admitted", reason=reason)
            for name in self.commitments(self.today):
                self.registers[name].see(self.pool(name), self.now_ms)
        elif reason not in {"already_released", "replayed", "conflict"}:
            self.denied[reason] += 1
        return reason

    def release(self, connection: str) -> bool:
        """Gives the seat back; whether there was one."""
        if self.tombstones.get(connection, 0) > self.now_ms:
            return False
        self.tombstones[connection] = self.now_ms + TOMBSTONE_MS
        return self.legs.pop(connection, None) is not None

    def _facts(self, join: Join) -> tuple[str | None, str | None]:
        live = self.is_live(join.service, join.meeting)
        return self.owners[join.service, join.meeting] if live else (join.host, join.department)

    def _live_meetings_of(self, host: str) -> set[str]:
        return {
            join.meeting
            for join in self.counted(Service.MEETING)
            if self.owners[Service.MEETING, join.meeting][0] == host
        }

    def _meeting_refusal(self, join: Join) -> str | None:
        held, owner = self.held, self._facts(join)[0]
        ports = [each for each in held.ports if each.active(self.today)]
        if not ports and not held.hosts:
            return "subscription_inactive" if held.ports else "service_not_licensed"
        by_host = owner in held.hosts
        if not by_host and not ports:
            return "host_not_licensed"
        live = self.is_live(Service.MEETING, join.meeting)
        if owner and not live:
            hosting = self._live_meetings_of(owner)
            if by_host and hosting:
                return "host_busy"
            owners = {self.owners[Service.MEETING, each.meeting][0] for each in self.counted(Service.MEETING)} - {None}
            if (
                held.hosts
                and held.simultaneous_hosts is not None
                and not hosting
                and len(owners) >= held.simultaneous_hosts
            ):
                return "hosts_full"
        if not by_host and not live and join.role is not Role.HOST:
            return "host_not_present"
        size = held.host_meeting_size if by_host else held.ports_meeting_size
        if len(self.counted(Service.MEETING, join.meeting)) >= size:
            return "meeting_full"
        ceilings = [each.ceiling for each in ports]
        if ports and None not in ceilings and self.pool("ports") >= sum(each or 0 for each in ceilings):
            return "ports_full"
        return None

    def _teams_refusal(self, join: Join) -> str | None:
        teams = [each for each in self.held.teams if each.active(self.today)]
        if not teams:
            return "subscription_inactive" if self.held.teams else "service_not_licensed"
        if join.endpoint not in {Endpoint.SIP, Endpoint.H323}:
            return "endpoint_not_supported"
        ceilings = [each.ceiling for each in teams]
        if None not in ceilings and self.pool("teams_ports") >= sum(each or 0 for each in ceilings):
            return "teams_ports_full"
        return None

    def _event_refusal(self, join: Join) -> str | None:
        if not self.held.licences:
            return "service_not_licensed"
        if self._facts(join)[1] != "finance":
            return "department_not_licensed"
        if join.role is Role.MODERATOR:
            return None
        live = self.live_events()
        if join.meeting not in live and len(live) >= self.held.licences:
            return "events_concurrent_full"
        attendees = [each for each in self.counted(Service.EVENT, join.meeting) if each.role is not Role.MODERATOR]
        if self.held.attendees_hard and len(attendees) >= self.held.max_attendees:
            return "event_full"
        return None
