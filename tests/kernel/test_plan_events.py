"""Events on a real store: events that may be held, attendees, the panel, events at one time (T11, T12)."""

from typing import Any

import pytest
from plans import per_event
from stage import HOUR_MS, TODAY, Refusal, Stage, opened, refusal, use
from support import Clock, events, term

from gateway.core import Core
from gateway.domain.days import day


EVENT: dict[str, Any] = {"service": "event"}
FINANCE: dict[str, Any] = {**EVENT, "department": "finance"}
EXHAUSTED = "All events of the subscription have been held"
BUSY = "Another event is in progress"


@pytest.fixture
async def stage(core: Core, clock: Clock) -> Stage:
    """Noon of an ordinary day."""
    return await opened(core, clock)


async def test_T11_1_as_many_events_as_were_bought_may_be_held(stage: Stage) -> None:
    """Two, one after the other; the third is refused, and opening the first again is no further one."""
    await stage.hold(per_event(2, id="pack"))
    for event in ("e1", "e2"):
        held = await stage.ask(event, event, **EVENT)
        assert ("pack", ("pack",)) == (held.licensed_by, held.counted_in)
        await stage.leave(event)

    exhausted: Refusal = ("events_exhausted", EXHAUSTED, {"events": (2, None, 2)})
    assert exhausted == refusal(await stage.ask("c", "e3", **EVENT))
    assert {"attendees": (1, 1000, None)} == use(await stage.ask("again", "e1", **EVENT))
    assert {"events pack": {"e1": True, "e2": True}} == await stage.marks()


async def test_T11_1_moderators_alone_rehearse(stage: Stage) -> None:
    """They use no event, also where none is left; the first presenter or attendee makes the event live."""
    await stage.hold(per_event(1, id="pack"))
    assert {"panel": (1, None, 100)} == use(await stage.ask("mod", "e1", role="moderator", **EVENT))
    assert {} == await stage.marks()
    await stage.ask("pres", "e1", role="presenter", **EVENT)
    assert {"events pack": {"e1": True}} == await stage.marks()

    assert "admitted" == await stage.told("mod2", "e2", role="moderator", **EVENT)
    assert "events_exhausted" == await stage.told("pres2", "e2", role="presenter", **EVENT)


async def test_T11_1_an_event_is_pending_until_its_first_leg_is_connected(stage: Stage) -> None:
    """While it is pending no other may take its place; given back when it empties, it was not used."""
    await stage.hold(per_event(1, id="pack"))
    assert "admitted" == await stage.told("a", "e1", node="n1", **EVENT)
    assert {"events pack": {"e1": False}} == await stage.marks()
    assert "events_exhausted" == await stage.told("b", "e2", **EVENT)
    await stage.leave("a")

    assert {} == await stage.marks()
    assert "admitted" == await stage.told("c", "e2", **EVENT)
    assert {"events pack": {"e2": True}} == await stage.marks()


async def test_T11_1_a_connected_leg_beside_pending_ones_uses_the_event(stage: Stage) -> None:
    """For good: it stays used when all have left."""
    await stage.hold(per_event(1, id="pack"))
    for leg, fields in (("a", {"node": "n1"}), ("b", {}), ("c", {"node": "n1"})):
        assert "admitted" == await stage.told(leg, "e1", **fields, **EVENT)
    await stage.leave("b", "a", "c")

    assert {"events pack": {"e1": True}} == await stage.marks()
    assert "events_exhausted" == await stage.told("d", "e2", **EVENT)


async def test_T11_1_a_pending_leg_of_an_event_that_was_used_gives_nothing_back(stage: Stage) -> None:
    """Opened again by a leg that is never connected."""
    await stage.hold(per_event(1, id="pack"))
    await stage.ask("a", "e1", **EVENT)
    await stage.leave("a")
    await stage.ask("b", "e1", node="n1", **EVENT)
    await stage.leave("b")

    assert {"events pack": {"e1": True}} == await stage.marks()


async def test_T11_1_T1_5_events_are_drawn_from_the_subscription_that_ends_first(stage: Stage) -> None:
    """Then from the other; refused when both are used up. A live event stays under its own."""
    sooner = per_event(1, id="sooner", **term("2026-01-01", "2026-12-31"))
    await stage.hold(per_event(1, id="later"), sooner)
    drawn = [(await stage.ask(event, event, **EVENT)).licensed_by for event in ("e1", "e2", "e3")]

    assert ["sooner", "later", None] == drawn
    assert ["sooner", "later"] == [(await stage.ask(f"{event}b", event, **EVENT)).licensed_by for event in ("e1", "e2")]
    assert {"events sooner": {"e1": True}, "events later": {"e2": True}} == await stage.marks()


async def test_T11_1_T1_5_opening_an_event_again_uses_no_event_of_another_subscription(stage: Stage) -> None:
    """It was drawn from the second because the first was full; there is room in the first by now, and it is still the same event."""
    sooner = per_event(1, id="sooner", **term("2026-01-01", "2026-12-31"))
    await stage.hold(per_event(1, id="later"), sooner)
    await stage.ask("a", "e1", node="n1", **EVENT)
    assert "later" == (await stage.ask("b", "e2", **EVENT)).licensed_by
    await stage.leave("a", "b")

    assert "later" == (await stage.ask("c", "e2", **EVENT)).licensed_by
    assert {"events later": {"e2": True}} == await stage.marks()
    assert "sooner" == (await stage.ask("d", "e3", **EVENT)).licensed_by


async def test_T11_1_unused_events_expire_with_their_term(stage: Stage) -> None:
    """One of three is used in the first term; in the next there is one, and the event of the old term is a new one in it."""
    following = day(TODAY.ordinal + 1)
    old = per_event(3, id="old", **term(TODAY.date, TODAY.date))
    new = per_event(1, id="new", **term(following.date, following.date))
    await stage.hold(old, new)
    assert "old" == (await stage.ask("a", "e1", **EVENT)).licensed_by
    await stage.leave("a")
    await stage.at(following.start_ms)

    assert "new" == (await stage.ask("b", "e1", **EVENT)).licensed_by
    exhausted: Refusal = ("events_exhausted", EXHAUSTED, {"events": (1, None, 1)})
    assert exhausted == refusal(await stage.ask("c", "e2", **EVENT))


@pytest.mark.parametrize("plan", [per_event, events], ids=["T11", "T12"])
async def test_T11_2_attendees_are_all_endpoints_but_moderators(stage: Stage, plan: Any) -> None:
    """Presenters are attendees; concurrent ones are counted, and all that ever joined are told beside them."""
    await stage.hold(plan(max_attendees=10))
    for leg, fields in (
        ("mod", {"role": "moderator"}),
        ("pres", {"role": "presenter"}),
        ("web", {}),
        ("phone", {"endpoint": "pstn"}),
        ("room", {"endpoint": "h323"}),
    ):
        assert "admitted" == await stage.told(leg, "e1", **fields, **FINANCE)
    await stage.leave("phone")
    last = await stage.ask("app", "e1", endpoint="app", **FINANCE)
    assert (4, 10, None) == use(last)["attendees"]

    (held,) = await stage.core.events.events("acme")
    assert (4, 5, 2, 0) == (held.peak_attendees, held.joined_total, held.peak_panel, held.attendee_overage)


@pytest.mark.parametrize("plan", [per_event, events], ids=["T11", "T12"])
async def test_T11_3_attendees_above_the_maximum_are_overage_of_the_event(stage: Stage, plan: Any) -> None:
    """Metered: two of at most one are one of overage; another event has its own."""
    await stage.hold(
        plan(**({"quantity": 2} if plan is per_event else {"departments": {"finance": 2}}), max_attendees=1)
    )
    decisions = [await stage.ask(leg, "e1", **FINANCE) for leg in "ab"]
    await stage.ask("c", "e2", **FINANCE)

    assert [False, True] == [decision.overage for decision in decisions]
    assert (2, 1, None) == use(decisions[1])["attendees"]
    found = {held.event: held.attendee_overage for held in await stage.core.events.events("acme")}
    assert {"e1": 1, "e2": 0} == found


@pytest.mark.parametrize("plan", [per_event, events], ids=["T11", "T12"])
async def test_T11_3_a_hard_event_is_full(stage: Stage, plan: Any) -> None:
    """At its maximum of attendees; a moderator is none, and still gets in."""
    await stage.hold(plan(max_attendees=2, attendees_enforcement="hard"))
    await stage.fill(2, "e1", **FINANCE)

    full: Refusal = ("event_full", "The event is full", {"attendees": (2, 2, 2)})
    assert full == refusal(await stage.ask("more", "e1", **FINANCE))
    assert full == refusal(await stage.ask("pres", "e1", role="presenter", **FINANCE))
    assert "admitted" == await stage.told("mod", "e1", role="moderator", **FINANCE)


@pytest.mark.parametrize("plan", [per_event, events], ids=["T11", "T12"])
async def test_T11_4_a_panel_has_at_most_100(stage: Stage, plan: Any) -> None:
    """Fifty moderators and fifty presenters; the next of either is refused, an attendee is not."""
    await stage.hold(plan())
    await stage.fill(50, "e1", prefix="mod", role="moderator", **FINANCE)
    await stage.fill(50, "e1", prefix="pres", role="presenter", **FINANCE)

    full: Refusal = ("panel_full", "No more presenters can join this event", {"panel": (100, None, 100)})
    for role in ("moderator", "presenter"):
        assert full == refusal(await stage.ask("more", "e1", role=role, **FINANCE))
    assert "admitted" == await stage.told("a", "e1", **FINANCE)


@pytest.mark.parametrize("plan", [per_event, events], ids=["T11", "T12"])
async def test_T11_1_T11_2_a_leg_that_changes_its_role_is_counted_as_what_it_is(stage: Stage, plan: Any) -> None:
    """An attendee who presents has joined once; when the only one of them moderates, the event is not live any more, and was used."""
    await stage.hold(plan())
    await stage.ask("a", "e1", **FINANCE)
    presents = await stage.moved("a", "e1", "e1", role="presenter", **FINANCE)
    assert ((1, 1000, None), (1, None, 100)) == (use(presents)["attendees"], use(presents)["panel"])
    (event,) = await stage.core.events.events("acme")
    assert (True, 1, 1, 1) == (event.live, event.peak_attendees, event.joined_total, event.peak_panel)

    assert {"panel": (1, None, 100)} == use(await stage.moved("a", "e1", "e1", role="moderator", **FINANCE))
    (event,) = await stage.core.events.events("acme")
    assert (False, 1, 1) == (event.live, event.joined_total, event.peak_panel)
    assert "admitted" == (await stage.moved("a", "e1", "e1", **FINANCE)).reason.value
    (event,) = await stage.core.events.events("acme")
    assert (True, 2) == (event.live, event.joined_total)


async def test_T11_1_a_pending_event_is_given_back_when_its_leg_moves_away(stage: Stage) -> None:
    """It moves though no other is left: the first is unused again."""
    await stage.hold(per_event(1, id="pack"))
    await stage.ask("a", "e1", node="n1", **EVENT)
    assert "admitted" == (await stage.moved("a", "e2", "e1", **EVENT)).reason.value
    assert {"events pack": {"e2": False}} == await stage.marks()


async def test_T12_1_live_events_of_all_departments_are_at_most_the_licences(stage: Stage) -> None:
    """One of finance and one of sales: two events of finance fill both; any number may be held one after the other."""
    await stage.hold(events(departments={"finance": 1, "sales": 1}, id="unlimited"))
    await stage.fill(1, "e1", prefix="a", **FINANCE)
    second = await stage.ask("b", "e2", **FINANCE)
    assert ("unlimited", (2, None, 2)) == (second.licensed_by, use(second)["events"])

    busy: Refusal = ("events_concurrent_full", BUSY, {"events": (2, None, 2)})
    assert busy == refusal(await stage.ask("c", "e3", service="event", department="sales"))
    assert "admitted" == await stage.told("d", "e2", **FINANCE), "the event is live already"
    assert "admitted" == await stage.told("mod", "e3", role="moderator", **FINANCE), "who rehearses makes no event live"
    await stage.leave("a0")
    for event in ("e3", "e4", "e5"):
        assert "admitted" == await stage.told(event, event, service="event", department="sales")
        await stage.leave(event)


async def test_T12_1_a_department_without_a_licence_holds_no_event(stage: Stage) -> None:
    """Another one, and none; who joins a live event may name any."""
    await stage.hold(events())
    told: Refusal = ("department_not_licensed", "This department has no licence for events", {})
    for department in ("legal", None):
        assert told == refusal(await stage.ask("a", "e1", service="event", department=department))
    await stage.ask("b", "e1", **FINANCE)

    assert "admitted" == await stage.told("c", "e1", service="event", department="legal")


async def test_T12_2_a_full_plan_falls_back_to_events_that_were_bought_only_where_the_order_says_so(
    stage: Stage,
) -> None:
    """Without fallback it is refused, and uses nothing of T11; with it, the second live event is T11's, and stays so."""
    await stage.hold(events(id="unlimited"), per_event(1, id="pack"))
    await stage.fill(1, "e1", prefix="a", **FINANCE)
    busy: Refusal = ("events_concurrent_full", BUSY, {"events": (1, None, 1)})
    assert busy == refusal(await stage.ask("b", "e2", **FINANCE))
    assert {} == await stage.marks()

    await stage.hold(events(id="unlimited", fallback="per_event"), per_event(1, id="pack"))
    assert "pack" == (await stage.ask("b", "e2", **FINANCE)).licensed_by
    exhausted: Refusal = ("events_exhausted", EXHAUSTED, {"events": (1, None, 1)})
    assert exhausted == refusal(await stage.ask("c", "e3", **FINANCE))
    await stage.leave("a0")
    assert "pack" == (await stage.ask("d", "e2", **FINANCE)).licensed_by
    assert "unlimited" == (await stage.ask("e", "e3", **FINANCE)).licensed_by
    assert {"events pack": {"e2": True}} == await stage.marks()


async def test_T12_2_with_both_plans_a_licence_is_tried_first(stage: Stage) -> None:
    """Events that were bought are not used as long as the unlimited plan has room."""
    await stage.hold(events(id="unlimited", fallback="per_event"), per_event(1, id="pack"))
    for event in ("e1", "e2"):
        assert "unlimited" == (await stage.ask(event, event, **FINANCE)).licensed_by
        await stage.leave(event)

    assert {} == await stage.marks()


async def test_T12_2_an_event_that_fell_back_has_the_bounds_of_what_licenses_it(stage: Stage) -> None:
    """Attendees and included time are those of T11; overage is reported by them."""
    await stage.hold(
        events(10, id="unlimited", fallback="per_event"), per_event(1, 1, id="pack", attendees_enforcement="hard")
    )
    await stage.fill(2, "e1", prefix="a", **FINANCE)
    await stage.ask("b", "e2", **FINANCE)
    assert ("event_full", "The event is full", {"attendees": (1, 1, 1)}) == refusal(
        await stage.ask("c", "e2", **FINANCE)
    )
    await stage.at(TODAY.start_ms + 15 * HOUR_MS)
    await stage.leave("a0", "a1", "b")

    found = {
        held.event: (held.licensed_by, held.duration_overage_minutes) for held in await stage.core.events.events("acme")
    }
    assert {"e1": ("unlimited", 0), "e2": ("pack", 60)} == found


async def test_T1_5_a_live_event_keeps_its_licence_where_another_of_its_department_ends_first(stage: Stage) -> None:
    """The licence of an event is fixed while it is live; the next event is drawn from the one that ends first."""
    late = events(departments={"finance": 1}, id="late", **term("2026-01-01", "2027-12-31"))
    await stage.hold(late)
    await stage.ask("a", "e1", **FINANCE)
    await stage.hold(late, events(departments={"finance": 1}, id="early", **term("2026-01-01", "2026-12-31")))

    assert "late" == (await stage.ask("b", "e1", **FINANCE)).licensed_by
    assert "early" == (await stage.ask("c", "e2", **FINANCE)).licensed_by
    assert "events_concurrent_full" == await stage.told("d", "e3", **FINANCE)
