"""The OpenAPI 3.1 document, made from the types that decode requests; only the map of paths is written by hand."""

import functools
from typing import Any

import msgspec
from aiohttp import web

import gateway
from gateway.api import bodies, wire
from gateway.api.http import query_of
from gateway.api.problems import CONTENT_TYPE, TITLES, ProblemBody
from gateway.domain.catalogue import Customer
from gateway.domain.customer import CUSTOMER_ID, PRINTABLE


REF = "#/components/schemas/{name}"
TYPES = (
    wire.JoinRequest, wire.ReleaseRequest, wire.AdmitOperation, wire.PreviewOperation, wire.ReleaseOperation, wire.StatusRequest,
    wire.AdmitDecision, wire.DenyDecision, wire.ReleaseResult, bodies.UsageBody, bodies.ConnectionsBody, bodies.OverageReport,
    bodies.CustomersBody, bodies.StatusBody, ProblemBody,
)  # fmt: skip

_CALLER = (401, 403)
_BODY = (400, 408, 413, 422)
_STORE = (503,)


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
        "paths": {**_decision_paths(), **_customer_paths(), **_health_paths()},
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }


def _schemas() -> dict[str, Any]:
    _, components = msgspec.json.schema_components(TYPES, ref_template=REF)
    customer = Customer.model_json_schema(by_alias=True, ref_template="#/components/schemas/{model}")
    components.update(customer.pop("$defs", {}))
    # In the URL's customer the id may be left out.
    customer["required"] = [name for name in customer["required"] if name != "id"]
    components["Customer"] = customer
    operations = [_ref(name) for name in ("AdmitOperation", "PreviewOperation", "ReleaseOperation")]
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
    results = [_ref(name) for name in ("AdmitDecision", "DenyDecision", "ReleaseResult", "ProblemBody")]
    components["BatchResult"] = {
        "type": "object",
        "required": ["results"],
        "properties": {"results": {"type": "array", "items": {"anyOf": results}}},
    }
    return components


def _decision_paths() -> dict[str, Any]:
    deny_status = _query(
        "deny_status", {"type": "string", "enum": ["403", "409", "429"]}, "Status under which a denial travels."
    )
    decision = {"anyOf": [_ref("AdmitDecision"), _ref("DenyDecision")]}
    denied = {
        str(status): _content(_ref("DenyDecision"), "A denial, where `deny_status` asked for it.")
        for status in (403, 409, 429)
    }
    for status in ("403", "409"):
        denied[status]["content"][CONTENT_TYPE] = {"schema": _ref("ProblemBody")}
    shared = {"tags": ["admission"], "parameters": [deny_status], "requestBody": _body("JoinRequest")}

    def decided(summary: str) -> dict[str, Any]:
        operation = _operation(summary, decision, (401, *_BODY, *_STORE))
        operation["responses"].update(denied)
        return {"post": {**operation, **shared}}

    release = _operation("Give back the seat of a connection", _ref("ReleaseResult"), (*_CALLER, *_BODY, *_STORE))
    batch = _operation("Up to 500 operations, each on its own", _ref("BatchResult"), (*_CALLER, *_BODY))
    return {
        "/v1/admit": decided("Decide a join and take its seat"),
        "/v1/preview": decided("Decide a join and change nothing"),
        "/v1/release": {"post": {**release, "tags": ["admission"], "requestBody": _body("ReleaseRequest")}},
        "/v1/batch": {"post": {**batch, "tags": ["admission"], "requestBody": _body("BatchRequest")}},
    }


ONE = "/v1/customers/{customer}"
FAULTS = (*_CALLER, 422, *_STORE)


def _customer_paths() -> dict[str, Any]:
    customer = _path("customer", {"type": "string", "minLength": 1, "maxLength": 64, "pattern": CUSTOMER_ID})
    paths = {**_entitlement_paths(), **_report_paths(), **_status_paths()}
    for path, item in paths.items():
        if path.startswith(ONE):
            item["parameters"] = [customer, *item.get("parameters", ())]
    return paths


def _entitlement_paths() -> dict[str, Any]:
    if_match = _header("If-Match", {"type": "string", "pattern": r'^"?[0-9]{1,15}"?$'}, "Version that is replaced.")
    if_none_match = _header("If-None-Match", {"const": "*"}, "Only where there is none yet.")
    after = _query("after", {"type": "string"}, "Customers with greater ids.")
    listed = _operation("List customers", _ref("CustomersBody"), FAULTS)
    put = _operation("Install a customer", _ref("Customer"), (*_CALLER, *_BODY, 409, *_STORE), etag=True)
    put["responses"]["201"] = put["responses"]["200"]
    delete = _operation("Remove a customer", None, (*FAULTS, 404, 409))
    return {
        "/v1/customers": {"get": {**listed, "parameters": [_limit(), after]}},
        ONE: {
            "get": _operation("A customer as in the catalogue", _ref("Customer"), (*FAULTS, 404), etag=True),
            "put": {**put, "parameters": [if_match, if_none_match], "requestBody": _body("Customer")},
            "delete": {**delete, "parameters": [if_match]},
        },
    }


def _report_paths() -> dict[str, Any]:
    connection = _path("connection", {"type": "string", "minLength": 1, "maxLength": 256, "pattern": PRINTABLE})
    connections = _operation("Live connections", _ref("ConnectionsBody"), (*FAULTS, 404))
    cursor = _query("cursor", {"type": "string", "pattern": "^[0-9]{1,19}$"})
    overage = _operation("Overage by day and pool", _ref("OverageReport"), (*FAULTS, 404))
    overage["responses"]["200"]["content"]["text/csv"] = {"schema": {"type": "string"}}
    day = {"type": "string", "format": "date"}
    return {
        f"{ONE}/usage": {"get": _operation("Live use and limits", _ref("UsageBody"), (*FAULTS, 404))},
        f"{ONE}/connections": {"get": {**connections, "parameters": [_limit(), cursor]}},
        f"{ONE}/connections/{{connection}}": {
            "parameters": [connection],
            "delete": _operation("End a connection as an operator", None, (*FAULTS, 404)),
        },
        f"{ONE}/overage": {"get": {**overage, "parameters": [_query("from", day), _query("to", day)]}},
    }


_REASON_GIVEN: dict[str, Any] = {"required": ["reason"], "properties": {"reason": {"type": "string"}}}
_STATUS_RULES = {
    "suspend": _REASON_GIVEN,
    "resume": {"properties": {"drop_live": {"const": False}}},
    "terminate": _REASON_GIVEN,
}


def _status_paths() -> dict[str, Any]:
    summaries = {"suspend": "Refuse joins", "resume": "End a suspension", "terminate": "Refuse joins for good"}
    return {
        f"{ONE}/{verb}": {
            "post": {
                **_operation(summary, _ref("StatusBody"), (*_CALLER, *_BODY, 404, 409, *_STORE)),
                "requestBody": _body("StatusRequest", _STATUS_RULES[verb], required=verb != "resume"),
            }
        }
        for verb, summary in summaries.items()
    }


def _limit() -> dict[str, Any]:
    return _query("limit", {"type": "integer", "minimum": 1, "maximum": 1000})


def _health_paths() -> dict[str, Any]:
    state = {"type": "object", "required": ["status"]}
    ready = _operation("Whether decisions can be made", state, ())
    ready["responses"]["503"] = _content(state, "Not ready; `checks` says why.")
    metrics = _operation("Metrics for Prometheus", None, _CALLER)
    del metrics["responses"]["204"]
    exposition: dict[str, Any] = {"text/plain": {}, "application/openmetrics-text": {}}
    metrics["responses"]["200"] = {"description": "The metrics.", "content": exposition}
    return {
        "/livez": {"get": _operation("Whether the process answers", state, ())},
        "/readyz": {"get": ready},
        "/metrics": {"get": metrics},
        "/openapi.json": {"get": _operation("This document", {"type": "object"}, ())},
    }


def _operation(
    summary: str, answer: dict[str, Any] | None, faults: tuple[int, ...], *, etag: bool = False
) -> dict[str, Any]:
    """An operation with its answer (none: 204) and the problems that it may come to."""
    done: dict[str, Any] = _content(answer, "Done.") if answer is not None else {"description": "Done."}
    if etag:
        done["headers"] = {"ETag": {"schema": {"type": "string"}, "description": "Version of the entitlements."}}
    titles = dict(TITLES.values())
    responses: dict[str, Any] = {"200" if answer is not None else "204": done}
    for status in sorted(faults):
        problem: dict[str, Any] = {CONTENT_TYPE: {"schema": _ref("ProblemBody")}}
        responses[str(status)] = {"description": titles[status], "content": problem}
    return {"summary": summary, "responses": responses}


def _content(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _body(name: str, rules: dict[str, Any] | None = None, *, required: bool = True) -> dict[str, Any]:
    schema = {"allOf": [_ref(name), rules]} if rules else _ref(name)
    return {"required": required, "content": {"application/json": {"schema": schema}}}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": REF.format(name=name)}


def _path(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _query(name: str, schema: dict[str, Any], description: str = "") -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, **({"description": description} if description else {})}


def _header(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "schema": schema, "description": description}
