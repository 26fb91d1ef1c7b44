"""The fields of a join, and the bodies made of them."""

from collections.abc import Mapping
from typing import Any, Literal, TypedDict


class JoinFields(TypedDict, total=False):
    """A connection that joins. `customer`, `connection`, `service`, `meeting` and `endpoint` are needed, in the mapping or as keywords.

    The gateway checks the fields and names the wrong one; `None` counts as left out.
    """

    customer: str
    connection: str
    service: Literal["meeting", "teams", "event"]
    meeting: str
    endpoint: Literal["web", "app", "pstn", "h323", "sip", "other"]
    role: Literal["participant", "host", "attendee", "presenter", "moderator"] | None
    host: str | None
    person: str | None
    node: str | None
    room: str | None
    department: str | None
    media: Literal["video", "audio"] | None
    calling: Literal["toll", "toll_free", "international", "call_me", "premium"] | None
    number: str | None
    access_number: str | None
    country: str | None
    access: Literal["china"] | None
    features: list[Literal["one_touch", "relay", "streaming"]]
    lease_s: int | None
    deadline_ms: int | None


Key = tuple[str, str]
"""Customer and connection: what names a leg."""


def body_of(join: Mapping[str, Any], node: str | None) -> dict[str, Any]:
    """The body of a join that is held by `node`, unless it names another."""
    body = {name: value for name, value in join.items() if value is not None}
    if node is not None:
        body.setdefault("node", node)
    return body


def key_of(body: Mapping[str, Any]) -> Key:
    """The leg that a body is about; the gateway refuses a body that names none."""
    return str(body.get("customer", "")), str(body.get("connection", ""))


def release_body(key: Key, node: str | None, cause: str | None) -> dict[str, Any]:
    """The body of a release."""
    named = {"customer": key[0], "connection": key[1], "node": node, "cause": cause}
    return {name: value for name, value in named.items() if value is not None}
