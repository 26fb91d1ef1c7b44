"""What travels: request and response bodies. Requests are decoded and validated by these types, and the OpenAPI document is made from them."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from gateway.api.problems import decoded, from_validation, invalid
from gateway.domain.customer import CUSTOMER_ID, PRINTABLE
from gateway.domain.days import instant
from gateway.domain.join import ROLES, Decision, Endpoint, Join, Role, Service
from gateway.domain.messages import ADVICE
from gateway.domain.reasons import Reason
from gateway.domain.telephones import Telephones


CONNECTION_BYTES_MAX = 256
NODE_LEASE_S_MAX = 300
OPERATIONS_MAX = 500

CustomerId = Annotated[str, Meta(min_length=1, max_length=64, pattern=CUSTOMER_ID)]
ConnectionId = Annotated[
    str,
    Meta(
        min_length=1, max_length=256, pattern=PRINTABLE, description="At most 256 bytes of UTF-8; new at every rejoin."
    ),
]
Identifier = Annotated[str, Meta(min_length=1, max_length=128, pattern=PRINTABLE)]
Number = Annotated[str, Meta(pattern=r"^\+[1-9][0-9]{6,14}$(?!\n)", description="E.164; kept nowhere as given.")]
Code = Annotated[str, Meta(min_length=1, max_length=32, pattern=r"^[a-z][a-z0-9_]*$(?!\n)")]
Mode = Literal["enforce", "shadow"]
Calling = Literal["toll", "toll_free", "international", "call_me", "premium"]


class JoinRequest(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A connection that asks to join."""

    customer: CustomerId
    connection: ConnectionId
    service: Service
    meeting: Identifier
    endpoint: Endpoint
    role: Role | None = None
    host: Identifier | None = None
    person: Identifier | None = None
    node: Identifier | None = None
    room: Identifier | None = None
    department: Identifier | None = None
    media: Literal["video", "audio"] = "video"
    calling: Calling | None = None
    number: Number | None = None
    access_number: Number | None = None
    country: Annotated[str, Meta(pattern=r"^[A-Z]{2}$(?!\n)", description="ISO 3166-1 alpha-2")] | None = None
    access: Literal["china"] | None = None
    features: Annotated[list[Literal["one_touch", "relay", "streaming"]], Meta(max_length=3)] = []
    lease_s: Annotated[int, Meta(ge=10, le=86400, description="With `node` at most 300.")] | None = None
    deadline_ms: Annotated[int, Meta(ge=1, le=60000, description="How long the caller will wait.")] = 2000


class PreviewRequest(JoinRequest, frozen=True, kw_only=True):
    """A connection that might ask to join."""


class MoveRequest(JoinRequest, frozen=True, kw_only=True):
    """A live connection that goes from the meeting `from` to this meeting or role."""

    origin: Identifier = field(name="from")


class ReleaseRequest(Struct, forbid_unknown_fields=True, frozen=True):
    """A connection that has ended."""

    customer: CustomerId
    connection: ConnectionId
    node: Identifier | None = None
    cause: Code | None = None


class AdmitOperation(JoinRequest, tag_field="op", tag="admit", frozen=True, kw_only=True):
    """An admit within a batch."""


class PreviewOperation(PreviewRequest, tag_field="op", tag="preview", frozen=True, kw_only=True):
    """A preview within a batch."""


class MoveOperation(MoveRequest, tag_field="op", tag="move", frozen=True, kw_only=True):
    """A move within a batch."""


class ReleaseOperation(ReleaseRequest, tag_field="op", tag="release", frozen=True):
    """A release within a batch."""


Operation = AdmitOperation | PreviewOperation | MoveOperation | ReleaseOperation


class BatchRequest(Struct, forbid_unknown_fields=True, frozen=True):
    """Operations that are carried out each on its own; those on one connection in the order given."""

    operations: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=OPERATIONS_MAX)]


class LimitBody(Struct, omit_defaults=True, frozen=True):
    """Use of one limit, this connection included."""

    limit: str
    used: int = -1
    committed: int | None = None
    ceiling: int | None = None


class LeaseBody(Struct, frozen=True):
    """How long the connection is counted without a further sign of life."""

    state: Literal["provisional", "connected"]
    expires_in_s: int


class AdmitDecision(Struct, tag_field="decision", tag="admit", frozen=True, kw_only=True):
    """The connection may join."""

    reason: Reason
    customer: str
    connection: str
    overage: bool
    mode: Mode
    licensed_by: str | UnsetType = UNSET
    counted_in: tuple[str, ...] = ()
    limits: tuple[LimitBody, ...] = ()
    lease: LeaseBody
    would_deny: Reason | UnsetType = UNSET
    meeting_host: str | UnsetType = UNSET
    decided_at: str


class DenyDecision(Struct, tag_field="decision", tag="deny", frozen=True, kw_only=True):
    """The connection may not join. `message` may be shown or spoken to who joins."""

    reason: Reason
    customer: str
    connection: str
    mode: Mode
    limits: tuple[LimitBody, ...] = ()
    busy_meeting: str | UnsetType = UNSET
    meeting_host: str | UnsetType = UNSET
    retry_after_s: int | UnsetType = UNSET
    message: str
    decided_at: str


class ReleaseResult(Struct, frozen=True):
    """Whether a seat was given back; `connected_s` where the connection had been connected."""

    released: bool
    connected_s: float | UnsetType = UNSET


class BatchResult(Struct, frozen=True):
    """One result per operation, in order; a problem where an operation is at fault."""

    results: list[Any]


_JOIN = msgspec.json.Decoder(JoinRequest)
_PREVIEW = msgspec.json.Decoder(PreviewRequest)
_MOVE = msgspec.json.Decoder(MoveRequest)
_RELEASE = msgspec.json.Decoder(ReleaseRequest)
_BATCH = msgspec.json.Decoder(BatchRequest)
_OPERATION: msgspec.json.Decoder[Operation] = msgspec.json.Decoder(Operation)


def decode_join(body: bytes) -> JoinRequest:
    """A join as it was sent. Raises msgspec.DecodeError (not JSON), msgspec.ValidationError."""
    return decoded(_JOIN.decode, body)


def decode_preview(body: bytes) -> PreviewRequest:
    """A join to preview as it was sent. Raises as `decode_join`."""
    return decoded(_PREVIEW.decode, body)


def decode_move(body: bytes) -> MoveRequest:
    """A move as it was sent. Raises as `decode_join`."""
    return decoded(_MOVE.decode, body)


def decode_release(body: bytes) -> ReleaseRequest:
    """A release as it was sent. Raises as `decode_join`."""
    return decoded(_RELEASE.decode, body)


def decode_batch(body: bytes) -> BatchRequest:
    """A batch as it was sent; its operations are not looked into. Raises as `decode_join`."""
    return decoded(_BATCH.decode, body)


def decode_operation(raw: msgspec.Raw, path: str) -> Operation:
    """One operation of a batch, which stands at `path`. Raises Problem."""
    try:
        return decoded(_OPERATION.decode, raw)
    except msgspec.ValidationError as error:
        raise from_validation(error, path) from None


def check_connection(connection: str, root: str = "$") -> None:
    """The bound of a connection id, which a schema cannot say because it is in bytes. Raises Problem."""
    if len(connection) * 4 > CONNECTION_BYTES_MAX and len(connection.encode()) > CONNECTION_BYTES_MAX:
        raise invalid(f"{root}.connection", f"is longer than {CONNECTION_BYTES_MAX} bytes")


def join_of(request: JoinRequest, telephones: Telephones, root: str = "$") -> Join:
    """The join that is asked about, once the rules between fields hold; telephone numbers end here (T21.1). Raises Problem."""
    check_connection(request.connection, root)
    roles = ROLES[request.service]
    if request.role is not None and request.role not in roles:
        raise invalid(f"{root}.role", f"is no role of service {request.service}: {', '.join(roles)}")
    if request.endpoint is not Endpoint.PSTN:
        for name in ("calling", "number", "access_number"):
            if getattr(request, name) is not None:
                raise invalid(f"{root}.{name}", "goes with endpoint pstn only")
    if request.node is not None and request.lease_s is not None and request.lease_s > NODE_LEASE_S_MAX:
        raise invalid(f"{root}.lease_s", f"is at most {NODE_LEASE_S_MAX} with a node")
    return Join(
        customer=request.customer,
        connection=request.connection,
        service=request.service,
        meeting=request.meeting,
        endpoint=request.endpoint,
        role=request.role or roles[0],
        host=request.host,
        person=request.person,
        node=request.node,
        room=request.room,
        department=request.department,
        media=request.media,
        calling=request.calling,
        number=telephones.read(request.number) if request.number else None,
        access_number=telephones.read(request.access_number) if request.access_number else None,
        country=request.country,
        access=request.access,
        features=tuple(request.features),
        lease_s=request.lease_s,
    )


def decision_body(decision: Decision) -> AdmitDecision | DenyDecision:
    """A decision as it travels."""
    limits = tuple([LimitBody(use.limit, use.used, use.committed, use.ceiling) for use in decision.limits])
    mode: Mode = "shadow" if decision.mode == "shadow" else "enforce"
    if decision.admitted:
        assert decision.lease is not None, "every leg is covered by a lease"
        return AdmitDecision(
            reason=decision.reason,
            customer=decision.join.customer,
            connection=decision.join.connection,
            overage=decision.overage,
            mode=mode,
            licensed_by=decision.licensed_by or UNSET,
            counted_in=decision.counted_in,
            limits=limits,
            lease=LeaseBody("provisional" if decision.lease.provisional else "connected", decision.lease.expires_in_s),
            would_deny=decision.would_deny or UNSET,
            meeting_host=decision.meeting_host or UNSET,
            decided_at=instant(decision.decided_at_ms),
        )
    advice = ADVICE[decision.reason]
    return DenyDecision(
        reason=decision.reason,
        customer=decision.join.customer,
        connection=decision.join.connection,
        mode=mode,
        limits=limits,
        busy_meeting=decision.busy_meeting or UNSET,
        meeting_host=decision.meeting_host or UNSET,
        retry_after_s=UNSET if advice.retry_after_s is None else advice.retry_after_s,
        message=advice.message,
        decided_at=instant(decision.decided_at_ms),
    )
