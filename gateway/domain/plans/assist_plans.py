"""Plans of assists: `assist.meeting` (T18) and `assist.event` (T19). When one may be booked is decided with the booking."""

from typing import Literal

from gateway.domain.customer import Subscription


class MeetingAssist(Subscription):
    """`assist.meeting` (T18)."""

    plan: Literal["assist.meeting"]


class EventAssist(Subscription):
    """`assist.event` (T19)."""

    plan: Literal["assist.event"]
