"""The order of reasons on a real store: a join that breaks many rules at once, while one after the other is put right."""

from typing import Any

import pytest
from plans import china, dolby_rooms, per_event
from stage import HOUR_MS, MINUTE_MS, TODAY, Stage, opened
from support import Clock, events, named_hosts, ports, set_status, teams_ports

from gateway.core import Core
from gateway.domain.changes import removed


ALICE, BOB = "alice@acme.example", "bob@acme.example"
NOON_MS = TODAY.start_ms + 12 * HOUR_MS
ROOM: dict[str, Any] = {"room": "boardroom", "endpoint": "pstn", "access": "china"}
"""A room that dials in from China, whose licence, telephone and access are all in use."""


@pytest.fixture
async def stage(core: Core, clock: Clock) -> Stage:
    """Noon of an ordinary day, with the room in somebody's event, where it is in nobody's way but its own."""
    made = await opened(core, clock)
    await made.hold(per_event(9), dolby_rooms("boardroom"))
    await made.ask("room", "elsewhere", service="event", room="boardroom")
    return made


def held(*, telephones: int = 0, from_china: int = 0, ports_: int = 0, **fields: Any) -> list[dict[str, Any]]:
    """Ports, telephones and access that are refused beyond these numbers, beside what every case needs."""
    return [
        ports(ports_, pstn_limit=telephones, pstn_enforcement="hard", **fields),
        per_event(9),
        dolby_rooms("boardroom"),
        china(from_china),
    ]


async def test_the_first_reason_of_a_host_plans_meeting(stage: Stage) -> None:
    """Room, host, hosts, telephones, China, ports."""
    asked: dict[str, Any] = {"host": ALICE, "role": "participant", **ROOM}
    hosts = named_hosts("alice", "bob", simultaneous_hosts=1)
    await stage.hold(*held(ports_=1), hosts)
    await stage.ask("a", "m1", host=ALICE)
    found = [await stage.told("leg", "m2", **asked)]
    await stage.leave("room")
    found.append(await stage.told("leg", "m2", **asked))
    await stage.leave("a")
    await stage.ask("b", "m1", host=BOB)
    found.append(await stage.told("leg", "m2", **asked))
    hosts = named_hosts("alice", "bob", simultaneous_hosts=2)
    for numbers in ({}, {"telephones": 1}, {"telephones": 1, "from_china": 1}):
        await stage.hold(*held(**numbers), hosts)
        found.append(await stage.told("leg", "m2", **asked))
    await stage.hold(*held(telephones=1, from_china=1, ports_=2), hosts)
    found.append(await stage.told("leg", "m2", **asked))

    assert ["room_in_use", "host_busy", "hosts_full", "pstn_full", "china_full", "ports_full", "admitted"] == found


async def test_the_first_reason_of_a_meeting_under_ports(stage: Stage) -> None:
    """Room, the host who comes first, time of streaming, endpoints, telephones, China, ports."""
    await stage.hold(*held(ports_=9, features=["streaming"]))
    await stage.ask("owner", "m0", host=ALICE)
    await stage.ask("guest", "m0", host=ALICE)
    await stage.moved("guest", "m1", "m0", host=ALICE, role="participant", features=("streaming",))
    await stage.at(NOON_MS + MINUTE_MS)
    late: dict[str, Any] = {"max_minutes": 1, "max_endpoints": 1}
    full = {"max_minutes": 2, "max_endpoints": 1}
    found: list[str] = []
    for put_right, role, streaming, numbers in (
        ([], "participant", late, {}),
        (["room"], "participant", late, {}),
        ([], "host", late, {}),
        ([], "host", full, {}),
        ([], "host", {}, {}),
        ([], "host", {}, {"telephones": 1}),
        ([], "host", {}, {"telephones": 1, "from_china": 1}),
        ([], "host", {}, {"telephones": 1, "from_china": 1, "ports_": 3}),
    ):
        await stage.leave(*put_right)
        await stage.hold(*held(features=["streaming"], streaming=streaming, **numbers))
        # A room cannot host, so that the leg that hosts is none.
        room = {"room": "boardroom"} if role == "participant" else {}
        found.append(await stage.told("leg", "m1", host=ALICE, role=role, endpoint="pstn", access="china", **room))

    expected = ["room_in_use", "host_not_present", "streaming_over_time", "meeting_full", "pstn_full", "china_full"]
    assert [*expected, "ports_full", "admitted"] == found


async def test_the_first_reason_of_an_event(stage: Stage) -> None:
    """Room, duration, time of streaming, panel, attendees, telephones, China."""
    worst: dict[str, Any] = {
        "max_attendees": 1,
        "attendees_enforcement": "hard",
        "duration_enforcement": "hard",
        "streaming": {"max_minutes": 1},
        "pstn_limit": 0,
        "pstn_enforcement": "hard",
    }
    await stage.hold(per_event(9, features=["streaming"]), ports(0), dolby_rooms("boardroom"), china(0))
    await stage.ask("a", "e1", service="event", features=("streaming",))
    await stage.fill(100, "e1", prefix="mod", service="event", role="moderator")
    await stage.at(NOON_MS + 2 * HOUR_MS)
    found: list[str] = []
    for put_right, better, from_china in (
        ([], {}, 0),
        (["room"], {}, 0),
        ([], {"duration_enforcement": "metered"}, 0),
        ([], {"streaming": {}}, 0),
        (["mod0"], {}, 0),
        ([], {"attendees_enforcement": "metered"}, 0),
        ([], {"pstn_limit": 1}, 0),
        ([], {}, 1),
    ):
        await stage.leave(*put_right)
        worst.update(better)
        order = per_event(9, features=["streaming"], **worst)
        await stage.hold(order, ports(0), dolby_rooms("boardroom"), china(from_china))
        found.append(await stage.told("leg", "e1", service="event", role="presenter", **ROOM))

    expected = ["room_in_use", "event_over_time", "streaming_over_time", "panel_full", "event_full", "pstn_full"]
    assert [*expected, "china_full", "admitted"] == found


@pytest.mark.parametrize(
    ("full", "free", "reason"),
    [
        (per_event(1), per_event(2), "events_exhausted"),
        (events(departments={"finance": 1}), events(departments={"finance": 2}), "events_concurrent_full"),
    ],
    ids=["T11", "T12"],
)
async def test_the_first_reason_of_an_event_that_is_not_live(
    stage: Stage, full: dict[str, Any], free: dict[str, Any], reason: str
) -> None:
    """Room, events, then what stands against any leg."""
    none_left = {"pstn_limit": 0, "pstn_enforcement": "hard", "id": "order"}
    beside = (ports(0), dolby_rooms("boardroom"), china(0))
    await stage.hold({**full, "id": "order"}, *beside)
    await stage.ask("a", "e1", service="event", department="finance")
    found: list[str] = []
    for put_right, order in (([], full), (["room"], full), ([], free)):
        await stage.leave(*put_right)
        await stage.hold({**order, **none_left}, *beside)
        found.append(await stage.told("leg", "e2", service="event", department="finance", **ROOM))

    assert ["room_in_use", reason, "pstn_full"] == found


async def test_the_first_reason_of_a_teams_meeting(stage: Stage) -> None:
    """Room, China, the pool."""
    asked: dict[str, Any] = {"service": "teams", "endpoint": "sip", "room": "boardroom", "access": "china"}
    found: list[str] = []
    for put_right, from_china, pool in (([], 0, 0), (["room"], 0, 0), ([], 1, 0), ([], 1, 1)):
        await stage.leave(*put_right)
        await stage.hold(*held(from_china=from_china), teams_ports(pool))
        found.append(await stage.told("leg", role="participant", **asked))

    assert ["room_in_use", "china_full", "teams_ports_full", "admitted"] == found


async def test_a_tombstone_comes_before_everything_and_the_customers_status_before_its_plans(stage: Stage) -> None:
    """Released, terminated, suspended, unknown: whatever the join asks for."""
    await stage.hold(*held())
    assert "service_not_licensed" == await stage.told("leg", service="teams", endpoint="web")
    await set_status(stage.core.entitlements, "suspended")
    assert "customer_suspended" == await stage.told("leg", service="teams", endpoint="web")
    await set_status(stage.core.entitlements, "terminated")
    assert "customer_terminated" == await stage.told("leg", service="teams", endpoint="web")
    await stage.leave("room")
    assert "already_released" == await stage.told("room", service="teams", endpoint="web")
    await stage.core.entitlements.change("acme", removed("acme", None), "remove", "test")
    assert "customer_unknown" == await stage.told("leg", service="teams", endpoint="web")
