"""Plans of hosts on a real store: who may host, one meeting at a time, how many endpoints and hosts (T2, T3, T5, T6, T20.1)."""

from typing import Any

import pytest
from plans import active_enterprise, active_group, corporate, person, teams_enterprise, teams_hosts
from stage import Refusal, Stage, opened, refusal, use
from support import Clock, named_hosts, ports

from gateway.core import Core
from gateway.domain.changes import host_resumed, host_suspended
from gateway.domain.messages import ADVICE


ALICE, BOB, CAROL = "alice@acme.example", "bob@acme.example", "carol@acme.example"
NOT_LICENSED: Refusal = ("host_not_licensed", "The organiser of this meeting has no licence to host", {})
MEETING_PLANS: dict[str, dict[str, Any]] = {
    "T2": named_hosts("alice", "bob", "carol"),
    "T3": corporate(),
    "T5": active_enterprise(),
    "T6": active_group("alice", "bob", "carol"),
}
TEAMS_PLANS: dict[str, dict[str, Any]] = {"T7": teams_hosts("alice", "bob", "carol"), "T9": teams_enterprise()}
ALL_PLANS = {**MEETING_PLANS, **TEAMS_PLANS}
every_meeting_plan = pytest.mark.parametrize("plan", MEETING_PLANS.values(), ids=MEETING_PLANS)
every_plan = pytest.mark.parametrize("plan", ALL_PLANS.values(), ids=ALL_PLANS)


@pytest.fixture
async def stage(core: Core, clock: Clock) -> Stage:
    """Noon of an ordinary day."""
    return await opened(core, clock)


def service_of(plan: dict[str, Any]) -> dict[str, Any]:
    """The fields of a join that belongs to the plan."""
    return {"service": "teams", "endpoint": "sip"} if plan["plan"].startswith("teams") else {}


async def test_T2_2_a_meeting_runs_under_a_provisioned_host(stage: Stage) -> None:
    """The one that is provisioned, however the address is written; another employee and nobody do not host."""
    await stage.hold(named_hosts("alice"))

    admitted = await stage.ask("a", host="Alice+work@ACME.example", role="participant")
    assert ("meetings.named_host", ()) == (admitted.licensed_by, admitted.counted_in)
    assert {"meeting": (1, None, 100), "host": (1, None, 1)} == use(admitted)
    for host in (BOB, None):
        assert NOT_LICENSED == refusal(await stage.ask("b", "m2", host=host))


@every_plan
async def test_T2_3_a_host_has_one_live_meeting_per_service(stage: Stage, plan: dict[str, Any]) -> None:
    """The second is refused and names the live one; when that has emptied, it is let in. Another host is not in the way."""
    fields = service_of(plan)
    await stage.hold(plan)
    assert "admitted" == await stage.told("a", "m1", host=ALICE, **fields)
    assert "admitted" == await stage.told("b", "m2", host=BOB, **fields)

    busy = await stage.ask("c", "m3", host=ALICE, **fields)

    assert ("host_busy", "The organiser is hosting another meeting", {"host": (1, None, 1)}) == refusal(busy)
    assert ("m1", 30) == (busy.busy_meeting, ADVICE[busy.reason].retry_after_s)
    await stage.leave("a")
    assert "admitted" == await stage.told("d", "m3", host=ALICE, **fields)


@every_plan
async def test_T2_3_taking_part_in_another_meeting_makes_no_host_busy(stage: Stage, plan: dict[str, Any]) -> None:
    """Alice sits in Bob's meeting on two legs and begins her own."""
    fields = service_of(plan)
    await stage.hold(plan)
    for leg in ("a", "b"):
        assert "admitted" == await stage.told(leg, "m1", host=BOB, person=ALICE, role="participant", **fields)

    assert "admitted" == await stage.told("c", "m2", host=ALICE, person=ALICE, **fields)


async def test_T2_3_a_host_may_have_a_meeting_of_each_service(stage: Stage) -> None:
    """One meeting and one Teams meeting; the second of either is refused."""
    await stage.hold(named_hosts("alice"), teams_hosts("alice"))
    teams = {"service": "teams", "endpoint": "h323"}

    assert "admitted" == await stage.told("a", "m1", host=ALICE)
    assert "admitted" == await stage.told("b", "m1", host=ALICE, **teams)
    assert "host_busy" == await stage.told("c", "m2", host=ALICE)
    assert "host_busy" == await stage.told("d", "m2", host=ALICE, **teams)


async def test_T2_3_the_owner_of_a_live_meeting_is_whoever_made_it_live(stage: Stage) -> None:
    """A leg that names somebody else joins the owner's meeting, is told so, and leaves that other one free."""
    await stage.hold(named_hosts("alice", "bob"))
    await stage.fill(1, host=ALICE)

    other = await stage.ask("b", host=BOB)

    assert (True, ALICE) == (other.admitted, other.meeting_host)
    assert {"meeting": (2, None, 100), "host": (1, None, 1)} == use(other)
    assert "admitted" == await stage.told("c", "m2", host=BOB)


@pytest.mark.parametrize("plan", [corporate(), active_enterprise()], ids=["T3", "T5"])
async def test_T2_4_a_generic_name_met_through_a_domain_does_not_host(stage: Stage, plan: dict[str, Any]) -> None:
    """Unless it was audited as an individual's."""
    await stage.hold({**plan, "hosts": [{"id": "team@acme.example", "individual": True}]})

    assert NOT_LICENSED == refusal(await stage.ask("a", host="room12@acme.example"))
    assert "admitted" == await stage.told("b", host="team@acme.example")


async def test_T2_5_the_owner_on_two_legs_is_two_connections(stage: Stage) -> None:
    """Of one person in one meeting, and fine."""
    await stage.hold(named_hosts("alice"))
    await stage.fill(1, host=ALICE, person=ALICE)

    assert {"meeting": (2, None, 100), "host": (1, None, 1)} == use(await stage.ask("b", host=ALICE, person=ALICE))


async def test_T2_6_a_meeting_has_100_endpoints_where_the_order_states_no_other_number(stage: Stage) -> None:
    """The 100th is let in, the next is refused until one has left."""
    await stage.hold(named_hosts("alice"))
    await stage.fill(99, host=ALICE)
    assert {"meeting": (100, None, 100), "host": (1, None, 1)} == use(await stage.ask("last", host=ALICE))

    assert ("meeting_full", "The meeting is full", {"meeting": (100, None, 100)}) == refusal(
        await stage.ask("more", host=ALICE)
    )
    await stage.leave("last")
    assert "admitted" == await stage.told("more", host=ALICE)


@pytest.mark.parametrize("plan", [*MEETING_PLANS.values(), ports(9)], ids=[*MEETING_PLANS, "T4"])
async def test_T2_6_T4_5_the_order_may_state_another_number_of_endpoints(stage: Stage, plan: dict[str, Any]) -> None:
    """Two; another meeting has its own two."""
    await stage.hold({**plan, "max_endpoints": 2})
    await stage.fill(2, "m1", host=ALICE)

    assert ("meeting_full", "The meeting is full", {"meeting": (2, None, 2)}) == refusal(
        await stage.ask("c", "m1", host=ALICE)
    )
    assert "admitted" == await stage.told("d", "m2", host=BOB)


@every_plan
async def test_T2_7_at_most_so_many_hosts_have_a_live_meeting(stage: Stage, plan: dict[str, Any]) -> None:
    """The second of two is let in, a third host is refused until one meeting has emptied; more legs of theirs pass."""
    fields = service_of(plan)
    await stage.hold({**plan, "simultaneous_hosts": 2})
    await stage.fill(1, "m1", prefix="a", host=ALICE, **fields)
    assert (2, None, 2) == use(await stage.ask("b", "m2", host=BOB, **fields))["hosts"]

    assert ("hosts_full", "Too many meetings are running at the moment", {"hosts": (2, None, 2)}) == refusal(
        await stage.ask("c", "m3", host=CAROL, **fields)
    )
    assert "admitted" == await stage.told("d", "m2", host=BOB, **fields)
    await stage.leave("a0")
    assert "admitted" == await stage.told("c", "m3", host=CAROL, **fields)


async def test_T2_7_a_host_with_two_meetings_is_one_host(stage: Stage) -> None:
    """Where the order allows several meetings of a host, only the first makes one host more."""
    await stage.hold(corporate(one_meeting_per_host=False, simultaneous_hosts=1))
    await stage.fill(1, "m1", prefix="a", host=ALICE)

    assert (1, None, 1) == use(await stage.ask("b", "m2", host=ALICE))["hosts"]
    assert "hosts_full" == await stage.told("c", "m3", host=BOB)
    await stage.leave("a0")
    assert "hosts_full" == await stage.told("c2", "m3", host=BOB)
    await stage.leave("b")
    assert "admitted" == await stage.told("c3", "m3", host=BOB)


@pytest.mark.parametrize("plan", [corporate(), active_enterprise()], ids=["T3", "T5"])
async def test_T3_1_T3_4_T5_1_every_employee_hosts(stage: Stage, plan: dict[str, Any]) -> None:
    """Of the customer and of entities it controls by half or more, and who is approved (T3.4); nobody else."""
    entities = [
        {"name": "Globex", "domains": ["globex.example"], "controlled_percent": 50},
        {"name": "Initech", "domains": ["initech.example"], "controlled_percent": 49},
    ]
    approvals = [{"id": "eva@elsewhere.example", "approved_by": "Dana", "approved_on": "2026-01-01"}]
    await stage.hold({**plan, "entities": entities, "approvals": approvals})

    for number, employee in enumerate((ALICE, "ben@globex.example", "eva@elsewhere.example")):
        assert "admitted" == await stage.told(f"in{number}", f"in{number}", host=employee)
    for host in ("cleo@initech.example", "dan@elsewhere.example", "fay@eu.acme.example", None):
        assert NOT_LICENSED == refusal(await stage.ask("out", "out", host=host))


async def test_T3_1_without_one_meeting_per_host_a_host_has_several(stage: Stage) -> None:
    """And generic names host too."""
    await stage.hold(corporate(one_meeting_per_host=False))

    for number, host in enumerate((ALICE, ALICE, "room1@acme.example", "room1@acme.example")):
        assert "admitted" == await stage.told(f"leg{number}", f"m{number}", host=host)


async def test_T3_3_hosts_of_a_cycle_are_remembered_when_they_are_connected(stage: Stage) -> None:
    """A host whose only leg was never connected is none; of two legs the connected one counts."""
    await stage.hold(corporate(id="staff"))
    await stage.ask("a", "m1", host=ALICE, node="n1")
    await stage.ask("b", "m2", host=BOB, node="n1")
    await stage.ask("b2", "m2", host=BOB)
    assert {"hosts staff 2026-06": {ALICE: False, BOB: True}} == await stage.marks()

    await stage.leave("a", "b", "b2")

    assert {"hosts staff 2026-06": {BOB: True}} == await stage.marks()


async def test_T6_1_only_members_of_the_department_host(stage: Stage) -> None:
    """Neither a listed host of another department nor an employee who is not listed."""
    held = active_group("alice")
    held["hosts"].append(person("bob", department="legal"))
    await stage.hold(held)

    assert "admitted" == await stage.told("a", "m1", host=ALICE)
    for host in (BOB, CAROL):
        assert NOT_LICENSED == refusal(await stage.ask("b", "m2", host=host))


async def test_T20_1_a_suspended_host_begins_no_meeting_and_nobody_joins_a_live_one(stage: Stage) -> None:
    """Live legs stay, other hosts are not touched, and it ends with the suspension."""
    await stage.hold(corporate())
    await stage.fill(1, "m1", host=ALICE)
    change = host_suspended("acme", "Alice@acme.example", "abuse", "operator")
    await stage.core.entitlements.change("acme", change, "suspend_host", "operator")

    told: Refusal = ("host_suspended", "The organiser of this meeting cannot host at present", {})
    assert told == refusal(await stage.ask("b", "m1", host=BOB)), "the owner is who made it live"
    assert told == refusal(await stage.ask("c", "m2", host=ALICE))
    assert "admitted" == await stage.told("d", "m3", host=BOB)
    assert 2 == (await stage.core.reports.usage("acme")).snapshot.live

    await stage.core.entitlements.change("acme", host_resumed("acme", ALICE), "resume_host", "operator")
    assert "admitted" == await stage.told("e", "m1", host=ALICE)
