"""From entries to stretches: what is over, and what goes on.

Entries of a bucket come in their order, each once, but some may be missing (a gap), and the store may have lost what it told. So no entry
relies on the one before it: the record of the leg that it carries says what is true now.
"""

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field

import msgspec
from msgspec.structs import replace

from gateway.domain.billing.entry import EntryId
from gateway.domain.billing.stretch import READOPTION_MS
from gateway.ledger.entries import LegEntry, Seen


Key = tuple[str, str]
"""Customer and connection."""

Leg = tuple[str, str, int]
"""Customer, connection, and when it came to be (ms): ids are used again."""

LOST = "lost"
"""The cause where the store, or the ledger, does not know the end of a leg."""

RECLAIMED = frozenset({"lapsed", "departed", LOST})
"""Causes of an end after which a leg may be adopted again: then it is billed until that, and its seat was freed before."""

UNANSWERED = "unanswered"
"""The cause where nobody heard that the leg was let in: its caller was refused, so that it was no connection, although it held a seat."""


ENDS = frozenset({"release", "reclaim"})
BEGINS = frozenset({"admit", "adopt", "move"})


class Going(msgspec.Struct, frozen=True):
    """A stretch that goes on; or one that was reclaimed or lost, and waits to be adopted again (`freed` is set)."""

    customer: str
    connection: str
    began: EntryId
    held_ms: int
    connected_ms: int | None
    seen: Seen
    freed: EntryId | None = None
    freed_ms: int | None = None
    until_ms: int | None = None
    cause: str = ""

    @property
    def key(self) -> Key:
        """What it is found by."""
        return self.customer, self.connection

    @property
    def waits(self) -> bool:
        """Whether it has given up its seat, and may be adopted again."""
        return self.freed is not None


@dataclass(slots=True)
class Stretches:
    """The stretches that a batch of entries may touch, and what becomes of them."""

    going: dict[Key, Going]
    over: list[Going] = field(default_factory=list)
    touched: set[Key] = field(default_factory=set)
    ended: set[Leg] = field(default_factory=set)
    """Legs that are over already. A store that has lost their end ends them once more."""

    def apply(self, entry: LegEntry) -> None:
        """What an entry changes."""
        key = entry.customer, entry.connection
        if entry.op in ENDS and key not in self.going and self._is_over(entry):
            return
        self.touched.add(key)
        before = self.going.pop(key, None)
        match entry.op:
            case "admit":
                self._close(before, entry, goes_on=False)
                self._begin(entry, entry.at_ms, entry.seen.connected_ms)
            case "adopt":
                self._close(before, entry, goes_on=entry.seen.connected_ms is not None)
                self._begin(entry, entry.at_ms, entry.seen.connected_ms)
            case "move":
                self._close(before, entry, goes_on=True)
                self._begin(entry, entry.at_ms, entry.at_ms if entry.seen.connected_ms else None)
            case "confirm":
                held = self._resumed(before) or self._first_heard_of(entry)
                self.going[key] = replace(
                    held, connected_ms=held.connected_ms or entry.seen.connected_ms, seen=entry.seen
                )
            case "release":
                held = self._resumed(before) or self._first_heard_of(entry)
                if entry.cause == UNANSWERED:
                    held = replace(held, connected_ms=None)
                self._end(held, entry, entry.at_ms, entry.cause)
            case "reclaim":
                held = self._resumed(before) or self._first_heard_of(entry)
                self.going[key] = _freed(held, entry.id, entry.at_ms, entry.alive_ms, entry.cause)

    def lose(self, keys: Iterable[Key], at: EntryId, alive_ms: int) -> None:
        """The store does not have these legs any more, and nobody knows when they ended; they were there at `alive_ms`."""
        for key in keys:
            going = self.going.get(key)
            if going is not None and not going.waits:
                self.touched.add(key)
                # Who was connected at that very instant counts at it.
                self.going[key] = _freed(going, at, alive_ms + 1, alive_ms + 1, LOST)

    def resume(self, key: Key) -> None:
        """A leg that was given up for lost is there after all."""
        self.touched.add(key)
        self.going[key] = _goes_on(self.going[key])

    def give_up(self, now_ms: int) -> None:
        """What has waited for too long is over."""
        for key, going in list(self.going.items()):
            if going.freed_ms is not None and now_ms >= going.freed_ms + READOPTION_MS:
                self.touched.add(key)
                self._finish(self.going.pop(key))

    def _is_over(self, entry: LegEntry) -> bool:
        leg = entry.customer, entry.connection, entry.seen.admitted_ms
        return leg in self.ended

    def _finish(self, going: Going) -> None:
        self.over.append(going)
        self.ended.add((going.customer, going.connection, going.held_ms))

    def _begin(self, entry: LegEntry, held_ms: int, connected_ms: int | None) -> None:
        going = Going(entry.customer, entry.connection, entry.id, held_ms, connected_ms, entry.seen)
        self.going[going.key] = going

    def _close(self, before: Going | None, entry: LegEntry, *, goes_on: bool) -> None:
        """Ends what was there before. `goes_on`: the leg was there all the time, so that it is billed without a gap."""
        if before is None:
            return
        if before.freed_ms is not None:
            # How long it was waited for is told by the entries: when this process came to read them says nothing.
            in_time = goes_on and before.connected_ms is not None and entry.at_ms < before.freed_ms + READOPTION_MS
            self._finish(replace(before, until_ms=max(entry.at_ms, before.until_ms or 0)) if in_time else before)
        elif goes_on:
            self._end(before, entry, entry.at_ms, "moved" if entry.op == "move" else LOST)
        else:  # its end was never read
            self._end(before, entry, before.connected_ms or before.held_ms, LOST)

    def _end(self, going: Going, entry: LegEntry, until_ms: int, cause: str) -> None:
        self._finish(_freed(going, entry.id, entry.at_ms, until_ms, cause))

    def _resumed(self, before: Going | None) -> Going | None:
        """What was there before. One that was given up for lost is there after all."""
        if before is None or not before.waits:
            return before
        if before.cause == LOST:
            return _goes_on(before)
        self._finish(before)  # reclaimed; its adoption was never read
        return None

    def _first_heard_of(self, entry: LegEntry) -> Going:
        """A leg whose beginning was never read: its record says when that was."""
        seen = entry.seen
        return Going(
            entry.customer, entry.connection, entry.id, min(seen.admitted_ms, entry.at_ms), seen.connected_ms, seen
        )


def unheard_of(entries: Iterable[LegEntry], going: Container[Key]) -> Iterator[Leg]:
    """Legs that end, and of whose beginning neither these entries nor those before have told."""
    begun: set[Key] = set()
    for entry in entries:
        key = entry.customer, entry.connection
        if entry.op in BEGINS:
            begun.add(key)
        elif entry.op in ENDS and key not in begun and key not in going:
            yield (*key, entry.seen.admitted_ms)


def _goes_on(lost: Going) -> Going:
    return replace(lost, freed=None, freed_ms=None, until_ms=None, cause="")


def _freed(going: Going, freed: EntryId, freed_ms: int, until_ms: int, cause: str) -> Going:
    # A clock that went back must not make an end before its beginning.
    freed_ms = max(freed_ms, going.held_ms)
    connected_ms = going.connected_ms
    billed_ms = None if connected_ms is None else min(max(until_ms, connected_ms), max(freed_ms, connected_ms))
    return replace(going, freed=freed, freed_ms=freed_ms, until_ms=billed_ms, cause=cause)
