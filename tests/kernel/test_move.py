"""Moves: one step from a meeting, or a role, to another; judged by the net change, and nothing at all where it is refused."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from http_client import everything_in
from plans import china, dolby_rooms, per_event, premium_calling
from support import (
    Clock,
    admit,
    customer,
    events,
    install,
    join,
    named_hosts,
    ports,
    set_status,
    teams_ports,
    told,
)

from gateway.admission import ConnectionConflict, ConnectionUnknown
from gateway.core import Core
from gateway.domain.changes import host_suspended
from gateway.domain.claims import level_of
from gateway.domain.days import day
from gateway.domain.join import Decision
from gateway.kernel.past import read_past
from gateway.kernel.verify import verify
from gateway.legs import info_of


MakeCore = Callable[[], Awaitable[Core]]

MINUTE_MS = 60_000
TODAY = day(date(2026, 6, 10).toordinal())
NOON_MS = TODAY.start_ms + 12 * 60 * MINUTE_MS
ALICE, BOB, EVE = "alice@acme.example", "bob@acme.example", "eve@acme.example"


@dataclass
class Stage:
    """A gateway at a time of the test's choice."""

    core: Core
    clock: Clock
    url: str

    async def at(self, now_ms: int) -> None:
        """It is that time, and the gateway has heard of it."""
        await self.clock.set(now_ms)
        await self.core.kernel.entitlements("acme")

    async def holds(self, *subscriptions: dict[str, Any], **fields: Any) -> None:
        """From now on the customer holds these."""
        await install(self.core.entitlements, customer(*subscriptions, **fields))

    async def admit(self, leg: str, meeting: str = "m1", **fields: Any) -> str:
        """Reason of the decision."""
        return told(await admit(self.core, join(leg, meeting, **fields)))

    async def move(self, leg: str, origin: str, meeting: str, **fields: Any) -> Decision:
        """Moves a leg."""
        return await self.core.admission.move(join(leg, meeting, **fields), origin, wait_s=30.0)

    async def moved(self, leg: str, origin: str, meeting: str, **fields: Any) -> str:
        """Reason of the decision."""
        return told(await self.move(leg, origin, meeting, **fields))

    async def release(self, *legs: str) -> None:
        """Legs end."""
        for leg in legs:
            await self.core.admission.release("acme", leg)

    async def counts(self) -> dict[str, int]:
        """All groups that are live, by name; none of it is left when nobody is connected."""
        flat = (await self.core.kernel.dump("acme", 10_000))[2]
        fields = {flat[at].decode(): flat[at + 1] for at in range(0, len(flat), 2)}
        return {name: int(value) for name, value in fields.items() if name[:1].isalpha()}

    async def levels(self) -> dict[str, int]:
        """Sums of the live groups by level."""
        found: Counter[str] = Counter()
        for group, count in (await self.counts()).items():
            found[level_of(group)] += count
        return dict(found)

    async def everything(self) -> dict[str, Any]:
        """All that is stored of the customer, but tallies of denials and the outbox."""
        found = await everything_in(self.url)
        kept = {
            name: value for name, value in found.items() if name.endswith(("}:meta", "}:customers")) or ":acme:" in name
        }
        (groups,) = [name for name in kept if name.endswith(":acme:groups")]
        kind, fields, expiry = kept[groups]
        kept[groups] = (kind, {name: value for name, value in fields.items() if name[:1] != b"-"}, expiry)
        return kept

    async def place(self, leg: str) -> tuple[str, str, str]:
        """Service, meeting and role of a leg."""
        found = await self.core.kernel.leg("acme", leg)
        assert found is not None, f"{leg} is not live"
        info = info_of(found.info)
        return info.service, info.meeting, info.role

    async def spells(self) -> list[tuple[int, int | None]]:
        """When a meeting was live without a host, in ms after noon."""
        found = (await read_past(self.core.kernel, "acme")).spells
        return [(each.since_ms - NOON_MS, None if each.until_ms is None else each.until_ms - NOON_MS) for each in found]


@pytest.fixture
async def stage(core: Core, clock: Clock, store_url: str) -> Stage:
    """Noon of an ordinary day."""
    made = Stage(core, clock, store_url)
    await made.at(NOON_MS)
    return made


def pstn(**fields: Any) -> dict[str, Any]:
    """A telephone leg by way of China; what is not said is that of a participant."""
    return {"endpoint": "pstn", "calling": "toll", "access": "china", **fields}


async def test_T2_3_to_another_meeting_of_the_same_host_where_everything_is_full(stage: Stage) -> None:
    """The host's one meeting, the only host place, the only port: a move changes none of these numbers, so none of them refuses it."""
    await stage.holds(named_hosts("alice", simultaneous_hosts=1), ports(1))
    await stage.admit("a", "m1", host=ALICE)
    decision = await stage.move("a", "m1", "m2", host=ALICE)

    assert "admitted" == told(decision)
    assert {"hosts": 1, "host": 1, "meeting": 1, "ports": 1} == {use.limit: use.used for use in decision.limits}
    chain = {"meeting:meeting:m2": 1, f"host:meeting:{ALICE}": 1, "hosts:meeting": 1}
    assert {**chain, "ports": 1, "hosting:meeting:m2": 1} == await stage.counts()
    await stage.release("a")
    assert {} == await stage.counts()


async def test_T2_3_host_busy_when_the_old_meeting_stays_live_with_others(stage: Stage) -> None:
    """The host leaves a guest behind and would own two meetings: refused, with the meeting that is live, and nothing has changed."""
    await stage.holds(named_hosts("alice"))
    await stage.admit("a", "m1", host=ALICE)
    await stage.admit("guest", "m1", host=ALICE, role="participant")
    before = await stage.everything()
    decision = await stage.move("a", "m1", "m2", host=ALICE)

    assert ("host_busy", "m1") == (told(decision), decision.busy_meeting)
    assert before == await stage.everything()
    await stage.release("guest")
    assert "admitted" == await stage.moved("a", "m1", "m2", host=ALICE)


async def test_T2_6_into_a_full_meeting(stage: Stage) -> None:
    """The leg stays where it is, and the counts are what they were."""
    await stage.holds(named_hosts("alice", "bob", max_endpoints=2))
    for leg in ("b1", "b2"):
        await stage.admit(leg, "full", host=BOB)
    await stage.admit("a", "m1", host=ALICE)
    before = await stage.everything()
    decision = await stage.move("a", "m1", "full", host=BOB)

    assert "meeting_full" == told(decision)
    assert [("meeting", 2, 2)] == [(use.limit, use.used, use.ceiling) for use in decision.limits]
    assert before == await stage.everything()
    assert ("meeting", "m1", "host") == await stage.place("a")


async def test_a_role_changes_although_every_limit_was_lowered_below_use(stage: Stage) -> None:
    """Net 0 refuses nobody: not the port, the meeting, PSTN nor China; a new leg is refused."""
    await stage.holds(ports(9, pstn_limit=9, pstn_enforcement="hard"), china(9))
    for leg in ("a", "b", "c"):
        await stage.admit(leg, "m1", **pstn())
    lowered = ports(1, max_endpoints=1, pstn_limit=1, pstn_enforcement="hard")
    await stage.holds(lowered, china(1))
    before = await stage.levels()

    assert "admitted" == await stage.moved("a", "m1", "m1", **pstn(role="participant"))
    assert {**before, "hosting": 2} == await stage.levels()
    assert "admitted" == await stage.moved("a", "m1", "m2", **pstn()), "the meeting that it goes to has one place"
    assert {**before, "hosting": 3} == await stage.levels()
    assert "meeting_full" == await stage.moved("a", "m2", "m1", **pstn())
    assert "pstn_full" == await stage.admit("d", "m3", **pstn())
    await stage.release("a", "b", "c")
    assert {} == await stage.counts()


async def test_T2_7_a_move_passes_hosts_that_are_too_many_already(stage: Stage) -> None:
    """Two hosts where one is allowed since: each may go to another meeting of its own, and nobody else gets in."""
    await stage.holds(named_hosts("alice", "bob", "eve"))
    await stage.admit("a", "m1", host=ALICE)
    await stage.admit("b", "m2", host=BOB)
    await stage.holds(named_hosts("alice", "bob", "eve", simultaneous_hosts=1))

    assert "admitted" == await stage.moved("a", "m1", "m3", host=ALICE)
    assert "admitted" == await stage.moved("a", "m3", "m4", host=EVE), "one host goes, another comes"
    assert "hosts_full" == await stage.admit("c", "m5", host=ALICE)
    assert {"host": 2, "hosts": 2, "meeting": 2, "hosting": 2, "ports": 2} == await stage.levels()


async def test_T4_4_from_participant_to_host_and_back(stage: Stage) -> None:
    """No move between meetings: the spell without a host begins and ends with the roles; the meeting has had its host, so others join."""
    await stage.holds(ports(9))
    await stage.admit("a", "m1", host=ALICE)
    await stage.admit("b", "m1", host=ALICE, role="participant")
    await stage.at(NOON_MS + 1)
    assert "admitted" == await stage.moved("a", "m1", "m1", host=ALICE, role="participant")
    await stage.at(NOON_MS + 5)
    assert {"ports": 2, "meeting": 2, "host": 1} == await stage.levels()
    assert [(1, None)] == await stage.spells()
    assert "admitted" == await stage.moved("b", "m1", "m1", host=ALICE, role="host")
    assert {"ports": 2, "meeting": 2, "host": 1, "hosting": 1} == await stage.levels()
    assert "admitted" == await stage.admit("c", "m1", host=ALICE, role="participant")
    assert [(1, 5)] == await stage.spells()
    await stage.release("a", "b", "c")
    assert {} == await stage.counts()


async def test_T4_4_a_participant_alone_becomes_the_host(stage: Stage) -> None:
    """It came without a host from another meeting of the owner, and nobody else got in; as a host it opens the meeting."""
    await stage.holds(ports(9))
    await stage.admit("h", "m1", host=ALICE)
    await stage.admit("a", "m1", host=ALICE, role="participant")
    await stage.moved("a", "m1", "m2", host=ALICE, role="participant")
    assert "host_not_present" == await stage.admit("b", "m2", host=ALICE, role="participant")
    assert "admitted" == await stage.moved("a", "m2", "m2", host=ALICE, role="host")
    assert "admitted" == await stage.admit("b", "m2", host=ALICE, role="participant")
    assert "admitted" == await stage.moved("a", "m2", "m2", host=ALICE, role="participant")
    assert "admitted" == await stage.admit("c", "m2", host=ALICE, role="participant"), "a host has been there"


@pytest.mark.parametrize(
    ("owner", "target", "reason"),
    [(ALICE, ALICE, "admitted"), (ALICE, BOB, "host_not_present"), (None, None, "host_not_present"), (ALICE, None, "host_not_present")],
    ids=["one owner", "another owner", "no owner", "an owner and none"],
)  # fmt: skip
async def test_T4_4_only_between_meetings_of_one_owner_a_move_waits_for_no_host(
    stage: Stage, owner: str | None, target: str | None, reason: str
) -> None:
    """A participant goes to a meeting that is not live; where that is refused, it stays where it was."""
    await stage.holds(ports(9))
    await stage.admit("h", "m1", host=owner)
    await stage.admit("a", "m1", host=owner, role="participant")

    assert reason == await stage.moved("a", "m1", "m2", host=target, role="participant")
    assert ("meeting", "m2" if reason == "admitted" else "m1", "participant") == await stage.place("a")


async def test_T4_4_the_owner_that_counts_is_that_of_the_live_meeting(stage: Stage) -> None:
    """The caller names Alice; the meeting that it comes from, and the one it goes to, are whose they are while they are live."""
    await stage.holds(ports(9))
    await stage.admit("h", "bobs", host=BOB)
    await stage.admit("a", "bobs", host=ALICE, role="participant")
    assert "host_not_present" == await stage.moved("a", "bobs", "m2", host=ALICE, role="participant")
    assert "admitted" == await stage.moved("a", "bobs", "m2", host="Bob+work@ACME.example", role="participant")


async def test_T11_2_a_presenter_becomes_moderator_and_then_attendee(stage: Stage) -> None:
    """The panel stays one, the event empties and opens again; its clock stands still in between, and the event is used once."""
    await stage.holds(per_event(1))
    await stage.admit("a", "e1", service="event", role="presenter")
    assert {"attendees": 1, "panel": 1} == await stage.levels()
    await stage.at(NOON_MS + 2 * MINUTE_MS)
    assert "admitted" == await stage.moved("a", "e1", "e1", service="event", role="moderator")
    assert {"panel": 1} == await stage.levels()
    await stage.at(NOON_MS + 10 * MINUTE_MS)
    assert "admitted" == await stage.moved("a", "e1", "e1", service="event", role="attendee")
    assert {"attendees": 1} == await stage.levels()
    await stage.at(NOON_MS + 13 * MINUTE_MS)

    past = await read_past(stage.core.kernel, "acme")
    ages = {
        level_of(age.group): (age.live_ms(NOON_MS + 13 * MINUTE_MS), age.since_ms is None, age.joined)
        for age in past.ages
    }
    assert {"attendees": (5 * MINUTE_MS, False, 2), "panel": (10 * MINUTE_MS, True, 1)} == ages
    assert [1] == [len(marks) for marks in past.marks.values()]
    assert "events_exhausted" == await stage.admit("b", "e2", service="event")
    await stage.release("a")
    assert {} == await stage.counts()


async def test_T11_4_a_role_changes_in_a_panel_and_an_audience_that_are_full(stage: Stage) -> None:
    """Moderator and presenter change into each other where the panel is full; an attendee does not get into it."""
    await stage.holds(events(101, attendees_enforcement="hard", departments={"finance": 1}))
    event = {"service": "event", "department": "finance"}
    for number in range(100):
        await stage.admit(f"p{number}", "e1", role="presenter", **event)
    await stage.admit("a", "e1", **event)
    before = await stage.everything()
    assert "event_full" == await stage.admit("b", "e1", **event)
    assert "panel_full" == await stage.moved("a", "e1", "e1", role="presenter", **event)
    assert before == await stage.everything()
    assert "admitted" == await stage.moved("p0", "e1", "e1", role="moderator", **event)
    assert {"attendees": 100, "panel": 100, "events": 1} == await stage.levels()
    assert "admitted" == await stage.moved("p0", "e1", "e1", role="presenter", **event)
    assert "admitted" == await stage.moved("p0", "e1", "e1", role="presenter", endpoint="sip", **event), (
        "full, and net 0"
    )
    assert {"attendees": 101, "panel": 100, "events": 1} == await stage.levels()


async def test_T12_1_from_one_event_to_the_next_with_one_licence(stage: Stage) -> None:
    """The only leg takes the licence along; a second one keeps the old event live, and the next must wait."""
    await stage.holds(events(9, departments={"finance": 1}))
    event = {"service": "event", "department": "finance"}
    await stage.admit("a", "e1", **event)
    assert "admitted" == await stage.moved("a", "e1", "e2", **event)
    await stage.admit("b", "e2", **event)
    before = await stage.everything()
    assert "events_concurrent_full" == await stage.moved("a", "e2", "e3", **event)
    assert before == await stage.everything()
    assert {"attendees": 2, "events": 1} == await stage.levels()


async def test_T11_1_an_event_that_is_left_before_anybody_was_connected_is_given_back(stage: Stage) -> None:
    """A leg with a node is not connected yet: the event that it leaves is not used up, and can be held later."""
    await stage.holds(per_event(2))
    await stage.admit("a", "e1", service="event", node="media-1")
    assert "admitted" == await stage.moved("a", "e1", "e2", service="event", node="media-1")
    (marks,) = (await read_past(stage.core.kernel, "acme")).marks.values()
    assert [("e2", None)] == [(mark.member, mark.connected_ms) for mark in marks]
    assert "admitted" == await stage.admit("b", "e3", service="event")
    assert "events_exhausted" == await stage.admit("c", "e1", service="event")


async def test_T11_1_the_last_event_goes_along_with_a_leg_that_is_not_connected_yet(stage: Stage) -> None:
    """It gives its event back and takes it for the other, which is net 0; beside a second leg, or once connected, it finds none left."""
    await stage.holds(per_event(1))
    await stage.admit("a", "e1", service="event", node="media-1")
    assert "admitted" == await stage.moved("a", "e1", "e2", service="event", node="media-1")
    await stage.admit("b", "e2", service="event", node="media-1")
    before = await stage.everything()
    assert "events_exhausted" == await stage.moved("a", "e2", "e1", service="event", node="media-1")
    assert before == await stage.everything()
    await stage.release("b")
    await stage.admit("c", "e2", service="event")
    assert "events_exhausted" == await stage.moved("c", "e2", "e1", service="event")


async def test_T15_3_from_a_meeting_to_an_event_with_all_pools(stage: Stage) -> None:
    """Ports and PSTN of meetings are given back, PSTN of events is taken, China stays; a full pool of the event's refuses it whole."""
    meetings = ports(1, pstn_limit=1, pstn_enforcement="hard")
    order = per_event(9, pstn_limit=1, pstn_enforcement="hard")
    await stage.holds(meetings, order, china(1), premium_calling())
    await stage.admit("a", "m1", **pstn(host=ALICE))
    assert "admitted" == await stage.moved("a", "m1", "e1", **pstn(service="event", calling="call_me"))
    assert {"attendees:event:e1": 1, "pstn:event": 1, "china": 1} == await stage.counts()
    assert "admitted" == await stage.admit("b", "m2", endpoint="pstn", host=ALICE)
    before = await stage.everything()
    assert "pstn_full" == await stage.moved("b", "m2", "e1", endpoint="pstn", service="event")
    assert before == await stage.everything()
    assert "admitted" == await stage.moved("b", "m2", "e1", service="event")
    assert {"attendees:event:e1": 2, "pstn:event": 1, "china": 1} == await stage.counts()
    await stage.release("a", "b")
    assert {} == await stage.counts()


async def test_T8_1_between_the_pools_of_meetings_and_teams(stage: Stage) -> None:
    """A room system goes to a Teams meeting and back: one pool gives back what the other takes, and a full one refuses it."""
    await stage.holds(ports(1), teams_ports(1))
    await stage.admit("a", "m1", endpoint="sip")
    assert "admitted" == await stage.moved("a", "m1", "t1", endpoint="sip", service="teams")
    assert {"meeting:teams:t1": 1, "teams_ports": 1} == await stage.counts()
    assert "admitted" == await stage.admit("b", "m2", endpoint="sip")
    before = await stage.everything()
    assert "ports_full" == await stage.moved("a", "t1", "m2", endpoint="sip")
    assert "teams_ports_full" == await stage.moved("b", "m2", "t1", endpoint="sip", service="teams")
    assert before == await stage.everything()
    await stage.release("b")
    assert "admitted" == await stage.moved("a", "t1", "m3", endpoint="sip")
    assert {"meeting:meeting:m3": 1, "hosting:meeting:m3": 1, "ports": 1} == await stage.counts()


async def test_T13_1_a_room_moves_as_a_whole_or_not_at_all(stage: Stage) -> None:
    """Its only leg takes the room along; while a second one stays behind, the room is in use there."""
    await stage.holds(ports(9), dolby_rooms("Boardroom-4"))
    room = {"endpoint": "sip", "room": "boardroom-4", "role": "participant"}
    for meeting in ("m1", "m2"):
        await stage.admit(f"host-{meeting}", meeting)
    await stage.admit("a", "m1", **room)
    assert "admitted" == await stage.moved("a", "m1", "m2", **room)
    await stage.admit("screen", "m2", **room)
    before = await stage.everything()
    assert "room_in_use" == await stage.moved("a", "m2", "m1", **room)
    assert "room_cannot_host" == await stage.moved("a", "m2", "m2", **{**room, "role": "host"})
    assert before == await stage.everything()
    assert "admitted" == await stage.moved("a", "m2", "m1", endpoint="sip", role="participant"), (
        "it says that it is none"
    )
    assert {"ports": 4, "meeting": 4, "hosting": 2, "room": 1, "room_leg": 1} == await stage.levels()
    await stage.release("a", "screen", "host-m1", "host-m2")
    assert {} == await stage.counts()


async def test_what_cannot_be_moved(stage: Stage) -> None:
    """A leg that is not there, is elsewhere than the caller says, or has been released; one that is there already is replayed."""
    await stage.holds(ports(9))
    with pytest.raises(ConnectionUnknown):
        await stage.move("a", "m1", "m2")
    await stage.admit("a", "m1")
    before = await stage.everything()
    with pytest.raises(ConnectionConflict):
        await stage.move("a", "m7", "m2")
    assert "replayed" == await stage.moved("a", "m1", "m1")
    assert before == await stage.everything()
    assert "admitted" == await stage.moved("a", "m1", "m2")
    before = await stage.everything()
    assert "replayed" == await stage.moved("a", "m1", "m2"), "a caller that did not hear the answer asks again"
    with pytest.raises(ConnectionConflict):
        await stage.move("a", "m1", "m3")
    assert before == await stage.everything()
    await stage.release("a")
    assert "already_released" == await stage.moved("a", "m2", "m3")
    assert {} == await stage.counts()


async def test_a_move_of_a_customer_that_never_was_is_of_no_known_leg(stage: Stage) -> None:
    """Nothing is stored for it."""
    with pytest.raises(ConnectionUnknown):
        await stage.move("a", "m1", "m2")
    assert [] == [name for name in await everything_in(stage.url) if "acme" in name]


async def test_into_shadow_and_out_of_it(stage: Stage) -> None:
    """What would be denied is let go and takes nothing; back where there is room, it takes its place again."""
    await stage.holds(named_hosts("alice", max_endpoints=1), ports(9), mode="shadow")
    await stage.admit("h", "m1", host=BOB)
    await stage.admit("a", "m1", host=BOB)
    await stage.admit("x", "m2", host=ALICE)
    decision = await stage.move("a", "m1", "m2", host=ALICE)
    assert ("shadow", "meeting_full") == (told(decision), decision.would_deny)
    usage = await stage.core.reports.usage("acme")
    assert (3, 1) == (usage.snapshot.live, usage.snapshot.shadow_live)
    assert {"ports": 2, "meeting": 2, "host": 2, "hosts": 1, "hosting": 2} == await stage.levels()

    assert "shadow" == await stage.moved("a", "m2", "m2", host=ALICE, role="participant"), "from shadow to shadow"
    assert "admitted" == await stage.moved("a", "m2", "m1", host=BOB)
    usage = await stage.core.reports.usage("acme")
    assert (3, 0) == (usage.snapshot.live, usage.snapshot.shadow_live)
    assert {"ports": 3, "meeting": 3, "host": 2, "hosts": 1, "hosting": 3} == await stage.levels()
    await stage.release("a", "h", "x")
    assert {} == await stage.counts()


async def test_T20_1_of_a_suspended_customer_or_to_a_suspended_host(stage: Stage) -> None:
    """Refused, also in shadow mode, and the leg stays in its meeting."""
    await stage.holds(named_hosts("alice", "bob"), mode="shadow")
    await stage.admit("a", "m1", host=ALICE)
    await stage.core.entitlements.change("acme", host_suspended("acme", BOB, "aup", "test"), "suspend_host")
    decision = await stage.move("a", "m1", "m2", host=BOB)
    assert ("shadow", "host_suspended") == (told(decision), decision.would_deny)
    await stage.moved("a", "m2", "m1", host=ALICE)
    await stage.holds(named_hosts("alice", "bob"))
    await set_status(stage.core.entitlements, "active")
    before = await stage.everything()
    assert "host_suspended" == await stage.moved("a", "m1", "m2", host=BOB)
    assert before == await stage.everything()
    await stage.holds(named_hosts("alice", "bob"), mode="shadow")
    await set_status(stage.core.entitlements, "suspended")
    before = await stage.everything()
    assert "customer_suspended" == await stage.moved("a", "m1", "m2", host=ALICE)
    assert before == await stage.everything()
    await stage.release("a")
    assert {} == await stage.counts()


HOSTS = named_hosts("alice", "bob", max_endpoints=2)
PORTS = ports(3, pstn_limit=1, pstn_enforcement="hard")
ROOMS = dolby_rooms("attic", "cellar")
EVENT = {"service": "event", "role": "presenter"}
AT_BOBS = {"meeting": "m2", "host": BOB}
IN_ATTIC = {"meeting": "m3", "host": BOB, "room": "attic", "role": "participant"}


@dataclass(frozen=True)
class Refused:
    """A move of leg `a` that is refused. Beside it, `others` are live, with a host leg in its meeting where that is one."""

    held: tuple[dict[str, Any], ...]
    target: dict[str, Any]
    others: tuple[dict[str, Any], ...] = ()
    base: dict[str, Any] | None = None
    """What `a` is, if not a room system in a meeting of Alice by way of China."""


REFUSED = {
    "service_not_licensed": Refused((HOSTS,), {"service": "teams", "endpoint": "sip"}),
    "feature_not_licensed": Refused((HOSTS,), {**AT_BOBS, "endpoint": "pstn", "calling": "call_me"}),
    "feature_not_included": Refused((HOSTS,), {**AT_BOBS, "features": ("streaming",)}),
    "access_not_licensed": Refused((HOSTS,), {**AT_BOBS, "access": "china"}, base={"host": ALICE}),
    "endpoint_not_supported": Refused((HOSTS, teams_ports(9)), {"service": "teams", "endpoint": "web"}),
    "department_not_licensed": Refused((HOSTS, events()), {"meeting": "e1", **EVENT, "department": "sales"}),
    "host_not_licensed": Refused((HOSTS,), {"meeting": "m2", "host": EVE}),
    "room_not_licensed": Refused((HOSTS,), {**AT_BOBS, "room": "garage"}),
    "room_in_use": Refused((HOSTS, PORTS), {**AT_BOBS, "room": "attic"}, (IN_ATTIC,)),
    "host_busy": Refused((HOSTS,), AT_BOBS, ({"meeting": "m3", "host": BOB},)),
    "hosts_full": Refused((named_hosts("alice", "bob", simultaneous_hosts=1),), AT_BOBS),
    "host_not_present": Refused((HOSTS, PORTS), {"meeting": "m2", "host": EVE}),
    "events_exhausted": Refused((HOSTS, per_event(1)), {"meeting": "e2", **EVENT}, ({"meeting": "e1", **EVENT},)),
    "events_concurrent_full": Refused(
        (HOSTS, events(departments={"finance": 1})), {"meeting": "e2", **EVENT, "department": "finance"},
        ({"meeting": "e1", **EVENT, "department": "finance"},),
    ),
    "meeting_full": Refused((HOSTS,), AT_BOBS, (AT_BOBS, AT_BOBS)),
    "event_full": Refused(
        (HOSTS, per_event(1, 1, attendees_enforcement="hard")), {"meeting": "e1", **EVENT}, ({"meeting": "e1", **EVENT},)
    ),
    "pstn_full": Refused((HOSTS, PORTS), {**AT_BOBS, "endpoint": "pstn"}, ({**AT_BOBS, "endpoint": "pstn"},)),
    "china_full": Refused((HOSTS,), {**AT_BOBS, "access": "china"}, ({**AT_BOBS, "access": "china"},), {"host": ALICE}),
    "ports_full": Refused(
        (HOSTS, PORTS, per_event(1)), {"meeting": "m1", "host": ALICE}, (AT_BOBS, AT_BOBS), {"meeting": "e1", **EVENT}
    ),
}  # fmt: skip


@pytest.mark.parametrize("reason", REFUSED)
async def test_a_move_that_is_refused_changes_nothing(stage: Stage, reason: str) -> None:
    """Wherever in its chain it fails, every key of the customer holds what it held, but the tally of the denial."""
    case = REFUSED[reason]
    access = () if reason == "access_not_licensed" else (china(1),)
    await stage.holds(*case.held, *access, ROOMS)
    room_system = {"host": ALICE, "endpoint": "sip", "role": "participant", "room": "cellar", "access": "china"}
    base = {"meeting": "m1", **(case.base or room_system)}
    await stage.admit("host", "m1", host=ALICE)
    for number, fields in enumerate(case.others):
        assert "admitted" == await stage.admit(f"other-{number}", **{"role": "host", "endpoint": "sip", **fields})
    assert "admitted" == await stage.admit("a", **base)
    before = await stage.everything()
    origin = str(base["meeting"])

    assert reason == await stage.moved(
        "a", origin, **{"meeting": "m2", "role": "participant", "endpoint": "sip", **case.target}
    )
    assert before == await stage.everything()


async def test_T4_3_a_move_raises_no_register_of_the_pool_that_it_stays_in(stage: Stage) -> None:
    """Three legs above two committed ports; two of them change meetings, one goes to Teams and back: peak three, overage one."""
    await stage.holds(ports(2, enforcement="metered"), teams_ports(0, enforcement="metered"))
    for leg in ("a", "b", "c"):
        await stage.admit(leg, "m1", endpoint="sip")
    await stage.at(NOON_MS + 1)
    for leg in ("a", "b"):
        assert (await stage.move(leg, "m1", "m2", endpoint="sip")).overage
    assert (await stage.move("c", "m1", "t1", endpoint="sip", service="teams")).overage
    assert not (await stage.move("a", "m2", "m3", endpoint="sip")).overage
    await stage.move("c", "t1", "m1", endpoint="sip")

    rows = await stage.core.reports.overage("acme", TODAY.ordinal, TODAY.ordinal)
    found = {row.pool: (row.register.peak, row.register.overage, row.register.overage_at_ms - NOON_MS) for row in rows}
    assert {"ports": (3, 1, 0), "teams_ports": (1, 1, 1)} == found


async def test_T4_3_a_move_may_be_the_first_of_the_day(stage: Stage) -> None:
    """The legs that were there count at 00:00, in the pool that the first move of the day leaves too; one that is refused rolls as well."""
    await stage.holds(ports(1, enforcement="metered", ceiling=2), teams_ports(1))
    for leg in ("a", "b"):
        await stage.admit(leg, "m1", endpoint="sip")
    following, third = day(TODAY.ordinal + 1), day(TODAY.ordinal + 2)
    await stage.at(following.start_ms)
    assert "admitted" == await stage.moved("a", "m1", "t1", endpoint="sip", service="teams")
    await stage.admit("c", "m1", endpoint="sip")
    await stage.at(third.start_ms + 1)
    assert "ports_full" == await stage.moved("a", "t1", "m1", endpoint="sip")

    rows = await stage.core.reports.overage("acme", TODAY.ordinal, third.ordinal)
    found = {(row.day - TODAY.ordinal, row.pool): (row.register.peak, row.register.overage) for row in rows}
    pools = {(1, "teams_ports"): (1, 0), (2, "teams_ports"): (1, 0), (0, "teams_ports"): (0, 0)}
    assert {(0, "ports"): (2, 1), (1, "ports"): (2, 1), (2, "ports"): (2, 1), **pools} == found


async def test_a_move_that_comes_too_late_changes_nothing(stage: Stage) -> None:
    """The caller gave up meanwhile: denied, and the leg stays where it was."""
    await stage.holds(ports(1))
    await stage.admit("a", "m1")
    before = await stage.everything()
    asked = stage.core.admission.move(join("a", "m2"), "m1", wait_s=30.0)
    await stage.clock.set(NOON_MS + 31_000)
    assert "too_late" == told(await asked)
    assert before == await stage.everything()


@pytest.mark.parametrize(
    "target", [("m2", {}), ("m1", {"endpoint": "app"})], ids=["another meeting", "the same meeting"]
)
async def test_a_leg_that_is_alone_moves_after_the_licence_of_its_host_has_ended(
    stage: Stage, target: tuple[str, dict[str, Any]]
) -> None:
    """The meeting went live under a named host; now ports license it: the host's place is given back once, and the leg can be released."""
    await stage.holds(named_hosts("alice"), ports(9))
    await stage.admit("a", "m1", host=ALICE)
    await stage.holds(ports(9))
    meeting, fields = target
    assert "admitted" == await stage.moved("a", "m1", meeting, host=ALICE, **fields)
    assert {"ports": 1, "meeting": 1, "host": 1, "hosting": 1} == await stage.levels()
    assert () == (await verify(stage.core.kernel, "acme")).differences
    await stage.release("a")
    assert {} == await stage.counts()


async def test_a_leg_that_is_alone_moves_after_its_host_was_licensed(stage: Stage) -> None:
    """The other way round: the host takes a place among the hosts, and gives it back."""
    await stage.holds(ports(9))
    await stage.admit("a", "m1", host=ALICE)
    await stage.holds(named_hosts("alice"), ports(9))
    assert "admitted" == await stage.moved("a", "m1", "m2", host=ALICE)
    assert {"ports": 1, "meeting": 1, "host": 1, "hosts": 1, "hosting": 1} == await stage.levels()
    await stage.release("a")
    assert {} == await stage.counts()


async def test_T1_2_the_legs_of_a_person_are_counted_where_they_go(stage: Stage) -> None:
    """A telephone and a web leg of one person go to another meeting one after the other; nobody is counted twice or left behind."""
    await stage.holds(named_hosts("alice"), ports(9))
    await stage.admit("p", "m1", endpoint="pstn", person="Ann@globex.example")
    await stage.admit("w", "m1", person="ann@globex.example", role="participant")
    await stage.moved("p", "m1", "m2", endpoint="pstn", person="ann@globex.example")
    assert {"person:meeting:m1\x1fann@globex.example": 1, "person:meeting:m2\x1fann@globex.example": 1} == {
        group: count for group, count in (await stage.counts()).items() if level_of(group) == "person"
    }
    await stage.moved("w", "m1", "m2", person="ann@globex.example")
    assert 2 == (await stage.counts())["person:meeting:m2\x1fann@globex.example"]
    await stage.release("p", "w")
    assert {} == await stage.counts()


async def test_lease_and_node_stay_with_the_leg(stage: Stage) -> None:
    """A move is no sign of life; it changes the owner where it names one."""
    await stage.holds(ports(9))
    await stage.admit("a", "m1", node="media-1", lease_s=60)
    await stage.at(NOON_MS + 1000)
    await stage.moved("a", "m1", "m2")
    _, ((leg, _),) = await stage.core.reports.connections("acme", 0, 10)
    assert ("media-1", NOON_MS, None, NOON_MS + 60_000) == (leg.node, leg.admitted_ms, leg.connected_ms, leg.expires_ms)
    await stage.moved("a", "m2", "m3", node="media-2")
    _, ((leg, _),) = await stage.core.reports.connections("acme", 0, 10)
    assert ("media-2", NOON_MS, None, NOON_MS + 60_000) == (leg.node, leg.admitted_ms, leg.connected_ms, leg.expires_ms)


ROUNDS = 200


async def test_of_moves_of_one_leg_at_one_time_one_wins(core: Core, make_core: MakeCore) -> None:
    """Four moves to four meetings through two gateways, 200 rounds: the first one moves it, the others find it elsewhere."""
    cores = (core, await make_core())
    await install(core.entitlements, customer(ports(1)))
    await admit(core, join("a", "m0"))
    place = "m0"
    for number in range(ROUNDS):
        targets = [f"m{number}-{way}" for way in range(4)]
        asked = [
            cores[way % 2].admission.move(join("a", target), place, wait_s=30.0) for way, target in enumerate(targets)
        ]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        winners = [target for target, answer in zip(targets, answers, strict=True) if isinstance(answer, Decision)]
        assert [ConnectionConflict] * 3 == [type(answer) for answer in answers if not isinstance(answer, Decision)]
        (place,) = winners
    found = await verify(core.kernel, "acme")
    assert (1, ()) == (found.legs, found.differences)
    await core.admission.release("acme", "a")
    usage = await cores[1].reports.usage("acme")
    assert (0, [0]) == (usage.snapshot.live, [pool.used for pool in usage.pools])


async def test_moves_race_with_admits_and_releases(core: Core, make_core: MakeCore) -> None:
    """200 rounds through two gateways on few meetings: no limit is ever passed, counters are what the legs say, and nothing is left."""
    cores = (core, await make_core())
    hosts = named_hosts("alice", "bob", simultaneous_hosts=1, max_endpoints=2)
    await install(
        core.entitlements, customer(hosts, ports(4), teams_ports(2), per_event(99, 2, attendees_enforcement="hard"))
    )
    dice = random.Random(11)
    live: dict[str, tuple[str, str]] = {}
    seen: Counter[str] = Counter()

    def place() -> dict[str, Any]:
        service = dice.choice(["meeting", "meeting", "teams", "event"])
        owner = dice.choice([ALICE, BOB, EVE]) if service == "meeting" else None
        role = dice.choice(["host", "participant"]) if service == "meeting" else None
        named = {"host": owner, "role": role} if service == "meeting" else {}
        return {
            "service": service,
            "meeting": f"{(owner or service)[:2]}{dice.randrange(2)}",
            "endpoint": "sip",
            **named,
        }

    async def step(leg: str) -> None:
        through = dice.choice(cores)
        if leg in live and dice.random() < 0.3:
            await through.admission.release("acme", leg)
            live.pop(leg, None)
            seen["released"] += 1
            return
        target = place()
        try:
            if leg in live:
                decision = await through.admission.move(join(leg, **target), live[leg][1], wait_s=30.0)
            else:
                decision = await admit(through, join(leg, **target))
        except (ConnectionConflict, ConnectionUnknown) as error:
            seen[type(error).__name__] += 1
            return
        seen[("moved " if leg in live else "joined ") + told(decision)] += 1
        if decision.admitted:
            live[leg] = (target["service"], target["meeting"])
        for use in decision.limits:
            within = use.ceiling is None or use.used <= use.ceiling
            assert within, f"{leg}: {use}"

    for number in range(ROUNDS):
        # A released id stays refused for two minutes, so legs have new ids; each id is in use by one step at a time, but for one.
        legs = dice.sample(sorted(live), min(len(live), 4))
        await asyncio.gather(
            *[step(leg) for leg in legs],
            *[step(f"{number}-{way}") for way in range(4)],
            *[step(leg) for leg in legs[:1]],
        )
        found = await verify(core.kernel, "acme")
        assert () == found.differences, number

    assert 50 < seen["moved admitted"], seen
    for reason in ("host_busy", "hosts_full", "meeting_full", "ports_full", "event_full", "teams_ports_full"):
        assert seen[f"moved {reason}"], (reason, seen)
    async for page in core.reports.each_connection("acme"):
        for leg in page:
            await core.admission.release("acme", leg.connection)
    usage = await core.reports.usage("acme")
    assert (0, {0}) == (usage.snapshot.live, {pool.used for pool in usage.pools})
