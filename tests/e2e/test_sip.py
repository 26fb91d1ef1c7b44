"""Real SIP: SIPp calls through Kamailio, which runs the configuration that is shipped and asks a real gateway."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from support import ports, teams_ports

from e2e.link import linked
from e2e.provider import Provider
from e2e.sip import Call, Outcome, Site, host
from gateway import tokens


pytestmark = pytest.mark.sip

MakeProvider = Callable[..., Awaitable[Provider]]

CONNECTED = Outcome(200)
PORTS_FULL = Outcome(486, "5", "ports_full")
HOST_NOT_PRESENT = Outcome(486, "5", "host_not_present")
NOT_DECIDED = Outcome(503, "5")


async def test_T4_1_the_third_call_on_two_ports_is_busy_and_hanging_up_frees_the_seats(
    make_provider: MakeProvider, site: Site
) -> None:
    """A denial is 486 with Retry-After; a BYE gives a seat back, which the next caller gets."""
    provider = await make_provider(ports(2))
    await site.start(provider.url)
    first = asyncio.create_task(site.place(host("m1"), host("m2"), talk_s=1.5))
    await provider.until_live(2)
    assert [PORTS_FULL] == await site.place(host("m3"))
    assert 2 == await provider.live()
    assert [CONNECTED, CONNECTED] == await first
    await provider.until_live(0)
    assert [CONNECTED] == await site.place(host("m3"))
    await provider.until_live(0)


async def test_T4_1_a_rush_of_calls_never_takes_more_than_the_ports(make_provider: MakeProvider, site: Site) -> None:
    """200 calls at 50 in a second, 3 s each: all are answered, the limit of 100 is reached, never passed, nothing leaks."""
    provider = await make_provider(ports(100))
    await site.start(provider.url)
    rush = asyncio.create_task(site.place(*[host(f"m{number}") for number in range(200)], rate=50, talk_s=3.0))
    most = 0
    while not rush.done():
        most = max(most, await provider.live())
        await asyncio.sleep(0.02)
    outcomes = Counter(await rush)
    assert {CONNECTED, PORTS_FULL} == set(outcomes)
    assert 200 == outcomes.total()
    assert 100 == most
    await provider.until_live(0)
    assert {"ports_full": outcomes[PORTS_FULL]} == (await provider.usage())["denied"]


async def test_T4_4_a_participant_waits_for_the_first_host(make_provider: MakeProvider, site: Site) -> None:
    """Before the host's leg a join is refused and told when to try again; after it, it passes."""
    provider = await make_provider(ports(10))
    await site.start(provider.url)
    assert [HOST_NOT_PRESENT] == await site.place(Call("m1"))
    hosting = asyncio.create_task(site.place(host("m1"), talk_s=1.0))
    await provider.until_live(1)
    assert [CONNECTED] == await site.place(Call("m1"))
    assert [CONNECTED] == await hosting
    await provider.until_live(0)


async def test_without_a_gateway_callers_are_told_to_try_later(make_provider: MakeProvider, site: Site) -> None:
    """An outage is 503 with Retry-After, never told as "busy"."""
    provider = await make_provider(ports(10))
    await site.start(provider.url)
    await provider.gateway.stop()
    assert [NOT_DECIDED] == await site.place(host("m1"))
    assert [] == site.invited()


async def test_a_call_that_is_refused_gives_its_seat_back(make_provider: MakeProvider, site: Site) -> None:
    """The conference declines (603); the seat that was taken for the call is free again."""
    provider = await make_provider(ports(1))
    async with linked(provider.url) as link:
        await site.start(link.url, callee="callee_refuses")
        assert [Outcome(603)] == await site.place(host("m1"))
        await provider.until_live(0)
        assert ["admit"] == [exchange.answer["decision"] for exchange in link.of("/v1/admit")]
        assert [Outcome(603)] == await site.place(host("m1"))
        await provider.until_live(0)


async def test_a_call_that_is_cancelled_while_ringing_gives_its_seat_back(
    make_provider: MakeProvider, site: Site
) -> None:
    """The caller gives up before the conference has answered; the seat is free again."""
    provider = await make_provider(ports(1))
    async with linked(provider.url) as link:
        await site.start(link.url, callee="callee_rings")
        assert [Outcome(487)] == await site.place(host("m1"), scenario="caller_cancels_ringing")
        await provider.until_live(0)
        assert ["admit"] == [exchange.answer["decision"] for exchange in link.of("/v1/admit")]


async def test_a_call_that_is_cancelled_while_the_gateway_is_asked_gives_its_seat_back(
    make_provider: MakeProvider, site: Site
) -> None:
    """The answer comes when the caller has already given up: nobody is called, and the seat is free again."""
    provider = await make_provider(ports(1))
    async with linked(provider.url) as link:
        link.delay_s["/v1/admit"] = 0.8
        await site.start(link.url)
        assert [Outcome(487)] == await site.place(host("m1"), scenario="caller_cancels_asked")
        await link.until("/v1/release")
        assert ["admit"] == [exchange.answer["decision"] for exchange in link.of("/v1/admit")]
        assert [True] == [exchange.answer["released"] for exchange in link.of("/v1/release")]
        assert 0 == await provider.live()
        assert [] == site.invited()


async def test_an_admission_whose_answer_comes_too_late_leaks_no_seat(make_provider: MakeProvider, site: Site) -> None:
    """The gateway took a seat, Kamailio heard of it too late: the caller gets 503, and the seat is given back."""
    provider = await make_provider(ports(1))
    async with linked(provider.url) as link:
        link.delay_s["/v1/admit"] = 2.5
        await site.start(link.url)
        assert [NOT_DECIDED] == await site.place(host("m1"))
        await link.until("/v1/release")
        assert ["admit"] == [exchange.answer["decision"] for exchange in link.of("/v1/admit")]
        assert [True] == [exchange.answer["released"] for exchange in link.of("/v1/release")]
        assert 0 == await provider.live()
        assert [] == site.invited()


async def test_a_release_is_repeated_until_the_gateway_has_answered_it(make_provider: MakeProvider, site: Site) -> None:
    """Two releases come to nothing, the third frees the seat: one that is lost for good would cost the seat."""
    provider = await make_provider(ports(1))
    async with linked(provider.url) as link:
        link.refuse["/v1/release"] = 2
        await site.start(link.url)
        assert [CONNECTED] == await site.place(host("m1"))
        await link.until("/v1/release")
        assert 0 == link.refuse["/v1/release"]
        assert [True] == [exchange.answer["released"] for exchange in link.of("/v1/release")]
        assert 0 == await provider.live()


async def test_repeating_the_ids_of_a_live_call_is_no_way_past_the_limit(
    make_provider: MakeProvider, site: Site
) -> None:
    """Call-ID and tag come from outside: an INVITE that has those of a live call needs a seat of its own."""
    provider = await make_provider(ports(1))
    await site.start(provider.url)
    first = asyncio.create_task(site.place(host("m1"), talk_s=1.0, ids="same"))
    await provider.until_live(1)
    assert [PORTS_FULL] == await site.place(host("m1"), ids="same")
    assert 1 == await provider.live()
    assert [CONNECTED] == await first
    await provider.until_live(0)


async def test_what_callers_write_arrives_as_written(make_provider: MakeProvider, site: Site) -> None:
    """Quotes and backslashes in user part and header stay values: the gateway's JSON says what the caller said."""
    provider = await make_provider(ports(10))
    hostile = 'm"}, \\u0022role\\": "host'
    async with linked(provider.url) as link:
        await site.start(link.url)
        calls = [
            Call('m"\\x', "X-Meeting-Role: host"),
            Call("m%22%5C%7D", "X-Meeting-Role: host"),
            Call("m1", f"X-Meeting-Host: {hostile}"),
            Call("m1", 'X-Meeting-Role: "host\\'),
        ]
        outcomes = [outcome for call in calls for outcome in await site.place(call)]
        assert [CONNECTED, CONNECTED, HOST_NOT_PRESENT, HOST_NOT_PRESENT] == outcomes
        asked = [exchange.asked for exchange in link.of("/v1/admit")]
        assert ['m"\\x', 'm"\\}', "m1", "m1"] == [body["meeting"] for body in asked]
        assert [None, None, hostile, None] == [body.get("host") for body in asked]
        assert ["host", "host", "participant", "participant"] == [body["role"] for body in asked]
        assert {200} == {exchange.status for exchange in link.exchanges}
        await provider.until_live(0)


@pytest.mark.parametrize("user", ["+15551234567", "%2B1-555-123-4567", "m%00", "m%0Ax", "x" * 129])
async def test_T21_1_what_is_no_meeting_is_not_found_and_not_passed_on(
    user: str, make_provider: MakeProvider, site: Site
) -> None:
    """A telephone number, or what cannot be an id, gets 404, as no later attempt would fare better."""
    provider = await make_provider(ports(10))
    async with linked(provider.url) as link:
        await site.start(link.url)
        assert [Outcome(404)] == await site.place(host(user))
        assert [] == link.exchanges


async def test_only_trusted_upstreams_say_who_hosts(make_provider: MakeProvider, site: Site) -> None:
    """From anybody else the header counts for nothing, and the conference does not get to see it."""
    provider = await make_provider(teams_ports(1))
    async with linked(provider.url) as link:
        await site.start(link.url, SERVICE='"teams"', TRUSTED_UPSTREAMS='"192.0.2.0/24"')
        assert [CONNECTED] == await site.place(host("m1"))
        assert ["participant"] == [exchange.asked["role"] for exchange in link.of("/v1/admit")]
        assert [("", "")] == site.invited()
        await provider.until_live(0)


async def test_a_caller_cannot_choose_another_way_than_to_the_conference(
    make_provider: MakeProvider, site: Site
) -> None:
    """A Route header in the INVITE is taken out: the call that was admitted goes where the site says."""
    provider = await make_provider(teams_ports(1))
    await site.start(provider.url, SERVICE='"teams"')
    assert [CONNECTED] == await site.place(Call("m1", "Route: <sip:192.0.2.1:9;lr>"))
    assert [("", "")] == site.invited()
    await provider.until_live(0)


async def test_the_token_of_the_site_goes_with_every_request(
    make_provider: MakeProvider, site: Site, tmp_path: Path
) -> None:
    """A gateway that asks for tokens admits and releases for this one, which may do nothing else."""
    file = tmp_path / "tokens.json"
    _, admin = tokens.create(file, ["admin"])
    _, secret = tokens.create(file, ["admit"])
    provider = await make_provider(ports(1), token=admin, env={"GATEWAY_TOKENS_FILE": str(file)})
    await site.start(provider.url, GATEWAY_TOKEN=f'"{secret}"')
    assert [CONNECTED] == await site.place(host("m1"))
    await provider.until_live(0)


async def test_a_gateway_that_refuses_the_request_is_not_told_as_busy(
    make_provider: MakeProvider, site: Site, tmp_path: Path
) -> None:
    """Without the token that is asked for (401) callers get 503, and nothing is released, because nothing was taken."""
    file = tmp_path / "tokens.json"
    _, admin = tokens.create(file, ["admin"])
    provider = await make_provider(ports(1), token=admin, env={"GATEWAY_TOKENS_FILE": str(file)})
    async with linked(provider.url) as link:
        await site.start(link.url)
        assert [NOT_DECIDED] == await site.place(host("m1"))
        assert [NOT_DECIDED] == await site.place(host("m1"))
        answered = [(exchange.path, exchange.status) for exchange in link.exchanges]
        assert [("/v1/admit", 401), ("/v1/admit", 401)] == answered


async def test_T8_1_a_site_before_a_teams_gateway_asks_for_teams(make_provider: MakeProvider, site: Site) -> None:
    """With the service defined as `teams`, room systems count in the pool of Teams connections."""
    provider = await make_provider(ports(10), teams_ports(1))
    await site.start(provider.url, SERVICE='"teams"')
    first = asyncio.create_task(site.place(Call("m1"), talk_s=1.0))
    await provider.until_live(1)
    assert [Outcome(486, "5", "teams_ports_full")] == await site.place(Call("m2"))
    assert [CONNECTED] == await first
    await provider.until_live(0)
