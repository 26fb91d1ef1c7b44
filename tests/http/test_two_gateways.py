"""Gateways as processes of their own, on one Redis."""

from collections.abc import Awaitable, Callable

import aiohttp
from support import RunningGateway, customer_data, join_data, ports


async def test_a_limit_set_through_one_gateway_governs_the_next_decision_of_the_other(
    make_gateway: Callable[..., Awaitable[RunningGateway]], http: aiohttp.ClientSession
) -> None:
    """There is no window in which an old limit still holds."""
    one, other = await make_gateway(), await make_gateway()
    for limit in range(1, 6):
        async with http.put(f"{one.admin_url}/v1/customers/acme", json=customer_data(ports(limit))) as answer:
            assert answer.status in {200, 201}
        async with http.post(f"{other.url}/v1/admit", json=join_data(f"c{limit}")) as answer:
            assert "admit" == (await answer.json())["decision"]
        async with http.post(f"{other.url}/v1/admit", json=join_data("one-too-many")) as answer:
            assert "ports_full" == (await answer.json())["reason"]
