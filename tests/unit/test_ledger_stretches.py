"""From entries to stretches: every operation alone, and random histories of legs against what their lives say."""

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_histories import EPOCH, START, Entries, Row, histories

from gateway.domain.billing.entry import EntryId
from gateway.domain.billing.stretch import READOPTION_MS
from gateway.ledger.entries import LegEntry
from gateway.ledger.stretches import Going, Key, Stretches
from gateway.ledger.writer import _Batch


@pytest.fixture
def entry() -> Entries:
    """Makes entries."""
    return Entries()


def row(going: Going) -> Row:
    """What is compared of a stretch."""
    return (
        going.connection, going.began.number, going.held_ms, going.freed_ms, going.connected_ms, going.until_ms, going.cause,
    )  # fmt: skip


def after(*entries: LegEntry) -> tuple[list[Row], list[Row]]:
    """What is over, and what goes on or waits, after these entries."""
    stretches = Stretches({})
    for each in entries:
        stretches.apply(each)
    return [row(each) for each in stretches.over], [row(each) for each in stretches.going.values()]


def test_an_admit_begins_a_stretch_that_is_not_billed_yet(entry: Entries) -> None:
    """A leg that was let in holds a seat from its admit on and is connected from its confirm on."""
    assert after(entry("admit", START, START)) == ([], [("leg", 0, START, None, None, None, "")])


def test_a_join_that_is_connected_at_once_is_billed_from_its_admit_on(entry: Entries) -> None:
    """The record of an admit may say that the leg is connected."""
    assert after(entry("admit", START, START, START)) == ([], [("leg", 0, START, None, START, None, "")])


def test_a_leg_is_billed_from_confirm_to_release(entry: Entries) -> None:
    """A release ends seat and bill at the same instant, with its cause."""
    over, going = after(
        entry("admit", START, START),
        entry("confirm", START + 10, START, START + 10),
        entry("release", START + 500, START, START + 10, cause="released"),
    )
    assert over == [("leg", 0, START, START + 500, START + 10, START + 500, "released")]
    assert going == []


def test_a_leg_that_was_never_confirmed_is_not_billed(entry: Entries) -> None:
    """It held a seat, and that is all."""
    over, _ = after(entry("admit", START, START), entry("release", START + 500, START, cause="unanswered"))
    assert over == [("leg", 0, START, START + 500, None, None, "unanswered")]


def test_a_move_ends_a_stretch_and_begins_another_at_the_same_instant(entry: Entries) -> None:
    """What moved is billed without a gap and without an overlap."""
    over, going = after(
        entry("admit", START, START, START),
        entry("move", START + 100, START, START),
        entry("move", START + 100, START, START),
        entry("release", START + 300, START, START, cause="released"),
    )
    assert over == [
        ("leg", 0, START, START + 100, START, START + 100, "moved"),
        ("leg", 1, START + 100, START + 100, START + 100, START + 100, "moved"),
        ("leg", 2, START + 100, START + 300, START + 100, START + 300, "released"),
    ]
    assert going == []


def test_a_leg_that_moved_before_it_was_connected_is_billed_from_its_confirm_on(entry: Entries) -> None:
    """The stretch before the move is not billed, the one after it from the confirm on."""
    over, going = after(
        entry("admit", START, START),
        entry("move", START + 100, START),
        entry("confirm", START + 150, START, START + 150),
    )
    assert over == [("leg", 0, START, START + 100, None, None, "moved")]
    assert going == [("leg", 1, START + 100, None, START + 150, None, "")]


def test_a_second_confirm_changes_nothing_of_the_bill(entry: Entries) -> None:
    """Connected is when it was first connected."""
    _, going = after(
        entry("admit", START, START),
        entry("confirm", START + 10, START, START + 10),
        entry("confirm", START + 90, START, START + 90),
    )
    assert going == [("leg", 0, START, None, START + 10, None, "")]


def test_a_reclaimed_leg_is_billed_to_its_last_sign_of_life_and_waits(entry: Entries) -> None:
    """It has given up its seat when it was reclaimed; it may be adopted again."""
    over, going = after(
        entry("admit", START, START, START),
        entry("reclaim", START + 900, START, START, cause="lapsed", alive_ms=START + 600),
    )
    assert over == []
    assert going == [("leg", 0, START, START + 900, START, START + 600, "lapsed")]


def test_no_sign_of_life_counts_before_the_leg_was_connected(entry: Entries) -> None:
    """A leg that was last heard of before its confirm is billed nothing, and never less."""
    _, going = after(
        entry("admit", START, START),
        entry("confirm", START + 700, START, START + 700),
        entry("reclaim", START + 900, START, START + 700, cause="lapsed", alive_ms=START + 600),
    )
    assert going == [("leg", 0, START, START + 900, START + 700, START + 700, "lapsed")]


def test_a_clock_that_goes_back_makes_no_end_before_its_beginning(entry: Entries) -> None:
    """A stretch has no length then."""
    over, _ = after(entry("admit", START, START, START), entry("release", START - 50, START, START, cause="released"))
    assert over == [("leg", 0, START, START, START, START, "released")]


READOPTED = [("lapsed", READOPTION_MS - 1, True), ("lapsed", READOPTION_MS, False), ("departed", 1, True)]


@pytest.mark.parametrize(("cause", "later_ms", "in_time"), READOPTED)
def test_a_leg_adopted_again_within_two_hours_is_billed_without_a_gap(
    entry: Entries, cause: str, later_ms: int, in_time: bool
) -> None:
    """Within 2 h of its reclaim it was there all the time; after that it is another leg, whenever the entries are read."""
    reclaimed_ms = START + 900
    at_ms = reclaimed_ms + later_ms
    over, going = after(
        entry("admit", START, START, START),
        entry("reclaim", reclaimed_ms, START, START, cause=cause, alive_ms=START + 600),
        entry("adopt", at_ms, at_ms, at_ms),
    )
    assert over == [("leg", 0, START, reclaimed_ms, START, at_ms if in_time else START + 600, cause)]
    assert going == [("leg", 2, at_ms, None, at_ms, None, "")]


def test_a_leg_that_is_only_waiting_when_it_is_adopted_bridges_nothing(entry: Entries) -> None:
    """An adoption of a leg that is not connected does not say that it was there all the time."""
    at_ms = START + 1_000
    over, going = after(
        entry("admit", START, START, START),
        entry("reclaim", START + 900, START, START, cause="lapsed", alive_ms=START + 600),
        entry("adopt", at_ms, at_ms),
    )
    assert over == [("leg", 0, START, START + 900, START, START + 600, "lapsed")]
    assert going == [("leg", 2, at_ms, None, None, None, "")]


def test_an_adoption_bills_nothing_before_it_of_a_leg_that_was_not_connected(entry: Entries) -> None:
    """What was never confirmed stays unbilled."""
    at_ms = START + 1_000
    over, _ = after(
        entry("admit", START, START),
        entry("reclaim", START + 900, START, cause="unanswered", alive_ms=START),
        entry("adopt", at_ms, at_ms, at_ms),
    )
    assert over == [("leg", 0, START, START + 900, None, None, "unanswered")]


def test_a_connection_that_is_admitted_again_leaves_what_was_reclaimed_as_it_was(entry: Entries) -> None:
    """A new join is no adoption."""
    over, going = after(
        entry("admit", START, START, START),
        entry("reclaim", START + 900, START, START, cause="lapsed", alive_ms=START + 600),
        entry("admit", START + 950, START + 950),
    )
    assert over == [("leg", 0, START, START + 900, START, START + 600, "lapsed")]
    assert going == [("leg", 2, START + 950, None, None, None, "")]


def test_a_leg_that_the_store_lost_goes_on_with_its_adoption(entry: Entries) -> None:
    """No entry ends it: the adoption after the loss does, and bills it until then."""
    over, going = after(entry("admit", START, START, START), entry("adopt", START + 500, START + 500, START + 500))
    assert over == [("leg", 0, START, START + 500, START, START + 500, "lost")]
    assert going == [("leg", 1, START + 500, None, START + 500, None, "")]


def lost(entry: Entries) -> Stretches:
    """A connected leg that the store does not have any more."""
    stretches = Stretches({})
    stretches.apply(entry("admit", START, START, START))
    stretches.lose([("acme", "leg"), ("acme", "unknown")], EntryId(EPOCH + 1, 0), START + 600)
    return stretches


def test_a_lost_leg_is_billed_until_it_was_known_to_live(entry: Entries) -> None:
    """It counts at that instant too; nobody knows when it ended, so it waits to be found."""
    assert [row(each) for each in lost(entry).going.values()] == [
        ("leg", 0, START, START + 601, START, START + 601, "lost")
    ]


def test_a_leg_is_lost_once(entry: Entries) -> None:
    """What waits already keeps the instant at which it was given up."""
    stretches = lost(entry)
    stretches.lose([("acme", "leg")], EntryId(EPOCH + 2, 0), START + 6_000)
    assert [row(each) for each in stretches.going.values()] == [
        ("leg", 0, START, START + 601, START, START + 601, "lost")
    ]


def test_a_lost_leg_that_ends_after_all_was_there_until_its_end(entry: Entries) -> None:
    """Its release or reclaim says when it ended, and nothing of the loss is left."""
    stretches = lost(entry)
    stretches.apply(entry("release", START + 2_000, START, START, cause="released"))
    assert [row(each) for each in stretches.over] == [
        ("leg", 0, START, START + 2_000, START, START + 2_000, "released")
    ]
    assert stretches.going == {}


def test_a_lost_leg_that_is_adopted_is_billed_without_a_gap(entry: Entries) -> None:
    """As one that was reclaimed."""
    stretches = lost(entry)
    stretches.apply(entry("adopt", START + 2_000, START + 2_000, START + 2_000))
    assert [row(each) for each in stretches.over] == [("leg", 0, START, START + 601, START, START + 2_000, "lost")]
    assert [row(each) for each in stretches.going.values()] == [
        ("leg", 1, START + 2_000, None, START + 2_000, None, "")
    ]


def test_a_lost_leg_that_the_store_has_after_all_goes_on(entry: Entries) -> None:
    """Nothing of the loss is left."""
    stretches = lost(entry)
    stretches.resume(("acme", "leg"))
    assert [row(each) for each in stretches.going.values()] == [("leg", 0, START, None, START, None, "")]


@pytest.mark.parametrize(("waited_ms", "over"), [(READOPTION_MS - 1, 0), (READOPTION_MS, 1)])
def test_two_hours_after_its_reclaim_a_leg_is_over(entry: Entries, waited_ms: int, over: int) -> None:
    """As long as it may be adopted it waits; a leg that goes on does not end by that."""
    stretches = Stretches({})
    stretches.apply(entry("admit", START, START, START))
    stretches.apply(entry("admit", START, START, START, connection="another"))
    stretches.apply(entry("reclaim", START + 900, START, START, cause="lapsed", alive_ms=START + 600))
    stretches.give_up(START + 900 + waited_ms)
    assert (len(stretches.over), len(stretches.going)) == (over, 2 - over)


MISSING = [
    ("confirm", START + 50, [], [("leg", 0, START, None, START + 50, None, "")]),
    ("release", START + 50, [("leg", 0, START, START + 70, START + 50, START + 70, "x")], []),
    ("release", None, [("leg", 0, START, START + 70, None, None, "x")], []),
    ("reclaim", START + 50, [], [("leg", 0, START, START + 70, START + 50, START + 60, "x")]),
    ("move", START + 50, [], [("leg", 0, START + 70, None, START + 70, None, "")]),
    ("adopt", START + 70, [], [("leg", 0, START + 70, None, START + 70, None, "")]),
]


@pytest.mark.parametrize(("op", "connected_ms", "over", "going"), MISSING)
def test_a_leg_whose_beginning_was_never_read_is_known_from_its_record(
    entry: Entries, op: str, connected_ms: int | None, over: list[Row], going: list[Row]
) -> None:
    """Every entry carries the leg, so that a gap costs no more than what happened in it."""
    first = entry(op, START + 70, START, connected_ms, cause="x" if op.startswith("re") else "", alive_ms=START + 60)
    assert after(first) == (over, going)


@pytest.mark.parametrize("op", ["release", "reclaim"])
def test_a_leg_ends_once(entry: Entries, op: str) -> None:
    """A store that was set back may end a leg again that has ended here, in the same batch or long before."""
    ended = Stretches({}, ended={("acme", "before", START)})
    ended.apply(entry("admit", START, START, START))
    ended.apply(entry("release", START + 50, START, START, cause="released"))
    ended.apply(entry(op, START + 90, START, START, cause="released"))
    ended.apply(entry(op, START + 90, START, START, cause="released", connection="before"))
    assert [row(each) for each in ended.over] == [("leg", 0, START, START + 50, START, START + 50, "released")]
    assert ended.going == {}


def test_a_leg_whose_end_was_never_read_is_billed_nothing_more(entry: Entries) -> None:
    """Where the same connection joins again, nobody knows when it ended: it is billed no time that nobody saw."""
    over, going = after(entry("admit", START, START, START), entry("admit", START + 500, START + 500))
    assert over == [("leg", 0, START, START + 500, START, START, "lost")]
    assert going == [("leg", 1, START + 500, None, None, None, "")]


def test_a_reclaimed_leg_whose_adoption_was_never_read_is_two_legs(entry: Entries) -> None:
    """The record that ends it says when it was adopted."""
    over, going = after(
        entry("admit", START, START, START),
        entry("reclaim", START + 900, START, START, cause="lapsed", alive_ms=START + 600),
        entry("release", START + 5_000, START + 1_000, START + 1_000, cause="released"),
    )
    assert over == [
        ("leg", 0, START, START + 900, START, START + 600, "lapsed"),
        ("leg", 2, START + 1_000, START + 5_000, START + 1_000, START + 5_000, "released"),
    ]
    assert going == []


class Kept:
    """What the database would hold: batches come in whole, or not at all."""

    def __init__(self) -> None:
        self.live: dict[Key, Going] = {}
        self.over: list[Going] = []
        self._batch = _Batch({}, {})

    def take(self, entries: Sequence[LegEntry], *, roll_back: bool) -> None:
        """A batch of the bucket; the legs that it touches are all that is looked up."""
        batch = _Batch(self._batch.positions, {})
        batch.sort_out(7, entries)
        stretches = Stretches({each.key: each for each in self._of(batch.of_legs)})
        for each in batch.of_legs:
            stretches.apply(each)
        assert batch.gaps == []
        if not roll_back:
            self._keep(stretches)
            self._batch = batch

    def give_up(self, now_ms: int) -> None:
        """As it is done from time to time."""
        stretches = Stretches(dict(self.live))
        stretches.give_up(now_ms)
        self._keep(stretches)

    def rows(self) -> list[Row]:
        """All stretches."""
        return sorted(map(row, [*self.over, *self.live.values()]), key=lambda each: each[:2])

    def _of(self, entries: Iterable[LegEntry]) -> list[Going]:
        keys = {(each.customer, each.connection) for each in entries}
        return [self.live[key] for key in keys if key in self.live]

    def _keep(self, stretches: Stretches) -> None:
        for key in stretches.touched:
            self.live.pop(key, None)
            if key in stretches.going:
                self.live[key] = stretches.going[key]
        self.over += stretches.over


@settings(max_examples=150, deadline=None, print_blob=True)
@given(history=histories(), data=st.data())
def test_T4_3_any_history_in_any_batches_comes_to_what_the_legs_lived(
    history: tuple[list[LegEntry], list[Row]], data: st.DataObject
) -> None:
    """However entries are delivered, some twice, some in a transaction that is rolled back: the same stretches to the last leg."""
    entries, expected = history
    kept, at = Kept(), 0
    while at < len(entries):
        first = data.draw(st.integers(max(0, at - 3), at))
        until = data.draw(st.integers(at + 1, len(entries)))
        if data.draw(st.booleans()):
            kept.take(entries[first:until], roll_back=True)
        kept.take(entries[first:until], roll_back=False)
        at = until
        if data.draw(st.booleans()):
            kept.give_up(entries[at - 1].at_ms)
    assert kept.rows() == sorted(expected)


@settings(max_examples=100, deadline=None, print_blob=True)
@given(histories())
def test_T4_3_no_leg_is_billed_twice_at_one_instant(history: tuple[list[LegEntry], list[Row]]) -> None:
    """The billed intervals of a connection follow each other."""
    stretches = Stretches({})
    for each in history[0]:
        stretches.apply(each)
    billed: dict[str, int] = {}
    for going in sorted([*stretches.over, *stretches.going.values()], key=lambda going: going.began):
        if going.connected_ms is not None:
            assert billed.get(going.connection, 0) <= going.connected_ms
            billed[going.connection] = going.until_ms or going.connected_ms
