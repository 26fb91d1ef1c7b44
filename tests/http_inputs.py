"""Bad values for every field of every request body. A table names a field, what is wrong with the value, and the value."""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from support import join_data


MISSING = object()
"""The field is left out."""

DIGITS = "4155550100"
"""Digits of the telephone number that stands where an id should: no answer and no log line may show them."""

TELEPHONE_NUMBERS = {
    "a telephone number": f"+1{DIGITS}",
    "a tel: URI": f"tel:+1{DIGITS}",
    "a tel: URI in capitals": f"TEL:+1{DIGITS}",
}

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """A document with one thing wrong, and the JSONPath that the answer must name."""

    name: str
    document: Any
    path: str
    status: int = 422


NOT_TEXT: Values = {"a number": 7, "a fraction": 0.5, "true": True, "a list": ["x"], "an object": {"x": "y"}}

CONTROL: Values = {
    "NUL": "a\0b",
    "a control character": "a\x1bb",
    "delete": "a\x7f",
    "a control character of C1": "a\x85b",
    "a newline at the end": "abc\n",
    "a newline at the start": "\nabc",
    "only a newline": "\n",
}


def required(values: Values) -> Values:
    """The values, for a field that must be there."""
    return {**values, "missing": MISSING, "null": None}


def not_null(values: Values) -> Values:
    """The values, for a field that may be left out and not be null."""
    return {**values, "null": None}


def texts(length_max: int) -> Values:
    """Bad ids and names."""
    return {**NOT_TEXT, **CONTROL, **TELEPHONE_NUMBERS, "empty": "", "too long": "x" * (length_max + 1)}


def choices(*more: str) -> Values:
    """Bad values of an enumeration; `more` are values that only look right."""
    given = {f"{word!r}": word for word in more}
    return {
        **NOT_TEXT, **CONTROL, **TELEPHONE_NUMBERS, "empty": "", "unknown": "frobnicate", "too long": "x" * 10_000, **given,
    }  # fmt: skip


def numbers(least: int, most: int) -> Values:
    """Bad whole numbers."""
    return {
        "text": str(least), "true": True, "a fraction": least + 0.5, "a list": [least], "an object": {}, "huge": 10**30, "minus one": -1,
        "too small": least - 1, "too large": most + 1, "empty text": "", "a telephone number": f"+1{DIGITS}",
    }  # fmt: skip


CUSTOMER_IDS = {
    **texts(64), "a space": "ac me", "a slash": "ac/me", "a dot first": ".acme", "a dash first": "-acme", "no ASCII": "acmé", "a colon": "a:b",
}  # fmt: skip
CODES = {**texts(32), "capitals": "Aup", "a digit first": "1a", "a space": "a b", "no ASCII": "é"}
NUMBERS_E164 = {
    **NOT_TEXT, "empty": "", "no plus": f"1{DIGITS}", "a zero first": f"+0{DIGITS}", "spaces": "+1 4155550100", "letters": f"+1{DIGITS}x",
    "a newline at the end": f"+1{DIGITS}\n", "too short": "+141555", "too long": f"+1{DIGITS}00000", "no ASCII digits": "+١٤١٥٥٥٥٠١٠٠",
}  # fmt: skip
COUNTRIES = {
    **NOT_TEXT, **TELEPHONE_NUMBERS, "empty": "", "small letters": "de", "three letters": "DEU", "one letter": "D", "a newline": "DE\n",
}  # fmt: skip
BOOLEANS: Values = {"text": "true", "a number": 1, "a list": [], "an object": {}, "null": None}
LISTS: Values = {"text": "x", "a number": 1, "true": True, "an object": {}, "null": None}
DATES = {
    **NOT_TEXT, **TELEPHONE_NUMBERS, "empty": "", "no such day": "2026-02-30", "a time": "2026-01-01T00:00:00Z", "another order": "01-02-2026",
    "a week": "2026-W01-1", "no dashes": "20260101", "a newline at the end": "2026-01-01\n", "a year of five digits": "12026-01-01",
}  # fmt: skip
QUANTITY_MAX = 10_000_000

JOIN_FIELDS: dict[str, Values] = {
    "customer": required(CUSTOMER_IDS),
    "connection": required({**texts(256), "too many bytes in few characters": "é" * 129}),
    "service": required(choices("Meeting", "MEETING", "meetings", " meeting")),
    "meeting": required(texts(128)),
    "endpoint": required(choices("Web", "SIP", "phone")),
    "role": choices("Host", "attendee", "presenter", "moderator"),
    "host": texts(128),
    "person": texts(128),
    "node": texts(128),
    "room": texts(128),
    "department": texts(128),
    "media": not_null(choices("Video", "none")),
    "calling": choices("toll", "toll_free", "callme"),
    "number": {**NUMBERS_E164, "given without pstn": f"+1{DIGITS}"},
    "access_number": {**NUMBERS_E164, "given without pstn": f"+1{DIGITS}"},
    "country": COUNTRIES,
    "access": choices("China", "russia"),
    "features": {
        **LISTS, "an unknown one": ["relay", "frobnicate"], "a number in it": [7], "null in it": [None],
        "more than there are": ["relay"] * 4, "a telephone number in it": [f"+1{DIGITS}"],
    },
    "lease_s": numbers(10, 86_400),
    "deadline_ms": not_null(numbers(1, 60_000)),
}  # fmt: skip

RELEASE_FIELDS: dict[str, Values] = {
    "customer": required(CUSTOMER_IDS),
    "connection": required({**texts(256), "too many bytes in few characters": "é" * 129}),
    "node": texts(128),
    "cause": CODES,
}

HEARTBEAT_FIELDS: dict[str, Values] = {
    "connections": required({
        "text": "x", "a number": 1, "true": True, "a list": ["live"],
        **{f"{what} as a customer": {value: ["live"]} for what, value in CUSTOMER_IDS.items() if isinstance(value, str)},
        **{f"{what} as connections": {"acme": value} for what, value in {**LISTS}.items()},
        **{f"{what} as a connection": {"acme": ["live", value]} for what, value in {
            **texts(256), "null": None, "too many bytes in few characters": "é" * 129,
        }.items()},
        "too many": {"acme": ["live"] * 2_500, "globex": ["live"] * 2_501},
    }),
    "page": not_null({**numbers(1, 1_000), "past the last": 2}),
    "pages": not_null(numbers(1, 1_000)),
}  # fmt: skip

MOVE_FIELDS: dict[str, Values] = {**JOIN_FIELDS, "from": required(texts(128))}

STATUS_FIELDS: dict[str, Values] = {"reason": CODES, "drop_live": BOOLEANS}

EMPLOYEE_COUNT_FIELDS: dict[str, Values] = {"count": required(numbers(1, QUANTITY_MAX)), "subscription": texts(128)}
CERTIFICATION_FIELDS: dict[str, Values] = {
    **EMPLOYEE_COUNT_FIELDS,
    "certified_on": {**DATES, "before there was a provider": "1999-12-31", "to come": "2199-01-01"},
    "certified_by": texts(200),
}
ASSIST_FIELDS: dict[str, Values] = {
    "id": texts(128),
    "kind": required(choices("Meeting", "teams")),
    "starts_at": required({
        **NOT_TEXT, **TELEPHONE_NUMBERS, "empty": "", "no offset": "2030-01-01T17:00:00", "a date": "2030-01-01", "a time": "17:00:00Z",
        "no such day": "2030-02-30T17:00:00Z", "no such hour": "2030-01-01T25:00:00Z", "a newline at the end": "2030-01-01T17:00:00Z\n",
        "too early": "1999-12-31T17:00:00Z", "too late": "2201-01-01T17:00:00Z",
    }),
    "minutes": required(numbers(1, 7 * 24 * 60)),
    "streams": BOOLEANS,
}  # fmt: skip

RULES_BETWEEN_FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "a role of events in a meeting": ({"role": "moderator"}, "role"),
    "a role of meetings in an event": ({"service": "event", "role": "host"}, "role"),
    "a role of meetings in Teams": ({"service": "teams", "endpoint": "sip", "role": "attendee"}, "role"),
    "calling on the web": ({"calling": "toll"}, "calling"),
    "calling on SIP": ({"endpoint": "sip", "calling": "premium"}, "calling"),
    "a number on the web": ({"number": f"+1{DIGITS}"}, "number"),
    "an access number on the web": ({"access_number": f"+1{DIGITS}"}, "access_number"),
    "a long lease with a node": ({"node": "media-1", "lease_s": 301}, "lease_s"),
}


def changed(document: Any, path: str, value: Any) -> Any:
    """A copy of the document with another value at the path (`subscriptions[0].term`)."""
    result = copy.deepcopy(document)
    place = result
    *parents, last = [int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", path)]
    for part in parents:
        place = place[part]
    if value is MISSING:
        del place[last]
    else:
        place[last] = value
    return result


def faults(base: dict[str, Any], fields: dict[str, Values], prefix: str = "") -> Iterator[Fault]:
    """The document once for each bad value of each field, and with fields that do not exist; fields stand below `prefix`."""
    below = f"{prefix}." if prefix else ""
    for name, values in fields.items():
        for what, value in values.items():
            document = changed(base, below + name, value)
            yield Fault(f"{below}{name}: {what}", document, f"$.{below}{name}")
    for unknown in ("surplus", "Customer", "__class__"):
        yield Fault(f"{below}{unknown}: unknown field", changed(base, below + unknown, 1), f"$.{below}{unknown}")
    for what, number in TELEPHONE_NUMBERS.items():
        yield Fault(f"{below}?: {what} as a field", changed(base, below + number, 1), f"$.{prefix}".rstrip("."))


def join_faults() -> list[Fault]:
    """Everything that can be wrong with a join."""
    base = join_data("bad")
    combined = [
        Fault(name, {**base, **fields}, f"$.{field}") for name, (fields, field) in RULES_BETWEEN_FIELDS.items()
    ]
    return [*faults(base, JOIN_FIELDS), *combined]


def move_faults() -> list[Fault]:
    """Everything that can be wrong with a move."""
    return list(faults({**join_data("bad"), "from": "m0"}, MOVE_FIELDS))


def confirm_faults() -> list[Fault]:
    """Everything that can be wrong with a confirm."""
    return list(faults(join_data("bad"), JOIN_FIELDS))


def heartbeat_faults() -> list[Fault]:
    """Everything that can be wrong with a page of a heartbeat."""
    return list(faults({"connections": {"acme": ["live"]}, "page": 1, "pages": 1}, HEARTBEAT_FIELDS))


def release_faults() -> list[Fault]:
    """Everything that can be wrong with a release."""
    return list(faults({"customer": "acme", "connection": "live"}, RELEASE_FIELDS))
