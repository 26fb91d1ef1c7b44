"""What is missing between two entries has a name: every case."""

import pytest

from gateway.domain.billing.entry import EntryId
from gateway.ledger.continuity import LOST, TRIMMED, UNKNOWN, Gap, Position, gaps_before
from gateway.ledger.entries import Entry, EpochBegan, Other


E1, E2, E3 = 1_000, 2_000, 3_000
READ = Position.of(E2, 100, 2_500)
"""How far the bucket was read."""
AT = 9_000
"""The instant of the entry that follows."""


def entry(epoch: int, number: int) -> Entry:
    """An ordinary one."""
    return Other(EntryId(epoch, number), AT, "roll")


def began(
    epoch: int, *, prior: tuple[int, int] | None, told: tuple[int, int] = (0, 0), number: int = 0, lost: bool = False
) -> Entry:
    """The first of an epoch: what the store has of the one before, and what the gateway that began it was told."""
    return EpochBegan(EntryId(epoch, number), AT, EntryId(*prior) if prior else None, EntryId(*told), lost)


def gap(epoch: int, first: int, last: int | None, cause: str, from_ms: int | None = READ.at_ms) -> Gap:
    """Until the entry that follows."""
    return Gap(epoch, first, last, from_ms, AT, cause)


FIRST = [
    (entry(E1, 0), []),
    (entry(E1, 5), [gap(E1, 0, 4, TRIMMED, None)]),
    (began(E1, prior=None), []),
    (began(E2, prior=(E1, 70)), [gap(E1, 0, 70, TRIMMED, None)]),
    (began(E2, prior=(E1, 70), number=5), [gap(E2, 0, 4, TRIMMED, None)]),
]


@pytest.mark.parametrize(("first", "expected"), FIRST)
def test_what_was_before_the_first_entry_that_is_read_is_missing(first: Entry, expected: list[Gap]) -> None:
    """A store whose outboxes nobody read until now has a history that is not here."""
    assert gaps_before(None, first) == expected


SAME_EPOCH = [
    (entry(E2, 101), []),
    (entry(E2, 102), [gap(E2, 101, 101, TRIMMED)]),
    (entry(E2, 201), [gap(E2, 101, 200, TRIMMED)]),
    (began(E2, prior=(E1, 70), number=101), []),
    (began(E2, prior=(E1, 70), number=111), [gap(E2, 101, 110, TRIMMED)]),
]


@pytest.mark.parametrize(("following", "expected"), SAME_EPOCH)
def test_numbers_of_an_epoch_have_no_gaps(following: Entry, expected: list[Gap]) -> None:
    """What lies between two numbers was cut off unread."""
    assert gaps_before(READ, following) == expected


NEXT_EPOCH = [
    # Everything is there: the store was only started again.
    (began(E3, prior=(E2, 100)), []),
    (began(E3, prior=(E2, 100), told=(E2, 100)), []),
    (began(E3, prior=(E2, 100), told=(E2, 90)), []),
    (began(E3, prior=(E2, 100), told=(E1, 700)), []),
    # The end of the epoch was cut off unread.
    (began(E3, prior=(E2, 120), told=(E2, 120)), [gap(E2, 101, 120, TRIMMED)]),
    # Gateways were told of more than the store has; this ledger has read less, as much or more than that.
    (began(E3, prior=(E2, 100), told=(E2, 130), lost=True), [gap(E2, 101, 130, LOST)]),
    (began(E3, prior=(E2, 90), told=(E2, 130), lost=True), [gap(E2, 101, 130, LOST)]),
    (began(E3, prior=(E2, 90), told=(E2, 100), lost=True), []),
    (began(E3, prior=None, told=(E2, 95), lost=True), []),
    (began(E3, prior=None, told=(E2, 130), lost=True), [gap(E2, 101, 130, LOST)]),
    (began(E3, prior=(E2, 120), told=(E2, 130), lost=True), [gap(E2, 101, 120, TRIMMED), gap(E2, 121, 130, LOST)]),
    # The store was set back to an older epoch.
    (began(E3, prior=(E1, 70), told=(E2, 130), lost=True), [gap(E2, 101, 130, LOST)]),
    # The store lacks what was read from it, and whoever began the epoch has never heard of it.
    (began(E3, prior=None), [gap(E2, 101, None, UNKNOWN)]),
    (began(E3, prior=(E2, 90)), [gap(E2, 101, None, UNKNOWN)]),
    (began(E3, prior=(E1, 70), told=(E1, 70)), [gap(E2, 101, None, UNKNOWN)]),
]


@pytest.mark.parametrize(("following", "expected"), NEXT_EPOCH)
def test_the_first_entry_of_an_epoch_says_what_is_left_of_the_one_before(following: Entry, expected: list[Gap]) -> None:
    """What was cut off, what was lost, and where nobody knows."""
    assert gaps_before(READ, following) == expected


EPOCH_BETWEEN = [
    # A whole epoch lies between, in the store or in what a gateway knows.
    (began(4_000, prior=(E3, 7), told=(E3, 7)), [gap(E2, 101, None, TRIMMED)]),
    (began(4_000, prior=None, told=(E3, 7), lost=True), [gap(E2, 101, None, UNKNOWN)]),
    (began(4_000, prior=(E2, 100), told=(E3, 7), lost=True), [gap(E2, 101, None, UNKNOWN)]),
    (
        began(4_000, prior=(E2, 120), told=(E3, 7), lost=True),
        [gap(E2, 101, 120, TRIMMED), gap(E2, 121, None, UNKNOWN)],
    ),
    # The first entries of the epoch are not there either.
    (entry(E3, 5), [gap(E2, 101, None, TRIMMED), gap(E3, 0, 4, TRIMMED)]),
    (began(E3, prior=(E2, 100), number=5), [gap(E2, 101, None, TRIMMED), gap(E3, 0, 4, TRIMMED)]),
    # The first entry is there, and cannot be read.
    (entry(E3, 0), [gap(E2, 101, None, TRIMMED)]),
]


@pytest.mark.parametrize(("following", "expected"), EPOCH_BETWEEN)
def test_where_an_epoch_is_missing_nobody_knows_how_many_entries_are(following: Entry, expected: list[Gap]) -> None:
    """Such a gap has no last number, and still two instants."""
    assert gaps_before(READ, following) == expected


@pytest.mark.parametrize("following", [each for each, _ in (*SAME_EPOCH, *NEXT_EPOCH, *EPOCH_BETWEEN)])
def test_gaps_before_an_entry_begin_at_numbers_of_their_own(following: Entry) -> None:
    """They are kept by epoch and first number, and none is empty."""
    gaps = gaps_before(READ, following)
    assert len({(each.epoch, each.first) for each in gaps}) == len(gaps)
    assert [each for each in gaps if each.last is not None and each.last < each.first] == []
