"""What every route shares: who calls, the body within its bounds, problems instead of bare errors."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import structlog
from aiohttp import web

from gateway.api.problems import Problem, from_validation, invalid, store_unavailable
from gateway.domain.customer import shown
from gateway.domain.telephones import Telephones
from gateway.kernel.errors import StoreError
from gateway.tokens import Scope, Token, Tokens


BODY_BYTES_MAX = 64 * 1024
LARGE_BODY_BYTES_MAX = 1024 * 1024
BODY_TIMEOUT_S = 5.0
"""aiohttp bounds the time of headers, by the keep-alive time, but not that of a body."""

REALM = 'Bearer realm="gateway"'
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

TOKENS = web.AppKey("TOKENS", Tokens)
TELEPHONES = web.AppKey("TELEPHONES", Telephones)
LOOPBACK_OWNER = Token("loopback", "", ("admit", "nodes", "read", "admin"))
"""Who calls where no token is configured: anybody who reaches the loopback interface."""

_log = structlog.get_logger("gateway.api")


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns every fault into a problem."""
    try:
        return await handler(request)
    except Problem as problem:
        return problem.response()
    except msgspec.ValidationError as error:
        return from_validation(error).response()
    except msgspec.DecodeError as error:
        return Problem("malformed", f"The body is not JSON: {error}").response()
    except StoreError as error:
        return store_unavailable(error).response()  # the core has told of it, in a bounded number of lines
    except web.HTTPMethodNotAllowed as error:
        return Problem("method-not-allowed", headers={"Allow": ", ".join(sorted(error.allowed_methods))}).response()
    except web.HTTPNotFound:
        return Problem("not-found", "There is no such resource.").response()
    except web.HTTPRequestEntityTooLarge:
        return Problem("too-large").response()
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return Problem("malformed", error.reason).response()
    except ConnectionResetError:
        return Problem("malformed", "The caller broke off.").response()  # nobody reads this
    except Exception:  # noqa: BLE001 - logged with its trace; a caller gets a problem whatever happens
        _log.exception("request.failed", method=request.method, route=_route(request))
        return Problem("internal", "This is a fault of the gateway; it was logged.").response()


def _route(request: web.Request) -> str:
    """The path without what the caller put into it: people and their numbers could stand there (T21.1)."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""


def caller(request: web.Request, scope: Scope) -> Token:
    """The token of the request, if it allows the scope (RFC 6750). Raises Problem."""
    tokens = request.app[TOKENS]
    if not tokens.required:
        return LOOPBACK_OWNER
    kind, _, secret = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer":
        raise Problem("unauthorized", headers={"WWW-Authenticate": REALM})
    token = tokens.find(secret.strip())
    if token is None:
        raise Problem("unauthorized", headers={"WWW-Authenticate": f'{REALM}, error="invalid_token"'})
    if not token.allows(scope):
        challenge = f'{REALM}, error="insufficient_scope", scope="{scope}"'
        raise Problem("forbidden", f"The token lacks the scope {scope}.", headers={"WWW-Authenticate": challenge})
    return token


def bound_to(token: Token, customer: str, node: str | None = None) -> None:
    """Refuses what lies outside the customers and the node that the token is bound to. Raises Problem."""
    if not token.covers(customer):
        raise Problem("forbidden", "The token is bound to other customers.")
    if token.node is not None and node != token.node:
        raise Problem("forbidden", "The token is bound to another node.")


async def body_of(request: web.Request, limit: int = BODY_BYTES_MAX) -> bytes:
    """The body, within a bound of size and of time. Raises Problem."""
    if request.content_length is not None and request.content_length > limit:
        raise Problem("too-large", f"At most {limit} bytes are taken here.")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem("malformed", "No content encoding is taken here.")
    if request.content.is_eof():
        body = await request.read()
    else:
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body = await request.read()
        except TimeoutError:
            raise Problem("timeout", headers={"Connection": "close"}) from None
    if len(body) > limit:
        raise Problem("too-large", f"At most {limit} bytes are taken here.")
    return body


def query_of(request: web.Request, known: tuple[str, ...] = ()) -> dict[str, str]:
    """The query parameters, each at most once; unknown ones are refused, so that a misspelt one is noticed. Raises Problem."""
    if not request.query_string:
        return {}
    found: dict[str, str] = {}
    for name, value in request.query.items():
        if name not in known or name in found:
            problem = (
                "is given twice" if name in found else f"is not a known parameter; known: {', '.join(known) or 'none'}"
            )
            raise invalid(shown(name), problem)
        found[name] = value
    return found


def json_response(body: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json", headers=headers)
