"""Claims: what a join takes from the store, all of it or nothing.

Policy compiles a join to claims; the kernel evaluates them in one step and knows no plan. The checks, in the order of reasons:

- `Count`: a *group* is a counter with an optional ceiling and commitment. Groups form chains from the connection outwards: a leg adds one to
  the first group of each chain, and to a group's `parent` only when the group went from 0 to 1, because only then did a new member appear
  one level up (`meeting -> host -> hosts`).
- `Attend`: a group that is watched beside another one, and `Require`: that somebody has been in it.
- `Mark`: a member of a named set, remembered after the legs have gone (an event that was used). Pending until the first connected leg of its
  group; given back if the group empties while it is pending.
- `Age`: how long a group has been live, summed over its openings, against a duration.
- `Before`: an instant from which on the join is denied.
- `Deny`: a denial that policy found by itself. It travels with the claims, behind the checks for known connections and for stale
  entitlements, so that a gateway with an old copy never denies from it.

Where more than one subscription could license a meeting that is not live yet, claims hold *alternatives*: the next one is tried where the one
before fails at what only a meeting that goes live needs, a parent or a mark (T12.2).
"""

from typing import Literal

import msgspec

from gateway.domain.join import Service
from gateway.domain.reasons import Reason


class Count(msgspec.Struct, frozen=True, gc=False):
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


class Attend(msgspec.Struct, frozen=True, gc=False):
    """A group that should not be empty as long as `attends` is live (T4.4). Counted, and never refused.

    Where it is empty all the same, that is remembered with its first and last instant.
    """

    group: str
    attends: str
    watched: bool
    """Whether it is remembered where it is empty."""


class Require(msgspec.Struct, frozen=True, gc=False):
    """Somebody has attended the group since it is live, else the join is denied for the reason (T4.4)."""

    group: str
    reason: Reason


class Mark(msgspec.Struct, frozen=True, gc=False):
    """A member of a set that is remembered. `ceiling` is the size past which it is refused; None: only remembered."""

    set: str
    member: str
    group: str
    """The group whose first connected leg makes the mark final."""
    reason: Reason
    ceiling: int | None = None


class Age(msgspec.Struct, frozen=True, gc=False):
    """How long a group has been live; remembered after it has emptied, with its greatest count. `limit_ms` None: only remembered."""

    group: str
    reason: Reason
    limit_ms: int | None = None


class Before(msgspec.Struct, frozen=True, gc=False):
    """The join is denied from an instant on; a leg that is in the group already is not."""

    instant_ms: int
    group: str
    reason: Reason


class Deny(msgspec.Struct, frozen=True, gc=False):
    """The join is denied for the reason."""

    reason: Reason


Check = Count | Attend | Require | Mark | Age | Before | Deny


class Facts(msgspec.Struct, frozen=True, gc=False):
    """What is fixed while a meeting is live.

    By the leg that makes it live: its owner, its department and, of an event, its licence. By the first leg that says so: since when it streams
    (T1.3).

    Claims are valid only for these facts. Where the meeting is live with others, the kernel answers with those, and policy compiles again.
    """

    host: str | None = None
    department: str | None = None
    licence: str | None = None
    streaming_since_ms: int | None = None
    streams_now: bool = False
    """Begins to stream with this leg; the kernel puts the instant."""

    @property
    def value(self) -> str:
        """The facts as one text; ids contain no control characters, so it can be taken apart again."""
        since = "now" if self.streams_now else (self.streaming_since_ms or "")
        return f"{self.host or ''}\x1f{self.department or ''}\x1f{self.licence or ''}\x1f{since}"

    @staticmethod
    def parse(value: str) -> "Facts":
        """From the text that the store keeps."""
        host, department, licence, since = value.split("\x1f")
        return Facts(host or None, department or None, licence or None, int(since) if since else None)


class Alternative(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which the join may be licensed. `facts` hold from then on, if the leg takes the group that they are bound to."""

    checks: tuple[Check, ...]
    facts: Facts
    licensed_by: str | None = None
    counted_in: tuple[str, ...] = ()


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the kernel needs to decide a join, valid for one version of the entitlements, one day, and the facts of the meeting."""

    version: int
    day: int
    alternatives: tuple[Alternative, ...]
    bind_group: str
    """The group that keeps the facts of the meeting."""
    live_facts: Facts | None = None
    """The facts that the claims were compiled for; None: for a meeting that is not live."""
    person_group: str | None = None
    """Counts the legs of who joins in this meeting, for customers that have ever had a telephone leg (T1.2)."""
    audio: Literal["no", "alone", "yes"] = "no"
    """Whether the leg is audio-only: never, as long as it is alone in `person_group`, always (T1.2)."""
    shadow: bool = False
    """Let in what the checks would deny, and take nothing for it."""


def group_name(level: str, service: Service, member: str | None = None) -> str:
    """The name of a group: `level:service` or `level:service:member`; the member, which may hold colons, comes last."""
    return f"{level}:{service}" if member is None else f"{level}:{service}:{member}"


def level_of(group: str) -> str:
    """The level of a group, which is the name of its limit."""
    return group.partition(":")[0]


def member_of(group: str) -> str:
    """The member (a meeting, a host) that a group counts for; empty where it counts for the whole customer."""
    return group.split(":", 2)[2] if group.count(":") >= 2 else ""
