"""What everybody in a simulation shares: time, chance, the trace, and the truth, which only media servers know."""

import collections
import hashlib
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from simulated_time import VirtualLoop

from gateway.domain.join import Join


if TYPE_CHECKING:
    from collections.abc import Callable


TRACE_SHOWN = 60
"""Last events that a failing seed prints."""

PORTS, METERED, HOSTS, EVENTS = "acme-1", "globex-7", "acme-88", "globex-75"
"""Customers, by what they hold. Their names lie in the first two buckets of the store, so that only those need be swept."""


@dataclass(eq=False)
class Leg:
    """A leg as its media server knows it. Seconds are virtual; None: not yet."""

    join: Join
    node: str
    asked_s: float
    """When it was first asked about."""
    began_s: float | None = None
    ended_s: float | None = None
    given_back_s: float | None = None
    """When a release of it was answered."""
    heard_s: float = -1.0
    """When the last message was sent whose answer said that the leg is counted."""
    acknowledged: bool = False
    """The store admitted it, and the media server was told so."""
    is_unheard: bool = False
    """A request to admit it was not answered, or not decided: it may be carried out all the same."""
    bypassed: str = ""
    """Why it may be counted beyond the limit: adopted, lost with the store, let in without it, reclaimed while it was live."""
    decisions: list[tuple[float, str]] = field(default_factory=list)

    @property
    def is_live(self) -> bool:
        """Whether somebody is connected."""
        return self.began_s is not None and self.ended_s is None


class World:
    """One simulation."""

    def __init__(self, loop: VirtualLoop, seed: int) -> None:
        self.loop = loop
        self.seed = seed
        self.chance = random.Random(f"media {seed}")
        self.sometimes: collections.Counter[str] = collections.Counter()
        self.legs: dict[tuple[str, str], Leg] = {}
        self.live: dict[str, dict[str, Leg]] = {customer: {} for customer in (PORTS, METERED, HOSTS, EVENTS)}
        self.is_quiet = False
        """Nobody joins any more, and nothing breaks."""
        self.without_node = 0.0
        """Part of the calls that no node keeps alive. What the store loses of them nobody brings back."""
        self.asked: dict[str, tuple[float, float]] = {}
        """When a gateway last began to decide an id, and the offset of the store's clock then."""
        self.on_begin: Callable[[Leg], None] = lambda *_: None
        self.faults: list[str] = []
        """What must not happen, and did."""
        self._trace: list[str] = []
        self._hash = hashlib.blake2b(digest_size=12)

    def trace(self, *what: Any) -> None:
        """Notes an event. Two runs of a seed note the same."""
        line = f"{self.loop.time():10.4f} {' '.join(map(str, what))}"
        self._trace.append(line)
        self._hash.update(line.encode())

    @property
    def trace_hash(self) -> str:
        """Of everything that happened."""
        return self._hash.hexdigest()

    def last_events(self, matching: str = "", shown: int = TRACE_SHOWN) -> str:
        """The end of the trace."""
        found = [line for line in self._trace if matching in line]
        return "\n".join(found[-shown:])

    def fault(self, what: str) -> None:
        """Something happened that must not."""
        self.faults.append(f"at {self.loop.time():.4f} s: {what}")
        self.trace("FAULT", what)

    def happened(self, what: str, number: int = 1) -> None:
        """Counts what a run should show sometimes."""
        self.sometimes[what] += number

    def begin(self, leg: Leg) -> None:
        """Somebody is connected."""
        leg.began_s = self.loop.time()
        self.live[leg.join.customer][leg.join.connection] = leg
        self.trace("begins", leg.node, leg.join.customer, leg.join.connection)
        self.on_begin(leg)

    def end(self, leg: Leg) -> None:
        """Nobody is any more."""
        leg.ended_s = self.loop.time()
        del self.live[leg.join.customer][leg.join.connection]
        self.trace("ends", leg.node, leg.join.customer, leg.join.connection)
