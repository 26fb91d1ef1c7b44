"""Media servers and operators of the tests: they call gateways that run as processes of their own."""

import asyncio
from typing import Any

import aiohttp
from support import RunningGateway, customer_data, join_data


class Callers:
    """Calls to one or more gateways; the n-th call goes to the n-th gateway, round and round."""

    def __init__(self, http: aiohttp.ClientSession, *gateways: RunningGateway) -> None:
        self._http = http
        self._gateways = gateways

    async def install(self, *subscriptions: dict[str, Any], through: int = 0, **fields: Any) -> None:
        """Replaces what customer `acme` holds."""
        url = f"{self._gateways[through].admin_url}/v1/customers/acme"
        async with self._http.put(url, json=customer_data(*subscriptions, **fields)) as response:
            assert response.status in {200, 201}, await response.text()

    async def change(self, verb: str, *, through: int = 0) -> None:
        """Suspends, resumes or terminates customer `acme`."""
        url = f"{self._gateways[through].admin_url}/v1/customers/acme/{verb}"
        async with self._http.post(url, json={"reason": "test"}) as response:
            assert 200 == response.status, await response.text()

    async def admit(self, connection: str, *, through: int = 0, **fields: Any) -> dict[str, Any]:
        """A decision."""
        return await self.post("/v1/admit", join_data(connection, **fields), through=through)

    async def preview(self, connection: str, *, through: int = 0, **fields: Any) -> dict[str, Any]:
        """What would be decided."""
        return await self.post("/v1/preview", join_data(connection, **fields), through=through)

    async def admit_all(self, joins: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """All at the same time, spread over the gateways."""
        return list(await asyncio.gather(*[self.post("/v1/admit", body, through=at) for at, body in enumerate(joins)]))

    async def release(self, connection: str, *, through: int = 0) -> dict[str, Any]:
        """Gives a seat back."""
        return await self.post("/v1/release", {"customer": "acme", "connection": connection}, through=through)

    async def release_all(self, connections: list[str]) -> list[dict[str, Any]]:
        """All at the same time, spread over the gateways."""
        return list(await asyncio.gather(*[self.release(each, through=at) for at, each in enumerate(connections)]))

    async def usage(self) -> dict[str, Any]:
        """Use of customer `acme`."""
        async with self._http.get(f"{self._gateways[0].admin_url}/v1/customers/acme/usage") as response:
            answer: dict[str, Any] = await response.json(content_type=None)
            return answer

    async def post(self, path: str, body: dict[str, Any], *, through: int = 0, status: int = 200) -> dict[str, Any]:
        """The answer of one call, which must have that status."""
        async with self._http.post(f"{self._gateways[through % len(self._gateways)].url}{path}", json=body) as response:
            answer: dict[str, Any] = await response.json(content_type=None)
            assert status == response.status, answer
            return answer


def used(usage: dict[str, Any], pool: str) -> int:
    """Use of a pool; 0 where it is not in the report."""
    return next((int(each["used"]) for each in usage["pools"] if each["pool"] == pool), 0)
