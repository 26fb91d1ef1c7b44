"""The judge of a simulation: it knows what media servers know, and what was written where; it never asks a gateway for a count.

A leg is *bypassed* where the limit was not asked, or its seat was lost: let in without the store, adopted, lost by a failover, reclaimed while
it was live. All others must fit the limit at any time, exactly; so whatever stands above a limit is explained, leg by leg.
"""

import collections
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from simulated_gateway import BUDGET_S, GatewayProcess, Gateways
from simulated_store import Deployment, Server
from simulated_world import EVENTS, HOSTS, METERED, PORTS, Leg, World

from gateway.domain.join import Endpoint, Join, Role, Service
from gateway.kernel.keys import keys_of
from gateway.kernel.leg_records import read_legs
from gateway.kernel.verify import verify


LEASE_S = 30.0
LONG_S = 60.0
"""After so long a node has renewed the leases of its legs, unless something else is in the way."""
CUSTOMERS = (PORTS, METERED, HOSTS, EVENTS)
MEETING_MAX, ATTENDEES_MAX = 3, 4


class Judge:
    """Watches one simulation."""

    def __init__(self, world: World, deployment: Deployment, gateways: Gateways) -> None:
        self._world = world
        self._deployment = deployment
        self._gateways = gateways
        self._ceilings: dict[str, list[tuple[float, int]]] = {PORTS: [], METERED: []}
        """From when on which ceiling held in the store."""
        self._opened_unjudged: set[tuple[str, str]] = set()
        """Meetings that a bypassed leg made live, or keeps live: whoever joins them is not asked about the limit above."""
        self.peaks: collections.Counter[tuple[str, int]] = collections.Counter()
        self.reclaimed = 0
        self.loses = False
        """Whether something acknowledged was lost, so that what a media server was told may not hold."""
        self.parted_s: dict[str, float] = collections.defaultdict(lambda: -LONG_S)
        """When a node could last not reach the gateways, though it was there."""
        self.versions: collections.Counter[str] = collections.Counter()
        """Greatest versions of entitlements whose change was acknowledged."""
        self.is_calm = False
        """Whether nothing goes wrong but that messages come twice and late."""
        self.is_strict = False
        """Whether the gateway knows at once what the store has lost, so that nobody is let in before it is back."""
        self.forgets = False
        """Whether a gateway has lost its disk, so that nobody may remember what the store loses."""
        world.on_begin = self._began
        deployment.on_entry = self._entry
        gateways.on_decision = self._decided

    def lost(self, before: Mapping[bytes, Any], after: Mapping[bytes, Any]) -> int:
        """The store was replaced by one with other data: seats that it does not know are bypassed. How many."""
        gone = 0
        for customer in CUSTOMERS:
            missing = _ids(before, customer) - _ids(after, customer)
            for leg in [self._world.legs.get((customer, connection)) for connection in missing]:
                if leg is not None and not leg.given_back_s:
                    self._bypass(leg, "lost")
                    gone += 1
        self._world.happened("seats lost", gone)
        for customer in self._ceilings:
            self._read_ceiling(after, customer)
        return gone

    def ended_by_operator(self, leg: Leg) -> None:
        """Its seat may be given to another before its media server knows."""
        self._bypass(leg, "ended by an operator")

    def acknowledged(self, customer: str, version: int) -> None:
        """An operator was told that a change holds."""
        self.versions[customer] = max(self.versions[customer], version)

    # While it runs

    def _began(self, leg: Leg) -> None:
        """The limits hold for all that were judged by them (I1)."""
        customer = leg.join.customer
        if leg.bypassed:
            self._opened_unjudged.add((customer, leg.join.meeting))
        live = self._world.live[customer].values()
        judged = [each for each in live if not each.bypassed]
        self._note_peak(customer, len(judged))
        self._world.sometimes["greatest overshoot"] = max(
            self._world.sometimes["greatest overshoot"], len(live) - self._allowed(leg)
        )
        if self.is_strict and customer == PORTS and len(live) > self._allowed(leg):
            self._world.fault(f"I1: {customer} has {len(live)} legs of {self._allowed(leg)}, also those that were lost")
        if leg.bypassed:
            return  # it is there because nobody asked, and the limit may just have been lowered below what is live
        for limit, use, ceiling in self._uses(leg, judged):
            if use > ceiling:
                self._world.fault(f"I1: {customer} has {use} legs in {limit} of {ceiling}, all of them judged")

    def _uses(self, leg: Leg, judged: Iterable[Leg]) -> list[tuple[str, int, int]]:
        judged = list(judged)
        meeting = [each for each in judged if each.join.meeting == leg.join.meeting]
        meetings = {each.join.meeting for each in judged} - {
            meeting for customer, meeting in self._opened_unjudged if customer == leg.join.customer
        }
        match leg.join.customer:
            case customer if customer in self._ceilings:
                return [("ports", len(judged), self._allowed(leg))]
            case customer if customer == HOSTS:
                return [("meeting", len(meeting), MEETING_MAX), ("host", len(meetings), 1)]
        return [("attendees", len(meeting), ATTENDEES_MAX), ("events", len(meetings), 1)]

    def _allowed(self, leg: Leg) -> int:
        """The greatest ceiling that held while the leg was asked about."""
        changes = self._ceilings.get(leg.join.customer, [(0.0, ATTENDEES_MAX)])
        before = [ceiling for at, ceiling in changes if at <= leg.asked_s][-1:]
        return max(before + [ceiling for at, ceiling in changes if at > leg.asked_s])

    def _decided(self, join: Join, answer: str) -> None:
        """Every decision of an id is the same until it is released (I2)."""
        leg = self._world.legs[join.customer, join.connection]
        now = self._world.loop.time()
        said = {each for _, each in leg.decisions}
        self._world.happened(f"answer {answer}")
        leg.decisions.append((now, answer))
        if answer in {"admitted", "degraded", "unavailable"}:
            return
        if leg.is_live and not leg.bypassed and "admitted" in said and answer != "too_late":
            self._world.fault(f"I2: {join.connection} is live and was admitted; decided again, it was {answer}")
        if answer == "ports_full" and self.is_calm:
            self._was_full(leg)
        if answer == "customer_unknown" and not self.forgets:
            self._world.fault(f"{join.customer} was said to be unknown")

    def _was_full(self, leg: Leg) -> None:
        """Nobody is denied a seat that was free: where nothing goes wrong, so many may have held one while it was asked."""
        held = [
            each
            for (customer, _), each in self._world.legs.items()
            if customer == leg.join.customer
            and each is not leg
            and (each.given_back_s is None or each.given_back_s >= leg.asked_s)
            and (not each.decisions or "admitted" in {said for _, said in each.decisions})
        ]
        ceiling = min(ceiling for _, ceiling in self._ceilings[leg.join.customer])
        if len(held) < ceiling:
            self._world.fault(
                f"I1: {leg.join.connection} was denied, and only {len(held)} seats of {ceiling} were held"
            )

    def _entry(self, server: Server, entry: Mapping[bytes, bytes]) -> None:
        """An entry of an outbox."""
        operation = entry[b"op"].decode()
        self._world.happened(f"entry {operation}")
        told = [entry.get(name, b"").decode() for name in (b"customer", b"connection", b"cause", b"reason")]
        self._world.trace(server.run_id, "entry", operation, *told)
        if b"version" in entry and server is self._deployment.master and told[0] in self._ceilings:
            self._read_ceiling(server.keyspace.data, told[0])
        if operation == "roll":
            live = [leg for leg in self._world.live[told[0]].values() if not leg.bypassed]
            self._note_peak(told[0], len(live))
        if b"connection" not in entry:
            return
        leg = self._world.legs.get((entry[b"customer"].decode(), entry[b"connection"].decode()))
        if leg is None:
            self._world.fault(f"I12: {operation} of {entry[b'connection']!r}, which nobody sent")
            return
        if server is not self._deployment.master and operation in {"admit", "adopt"}:
            self._bypass(leg, "old master")
        elif operation == "adopt":
            self._bypass(leg, "adopted")
        elif operation == "admit":
            self._in_time(server, leg)
            if _opens(server.keyspace.data, leg):
                self._opened_unjudged.discard((leg.join.customer, leg.join.meeting))
        elif operation == "reclaim":
            self._reclaimed(server, leg, entry[b"cause"].decode())

    def _note_peak(self, customer: str, legs: int) -> None:
        day = self._open_day(customer)
        self.peaks[customer, day] = max(self.peaks[customer, day], legs)

    def _read_ceiling(self, data: Mapping[bytes, Any], customer: str) -> None:
        (name,) = keys_of(customer, ("entitlements",))
        if name in data:
            (held,) = msgspec.json.decode(data[name])["customer"]["subscriptions"]
            self._ceilings[customer].append((self._world.loop.time(), held.get("ceiling") or held["committed"]))

    def _in_time(self, server: Server, leg: Leg) -> None:
        """Nothing is taken after the deadline, when nobody waits for it any more (F5)."""
        asked_s, offset_ms = self._world.asked[leg.join.connection]
        late_s = self._world.loop.time() - asked_s - BUDGET_S
        if late_s > 0.005 and offset_ms == server.offset_ms:
            self._world.fault(f"{leg.join.connection} was admitted {late_s:.3f} s after its deadline")

    def _bypass(self, leg: Leg, why: str) -> None:
        leg.bypassed = leg.bypassed or why
        self._opened_unjudged.add((leg.join.customer, leg.join.meeting))

    def _reclaimed(self, server: Server, leg: Leg, cause: str) -> None:
        """No leg is reclaimed within a lease of a message that said it is there (I4).

        But where its node says that it has left: a late copy of that, when the node is back, costs its legs their seats until it lists them.
        """
        self.reclaimed += 1
        if not leg.is_live:
            return
        silent_s = self._world.loop.time() - leg.heard_s
        if server is self._deployment.master:
            self._bypass(leg, "reclaimed")
            self._world.happened(f"{cause} while it was live")
            if cause == "lapsed" and self._world.loop.time() - self.parted_s[leg.node] > LONG_S:
                self._world.fault(f"I4: {leg.join.connection} was reclaimed, and its node was there all the time")
        if cause == "lapsed" and leg.heard_s >= 0 and silent_s < LEASE_S:
            self._world.fault(f"I4: {leg.join.connection} was reclaimed {silent_s:.3f} s after a sign of life")

    # When all is quiet

    async def judge(self, gateway: GatewayProcess) -> None:
        """After healing and quiet: the store holds what is true, and everything adds up."""
        for customer in CUSTOMERS:
            data = self._deployment.master.keyspace.data
            self._compare_legs(customer, data)
            self._replay_outbox(customer, data)
            found = await verify(gateway.core.kernel, customer)
            if not found.conclusive or found.differences:
                self._world.fault(f"verify: {customer}: {found.differences}")
            self._compare_version(customer, data)
        if not self.forgets:
            self._compare_registers()
        self._world.happened("runs")

    def agrees(self) -> bool:
        """Whether what the store counts is what is true."""
        data = self._deployment.master.keyspace.data
        return all(_ids(data, customer) == self._world.live[customer].keys() for customer in CUSTOMERS)

    async def probe(self, gateway: GatewayProcess) -> None:
        """When all is whole again a gateway decides, and decides right (I10)."""
        for customer, ceilings in self._ceilings.items():
            connection = f"probe-{gateway.name}"
            join = Join(
                customer=customer, connection=connection, service=Service.MEETING, meeting="probe",
                endpoint=Endpoint.WEB, role=Role.HOST,
            )  # fmt: skip
            self._world.legs[customer, connection] = Leg(join, "", self._world.loop.time())
            has_room = len(self._world.live[customer]) < ceilings[-1][1]
            answer = await gateway.admit(join, 2.0)
            if answer != ("admitted" if has_room else "ports_full"):
                self._world.fault(f"I10: {gateway.name} says {answer}, and there is {'' if has_room else 'no '}room")
            await gateway.release(customer, connection, "")

    def _compare_legs(self, customer: str, data: Mapping[bytes, Any]) -> None:
        """Live legs of the store are those of the media servers (I3)."""
        stored, true = _ids(data, customer), set(self._world.live[customer])
        for connection in sorted(stored - true):
            self._world.fault(f"I3: {customer} {connection} is counted, and nobody is connected")
        for connection in sorted(true - stored):
            self._world.fault(f"I3: {customer} {connection} is connected, and not counted")

    def _replay_outbox(self, customer: str, data: Mapping[bytes, Any]) -> None:
        """Admissions and adoptions, less releases and reclaims, are the live legs (I8)."""
        (name,) = keys_of(customer, ("outbox",))
        live: set[str] = set()
        for _, flat in data[name].entries:
            entry = dict(zip(flat[::2], flat[1::2], strict=True))
            if entry.get(b"customer") != customer.encode() or b"connection" not in entry:
                continue
            connection = entry[b"connection"].decode()
            match entry[b"op"]:
                case b"admit" | b"adopt":
                    if connection in live:
                        self._world.fault(f"I8: {customer} {connection} was taken twice")
                    live.add(connection)
                case b"release" | b"reclaim":
                    if connection not in live:
                        self._world.fault(f"I8: {customer} {connection} was given back twice")
                    live.discard(connection)
        if live != _ids(data, customer):
            self._world.fault(f"I8: {customer}: the outbox says {sorted(live)}")

    def _compare_version(self, customer: str, data: Mapping[bytes, Any]) -> None:
        """Entitlements that were acknowledged are there, in that version or a later one."""
        (name,) = keys_of(customer, ("groups",))
        if not self.forgets and int(data[name][b"!version"]) < self.versions[customer]:
            self._world.fault(f"{customer} is back at version {data[name][b'!version']!r}")

    def _compare_registers(self) -> None:
        """The peak of each day is at least what media servers saw (I5)."""
        data = self._deployment.master.keyspace.data
        for (customer, day), peak in self.peaks.items():
            if customer not in self._ceilings:
                continue
            groups, days = keys_of(customer, ("groups", "days"))
            open_day = day == self._open_day(customer)
            register = data[groups].get(b"#ports", b"") if open_day else data[days].get(b"%d ports" % day, b"")
            stored = int(register.split()[1]) if register else 0
            if stored < peak:
                self._world.fault(f"I5: {customer} had {peak} legs on day {day}, the register says {stored}")

    def _open_day(self, customer: str) -> int:
        """The day that the store counts in; its clock may say another one."""
        (name,) = keys_of(customer, ("groups",))
        return int(self._deployment.master.keyspace.data.get(name, {}).get(b"!day", b"0"))


def _ids(data: Mapping[bytes, Any], customer: str) -> set[str]:
    (name,) = keys_of(customer, ("legs",))
    return {leg.connection for leg in read_legs(data.get(name, {}).items())}


def _opens(data: Mapping[bytes, Any], leg: Leg) -> bool:
    """Whether the leg that was just admitted made its meeting live."""
    (name,) = keys_of(leg.join.customer, ("groups",))
    level = "attendees:event" if leg.join.service is Service.EVENT else "meeting:meeting"
    return bool(data[name].get(f"{level}:{leg.join.meeting}".encode()) == b"1")
