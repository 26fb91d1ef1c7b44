"""What is remembered of a customer after its legs have gone: marks, ages, spells. `lua/include/remember.lua` writes it."""

from collections import defaultdict
from collections.abc import Callable

from gateway.kernel.kernel import Kernel
from gateway.kernel.outcomes import Age, Mark, Past, Spell


SPELLS = "+~"
"""The field that counts spells."""

PAGE_FIELDS = 1_000
DROPPED_AT_ONCE = 500


async def read_past(kernel: Kernel, customer: str) -> Past:
    """Everything that is remembered of a customer, with the spells that still last."""
    marks: dict[str, dict[str, Mark]] = defaultdict(dict)
    ages: dict[str, Age] = {}
    spells: dict[tuple[str, int], Spell] = {}
    async for name, value in kernel.fields(customer, "past", "*", PAGE_FIELDS):
        match name[0]:
            case "=":
                of, _, member = name[1:].partition("\x1f")
                made, connected = value.split(" ")
                marks[of][member] = Mark(member, int(made), int(connected) or None)
            case "@":
                ages[name] = _age(name[1:], value)
            case "~":
                since, _, group = name[1:].partition(" ")
                spells[group, int(since)] = Spell(group, int(since), int(value))
    async for name, value in kernel.fields(customer, "groups", "[?]*", PAGE_FIELDS):
        if value:
            spells[name[1:], int(value)] = Spell(name[1:], int(value), None)
    return Past(
        marks={of: tuple(sorted(made.values(), key=lambda mark: mark.made_ms)) for of, made in marks.items()},
        ages=tuple(sorted(ages.values(), key=lambda age: age.first_ms)),
        spells=tuple(sorted(spells.values(), key=lambda spell: spell.since_ms)),
    )


async def drop_past(
    kernel: Kernel,
    customer: str,
    *,
    is_over: Callable[[str], bool],
    licence_is_over: Callable[[str], bool],
    spells_before_ms: int,
) -> int:
    """Drops the marks of sets that are over, ages under licences that are, and old spells; how many fields.

    Only what nothing writes to any more may be over: counts of sets go as a whole, and a group that is live keeps its age.
    """
    fields: list[str] = []
    spells: list[str] = []
    async for name, value in kernel.fields(customer, "past", "*", PAGE_FIELDS):
        match name[0]:
            case "=" | "+" if name != SPELLS and is_over(name[1:].partition("\x1f")[0]):
                fields.append(name)
            case "@" if (age := _age(name[1:], value)).since_ms is None and licence_is_over(age.licensed_by):
                fields.append(name)
            case "~" if int(value) < spells_before_ms:
                spells.append(name)
    for at in range(0, len(fields), DROPPED_AT_ONCE):
        await kernel.drop_past(customer, fields[at : at + DROPPED_AT_ONCE])
    for at in range(0, len(spells), DROPPED_AT_ONCE):
        # Others may forget at the same time: only what this call has dropped is taken from the count.
        await kernel.drop_past(customer, spells[at : at + DROPPED_AT_ONCE], counted_in=SPELLS)
    return len(fields) + len(spells)


def _age(group: str, value: str) -> Age:
    first, since, summed, peak, peak_at, joined, licensed_by = value.split(" ", 6)
    return Age(group, int(first), int(since) or None, int(summed), int(peak), int(peak_at), int(joined), licensed_by)
