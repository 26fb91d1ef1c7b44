"""Whether entries follow each other: nothing lost, nothing twice, and what is missing has a name."""

import msgspec

from gateway.domain.billing.entry import EntryId
from gateway.ledger.entries import Entry, EpochBegan, Other


class Position(msgspec.Struct, frozen=True):
    """How far a bucket was read, and the instant of the last entry."""

    id: EntryId
    at_ms: int
    before: EntryId | None = None
    """The last entry of the epoch before of which anything is known; None: nobody remembers."""

    @classmethod
    def of(cls, epoch: int, number: int, at_ms: int) -> "Position":
        """As it is stored."""
        return cls(EntryId(epoch, number), at_ms)


class Gap(msgspec.Struct, frozen=True):
    """Entries that were never read: `first` to `last` of an epoch; None: nobody knows how many. They happened between two instants."""

    epoch: int
    first: int
    last: int | None
    from_ms: int | None
    until_ms: int
    cause: str


TRIMMED = "not in the outbox any more"
LOST = "told to gateways, and lost with the store"
UNKNOWN = "whatever happened before the store began anew"
UNREADABLE = "unreadable"


def following(position: Position | None, entry: Entry) -> Position:
    """How far the bucket is read with this entry."""
    before = position.before if position else None
    if position is not None and position.id.epoch < entry.id.epoch:
        before = position.id
    if isinstance(entry, EpochBegan) and before is not None:
        before = max([before, *[each for each in (entry.told, entry.prior) if each and each.epoch == before.epoch]])
    return Position(entry.id, entry.at_ms, before)


def gaps_before(position: Position | None, entry: Entry) -> list[Gap]:
    """What is missing between the last entry that was read and this one, and this one where it cannot be read."""
    unreadable = isinstance(entry, Other) and entry.op == UNREADABLE
    lost = [_gap(*entry.id, entry.id.number, position, entry, UNREADABLE)] if unreadable else []
    return [*_missing(position, entry), *lost]


def _missing(position: Position | None, entry: Entry) -> list[Gap]:
    if position is None:
        return _before_all(entry)
    last = position.id
    if entry.id.epoch == last.epoch:
        missing = entry.id.number > last.number + 1
        trimmed = [_gap(last.epoch, last.number + 1, entry.id.number - 1, position, entry, TRIMMED)] if missing else []
        return [*trimmed, *_found_later(position, entry)]
    if entry.id.number or not isinstance(entry, EpochBegan):
        unread = _gap(last.epoch, last.number + 1, None, position, entry, TRIMMED)
        return [unread, *_first_of_epoch(position, entry)]
    return _between_epochs(position, entry)


def _found_later(position: Position, entry: Entry) -> list[Gap]:
    """Another gateway was told more of the epoch before than the one that began this one."""
    known = position.before
    if (
        not isinstance(entry, EpochBegan)
        or known is None
        or not (known < entry.told and known.epoch == entry.told.epoch)
    ):
        return []
    return [_gap(known.epoch, known.number + 1, entry.told.number, position, entry, LOST)]


def _before_all(entry: Entry) -> list[Gap]:
    if isinstance(entry, EpochBegan) and entry.prior is not None and not entry.id.number:
        return [_gap(entry.prior.epoch, 0, entry.prior.number, None, entry, TRIMMED)]
    return _first_of_epoch(None, entry)


def _first_of_epoch(position: Position | None, entry: Entry) -> list[Gap]:
    epoch, number = entry.id
    return [_gap(epoch, 0, number - 1, position, entry, TRIMMED)] if number else []


def _between_epochs(position: Position, began: EpochBegan) -> list[Gap]:
    last, prior, told = position.id, began.prior, began.told
    if prior is not None and prior.epoch > last.epoch:
        return [_gap(last.epoch, last.number + 1, None, position, began, TRIMMED)]
    stored = prior.number if prior is not None and prior.epoch == last.epoch else -1
    acknowledged = told.number if told.epoch == last.epoch else -1
    known = max(stored, last.number)
    gaps = []
    if stored > last.number:
        gaps.append(_gap(last.epoch, last.number + 1, stored, position, began, TRIMMED))
    if acknowledged > known:
        gaps.append(_gap(last.epoch, known + 1, acknowledged, position, began, LOST))
    # Who began the epoch knows nothing of the one that was read, and the store lacks a part of that: nobody knows how much more there was.
    if told.epoch > last.epoch or (told.epoch < last.epoch and stored < last.number):
        gaps.append(_gap(last.epoch, known + 1, None, position, began, UNKNOWN))
    return gaps


def _gap(epoch: int, first: int, last: int | None, position: Position | None, entry: Entry, cause: str) -> Gap:
    return Gap(epoch, first, last, position.at_ms if position else None, entry.at_ms, cause)
