"""The Teams gateway on a real store: room systems, its pool, its hosts, the special offer (T7 to T10)."""

from typing import Any

import pytest
from plans import special_offer, teams_enterprise, teams_hosts
from stage import TODAY, Refusal, Stage, opened, refusal, use
from support import Clock, teams_ports, term

from gateway.core import Core


ALICE, BOB = "alice@acme.example", "bob@acme.example"
ROOM: dict[str, Any] = {"service": "teams", "endpoint": "sip"}
FULL = "All room connections of this plan are in use"
LATER = term("2026-01-02", "2026-12-31")


@pytest.fixture
async def stage(core: Core, clock: Clock) -> Stage:
    """Noon of an ordinary day."""
    return await opened(core, clock)


@pytest.mark.parametrize(
    "held",
    [teams_hosts("alice"), teams_ports(9), teams_enterprise(), special_offer()],
    ids=["T7", "T8", "T9", "T10"],
)
async def test_T7_1_only_room_systems_join(stage: Stage, held: dict[str, str]) -> None:
    """H.323 and SIP are let in, every other endpoint is refused."""
    await stage.hold(held)
    for endpoint in ("web", "app", "pstn", "other"):
        asked = await stage.ask(endpoint, service="teams", endpoint=endpoint, host=ALICE)
        assert ("endpoint_not_supported", "This kind of device cannot join this meeting", {}) == refusal(asked)
    for endpoint in ("h323", "sip"):
        assert "admitted" == await stage.told(endpoint, service="teams", endpoint=endpoint, host=ALICE)


async def test_T7_2_the_organiser_is_a_gateway_host_or_the_pool_licenses_the_meeting(stage: Stage) -> None:
    """Bob's meeting is refused until there is a pool; then it is the pool's, and Alice's is still hers."""
    await stage.hold(teams_hosts("alice", id="hosts"))
    for host in (BOB, None):
        asked = await stage.ask("b", "m2", host=host, **ROOM)
        assert ("host_not_licensed", "The organiser of this meeting has no licence to host", {}) == refusal(asked)
    assert "hosts" == (await stage.ask("a", "m1", host=ALICE, **ROOM)).licensed_by

    await stage.hold(teams_hosts("alice", id="hosts"), teams_ports(2, id="pool"))
    hosted = await stage.ask("a2", "m1", host=ALICE, **ROOM)
    assert ("hosts", ("pool",)) == (hosted.licensed_by, hosted.counted_in)
    refused = await stage.ask("b", "m2", host=BOB, **ROOM)
    assert ("teams_ports_full", FULL, {"teams_ports": (2, 2, 2)}) == refusal(refused)
    await stage.leave("a2")
    assert "pool" == (await stage.ask("b2", "m2", host=BOB, role="participant", **ROOM)).licensed_by


async def test_T8_1_room_systems_count_in_a_pool_of_their_own(stage: Stage) -> None:
    """Two over all Teams meetings, then refused; meetings of the provider are another service."""
    await stage.hold(teams_ports(2))
    await stage.fill(1, "m1", **ROOM)
    assert {"teams_ports": (2, 2, 2)} == use(await stage.ask("b", "m2", service="teams", endpoint="h323"))

    refused = await stage.ask("c", "m3", **ROOM)
    assert ("teams_ports_full", FULL, {"teams_ports": (2, 2, 2)}) == refusal(refused)
    assert "service_not_licensed" == await stage.told("d")
    await stage.leave("b")
    assert "admitted" == await stage.told("c", "m3", **ROOM)


async def test_T8_2_metered_room_systems_are_overage_above_what_was_ordered(stage: Stage) -> None:
    """One committed, two at one time, a ceiling of two."""
    await stage.hold(teams_ports(1, enforcement="metered", ceiling=2))
    decisions = [await stage.ask(leg, **ROOM) for leg in "abc"]

    assert [False, True, False] == [decision.overage for decision in decisions]
    assert ("teams_ports_full", FULL, {"teams_ports": (2, 1, 2)}) == refusal(decisions[2])
    assert {("2026-06-10", "teams_ports"): (1, 2, 1)} == await stage.overage(TODAY, TODAY)


async def test_T9_1_every_employee_hosts_in_teams_under_any_name(stage: Stage) -> None:
    """A generic name too (T2.4 does not hold); an outsider does not."""
    await stage.hold(teams_enterprise())

    assert {"host": (1, None, 1)} == use(await stage.ask("a", "m1", host="room1@acme.example", **ROOM))
    assert "admitted" == await stage.told("b", "m2", host=ALICE, **ROOM)
    assert "host_not_licensed" == await stage.told("c", "m3", host="ann@globex.example", **ROOM)


@pytest.mark.parametrize("feature", ["one_touch", "relay"])
async def test_T10_2_the_offer_includes_features_only_where_they_were_bought(stage: Stage, feature: str) -> None:
    """Not without; with the feature bought, and with a paid subscription beside the offer."""
    asked = {**ROOM, "features": (feature,)}
    await stage.hold(special_offer())
    told: Refusal = ("feature_not_included", "This feature is not part of the subscription", {})
    assert told == refusal(await stage.ask("a", **asked))

    await stage.hold(special_offer(features=[feature]))
    assert "admitted" == await stage.told("b", **asked)
    await stage.hold(special_offer(), teams_ports(1, enforcement="metered", **LATER))
    assert "admitted" == await stage.told("c", **asked)


async def test_T10_3_above_the_quantity_the_offer_lets_in_with_overage(stage: Stage) -> None:
    """The third of two is in excess, and is let in."""
    await stage.hold(special_offer(2))
    decisions = [await stage.ask(leg, **ROOM) for leg in "abc"]

    assert [False, False, True] == [decision.overage for decision in decisions]
    assert {"teams_ports": (3, 2, None)} == use(decisions[2])
    assert {("2026-06-10", "teams_ports"): (2, 3, 1)} == await stage.overage(TODAY, TODAY)


async def test_T10_3_a_hard_offer_refuses_above_the_quantity(stage: Stage) -> None:
    """The sixth of five."""
    await stage.hold(special_offer(5, enforcement="hard"))
    await stage.fill(5, **ROOM)

    assert ("teams_ports_full", FULL, {"teams_ports": (5, 5, 5)}) == refusal(await stage.ask("more", **ROOM))


async def test_T10_3_a_paid_subscription_beside_the_offer_adds(stage: Stage) -> None:
    """Two of the offer and one paid: the third is within, the fourth is refused; both subscriptions are counted in."""
    await stage.hold(special_offer(2, enforcement="hard", id="offer"), teams_ports(1, id="paid", **LATER))
    await stage.fill(2, **ROOM)
    last = await stage.ask("c", **ROOM)

    assert {"teams_ports": (3, 3, 3)} == use(last)
    assert {"offer", "paid"} == set(last.counted_in)
    assert ("teams_ports_full", FULL, {"teams_ports": (3, 3, 3)}) == refusal(await stage.ask("d", **ROOM))
