"""Telephone numbers: what is derived from one, what is kept in its place, and that nothing else is."""

import copy
import pickle
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.join import Telephone
from gateway.domain.telephones import NumberKeyMissing, Telephones, is_kept


KEY = b"0123456789abcdef0123456789abcdef"
OTHER_KEY = b"0123456789abcdef0123456789abcdeg"
NUMBER = "+442079460958"

telephones = Telephones(KEY)


def everything_said(value: object) -> str:
    """All texts in which a value may reach a log, a file or another process."""
    return f"{value!r} {value} {pickle.dumps(value)!r}"


@pytest.mark.parametrize(
    ("number", "calling_code", "country", "number_class"),
    [
        ("+442079460958", 44, "GB", "standard"),
        ("+12015550123", 1, "US", "standard"),
        ("+14165550123", 1, "CA", "standard"),
        ("+18005550123", 1, "US", "standard"),
        ("+493012345678", 49, "DE", "standard"),
        ("+33123456789", 33, "FR", "standard"),
        ("+390612345678", 39, "IT", "standard"),
        ("+77171234567", 7, "KZ", "standard"),
        ("+74951234567", 7, "RU", "standard"),
        ("+8613800138000", 86, "CN", "standard"),
        ("+441534456789", 44, "JE", "standard"),
        ("+19005550123", 1, "US", "premium_rate"),
        ("+449098790000", 44, "GB", "premium_rate"),
        ("+449012345678", 44, "GB", "premium_rate"),
        ("+499001234567", 49, "DE", "premium_rate"),
        ("+33899123456", 33, "FR", "premium_rate"),
        ("+979123456789", 979, None, "premium_rate"),
        ("+491801234567", 49, "DE", "standard"),
        ("+80012345678", 800, None, "standard"),
        ("+883510000000094", 883, None, "standard"),
        ("+15551234567", 1, None, "standard"),
        ("+4990012345", 49, "DE", "standard"),
    ],
    ids=lambda value: str(value).removeprefix("+"),
)
def test_T15_4_country_and_class_of_a_number(
    number: str, calling_code: int, country: str | None, number_class: str
) -> None:
    """The country is that of the number, none for a number of no one country; shared cost is no premium rate."""
    expected = Telephone(telephones.keep(number), calling_code, country, number_class)
    assert expected == telephones.read(number)


def test_T21_1_the_hash_is_the_same_in_every_process_and_release() -> None:
    """It is what this text says: hashes that are stored stay findable."""
    expected = "hash:4f924312:25085ff379e9b5dfb77d57d8f8ae9e73"
    assert (expected, expected) == (telephones.read(NUMBER).hash, telephones.keep(NUMBER))
    assert expected == Telephones(KEY).keep(NUMBER)


def test_T21_1_another_key_gives_another_hash() -> None:
    """Neither the id of the key nor the digest says anything about those of another key."""
    ours, theirs = telephones.keep(NUMBER).split(":"), Telephones(OTHER_KEY).keep(NUMBER).split(":")
    assert [True, False, False] == [one == other for one, other in zip(ours, theirs, strict=True)]


@pytest.mark.parametrize("length", [1, 32, 64, 65, 4096])
def test_a_key_of_any_length_counts_to_its_last_byte(length: int) -> None:
    """No key is cut off."""
    one, other = Telephones(b"k" * length), Telephones(b"k" * (length - 1) + b"l")
    assert is_kept(one.keep(NUMBER))
    assert one.key_id != other.key_id
    assert one.keep(NUMBER).split(":")[2] != other.keep(NUMBER).split(":")[2]


@pytest.mark.parametrize(
    "spelling", ["+44 20 7946 0958", "+44 (0)20 7946-0958", "+44.20.7946.0958", " +442079460958", "tel:+442079460958"]
)
def test_T15_2_a_number_is_kept_in_one_form_however_it_is_spelt(spelling: str) -> None:
    """A number that an administrator blocked is recognised as the one that a media server reports."""
    assert telephones.read(NUMBER) == telephones.read(spelling)
    assert telephones.keep(NUMBER) == telephones.keep(spelling)


@pytest.mark.parametrize(("one", "other"), [("+390612345678", "+39612345678"), ("+442079460958", "+442079460959")])
def test_T15_2_different_numbers_are_kept_apart(one: str, other: str) -> None:
    """One digit makes a difference, also the zero of an Italian number."""
    assert telephones.keep(one) != telephones.keep(other)


@pytest.mark.parametrize(
    "text", ["", "+", "anonymous", "442079460958", "+999123456789", "+0", "+44" + "9" * 300, "\ud800"]
)
def test_T21_1_a_text_that_is_no_number_is_only_hashed(text: str) -> None:
    """Nothing is derived from it, and it is told from other texts."""
    found = telephones.read(text)
    assert Telephone(telephones.keep(text)) == found
    assert is_kept(found.hash or "")
    assert found != telephones.read(f"{text}x")


def test_T21_1_without_a_key_no_hash_is_kept() -> None:
    """What is derived is known all the same, and keeping is refused with what to set."""
    keyless = Telephones(None)
    assert Telephone(None, 44, "GB", "standard") == keyless.read(NUMBER)
    assert Telephone() == keyless.read("anonymous")
    assert (None, False) == (keyless.key_id, keyless.knows(telephones.keep(NUMBER)))
    with pytest.raises(NumberKeyMissing, match="GATEWAY_NUMBER_KEY or GATEWAY_NUMBER_KEY_FILE") as raised:
        keyless.keep(NUMBER)
    assert NUMBER[3:] not in everything_said(raised.value) + "".join(traceback.format_exception(raised.value))


def test_T15_2_hashes_of_another_key_are_recognised() -> None:
    """An entry that can never match is found by the id of its key."""
    other = Telephones(OTHER_KEY)
    kept = telephones.keep(NUMBER)
    assert [True, False] == [one.knows(kept) for one in (telephones, other)]
    assert [False, True] == [one.knows(other.keep(NUMBER)) for one in (telephones, other)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        NUMBER,
        "hash:",
        "hash:12345678",
        "hash:{id}:",
        "hash:{id}:{digest}0",
        "hash:{id}:{digest}\n",
        "HASH:{id}:{digest}",
    ],
)
def test_T15_2_only_the_kept_form_is_recognised(text: str) -> None:
    """A number, or half of a kept form, is none."""
    _, key_id, digest = telephones.keep(NUMBER).split(":")
    text = text.format(id=key_id, digest=digest)
    assert (False, False) == (is_kept(text), telephones.knows(text))


@given(st.from_regex(r"\+[1-9][0-9]{9,14}", fullmatch=True))
def test_T21_1_no_number_is_found_in_what_is_kept(number: str) -> None:
    """Not in the text, nor the representation, nor the pickle of what was read."""
    said = everything_said(telephones.read(number)) + everything_said(telephones.keep(number))
    assert number[4:] not in said


@given(st.text())
def test_T21_1_every_text_is_read(text: str) -> None:
    """No text makes the reader fail, which would put it into an exception."""
    assert is_kept(telephones.read(text).hash or "")
    assert is_kept(telephones.read(f"+{text}").hash or "")


def test_T21_1_the_key_cannot_be_taken_out() -> None:
    """It is in no representation, and neither a pickle nor a copy can be made."""
    assert KEY.decode() not in repr(telephones)
    assert ("_hasher", "key_id") == Telephones.__slots__
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(telephones)
    with pytest.raises(TypeError, match="cannot pickle"):
        copy.deepcopy(telephones)
