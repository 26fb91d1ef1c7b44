"""Addresses of people, and names that are nobody's."""

import pytest

from gateway.domain.addresses import domain_of, is_generic, normal_address


@pytest.mark.parametrize(
    ("address", "normal"),
    [
        ("Alice@Acme.Example", "alice@acme.example"),
        ("alice+news@acme.example", "alice@acme.example"),
        (" alice@acme.example ", "alice@acme.example"),
        ("+@acme.example", "+@acme.example"),
        ("alice", "alice"),
        ("STRASSE@acme.example", "strasse@acme.example"),
    ],
)
def test_addresses_compare_case_folded_and_without_plus_tags(address: str, normal: str) -> None:
    """The normal form is what is compared and counted."""
    assert normal == normal_address(address)


def test_a_domain_is_what_follows_the_last_at() -> None:
    """And empty without one, or where nobody stands before it."""
    assert ["acme.example", "", ""] == [domain_of(text) for text in ("a@b@Acme.example", "alice", "@acme.example")]


@pytest.mark.parametrize(
    "local",
    [
        "conference", "Room1", "room-12", "admin", "info", "team_3", "user007", "training+x", "12.room", "meeting-room.4",
        "conference_room", "guest", "host",
    ],
)  # fmt: skip
def test_T2_4_functions_and_rooms_are_generic_with_or_without_digits(local: str) -> None:
    """Nobody is called that, also not in two words."""
    assert is_generic(f"{local}@acme.example")


def test_T2_4_a_name_that_is_no_address_may_be_generic_too() -> None:
    """What stands there is looked at as a whole."""
    assert [True, False] == [is_generic("room12"), is_generic("alice")]


@pytest.mark.parametrize(
    "local", ["alice", "roomer", "administratorova", "hosteen", "it.manager", "a1", "john.guest", "12345", "..."]
)
def test_T2_4_people_are_not_generic(local: str) -> None:
    """A name that only begins like one, or of which one word is."""
    assert not is_generic(f"{local}@acme.example")
