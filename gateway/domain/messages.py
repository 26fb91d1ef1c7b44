"""What the person who joins is told about each denial, and when asking again may help.

The texts may be shown or spoken: no ids, no figures, no blame. Each is whole sentences under the code of its reason, so that this table can be
handed to a translator as it stands; another language is another table with the same keys.
"""

from dataclasses import dataclass

from gateway.domain.reasons import Reason


@dataclass(frozen=True, slots=True)
class Advice:
    """What the person is told.

    `retry_after_s` hints to the caller how soon asking again may help; None: only a change of the order or of the request would.
    """

    message: str
    retry_after_s: int | None = None


ADVICE: dict[Reason, Advice] = {
    Reason.ALREADY_RELEASED: Advice("This connection has already ended. Please join again."),
    Reason.TOO_LATE: Advice("Joining took too long. Please try again.", 1),
    Reason.CUSTOMER_UNKNOWN: Advice(
        "This meeting service is not known. Please contact the organiser or your administrator."
    ),
    Reason.CUSTOMER_TERMINATED: Advice(
        "This meeting service has been ended. Please contact the organiser or your administrator."
    ),
    Reason.CUSTOMER_SUSPENDED: Advice(
        "This meeting service is suspended. Please contact the organiser or your administrator."
    ),
    Reason.SERVICE_NOT_LICENSED: Advice(
        "This kind of meeting is not part of the subscription. Please contact the organiser or your administrator."
    ),
    Reason.SUBSCRIPTION_INACTIVE: Advice(
        "The subscription is not active today. Please contact the organiser or your administrator."
    ),
    Reason.FEATURE_NOT_LICENSED: Advice(
        "Calling in this way is not part of the subscription. Please join by another way, or contact your administrator."
    ),
    Reason.FEATURE_NOT_INCLUDED: Advice(
        "This feature is not part of the subscription. Please join without it, or contact your administrator."
    ),
    Reason.ACCESS_NOT_LICENSED: Advice(
        "This access is not part of the subscription. Please join by another way, or contact your administrator."
    ),
    Reason.ACCESS_ENDED: Advice("This access is no longer offered. Please join by another way."),
    Reason.NUMBER_BLOCKED: Advice(
        "This telephone number cannot be used here. Please join by another way, or contact your administrator."
    ),
    Reason.ENDPOINT_NOT_SUPPORTED: Advice("This kind of device cannot join this meeting. Please use a room system."),
    Reason.DEPARTMENT_NOT_LICENSED: Advice(
        "This department has no licence for events. Please contact the organiser or your administrator."
    ),
    Reason.HOST_NOT_LICENSED: Advice(
        "The organiser of this meeting has no licence to host. Please contact the organiser or your administrator."
    ),
    Reason.HOST_SUSPENDED: Advice(
        "The organiser of this meeting cannot host at present. Please contact the organiser or your administrator."
    ),
    Reason.ROOM_NOT_LICENSED: Advice("This room has no licence. Please join by another way, or contact your administrator."),
    Reason.ROOM_CANNOT_HOST: Advice("A room cannot host. Please join as a participant, or host from another device."),
    Reason.ROOM_IN_USE: Advice("This room is in another meeting. Please try again when it has left that one.", 10),
    Reason.HOST_BUSY: Advice("The organiser is hosting another meeting. Please try again when it has ended.", 30),
    Reason.HOSTS_FULL: Advice("Too many meetings are running at the moment. Please try again later.", 30),
    Reason.HOST_NOT_PRESENT: Advice("The meeting begins when its host joins. Please wait.", 5),
    Reason.EVENTS_EXHAUSTED: Advice(
        "All events of the subscription have been held. Please contact the organiser or your administrator."
    ),
    Reason.EVENTS_CONCURRENT_FULL: Advice("Another event is in progress. Please try again when it has ended.", 60),
    Reason.EVENT_OVER_TIME: Advice("The time of this event is over. Nobody else can join it."),
    Reason.STREAMING_OVER_TIME: Advice("The time for streaming this meeting is over. Nobody else can join it."),
    Reason.MEETING_FULL: Advice("The meeting is full. Please try again in a moment.", 5),
    Reason.PANEL_FULL: Advice("No more presenters can join this event. Please try again in a moment.", 5),
    Reason.EVENT_FULL: Advice("The event is full. Please try again in a moment.", 5),
    Reason.PSTN_FULL: Advice("All telephone connections are in use. Please try again in a moment, or join by computer.", 5),
    Reason.CHINA_FULL: Advice("All connections of this access are in use. Please try again in a moment.", 5),
    Reason.PORTS_FULL: Advice("All connections of this plan are in use. Please try again in a moment.", 5),
    Reason.TEAMS_PORTS_FULL: Advice("All room connections of this plan are in use. Please try again in a moment.", 5),
    Reason.STORE_UNAVAILABLE: Advice("Joining is not possible right now. Please try again in a moment.", 2),
}
