"""What media servers know: an append-only history of what they asked, what they were told, and which legs were live from when until when.

The judge works from nothing else. Times are `time.monotonic()` of the test's process, in which all media servers run; `store_ms` gives the wall
clock of the same machine, which is the store's.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec


What = Literal["invoke", "ok", "unknown", "failed", "live", "ended", "beat"]
"""`ok`: an answer came, whatever it says. `unknown`: none came. `failed`: one that is none (500 or more), so it was asked again.

`live`, `ended`: a leg, in truth. `beat`: in a heartbeat that was answered.
"""


WITHOUT_STORE = frozenset({"degraded", "store_unavailable"})


class Event(msgspec.Struct, frozen=True, array_like=True):
    """A line of the history. `status`, `decision` and `reason` are those of an answer; `through` is the gateway that gave it."""

    at: float
    what: What
    node: str
    customer: str
    connection: str
    operation: str = ""
    status: int = 0
    decision: str = ""
    reason: str = ""
    through: int = -1


@dataclass(frozen=True, slots=True)
class Span:
    """A leg that was live in truth; `until` is None as long as it is."""

    node: str
    customer: str
    connection: str
    since: float
    until: float | None
    degraded: bool


@dataclass(frozen=True, slots=True)
class Call:
    """An operation on a leg with its answer; `status` 0: none came."""

    node: str
    customer: str
    connection: str
    operation: str
    began: float
    ended: float
    status: int
    decision: str
    reason: str
    through: int


@dataclass(slots=True)
class History:
    """What happened so far, in order."""

    events: list[Event] = field(default_factory=list)
    wall_less_monotonic: float = field(default_factory=lambda: time.time() - time.monotonic())

    def add(
        self, what: What, node: str, customer: str, connection: str, *, at: float | None = None, **more: Any
    ) -> None:
        """Writes a line, with the time of now; a heartbeat with the time at which it was sent."""
        self.events.append(Event(time.monotonic() if at is None else at, what, node, customer, connection, **more))

    def store_ms(self, at: float) -> float:
        """A monotonic time of this process as milliseconds of the wall clock."""
        return (at + self.wall_less_monotonic) * 1000

    def spans(self, *customers: str) -> list[Span]:
        """All legs that ever were live; of these customers, or of all."""
        begun: dict[tuple[str, str, str], Event] = {}
        found: list[Span] = []
        for event in self.events:
            key = (event.node, event.customer, event.connection)
            if event.what == "live":
                begun[key] = event
            elif event.what == "ended" and key in begun:
                found.append(Span(*key, begun[key].at, event.at, begun.pop(key).reason == "degraded"))
        found += [Span(*key, event.at, None, event.reason == "degraded") for key, event in begun.items()]
        return [span for span in found if not customers or span.customer in customers]

    def calls(self, *operations: str) -> Iterator[Call]:
        """Operations that have ended, in order of their ends. Copies of a request that are under way at once end first in, first out."""
        open_calls: dict[tuple[str, str, str], list[float]] = {}
        for event in self.events:
            key = (event.customer, event.connection, event.operation)
            if event.what == "invoke":
                open_calls.setdefault(key, []).append(event.at)
            elif event.what in {"ok", "unknown"} and event.operation in operations:
                yield Call(
                    event.node, event.customer, event.connection, event.operation, open_calls[key].pop(0), event.at,
                    event.status, event.decision, event.reason, event.through,
                )  # fmt: skip

    def decisions(self) -> Iterator[Call]:
        """Answers to admits in which the gateway decided with the store."""
        return (call for call in self.calls("admit") if call.decision and call.reason not in WITHOUT_STORE)

    def live(self, *customers: str) -> dict[str, set[str]]:
        """Ids of the legs that are live now, by customer."""
        found: dict[str, set[str]] = {customer: set() for customer in customers}
        for span in self.spans(*customers):
            if span.until is None:
                found.setdefault(span.customer, set()).add(span.connection)
        return found

    def save(self, path: Path) -> None:
        """Keeps the raw history, a JSON array per line."""
        path.write_bytes(b"".join([msgspec.json.encode(event) + b"\n" for event in self.events]))


def between(calls: Iterable[Call], since: float, until: float) -> list[Call]:
    """Calls that were answered in that time."""
    return [call for call in calls if since <= call.ended <= until]
