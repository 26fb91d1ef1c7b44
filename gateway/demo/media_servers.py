"""Media servers that ask a gateway over HTTP, as real ones do."""

from collections import Counter, deque
from types import TracebackType
from typing import Any, Self

import aiohttp


RECENT = 8


class MediaServers:
    """Calls to the admission listener. Counts what was decided, and keeps the last decisions for the display."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None
        self.decisions: Counter[str] = Counter()
        self.recent: deque[dict[str, Any]] = deque(maxlen=RECENT)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(base_url=self._url, timeout=aiohttp.ClientTimeout(total=10))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def admit(self, **join: Any) -> dict[str, Any]:
        """Asks whether a connection may join."""
        decision = await self._post("/v1/admit", join)
        reason = decision["reason"] if not decision.get("overage") else "overage"
        self.decisions[reason] += 1
        self.recent.append({**join, **decision})
        return decision

    async def release(self, customer: str, connection: str) -> dict[str, Any]:
        """Says that a connection has ended."""
        return await self._post("/v1/release", {"customer": customer, "connection": connection})

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert self._session is not None, "used as a context manager"
        async with self._session.post(path, json=body) as response:
            answer: dict[str, Any] = await response.json(content_type=None)
            if response.status != 200:
                raise RuntimeError(f"{path} answered {response.status}: {answer}")
            return answer
