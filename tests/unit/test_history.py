"""What is remembered from version to version: seats and reported counts."""

from datetime import date, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.catalogue import Customer, parse_customer
from gateway.domain.history import CHANGES_KEPT, History, Seat, followed


DAY = date(2026, 11, 2)


def later(days: int) -> date:
    """So many days after the first of the test."""
    return DAY + timedelta(days=days)


def hosting(*names: str, quantity: int = 3, plan: str = "meetings.named_host") -> Customer:
    """A customer with named hosts."""
    hosts = [{"id": f"{name}@acme.example", "given_name": "Ann", "family_name": "Example"} for name in names]
    return holding({"plan": plan, "quantity": quantity, "hosts": hosts})


def enterprise(employee_count: int | None, plan: str = "meetings.corporate_access", **fields: Any) -> Customer:
    """A customer with a plan of every employee."""
    count = {} if employee_count is None else {"employee_count": employee_count}
    return holding({"plan": plan, **count, **fields})


def holding(*subscriptions: dict[str, Any]) -> Customer:
    """A customer that holds these for long."""
    term = {"from": "2020-01-01", "to": "2099-12-31"}
    held = [{"id": "s", "term": term, **subscription} for subscription in subscriptions]
    return parse_customer({"id": "acme", "name": "Acme", "domains": ["acme.example"], "subscriptions": held})


def after(*steps: tuple[int, Customer | None]) -> History:
    """The history after the versions of the customer, each from its day on."""
    history, before = History(), None
    for days, customer in steps:
        history = followed(history, before, customer, later(days))
        before = customer
    return history


def seats(history: History) -> dict[str, Seat]:
    """Seats of the only subscription, by local part."""
    return {holder.removesuffix("@acme.example"): seat for holder, seat in history.seats.get("s", {}).items()}


def test_T2_5_hosts_that_stay_take_no_room() -> None:
    """Only what the catalogue does not say is stored, so a first version leaves an empty history."""
    assert History() == after((0, hosting("ann", "bob", "cyd")), (1, hosting("bob", "cyd", "ann")))


def test_T2_5_a_seat_that_is_emptied_keeps_its_last_holder() -> None:
    """With the day on which it was emptied."""
    assert {"bob": Seat(later(3))} == seats(after((0, hosting("ann", "bob")), (3, hosting("ann")), (5, hosting("ann"))))


def test_T2_5_a_person_that_comes_back_takes_the_own_last_seat() -> None:
    """That is no change of person, even where a newcomer of the same day stands before in the catalogue."""
    history = after(
        (0, hosting("ann", "bob", quantity=2)), (1, hosting(quantity=2)), (2, hosting("abe", "bob", quantity=2))
    )

    assert {"abe": Seat(None, (later(2),))} == seats(history)


def test_T2_5_a_new_person_takes_a_never_used_seat_first() -> None:
    """Of three seats one was never used, so Bob's is left as it is."""
    history = after((0, hosting("ann", "bob")), (1, hosting("ann")), (2, hosting("ann", "cyd")))

    assert {"bob": Seat(later(1))} == seats(history)


def test_T2_5_a_new_person_takes_the_seat_that_has_been_empty_longest() -> None:
    """Bob left before Ann, so Cyd follows Bob: one change of person."""
    history = after(
        (0, hosting("ann", "bob", quantity=2)),
        (1, hosting("ann", quantity=2)),
        (2, hosting(quantity=2)),
        (3, hosting("cyd", quantity=2)),
    )

    assert {"ann": Seat(later(2)), "cyd": Seat(None, (later(3),))} == seats(history)


def test_T2_5_a_change_within_one_version_is_a_change_of_person() -> None:
    """Every seat was used, and one name gave way to another; a seat's changes follow it from person to person."""
    history = after((0, hosting("ann", quantity=1)), (4, hosting("bob", quantity=1)), (9, hosting("cyd", quantity=1)))

    assert {"cyd": Seat(None, (later(4), later(9)))} == seats(history)


def test_T2_5_another_spelling_of_an_address_is_the_same_person() -> None:
    """Addresses compare case-folded, plus-tags removed."""
    assert {} == seats(after((0, hosting("ann", quantity=1)), (1, hosting("Ann+video", quantity=1))))


def test_T2_5_the_seats_of_the_teams_gateway_are_followed_too() -> None:
    """T7.2: T2.5 holds for gateway named hosts."""
    plan = "teams.named_host"
    history = after((0, hosting("ann", quantity=1, plan=plan)), (1, hosting("bob", quantity=1, plan=plan)))

    assert {"bob": Seat(None, (later(1),))} == seats(history)


@pytest.mark.parametrize(("days", "expected"), [(60, (1,)), (61, ())])
def test_T2_5_changes_are_forgotten_after_60_days(days: int, expected: tuple[int, ...]) -> None:
    """The customer need not have changed for that; a seat without anything to remember goes."""
    customer = hosting("bob", quantity=1)
    history = after((0, hosting("ann", quantity=1)), (1, customer), (days, customer))

    assert expected == tuple([(day - DAY).days for seat in seats(history).values() for day in seat.changes])


@pytest.mark.parametrize(("days", "expected"), [(179, ["ann"]), (180, [])])
def test_T21_3_an_empty_seat_forgets_its_holder_after_180_days(days: int, expected: list[str]) -> None:
    """From then on it counts as never used."""
    empty = hosting(quantity=1)

    assert expected == list(seats(after((-9, hosting("ann", quantity=1)), (0, empty), (days, empty))))


def test_T2_5_a_smaller_quantity_has_fewer_seats() -> None:
    """The seats that have been empty longest go; no more are remembered than there are."""
    history = after(
        (0, hosting("ann", "bob", "cyd")),
        (1, hosting("bob", "cyd")),
        (2, hosting("cyd")),
        (3, hosting("cyd", quantity=2)),
    )

    assert {"bob": Seat(later(2))} == seats(history)


def test_T2_5_a_seat_remembers_a_bounded_number_of_changes() -> None:
    """A catalogue that changes all day long does not make the history grow: the latest changes are kept."""
    versions = [(step, hosting("ann" if step % 2 else "bob", quantity=1)) for step in range(CHANGES_KEPT + 5)]

    assert tuple([later(step) for step in range(5, CHANGES_KEPT + 5)]) == seats(after(*versions))["bob"].changes


def test_T2_5_T3_3_a_subscription_that_is_gone_leaves_nothing() -> None:
    """Nor does one that became another plan, or a customer that was deleted."""
    changed = (0, hosting("ann", quantity=1)), (1, hosting("bob", quantity=1))

    assert 1 == len(after(*changed).seats)
    assert History() == after(*changed, (2, holding()))
    assert History() == after(*changed, (2, None))
    assert {} == after(*changed, (2, enterprise(10))).seats
    assert History() == after((0, enterprise(10)), (1, hosting("ann")))


@pytest.mark.parametrize(
    "plan",
    ["meetings.corporate_access", "meetings.active_host_enterprise", "meetings.active_host_group", "teams.enterprise"],
)
def test_T3_3_the_day_on_which_a_count_is_reported_is_remembered(plan: str) -> None:
    """It is the day on which the number last changed, whatever else does; a withdrawn number has none."""
    fields = {"department": "sales"} if plan == "meetings.active_host_group" else {}

    def reported(*counts: int | None) -> list[date]:
        versions = [(step, enterprise(count, plan, **fields)) for step, count in enumerate(counts)]
        return list(after(*versions).reported.values())

    assert [later(0)] == reported(1000)
    assert [later(0)] == reported(1000, 1000)
    assert [later(2)] == reported(1000, 1000, 1100, 1100)
    assert [] == reported(1000, None)
    assert [] == reported(None)


def test_history_survives_its_document() -> None:
    """It is the same after encoding, and an older document without it decodes."""
    history = after(
        (0, hosting("ann", "bob", quantity=2)), (1, hosting("bob", quantity=2)), (2, hosting("cyd", "bob", quantity=2))
    )
    both = History(history.seats, after((0, enterprise(10))).reported)

    assert both == msgspec.json.decode(msgspec.json.encode(both), type=History)
    assert History() == msgspec.json.decode(b"{}", type=History)


def test_T2_5_a_hundred_thousand_hosts_leave_a_small_history() -> None:
    """One change of person among them is all that is stored."""
    names = [f"person{number}x" for number in range(100_000)]
    before = hosting(*names, quantity=100_000)
    history = after((0, before), (1, hosting(*names[1:], "bob", quantity=100_000)))

    assert {"bob": Seat(None, (later(1),))} == seats(history)
    assert 100 > len(msgspec.json.encode(history))


class Seating:
    """T2.5 with plain lists: every seat with its holder (None: never used), the day it was emptied, and its changes."""

    def __init__(self, quantity: int) -> None:
        self.rows: list[list[Any]] = [[None, None, []] for _ in range(quantity)]

    def step(self, names: list[str], today: date) -> None:
        """These are the hosts from today on."""
        for row in self.rows:
            if row[0] and row[1] and (today - row[1]).days >= 180:
                row[:] = [None, None, []]
            if row[0] and not row[1] and row[0] not in names:
                row[1] = today
        holders = {row[0]: row for row in self.rows if row[0]}
        for name in sorted(names):
            if name in holders:
                holders[name][1] = None
        for name in sorted(set(names) - set(holders)):
            never_used = [row for row in self.rows if row[0] is None]
            empty = sorted([row for row in self.rows if row[1]], key=lambda row: (row[1], row[0]))
            row = [*never_used, *empty][0]
            if row[0]:
                row[2].append(today)
            row[:2] = [name, None]

    def worth_keeping(self, today: date) -> dict[str, Seat]:
        """What a history says of it."""
        found: dict[str, Seat] = {}
        for holder, emptied_on, changes in self.rows:
            recent = tuple([day for day in changes if (today - day).days < 60][-CHANGES_KEPT:])
            if holder and (recent or emptied_on):
                found[holder] = Seat(emptied_on, recent)
        return found


@given(
    quantity=st.integers(1, 4),
    versions=st.lists(
        st.tuples(
            st.sampled_from([0, 1, 13, 59, 100]), st.sets(st.sampled_from(["ann", "bob", "cyd", "dan", "eve", "fay"]))
        ),
        max_size=12,
    ),
)
def test_T2_5_seats_are_those_of_a_plain_seating(quantity: int, versions: list[tuple[int, set[str]]]) -> None:
    """Whatever comes and goes, the sparse history says what a list of all seats says."""
    model, history, before, today = Seating(quantity), History(), None, DAY
    for days, people in versions:
        today += timedelta(days=days)
        names = sorted(people)[:quantity]
        customer = hosting(*names, quantity=quantity)
        history = followed(history, before, customer, today)
        before = customer
        model.step(names, today)
        assert model.worth_keeping(today) == seats(history)
