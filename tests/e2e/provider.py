"""The provider's side of a chain: a gateway and what its customer uses."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from support import RunningGateway


ACME = "acme.example"
"""The customer: its id is the domain that its callers dial."""

SETTLED_S = 10.0


@dataclass(slots=True)
class Provider:
    """A gateway that knows one customer."""

    gateway: RunningGateway
    http: aiohttp.ClientSession
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where Kamailio asks."""
        return self.gateway.url

    async def install(self, customer: dict[str, Any]) -> None:
        """Makes the customer known."""
        url = f"{self.gateway.admin_url}/v1/customers/{ACME}"
        async with self.http.put(url, json=customer, headers=self.headers) as answer:
            assert 201 == answer.status, await answer.text()

    async def usage(self) -> Any:
        """The customer's use at this moment."""
        url = f"{self.gateway.admin_url}/v1/customers/{ACME}/usage"
        async with self.http.get(url, headers=self.headers) as answer:
            assert 200 == answer.status, await answer.text()
            return await answer.json()

    async def live(self) -> int:
        """Live legs of the customer."""
        return int((await self.usage())["live"])

    async def until_live(self, count: int) -> None:
        """Returns when so many legs are live; fails when they are not within some seconds."""
        until = asyncio.get_running_loop().time() + SETTLED_S
        while (usage := await self.usage())["live"] != count:
            assert asyncio.get_running_loop().time() < until, f"not {count} live legs in the end: {usage}"
            await asyncio.sleep(0.02)
