"""The client: decisions within a deadline, releases that are not forgotten, heartbeats."""

import asyncio
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack
from urllib.parse import quote

from gateway.client.backlog import Backlog
from gateway.client.calls import Calls, Outcome
from gateway.client.heartbeats import Heartbeats, OnDrop, RosterSource
from gateway.client.joins import JoinFields, Key, body_of, key_of, release_body
from gateway.client.results import (
    Confirmed,
    Decision,
    Left,
    Released,
    away,
    read_confirmed,
    read_decision,
    read_left,
    read_released,
    without_store,
)
from gateway.client.stats import Stats


DEADLINE_MAX_S = 60.0
RELEASES_AT_ONCE = 8
BACKGROUND_CONNECTIONS = 64
REFUSED = "refused"
"""The cause of a release that follows an admit which was answered as a refusal."""

T = TypeVar("T")
WhenAway = Literal["deny", "admit"]


class GatewayClient:
    """Asks the gateways at these URLs, the nearest one first. An async context manager; one per process is enough.

    `node` is the media server that holds the legs. A call takes at most `deadline_s`; if no gateway answers by then, `when_away` decides
    joins. `connections` bounds those to each gateway for calls; `releases_max` the releases that wait for a gateway to come back.

    Every operation raises RequestRefused for a fault of the request, TypeError or ValueError for one that cannot be written as JSON, and
    RuntimeError outside the context. An outage raises nothing.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        *,
        token: str | None = None,
        node: str | None = None,
        deadline_s: float = 2.0,
        when_away: WhenAway = "deny",
        connections: int = 100,
        releases_max: int = 10_000,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        if not 0 < deadline_s <= DEADLINE_MAX_S:
            raise ValueError(f"a deadline is above 0 and at most {DEADLINE_MAX_S} s")
        if when_away not in {"deny", "admit"}:
            raise ValueError("when_away is deny or admit")
        self.stats = Stats()
        self._node = node
        self._deadline_s = deadline_s
        self._when_away = when_away
        addresses = [urls] if isinstance(urls, str) else list(urls)
        secured = {} if tls is None else {"ssl": tls}
        self._calls = Calls(addresses, token, self.stats, per_gateway=connections, **secured)
        # Its own connections: a storm of joins must not keep heartbeats from a gateway.
        self._background = Calls(addresses, token, self.stats, per_gateway=BACKGROUND_CONNECTIONS, **secured)
        self._releases = Backlog(self._send_release, self._gave_up, at_once=RELEASES_AT_ONCE, waiting_max=releases_max)
        self._heartbeats: Heartbeats | None = None
        self._open = False
        self._under_way = 0
        self._idle = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self._calls.__aenter__()
        await self._background.__aenter__()
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the heartbeats, lets calls under way end, and takes at most `deadline_s` to send the releases that wait."""
        self._open = False
        try:
            await self._stop_heartbeats()
            if self._under_way:
                self._idle.clear()
                await self._idle.wait()  # each has its deadline
        finally:
            try:
                await self._releases.close(self._deadline_s)
            finally:
                await self._background.__aexit__(kind, error, trace)
                await self._calls.__aexit__(kind, error, trace)

    async def admit(self, join: Mapping[str, Any] | None = None, /, **fields: Unpack[JoinFields]) -> Decision:
        """Whether a connection may join; if so, it holds its seat from now on. Broken off, it counts as refused."""
        body, until = self._asked(join, fields)
        key = key_of(body)
        with self._call():
            if not await self._releases.withdraw(key, until):
                return self._by_own_policy(key)  # an earlier refusal of the same leg is still being made good
            try:
                outcome = await self._calls.send("POST", "/v1/admit", body, read_decision, until=until, tells=True)
            except asyncio.CancelledError:
                self._compensate(key)
                raise
            if outcome.fault is not None:
                if outcome.unsure and outcome.fault.status != 409:  # 409: the seat of that id is another's
                    self._compensate(key)
                raise outcome.fault
            decision = self._decision(key, outcome)
            if outcome.unsure and not decision.admitted:
                self._compensate(key)
            return decision

    async def preview(self, join: Mapping[str, Any] | None = None, /, **fields: Unpack[JoinFields]) -> Decision:
        """What would be decided; changes nothing."""
        body, until = self._asked(join, fields)
        return self._decision(key_of(body), await self._call_out("/v1/preview", body, read_decision, until))

    async def move(
        self, join: Mapping[str, Any] | None = None, /, *, origin: str | None = None, **fields: Unpack[JoinFields]
    ) -> Decision:
        """Whether a live connection may go from the meeting `origin` to the meeting or role of the join, in one step.

        Ask again after an outage: a move that had taken place is answered `replayed`.
        """
        body, until = self._asked(join, fields)
        if origin is not None:
            body["from"] = origin
        return self._decision(key_of(body), await self._call_out("/v1/move", body, read_decision, until))

    async def confirm(self, join: Mapping[str, Any] | None = None, /, **fields: Unpack[JoinFields]) -> Confirmed:
        """Says that a leg is connected: it was answered, and media flows. A leg that no gateway knows is counted from now on."""
        body, until = self._asked(join, fields)
        outcome = await self._call_out("/v1/confirm", body, read_confirmed, until)
        self.stats.away += outcome.answer is None
        return outcome.answer or Confirmed("gateway_away", *key_of(body))

    async def release(self, customer: str, connection: str, *, cause: str | None = None) -> Released:
        """Says that a connection has ended. If no gateway answers, it is said again in the background."""
        key = customer, connection
        body = release_body(key, self._node, cause)
        until = self._until(self._deadline_s)
        with self._call():
            try:
                outcome = await self._calls.send("POST", "/v1/release", body, read_released, until=until)
            except asyncio.CancelledError:
                self._release_later(key, body)
                raise
            if outcome.fault is not None:
                raise outcome.fault
            if outcome.answer is None:
                self.stats.away += 1
                self._release_later(key, body)
                return Released(released=False, pending=True)
            return outcome.answer

    def heartbeats(self, roster: RosterSource, *, on_drop: OnDrop | None = None) -> Heartbeats:
        """Tells, from now on and every few seconds, which legs are live on this node; ends with the context.

        `roster` is a mapping, or a function (it may be async) that gives one at each beat: per customer, connection ids and the fields of
        their joins. `on_drop(customer, connection)`, which may be async, is called for legs that an operator ended, at every beat until
        the leg is off the roster. Raises RuntimeError without a node, or a second time.
        """
        self._need_open()
        if self._node is None or self._heartbeats is not None:
            raise RuntimeError("heartbeats need a node, and are begun once")
        self._heartbeats = Heartbeats(
            self._background, self.stats, self._node, roster, on_drop, ended=self._releases.__contains__
        )
        return self._heartbeats

    async def leave(self) -> Left:
        """Ends the heartbeats and says that the node left: its legs lapse now. Raises RuntimeError without a node."""
        if self._node is None:
            raise RuntimeError("only a node can leave")
        with self._call():
            await self._stop_heartbeats(self._deadline_s)  # a beat that came after it would call the legs back
            path, until = f"/v1/nodes/{quote(self._node, safe='')}", self._until(self._deadline_s)
            outcome = await self._calls.send("DELETE", path, None, read_left, until=until)
            if outcome.fault is not None:
                raise outcome.fault
            self.stats.away += outcome.answer is None
            return outcome.answer or Left(heard=False)

    def _asked(self, join: Mapping[str, Any] | None, fields: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
        """The body, and by when the answer is wanted: `deadline_ms` of a join goes before the client's own."""
        body = body_of({**(join or {}), **fields}, self._node)
        deadline_s = body.pop("deadline_ms", self._deadline_s * 1000) / 1000
        if not 0 < deadline_s <= DEADLINE_MAX_S:
            raise ValueError(f"a deadline is above 0 and at most {DEADLINE_MAX_S} s")
        return body, self._until(deadline_s)

    @staticmethod
    def _until(deadline_s: float) -> float:
        return asyncio.get_running_loop().time() + deadline_s

    def _need_open(self) -> None:
        if not self._open:
            raise RuntimeError("the client is used within its context: `async with GatewayClient(...) as client`")

    @contextmanager
    def _call(self) -> Iterator[None]:
        """A call under way, for which the end of the context waits."""
        self._need_open()
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            if self._under_way == 0:
                self._idle.set()

    async def _call_out(self, path: str, body: dict[str, Any], read: Any, until: float) -> Outcome[Any]:
        with self._call():
            outcome: Outcome[Any] = await self._calls.send("POST", path, body, read, until=until, tells=True)
        if outcome.fault is not None:
            raise outcome.fault
        return outcome

    def _decision(self, key: Key, outcome: Outcome[Decision]) -> Decision:
        if outcome.answer is not None:
            return outcome.answer
        if outcome.refusal is not None:
            return without_store(*key, outcome.refusal)
        return self._by_own_policy(key)

    def _by_own_policy(self, key: Key) -> Decision:
        self.stats.away += 1
        return away(*key, admitted=self._when_away == "admit")

    def _compensate(self, key: Key) -> None:
        """Gives back the seat that a refused admit may hold; a release that comes before its admit is heeded too."""
        self.stats.compensations += 1
        self._release_later(key, release_body(key, self._node, REFUSED))

    def _release_later(self, key: Key, body: dict[str, Any]) -> None:
        self.stats.releases_queued += self._releases.put(key, body)

    async def _send_release(self, key: Key, body: dict[str, Any]) -> bool:
        until = self._until(self._deadline_s)
        outcome = await self._background.send("POST", "/v1/release", body, read_released, until=until)
        if outcome.fault is not None:
            self._gave_up(1)
        return outcome.answer is not None or outcome.fault is not None

    def _gave_up(self, count: int) -> None:
        self.stats.releases_dropped += count

    async def _stop_heartbeats(self, wait_s: float = 0.0) -> None:
        if self._heartbeats is not None:
            await self._heartbeats.stop(wait_s)
