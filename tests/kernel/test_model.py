"""Random joins, releases, previews, changes of limits and of days, compared with the plain model on a real Redis."""

import asyncio
import os
import random
from collections.abc import Iterator
from datetime import date
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from kernel_draws import BEGINNINGS, CONNECTIONS, HOSTS, MEETINGS, customer_of, held_of, joins, plans
from kernel_model import Model
from support import CLOCK_FRAGMENT, CLOCK_KEY, admit, customer, install, set_status

from gateway.admission import ConnectionConflict
from gateway.app import Core, Telemetry, build_core
from gateway.domain.days import day
from gateway.domain.join import ROLES, Endpoint, Join, Service
from gateway.kernel.verify import verify


class Comparison(RuleBasedStateMachine):
    """Two gateways on one store, and the model; every answer must be the same."""

    urls: ClassVar[Iterator[str]]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.gateways: list[Core] = []
        self.model = Model(0)
        self.beginning = 0
        self.ids = 0

    def run(self, awaitable: Any) -> Any:
        """Runs on the loop of this machine."""

        async def main() -> Any:
            return await awaitable

        return self.runner.run(main())

    @initialize(date=st.sampled_from(sorted(BEGINNINGS)), drawn=plans())
    def begin(self, date: str, drawn: dict[str, Any]) -> None:
        """Noon of a day, with a customer that holds something."""
        url = next(self.urls)
        for _ in range(2):
            core = self.run(_started(url))
            self.gateways.append(core)
        self.beginning = day_of(date)
        self._set_clock(day(self.beginning).start_ms + 12 * 3_600_000)
        self.model = Model(day(self.beginning).start_ms + 12 * 3_600_000)
        self.run(install(self.gateways[0].entitlements, customer()))
        self.change_limits(gateway=0, drawn=drawn)

    def teardown(self) -> None:
        """When all has been released, nothing is counted; verification holds before and after."""
        try:
            if self.gateways:
                self._empty()
        finally:
            for core in self.gateways:
                self.run(core.store.close())
            self.runner.close()

    def _empty(self) -> None:
        self.compare_use()
        self.compare_days()
        self._verify()
        for connection in list(self.model.legs):
            self.run(self.gateways[0].admission.release("acme", connection))
        usage = self.run(self.gateways[0].reports.usage("acme"))
        assert 0 == usage.snapshot.live == usage.snapshot.shadow_live
        assert all(use.used == 0 for use in usage.pools), usage.pools
        self._verify()

    @rule(asked=st.lists(st.tuples(joins(), st.integers(0, 1)), min_size=3, max_size=12))
    def admit(self, asked: list[tuple[dict[str, Any], int]]) -> None:
        """Joins are decided."""
        for fields, gateway in asked:
            wanted = Join(customer="acme", **fields)
            expected = self.model.admit(wanted)
            assert expected == self.run(_reason(self.gateways[gateway], wanted))

    @rule(wanted=st.lists(st.tuples(joins(), st.integers(0, 1)), min_size=3, max_size=10))
    def arrive(self, wanted: list[tuple[dict[str, Any], int]]) -> None:
        """New legs come; no id was seen before."""
        self.admit([({**fields, "connection": self._new_id()}, gateway) for fields, gateway in wanted])

    @rule(fields=joins(), size=st.integers(2, 8), gateway=st.integers(0, 1))
    def crowd(self, fields: dict[str, Any], size: int, gateway: int) -> None:
        """Many come to one meeting, its host first."""
        first = {**fields, "role": ROLES[fields["service"]][1]}
        legs = [first, *[fields] * (size - 1)]
        self.admit([({**each, "connection": self._new_id()}, gateway) for each in legs])

    @rule(service=st.sampled_from(list(Service)), host=st.sampled_from(HOSTS), gateway=st.integers(0, 1))
    def spread(self, service: Service, host: str | None, gateway: int) -> None:
        """One host opens every meeting, one after the other."""
        facts = {
            "service": service,
            "endpoint": Endpoint.SIP,
            "role": ROLES[service][1],
            "host": host,
            "department": "finance",
        }
        self.admit([({**facts, "meeting": meeting, "connection": self._new_id()}, gateway) for meeting in MEETINGS])

    @rule(number=st.integers(0, 29), gateway=st.integers(0, 1))
    def repeat(self, number: int, gateway: int) -> None:
        """A live leg asks again, word for word."""
        legs = sorted(self.model.legs)
        if legs:
            wanted = self.model.legs[legs[number % len(legs)]].join
            assert "replayed" == self.model.admit(wanted) == self.run(_reason(self.gateways[gateway], wanted))

    @rule(number=st.integers(0, 29), gateway=st.integers(0, 1))
    def leave(self, number: int, gateway: int) -> None:
        """A live leg ends."""
        legs = sorted(self.model.legs)
        if legs:
            self.release(legs[number % len(legs)], gateway)

    @rule(fields=joins(), gateway=st.integers(0, 1))
    def preview(self, fields: dict[str, Any], gateway: int) -> None:
        """A preview says what would be decided; that it changes nothing, all later comparisons show."""
        asked = Join(customer="acme", **fields)
        expected = self.model.decide(asked)
        assert expected == self.run(_previewed(self.gateways[gateway], asked))

    @rule(connection=st.sampled_from(CONNECTIONS), gateway=st.integers(0, 1))
    def release(self, connection: str, gateway: int) -> None:
        """A leg ends."""
        expected = self.model.release(connection)
        outcome = self.run(self.gateways[gateway].admission.release("acme", connection))
        assert expected == hasattr(outcome, "admitted_ms")

    @rule(gateway=st.integers(0, 1), drawn=plans())
    def change_limits(self, gateway: int, drawn: dict[str, Any]) -> None:
        """Plans are added, changed and removed under live legs."""
        held = held_of(drawn, self.beginning)
        self.model.change(held)
        self.run(install(self.gateways[gateway].entitlements, customer_of(held, drawn["port"], drawn["teams"])))

    @rule(gateway=st.integers(0, 1), dice=st.integers(0, 5))
    def suspend(self, gateway: int, dice: int) -> None:
        """The customer is suspended, or more often resumed."""
        suspended = dice == 5
        self.model.suspended = suspended
        self.run(
            set_status(self.gateways[gateway].entitlements, "suspended" if suspended else "active", reason="test"
            )
        )

    @rule(seconds=st.sampled_from([1, 60, 121, 7200]))
    def wait(self, seconds: int) -> None:
        """Some time passes."""
        self._advance(self.model.now_ms + seconds * 1000)

    @rule(
        days=st.sampled_from([1, 1, 2, 3]),
        offset_ms=st.sampled_from([-1, 0, 0, 1, 3_600_000]),
        first=st.sampled_from(["release", "admit", "nothing"]),
        fields=joins(),
        gateway=st.integers(0, 1),
    )
    def midnight(self, *, days: int, offset_ms: int, first: str, fields: dict[str, Any], gateway: int) -> None:
        """It becomes midnight, or one millisecond before or after it, and something is the first on that day."""
        at = day(self.model.today + days).start_ms + offset_ms
        self._advance(max(at, self.model.now_ms))
        if first == "release":
            self.leave(0, gateway)
        elif first == "admit":
            self.admit([({**fields, "connection": self._new_id()}, gateway)])

    @rule()
    def compare_days(self) -> None:
        """Registers of every day are those of the model."""
        rows = self.run(self.gateways[1].reports.overage("acme", self.beginning, self.model.today))
        found = {
            (row.day, row.pool): (
                row.register.committed,
                row.register.peak,
                row.register.peak_at_ms,
                row.register.overage,
            )
            for row in rows
        }
        expected = {
            key: (each.committed, each.peak, each.peak_at_ms, each.overage)
            for key, each in self.model.all_rows().items()
        }
        assert expected == found

    @rule()
    def compare_use(self) -> None:
        """Live figures and tallies are those of the model."""
        usage = self.run(self.gateways[0].reports.usage("acme"))
        model, snapshot = self.model, usage.snapshot
        assert len(model.legs) == snapshot.live
        assert sum(not leg.counted for leg in model.legs.values()) == snapshot.shadow_live
        assert {reason: count for reason, count in model.denied.items() if count} == dict(snapshot.denied)
        assert dict(model.would_deny) == dict(snapshot.would_deny)
        assert model.pool("ports") == snapshot.groups["ports"][0]
        assert model.pool("teams_ports") == snapshot.groups["teams_ports"][0]
        assert len(model.live_events()) == snapshot.groups["events:event"][0]

    @invariant()
    def counters_are_what_legs_say(self) -> None:
        """The kernel's own verification."""
        if self.gateways:
            self._verify()

    def _new_id(self) -> str:
        self.ids += 1
        return f"new-{self.ids}"

    def _verify(self) -> None:
        found = self.run(verify(self.gateways[0].kernel, "acme"))
        assert found.conclusive
        assert () == found.differences

    def _advance(self, now_ms: int) -> None:
        self.model.advance(now_ms)
        self._set_clock(now_ms)

    def _set_clock(self, now_ms: int) -> None:
        async def main() -> None:
            await self.gateways[0].store.command("SET", CLOCK_KEY, now_ms)
            for core in self.gateways:
                await core.kernel.entitlements("acme")  # carries the new time to the gateway, as any answer does

        self.run(main())


def day_of(text: str) -> int:
    """The ordinal of a date."""
    return date.fromisoformat(text).toordinal()


async def _started(url: str) -> Core:
    core = build_core(url, budget_s=20.0, telemetry=Telemetry(), clock=CLOCK_FRAGMENT)
    assert await core.store.start(10), core.store.last_error
    return core


async def _reason(core: Core, asked: Join) -> str:
    try:
        return (await admit(core, asked)).reason.value
    except ConnectionConflict:
        return "conflict"


async def _previewed(core: Core, asked: Join) -> str:
    try:
        return (await core.admission.preview(asked)).reason.value
    except ConnectionConflict:
        return "conflict"


def _compare(redis_server: Any, databases: Iterator[int], examples: int, steps: int) -> None:
    """Runs the comparison; the seed is printed, and can be given as MODEL_SEED."""
    chosen = int(os.environ.get("MODEL_SEED", random.randrange(2**32)))
    print(f"MODEL_SEED={chosen}")  # noqa: T201 - shown when the test fails
    machine = type("Seeded", (Comparison,), {"urls": (redis_server.url(number) for number in databases)})
    run_state_machine_as_test(
        seed(chosen)(machine),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            print_blob=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.timeout(0)  # a failure is shrunk, which takes its time
def test_T1_T2_T4_T8_T12_any_sequence_is_decided_and_metered_as_the_model_says(
    redis_server: Any, databases: Iterator[int]
) -> None:
    """Joins, releases, previews, limits and days in any order: every reason, count and register is the model's."""
    _compare(redis_server, databases, examples=100, steps=50)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_T1_T2_T4_T8_T12_many_sequences_are_decided_and_metered_as_the_model_says(
    redis_server: Any, databases: Iterator[int]
) -> None:
    """The same for as many examples as MODEL_EXAMPLES says."""
    _compare(redis_server, databases, examples=int(os.environ.get("MODEL_EXAMPLES", "2000")), steps=100)
