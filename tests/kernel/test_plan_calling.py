"""Calling and access on a real store: Call Me and premium numbers, blocked numbers, telephone limits, access from China (T15, T16, T17)."""

from typing import Any

import pytest
from plans import china, corporate, global_audio, per_event, premium_calling
from stage import TODAY, Refusal, Stage, opened, refusal, use
from support import Clock, events, ports, teams_ports, term

from gateway.core import Core
from gateway.domain.days import day
from gateway.domain.join import Telephone


KEPT = "hash:0a1b2c3d:00112233445566778899aabbccddeeff"
BLOCKED, FRENCH, OTHER = (
    Telephone(hash=KEPT),
    Telephone(calling_code=33),
    Telephone(hash=KEPT[:-1] + "0", calling_code=1),
)
PHONE: dict[str, Any] = {"endpoint": "pstn"}
CALL_ME: dict[str, Any] = {**PHONE, "calling": "call_me"}
PREMIUM: dict[str, Any] = {**PHONE, "calling": "premium"}
CHINA: dict[str, Any] = {"access": "china"}
FINANCE: dict[str, Any] = {"service": "event", "department": "finance"}
NOT_LICENSED: Refusal = ("feature_not_licensed", "Calling in this way is not part of the subscription", {})
NUMBER_BLOCKED: Refusal = ("number_blocked", "This telephone number cannot be used here", {})
PHONES_FULL = "All telephone connections are in use"
CHINA_FULL = "All connections of this access are in use"
BEFORE, AFTER = day(TODAY.ordinal - 1), day(TODAY.ordinal + 1)


@pytest.fixture
async def stage(core: Core, clock: Clock) -> Stage:
    """Noon of an ordinary day."""
    return await opened(core, clock)


@pytest.mark.parametrize("calling", ["call_me", "premium"])
async def test_T15_1_call_me_and_premium_numbers_need_a_calling_plan(stage: Stage, calling: str) -> None:
    """Either of the two that there are; other calls need none."""
    await stage.hold(ports(9))
    assert NOT_LICENSED == refusal(await stage.ask("a", calling=calling, **PHONE))
    for other in ("toll", "toll_free", "international"):
        assert "admitted" == await stage.told(other, calling=other, **PHONE)

    for plan in (premium_calling(), global_audio()):
        await stage.hold(ports(9), plan)
        assert "admitted" == await stage.told(plan["plan"], calling=calling, **PHONE)


async def test_T15_1_calling_needs_meetings_or_events_beside_its_plan(stage: Stage) -> None:
    """Teams beside it is not enough."""
    await stage.hold(teams_ports(9), premium_calling())
    assert NOT_LICENSED == refusal(await stage.ask("a", service="teams", **CALL_ME))
    await stage.hold(per_event(), premium_calling())
    assert "admitted" == await stage.told("b", "e1", service="event", **CALL_ME)


@pytest.mark.parametrize("plan", [premium_calling, global_audio], ids=["T15", "T16"])
async def test_T15_2_blocked_numbers_and_country_codes_are_refused(stage: Stage, plan: Any) -> None:
    """The person's number of a Call Me, the access number of a dial-in; the respective other one is not looked at."""
    await stage.hold(ports(9), plan(blocked_numbers=[KEPT], blocked_country_codes=["33"]))
    for telephone in (BLOCKED, FRENCH):
        assert NUMBER_BLOCKED == refusal(await stage.ask("a", number=telephone, access_number=OTHER, **CALL_ME))
        for calling in ("toll", "premium"):
            asked = await stage.ask("b", number=OTHER, access_number=telephone, calling=calling, **PHONE)
            assert NUMBER_BLOCKED == refusal(asked)

    assert "admitted" == await stage.told("c", number=OTHER, access_number=BLOCKED, **CALL_ME)
    assert "admitted" == await stage.told("d", number=FRENCH, access_number=OTHER, **PREMIUM)
    assert "admitted" == await stage.told("e", **PHONE)


async def test_T15_3_every_call_me_is_a_connection(stage: Stage) -> None:
    """Two persons who are called on a second device are two more."""
    await stage.hold(ports(3), premium_calling())
    await stage.fill(1, person="alice@acme.example")
    await stage.fill(2, prefix="phone", person="alice@acme.example", **CALL_ME)
    assert "ports_full" == await stage.told("d", **CALL_ME)


@pytest.mark.parametrize(
    ("order", "fields", "pool"),
    [(ports(9), {}, "pstn"), (corporate(), {"host": "alice@acme.example"}, "pstn"), (events(), FINANCE, "event_pstn")],
    ids=["T4", "T3", "T12"],
)
async def test_T15_3_a_telephone_limit_is_metered(
    stage: Stage, order: dict[str, Any], fields: dict[str, Any], pool: str
) -> None:
    """All telephones of the service, over two of its legs; beyond one committed it is overage."""
    await stage.hold({**order, "pstn_limit": 1, "id": "order"}, premium_calling())
    await stage.fill(1, **fields)
    decisions = [
        await stage.ask(leg, **fields, **PHONE, calling=calling) for leg, calling in (("a", "toll"), ("b", "call_me"))
    ]

    assert [False, True] == [decision.overage for decision in decisions]
    assert (2, 1, None) == use(decisions[1])["pstn"]
    assert (1, 2, 1) == (await stage.overage(TODAY, TODAY))["2026-06-10", pool]
    assert ("order",) == decisions[1].counted_in


@pytest.mark.parametrize(
    ("order", "fields", "meetings"),
    [(ports(9), {}, ("m1", "m2")), (events(departments={"finance": 2}), FINANCE, ("e1", "e2"))],
    ids=["T4", "T12"],
)
async def test_T15_3_a_hard_telephone_limit_refuses(
    stage: Stage, order: dict[str, Any], fields: dict[str, Any], meetings: tuple[str, str]
) -> None:
    """Two over two meetings; a third telephone is refused, any other endpoint is not."""
    one, two = meetings
    await stage.hold({**order, "pstn_limit": 2, "pstn_enforcement": "hard"})
    await stage.fill(1, one, prefix="a", **fields, **PHONE)
    assert (2, 2, 2) == use(await stage.ask("b", two, **fields, **PHONE))["pstn"]

    full: Refusal = ("pstn_full", PHONES_FULL, {"pstn": (2, 2, 2)})
    assert full == refusal(await stage.ask("c", one, **fields, **PHONE))
    assert "admitted" == await stage.told("d", one, **fields)
    await stage.leave("b")
    assert "admitted" == await stage.told("c", one, **fields, **PHONE)


async def test_T15_3_meetings_and_events_have_telephone_limits_of_their_own(stage: Stage) -> None:
    """A telephone in a meeting takes nothing from events, and orders that state none add nothing."""
    await stage.hold(
        ports(9, pstn_limit=1, pstn_enforcement="hard"),
        corporate(),
        events(pstn_limit=1, pstn_enforcement="hard"),
        per_event(),
    )
    assert "admitted" == await stage.told("a", **PHONE)
    assert "admitted" == await stage.told("b", "e1", **FINANCE, **PHONE)
    assert "pstn_full" == await stage.told("c", **PHONE)
    assert "pstn_full" == await stage.told("d", "e1", **FINANCE, **PHONE)


async def test_T15_3_telephone_limits_of_a_service_add_up(stage: Stage) -> None:
    """One of the ports and one of the host plan, where both are stated."""
    hard: dict[str, Any] = {"pstn_limit": 1, "pstn_enforcement": "hard"}
    await stage.hold(ports(9, **hard), corporate(**hard))

    assert ["admitted", "admitted", "pstn_full"] == [await stage.told(leg, **PHONE) for leg in "abc"]


async def test_T16_1_global_audio_replaces_premium_calling_for_good(stage: Stage) -> None:
    """Blocks of T15 hold the day before T16, those of T16 on its days; after it there is no calling, though T15 has not ended."""
    old = premium_calling(blocked_country_codes=["33"])
    new = global_audio(blocked_country_codes=["1"], **term(TODAY.date, TODAY.date))
    await stage.at(BEFORE.start_ms)
    await stage.hold(ports(99), old, new)
    await stage.at(BEFORE.end_ms - 1)
    assert NUMBER_BLOCKED == refusal(await stage.ask("a", number=FRENCH, **CALL_ME))
    assert "admitted" == await stage.told("b", number=OTHER, **CALL_ME)
    for instant in (TODAY.start_ms, TODAY.end_ms - 1):
        await stage.at(instant)
        assert "admitted" == await stage.told(f"c{instant}", number=FRENCH, **CALL_ME)
        assert NUMBER_BLOCKED == refusal(await stage.ask(f"d{instant}", number=OTHER, **CALL_ME))

    await stage.at(TODAY.end_ms)
    assert NOT_LICENSED == refusal(await stage.ask("e", number=OTHER, **CALL_ME))
    assert "admitted" == await stage.told("f", access_number=FRENCH, **PHONE), "what no plan in force blocks"


async def test_T17_1_a_leg_from_china_counts_in_its_pool_and_in_its_services(stage: Stage) -> None:
    """In meetings, Teams and events alike; the third of two is refused."""
    await stage.hold(ports(9), teams_ports(9), per_event(), china(2))
    first = await stage.ask("a", **CHINA)
    assert {"ports": (1, 9, 9), "china": (1, 2, 2), "meeting": (1, None, 100)} == use(first)
    assert ("access.china", "meetings.concurrent_connections") == first.counted_in
    await stage.fill(1, "e1", prefix="b", service="event", **CHINA)

    full: Refusal = ("china_full", CHINA_FULL, {"china": (2, 2, 2)})
    assert full == refusal(await stage.ask("c", service="teams", endpoint="sip", **CHINA))
    assert "admitted" == await stage.told("d")
    await stage.leave("a")
    assert "admitted" == await stage.told("c", service="teams", endpoint="sip", **CHINA)
    assert {"ports": 1, "teams_ports": 1, "china": 2} == await stage.pools()


async def test_T17_1_a_metered_pool_is_overage_and_has_a_ceiling(stage: Stage) -> None:
    """One committed, a ceiling of two."""
    await stage.hold(ports(9), china(1, enforcement="metered", ceiling=2))
    decisions = [await stage.ask(leg, **CHINA) for leg in "abc"]

    assert [False, True, False] == [decision.overage for decision in decisions]
    assert ("china_full", CHINA_FULL, {"china": (2, 1, 2)}) == refusal(decisions[2])
    assert (1, 2, 1) == (await stage.overage(TODAY, TODAY))["2026-06-10", "china"]


async def test_T17_1_access_needs_the_subscription(stage: Stage) -> None:
    """Never held, and of another time."""
    told: Refusal = ("access_not_licensed", "This access is not part of the subscription", {})
    for held in ((ports(9),), (ports(9), china(2, **term(AFTER.date, AFTER.date)))):
        await stage.hold(*held)
        assert told == refusal(await stage.ask("a", **CHINA))


async def test_T17_2_access_has_ended_from_the_day_after_the_notice(stage: Stage) -> None:
    """Its last millisecond is still let in; legs that stay are held at the last commitment (T1.4)."""
    await stage.hold(ports(9), china(1, enforcement="metered", ends_on=str(TODAY.date)))
    await stage.at(TODAY.end_ms - 1)
    for leg in "ab":
        assert "admitted" == await stage.told(leg, **CHINA)
    await stage.at(TODAY.end_ms)

    assert ("access_ended", "This access is no longer offered", {}) == refusal(await stage.ask("c", **CHINA))
    found = await stage.overage(TODAY, AFTER)
    assert [(1, 2, 1), (1, 2, 1)] == [found[str(each.date), "china"] for each in (TODAY, AFTER)]
