"""What is checked of a customer beyond its own document: blocked numbers (T15.2, T21.1), offers of company groups (T10.1)."""

from collections.abc import Awaitable, Callable

import aiohttp
from callers import Callers
from http_people import People
from plans import global_audio, premium_calling, special_offer
from support import RunningGateway, customer_data, ports


pytest_plugins = ("http_fixtures",)

MakeGateway = Callable[..., Awaitable[RunningGateway]]
KEY = {"GATEWAY_NUMBER_KEY": "one key of this test, long enough"}
NUMBER = "+442079460958"


async def test_T15_2_T21_1_blocked_numbers_are_kept_and_shown_as_hashes_only(
    make_gateway: MakeGateway, http: aiohttp.ClientSession
) -> None:
    """Given in clear, answered and read as hashes, blocked all the same; what was read can be put back."""
    gateway = await make_gateway(env=KEY)
    people, callers = People(gateway), Callers(http, gateway)
    calling = premium_calling(blocked_numbers=[NUMBER, "+4915112345678"])

    written = await people.hold(ports(5), calling)
    read = await people.get("")
    again = (await people.ask("PUT", "", read)).json()

    assert written == read == again
    assert 2 == len(kept := read["subscriptions"][1]["blocked_numbers"])
    assert all(number.startswith("hash:") for number in kept)
    for number, reason in ((NUMBER, "number_blocked"), ("+442079460959", "admitted")):
        decision = await callers.admit(f"leg{number}", endpoint="pstn", calling="call_me", number=number)
        assert reason == decision["reason"]


async def test_T21_1_without_a_key_blocked_numbers_are_refused_and_it_is_said_what_to_set(people: People) -> None:
    """The number is not repeated, and nothing is installed; without blocked numbers no key is needed."""
    body = customer_data(ports(5), global_audio(blocked_numbers=[NUMBER]))

    answer = await people.ask("PUT", "", body)

    assert (422, ["$.subscriptions"]) == (answer.status, [error["path"] for error in answer.json()["errors"]])
    assert "GATEWAY_NUMBER_KEY" in answer.text
    assert NUMBER[1:] not in answer.text
    assert [] == await people.refused(404, "GET", "")
    await people.hold(ports(5), global_audio())


async def test_T15_2_a_number_that_was_kept_under_another_key_is_refused(make_gateway: MakeGateway) -> None:
    """It would block nothing; the fault names its place."""
    first = People(await make_gateway(env=KEY))
    other = People(await make_gateway(env={"GATEWAY_NUMBER_KEY": "another key of this test, long enough"}))
    read = await first.hold(ports(5), premium_calling(blocked_numbers=[NUMBER]))

    refused = await other.refused(422, "PUT", "", read)

    assert [("$.subscriptions[1].blocked_numbers[0]", "T15.2")] == refused


async def test_T10_1_a_company_group_has_one_offer_whichever_customer_holds_it(make_gateway: MakeGateway) -> None:
    """Another customer of the group is refused through any gateway; the holder may change, and may give it up."""
    people, others = People(await make_gateway()), People(await make_gateway())
    await people.hold(special_offer(company_group="Acme Group"))
    globex = {"name": "Globex", "subscriptions": [special_offer(company_group="ACME group")]}
    initech = {"name": "Initech", "subscriptions": [special_offer(company_group="Initech")]}
    assert 201 == (await others.ask("PUT", "/v1/customers/initech", initech)).status

    refused = [await each.refused(422, "PUT", "/v1/customers/globex", globex) for each in (people, others)]

    assert [[("$.subscriptions[0].company_group", "T10.1")]] * 2 == refused
    await others.hold(special_offer(company_group="ACME Group", partner="Partner"))
    await others.hold(ports(5))
    assert 201 == (await people.ask("PUT", "/v1/customers/globex", globex)).status
    assert [("$.subscriptions[0].company_group", "T10.1")] == await others.refused(
        422, "PUT", "", customer_data(special_offer(company_group="acme group"))
    )
