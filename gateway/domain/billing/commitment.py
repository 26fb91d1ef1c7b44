"""What a customer was committed to, at any instant of its past (T1.4, T1.5, T4.3, T8.2).

A commitment changes where a version of the entitlements is installed, and at the midnights at which a term begins or has ended. Where a pool
has a commitment no more, the last one is held for the legs that stayed (T1.4): such a time is a span with `ended_ms`. Before its first
commitment a pool has no spans, and nothing is billed in it.
"""

import bisect
import datetime as dt
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from gateway.domain.billing.entry import EntryId
from gateway.domain.catalogue import Customer
from gateway.domain.contract import METERED_POOLS, REPORTED_POOLS, commitments
from gateway.domain.customer import EndsOnNotice
from gateway.domain.days import day, day_at


LAST_ORDINAL = dt.date.max.toordinal() - 1
"""The last day that has an end; a term that lasts longer ends never."""


class Version(NamedTuple):
    """Entitlements as they were installed: the instant (ms), what the customer held from then on (None: removed), the entry that tells it."""

    since_ms: int
    customer: Customer | None
    entry: EntryId


class Install(NamedTuple):
    """What a version means for one pool.

    `terms` holds the days (ordinals, ascending) from which on the pool has another commitment under this version; None: it has none.
    """

    at_ms: int
    entry: EntryId
    terms: tuple[tuple[int, int | None], ...]

    def on(self, ordinal: int) -> int | None:
        """The commitment on a day, as long as the version is in force."""
        at = bisect.bisect_right(self.terms, ordinal, key=lambda term: term[0])
        return self.terms[at - 1][1] if at else None


class Span(NamedTuple):
    """A time in which one commitment holds: [from_ms, until_ms); until_ms None: on and on.

    `ended_ms` is None while it is in force. Otherwise the pool has had no commitment since then, and this, the last one, is held for the
    legs that were there (T1.4); a leg that joined later does not count in the pool.
    """

    from_ms: int
    until_ms: int | None
    committed: int
    ended_ms: int | None


class CommitmentTimeline:
    """The commitment of one pool from its first version on; `timelines` makes it. `installs`: all versions, in the order of their entries.

    Where the clock was set back between two of them, the later one holds from the instant of the earlier one on.
    """

    def __init__(self, installs: Iterable[Install]) -> None:
        self.installs = tuple(sorted(installs, key=lambda each: each.entry))
        self.spans = tuple(_spans(_changes(self.installs)))

    def at(self, ms: int) -> Span | None:
        """The span that contains an instant; None: the pool has had no commitment yet."""
        index = bisect.bisect_right(self.spans, ms, key=lambda span: span.from_ms)
        return self.spans[index - 1] if index else None

    def between(self, from_ms: int, until_ms: int) -> Iterator[Span]:
        """The spans that overlap [from_ms, until_ms), cut to it, in order; none where that is empty."""
        if until_ms <= from_ms:
            return
        index = bisect.bisect_right(self.spans, from_ms, key=lambda span: span.from_ms)
        for span in self.spans[max(index - 1, 0) :]:
            if span.from_ms >= until_ms:
                break
            end_ms = until_ms if span.until_ms is None else min(span.until_ms, until_ms)
            yield span._replace(from_ms=max(span.from_ms, from_ms), until_ms=end_ms)


def timelines(versions: Iterable[Version]) -> dict[str, CommitmentTimeline]:
    """The timeline of each metered pool, by the name under which reports show it.

    `versions` are all versions of the customer from the first one on, in any order: the last commitment of a pool may stand in a version that
    was replaced long ago (T1.4). They may end early, at the last day that is asked for.
    """
    held = [(version, _commitments(version)) for version in versions]
    return {
        pool: CommitmentTimeline(
            Install(version.since_ms, version.entry, _terms(days, REPORTED_POOLS[pool])) for version, days in held
        )
        for pool in METERED_POOLS
    }


def _commitments(version: Version) -> list[tuple[int, dict[str, int]]]:
    """Commitments by group from each day on which they can change: when it was installed, and where a subscription begins or has ended."""
    first = day_at(version.since_ms).ordinal
    ordinals = {first}
    for held in version.customer.subscriptions if version.customer else ():
        ordinals |= {held.term.first.toordinal(), held.term.last.toordinal() + 1}
        if isinstance(held, EndsOnNotice) and held.ends_on is not None:
            ordinals.add(held.ends_on.toordinal() + 1)
    found = sorted(ordinal for ordinal in ordinals if first <= ordinal <= LAST_ORDINAL)
    return [(ordinal, commitments(version.customer, ordinal)) for ordinal in found]


def _terms(days: Sequence[tuple[int, dict[str, int]]], group: str) -> tuple[tuple[int, int | None], ...]:
    return tuple((ordinal, committed.get(group)) for ordinal, committed in days)


def _changes(installs: Sequence[Install]) -> Iterator[tuple[int, int | None]]:
    """Instants at which the commitment may change, in order, with what it is from then on."""
    since = itertools.accumulate([install.at_ms for install in installs], max)
    for install, (since_ms, until_ms) in zip(installs, itertools.pairwise([*since, None]), strict=True):
        assert since_ms is not None, "only the last one is open"
        if until_ms == since_ms:
            continue  # replaced before any time had passed
        yield since_ms, install.on(day_at(since_ms).ordinal)
        for ordinal, committed in install.terms:
            midnight_ms = day(ordinal).start_ms
            if midnight_ms > since_ms and (until_ms is None or midnight_ms < until_ms):
                yield midnight_ms, committed


def _spans(changes: Iterable[tuple[int, int | None]]) -> Iterator[Span]:
    open_span: Span | None = None
    for at_ms, committed in changes:
        if committed is not None:
            following = Span(at_ms, None, committed, None)
        elif open_span is None or open_span.ended_ms is not None:
            continue
        else:
            following = Span(at_ms, None, open_span.committed, at_ms)
        if open_span is not None:
            if open_span[2:] == following[2:]:
                continue
            yield open_span._replace(until_ms=at_ms)
        open_span = following
    if open_span is not None:
        yield open_span
