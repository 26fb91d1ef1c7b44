"""The API as its users see it: media servers, operators, account people."""

import csv
import io
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import aiohttp
import pytest
from callers import Callers, used
from support import RunningGateway, customer_data, events, join_data, named_hosts, ports, teams_ports
from yarl import URL


pytest_plugins = ("http_fixtures",)


async def test_an_admission_tells_what_licensed_it_and_where_it_stands(callers: Callers) -> None:
    """The fields of the contract, with their values."""
    await callers.install(ports(1, enforcement="metered", ceiling=3, id="ports-2026", max_endpoints=12))
    await callers.admit("first", meeting="m7")

    decision = await callers.admit("second", meeting="m7", node="media-fra-01")

    assert {
        "decision": "admit",
        "reason": "admitted",
        "customer": "acme",
        "connection": "second",
        "overage": True,
        "mode": "enforce",
        "licensed_by": "ports-2026",
        "counted_in": ["ports-2026"],
        "limits": [
            {"limit": "ports", "used": 2, "committed": 1, "ceiling": 3},
            {"limit": "meeting", "used": 2, "ceiling": 12},
        ],
        "lease": {"state": "provisional", "expires_in_s": 30},
    } == {name: value for name, value in decision.items() if name != "decided_at"}
    assert datetime.fromisoformat(decision["decided_at"]).tzinfo is not None


async def test_a_denial_tells_the_limit_when_to_ask_again_and_what_to_say(callers: Callers) -> None:
    """The fields of the contract, with their values."""
    await callers.install(ports(0))

    denial = await callers.admit("leg")

    assert ("deny", "ports_full", 5) == (denial["decision"], denial["reason"], denial["retry_after_s"])
    assert [{"limit": "ports", "used": 0, "committed": 0, "ceiling": 0}] == denial["limits"]
    assert "All connections of this plan are in use. Please try again in a moment." == denial["message"]


@pytest.mark.parametrize(
    ("fields", "state", "expires_in_s"),
    [
        ({}, "connected", 43200),
        ({"node": "n1"}, "provisional", 30),
        ({"lease_s": 600}, "provisional", 600),
        ({"node": "n1", "lease_s": 90}, "provisional", 90),
    ],
    ids=["neither", "node", "lease_s", "both"],
)
async def test_the_lease_follows_from_node_and_lease_s(
    callers: Callers, fields: dict[str, Any], state: str, expires_in_s: int
) -> None:
    """A leg with neither is connected at once and long; the others are provisional."""
    await callers.install(ports(1))

    assert {"state": state, "expires_in_s": expires_in_s} == (await callers.admit("leg", **fields))["lease"]


@pytest.mark.parametrize("status", [403, 409, 429])
async def test_a_denial_travels_under_the_status_that_was_asked_for(callers: Callers, status: int) -> None:
    """For callers that branch on the status alone; an admission is 200 all the same."""
    await callers.install(ports(1))

    admitted = await callers.post(f"/v1/admit?deny_status={status}", join_data("a"))
    denied = await callers.post(f"/v1/admit?deny_status={status}", join_data("b"), status=status)

    assert ("admit", "ports_full") == (admitted["decision"], denied["reason"])


async def test_a_preview_takes_nothing(callers: Callers) -> None:
    """What would be decided, before, at and after the last seat."""
    await callers.install(ports(1))
    body = join_data("leg")

    assert "admitted" == (await callers.post("/v1/preview", body))["reason"]
    assert 0 == (await callers.usage())["live"]
    await callers.admit("leg")
    assert "replayed" == (await callers.post("/v1/preview", body))["reason"]
    assert "ports_full" == (await callers.post("/v1/preview", join_data("other")))["reason"]
    assert {} == (await callers.usage())["denied"]


async def test_T2_3_a_later_leg_may_leave_the_host_out_and_a_different_one_is_ignored_and_reported(
    callers: Callers,
) -> None:
    """The owner is fixed by the leg that made the meeting live."""
    await callers.install(named_hosts("alice", "bob"))
    await callers.admit("a", meeting="m1", host="alice@acme.example")

    without = await callers.admit("b", meeting="m1", role="participant")
    other = await callers.admit("c", meeting="m1", host="bob@acme.example")

    assert ("admitted", None) == (without["reason"], without.get("meeting_host"))
    assert ("admitted", "alice@acme.example") == (other["reason"], other["meeting_host"])
    assert "admitted" == (await callers.admit("d", meeting="m2", host="bob@acme.example"))["reason"]
    for leg in "abc":
        await callers.release(leg)
    assert "host_busy" == (await callers.admit("e", meeting="m1", host="bob@acme.example"))["reason"]
    assert "admitted" == (await callers.admit("f", meeting="m1", host="alice@acme.example"))["reason"]


async def test_shadow_mode_lets_in_records_and_takes_nothing(callers: Callers) -> None:
    """What would be denied is let in; later decisions are what enforcement would have decided."""
    await callers.install(ports(1), mode="shadow")
    await callers.admit("a")

    shadow = await callers.admit("b")

    assert ("admit", "shadow", "ports_full", "shadow") == (
        shadow["decision"],
        shadow["reason"],
        shadow["would_deny"],
        shadow["mode"],
    )
    usage = await callers.usage()
    assert (2, 1, 1, {"ports_full": 1}) == (
        usage["live"],
        usage["shadow_live"],
        used(usage, "ports"),
        usage["would_deny"],
    )
    again = await callers.admit("b")
    assert ("replayed", "ports_full") == (again["reason"], again["would_deny"])
    await callers.release("a")
    assert "admitted" == (await callers.admit("c"))["reason"]


async def test_a_release_tells_for_how_long_the_connection_was_connected(callers: Callers) -> None:
    """Seconds for a leg that was connected, none for one that never was."""
    await callers.install(ports(2))
    await callers.admit("a")
    await callers.admit("b", node="n1")

    connected, provisional = await callers.release("a"), await callers.release("b")

    assert connected["released"]
    assert 0 <= connected["connected_s"] < 60
    assert {"released": True} == provisional


async def test_a_release_by_another_node_frees_nothing(callers: Callers) -> None:
    """Only the node that owns the leg gives it back."""
    await callers.install(ports(1))
    await callers.admit("a", node="n1")

    foreign = await callers.post("/v1/release", {"customer": "acme", "connection": "a", "node": "n2"})
    own = await callers.post("/v1/release", {"customer": "acme", "connection": "a", "node": "n1"})

    assert [False, True] == [foreign["released"], own["released"]]


async def test_a_batch_answers_in_order_and_each_operation_stands_alone(callers: Callers) -> None:
    """Operations on one connection run in the order given; a faulty one has a problem in its place."""
    await callers.install(ports(1))
    body = {
        "operations": [
            {"op": "admit", **join_data("a")},
            {"op": "release", "customer": "acme", "connection": "a"},
            {"op": "admit", **join_data("a")},
            {"op": "admit", **join_data("b", endpoint="fax")},
            {"op": "dance"},
            {"op": "preview", **join_data("b")},
        ]
    }

    first, released, late, fax, unknown, preview = (await callers.post("/v1/batch", body))["results"]

    assert ("admitted", True, "already_released") == (first["reason"], released["released"], late["reason"])
    assert (422, "$.operations[3].endpoint") == (fax["status"], fax["errors"][0]["path"])
    assert (422, "$.operations[4].op") == (unknown["status"], unknown["errors"][0]["path"])
    assert preview["reason"] in {"admitted", "ports_full"}


async def test_customers_are_created_read_replaced_and_removed_by_version(
    http: aiohttp.ClientSession, acme: str
) -> None:
    """`ETag` is the version; `If-Match` protects what somebody else changed; versions go on after a removal."""
    async with http.put(acme, json=customer_data(ports(1)), headers={"If-None-Match": "*"}) as answer:
        assert (201, '"1"') == (answer.status, answer.headers["ETag"])
    async with http.get(acme) as answer:
        read = await answer.json()
        assert '"1"' == answer.headers["ETag"]
    async with http.put(acme, json=read, headers={"If-Match": '"1"'}) as answer:
        assert (200, '"2"') == (answer.status, answer.headers["ETag"])
    async with http.put(acme, json=read, headers={"If-Match": '"1"'}) as answer:
        assert 409 == answer.status
    async with http.put(acme, json=read, headers={"If-None-Match": "*"}) as answer:
        assert 409 == answer.status
    async with http.delete(acme, headers={"If-Match": '"1"'}) as answer:
        assert 409 == answer.status
    async with http.delete(acme) as answer:
        assert 204 == answer.status
    for method in ("GET", "DELETE"):
        async with http.request(method, acme) as answer:
            assert 404 == answer.status
    async with http.put(acme, json=read) as answer:
        assert (201, '"4"') == (answer.status, answer.headers["ETag"])


async def test_what_is_read_of_a_customer_can_be_put_back(http: aiohttp.ClientSession, acme: str) -> None:
    """A customer with every plan comes back as it was."""
    data = customer_data(
        ports(5, id="p"), teams_ports(2, id="t"), named_hosts("alice", id="h"), events(id="e"), mode="shadow"
    )
    async with http.put(acme, json=data) as answer:
        written = await answer.json()
    async with http.get(acme) as answer:
        assert written == await answer.json()
    assert {name: data[name] for name in ("id", "name", "domains", "mode")} == {
        name: written[name] for name in ("id", "name", "domains", "mode")
    }
    assert ["p", "t", "h", "e"] == [subscription["id"] for subscription in written["subscriptions"]]


async def test_a_removed_customer_refuses_joins_and_its_live_legs_are_still_released(
    callers: Callers, http: aiohttp.ClientSession, acme: str
) -> None:
    """Counts outlive entitlements."""
    await callers.install(ports(2))
    await callers.admit("a")
    async with http.delete(acme) as answer:
        assert 204 == answer.status

    assert "customer_unknown" == (await callers.admit("b"))["reason"]
    assert "replayed" == (await callers.admit("a"))["reason"]
    assert (await callers.release("a"))["released"]


async def test_the_list_of_customers_is_paged_in_order(http: aiohttp.ClientSession, gateway: RunningGateway) -> None:
    """Three customers in pages of two."""
    base = f"{gateway.admin_url}/v1/customers"
    for name in ("c", "a", "b"):
        async with http.put(f"{base}/{name}", json={**customer_data(ports(1)), "id": name}) as answer:
            assert 201 == answer.status

    async with http.get(f"{base}?limit=2") as answer:
        first = await answer.json()
    async with http.get(f"{base}?limit=2&after={first['next']}") as answer:
        second = await answer.json()

    assert (["a", "b"], "b") == ([each["customer"] for each in first["customers"]], first["next"])
    assert (["c"], None) == ([each["customer"] for each in second["customers"]], second["next"])
    assert ["meetings.concurrent_connections"] == second["customers"][0]["plans"]


async def test_live_connections_are_listed_page_by_page_and_one_can_be_ended(
    callers: Callers, http: aiohttp.ClientSession, acme: str
) -> None:
    """Every live leg is listed; an operator ends one, and its id stays refused."""
    await callers.install(ports(300, max_endpoints=300))
    names = [f"leg/{number}@media.example" for number in range(250)]
    await callers.admit_all([join_data(name, person="p1", host="alice@acme.example") for name in names])

    found: list[dict[str, Any]] = []
    cursor: str | None = "0"
    while cursor:
        async with http.get(f"{acme}/connections?limit=50&cursor={cursor}") as answer:
            page = await answer.json()
        found += page["connections"]
        cursor = page["next"]

    assert set(names) == {each["connection"] for each in found}
    assert ("meeting", "m1", "web", "host", "connected", "alice@acme.example", "p1") == tuple(
        found[0][name] for name in ("service", "meeting", "endpoint", "role", "state", "host", "person")
    )
    one = quote(names[0], safe="")
    statuses = []
    for _ in range(2):
        async with http.delete(URL(f"{acme}/connections/{one}", encoded=True)) as answer:
            statuses.append(answer.status)
    assert [204, 404] == statuses
    assert "already_released" == (await callers.admit(names[0]))["reason"]
    assert 249 == (await callers.usage())["live"]


async def test_T20_2_live_legs_stay_when_a_customer_is_suspended_unless_they_are_dropped(
    callers: Callers, http: aiohttp.ClientSession, acme: str
) -> None:
    """A suspension refuses joins; with `drop_live` all live legs end."""
    await callers.install(ports(300, max_endpoints=300))
    await callers.admit_all([join_data(f"leg{number}") for number in range(250)])
    await callers.change("suspend")
    assert (250, "suspended") == ((usage := await callers.usage())["live"], usage["status"])

    async with http.post(f"{acme}/terminate", json={"reason": "aup", "drop_live": True}) as answer:
        assert {"customer": "acme", "version": 3, "status": "terminated", "dropped": 250} == await answer.json()

    assert 0 == (await callers.usage())["live"]
    assert "customer_terminated" == (await callers.admit("new"))["reason"]
    async with http.post(f"{acme}/resume", json={}) as answer:
        assert 409 == answer.status


async def test_T4_3_overage_is_reported_as_json_and_csv(
    callers: Callers, http: aiohttp.ClientSession, acme: str
) -> None:
    """A row for today with peak and overage; nothing for days before the customer came."""
    await callers.install(ports(1, enforcement="metered"))
    await callers.admit_all([join_data(f"leg{number}") for number in range(3)])
    today = datetime.now(ZoneInfo("America/Los_Angeles")).date().isoformat()

    async with http.get(f"{acme}/overage") as answer:
        (row,) = (await answer.json())["rows"]
    async with http.get(f"{acme}/overage?from={today}&to={today}", headers={"Accept": "text/csv"}) as answer:
        content_type, table = answer.content_type, list(csv.DictReader(io.StringIO(await answer.text())))

    assert (today, "ports", 1, 3, 2, False) == tuple(
        row[name] for name in ("day", "pool", "committed", "peak", "overage", "final")
    )
    assert ("text/csv", [(today, "ports", "1", "3", "2")]) == (
        content_type,
        [tuple(line[name] for name in ("day", "pool", "committed", "peak", "overage")) for line in table],
    )


async def test_both_listeners_tell_that_they_live_and_are_ready(
    http: aiohttp.ClientSession, gateway: RunningGateway
) -> None:
    """Without a token, on either port."""
    for url in (gateway.url, gateway.admin_url):
        for path in ("/livez", "/readyz"):
            async with http.get(url + path) as answer:
                assert (200, "ok") == (answer.status, (await answer.json())["status"])


async def test_without_a_store_a_gateway_lives_is_not_ready_and_never_says_that_a_limit_is_reached(
    make_gateway: Callable[..., Awaitable[RunningGateway]], http: aiohttp.ClientSession
) -> None:
    """503 with a reason of its own, on every operation."""
    gateway = await make_gateway(redis_url="unix:///nonexistent/redis.sock", env={"GATEWAY_DECISION_BUDGET_MS": "100"})
    callers = Callers(http, gateway)

    problem = await callers.post("/v1/admit", join_data("leg"), status=503)
    batch = await callers.post("/v1/batch", {"operations": [{"op": "admit", **join_data("leg")}]})
    async with http.get(f"{gateway.url}/livez") as alive, http.get(f"{gateway.url}/readyz") as ready:
        assert (200, 503) == (alive.status, ready.status)
    async with http.get(f"{gateway.admin_url}/metrics") as metrics:
        assert "gateway_store_up 0.0" in await metrics.text()

    assert ("deny", "store_unavailable", 2) == (problem["decision"], problem["reason"], problem["retry_after_s"])
    assert (503, "store_unavailable") == (batch["results"][0]["status"], batch["results"][0]["reason"])
