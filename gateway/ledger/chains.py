"""Which stretches are one leg."""

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable

from gateway.domain.billing.entry import EntryId
from gateway.domain.billing.stretch import Stretch
from gateway.ledger.stretches import RECLAIMED


FORGOTTEN = frozenset({"", "~"})
"""What stands in place of connections that are not to be known any more (T21.2, T21.4)."""


def predecessors(stretches: Collection[Stretch]) -> dict[EntryId, Stretch]:
    """By the entry with which a billed stretch began, the one that it goes on with: the leg moved, or was adopted again without a gap.

    A move ends one stretch and begins the next with the same entry. One that was reclaimed is found by its connection; where that was
    forgotten, by its meeting and people, which go on as the same pseudonyms: of legs that agree in these the first is taken.
    """
    billed = [each for each in stretches if each.connected_ms is not None and each.until_ms is not None]
    by_entry = {each.freed: each for each in billed if each.freed is not None}
    by_end: dict[tuple[Hashable, int | None], list[Stretch]] = defaultdict(list)
    for each in billed:
        if each.cause in RECLAIMED and each.until_ms is not None and each.until_ms >= (each.freed_ms or 0):
            by_end[_identity(each), each.until_ms].append(each)
    found: dict[EntryId, Stretch] = {}
    for each in sorted(stretches, key=lambda each: each.began):
        if each.connected_ms is None:
            continue
        before = by_entry.get(each.began)
        if before is None or before.until_ms != each.connected_ms:
            waiting = by_end.get((_identity(each), each.connected_ms), [])
            before = next((one for one in waiting if one.began < each.began), None)
            if before is not None:
                waiting.remove(before)
        if before is not None:
            found[each.began] = before
    return found


def _identity(stretch: Stretch) -> Hashable:
    if stretch.connection in FORGOTTEN:
        return stretch.meeting, stretch.host, stretch.person
    return stretch.connection


def whole_legs(stretches: Iterable[Stretch]) -> list[list[Stretch]]:
    """Billed stretches, those of one leg together and in their order."""
    ordered = sorted([each for each in stretches if each.connected_ms is not None], key=lambda each: each.began)
    before = predecessors(ordered)
    chains: dict[EntryId, list[Stretch]] = {}
    for each in ordered:
        chain = chains.get(before[each.began].began) if each.began in before else None
        if chain is None:
            chain = []
        chain.append(each)
        chains[each.began] = chain
    return list({id(chain): chain for chain in chains.values()}.values())
