"""Booking assists ahead."""

from datetime import datetime

import msgspec
import pytest

from gateway.domain.assists import AssistCode, Booking, Kind, refusal, remembered
from gateway.domain.days import DAY_MS, PACIFIC


def at(text: str) -> int:
    """A Pacific wall time in Unix milliseconds."""
    return round(datetime.fromisoformat(text).replace(tzinfo=PACIFIC).timestamp() * 1000)


def code(kind: Kind, start: str, minutes: int, now: str, *, streams: bool = False) -> AssistCode | None:
    """Why it is refused."""
    refused = refusal(kind, at(start), minutes, streams, at(now))
    return refused.code if refused else None


@pytest.mark.parametrize(("minutes", "expected"), [(0, "assist_too_short"), (59, "assist_too_short"), (60, None)])
def test_T18_1_a_meeting_assist_takes_an_hour_or_more(minutes: int, expected: str | None) -> None:
    """59 minutes are refused, 60 are not."""
    assert expected == code("meeting", "2026-11-20T09:00", minutes, "2026-11-02T09:00")


@pytest.mark.parametrize(
    ("start", "streams", "expected"),
    [
        ("2026-11-04T23:59", False, "assist_too_late"),
        ("2026-11-05T00:00", False, None),
        ("2026-11-09T23:59", True, "assist_too_late"),
        ("2026-11-10T00:00", True, None),
        ("2026-11-02T09:00", False, "assist_too_late"),
        ("2026-10-02T09:00", False, "assist_too_late"),
    ],
)
@pytest.mark.parametrize("now", ["2026-11-02T00:00", "2026-11-02T23:59"])
def test_T18_1_two_whole_days_lie_between_booking_and_meeting_seven_if_it_streams(
    now: str, start: str, streams: bool, expected: str | None
) -> None:
    """Booked on the 2nd, whatever the hour, it is on the 5th at the earliest; on the 10th when the meeting streams."""
    assert expected == code("meeting", start, 60, now, streams=streams)


@pytest.mark.parametrize(("minutes", "expected"), [(60, "assist_too_short"), (119, "assist_too_short"), (120, None)])
def test_T19_1_an_event_assist_takes_two_hours_or_more(minutes: int, expected: str | None) -> None:
    """119 minutes are refused, 120 are not."""
    assert expected == code("event", "2026-11-20T09:00", minutes, "2026-11-02T09:00")


@pytest.mark.parametrize(("start", "expected"), [("2026-11-09T23:59", "assist_too_late"), ("2026-11-10T00:00", None)])
@pytest.mark.parametrize("streams", [False, True])
def test_T19_1_seven_whole_days_lie_between_booking_and_event(start: str, streams: bool, expected: str | None) -> None:
    """Whether it streams makes no difference for an event."""
    assert expected == code("event", start, 120, "2026-11-02T12:00", streams=streams)


def test_T18_1_days_are_pacific_over_a_change_of_the_clocks() -> None:
    """Booked on 30 October, with the day of 25 hours between, a meeting at the first minute of 2 November is in time."""
    assert code("meeting", "2026-11-02T00:00", 60, "2026-10-30T23:59") is None
    assert "assist_too_late" == code("meeting", "2026-11-01T23:59", 60, "2026-10-30T00:00")


def test_T18_1_T19_1_a_refusal_says_what_would_do() -> None:
    """Its message names the least length, or the days between and the earliest date; length is told first."""
    now = at("2026-11-02T12:00")
    found = [
        refusal("event", now, 90, False, now),
        refusal("meeting", now, 60, True, now),
        refusal("meeting", now, 60, False, now),
    ]

    assert [
        "An event assist is at least 120 minutes long; 90 were asked for.",
        (
            "A meeting assist of a meeting that streams needs 7 whole days between; "
            "booked today, it is on 2026-11-10 (Pacific) or later."
        ),
        "A meeting assist needs 2 whole days between; booked today, it is on 2026-11-05 (Pacific) or later.",
    ] == [refused.message for refused in found if refused]


def test_bookings_are_dropped_400_days_after_their_end() -> None:
    """One that ended exactly 400 days ago is still there; a millisecond later it is not; those to come stay."""
    now = at("2026-11-02T12:00")
    hour_ms = 3_600_000
    ended, earlier, coming = (
        Booking("a", "meeting", now - 400 * DAY_MS - hour_ms, 60),
        Booking("b", "meeting", now - 400 * DAY_MS - hour_ms - 1, 60),
        Booking("c", "event", now + DAY_MS, 120),
    )

    assert (ended, coming) == remembered([ended, earlier, coming], now)


def test_a_booking_of_an_older_document_still_decodes() -> None:
    """What later versions added has a default."""
    document = b'{"id": "a", "kind": "event", "starts_at_ms": 1, "minutes": 120}'
    booking = msgspec.json.decode(document, type=Booking)

    assert Booking("a", "event", 1, 120) == booking
    assert booking == msgspec.json.decode(msgspec.json.encode(booking), type=Booking)
