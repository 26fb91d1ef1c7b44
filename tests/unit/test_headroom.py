"""A gateway's share of the room below limits, taken without the store: exactly so many legs and no more."""

import pytest

from gateway import degraded
from gateway.degraded import CUSTOMERS_MAX, Headroom
from gateway.domain.claims import Alternative, Count, Facts
from gateway.domain.contract import REPORTED_POOLS
from gateway.domain.reasons import Reason


PSTN = REPORTED_POOLS["pstn"]


def claims(*groups: str, ceiling: int | None = 100) -> Alternative:
    """What a leg takes: one of each of these groups."""
    checks = tuple([Count(group, Reason.PORTS_FULL, ceiling) for group in groups])
    return Alternative(checks=checks, facts=Facts())


PORTS = claims("ports")


def taken(
    headroom: Headroom, number: int, *, gateways: int = 1, customer: str = "acme", of: Alternative = PORTS
) -> int:
    """How many of so many new legs are let in."""
    at = sum(map(len, headroom._taken.values()))
    return sum([headroom.take(customer, f"leg-{at}-{each}", of, gateways) for each in range(number)])


@pytest.mark.parametrize(
    ("left", "gateways", "share"),
    [(10, 1, 10), (10, 2, 5), (11, 2, 5), (10, 3, 3), (1, 2, 0), (0, 1, 0), (-4, 1, 0), (-4, 2, 0), (10, 0, 10)],
)
def test_a_gateway_takes_its_share_and_no_more(left: int, gateways: int, share: int) -> None:
    """What is left by the number of gateways, rounded down; nothing where a limit was lowered below its use."""
    headroom = Headroom()
    headroom.see("acme", "ports", left)

    assert share == taken(headroom, 20, gateways=gateways)
    assert 0 == taken(headroom, 5, gateways=gateways)


def test_where_no_room_was_ever_seen_there_is_none() -> None:
    """Of another customer or another limit, says nothing about this one."""
    headroom = Headroom()
    headroom.see("globex", "ports", 10)
    headroom.see("acme", "teams_ports", 10)

    assert 0 == taken(headroom, 3)


def test_the_same_leg_takes_one_place() -> None:
    """Asked again it is let in again, also when the room is used up; a customer's leg is not another's."""
    headroom = Headroom()
    for customer in ("acme", "globex"):
        headroom.see(customer, "ports", 1)

    assert [True, True, False, True] == [headroom.take("acme", leg, PORTS, 1) for leg in ("a", "a", "b", "a")]
    assert [True, False] == [headroom.take("globex", leg, PORTS, 1) for leg in ("a", "b")]


def test_a_leg_that_has_gone_gives_its_place_back() -> None:
    """Once, however often it goes; and what never took anything gives nothing, and is not remembered."""
    headroom = Headroom()
    headroom.see("acme", "ports", 2)
    assert 2 == taken(headroom, 3)

    for _ in range(3):
        headroom.give("acme", "leg-0-0")
        headroom.give("acme", "stranger")
        headroom.give("nobody", "leg-0-0")

    assert 1 == taken(headroom, 3)
    assert {"acme"} == set(headroom._taken)


def test_every_limit_of_the_customer_bounds() -> None:
    """A leg needs room below each ceiling that holds for the whole customer; one that finds none takes nothing of the others."""
    headroom = Headroom()
    both = claims("ports", PSTN)
    for group, left in (("ports", 3), (PSTN, 1)):
        headroom.see("acme", group, left)

    assert 1 == taken(headroom, 2, of=both)
    assert 2 == taken(headroom, 5)


def test_limits_of_single_meetings_and_what_has_no_ceiling_do_not_bound() -> None:
    """They cannot be judged without the store; a metered pool without a ceiling admits anyway."""
    headroom = Headroom()

    assert 5 == taken(headroom, 5, of=claims("meeting:m1"))
    assert 5 == taken(headroom, 5, of=claims("ports", ceiling=None))
    assert 5 == taken(headroom, 5, of=claims())


def test_what_is_seen_later_holds() -> None:
    """Less or more room than before; what was taken counts against it."""
    headroom = Headroom()
    headroom.see("acme", "ports", 5)
    assert 5 == taken(headroom, 6)
    headroom.see("acme", "ports", 7)
    assert 2 == taken(headroom, 6)
    headroom.see("acme", "ports", 3)
    assert 0 == taken(headroom, 6)


def test_what_nodes_have_brought_in_is_not_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease after the store is back, its answers tell of the legs that were let in without it; not before, and not in another outage."""
    headroom = Headroom()
    headroom.see("acme", "ports", 5)
    assert 3 == taken(headroom, 3)
    for _ in range(2):
        headroom.see("acme", "ports", 5)
    assert 2 == taken(headroom, 3), "they may not be in the store's counts yet"

    monkeypatch.setattr(degraded, "BROUGHT_IN_S", -1.0)
    headroom.see("acme", "ports", 5)

    assert 5 == taken(headroom, 6)


def test_the_customer_seen_longest_ago_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room is remembered of a bounded number of customers; of one that gave way there is none."""
    assert CUSTOMERS_MAX >= 1000
    monkeypatch.setattr(degraded, "CUSTOMERS_MAX", 2)
    headroom = Headroom()
    for customer in ("a", "b", "a", "c"):
        headroom.see(customer, "ports", 1)

    assert [1, 0, 1] == [taken(headroom, 2, customer=customer) for customer in "abc"]
