"""What is remembered after the legs have gone: marks, ages, spells; and that it is forgotten when nothing asks for it any more."""

import asyncio
import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pytest
from plans import corporate, dolby_rooms, per_event
from support import Clock, admit, customer, events, install, join, named_hosts, ports, teams_ports, term, told

from gateway.core import Core
from gateway.domain.changes import removed
from gateway.domain.claims import level_of, member_of
from gateway.domain.days import day
from gateway.domain.departure import PEOPLE_KEPT_MS
from gateway.housekeeping import Housekeeping
from gateway.kernel.keys import keys_of
from gateway.kernel.outcomes import Age, Past
from gateway.kernel.past import read_past


MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
TODAY = date(2026, 6, 10)
NOON_MS = day(TODAY.toordinal()).start_ms + 12 * HOUR_MS
ALICE, BOB = "alice@acme.example", "bob@acme.example"
TO_COME = {"node": "media-1"}
"""Of a leg that is admitted and not yet connected."""


@dataclass
class Stage:
    """A gateway at a time of the test's choice."""

    core: Core
    clock: Clock

    async def at(self, now_ms: int) -> None:
        """It is that time, and the gateway has heard of it."""
        await self.clock.set(now_ms)
        await self.core.kernel.entitlements("acme")

    async def on(self, date_: date) -> None:
        """It is noon of that day."""
        await self.at(day(date_.toordinal()).start_ms + 12 * HOUR_MS)

    async def holds(self, *subscriptions: dict[str, Any], **fields: Any) -> None:
        """From now on the customer holds these."""
        await install(self.core.entitlements, customer(*subscriptions, **fields))

    async def admit(self, leg: str, meeting: str, **fields: Any) -> str:
        """Reason of the decision."""
        return told(await admit(self.core, join(leg, meeting, **fields)))

    async def attend(self, leg: str, event: str, **fields: Any) -> str:
        """Reason of the decision on a leg in an event."""
        return await self.admit(leg, event, service="event", **fields)

    async def move(self, leg: str, origin: str, meeting: str, **fields: Any) -> str:
        """Reason of the decision."""
        return told(await self.core.admission.move(join(leg, meeting, **fields), origin, wait_s=30.0))

    async def release(self, *legs: str) -> None:
        """Legs end."""
        for leg in legs:
            await self.core.admission.release("acme", leg)

    async def past(self) -> Past:
        """All that is remembered; the sizes of sets must be what is in them."""
        past = await read_past(self.core.kernel, "acme")
        raw = await self.raw()
        sizes = {name[1:]: int(value) for name, value in raw.items() if name[0] == "+" and name != "+~" and int(value)}
        assert {name: len(marks) for name, marks in past.marks.items()} == sizes
        closed = [spell for spell in past.spells if spell.until_ms is not None]
        assert len(closed) == int(raw.get("+~", "0"))
        return past

    async def raw(self) -> dict[str, str]:
        """The fields as they are stored."""
        found = self.core.kernel.fields("acme", "past", "*", 10_000)
        return {name: value async for name, value in found}

    async def marks(self) -> dict[str, list[tuple[str, int, int | None]]]:
        """By set: member, minutes after noon at which it was made and became final."""
        return {
            name: [(mark.member, _minutes(mark.made_ms), _minutes(mark.connected_ms)) for mark in marks]
            for name, marks in (await self.past()).marks.items()
        }

    async def age(self, group: str) -> Age:
        """That of one group."""
        (found,) = [age for age in (await self.past()).ages if age.group == group]
        return found

    async def spells(self) -> list[tuple[str, int, int | None]]:
        """Meeting, first and last instant without a host in ms after noon."""
        found = (await self.past()).spells
        return [
            (
                member_of(spell.group),
                spell.since_ms - NOON_MS,
                None if spell.until_ms is None else spell.until_ms - NOON_MS,
            )
            for spell in found
        ]

    async def tidy(self) -> int:
        """How many fields housekeeping forgets; done again, there is nothing left to forget."""
        housekeeping = Housekeeping(self.core.kernel, self.core.entitlements)
        forgotten = await housekeeping.run()
        assert 0 == await housekeeping.run()
        await self.past()
        return forgotten


def _minutes(ms: int | None) -> int:
    return -1 if ms is None else (ms - NOON_MS) // MINUTE_MS


@pytest.fixture
async def stage(core: Core, clock: Clock) -> Stage:
    """Noon of an ordinary day."""
    made = Stage(core, clock)
    await made.at(NOON_MS)
    return made


async def test_T11_1_an_event_is_used_up_with_its_first_connected_leg(stage: Stage) -> None:
    """As long as no leg is connected it is pending; the first that is makes it final, whether others come or go."""
    await stage.holds(per_event(1))
    await stage.attend("a", "e1", **TO_COME)
    assert {"events events.per_event": [("e1", 0, -1)]} == await stage.marks()
    await stage.at(NOON_MS + MINUTE_MS)
    await stage.attend("b", "e1", **TO_COME)
    assert {"events events.per_event": [("e1", 0, -1)]} == await stage.marks()
    assert "events_exhausted" == await stage.attend("x", "e2")
    await stage.at(NOON_MS + 2 * MINUTE_MS)
    await stage.attend("c", "e1")
    await stage.at(NOON_MS + 3 * MINUTE_MS)
    await stage.attend("d", "e1")
    await stage.release("a", "b", "c", "d")
    assert {"events events.per_event": [("e1", 0, 2)]} == await stage.marks()


async def test_T11_1_an_event_that_empties_before_anybody_was_connected_is_given_back(stage: Stage) -> None:
    """With its last leg, not before; the next event has its place."""
    await stage.holds(per_event(1))
    await stage.attend("a", "e1", **TO_COME)
    await stage.attend("b", "e1", **TO_COME)
    await stage.release("a")
    assert "events_exhausted" == await stage.attend("c", "e2")
    await stage.release("b")
    assert {} == await stage.marks()
    assert "admitted" == await stage.attend("d", "e2")
    assert "events_exhausted" == await stage.attend("e", "e1")


async def test_T11_1_an_event_that_is_held_again_is_no_second_one(stage: Stage) -> None:
    """Also where it opens with legs that are not connected, and they leave again."""
    await stage.holds(per_event(2))
    for number in range(3):
        assert "admitted" == await stage.attend(f"a{number}", "e1")
        await stage.release(f"a{number}")
        assert "admitted" == await stage.attend(f"b{number}", "e1", **TO_COME)
        await stage.release(f"b{number}")
    assert "admitted" == await stage.attend("c", "e2")
    assert "events_exhausted" == await stage.attend("d", "e3")
    assert {"events events.per_event": [("e1", 0, 0), ("e2", 0, 0)]} == await stage.marks()


async def test_T11_1_moderators_rehearse_and_use_no_event_up(stage: Stage) -> None:
    """Nothing but their panel is remembered."""
    await stage.holds(per_event(1))
    await stage.attend("m", "e1", role="moderator")
    await stage.release("m")
    assert {} == await stage.marks()
    assert ["panel:event:e1"] == [age.group for age in (await stage.past()).ages]


async def test_T1_5_events_are_drawn_from_the_order_that_ends_first_and_remembered_with_it(stage: Stage) -> None:
    """The second event comes from the second order, the third finds none; both are known when they are held again."""
    await stage.holds(per_event(1, id="late"), per_event(1, id="early", **term(TODAY, TODAY + timedelta(days=9))))
    for event in ("e1", "e2"):
        assert "admitted" == await stage.attend(f"a-{event}", event)
        await stage.release(f"a-{event}")
    assert "events_exhausted" == await stage.attend("a-e3", "e3")
    assert {"events early": [("e1", 0, 0)], "events late": [("e2", 0, 0)]} == await stage.marks()
    assert ["admitted", "admitted"] == [await stage.attend(f"b-{event}", event) for event in ("e1", "e2")]
    assert {"events early": [("e1", 0, 0)], "events late": [("e2", 0, 0)]} == await stage.marks()


async def test_T11_1_an_event_that_is_held_again_stays_with_its_order(stage: Stage) -> None:
    """Also where the order that ends first has got room since: one event is used once."""
    early = {"id": "early", **term(TODAY, TODAY + timedelta(days=9))}
    await stage.holds(per_event(1, **early), per_event(1, id="late"))
    for event in ("e1", "e2"):
        await stage.attend(f"a-{event}", event)
        await stage.release(f"a-{event}")
    await stage.holds(per_event(2, **early), per_event(1, id="late"))
    assert "admitted" == await stage.attend("b", "e2")
    assert {"events early": [("e1", 0, 0)], "events late": [("e2", 0, 0)]} == await stage.marks()


async def test_T3_3_hosts_of_a_cycle_are_remembered_once_connected(stage: Stage) -> None:
    """By cycle and subscription; a host whose legs never connected is none, one that meets daily is one."""
    await stage.holds(corporate(anchor_day=11, id="all"))
    await stage.admit("a", "m1", host=ALICE)
    await stage.admit("b", "m2", host=BOB, **TO_COME)
    await stage.release("a", "b")
    await stage.admit("c", "m3", host="Alice+x@acme.example")
    await stage.release("c")
    assert {"hosts all 2026-05": [(ALICE, 0, 0)]} == await stage.marks()
    await stage.on(date(2026, 6, 11))
    await stage.admit("d", "m1", host=ALICE)
    assert {"hosts all 2026-05": [(ALICE, 0, 0)], "hosts all 2026-06": [(ALICE, 1440, 1440)]} == await stage.marks()


async def test_T4_5_T13_5_owners_and_rooms_abroad_are_remembered_by_month(stage: Stage) -> None:
    """Each once in a month; nothing of who is within the domains and territories."""
    await stage.holds(ports(9), dolby_rooms("attic", territory=["US", "CA"]))
    for leg, owner in (("a", ALICE), ("b", "zoe@globex.example"), ("c", "zoe@globex.example"), ("d", "no-address")):
        await stage.admit(leg, f"m-{leg}", host=owner)
    room = {"room": "Attic", "endpoint": "sip", "role": "participant"}
    for leg, country in (("r1", "US"), ("r2", "FR"), ("r3", "FR"), ("r4", None)):
        await stage.admit(leg, "m-a", country=country, **room)
    expected = {"foreign 2026-06": [("zoe@globex.example", 0, 0)], "abroad 2026-06": [("attic FR", 0, 0)]}
    assert expected == await stage.marks()


async def test_T11_2_T11_5_the_age_of_an_event_over_three_openings(stage: Stage) -> None:
    """First opening, live time, greatest count and attendees of all openings; moderators are no attendees."""
    await stage.holds(events(99))
    event = {"department": "finance"}

    async def opening(number: int, attendees: int, minutes: int) -> None:
        start_ms = NOON_MS + number * HOUR_MS
        await stage.at(start_ms)
        await stage.attend(f"mod{number}", "e1", role="moderator", **event)
        legs = [f"{number}-{leg}" for leg in range(attendees)]
        for leg in legs:
            await stage.attend(leg, "e1", **event)
        await stage.at(start_ms + minutes * MINUTE_MS)
        await stage.release(*legs)
        await stage.at(start_ms + (minutes + 20) * MINUTE_MS)
        await stage.release(f"mod{number}")

    await opening(0, 2, 10)
    await opening(1, 5, 20)
    await opening(2, 3, 30)

    second_ms = NOON_MS + HOUR_MS
    group, licence = "attendees:event:e1", "events.unlimited"
    assert Age(group, NOON_MS, None, 60 * MINUTE_MS, 5, second_ms, 10, licence) == await stage.age(group)
    panel = await stage.age("panel:event:e1")
    assert (120 * MINUTE_MS, 1, 3) == (panel.summed_ms, panel.peak, panel.joined)


async def test_T11_5_an_event_is_over_time_at_the_last_millisecond_of_all_its_openings(stage: Stage) -> None:
    """Two hours when hard: one in the morning, one in the afternoon; then nobody joins, also when it is empty."""
    await stage.holds(per_event(9, duration_enforcement="hard"))
    await stage.attend("a", "e1")
    await stage.at(NOON_MS + HOUR_MS)
    await stage.release("a")
    await stage.at(NOON_MS + 3 * HOUR_MS)
    await stage.attend("b", "e1")
    await stage.at(NOON_MS + 4 * HOUR_MS - 1)
    assert "admitted" == await stage.attend("c", "e1")
    await stage.at(NOON_MS + 4 * HOUR_MS)
    assert "event_over_time" == await stage.attend("d", "e1")
    assert "admitted" == await stage.attend("mod", "e1", role="moderator"), "moderators are not of its live time"
    await stage.release("b", "c")
    assert "event_over_time" == await stage.attend("e", "e1")
    assert "admitted" == await stage.attend("f", "e2")


async def test_T4_4_a_spell_from_when_the_host_leaves_until_one_comes(stage: Stage) -> None:
    """Only while others stay, and no other host is there; each spell has its first and last instant."""
    await stage.holds(ports(9))
    await stage.admit("h1", "m1", host=ALICE)
    await stage.admit("h2", "m1", host=ALICE)
    await stage.admit("p", "m1", host=ALICE, role="participant")
    await stage.at(NOON_MS + 1)
    await stage.release("h1")
    assert [] == await stage.spells()
    await stage.at(NOON_MS + 2)
    await stage.release("h2")
    await stage.at(NOON_MS + 3)
    await stage.admit("q", "m1", host=ALICE, role="participant")
    assert [("m1", 2, None)] == await stage.spells()
    await stage.at(NOON_MS + 5)
    await stage.admit("h3", "m1", host=ALICE)
    assert [("m1", 2, 5)] == await stage.spells()
    await stage.at(NOON_MS + 7)
    await stage.release("h3")
    await stage.at(NOON_MS + 9)
    await stage.release("p")
    assert [("m1", 2, 5), ("m1", 7, None)] == await stage.spells()
    await stage.at(NOON_MS + 11)
    await stage.release("q")
    assert [("m1", 2, 5), ("m1", 7, 11)] == await stage.spells()


async def test_T4_4_no_spell_where_the_host_leaves_last_or_comes_again_later(stage: Stage) -> None:
    """A meeting that is empty lacks nobody."""
    await stage.holds(ports(9))
    for number in range(2):
        await stage.admit(f"p{number}-h", "m1", host=ALICE)
        await stage.admit(f"p{number}", "m1", host=ALICE, role="participant")
        await stage.at(NOON_MS + 10 * number + 5)
        await stage.release(f"p{number}", f"p{number}-h")
    assert [] == await stage.spells()


async def test_T4_4_no_spell_in_a_meeting_that_a_named_host_licenses(stage: Stage) -> None:
    """Only ports ask that the customer takes part."""
    await stage.holds(named_hosts("alice"), ports(9))
    await stage.admit("p", "m1", host=ALICE, role="participant")
    await stage.admit("h", "m1", host=ALICE)
    await stage.release("h")
    assert [] == await stage.spells()


async def test_T4_4_a_host_that_moves_to_a_meeting_of_another_owner_leaves_a_spell(stage: Stage) -> None:
    """From the move until the last who stayed has followed; the meeting to which they go has its host."""
    await stage.holds(ports(9))
    await stage.admit("h", "m1", host=ALICE)
    await stage.admit("p", "m1", host=ALICE, role="participant")
    await stage.at(NOON_MS + 1)
    assert "admitted" == await stage.move("h", "m1", "bobs", host=BOB)
    assert [("m1", 1, None)] == await stage.spells()
    await stage.at(NOON_MS + 4)
    assert "admitted" == await stage.move("p", "m1", "bobs", host=BOB, role="participant")
    assert [("m1", 1, 4)] == await stage.spells()
    await stage.release("p", "h")
    assert [("m1", 1, 4)] == await stage.spells()


async def test_T4_4_moves_between_meetings_of_one_owner_leave_no_spell(stage: Stage) -> None:
    """Neither where the host leaves nor where guests go ahead; who leaves otherwise afterwards does."""
    await stage.holds(ports(9))
    await stage.admit("h", "m1", host=ALICE)
    await stage.admit("p", "m1", host=ALICE, role="participant")
    await stage.admit("q", "m1", host=ALICE, role="participant")
    assert "admitted" == await stage.move("q", "m1", "m2", host=ALICE, role="participant")
    await stage.at(NOON_MS + 4)
    assert "admitted" == await stage.move("h", "m1", "m2", host=ALICE)
    await stage.at(NOON_MS + 6)
    assert "admitted" == await stage.move("h", "m2", "m1", host=ALICE)
    assert [] == await stage.spells()
    await stage.at(NOON_MS + 8)
    await stage.release("h")
    assert [("m1", 8, None)] == await stage.spells()
    await stage.at(NOON_MS + 9)
    await stage.move("p", "m1", "m2", host=ALICE, role="participant")
    assert [("m1", 8, 9)] == await stage.spells()


async def test_T4_4_a_host_that_goes_on_to_a_teams_meeting_of_the_same_name_leaves_no_spell(stage: Stage) -> None:
    """The same id in another service is another meeting."""
    await stage.holds(ports(9), teams_ports(9))
    await stage.admit("h", "m1", host=ALICE, endpoint="sip")
    await stage.admit("p", "m1", host=ALICE, role="participant")
    await stage.move("h", "m1", "m1", service="teams", host=ALICE, endpoint="sip")
    assert [] == await stage.spells()


async def test_T4_4_no_more_than_1000_spells_are_remembered(stage: Stage) -> None:
    """The ones after that are left out, until housekeeping has forgotten old ones."""
    await stage.holds(ports(9))
    (key,) = keys_of("acme", ("past",))
    store = stage.core.store
    fields = [part for number in range(998) for part in (f"~{NOON_MS - 9} meeting:meeting:old{number}", NOON_MS - 8)]
    await store.command("HSET", key, "+~", 998, *fields)
    await stage.admit("h0", "m1", host=ALICE)
    await stage.admit("p", "m1", host=ALICE, role="participant")
    for number in range(4):
        await stage.at(NOON_MS + 10 * number + 1)
        await stage.release(f"h{number}")
        await stage.at(NOON_MS + 10 * number + 2)
        await stage.admit(f"h{number + 1}", "m1", host=ALICE)
    past = await stage.past()
    assert 1000 == len(past.spells)
    assert [NOON_MS + 1, NOON_MS + 11] == [spell.since_ms for spell in past.spells if spell.since_ms > NOON_MS]
    await stage.on(TODAY + timedelta(days=100))
    assert 998 == await stage.tidy()


ENDS = TODAY + timedelta(days=30)


async def test_T21_3_events_are_remembered_until_400_days_after_their_term(stage: Stage) -> None:
    """On the last day nothing is forgotten; on the next the marks, their count and the ages are; what is in force stays."""
    await stage.holds(per_event(9, id="old", **term(TODAY, ENDS)))
    for number in range(3):
        await stage.attend(f"a{number}", f"e{number}")
        await stage.release(f"a{number}")
    await stage.holds(
        per_event(9, id="old", **term(TODAY, ENDS)),
        per_event(9, id="new", **term(ENDS + timedelta(days=1), "2099-12-31")),
    )
    await stage.on(ENDS + timedelta(days=1))
    await stage.attend("b", "e9")
    await stage.attend("m", "e9", role="moderator")
    await stage.release("b", "m")
    await stage.on(ENDS + timedelta(days=400))
    assert 0 == await stage.tidy()
    await stage.on(ENDS + timedelta(days=401))
    assert 3 + 1 + 3 == await stage.tidy()
    past = await stage.past()
    assert {"events new": ["e9"]} == {name: [mark.member for mark in marks] for name, marks in past.marks.items()}
    assert ["attendees:event:e9", "panel:event:e9"] == sorted([age.group for age in past.ages])


async def test_T21_3_an_event_that_is_live_keeps_its_age_though_its_order_is_long_gone(stage: Stage) -> None:
    """It is forgotten when it has emptied."""
    await stage.holds(per_event(9, id="old", **term(TODAY, ENDS)))
    await stage.attend("a", "e1")
    await stage.on(ENDS + timedelta(days=401))
    assert 2 == await stage.tidy(), "the mark and the count of the set"
    assert ["attendees:event:e1"] == [age.group for age in (await stage.past()).ages]
    await stage.release("a")
    assert 1 == await stage.tidy()
    assert {} == {name: value for name, value in (await stage.raw()).items() if value != "0"}


async def test_T21_3_hosts_and_findings_are_remembered_for_three_months_and_the_running_one(stage: Stage) -> None:
    """In September those of June are, on 1 October they are not; a spell goes after 100 days."""
    await stage.holds(corporate(id="all"), ports(9), dolby_rooms("attic"))
    for leg in ("a", "b"):
        await stage.admit(leg, "m1", host=ALICE)
        await stage.admit(f"{leg}-foreign", f"m2{leg}", host="zoe@globex.example")
        await stage.admit(f"{leg}-guest", f"m2{leg}", host="zoe@globex.example", role="participant")
        await stage.admit(f"{leg}-room", "m1", room="attic", country="FR", role="participant")
        await stage.release(f"{leg}-foreign", f"{leg}-guest", f"{leg}-room", leg)
        await stage.on(date(2026, 7, 1))
    assert 4 + 4 == len([name for name in await stage.raw() if name[0] in "=~"])
    await stage.on(date(2026, 9, 18))
    assert 0 == await stage.tidy(), "100 days"
    await stage.on(date(2026, 9, 19))
    assert 1 == await stage.tidy(), "the spell of June"
    await stage.on(date(2026, 9, 30))
    assert 0 == await stage.tidy()
    await stage.on(date(2026, 10, 1))
    assert 3 * 2 == await stage.tidy(), "each with the count of its set"
    assert ["abroad 2026-07", "foreign 2026-07", "hosts all 2026-07"] == sorted((await stage.past()).marks)
    await stage.on(date(2026, 11, 1))
    assert 3 * 2 + 1 == await stage.tidy()
    assert {"+~": "0"} == await stage.raw()


async def test_two_that_keep_house_at_one_time_count_what_each_has_forgotten(stage: Stage) -> None:
    """The number of spells that are remembered stays right."""
    await stage.holds(ports(9))
    for number in range(3):
        await stage.at(NOON_MS + number * DAY_MS * 60)
        await stage.admit(f"h{number}", "m1")
        await stage.admit(f"p{number}", "m1")
        await stage.move(f"p{number}", "m1", "m1", role="participant")
        await stage.release(f"h{number}", f"p{number}")
    await stage.at(NOON_MS + 130 * DAY_MS)
    housekeeping = Housekeeping(stage.core.kernel, stage.core.entitlements)
    await asyncio.gather(*[housekeeping.of_customer("acme") for _ in range(3)])
    assert 2 == len((await stage.past()).spells)


@pytest.mark.parametrize("last", ["9999-12-31", "9998-12-31"])
async def test_a_term_that_ends_with_the_calendar_is_kept(stage: Stage, last: str) -> None:
    """Where a subscription has no end, the catalogue says a day far away."""
    await stage.holds(per_event(9, **term(TODAY, last)))
    await stage.attend("a", "e1")
    await stage.release("a")
    assert 0 == await stage.tidy()
    assert ["e1"] == [mark.member for marks in (await stage.past()).marks.values() for mark in marks]


async def test_T21_3_of_a_customer_that_was_removed_nothing_of_events_is_remembered(stage: Stage) -> None:
    """As soon as house is kept; other customers keep theirs."""
    await stage.holds(per_event(9))
    await stage.attend("a", "e1")
    await stage.release("a")
    other = customer(per_event(9)).model_copy(update={"id": "globex"})
    await install(stage.core.entitlements, other)
    await stage.attend("b", "e1", customer="globex")
    await stage.core.entitlements.change("acme", removed("acme", None), "remove")
    assert 3 == await stage.tidy()
    assert {} == {name: value for name, value in (await stage.raw()).items() if value != "0"}
    assert ["events events.per_event"] == list((await read_past(stage.core.kernel, "globex")).marks)


async def test_house_is_kept_where_nothing_was_ever_installed(stage: Stage) -> None:
    """There is nothing to forget."""
    assert 0 == await Housekeeping(stage.core.kernel, stage.core.entitlements).run()
    assert "attendees" == level_of("attendees:event:e1")


async def test_T21_3_180_days_after_a_customer_is_over_the_store_names_nobody_of_it(stage: Stage) -> None:
    """To the millisecond; the customer, its quantities and its terms stay, and nothing changes when it is done again."""
    last = TODAY + timedelta(days=9)
    await stage.holds(named_hosts("ann", "bob", id="hosts", **term(TODAY, last)))
    housekeeping = Housekeeping(stage.core.kernel, stage.core.entitlements)
    over_ms = day(last.toordinal()).end_ms + PEOPLE_KEPT_MS
    await stage.at(over_ms)
    await housekeeping.of_customer("acme")
    assert b"ann@acme.example" in (await stage.core.kernel.entitlements("acme")).document

    await stage.at(over_ms + 1)
    await housekeeping.of_customer("acme")
    found = await stage.core.kernel.entitlements("acme")
    await housekeeping.of_customer("acme")

    assert not re.findall(rb"[a-z]+@acme\.example|ann|bob", found.document, re.IGNORECASE)
    assert 2 == len(set(re.findall(rb"~[0-9a-f]{32}", found.document)))
    assert found.version == (await stage.core.kernel.entitlements("acme")).version
