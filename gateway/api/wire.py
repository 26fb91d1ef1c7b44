"""Requests of media servers. They are decoded and validated by these types, and the OpenAPI document is made from them."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from gateway.api.problems import decoded, from_validation, invalid
from gateway.domain.customer import CUSTOMER_ID, PRINTABLE
from gateway.domain.join import ROLES, Endpoint, Join, Role, Service
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


class ConfirmRequest(JoinRequest, frozen=True, kw_only=True):
    """A connection that is connected now, as it asked to join."""


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


class ConfirmOperation(ConfirmRequest, tag_field="op", tag="confirm", frozen=True, kw_only=True):
    """A confirm within a batch."""


Operation = AdmitOperation | PreviewOperation | MoveOperation | ConfirmOperation | ReleaseOperation


class BatchRequest(Struct, forbid_unknown_fields=True, frozen=True):
    """Operations that are carried out each on its own; those on one connection in the order given."""

    operations: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=OPERATIONS_MAX)]


_JOIN = msgspec.json.Decoder(JoinRequest)
_PREVIEW = msgspec.json.Decoder(PreviewRequest)
_MOVE = msgspec.json.Decoder(MoveRequest)
_CONFIRM = msgspec.json.Decoder(ConfirmRequest)
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


def decode_confirm(body: bytes) -> ConfirmRequest:
    """A connected leg as it was sent. Raises as `decode_join`."""
    return decoded(_CONFIRM.decode, body)


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
