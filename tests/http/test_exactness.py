"""Limits are exact under simultaneous joins through two gateway processes on one Redis."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from callers import Callers, used
from support import RunningGateway, events, join_data, named_hosts, ports


pytestmark = pytest.mark.timeout(240)

MakeGateway = Callable[..., Awaitable[RunningGateway]]
ROUNDS = 50


@pytest.fixture
async def callers(make_gateway: MakeGateway, http: aiohttp.ClientSession) -> Callers:
    """Callers of two gateways."""
    return Callers(http, *await asyncio.gather(make_gateway(), make_gateway()))


async def play_round(callers: Callers, joins: list[dict[str, Any]]) -> Counter[str]:
    """Sends all joins at once, releases who got in, and counts the reasons."""
    decisions = await callers.admit_all(joins)
    await callers.release_all([each["connection"] for each in decisions if each["decision"] == "admit"])
    return Counter(each["reason"] for each in decisions)


async def test_T4_1_of_400_simultaneous_joins_exactly_100_get_the_100_hard_ports(callers: Callers) -> None:
    """In each of 50 rounds 100 are admitted and 300 are refused, and nothing is left when they have gone."""
    await callers.install(ports(100))
    for number in range(ROUNDS):
        joins = [join_data(f"{number}-{leg}", meeting=f"m{leg % 10}") for leg in range(400)]

        assert {"admitted": 100, "ports_full": 300} == await play_round(callers, joins)

    assert 0 == (await callers.usage())["live"]


async def test_T4_1_with_releases_mixed_in_use_never_passes_the_ceiling_and_ends_at_0(callers: Callers) -> None:
    """Legs come and go in disorder: no decision ever saw more than 100 legs, as many as there are ports."""
    await callers.install(ports(100))
    dice = random.Random(4)
    seen: Counter[int] = Counter()

    async def leg(name: str) -> None:
        decision = await callers.admit(name, meeting=f"m{dice.randrange(10)}", through=dice.randrange(2))
        seen[decision["limits"][0]["used"]] += 1
        if decision["decision"] == "admit":
            assert (await callers.release(name, through=dice.randrange(2)))["released"]

    for wave in range(10):
        await asyncio.gather(*[leg(f"{wave}-{number}") for number in range(400)])

    assert 100 == max(seen)
    usage = await callers.usage()
    assert (0, 0, 100) == (usage["live"], used(usage, "ports"), usage["pools"][0]["peak"])


async def test_T2_6_of_150_simultaneous_joins_exactly_100_get_into_a_meeting(callers: Callers) -> None:
    """A meeting takes 100 endpoints, in each of 50 rounds."""
    await callers.install(named_hosts("alice"))
    host = {"host": "alice@acme.example", "meeting": "big"}
    for number in range(ROUNDS):
        joins = [join_data(f"{number}-{leg}", **host) for leg in range(150)]

        assert {"admitted": 100, "meeting_full": 50} == await play_round(callers, joins)

    assert 0 == (await callers.usage())["live"]


async def test_T2_3_of_20_simultaneous_meetings_of_one_host_exactly_one_goes_live(callers: Callers) -> None:
    """A host has one live meeting, in each of 50 rounds; the others are told which."""
    await callers.install(named_hosts("alice"))
    for number in range(ROUNDS):
        joins = [join_data(f"{number}-{leg}", meeting=f"m{leg}", host="alice@acme.example") for leg in range(20)]
        decisions = await callers.admit_all(joins)
        admitted = [each for each in decisions if each["decision"] == "admit"]
        refused = [each for each in decisions if each["decision"] == "deny"]

        assert 1 == len(admitted)
        meeting = next(each["meeting"] for each in joins if each["connection"] == admitted[0]["connection"])
        assert {("host_busy", meeting): 19} == Counter((each["reason"], each["busy_meeting"]) for each in refused)
        await callers.release(admitted[0]["connection"])


async def test_T12_1_of_20_simultaneous_events_exactly_as_many_go_live_as_there_are_licences(callers: Callers) -> None:
    """Two licences, two live events, in each of 50 rounds."""
    await callers.install(events(departments={"finance": 1, "sales": 1}))
    for number in range(ROUNDS):
        joins = [
            join_data(f"{number}-{leg}", meeting=f"e{leg}", service="event", department="sales") for leg in range(20)
        ]

        assert {"admitted": 2, "events_concurrent_full": 18} == await play_round(callers, joins)

    assert 0 == used(await callers.usage(), "events")
