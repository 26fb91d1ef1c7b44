"""Operators and account people of the tests: what they ask of the admin listener about customer `acme`."""

from dataclasses import dataclass
from typing import Any

from http_client import PROBLEM, Answer, Request, json_request, send
from support import RunningGateway, customer_data


ACME = "/v1/customers/acme"
_NO_BODY = object()


@dataclass(frozen=True, slots=True)
class People:
    """Calls to one gateway; paths stand below the customer's, unless they begin with a slash."""

    gateway: RunningGateway

    async def ask(self, method: str, path: str, body: Any = _NO_BODY) -> Answer:
        """The answer, whatever it is."""
        target = path if path.startswith("/") else f"{ACME}/{path}".rstrip("/")
        request = Request(method, target) if body is _NO_BODY else json_request(method, target, body)
        return await send(self.gateway.admin_url, request)

    async def get(self, path: str) -> Any:
        """What is read."""
        return _body(await self.ask("GET", path), 200)

    async def post(self, path: str, body: Any, *, status: int = 200) -> Any:
        """What became of it."""
        return _body(await self.ask("POST", path, body), status)

    async def delete(self, path: str, *, status: int = 200) -> Any:
        """What became of it."""
        return _body(await self.ask("DELETE", path), status)

    async def hold(self, *subscriptions: dict[str, Any], status: int = 200, **fields: Any) -> Any:
        """`acme` holds these from now on; answers the customer as it is kept."""
        answer = await self.ask("PUT", "", customer_data(*subscriptions, **fields))
        return _body(answer, 201 if (status, answer.status) == (200, 201) else status)

    async def refused(self, status: int, method: str, path: str, body: Any = _NO_BODY) -> list[tuple[str, str | None]]:
        """Comes to a problem of that status; paths of its errors with the rules that they name."""
        answer = await self.ask(method, path, body)
        assert (status, PROBLEM) == (answer.status, answer.content_type), answer.text
        return [(error["path"], error.get("rule")) for error in answer.json().get("errors", ())]


def _body(answer: Answer, status: int) -> Any:
    assert status == answer.status, answer.text
    return answer.json() if answer.body else None
