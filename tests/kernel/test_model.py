"""Random joins, moves, releases, previews, changes of plans and of days, compared with the plain model on a real Redis."""

import os
import random
from collections.abc import Iterator
from datetime import date
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from kernel_draws import BEGINNINGS, CHANGES, HOSTS, MEETINGS, held_of, joined, joins, moved, plans, present, traffic
from kernel_model_held import Held
from kernel_model_pair import SEEN, Pair
from kernel_model_world import Leg, place_of
from msgspec.structs import replace
from support import ports

from gateway.domain.days import day
from gateway.domain.join import ROLES, Endpoint, Join, Role, Service
from gateway.domain.reasons import DENIALS


NEVER_SEEN = {"too_late", "customer_unknown", "customer_terminated", "store_unavailable", "panel_full"}
"""Denials of other customers, of 101 legs, or of no rule; other tests show them."""

FIRST_LEG = {"connection": "first", "service": Service.MEETING, "meeting": "m1", "endpoint": Endpoint.WEB,
    "role": ROLES[Service.MEETING][1], "media": "audio"}  # fmt: skip
"""Persons are counted from a customer's first leg of audio on (T1.2)."""


class Comparison(RuleBasedStateMachine):
    """Two gateways on one store, and the model; every answer must be the same."""

    urls: ClassVar[Iterator[str]]

    def __init__(self) -> None:
        super().__init__()
        self.ids = 0
        self._pair: Pair | None = None

    @property
    def pair(self) -> Pair:
        """Both sides."""
        assert self._pair, "begin comes first"
        return self._pair

    @initialize(date=st.sampled_from(sorted(BEGINNINGS)), drawn=plans())
    def begin(self, date: str, drawn: dict[str, Any]) -> None:
        """Noon of a day, with a customer that holds something."""
        self._pair = Pair(next(self.urls), day_of(date))
        self.pair.change(Held(({**ports(1), "id": "first"},)))
        self.pair.admit(joined(FIRST_LEG))
        self.pair.release("first")
        self.pair.change(held_of(drawn, self.pair.beginning))

    def teardown(self) -> None:
        """When all has been released, nothing is counted; comparison and verification hold before and after."""
        if self._pair is None:
            return
        try:
            self.pair.compare()
            for connection in list(self.pair.model.world.legs):
                self.pair.release(connection)
            self.pair.compare()
            self.pair.verify()
        finally:
            self.pair.close()

    @rule(
        operations=st.lists(
            st.tuples(traffic(), st.integers(0, 29), joins(), st.integers(0, 1)), min_size=8, max_size=24
        )
    )
    def operate(self, operations: list[tuple[str, int, dict[str, Any], int]]) -> None:
        """Legs come, move, ask again and leave; some ids are unknown, or were used before."""
        for what, number, fields, gateway in operations:
            self._operate(what, self._leg(number), fields, gateway)

    def _operate(self, what: str, leg: Leg | None, fields: dict[str, Any], gateway: int) -> None:
        match what:
            case "join":
                self._join(fields, gateway)
            case "join again":
                self.pair.admit(joined(fields), gateway)
            case "preview":
                self.pair.preview(joined(fields), gateway)
            case "move unknown" if fields["connection"] not in self.pair.model.world.legs:
                self.pair.move(joined(fields), fields["meeting"], gateway)
            case "leave unknown":
                self.pair.release(fields["connection"], gateway)
            case "repeat" if leg:
                self.pair.admit(leg.join, gateway)
            case "leave" if leg:
                self.pair.release(leg.join.connection, gateway)
            case "move from elsewhere" if leg:
                self.pair.move(moved(leg.join, fields, "meeting"), "elsewhere", gateway)
            case _ if leg and what in CHANGES:
                self.pair.move(moved(leg.join, fields, what), leg.join.meeting, gateway)
            case _:
                self._keep_alive(what, leg, fields, gateway)

    def _keep_alive(self, what: str, leg: Leg | None, fields: dict[str, Any], gateway: int) -> None:
        match what:
            case "adopt":
                self.ids += 1
                self.pair.confirm(present({**fields, "connection": f"new-{self.ids}"}), gateway)
            case "confirm any":
                self.pair.confirm(present(fields), gateway)
            case "confirm" if leg:
                self.pair.confirm(leg.join, gateway)
            case "confirm by another" if leg:
                self.pair.confirm(replace(leg.join, node=fields["node"], lease_s=fields["lease_s"]), gateway)
            case "return":
                released = {**fields, "connection": list(self.pair.model.tombstones)[-1]}
                self.pair.confirm(present(released), gateway)
                self.pair.admit(joined(released), gateway)
            case "list":
                self._list(fields["connection"], gateway)
            case "sweep":
                self.pair.sweep(gateway)

    def _list(self, connection: str, gateway: int) -> None:
        """A node lists what it has, and something that is of no leg, or of a leg of any."""
        owned = [name for name, leg in self.pair.model.world.legs.items() if leg.node == "media-1"]
        self.pair.beat([*owned, connection], gateway)

    @rule(
        turns=st.lists(st.tuples(st.sampled_from([1, 10, 19, 20, 29, 30]), st.booleans()), min_size=1, max_size=3),
        fields=joins(),
        asked=st.booleans(),
        gateway=st.integers(0, 1),
    )
    def lapse(self, turns: list[tuple[int, bool]], fields: dict[str, Any], *, asked: bool, gateway: int) -> None:
        """Time passes, in which one node lists its legs or does not; what has lapsed is met by a join, and swept."""
        for seconds, lists in turns:
            self.wait(seconds)
            if lists:
                self._list(fields["connection"], gateway)
            if asked:
                self._join(fields, gateway)
            self.pair.sweep(gateway)

    @rule(fields=joins(), size=st.integers(20, 24), back=st.integers(0, 24), gateway=st.integers(0, 1))
    def lapse_together(self, fields: dict[str, Any], *, size: int, back: int, gateway: int) -> None:
        """Many legs of a node, which nobody has heard of before, lapse at one time; some of them come back."""
        legs = [f"new-{self.ids + number}" for number in range(1, size + 1)]
        self.ids += size
        for number, connection in enumerate(legs):
            meeting = MEETINGS[number % len(MEETINGS)]
            self.pair.confirm(
                present({**fields, "connection": connection, "meeting": meeting, "node": "media-2"}), gateway
            )
        for connections in (legs[:back], []):
            self.wait(30)
            self.pair.sweep(gateway)
            self._join(fields, gateway)
            self.pair.beat(connections, gateway)

    @rule(node=st.sampled_from(["media-1", "media-2"]), gateway=st.integers(0, 1))
    def depart(self, node: str, gateway: int) -> None:
        """A node leaves; what it had is adopted by another one, as far as it is drawn again."""
        self.pair.leave(node, gateway)

    @rule(fields=joins(), size=st.integers(2, 8), gateway=st.integers(0, 1))
    def crowd(self, fields: dict[str, Any], size: int, gateway: int) -> None:
        """Many come to one meeting, its host first."""
        self._join({**fields, "role": ROLES[fields["service"]][1], "room": None}, gateway)
        for _ in range(size - 1):
            self._join(fields, gateway)

    @rule(service=st.sampled_from(list(Service)), host=st.sampled_from(HOSTS), gateway=st.integers(0, 1))
    def spread(self, service: Service, host: str | None, gateway: int) -> None:
        """One host opens every meeting, one after the other."""
        facts = {"service": service, "endpoint": Endpoint.SIP, "role": ROLES[service][1], "host": host}
        for meeting in MEETINGS:
            self._join({**facts, "department": "finance", "meeting": meeting}, gateway)

    @rule(meeting=st.sampled_from(MEETINGS), fields=joins(), what=st.sampled_from(CHANGES), gateway=st.integers(0, 1))
    def gather(self, meeting: str, fields: dict[str, Any], what: str, gateway: int) -> None:
        """All legs of one meeting move, as if it had been split or joined to another one."""
        for leg in list(self.pair.model.world.legs.values()):
            if place_of(leg.join) == (fields["service"], meeting):
                self.pair.move(moved(leg.join, fields, what), meeting, gateway)

    @rule(
        gateway=st.integers(0, 1),
        drawn=plans(),
        moves=st.lists(st.tuples(st.sampled_from(CHANGES), st.integers(0, 29), joins()), max_size=6),
    )
    def change_plans(self, gateway: int, drawn: dict[str, Any], moves: list[tuple[str, int, dict[str, Any]]]) -> None:
        """Plans are added, changed and removed under live legs, some of which move then."""
        self.pair.change(held_of(drawn, self.pair.beginning), gateway)
        self.operate([(*each, gateway) for each in moves])

    @rule(
        operations=st.lists(st.tuples(traffic(), st.integers(0, 29), joins()), max_size=4),
        host=st.sampled_from([None, "Bob@acme.example", "eve@globex.example"]),
        gateway=st.integers(0, 1),
    )
    def suspend(self, operations: list[tuple[str, int, dict[str, Any]]], host: str | None, gateway: int) -> None:
        """The customer is suspended, and resumed after a while; or one host is, until next time."""
        if host:
            self.pair.suspend_host(host, gateway)
            return
        self.pair.suspend(True, gateway)
        self.operate([(*each, gateway) for each in operations])
        self.pair.suspend(False, gateway)

    @rule(seconds=st.sampled_from([1, 60, 121, 3599, 3600, 7200, 28800]))
    def wait(self, seconds: int) -> None:
        """Some time passes."""
        self.pair.advance(self.pair.model.now_ms + seconds * 1000)

    @rule(number=st.integers(0, 9), late_ms=st.integers(-1, 0), joins=st.lists(joins(), min_size=1, max_size=4))
    def reach_limit(self, number: int, late_ms: int, joins: list[dict[str, Any]]) -> None:
        """A live event or stream reaches the end of what it may last, and some want to join it."""
        ends = [end for end in self.pair.model.ends() if end[0] > self.pair.model.now_ms]
        if ends:
            at, (service, meeting) = ends[number % len(ends)]
            self.pair.advance(at + late_ms)
            for fields in joins:
                role = fields["role"] if fields["role"] in ROLES[service] else ROLES[service][0]
                self._join({**fields, "service": service, "meeting": meeting, "role": role, "room": None}, 0)

    @rule(number=st.integers(0, 9), fields=joins(), gateway=st.integers(0, 1))
    def open_again(self, number: int, fields: dict[str, Any], gateway: int) -> None:
        """An event that was held is opened once more."""
        model = self.pair.model
        events = sorted(model.past.events.keys() - {event for _, event in model.world.live_places(Service.EVENT)})
        if events:
            event = {"service": Service.EVENT, "meeting": events[number % len(events)], "role": Role.PRESENTER}
            self._join({**fields, **event, "department": "finance", "room": None, "features": ()}, gateway)

    @rule(
        number=st.integers(0, 9), turns=st.integers(0, 2), fields=joins(), seconds=st.sampled_from([0, 600, 1800, 3600])
    )
    def stream(self, number: int, turns: int, fields: dict[str, Any], seconds: int) -> None:
        """A leg of any role begins to stream a live meeting or event, once more later, and others come (T1.3)."""
        world = self.pair.model.world
        places = sorted(world.live_places(Service.MEETING) | world.live_places(Service.EVENT))
        if places:
            service, meeting = places[number % len(places)]
            leg = {**fields, "service": service, "meeting": meeting, "room": None, "department": "finance"}
            role = ROLES[service][turns % len(ROLES[service])]
            for features, each in (
                (("streaming",), role),
                (("streaming",), ROLES[service][0]),
                ((), ROLES[service][1]),
            ):
                self._join({**leg, "features": features, "role": each}, 0)
                self.wait(seconds)

    @rule(number=st.integers(0, 9), fields=joins(), gateway=st.integers(0, 1))
    def leave_alone(self, number: int, fields: dict[str, Any], gateway: int) -> None:
        """The hosts of a meeting leave it; a minute later somebody joins, then a host; then another minute passes."""
        places = sorted(self.pair.model.world.live_places(Service.MEETING))
        if not places:
            return
        place = places[number % len(places)]
        for leg in list(self.pair.model.world.legs.values()):
            if place_of(leg.join) == place and leg.join.role is Role.HOST:
                self.pair.release(leg.join.connection, gateway)
        for role in ROLES[Service.MEETING]:
            self.wait(60)
            self._join({**fields, "service": Service.MEETING, "meeting": place[1], "role": role, "room": None}, gateway)
        self.wait(60)

    @rule(
        service=st.sampled_from([Service.MEETING, Service.EVENT]), fields=joins(), hours=st.sampled_from([0, 1, 24, 24])
    )
    def call_and_join(self, service: Service, fields: dict[str, Any], hours: int) -> None:
        """Somebody calls, and joins by another leg on the same day or the next, when somebody else has called (T1.2)."""
        facts = {"service": service, "meeting": fields["meeting"], "role": ROLES[service][1], "host": fields["host"]}
        leg = {**facts, "department": "finance", "person": "pat@acme.example"}
        self._join({**leg, "endpoint": Endpoint.PSTN}, 0)
        self.wait(hours * 3600)
        self._join({**leg, "endpoint": Endpoint.PSTN, "person": None}, 0)
        self._join({**leg, "endpoint": Endpoint.WEB}, 1)

    @rule(
        days=st.sampled_from([1, 1, 2, 3]),
        offset_ms=st.sampled_from([-1, 0, 0, 1, 3_600_000]),
        first=traffic(),
        fields=joins(),
        gateway=st.integers(0, 1),
    )
    def midnight(self, *, days: int, offset_ms: int, first: str, fields: dict[str, Any], gateway: int) -> None:
        """It becomes midnight, or one millisecond before or after it, and something is the first on that day."""
        model = self.pair.model
        self.pair.advance(max(day(model.today + days).start_ms + offset_ms, model.now_ms))
        self._operate(first, self._leg(0), fields, gateway)
        self.pair.compare()

    @invariant()
    def counters_are_what_legs_say(self) -> None:
        """The kernel's own verification."""
        if self._pair:
            self.pair.verify()

    def _leg(self, number: int) -> Leg | None:
        legs = sorted(self.pair.model.world.legs)
        return self.pair.model.world.legs[legs[number % len(legs)]] if legs else None

    def _join(self, fields: dict[str, Any], gateway: int) -> None:
        """A leg whose id was not seen before."""
        self.ids += 1
        self.pair.admit(joined({**fields, "connection": f"new-{self.ids}"}), gateway)


def day_of(text: str) -> int:
    """The ordinal of a date."""
    return date.fromisoformat(text).toordinal()


def _compare(redis_server: Any, databases: Iterator[int], examples: int, steps: int) -> None:
    """Runs the comparison; the seed is printed, and can be given as MODEL_SEED. With MODEL_SHRINK=0 a failure is shown as it was found."""
    chosen = int(os.environ.get("MODEL_SEED", random.randrange(2**32)))
    print(f"MODEL_SEED={chosen}")  # noqa: T201 - shown when the test fails
    shrink = os.environ.get("MODEL_SHRINK", "1") == "1"
    machine = type("Seeded", (Comparison,), {"urls": (redis_server.url(number) for number in databases)})
    run_state_machine_as_test(
        seed(chosen)(machine),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            print_blob=True,
            database=None,
            phases=[phase for phase in Phase if shrink or phase in {Phase.generate, Phase.reuse}],
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.timeout(0)  # a failure is shrunk, which takes its time
def test_T1_T2_T3_T4_T7_T8_T10_to_T17_T20_any_sequence_is_decided_and_metered_as_the_model_says(
    redis_server: Any, databases: Iterator[int]
) -> None:
    """Joins, moves, releases, previews, plans and days in any order: every answer, count and register is the model's."""
    _compare(redis_server, databases, examples=75, steps=40)


@pytest.fixture
def pair(store_url: str) -> Iterator[Pair]:
    """The model beside two gateways, for sequences that chance seldom makes."""
    made = Pair(store_url, day_of("2026-06-10"))
    yield made
    made.compare()
    made.verify()
    made.close()


def per_event(quantity: int, last: str, **fields: Any) -> dict[str, Any]:
    """A subscription of events."""
    ends = {"term": {"from": "2026-06-01", "to": last}}
    return {"id": last, "plan": "events.per_event", "quantity": quantity, "max_attendees": 9, **ends, **fields}


def presenter(connection: str, event: str, **fields: Any) -> Join:
    """A leg that makes an event live."""
    facts = {"service": Service.EVENT, "endpoint": Endpoint.WEB, "role": Role.PRESENTER}
    return joined({**facts, "connection": connection, "meeting": event, **fields})


def test_T11_1_a_move_that_gives_back_as_many_events_as_it_uses_is_not_refused(pair: Pair) -> None:
    """Also where fewer events are held by now than are used."""
    pair.change(Held((per_event(2, "2026-06-30"),)))
    for connection, event in (("a", "e1"), ("b", "e2")):
        pair.admit(presenter(connection, event, node="media-1"))
    pair.change(Held((per_event(1, "2026-06-30"),)))

    pair.move(presenter("a", "e3"), "e1")

    assert {"2026-06-30": {"e2": False, "e3": False}} == pair.model.past.used


def test_T11_1_an_event_that_is_opened_again_is_that_of_the_subscription_in_which_it_was_used(pair: Pair) -> None:
    """Also where another subscription ends before that one by now."""
    pair.change(Held((per_event(1, "2026-06-30"),)))
    pair.admit(presenter("a", "e1"))
    pair.release("a")
    pair.change(Held((per_event(1, "2026-06-30"), per_event(1, "2026-06-20"))))

    pair.admit(presenter("b", "e1"))

    assert {"2026-06-30": {"e1": True}} == pair.model.past.used


def test_T11_1_T13_5_what_was_noted_of_a_room_does_not_change_whose_event_it_is(pair: Pair) -> None:
    """A room that was abroad before opens an event: it is one of the subscription that ends first."""
    always = {"from": "2020-01-01", "to": "2099-12-31"}
    room = {"id": "rooms", "plan": "rooms.dolby_raas", "quantity": 1, "term": always}
    orders = (per_event(1, "2026-06-30"), per_event(1, "2026-06-20"), {**ports(9), "id": "ports"})
    pair.change(Held((*orders, {**room, "rooms": [{"id": "huddle", "territory": ["US"]}]})))
    meeting = {"service": Service.MEETING, "endpoint": Endpoint.SIP, "meeting": "m1"}
    abroad = {"room": "huddle", "country": "FR"}
    pair.admit(joined({**meeting, "connection": "host", "role": Role.HOST}))
    pair.admit(joined({**meeting, **abroad, "connection": "a", "role": Role.PARTICIPANT}))
    pair.release("a")

    pair.admit(presenter("b", "e1", **abroad, role=Role.ATTENDEE))

    assert {"2026-06-20": {"e1": True}} == pair.model.past.used


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_T1_T2_T3_T4_T7_T8_T10_to_T17_T20_many_sequences_are_decided_and_metered_as_the_model_says(
    redis_server: Any, databases: Iterator[int]
) -> None:
    """The same for as many examples as MODEL_EXAMPLES says; among them is every reason that a rule gives."""
    SEEN.clear()
    examples = int(os.environ.get("MODEL_EXAMPLES", "2000"))

    _compare(redis_server, databases, examples=examples, steps=100)

    print(dict(SEEN.most_common()))  # noqa: T201 - how often each was met
    if examples >= 500:
        assert set() == {reason.value for reason in DENIALS} - NEVER_SEEN - SEEN.keys()
