"""Moves that race through two gateway processes on one Redis: exact counts, round by round, and nothing left at the end."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from callers import Callers, used
from support import RunningGateway, join_data, named_hosts, ports, teams_ports


MakeGateway = Callable[..., Awaitable[RunningGateway]]
ROUNDS = 20
ALICE = "alice@acme.example"


class Movers(Callers):
    """Media servers that move legs; what is answered is counted by its reason, or by its status where it is none."""

    def __init__(self, http: aiohttp.ClientSession, *gateways: RunningGateway) -> None:
        super().__init__(http, *gateways)
        self._session = http
        self._urls = [gateway.url for gateway in gateways]

    async def move(self, leg: str, origin: str, meeting: str, *, through: int = 0, **fields: Any) -> str:
        """Moves a leg; the reason, or the status."""
        body = {**join_data(leg, meeting, **fields), "from": origin}
        async with self._session.post(f"{self._urls[through % len(self._urls)]}/v1/move", json=body) as response:
            answer = await response.json(content_type=None)
            return str(answer["reason"] if response.status == 200 else response.status)

    async def join(self, leg: str, meeting: str, *, through: int = 0, **fields: Any) -> str:
        """Admits a leg; the reason."""
        return str((await self.admit(leg, meeting=meeting, through=through, **fields))["reason"])

    async def connections(self) -> dict[str, str]:
        """Meetings of all live legs."""
        async with self._session.get(
            f"{self._gateways[0].admin_url}/v1/customers/acme/connections?limit=1000"
        ) as response:
            return {each["connection"]: each["meeting"] for each in (await response.json())["connections"]}


@pytest.fixture
async def movers(make_gateway: MakeGateway, http: aiohttp.ClientSession) -> Movers:
    """Callers of two gateways."""
    return Movers(http, *await asyncio.gather(make_gateway(), make_gateway()))


async def raced(*calls: Awaitable[str]) -> Counter[str]:
    """All at the same time."""
    return Counter(await asyncio.gather(*calls))


async def test_of_ten_moves_of_one_leg_one_wins(movers: Movers) -> None:
    """In each round one is admitted and nine find the leg elsewhere; it is where the answer says."""
    await movers.install(ports(1))
    await movers.join("a", "m0")
    place = "m0"
    for number in range(ROUNDS):
        targets = [f"m{number}-{way}" for way in range(10)]
        answers = await asyncio.gather(
            *[movers.move("a", place, target, through=way) for way, target in enumerate(targets)]
        )
        assert {"admitted": 1, "409": 9} == Counter(answers)
        place = targets[answers.index("admitted")]
        assert {"a": place} == await movers.connections()
    await movers.release("a")
    assert 0 == (await movers.usage())["live"]


async def test_the_same_move_sent_twice_is_one(movers: Movers) -> None:
    """A caller that did not hear the answer asks the other gateway: one is admitted, one replayed."""
    await movers.install(ports(1))
    await movers.join("a", "m0")
    for number in range(ROUNDS):
        answers = [movers.move("a", f"m{number}", f"m{number + 1}", through=way) for way in range(2)]
        assert {"admitted": 1, "replayed": 1} == await raced(*answers)


async def test_T2_6_of_ten_moves_into_a_meeting_five_find_a_place(movers: Movers) -> None:
    """They come from five meetings with two legs each; who is refused stays there, and all go back."""
    await movers.install(ports(10, max_endpoints=5))
    legs = {f"leg{number}": f"home{number // 2}" for number in range(10)}
    for leg, home in legs.items():
        assert "admitted" == await movers.join(leg, home)
    for number in range(ROUNDS):
        target = f"m{number}"
        answers = await asyncio.gather(
            *[movers.move(leg, home, target, through=at) for at, (leg, home) in enumerate(legs.items())]
        )
        assert {"admitted": 5, "meeting_full": 5} == Counter(answers)
        expected = {
            leg: target if answer == "admitted" else legs[leg] for leg, answer in zip(legs, answers, strict=True)
        }
        assert expected == await movers.connections()
        back = [
            movers.move(leg, target, legs[leg], through=at) for at, leg in enumerate(legs) if expected[leg] == target
        ]
        assert {"admitted": 5} == await raced(*back)
    assert 10 == used(await movers.usage(), "ports")


async def test_T4_1_moves_pass_where_new_legs_find_no_port(movers: Movers) -> None:
    """Ten legs on ten ports change meetings while ten others ask: all moves are admitted and all joins refused."""
    await movers.install(ports(10))
    for number in range(10):
        await movers.join(f"leg{number}", "m0")
    for number in range(ROUNDS):
        moves = [movers.move(f"leg{leg}", f"m{number}", f"m{number + 1}", through=leg) for leg in range(10)]
        joins = [movers.join(f"new{number}-{leg}", f"m{leg}", through=leg) for leg in range(10)]
        mixed = [call for pair in zip(moves, joins, strict=True) for call in pair]
        assert {"admitted": 10, "ports_full": 10} == await raced(*mixed)
    assert {f"m{ROUNDS}"} == set((await movers.connections()).values())


async def test_T8_1_moves_and_joins_share_the_ports_that_are_left(movers: Movers) -> None:
    """Five ports are free: of ten room systems that come from Teams and ten that join, five get in; the others' pool says how many left."""
    await movers.install(ports(5), teams_ports(10))
    system: dict[str, Any] = {"endpoint": "sip"}
    for number in range(ROUNDS):
        legs = [f"{number}-{leg}" for leg in range(10)]
        for at, leg in enumerate(legs):
            assert "admitted" == await movers.join(leg, "t", service="teams", through=at, **system)
        moves = [movers.move(leg, "t", f"m{at}", through=at, **system) for at, leg in enumerate(legs)]
        joins = [movers.join(f"{leg}-new", f"m{at}", through=at + 1, **system) for at, leg in enumerate(legs)]
        assert {"admitted": 5, "ports_full": 15} == await raced(
            *[call for pair in zip(moves, joins, strict=True) for call in pair]
        )
        usage, live = await movers.usage(), await movers.connections()
        assert (5, 10 - sum(leg in legs and live[leg] != "t" for leg in live)) == (
            used(usage, "ports"),
            used(usage, "teams_ports"),
        )
        await movers.release_all(list(live))
    assert 0 == (await movers.usage())["live"]


async def test_T2_3_two_legs_of_one_host_and_where_they_may_go(movers: Movers) -> None:
    """Both at once: either would make a second meeting live, so both are refused. One that is left alone goes, whoever left first."""
    await movers.install(named_hosts("alice"))
    seen: Counter[str] = Counter()
    for number in range(ROUNDS):
        one, other, home = f"a{number}", f"b{number}", f"home{number}"
        for leg in (one, other):
            assert "admitted" == await movers.join(leg, home, host=ALICE)
        calls = [movers.move(leg, home, f"m-{leg}", through=at, host=ALICE) for at, leg in enumerate((one, other))]
        assert {"host_busy": 2} == await raced(*calls)
        moved = movers.move(one, home, "next", through=number, host=ALICE)
        released, reason = await asyncio.gather(movers.release(other, through=number + 1), moved)
        assert released["released"]
        seen[reason] += 1
        if reason == "host_busy":
            assert "admitted" == await movers.move(one, home, "next", host=ALICE)
        assert {one: "next"} == await movers.connections()
        await movers.release(one)
    assert seen.keys() <= {"admitted", "host_busy"}, "whichever came first"
    assert 0 == (await movers.usage())["live"]


async def test_a_move_and_a_release_of_one_leg_leave_nothing(movers: Movers) -> None:
    """Whichever comes first: the leg is gone afterwards, from both meetings."""
    await movers.install(ports(10))
    seen: Counter[str] = Counter()
    for number in range(ROUNDS):
        legs = [f"{number}-{leg}" for leg in range(10)]
        for leg in legs:
            await movers.join(leg, "m0")

        async def ended(leg: str, through: int) -> str:
            return str((await movers.release(leg, through=through))["released"])

        calls = [
            call
            for at, leg in enumerate(legs)
            for call in (movers.move(leg, "m0", "m1", through=at), ended(leg, at + 1))
        ]
        found = await raced(*calls)
        assert 10 == found.pop("True")
        assert found.keys() <= {"admitted", "already_released"}, found
        seen += found
        assert {} == await movers.connections()
        assert 0 == used(await movers.usage(), "ports")
    assert 10 * ROUNDS == seen.total()
