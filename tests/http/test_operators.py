"""What operators do to what is live: end connections and meetings, suspend hosts (T20), and that it is known who did."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from callers import Callers
from http_client import json_request, send
from http_people import People
from http_refusals import standard_error_in
from plans import active_group
from support import RunningGateway, customer_data, join_data, named_hosts, ports, teams_ports

from gateway.tokens import create


pytest_plugins = ("http_fixtures",)

ALICE, BOB = "alice@acme.example", "bob@acme.example"


async def live(people: People) -> set[str]:
    """All live connections."""
    return {each["connection"] for each in (await people.get("connections?limit=1000"))["connections"]}


async def test_an_operator_ends_all_connections_of_a_meeting(callers: Callers, people: People) -> None:
    """Those of this meeting and service, more than one page of them, and no others; their ids stay refused."""
    await callers.install(ports(1000, max_endpoints=1000), teams_ports(10))
    ended = [f"leg{number}" for number in range(700)]
    await callers.admit_all([join_data(leg, meeting="m1") for leg in ended])
    await callers.admit("other", meeting="m2")
    await callers.admit("teams", meeting="m1", service="teams", endpoint="sip")

    answer = await people.delete("meetings/meeting/m1")

    assert {"customer": "acme", "service": "meeting", "meeting": "m1", "ended": 700} == answer
    assert {"other", "teams"} == await live(people)
    assert [] == await people.refused(404, "DELETE", "meetings/meeting/m1")
    assert "already_released" == (await callers.admit("leg0", meeting="m1"))["reason"]
    assert "admitted" == (await callers.admit("again", meeting="m1"))["reason"]


MEETINGS = ("a/b", "a{b}", "{meeting}", "..", ".", "%41", "%2F", "a b", "é", "a?b#c", "a;b", "a\\b", "a+b", "sip:a@b;tag=1", "m" * 128)


async def test_a_meeting_is_ended_whatever_its_id(callers: Callers, people: People) -> None:
    """Every id that a meeting may have can be put into a URL, and means that meeting alone."""
    await callers.install(ports(100))
    await callers.admit_all([join_data(f"leg{place}", meeting=meeting) for place, meeting in enumerate(MEETINGS)])

    for place, meeting in enumerate(MEETINGS):
        answer = await people.delete(f"meetings/meeting/{quote(meeting, safe='')}")
        assert (meeting, 1) == (answer["meeting"], answer["ended"])
        assert {f"leg{later}" for later in range(place + 1, len(MEETINGS))} == await live(people)


async def test_T20_1_a_suspended_host_is_refused_until_resumed(callers: Callers, people: People) -> None:
    """Meetings that the host owns, in all services, however the address is spelt; other hosts go on."""
    await callers.install(named_hosts("alice", "bob"), teams_ports(5))

    suspended = await people.post("hosts/Alice+x@acme.example/suspend", {"reason": "aup"})

    assert {"customer": "acme", "host": ALICE, "version": 2, "status": "suspended", "dropped": 0} == suspended
    asked: list[dict[str, Any]] = [
        {"host": ALICE},
        {"host": "ALICE@acme.example"},
        {"host": ALICE, "service": "teams", "endpoint": "sip"},
        {"host": BOB},
    ]
    assert ["host_suspended"] * 3 + ["admitted"] == [
        (await callers.admit(f"leg{place}", meeting=f"m{place}", **fields))["reason"]
        for place, fields in enumerate(asked)
    ]
    resumed = await people.post(f"hosts/{ALICE}/resume", {})
    assert {"customer": "acme", "host": ALICE, "version": 3, "status": "active", "dropped": 0} == resumed
    assert "admitted" == (await callers.admit("again", meeting="m9", host=ALICE))["reason"]
    assert [] == await people.refused(409, "POST", f"hosts/{ALICE}/resume", {})


async def test_T20_1_a_host_is_suspended_whatever_its_id(people: People) -> None:
    """Every id that a host may have can be put into a URL, and means that host alone."""
    await people.hold(ports(5))
    hosts = ("a/b@acme.example", "..", ".", "%41", "%2f", "a b", "é@acme.example", "a?b#c", "{host}", "suspend", "h" * 128)

    for host in hosts:
        answer = await people.post(f"hosts/{quote(host, safe='')}/suspend", {"reason": "aup"})
        assert (host, "suspended") == (answer["host"], answer["status"])

    assert sorted(hosts) == [each["host"] for each in (await people.get("usage"))["suspended_hosts"]]


async def test_T20_2_live_legs_of_a_host_stay_unless_they_are_dropped(callers: Callers, people: People) -> None:
    """`drop_live` ends the legs of meetings that the host owns, whoever joined them, and no others."""
    await callers.install(named_hosts("alice", "bob"), teams_ports(5))
    await callers.admit("a1", meeting="m1", host=ALICE)
    await callers.admit("a2", meeting="m1", role="participant", person=BOB)
    await callers.admit("a3", meeting="t1", service="teams", endpoint="sip", host="Alice@acme.example")
    await callers.admit("b1", meeting="m2", host=BOB, person=ALICE)

    assert 0 == (await people.post(f"hosts/{ALICE}/suspend", {"reason": "aup"}))["dropped"]
    assert {"a1", "a2", "a3", "b1"} == await live(people)
    assert 3 == (await people.post(f"hosts/{ALICE}/suspend", {"reason": "aup", "drop_live": True}))["dropped"]
    assert {"b1"} == await live(people)


async def test_T20_1_who_was_suspended_when_why_and_by_whom_is_shown(people: People) -> None:
    """In the use of the customer, in the order of addresses; nothing where nobody is."""
    await people.hold(named_hosts("alice", "bob"))
    assert "suspended_hosts" not in await people.get("usage")
    for host, reason in ((BOB, "spam"), (ALICE, "aup")):
        await people.post(f"hosts/{host}/suspend", {"reason": reason})

    shown = (await people.get("usage"))["suspended_hosts"]

    assert [(ALICE, "aup", "loopback"), (BOB, "spam", "loopback")] == [
        (each["host"], each["reason"], each["by"]) for each in shown
    ]
    assert shown[1]["at"] <= shown[0]["at"]


@pytest.mark.parametrize("body", [{}, {"drop_live": True}], ids=["nothing", "only drop_live"])
async def test_T20_1_a_host_is_suspended_for_a_reason(people: People, body: dict[str, Any]) -> None:
    """A code must be given; a host that is not suspended stays so."""
    await people.hold(active_group("alice"))

    assert [("$.reason", None)] == await people.refused(422, "POST", f"hosts/{ALICE}/suspend", body)
    assert "suspended_hosts" not in await people.get("usage")


async def test_what_operators_end_is_logged_with_their_token_and_without_people(
    make_gateway: Callable[..., Awaitable[RunningGateway]], tmp_path: Path
) -> None:
    """A line for each request that ended something: how many legs, by whom; no address of a host."""
    token, secret = create(tmp_path / "data" / "tokens.json", ["admin", "admit"])
    log = tmp_path / "gateway.log"
    with standard_error_in(log):
        gateway = await make_gateway()

    async def ask(url: str, method: str, path: str, body: Any = None) -> None:
        request = json_request(method, path, body, Authorization=f"Bearer {secret}")
        assert (await send(url, request)).status in {200, 201, 204}

    acme = "/v1/customers/acme"
    await ask(gateway.admin_url, "PUT", acme, customer_data(named_hosts("alice", "bob"), teams_ports(5)))
    for leg, meeting, host in (("a", "m1", ALICE), ("b", "m1", ALICE), ("c", "m1", ALICE), ("d", "m2", BOB)):
        await ask(gateway.url, "POST", "/v1/admit", join_data(leg, meeting=meeting, host=host))
    await ask(gateway.admin_url, "DELETE", f"{acme}/connections/a")
    await ask(gateway.admin_url, "DELETE", f"{acme}/meetings/meeting/m1")
    await ask(gateway.admin_url, "POST", f"{acme}/hosts/{BOB}/suspend", {"reason": "aup", "drop_live": True})

    lines = [json.loads(line) for line in log.read_text().splitlines()]
    told = [{name: line[name] for name in line if name not in {"level", "timestamp"}} for line in lines]
    shared = {"customer": "acme", "by": token.id}
    assert [
        {"event": "customer.changed", "change": "install", "version": 1, **shared},
        {"event": "leg.ended", "connection": "a", **shared},
        {"event": "meeting.ended", "service": "meeting", "meeting": "m1", "legs": 2, **shared},
        {"event": "customer.changed", "change": "suspend_host", "version": 2, **shared},
        {"event": "legs.dropped", "legs": 1, **shared},
    ] == [line for line in told if "by" in line]
    assert "@acme.example" not in log.read_text()
