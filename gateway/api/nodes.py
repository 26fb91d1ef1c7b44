"""Routes of nodes: heartbeats and departures on the admission listener, the list of nodes on the admin listener."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from gateway.api.http import LARGE_BODY_BYTES_MAX, body_of, caller, json_response, query_of
from gateway.api.problems import Problem, decoded, invalid
from gateway.api.wire import CustomerId, Identifier, check_connection
from gateway.domain.customer import PRINTABLE
from gateway.domain.days import instant
from gateway.nodes.heartbeats import Heartbeats
from gateway.tokens import Token


HEARTBEATS = web.AppKey("HEARTBEATS", Heartbeats)
LEGS_MAX = 5_000
"""Legs on one page of a heartbeat."""
PAGES_MAX = 1_000


class HeartbeatRequest(Struct, forbid_unknown_fields=True, frozen=True):
    """The legs that a node holds, per customer; one page of them."""

    connections: dict[CustomerId, list[Annotated[str, Meta(min_length=1, max_length=256, pattern=PRINTABLE)]]]
    page: Annotated[int, Meta(ge=1, le=PAGES_MAX)] = 1
    pages: Annotated[int, Meta(ge=1, le=PAGES_MAX)] = 1


class HeartbeatResult(Struct, frozen=True):
    """Leases renewed; legs that are not known, which the node confirms with their full body; legs that an operator ended."""

    renewed: int
    unknown: Mapping[str, list[str]]
    drop: Mapping[str, list[str]]
    next_in_s: int


class DepartureResult(Struct, frozen=True):
    """How many legs ended with the node."""

    reclaimed: int


class NodeBody(Struct, frozen=True):
    """A node, when it was heard of last, and how many legs it listed then."""

    node: str
    last_heartbeat: str
    legs: int


class NodesBody(Struct, frozen=True):
    """All nodes that were heard of within a day."""

    nodes: list[NodeBody]


_HEARTBEAT = msgspec.json.Decoder(HeartbeatRequest)
_NODE = msgspec.json.Decoder(Identifier)


def routes() -> list[web.RouteDef]:
    """The routes of the admission listener."""
    return [web.post("/v1/nodes/{node}/heartbeat", heartbeat), web.delete("/v1/nodes/{node}", leave)]


def admin_routes() -> list[web.RouteDef]:
    """The routes of the admin listener."""
    return [web.get("/v1/nodes", nodes)]


async def heartbeat(request: web.Request) -> web.Response:
    """A node says which legs it holds."""
    token = caller(request, "nodes")
    node = _node_of(request, token)
    query_of(request)
    asked = decoded(_HEARTBEAT.decode, await body_of(request, LARGE_BODY_BYTES_MAX))
    if asked.page > asked.pages:
        raise invalid("$.page", f"is past the {asked.pages} pages")
    if sum([len(ids) for ids in asked.connections.values()]) > LEGS_MAX:
        raise invalid("$.connections", f"holds more than {LEGS_MAX} connections; send more pages")
    for customer, ids in asked.connections.items():
        if not token.covers(customer):
            raise Problem("forbidden", "The token is bound to other customers.")
        for connection in ids:
            check_connection(connection, f"$.connections.{customer}[...]")
    connections = {customer: ids for customer, ids in asked.connections.items() if ids}
    beat = await request.app[HEARTBEATS].beat(node, connections, page=asked.page, pages=asked.pages)
    return json_response(beat)


async def leave(request: web.Request) -> web.Response:
    """A node has left: the legs that it owns end."""
    token = caller(request, "nodes")
    node = _node_of(request, token)
    query_of(request)
    if token.customers:
        raise Problem("forbidden", "A node ends with the legs of all customers; the token is bound to some.")
    return json_response(DepartureResult(await request.app[HEARTBEATS].leave(node)))


async def nodes(request: web.Request) -> web.Response:
    """All nodes."""
    token = caller(request, "read")
    query_of(request)
    if token.customers:
        raise Problem("forbidden", "Nodes serve all customers; the token is bound to some.")
    found = await request.app[HEARTBEATS].nodes()
    return json_response(NodesBody([NodeBody(each.node, instant(each.last_ms), each.legs) for each in found]))


def _node_of(request: web.Request, token: Token) -> str:
    """The node of the path. Raises Problem."""
    node = request.match_info["node"]
    try:
        _NODE.decode(msgspec.json.encode(node))
    except msgspec.ValidationError:
        raise Problem("not-found", "There is no such node.") from None
    if token.node is not None and token.node != node:
        raise Problem("forbidden", "The token is bound to another node.")
    return node
