"""Why a join was admitted or denied, in the one order in which reasons are checked.

The first check that fails is the reason (terms: "the order of reasons"). The enumeration is written in that order, and `Reason.rank` is the
position; policy sorts its checks by it, so the order exists in this file alone.

`message` is what may be shown or spoken to the person who joins: no ids, no figures. `retry_after_s` is a hint to the caller how soon asking
again may help; None where only a change of the order or of the request would.
"""

import enum
from dataclasses import dataclass


class Reason(enum.StrEnum):
    """Reasons of a denial in the order of the checks, then those of an admission."""

    ALREADY_RELEASED = "already_released"
    TOO_LATE = "too_late"
    CUSTOMER_UNKNOWN = "customer_unknown"
    CUSTOMER_TERMINATED = "customer_terminated"
    CUSTOMER_SUSPENDED = "customer_suspended"
    SERVICE_NOT_LICENSED = "service_not_licensed"
    SUBSCRIPTION_INACTIVE = "subscription_inactive"
    ENDPOINT_NOT_SUPPORTED = "endpoint_not_supported"
    DEPARTMENT_NOT_LICENSED = "department_not_licensed"
    HOST_NOT_LICENSED = "host_not_licensed"
    HOST_BUSY = "host_busy"
    HOSTS_FULL = "hosts_full"
    HOST_NOT_PRESENT = "host_not_present"
    EVENTS_CONCURRENT_FULL = "events_concurrent_full"
    MEETING_FULL = "meeting_full"
    PANEL_FULL = "panel_full"
    EVENT_FULL = "event_full"
    PORTS_FULL = "ports_full"
    TEAMS_PORTS_FULL = "teams_ports_full"
    STORE_UNAVAILABLE = "store_unavailable"

    ADMITTED = "admitted"
    REPLAYED = "replayed"
    SHADOW = "shadow"

    @property
    def rank(self) -> int:
        """Position in the order of checks; smaller is checked first."""
        return _RANKS[self]


@dataclass(frozen=True, slots=True)
class Advice:
    """What the person who joins is told, and when asking again may help."""

    message: str
    retry_after_s: int | None = None


_RANKS = {reason: position for position, reason in enumerate(Reason)}

_MOMENT = "Please try again in a moment."
_ADMINISTRATOR = "Please contact the organiser or your administrator."

ADVICE: dict[Reason, Advice] = {
    Reason.ALREADY_RELEASED: Advice("This connection has already ended. Please join again."),
    Reason.TOO_LATE: Advice("Joining took too long. Please try again.", 1),
    Reason.CUSTOMER_UNKNOWN: Advice(f"This meeting service is not known. {_ADMINISTRATOR}"),
    Reason.CUSTOMER_TERMINATED: Advice(f"This meeting service has been ended. {_ADMINISTRATOR}"),
    Reason.CUSTOMER_SUSPENDED: Advice(f"This meeting service is suspended. {_ADMINISTRATOR}"),
    Reason.SERVICE_NOT_LICENSED: Advice(f"This kind of meeting is not part of the subscription. {_ADMINISTRATOR}"),
    Reason.SUBSCRIPTION_INACTIVE: Advice(f"The subscription is not active today. {_ADMINISTRATOR}"),
    Reason.ENDPOINT_NOT_SUPPORTED: Advice("This kind of device cannot join this meeting. Please use a room system."),
    Reason.DEPARTMENT_NOT_LICENSED: Advice(f"This department has no licence for events. {_ADMINISTRATOR}"),
    Reason.HOST_NOT_LICENSED: Advice(f"The organiser of this meeting has no licence to host. {_ADMINISTRATOR}"),
    Reason.HOST_BUSY: Advice("The organiser is hosting another meeting. Please try again when it has ended.", 30),
    Reason.HOSTS_FULL: Advice("Too many meetings are running at the moment. Please try again later.", 30),
    Reason.HOST_NOT_PRESENT: Advice("The meeting begins when its host joins. Please wait.", 5),
    Reason.EVENTS_CONCURRENT_FULL: Advice("Another event is in progress. Please try again when it has ended.", 60),
    Reason.MEETING_FULL: Advice(f"The meeting is full. {_MOMENT}", 5),
    Reason.PANEL_FULL: Advice(f"No more presenters can join this event. {_MOMENT}", 5),
    Reason.EVENT_FULL: Advice(f"The event is full. {_MOMENT}", 5),
    Reason.PORTS_FULL: Advice(f"All connections of this plan are in use. {_MOMENT}", 5),
    Reason.TEAMS_PORTS_FULL: Advice(f"All room connections of this plan are in use. {_MOMENT}", 5),
    Reason.STORE_UNAVAILABLE: Advice(f"Joining is not possible right now. {_MOMENT}", 2),
}
