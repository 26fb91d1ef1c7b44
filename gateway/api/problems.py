"""Faults as RFC 9457 problem details. A denial is no fault: it is an answer."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from gateway.domain.customer import Fault, shown
from gateway.domain.messages import ADVICE
from gateway.domain.reasons import Reason
from gateway.kernel.errors import OutboxFull, StoreError, StoreRecovering


CONTENT_TYPE = "application/problem+json"
FAULTS_SHOWN_MAX = 100

T = TypeVar("T")


class ErrorDetail(msgspec.Struct, omit_defaults=True, frozen=True):
    """One thing wrong with a request: where (a JSONPath, or the name of a path or query parameter), what, and by which rule."""

    path: str
    message: str
    rule: str | None = None


class ProblemBody(msgspec.Struct, omit_defaults=True, frozen=True):
    """RFC 9457 problem details. `type` is stable: clients may branch on it."""

    type: str
    title: str
    status: int
    detail: str | None = None
    errors: tuple[ErrorDetail, ...] = ()
    decision: str | None = None
    reason: str | None = None
    retry_after_s: int | None = None


TITLES: dict[str, tuple[int, str]] = {
    "malformed": (400, "The request is not well-formed"),
    "unauthorized": (401, "A bearer token is needed"),
    "forbidden": (403, "The token does not allow this"),
    "not-found": (404, "No such thing"),
    "method-not-allowed": (405, "This method is not allowed here"),
    "timeout": (408, "The request body did not arrive in time"),
    "conflict": (409, "The request contradicts what is stored"),
    "too-large": (413, "The request is too large"),
    "invalid": (422, "The request fails its schema"),
    "internal": (500, "The gateway failed"),
    "ledger-unavailable": (503, "The ledger cannot be read"),
    "store-unavailable": (503, "The store cannot decide"),
}


class Problem(Exception):
    """A fault that is answered as a problem."""

    def __init__(
        self,
        kind: str,
        detail: str | None = None,
        errors: Iterable[ErrorDetail] = (),
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail or kind)
        status, title = TITLES[kind]
        self.status = status
        self.headers = dict(headers or {})
        self.body = ProblemBody(
            f"urn:admission-gateway:problem:{kind}", title, status, detail, tuple(errors), **members
        )

    def response(self) -> web.Response:
        """The problem as an answer."""
        return web.Response(
            body=msgspec.json.encode(self.body), status=self.status, content_type=CONTENT_TYPE, headers=self.headers
        )


def invalid(path: str, message: str) -> Problem:
    """A request whose field at `path` is wrong."""
    return Problem("invalid", f"{path}: {message}", [ErrorDetail(path, message)])


def invalid_catalogue(faults: Iterable[Fault]) -> Problem:
    """A customer that is refused, with all its faults."""
    found = list(faults)
    more = (
        f" {len(found)} faults, of which the first {FAULTS_SHOWN_MAX} are shown."
        if len(found) > FAULTS_SHOWN_MAX
        else ""
    )
    errors = [ErrorDetail(fault.path, fault.message, fault.rule) for fault in found[:FAULTS_SHOWN_MAX]]
    return Problem("invalid", f"The customer is refused whole.{more}", errors)


def decoded(decode: Callable[[Any], T], body: Any) -> T:
    """The body, decoded. Raises msgspec.DecodeError, msgspec.ValidationError, Problem (what msgspec tells by other errors)."""
    try:
        return decode(body)
    except UnicodeDecodeError:
        raise Problem("malformed", "The body is not JSON: it is no UTF-8 text.") from None
    except RecursionError:
        raise Problem("malformed", "The body is nested too deeply.") from None


def store_unavailable(error: StoreError) -> Problem:
    """An outage; never told as "limit reached"."""
    retry_after_s = ADVICE[Reason.STORE_UNAVAILABLE].retry_after_s
    match error:
        case StoreRecovering():
            detail = "The store has lost connections that media servers are bringing back."
        case OutboxFull():
            detail = "The record of what happened is too far behind to admit more."
        case _:
            detail = "The store did not answer."
    return Problem(
        "store-unavailable",
        detail,
        headers={"Retry-After": str(retry_after_s)},
        decision="deny",
        reason=Reason.STORE_UNAVAILABLE.value,
        retry_after_s=retry_after_s,
    )


_UNKNOWN_FIELD = re.compile(r"^Object contains unknown field `(?P<name>.*?)`(?: - at `(?P<path>.*)`)?$", re.DOTALL)
_MISSING_FIELD = re.compile(r"^Object missing required field `(?P<name>.*?)`(?: - at `(?P<path>.*)`)?$", re.DOTALL)
_AT_PATH = re.compile(r"^(?P<message>.*?) - at `(?:key` in `)?(?P<path>.*)`$", re.DOTALL)


def from_validation(error: msgspec.ValidationError, root: str = "$") -> Problem:
    """The problem that a validation error of msgspec means, at the JSONPath of the field."""
    text = str(error)
    for pattern, message in ((_UNKNOWN_FIELD, "is not a known field"), (_MISSING_FIELD, "is required")):
        if found := pattern.match(text):
            return invalid(f"{_below(root, found['path'])}.{shown(found['name'])}", message)
    found = _AT_PATH.match(text)
    message, path = (found["message"], _below(root, found["path"])) if found else (text, root)
    if message.startswith("Expected `str` matching regex"):
        message = "has characters that are not allowed here, or looks like a telephone number"
    elif message.startswith(("Invalid enum value", "Invalid value")):
        message = "is not one of the known values"
    elif message.startswith("Invalid RFC3339 encoded datetime"):
        message = "is not an instant as in RFC 3339, such as 2026-12-01T17:00:00Z"
    elif message.startswith("Invalid RFC3339 encoded date"):
        message = "is not a date (YYYY-MM-DD)"
    elif message.startswith("Expected "):
        message = message[0].lower() + message[1:]
    return invalid(path, message)


def _below(root: str, path: str | None) -> str:
    return root + (path or "$").removeprefix("$")
