"""Recomputing the counters from the legs, which they are an index of.

First groups are counted from the legs; every parent is counted from its live children, with the parent that is kept with each child. What comes
out must be what is stored. What is remembered must fit it: sets have as many marks as they say, what runs or is pending belongs to a group that
is live, and ends with it. Up to `SCRIPT_LEGS_MAX` legs all is read at one moment; above, in pages, and a comparison counts only if nothing in
the bucket changed while it was read.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.kernel.kernel import Kernel
from gateway.kernel.leg_records import read_legs
from gateway.kernel.outcomes import Leg


SCRIPT_LEGS_MAX = 5_000
PAGED_ATTEMPTS = 5
PAGE_LEGS = 1_000

OF_LIVE_GROUPS = frozenset("><@%&?*^")
"""First characters of the fields that are kept with a group as long as it is live."""

BOUND_SEPARATOR, MEMBER_SEPARATOR = "\x1e", "\x1f"
SPELLS = "+~"


@dataclass(frozen=True, slots=True)
class Difference:
    """A field of the store that is not what the legs say."""

    field: str
    stored: str
    recomputed: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verification found. `conclusive` is False where the customer was too busy to compare its legs at one moment."""

    legs: int
    differences: tuple[Difference, ...] = ()
    conclusive: bool = True
    repaired: bool = False
    mark: bytes = field(default=b"", repr=False)


async def verify(
    kernel: Kernel, customer: str, *, repair: bool = False, legs_max: int = SCRIPT_LEGS_MAX
) -> Verification:
    """Compares a customer's counters with its legs; with `repair`, writes the recomputed counts where nothing has changed since."""
    dump = await kernel.dump(customer, legs_max)
    if dump[0] == b"TOO_MANY" or (dump[3] and not dump[6]):  # too many legs, or too much remembered, for one script
        found = await _verify_paged(kernel, customer)
    else:
        leases = {name.decode() for name, _ in _pairs(dump[4])} - {""}
        found = _compare(dump[1], _text(dump[2]), read_legs(_pairs(dump[3])), leases, _text(dump[6]))
    if not (repair and found.conclusive and found.differences):
        return found
    counts = {
        difference.field: int(difference.recomputed) for difference in found.differences if _is_count(difference.field)
    }
    repaired = bool(counts) and await kernel.repair(customer, found.mark, counts)
    return Verification(found.legs, found.differences, found.conclusive, repaired, found.mark)


async def _verify_paged(kernel: Kernel, customer: str) -> Verification:
    found = Verification(0, conclusive=False)
    for _ in range(PAGED_ATTEMPTS):
        before = await kernel.dump(customer, 0)
        legs: dict[str, Leg] = {}
        async for page in kernel.leg_pages(customer, PAGE_LEGS):
            legs.update({leg.connection: leg for leg in page})
        past = {name: value async for name, value in kernel.fields(customer, "past", "*", PAGE_LEGS)}
        after = await kernel.dump(customer, 0)
        if before[1] == after[1]:
            unleased = {name for name, leg in legs.items() if leg.expires_ms is None}
            return _compare(after[1], _text(after[2]), legs.values(), set(legs) - unleased, past)
        found = Verification(len(legs), conclusive=False)
    return found


def _compare(
    mark: bytes, fields: Mapping[str, str], legs: Iterable[Leg], leases: set[str], past: Mapping[str, str]
) -> Verification:
    legs = list(legs)
    expected = recount(legs, fields)
    stored = {name: value for name, value in fields.items() if _is_count(name)}
    differences = [
        Difference(name, stored.get(name, "0"), str(expected.get(name, 0)))
        for name in sorted(stored.keys() | expected.keys())
        if int(stored.get(name, "0")) != expected.get(name, 0)
    ]
    differences += _misplaced(fields, expected)
    differences += _misremembered(fields, expected, past)
    names = {leg.connection for leg in legs}
    differences += [
        Difference(f"lease of {name}", "present" if name in leases else "missing", "")
        for name in sorted(names ^ leases)
    ]
    return Verification(len(legs), tuple(differences), mark=mark)


def recount(legs: Iterable[Leg], fields: Mapping[str, str]) -> dict[str, int]:
    """Counts by group as the legs and the parents kept with their groups make them."""
    counts: Counter[str] = Counter()
    for leg in legs:
        counts["!shadow"] += bool(leg.would_deny)
        counts.update(leg.groups)
    level = [group for group in counts if not group.startswith("!")]
    while level:
        children: dict[str, set[str]] = defaultdict(set)
        for group in level:
            parent = fields.get(f">{group}")
            if parent:
                children[parent].add(group)
        for parent, members in children.items():
            counts[parent] += len(members)
        level = list(children)
    return {group: count for group, count in counts.items() if count}


def _is_count(name: str) -> bool:
    return name == "!shadow" or name[:1].isalpha()


def _misplaced(fields: Mapping[str, str], expected: Mapping[str, int]) -> list[Difference]:
    """What is kept with groups that are not live."""
    return [
        Difference(name, value, "")
        for name, value in fields.items()
        if name[:1] in OF_LIVE_GROUPS and not expected.get(name[1:])
    ]


def _misremembered(
    fields: Mapping[str, str], expected: Mapping[str, int], past: Mapping[str, str]
) -> Iterator[Difference]:
    """Sizes of sets that are not the number of their marks; what would never end, or ends and is not there."""
    sizes = Counter([f"+{name[1:].partition(MEMBER_SEPARATOR)[0]}" for name in past if name.startswith("=")])
    sizes[SPELLS] = sum(name.startswith("~") for name in past)
    for name in sorted(sizes.keys() | {name for name in past if name.startswith("+")}):
        if int(past.get(name, "0")) != sizes[name]:
            yield Difference(name, past.get(name, "0"), str(sizes[name]))
    ends: set[str] = set()
    for group, names in fields.items():
        if group.startswith("*") and expected.get(group[1:]):
            ends.update(names.split(BOUND_SEPARATOR))
    for name, value in past.items():
        pending = name.startswith("=") and value.endswith(" 0")
        running = name.startswith("@") and value.split(" ", 2)[1] != "0"
        if (pending and name not in ends) or (running and not (name in ends and expected.get(name[1:]))):
            yield Difference(name, value, "")
    # Marks of a subscription that is held no more are forgotten as a whole set; the group that would have ended one does not know.
    for name in sorted(ends - past.keys()):
        if name.startswith("@") or f"+{name[1:].partition(MEMBER_SEPARATOR)[0]}" in past:
            yield Difference(name, "", "kept")


def _pairs(flat: list[Any]) -> list[tuple[bytes, bytes]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def _text(flat: list[Any]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in _pairs(flat)}
