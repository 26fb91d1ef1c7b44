"""Entries of legs for tests of the ledger, and random histories of legs with the stretches that they come to."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import strategies as st

from gateway.domain.billing.entry import EntryId
from gateway.domain.billing.stretch import READOPTION_MS, Shape
from gateway.ledger.entries import LegEntry, Seen


EPOCH = 1_790_000_000_000
START = EPOCH + 1_000

Row = tuple[str, int, int, int | None, int | None, int | None, str]
"""Connection, number of the entry that began it, held, freed, connected, until, cause."""


SHAPE = msgspec.json.encode(Shape("meetings", "web", "attendee", ("ports",))).decode()


def seen(
    admitted_ms: int, connected_ms: int | None = None, *, meeting: str = "meeting", person: str | None = None
) -> Seen:
    """What a record says of a leg."""
    return Seen(SHAPE, admitted_ms, connected_ms, meeting, "host@acme.example", person, "node-1", None)


class Entries:
    """Entries of one bucket and customer, numbered as they are made."""

    def __init__(self, customer: str = "acme") -> None:
        self.customer = customer
        self.made: list[LegEntry] = []

    def __call__(
        self,
        op: str,
        at_ms: int,
        admitted_ms: int,
        connected_ms: int | None = None,
        *,
        connection: str = "leg",
        cause: str = "",
        alive_ms: int | None = None,
    ) -> LegEntry:
        """The next one."""
        entry = LegEntry(
            EntryId(EPOCH, len(self.made)), op, at_ms, self.customer, connection,
            seen(admitted_ms, connected_ms, person=f"{connection}@acme.example"), cause,
            at_ms if alive_ms is None else alive_ms,
        )  # fmt: skip
        self.made.append(entry)
        return entry


@dataclass
class Life:
    """What happened to one leg, told from outside; and the stretches that this comes to."""

    connection: str
    events: list[tuple[int, str, int, int | None, int]] = field(default_factory=list)
    """At, op, admitted, connected, alive."""
    rows: list[list[Any]] = field(default_factory=list)
    """Index of the event that began it, held, freed, connected, until, cause."""


@dataclass(frozen=True)
class Present:
    """A leg that is there: since when, and since when it is connected."""

    admitted_ms: int
    connected_ms: int | None = None


NEXT = {
    "out": ["admit", "admit connected"],
    "in": ["confirm", "move", "release", "reclaim", "reclaim"],
    "connected": ["move", "release", "reclaim", "reclaim"],
    "away": ["adopt", "adopt", "adopt waiting", "admit"],
}

PAUSES = st.one_of(
    st.integers(0, 3),
    st.integers(0, 3 * READOPTION_MS // 2),
    st.sampled_from([READOPTION_MS - 1, READOPTION_MS, READOPTION_MS + 1]),
)


@st.composite
def lives(draw: st.DrawFn, connection: str) -> Life:
    """A leg that joins, connects, moves, lapses, comes back, leaves and joins again."""
    life, at_ms, state = Life(connection), START + draw(st.integers(0, READOPTION_MS)), "out"
    leg = Present(at_ms)
    for _ in range(draw(st.integers(1, 9))):
        word = draw(st.sampled_from(NEXT[state]))
        state, leg = _happen(life, word, at_ms, leg, draw(st.integers(0, 5_000)))
        at_ms += draw(PAUSES)
    return life


def _happen(life: Life, word: str, at_ms: int, leg: Present, silent_ms: int) -> tuple[str, Present]:
    op, _, how = word.partition(" ")
    alive_ms = max(at_ms - silent_ms, leg.admitted_ms) if op == "reclaim" else at_ms
    if op in {"admit", "adopt"}:
        is_connected = how == "connected" or (op == "adopt" and how != "waiting")
        leg = Present(at_ms, at_ms if is_connected else None)
        if op == "adopt" and is_connected:
            _bridge(life, at_ms)
        life.rows.append([len(life.events), at_ms, None, leg.connected_ms, None, ""])
    elif op == "confirm":
        leg = Present(leg.admitted_ms, at_ms)
        life.rows[-1][3] = at_ms
    else:
        cause = {"move": "moved", "release": "released", "reclaim": "lapsed"}[op]
        held = life.rows[-1]
        held[2], held[5] = at_ms, cause
        if isinstance(held[3], int):
            held[4] = max(alive_ms, held[3])
        if op == "move":
            life.rows.append([len(life.events), at_ms, None, at_ms if leg.connected_ms else None, None, ""])
    life.events.append((at_ms, op, leg.admitted_ms, leg.connected_ms, alive_ms))
    return {"release": "out", "reclaim": "away"}.get(op, "connected" if leg.connected_ms else "in"), leg


def _bridge(life: Life, at_ms: int) -> None:
    held = life.rows[-1]
    if isinstance(held[2], int) and at_ms - held[2] < READOPTION_MS and held[3] is not None:
        held[4] = at_ms


@st.composite
def histories(draw: st.DrawFn, customer: str = "acme") -> tuple[list[LegEntry], list[Row]]:
    """Entries of some legs in the order of a bucket, and the stretches that they come to."""
    told = [draw(lives(f"leg-{number}")) for number in range(draw(st.integers(1, 4)))]
    happened = sorted(
        (event[0], place, index) for place, life in enumerate(told) for index, event in enumerate(life.events)
    )
    causes, entries, numbers = {"release": "released", "reclaim": "lapsed"}, Entries(customer), {}
    for number, (_, place, index) in enumerate(happened):
        at_ms, op, admitted_ms, connected_ms, alive_ms = told[place].events[index]
        numbers[place, index] = number
        connection, cause = told[place].connection, causes.get(op, "")
        entries(op, at_ms, admitted_ms, connected_ms, connection=connection, cause=cause, alive_ms=alive_ms)
    rows = [
        (life.connection, numbers[place, index], *rest) for place, life in enumerate(told) for index, *rest in life.rows
    ]
    return entries.made, rows
