"""Heartbeats of a node: which legs it holds, told every few seconds, from the node's own roster.

Nothing is remembered here between two beats, so a gateway, a store or a client that lost something is whole again after the next one.
"""

import asyncio
import contextlib
import inspect
import logging
import random
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from gateway.client.backlog import Backlog
from gateway.client.calls import Calls
from gateway.client.errors import RequestRefused
from gateway.client.joins import Key, body_of
from gateway.client.results import Beat, Confirmed, read_beat, read_confirmed
from gateway.client.stats import Stats


PAGE_IDS_MAX = 2000
BEAT_DEADLINE_S = 5.0
"""Per page: long enough for a slow gateway, short enough for several tries within a lease of 30 s."""

INTERVAL_S = 10.0
"""Until a gateway has said when it wants the next beat."""

INTERVAL_BOUNDS_S = (0.05, 60.0)
SOON_S = (0.2, 0.9)
"""Least and most of the pause after a beat that failed."""

CONFIRMS_AT_ONCE = 32
CALLBACKS_AT_ONCE = 32
CALLBACK_TIME_S = 30.0
WAITING_MAX = 100_000

CUSTOMER = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)")
CONNECTION = re.compile(
    r"^(?![Tt][Ee][Ll]:)(?!([Ss][Ii][Pp][Ss]?:)? *\+([ ().-]*[0-9]){8,15} *($|[@;]))"
    r"[^\u0000-\u001f\u007f-\u009f]+$(?!\n)"
)
"""What gateways take as ids: no control characters, nothing that looks like a telephone number."""

CUSTOMER_CHARACTERS_MAX = 64
CONNECTION_BYTES_MAX = 256

Roster = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Per customer, the connections that are live on this node with the fields of their joins."""

RosterSource = Roster | Callable[[], Roster | Awaitable[Roster]]
OnDrop = Callable[[str, str], object]
"""Called with customer and connection; what it returns is awaited if it can be."""

_log = logging.getLogger(__name__)


class Heartbeats:
    """Beats from now on until `stop`. The roster is asked at each beat, and stays the caller's."""

    def __init__(
        self,
        calls: Calls,
        stats: Stats,
        node: str,
        roster: RosterSource,
        on_drop: OnDrop | None,
        *,
        ended: Callable[[Key], bool],
    ) -> None:
        self._calls = calls
        self._stats = stats
        self._node = node
        self._roster = roster
        self._on_drop = on_drop
        self._ended = ended
        self._confirms = Backlog(self._confirm, self._put_off, at_once=CONFIRMS_AT_ONCE, waiting_max=WAITING_MAX)
        self._drops = Backlog(self._drop, self._put_off, at_once=CALLBACKS_AT_ONCE, waiting_max=WAITING_MAX)
        self._interval_s = INTERVAL_S
        self._healthy = True
        self._beating = asyncio.Lock()
        self._task = asyncio.create_task(self._run())

    async def stop(self, wait_s: float = 0.0) -> None:
        """Ends the beats, and all that they began; waits so long for the end of a beat that is under way."""
        if not self._task.done():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._beating.acquire(), wait_s)
            self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._confirms.close()
        await self._drops.close()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            async with self._beating:
                pause_s = await self._pause_after_beat()
            await asyncio.sleep(max(began + pause_s - loop.time(), INTERVAL_BOUNDS_S[0]))

    async def _pause_after_beat(self) -> float:
        """Beats once; when the next beat is due, in seconds from the beginning of this one."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            well = await self._beat()
            soon = not well
        except RequestRefused as refused:
            well = soon = False  # the same again would be refused again
            if self._healthy:
                _log.warning("heartbeats are refused: %s", refused)
        except Exception:  # noqa: BLE001 - logged; a fault of the caller's roster must not end the beats
            _log.exception("the roster cannot be told")
            well, soon = False, True
        self._stats.beats += well
        self._stats.beats_failed += not well
        if well != self._healthy:
            _log.log(logging.INFO if well else logging.WARNING, "heartbeats %s", "succeed" if well else "fail")
            self._healthy = well
        if soon:
            return loop.time() - began + random.uniform(*SOON_S)  # noqa: S311 - jitter
        return self._interval_s * random.uniform(0.9, 1)  # noqa: S311 - jitter

    async def _beat(self) -> bool:
        """Whether every page was answered; what is unknown or to be dropped is seen to in the background.

        The page that wants the next beat soonest has its way: it had unknown legs. Raises RequestRefused.
        """
        held = self._roster() if callable(self._roster) else self._roster
        roster: Roster = await held if inspect.isawaitable(held) else held
        pages = list(_pages(self._ids(roster)))
        path = f"/v1/nodes/{quote(self._node, safe='')}/heartbeat"
        wishes_s: list[float] = []
        for number, connections in enumerate(pages, 1):
            body = {"connections": connections, "page": number, "pages": len(pages)}
            until = asyncio.get_running_loop().time() + BEAT_DEADLINE_S
            outcome = await self._calls.send("POST", path, body, read_beat, until=until)
            if outcome.fault is not None:
                raise outcome.fault
            if outcome.answer is None:
                return False
            wishes_s.append(outcome.answer.next_in_s)
            self._see_to(outcome.answer, roster)
        least_s, most_s = INTERVAL_BOUNDS_S
        self._interval_s = min(max(min(wishes_s), least_s), most_s)
        return True

    def _ids(self, roster: Roster) -> dict[str, list[str]]:
        """The ids as of now. One that no gateway takes, which an admit during an outage can have let in, must not spoil the others' beat."""
        ids = {
            customer: [connection for connection in connections if _is_taken(connection)]
            for customer, connections in roster.items()
            if CUSTOMER.match(customer) and len(customer) <= CUSTOMER_CHARACTERS_MAX
        }
        self._stats.ids_skipped += sum(map(len, roster.values())) - sum(map(len, ids.values()))
        return ids

    def _see_to(self, beat: Beat, roster: Roster) -> None:
        for customer, connections in beat.unknown.items():
            for connection in connections:
                self._confirms.put((customer, connection), roster)
        for customer, connections in beat.drop.items():
            for connection in connections:
                self._tell_drop((customer, connection))

    async def _confirm(self, key: Key, roster: Roster) -> bool:
        """Brings in a leg that the gateway does not know. Done with in any case: the next beat brings up what failed."""
        customer, connection = key
        join = roster.get(customer, {}).get(connection)
        if join is None or self._ended(key):
            return True  # it has ended since the beat
        body = {**body_of(join, self._node), "customer": customer, "connection": connection}
        until = asyncio.get_running_loop().time() + BEAT_DEADLINE_S
        outcome = await self._calls.send("POST", "/v1/confirm", body, read_confirmed, until=until, tells=True)
        answer: Confirmed | None = outcome.answer
        if answer is None:
            self._stats.confirms_failed += 1
            if outcome.fault is not None:
                _log.warning("a confirm is refused: %s", outcome.fault)
            return True
        self._stats.adopted += answer.result == "adopted"
        if answer.drop:
            self._tell_drop(key)
        return True

    def _tell_drop(self, key: Key) -> None:
        if self._on_drop is not None and self._drops.put(key, None):
            self._stats.drops += 1

    async def _drop(self, key: Key, _: None) -> bool:
        assert self._on_drop is not None, "asked before"
        try:
            async with asyncio.timeout(CALLBACK_TIME_S):
                result = self._on_drop(*key)
                if inspect.isawaitable(result):
                    await result
        except Exception:  # noqa: BLE001 - logged; it is the caller's code
            self._stats.callbacks_failed += 1
            _log.exception("on_drop failed")
        return True

    def _put_off(self, count: int) -> None:
        self._stats.background_dropped += count


def _is_taken(connection: str) -> bool:
    try:
        return CONNECTION.match(connection) is not None and len(connection.encode()) <= CONNECTION_BYTES_MAX
    except UnicodeEncodeError:  # a lone surrogate: no text, so no JSON
        return False


def _pages(held: dict[str, list[str]]) -> Iterator[dict[str, list[str]]]:
    """The ids in pages; at least one, which is empty where the node holds nothing: it is alive all the same."""
    page: dict[str, list[str]] = {}
    room = PAGE_IDS_MAX
    full = False
    for customer, ids in held.items():
        at = 0
        while at < len(ids):
            part = ids[at : at + room]
            page[customer] = part
            at += len(part)
            room -= len(part)
            if room == 0:
                yield page
                page, room, full = {}, PAGE_IDS_MAX, True
    if page or not full:
        yield page
