"""Room licences on a real store (T13, T14)."""

from typing import Any

import pytest
from plans import dolby_rooms, network_rooms, per_event
from stage import Refusal, Stage, opened, refusal, use
from support import Clock, customer, ports, teams_ports

from gateway.core import Core
from gateway.domain.catalogue import CatalogueInvalid


GUEST: dict[str, Any] = {"role": "participant", "endpoint": "h323"}
both_plans = pytest.mark.parametrize("rooms", [dolby_rooms, network_rooms], ids=["T13", "T14"])


@pytest.fixture
async def stage(core: Core, clock: Clock) -> Stage:
    """Noon of an ordinary day."""
    return await opened(core, clock)


@both_plans
async def test_T13_1_a_room_is_in_one_meeting_at_a_time(stage: Stage, rooms: Any) -> None:
    """On any number of legs; in another meeting it is refused until its last leg has left. Another room is free."""
    await stage.hold(ports(9), teams_ports(9), rooms("boardroom", "lobby"))
    for meeting in ("m1", "m2"):
        await stage.ask(f"host {meeting}", meeting)
    assert (1, None, 1) == use(await stage.ask("a", "m1", room="Boardroom", **GUEST))["room"]
    assert (1, None, 1) == use(await stage.ask("b", "m1", room="boardroom", **GUEST))["room"]

    in_use: Refusal = ("room_in_use", "This room is in another meeting", {"room": (1, None, 1)})
    assert in_use == refusal(await stage.ask("c", "m2", room="boardroom", **GUEST))
    assert in_use == refusal(await stage.ask("d", "m1", service="teams", room="boardroom", **GUEST))
    assert "admitted" == await stage.told("e", "m2", room="lobby", **GUEST)
    await stage.leave("a")
    assert in_use == refusal(await stage.ask("c", "m2", room="boardroom", **GUEST))
    await stage.leave("b")
    assert "admitted" == await stage.told("c", "m2", room="boardroom", **GUEST)


@both_plans
async def test_T13_1_a_room_moves_from_meeting_to_meeting(stage: Stage, rooms: Any) -> None:
    """With its only leg in one step; while another leg of it stays, it does not."""
    await stage.hold(ports(9), rooms("boardroom"))
    for meeting in ("m1", "m2"):
        await stage.ask(f"host {meeting}", meeting)
    await stage.ask("a", "m1", room="boardroom", **GUEST)
    assert "admitted" == (await stage.moved("a", "m2", "m1", room="boardroom", **GUEST)).reason.value
    await stage.ask("b", "m2", room="boardroom", **GUEST)

    moved = await stage.moved("a", "m1", "m2", room="boardroom", **GUEST)
    assert ("room_in_use", "This room is in another meeting", {"room": (1, None, 1)}) == refusal(moved)


@both_plans
async def test_T13_1_a_room_without_a_licence_is_refused(stage: Stage, rooms: Any) -> None:
    """A join without a room is not checked."""
    await stage.hold(ports(9), rooms("boardroom"))
    await stage.ask("host")

    assert ("room_not_licensed", "This room has no licence", {}) == refusal(await stage.ask("a", room="lobby", **GUEST))
    assert "admitted" == await stage.told("b", **GUEST)


@both_plans
@pytest.mark.parametrize(("service", "role"), [("meeting", "host"), ("teams", "host"), ("event", "moderator")])
async def test_T13_2_a_room_neither_hosts_nor_moderates(stage: Stage, rooms: Any, service: str, role: str) -> None:
    """In any service."""
    await stage.hold(ports(9), teams_ports(9), per_event(), rooms("boardroom"))
    asked = await stage.ask("a", service=service, role=role, endpoint="h323", room="boardroom")

    assert ("room_cannot_host", "A room cannot host", {}) == refusal(asked)


@both_plans
def test_T13_3_a_room_licence_needs_meetings_or_events(rooms: Any) -> None:
    """Alone, or beside Teams, it is refused when provisioned; beside Meetings or Events it is not."""
    for beside in ((), (teams_ports(9),)):
        with pytest.raises(CatalogueInvalid) as refused:
            customer(*beside, rooms("boardroom"))
        assert ["T13.3"] == [fault.rule for fault in refused.value.faults]
    for needed in (ports(9), per_event()):
        assert 2 == len(customer(needed, rooms("boardroom")).subscriptions)


@both_plans
async def test_T13_4_a_rooms_leg_is_a_connection_like_any_other(stage: Stage, rooms: Any) -> None:
    """It counts in the ports and in the meeting, and is refused when they are full."""
    await stage.hold(ports(2), rooms("boardroom", "lobby"))
    await stage.ask("host")
    joined = await stage.ask("a", room="boardroom", **GUEST)

    assert {"ports": (2, 2, 2), "meeting": (2, None, 100), "room": (1, None, 1)} == use(joined)
    assert "ports_full" == await stage.told("b", room="lobby", **GUEST)


async def test_T13_5_a_leg_outside_the_territory_is_remembered_and_let_in(stage: Stage) -> None:
    """Rooms of T13 only, and only a country that is known; a leg that was never connected leaves nothing."""
    await stage.hold(ports(9), dolby_rooms("boardroom", "lobby", territory=("FR", "DE")), network_rooms("huddle"))
    await stage.ask("host")
    for leg, room, country in (
        ("a", "boardroom", "DE"),
        ("b", "boardroom", "US"),
        ("c", "boardroom", None),
        ("d", "huddle", "US"),
    ):
        assert "admitted" == await stage.told(leg, room=room, country=country, **GUEST)
    assert "admitted" == await stage.told("e", room="lobby", country="US", node="n1", **GUEST)
    assert {"abroad 2026-06": {"boardroom US": True, "lobby US": False}} == await stage.marks()
    await stage.leave("e")

    assert {"abroad 2026-06": {"boardroom US": True}} == await stage.marks()
