"""What is asked again is answered again: one connection, one seat, one decision."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import aiohttp
from callers import Callers, used
from support import RunningGateway, join_data, ports


MakeGateway = Callable[..., Awaitable[RunningGateway]]


async def test_an_admit_sent_1000_times_by_10_clients_takes_one_seat(
    make_gateway: MakeGateway, http: aiohttp.ClientSession
) -> None:
    """One is admitted, 999 are replays of the same decision, and one port is in use."""
    callers = Callers(http, await make_gateway(), await make_gateway())
    await callers.install(ports(1))

    async def client(number: int) -> list[dict[str, str]]:
        return [await callers.admit("leg", meeting="m1", through=number) for _ in range(100)]

    decisions = [
        each for answers in await asyncio.gather(*[client(number) for number in range(10)]) for each in answers
    ]

    assert {("admit", "admitted"): 1, ("admit", "replayed"): 999} == Counter(
        (each["decision"], each["reason"]) for each in decisions
    )
    assert 1 == len({each["decided_at"] for each in decisions})
    assert (1, 1) == ((usage := await callers.usage())["live"], used(usage, "ports"))


async def test_a_release_that_overtakes_its_admit_leaves_nothing(
    make_gateway: MakeGateway, http: aiohttp.ClientSession
) -> None:
    """The release is a quiet success, the late admit is refused, and no seat is taken."""
    callers = Callers(http, await make_gateway())
    await callers.install(ports(1))

    assert {"released": False} == await callers.release("leg")
    assert "already_released" == (await callers.admit("leg"))["reason"]
    assert 0 == (await callers.usage())["live"]
    assert "admitted" == (await callers.admit("another"))["reason"]


async def test_a_live_id_with_another_fingerprint_is_a_conflict(
    make_gateway: MakeGateway, http: aiohttp.ClientSession
) -> None:
    """Another meeting, role, endpoint or host under a live id is a 409 and changes nothing."""
    callers = Callers(http, await make_gateway())
    await callers.install(ports(2))
    await callers.admit("leg", meeting="m1")

    for other in ({"meeting": "m2"}, {"endpoint": "sip"}, {"role": "participant"}, {"host": "bob@acme.example"}):
        problem = await callers.post("/v1/admit", join_data("leg", **{"meeting": "m1", **other}), status=409)
        assert "$.connection" == problem["errors"][0]["path"]

    assert 1 == (await callers.usage())["live"]


async def test_T20_1_a_retry_of_an_admitted_leg_is_replayed_although_its_customer_was_suspended(
    make_gateway: MakeGateway, http: aiohttp.ClientSession
) -> None:
    """The answer that was lost is given again; only new legs are refused."""
    callers = Callers(http, await make_gateway(), await make_gateway())
    await callers.install(ports(2))
    first = await callers.admit("leg")
    await callers.change("suspend", through=1)

    again = await callers.admit("leg")

    assert ("admit", "replayed", first["decided_at"]) == (again["decision"], again["reason"], again["decided_at"])
    assert first["counted_in"] == again["counted_in"]
    assert "customer_suspended" == (await callers.admit("another"))["reason"]
