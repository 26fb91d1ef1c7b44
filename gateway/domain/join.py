"""A join: what a media server asks about, and the decision it gets."""

import enum
import hashlib

import msgspec

from gateway.domain.reasons import Reason


class Service(enum.StrEnum):
    """What is joined: the provider's own meeting, a Microsoft Teams meeting through the gateway, or an event (webinar)."""

    MEETING = "meeting"
    TEAMS = "teams"
    EVENT = "event"


class Endpoint(enum.StrEnum):
    """The means by which a leg connects."""

    WEB = "web"
    APP = "app"
    PSTN = "pstn"
    H323 = "h323"
    SIP = "sip"
    OTHER = "other"


class Role(enum.StrEnum):
    """What a leg is in the meeting: host or participant; in events moderator, presenter or attendee."""

    HOST = "host"
    PARTICIPANT = "participant"
    MODERATOR = "moderator"
    PRESENTER = "presenter"
    ATTENDEE = "attendee"


ROLES: dict[Service, tuple[Role, ...]] = {
    # The first is the default where a caller names none.
    Service.MEETING: (Role.PARTICIPANT, Role.HOST),
    Service.TEAMS: (Role.PARTICIPANT, Role.HOST),
    Service.EVENT: (Role.ATTENDEE, Role.PRESENTER, Role.MODERATOR),
}


KEPT_NUMBER = r"hash:[0-9a-f]{8}:[0-9a-f]{32}"
"""The form in which a telephone number is kept (T21.1): the id of the key, and the number hashed with it."""


class Telephone(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of a telephone number (T21.1): never the number, but a keyed hash of it and what was derived before hashing."""

    hash: str | None = None
    """None where the gateway has no key to hash with."""
    calling_code: int | None = None
    """The country code that is dialled, such as 33."""
    country: str | None = None
    """ISO 3166-1 alpha-2; None for a number of no one country."""
    number_class: str = "standard"
    """`standard` or `premium_rate` (T15.4)."""


class Join(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint leg that asks to enter a meeting.

    `connection` is the caller's id of the leg and the idempotency key; its scope is the customer. `host` is the owner of the meeting, not who
    joins. `number` is that of the person, `access_number` the provider's own that was dialled; neither as given (T21.1).
    """

    customer: str
    connection: str
    service: Service
    meeting: str
    endpoint: Endpoint
    role: Role
    host: str | None = None
    person: str | None = None
    node: str | None = None
    room: str | None = None
    department: str | None = None
    media: str = "video"
    calling: str | None = None
    number: Telephone | None = None
    access_number: Telephone | None = None
    country: str | None = None
    access: str | None = None
    features: tuple[str, ...] = ()
    lease_s: int | None = None

    @property
    def fingerprint(self) -> str:
        """What must be equal for a repeated connection id to be the same join; a short digest, the same on every gateway."""
        parts = (
            self.service, self.meeting, self.role, self.endpoint, self.host, self.room, self.department, self.calling, self.access,
        )  # fmt: skip
        # The separator cannot occur in an id, so two different joins never give one text.
        text = "\x1f".join([part or "" for part in parts])
        return hashlib.blake2b(text.encode(), digest_size=9).hexdigest()


class LimitUse(msgspec.Struct, frozen=True):
    """One limit that governed a decision: `used` counts this connection; None where there is no such bound."""

    limit: str
    used: int
    committed: int | None = None
    ceiling: int | None = None


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """How long a leg is counted without a further sign of life; `provisional` until it is confirmed as connected."""

    provisional: bool
    expires_in_s: int


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a join. A denial is a value, not an error."""

    admitted: bool
    reason: Reason
    join: Join
    decided_at_ms: int
    mode: str = "enforce"
    overage: bool = False
    licensed_by: str | None = None
    counted_in: tuple[str, ...] = ()
    limits: tuple[LimitUse, ...] = ()
    lease: Lease | None = None
    would_deny: Reason | None = None
    busy_meeting: str | None = None
    meeting_host: str | None = None
    """The meeting's owner, where the caller named a different one, which was ignored (terms: "host")."""
