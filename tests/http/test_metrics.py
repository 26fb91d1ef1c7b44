"""What Prometheus sees."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from callers import Callers
from http_people import People
from plans import corporate
from prometheus_client.parser import text_string_to_metric_families
from support import (
    RunningGateway,
    customer,
    customer_data,
    install,
    join_data,
    named_hosts,
    ports,
    teams_ports,
    term,
)

from gateway.core import Core
from gateway.telemetry import findings
from gateway.telemetry.findings import FindingMetrics


MakeGateway = Callable[..., Awaitable[RunningGateway]]
UNCERTIFIED = corporate(**term("2026-01-01", "2099-12-31"))
"""Nobody ever certified its employees: one finding of T3.2 for the order, and one for each year that began."""

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def scrape(http: aiohttp.ClientSession, gateway: RunningGateway) -> Samples:
    """All samples, by name and labels."""
    async with http.get(f"{gateway.admin_url}/metrics") as answer:
        assert 200 == answer.status
        text = await answer.text()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(samples: Samples, name: str, **labels: str) -> float | None:
    """One sample."""
    return samples.get((name, frozenset(labels.items())))


async def test_decisions_are_counted_by_service_endpoint_decision_and_reason(
    make_gateway: MakeGateway, http: aiohttp.ClientSession
) -> None:
    """Two admissions, one of them overage, one denial, one preview, one release."""
    gateway = await make_gateway()
    callers = Callers(http, gateway)
    await callers.install(ports(1, enforcement="metered", ceiling=2))
    for leg in "abc":
        await callers.admit(leg, endpoint="sip")
    await callers.preview("d")
    await callers.release("a")

    samples = await scrape(http, gateway)

    labels = {"operation": "admit", "service": "meeting", "endpoint": "sip"}
    assert 2 == of(samples, "gateway_decisions_total", **labels, decision="admit", reason="admitted")
    assert 1 == of(samples, "gateway_decisions_total", **labels, decision="deny", reason="ports_full")
    assert 1 == of(samples, "gateway_overage_admissions_total", service="meeting")
    assert 3 == of(samples, "gateway_decision_seconds_count", operation="admit")
    assert 1 == of(samples, "gateway_decision_seconds_count", operation="preview")
    assert 1 == of(samples, "gateway_releases_total", found="true", cause="released")
    assert 1 == of(samples, "gateway_store_up")
    assert 3 <= (of(samples, "gateway_store_seconds_count", operation="admit") or 0)


async def test_what_keeps_the_count_alive_is_counted(make_gateway: MakeGateway, http: aiohttp.ClientSession) -> None:
    """Confirms by their result, seats of a node that left; and that nothing waits for the store and the gateway keeps up."""
    gateway = await make_gateway()
    callers = Callers(http, gateway)
    await callers.install(ports(9))
    for leg in "abc":
        await callers.admit(leg, node="media-1")
    await callers.release("c")
    for leg in "aabcx":
        await callers.post("/v1/confirm", join_data(leg, node="media-1"))
    async with http.delete(f"{gateway.url}/v1/nodes/media-1") as answer:
        assert 200 == answer.status

    samples = await scrape(http, gateway)

    counted = {
        result: of(samples, "gateway_confirmations_total", result=result)
        for result in ("confirmed", "adopted", "released")
    }
    assert {"confirmed": 3, "adopted": 1, "released": 1} == counted
    assert 3 == of(samples, "gateway_legs_reclaimed_total", cause="departed")
    still = ("gateway_journal_entries", "gateway_store_breaker_open", "gateway_behind", "gateway_sweeps_held_total")
    assert dict.fromkeys(still, 0) == {name: of(samples, name) for name in still}


async def test_use_and_limits_are_shown_by_customer_and_pool(
    make_gateway: MakeGateway, http: aiohttp.ClientSession
) -> None:
    """Live, committed, ceiling, peak and overage, as the store has them."""
    gateway = await make_gateway()
    callers = Callers(http, gateway)
    await callers.install(ports(2, enforcement="metered", ceiling=5), teams_ports(3))
    await callers.admit_all([join_data(leg) for leg in "abcd"])
    await callers.release_all(["a", "b"])

    samples = await scrape(http, gateway)

    found = {
        name: of(samples, f"gateway_pool_{name}", customer="acme", pool="ports")
        for name in ("used", "committed", "ceiling", "peak", "overage")
    }
    assert {"used": 2, "committed": 2, "ceiling": 5, "peak": 4, "overage": 2} == found
    assert 3 == of(samples, "gateway_pool_ceiling", customer="acme", pool="teams_ports")
    assert 2 == of(samples, "gateway_customer_connections", customer="acme")


async def test_series_of_customers_are_bounded_in_number(
    make_gateway: MakeGateway, http: aiohttp.ClientSession
) -> None:
    """The busiest are shown, and a gauge says how many are not."""
    gateway = await make_gateway(env={"GATEWAY_METRICS_CUSTOMERS_MAX": "2"})
    for number in range(5):
        url = f"{gateway.admin_url}/v1/customers/c{number}"
        async with http.put(url, json={**customer_data(ports(9)), "id": f"c{number}"}) as answer:
            assert 201 == answer.status
        for leg in range(number):
            async with http.post(
                f"{gateway.url}/v1/admit", json={**join_data(f"leg{leg}"), "customer": f"c{number}"}
            ) as answer:
                assert 200 == answer.status

    samples = await scrape(http, gateway)

    shown = {dict(labels)["customer"] for name, labels in samples if name == "gateway_customer_connections"}
    assert {"c3", "c4"} == shown
    assert 3 == of(samples, "gateway_customers_omitted")


async def test_a_move_is_counted_as_an_operation_of_its_own(
    make_gateway: MakeGateway, http: aiohttp.ClientSession
) -> None:
    """Moves that are admitted and denied, with the time they took."""
    gateway = await make_gateway()
    callers = Callers(http, gateway)
    await callers.install(ports(5, max_endpoints=1))
    await callers.admit("a", meeting="m1")
    await callers.admit("b", meeting="m2")
    for meeting in ("m2", "m3"):
        await callers.post("/v1/move", {**join_data("a", meeting=meeting), "from": "m1"})

    samples = await scrape(http, gateway)

    labels = {"operation": "move", "service": "meeting", "endpoint": "web"}
    assert 1 == of(samples, "gateway_decisions_total", **labels, decision="admit", reason="admitted")
    assert 1 == of(samples, "gateway_decisions_total", **labels, decision="deny", reason="meeting_full")
    assert 2 == of(samples, "gateway_decision_seconds_count", operation="move")


async def test_changes_are_counted_by_what_was_changed(
    make_gateway: MakeGateway, http: aiohttp.ClientSession
) -> None:
    """Each by a name of its own."""
    gateway = await make_gateway()
    people = People(gateway)
    await people.hold(named_hosts("alice"), corporate())
    for path, body in (
        ("hosts/alice@acme.example/suspend", {"reason": "aup"}), ("hosts/alice@acme.example/resume", {}), ("suspend", {"reason": "aup"}),
        ("resume", {}), ("certifications", {"count": 10}), ("employee-count", {"count": 10}),
    ):  # fmt: skip
        await people.post(path, body)

    samples = await scrape(http, gateway)

    counted = {
        dict(labels)["change"]: value
        for (name, labels), value in samples.items()
        if name == "gateway_customer_changes_total"
    }
    changes = ("install", "suspend_host", "resume_host", "suspend", "resume", "certify", "report_count")
    assert dict.fromkeys(changes, 1) == counted


async def test_findings_are_shown_by_customer_and_rule_and_bounded_in_number(
    make_gateway: MakeGateway, http: aiohttp.ClientSession
) -> None:
    """Customers with the most of them first, and a gauge says how many are not shown; the first scrapes are not kept waiting."""
    gateway = await make_gateway(env={"GATEWAY_METRICS_CUSTOMERS_MAX": "2"})
    people = People(gateway)
    for name, held in (("a", [UNCERTIFIED]), ("b", [UNCERTIFIED, {**UNCERTIFIED, "id": "x"}]), ("c", [UNCERTIFIED]), ("d", [ports(1)])):
        data = customer_data(*held, id=name)
        assert 201 == (await people.ask("PUT", f"/v1/customers/{name}", data)).status

    until = time.monotonic() + 15
    while (samples := await scrape(http, gateway)) and not of(samples, "gateway_compliance_customers_omitted"):
        assert time.monotonic() < until, "nobody has looked for findings"
        await asyncio.sleep(0.05)

    shown = {
        tuple(sorted(dict(labels).values())): value
        for (name, labels), value in samples.items()
        if name == "gateway_compliance_findings"
    }
    assert {("T3.2", "a"), ("T3.2", "b")} == set(shown)
    assert 2 * shown["T3.2", "a"] == shown["T3.2", "b"]
    assert 1 == of(samples, "gateway_compliance_customers_omitted")


async def test_looks_for_findings_go_round_all_customers(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two customers at a look: after three looks all five have been looked at, and one that complies again is not shown."""
    monkeypatch.setattr(findings, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(findings, "LOOKED_AT_MAX", 2)
    for name in "abcde":
        await install(core.entitlements, customer(UNCERTIFIED, id=name))
    metrics = FindingMetrics(core.compliance, core.reports, 10)
    seen = []

    async def look() -> None:
        metrics.refresh()
        assert metrics._looking is not None
        await metrics._looking
        gauge = next(iter(metrics.collect()))
        seen.append("".join(sorted({sample.labels["customer"] for sample in gauge.samples})))

    for _ in range(3):
        await look()
    await install(core.entitlements, customer(ports(1), id="b"))
    await look()

    assert ["ab", "abcd", "abcde", "acde"] == seen
