"""Claims: what a join takes from the store, all of it or nothing.

Policy compiles a join to claims; the kernel evaluates them in one step and knows no plan. Three kinds of check, in the order of reasons:

- `Count`: a *group* is a counter with an optional ceiling and commitment. Groups form chains from the connection outwards: a leg adds one to
  the first group of each chain, and to a group's `parent` only when the group went from 0 to 1, because only then did a new member appear
  one level up (`meeting -> host -> hosts`).
- `Require`: a group must be live.
- `Deny`: a denial that policy found by itself. It travels with the claims, behind the checks for known connections and for stale
  entitlements, so that a gateway with an old copy never denies from it.
"""

import msgspec

from gateway.domain.join import Service
from gateway.domain.reasons import Reason


class Count(msgspec.Struct, frozen=True):
    """A counter that the leg may take. `ceiling` refuses beyond it; `committed` only marks overage. None: no such bound."""

    group: str
    reason: Reason
    ceiling: int | None = None
    committed: int | None = None
    parent: str | None = None
    first: bool = True
    """Whether a chain begins here: counted for every leg. Otherwise counted when a child goes live."""

    @property
    def limit(self) -> str:
        """The name under which use of this group is reported."""
        return level_of(self.group)


class Require(msgspec.Struct, frozen=True):
    """The group must be live, else the join is denied for the reason."""

    group: str
    reason: Reason


class Deny(msgspec.Struct, frozen=True):
    """The join is denied for the reason."""

    reason: Reason


Check = Count | Require | Deny


class Binding(msgspec.Struct, frozen=True):
    """Facts fixed by the leg that makes a group live, until it empties: who owns the meeting, which department holds it.

    Claims are valid only for these facts. Where the group is live with others, the kernel answers with those, and policy compiles again; where
    `live` claims were compiled for facts of a group that has emptied since, it says that nothing is fixed any more.
    """

    group: str
    host: str | None = None
    department: str | None = None
    live: bool = False

    @property
    def value(self) -> str:
        """The facts as one text; ids contain no control characters, so it can be taken apart again."""
        return f"{self.host or ''}\x1f{self.department or ''}"

    @staticmethod
    def parse(value: str) -> tuple[str | None, str | None]:
        """Host and department from a value."""
        host, _, department = value.partition("\x1f")
        return host or None, department or None


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the kernel needs to decide a join, valid for one version of the entitlements and one day."""

    version: int
    day: int
    checks: tuple[Check, ...]
    binding: Binding
    licensed_by: str | None = None
    counted_in: tuple[str, ...] = ()
    shadow: bool = False
    """Let in what the checks would deny, and take nothing for it."""

    def __post_init__(self) -> None:
        groups = [check.group for check in self.checks if isinstance(check, Count)]
        assert len(groups) == len(set(groups)), f"a group occurs once in a join: {groups}"


def group_name(level: str, service: Service, member: str | None = None) -> str:
    """The name of a group: `level:service` or `level:service:member`; the member, which may hold colons, comes last."""
    return f"{level}:{service.value}" if member is None else f"{level}:{service.value}:{member}"


def level_of(group: str) -> str:
    """The level of a group, which is the name of its limit."""
    return group.partition(":")[0]


def member_of(group: str) -> str:
    """The member (a meeting, a host) that a group counts for; empty where it counts for the whole customer."""
    return group.split(":", 2)[2] if group.count(":") >= 2 else ""
