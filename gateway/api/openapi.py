"""The OpenAPI 3.1 document, made from the types that decode requests; only the map of paths is written by hand."""

import functools
from typing import Any

import msgspec
from aiohttp import web

import gateway
from gateway.api import (
    answers,
    bodies,
    ledger_bodies,
    nodes,
    openapi_admin,
    person_bodies,
    report_bodies,
    requests,
    wire,
)
from gateway.api import openapi_parts as parts
from gateway.api.http import query_of
from gateway.api.problems import CONTENT_TYPE, ProblemBody
from gateway.domain.catalogue import Customer


TYPES = (
    wire.JoinRequest, wire.MoveRequest, wire.ConfirmRequest, wire.ReleaseRequest,
    wire.AdmitOperation, wire.PreviewOperation, wire.MoveOperation, wire.ConfirmOperation, wire.ReleaseOperation,
    answers.AdmitDecision, answers.DenyDecision, answers.Confirmation, answers.ReleaseResult,
    nodes.HeartbeatRequest, nodes.HeartbeatResult, nodes.DepartureResult, nodes.NodesBody,
    requests.StatusRequest, requests.CertificationRequest, requests.EmployeeCountRequest, requests.AssistRequest,
    bodies.CustomersBody, bodies.UsageBody, bodies.StatusBody, bodies.HostStatusBody, bodies.MeetingEndedBody, bodies.CountBody,
    report_bodies.ConnectionsBody, report_bodies.OverageReport, report_bodies.EventsBody, report_bodies.ComplianceBody,
    ledger_bodies.ActiveHostsReport, ledger_bodies.CallingReport,
    report_bodies.AssistsBody, report_bodies.AssistBooked, report_bodies.AssistRefused,
    person_bodies.PersonRequest, person_bodies.PersonBody, person_bodies.PersonDoneBody, ProblemBody,
)  # fmt: skip


def routes() -> list[web.RouteDef]:
    """Where the document is served."""
    return [web.get("/openapi.json", serve)]


async def serve(request: web.Request) -> web.Response:
    """The document; it needs no token."""
    query_of(request)
    return web.Response(body=_encoded(), content_type="application/json")


@functools.cache
def _encoded() -> bytes:
    return msgspec.json.encode(document())


def document() -> dict[str, Any]:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Admission gateway",
            "version": gateway.__version__,
            "description": (
                "Decides, in real time, whether one more connection may join. A denial is an answer, not a fault: it comes with status 200. "
                "Paths marked `admission` are served by the admission listener, all others by the admin listener."
            ),
        },
        "paths": {**_decision_paths(), **_node_paths(), **openapi_admin.paths(), **_health_paths()},
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }


def _schemas() -> dict[str, Any]:
    _, components = msgspec.json.schema_components(TYPES, ref_template=parts.REF)
    customer = Customer.model_json_schema(by_alias=True, ref_template="#/components/schemas/{model}")
    components.update(customer.pop("$defs", {}))
    # In the URL's customer the id may be left out.
    customer["required"] = [name for name in customer["required"] if name != "id"]
    components["Customer"] = customer
    operations = [
        parts.ref(name)
        for name in ("AdmitOperation", "PreviewOperation", "MoveOperation", "ConfirmOperation", "ReleaseOperation")
    ]
    components["BatchRequest"] = {
        "type": "object",
        "additionalProperties": False,
        "required": ["operations"],
        "properties": {
            "operations": {
                "type": "array",
                "minItems": 1,
                "maxItems": wire.OPERATIONS_MAX,
                "items": {"anyOf": operations},
            },
        },
    }
    results = [
        parts.ref(name) for name in ("AdmitDecision", "DenyDecision", "Confirmation", "ReleaseResult", "ProblemBody")
    ]
    components["BatchResult"] = {
        "type": "object",
        "required": ["results"],
        "properties": {"results": {"type": "array", "items": {"anyOf": results}}},
    }
    return components


def _decision_paths() -> dict[str, Any]:
    deny_status = parts.query(
        "deny_status", {"type": "string", "enum": ["403", "409", "429"]}, "Status under which a denial travels."
    )
    decision = {"anyOf": [parts.ref("AdmitDecision"), parts.ref("DenyDecision")]}
    denied = {
        str(status): parts.content(parts.ref("DenyDecision"), "A denial, where `deny_status` asked for it.")
        for status in (403, 409, 429)
    }
    for status in ("403", "409"):
        denied[status]["content"][CONTENT_TYPE] = {"schema": parts.ref("ProblemBody")}

    def decided(summary: str, body: str = "JoinRequest", *more: int) -> dict[str, Any]:
        operation = parts.operation(summary, decision, (401, *more, *parts.BODY, *parts.STORE))
        operation["responses"].update(denied)
        shared = {"tags": ["admission"], "parameters": [deny_status], "requestBody": parts.body(body)}
        return {"post": {**operation, **shared}}

    faults = (*parts.CALLER, *parts.BODY)
    release = parts.operation("Give back the seat of a connection", parts.ref("ReleaseResult"), (*faults, *parts.STORE))
    confirm = parts.operation(
        "Say that a connection is connected", parts.ref("Confirmation"), (*faults, 404, 409, *parts.STORE)
    )
    batch = parts.operation("Up to 500 operations, each on its own", parts.ref("BatchResult"), faults)
    return {
        "/v1/admit": decided("Decide a join and take its seat"),
        "/v1/preview": decided("Decide a join and change nothing"),
        "/v1/move": decided("Take a connection to another meeting or role, in one step", "MoveRequest", 404),
        "/v1/confirm": {"post": {**confirm, "tags": ["admission"], "requestBody": parts.body("ConfirmRequest")}},
        "/v1/release": {"post": {**release, "tags": ["admission"], "requestBody": parts.body("ReleaseRequest")}},
        "/v1/batch": {"post": {**batch, "tags": ["admission"], "requestBody": parts.body("BatchRequest")}},
    }


def _node_paths() -> dict[str, Any]:
    node = {"parameters": [parts.path("node", {"type": "string", "minLength": 1, "maxLength": 128})]}
    faults = (*parts.CALLER, 404, *parts.STORE)
    heartbeat = parts.operation("List the connections of a node", parts.ref("HeartbeatResult"), (*faults, *parts.BODY))
    leave = parts.operation("End a node with its connections", parts.ref("DepartureResult"), faults)
    listed = parts.operation("Nodes", parts.ref("NodesBody"), (*parts.CALLER, *parts.STORE))
    return {
        "/v1/nodes/{node}/heartbeat": {
            **node,
            "post": {**heartbeat, "tags": ["admission"], "requestBody": parts.body("HeartbeatRequest")},
        },
        "/v1/nodes/{node}": {**node, "delete": {**leave, "tags": ["admission"]}},
        "/v1/nodes": {"get": listed},
    }


def _health_paths() -> dict[str, Any]:
    state = {"type": "object", "required": ["status"]}
    ready = parts.operation("Whether decisions can be made", state, ())
    ready["responses"]["503"] = parts.content(state, "Not ready; `checks` says why.")
    metrics = parts.operation("Metrics for Prometheus", None, parts.CALLER)
    del metrics["responses"]["204"]
    exposition: dict[str, Any] = {"text/plain": {}, "application/openmetrics-text": {}}
    metrics["responses"]["200"] = {"description": "The metrics.", "content": exposition}
    return {
        "/livez": {"get": parts.operation("Whether the process answers", state, ())},
        "/readyz": {"get": ready},
        "/metrics": {"get": metrics},
        "/openapi.json": {"get": parts.operation("This document", {"type": "object"}, ())},
    }
