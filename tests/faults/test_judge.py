"""The judge of the fault suite finds what it is there to find."""

import time

import fault_judge as judge
from fault_judge import Entry
from fault_truth import Event, History, Span


def span(connection: str, since: float, until: float | None) -> Span:
    """A leg of customer `acme`."""
    return Span("media-0", "acme", connection, since, until, degraded=False)


def history(*events: tuple[float, str, str, str]) -> History:
    """Lines of (time, what, connection, operation and reason of the answer)."""
    kept = History()
    for at, what, connection, said in events:
        operation, _, reason = said.partition(" ")
        decision = (
            {"": "", "admitted": "admit", "degraded": "admit"}.get(reason, "deny") if operation == "admit" else ""
        )
        kept.events.append(
            Event(at, what, "media-0", "acme", connection, operation, 200 if what == "ok" else 0, decision, reason)  # type: ignore[arg-type] # a word of a line
        )
    return kept


def entry(op: str, connection: str = "a", at_s: float = 0.0) -> Entry:
    """An entry of customer `acme`."""
    return Entry(op, int(at_s * 1000), "acme", connection, "")


def test_I1_the_greatest_number_of_live_legs_is_seen_between_their_beginnings_and_ends() -> None:
    """Three of four overlap; a leg that ends as another begins does not overlap with it."""
    assert 3 == judge.most_live([span("a", 0, 10), span("b", 1, None), span("c", 9, 12), span("d", 10, 11)])
    assert 1 == judge.most_live([span("a", 0, 5), span("b", 5, 9)])


def test_I1_what_nobody_heard_of_may_hold_a_seat_until_its_release_was_answered() -> None:
    """An admit without an answer, and a call that hung up before its release came through, count as possible."""
    kept = history(
        (0, "invoke", "a", "admit"), (1, "unknown", "a", "admit"),
        (2, "invoke", "b", "admit"), (3, "ok", "b", "admit admitted"), (3, "live", "b", ""),
        (4, "invoke", "c", "admit"), (5, "ok", "c", "admit ports_full"),
        (6, "ended", "b", ""), (6, "invoke", "b", "release"), (7, "ok", "b", "release"),
        (8, "invoke", "d", "admit"), (9, "ok", "d", "admit admitted"), (9, "live", "d", ""),
    )  # fmt: skip
    assert 1 == judge.most_live(kept.spans("acme"))
    assert 2 == judge.most_possible(kept, "acme")


def test_I2_an_id_that_was_let_in_and_then_refused_is_a_contradiction_until_its_release() -> None:
    """The second refusal comes after the release, and is none."""
    kept = history(
        (0, "invoke", "a", "admit"), (1, "ok", "a", "admit admitted"), (2, "invoke", "a", "admit"), (3, "ok", "a", "admit ports_full"),
        (4, "invoke", "b", "admit"), (5, "ok", "b", "admit admitted"), (6, "invoke", "b", "release"), (7, "ok", "b", "release"),
        (8, "invoke", "b", "admit"), (9, "ok", "b", "admit ports_full"),
    )  # fmt: skip
    assert ["a: admitted, then ports_full"] == judge.contradictions(kept)


def test_I2_I8_a_seat_taken_twice_or_given_back_twice_is_found() -> None:
    """Taken, taken, given, given: two of the four are one too many; and the balance says so."""
    entries = [entry("admit"), entry("adopt"), entry("release"), entry("reclaim"), entry("admit", "b")]
    assert ["adopt of a, which has a seat", "reclaim of a, which has no seat"] == judge.double_effects(entries)
    assert 1 == judge.balance(entries, "acme")


def test_I4_a_leg_reclaimed_within_a_lease_of_its_last_sign_of_life_is_found() -> None:
    """29 seconds after its heartbeat that is false; 31 seconds after it, or when the call had ended, it is not."""
    now = time.monotonic()
    kept = history(
        (now, "invoke", "a", "admit"), (now, "ok", "a", "admit admitted"), (now, "live", "a", ""), (now + 10, "beat", "a", ""),
        (now, "invoke", "b", "admit"), (now, "ok", "b", "admit admitted"), (now, "live", "b", ""), (now + 20, "ended", "b", ""),
    )  # fmt: skip
    wall = kept.wall_less_monotonic + now
    assert ["a reclaimed 29.0 s after its last sign of life"] == judge.false_reclaims(
        [entry("reclaim", "a", wall + 39)], kept
    )
    assert [] == judge.false_reclaims([entry("reclaim", "a", wall + 41), entry("reclaim", "b", wall + 25)], kept)


def test_I10_the_longest_gap_counts_only_decisions_of_the_store() -> None:
    """Decisions at 1, 2 and 6; what was let in or refused without the store in between is none."""
    kept = history(
        (0, "invoke", "a", "admit"), (1, "ok", "a", "admit admitted"), (1, "invoke", "b", "admit"), (2, "ok", "b", "admit ports_full"),
        (3, "invoke", "c", "admit"), (4, "ok", "c", "admit degraded"), (5, "invoke", "d", "admit"), (6, "ok", "d", "admit admitted"),
        (4, "invoke", "e", "admit"), (5, "ok", "e", "admit store_unavailable"),
    )  # fmt: skip
    assert 4 == judge.longest_gap(kept, 1, 7)


def test_I11_an_answer_of_500_is_not_labelled() -> None:
    """Only a 503 that says that the store is unavailable is."""
    kept = History()
    for connection, status, reason in (("a", 503, "store_unavailable"), ("b", 503, ""), ("d", 200, "degraded")):
        kept.add("invoke", "media-0", "acme", connection, operation="admit")
        kept.add("ok", "media-0", "acme", connection, operation="admit", status=status, reason=reason)
    kept.add("failed", "media-0", "acme", "c", operation="/v1/admit", status=500)
    assert ["/v1/admit of c: 500", "admit of b: 503 "] == judge.unlabelled(kept)


def test_an_admit_that_the_store_does_not_have_any_more_is_lost() -> None:
    """Of two that were told as admitted, one is written; what was let in without the store is not lost."""
    kept = history(
        (0, "invoke", "a", "admit"), (1, "ok", "a", "admit admitted"), (0, "invoke", "b", "admit"), (1, "ok", "b", "admit admitted"),
        (0, "invoke", "c", "admit"), (1, "ok", "c", "admit degraded"),
    )  # fmt: skip
    assert ["b"] == judge.lost_admits(kept, [entry("admit", "a")])
