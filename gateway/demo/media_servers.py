"""Who asks a gateway over HTTP: media servers, as real ones do, and the administrator."""

from collections import Counter, deque
from types import TracebackType
from typing import Any, Self

import aiohttp


RECENT = 20


class CallFailed(RuntimeError):
    """An answer that is none of a decision: a problem."""

    def __init__(self, path: str, problem: dict[str, Any]) -> None:
        super().__init__(f"{path} answered {problem}")
        self.problem = problem


class _Caller:
    """Calls to one listener, as long as the context lasts."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(base_url=self._url, timeout=aiohttp.ClientTimeout(total=10))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def _call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        assert self._session is not None, "used as a context manager"
        async with self._session.request(method, path, json=body) as response:
            answer: dict[str, Any] = await response.json(content_type=None)
            if response.status not in {200, 201}:
                raise CallFailed(path, answer)
            return answer


class MediaServers(_Caller):
    """Calls to the admission listener. Counts what was decided, and keeps the last decisions for the display."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.decisions: Counter[str] = Counter()
        self.recent: deque[dict[str, Any]] = deque(maxlen=RECENT)

    async def admit(self, **join: Any) -> dict[str, Any]:
        """Asks whether a connection may join."""
        return self._noted(join, await self._call("POST", "/v1/admit", join))

    async def move(self, **join: Any) -> dict[str, Any]:
        """Asks whether a connection may go to the meeting or role of the join, which also holds `from`, the meeting that it is in."""
        return self._noted(join, await self._call("POST", "/v1/move", join))

    async def release(self, customer: str, connection: str) -> dict[str, Any]:
        """Says that a connection has ended."""
        return await self._call("POST", "/v1/release", {"customer": customer, "connection": connection})

    def _noted(self, join: dict[str, Any], decision: dict[str, Any]) -> dict[str, Any]:
        reason = decision["reason"] if not decision.get("overage") else "overage"
        self.decisions[reason] += 1
        self.recent.append({**join, **decision})
        return decision


class Administrator(_Caller):
    """Calls to the admin listener."""

    async def suspend(self, customer: str) -> dict[str, Any]:
        """Refuses the customer's joins until `resume` (T20.1)."""
        return await self._call("POST", f"/v1/customers/{customer}/suspend", {"reason": "aup"})

    async def resume(self, customer: str) -> dict[str, Any]:
        """Ends a suspension."""
        return await self._call("POST", f"/v1/customers/{customer}/resume", {})

    async def book(self, customer: str, assist: dict[str, Any]) -> dict[str, Any]:
        """Asks for an assist (T18, T19)."""
        return await self._call("POST", f"/v1/customers/{customer}/assists", assist)

    async def findings(self, customer: str) -> list[dict[str, Any]]:
        """What the customer does that its terms do not foresee."""
        found: list[dict[str, Any]] = (await self._call("GET", f"/v1/customers/{customer}/compliance"))["findings"]
        return found
