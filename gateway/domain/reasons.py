"""Why a join was admitted or denied, in the one order in which reasons are checked.

The first check that fails is the reason (terms: "the order of reasons"). The enumeration is written in that order, and `Reason.rank` is the
position, so the order exists in this file alone. What is said about each reason is in `messages.py`.
"""

import enum


class Reason(enum.StrEnum):
    """Reasons of a denial in the order of the checks, then those of an admission."""

    ALREADY_RELEASED = "already_released"
    TOO_LATE = "too_late"

    CUSTOMER_UNKNOWN = "customer_unknown"
    CUSTOMER_TERMINATED = "customer_terminated"
    CUSTOMER_SUSPENDED = "customer_suspended"

    SERVICE_NOT_LICENSED = "service_not_licensed"
    SUBSCRIPTION_INACTIVE = "subscription_inactive"

    FEATURE_NOT_LICENSED = "feature_not_licensed"
    FEATURE_NOT_INCLUDED = "feature_not_included"
    ACCESS_NOT_LICENSED = "access_not_licensed"
    ACCESS_ENDED = "access_ended"
    NUMBER_BLOCKED = "number_blocked"
    ENDPOINT_NOT_SUPPORTED = "endpoint_not_supported"

    DEPARTMENT_NOT_LICENSED = "department_not_licensed"
    HOST_NOT_LICENSED = "host_not_licensed"
    HOST_SUSPENDED = "host_suspended"

    ROOM_NOT_LICENSED = "room_not_licensed"
    ROOM_CANNOT_HOST = "room_cannot_host"
    ROOM_IN_USE = "room_in_use"

    HOST_BUSY = "host_busy"
    HOSTS_FULL = "hosts_full"
    HOST_NOT_PRESENT = "host_not_present"

    EVENTS_EXHAUSTED = "events_exhausted"
    EVENTS_CONCURRENT_FULL = "events_concurrent_full"
    EVENT_OVER_TIME = "event_over_time"

    STREAMING_OVER_TIME = "streaming_over_time"
    MEETING_FULL = "meeting_full"
    PANEL_FULL = "panel_full"
    EVENT_FULL = "event_full"

    PSTN_FULL = "pstn_full"
    CHINA_FULL = "china_full"
    PORTS_FULL = "ports_full"
    TEAMS_PORTS_FULL = "teams_ports_full"

    STORE_UNAVAILABLE = "store_unavailable"

    ADMITTED = "admitted"
    REPLAYED = "replayed"
    SHADOW = "shadow"
    DEGRADED = "degraded"

    @property
    def rank(self) -> int:
        """Position in the order of checks; smaller is checked first."""
        return _RANKS[self]


_RANKS = {reason: position for position, reason in enumerate(Reason)}

DENIALS = tuple([reason for reason in Reason if reason.rank <= Reason.STORE_UNAVAILABLE.rank])
"""Reasons for which a join is denied."""
