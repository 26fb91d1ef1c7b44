"""What Prometheus sees."""

from collections.abc import Awaitable, Callable

import aiohttp
from callers import Callers
from prometheus_client.parser import text_string_to_metric_families
from support import RunningGateway, customer_data, join_data, ports, teams_ports


MakeGateway = Callable[..., Awaitable[RunningGateway]]
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
