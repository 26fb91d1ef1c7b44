"""Every route of both listeners, and for each a request with which nothing is wrong."""

from typing import Any

from http_customers import CUSTOMER
from http_refusals import Listener
from support import join_data


KIB, MIB = 1024, 1024 * 1024
ONE = "/v1/customers/{customer}"

NODE_ROUTES = {"/v1/nodes/{node}/heartbeat": "POST", "/v1/nodes/{node}": "DELETE"}
"""Those that need the scope `nodes`."""

ADMISSION_ROUTES = {
    **dict.fromkeys(("/v1/admit", "/v1/preview", "/v1/move", "/v1/confirm", "/v1/release", "/v1/batch"), "POST"),
    **NODE_ROUTES,
}
ADMIN_ROUTES = {
    "/v1/nodes": "GET, HEAD",
    "/v1/customers": "GET, HEAD",
    ONE: "DELETE, GET, HEAD, PUT",
    f"{ONE}/usage": "GET, HEAD",
    f"{ONE}/connections": "GET, HEAD",
    f"{ONE}/connections/{{connection}}": "DELETE",
    f"{ONE}/meetings/{{service}}/{{meeting}}": "DELETE",
    f"{ONE}/overage": "GET, HEAD",
    f"{ONE}/active-hosts": "GET, HEAD",
    f"{ONE}/calling": "GET, HEAD",
    f"{ONE}/events": "GET, HEAD",
    f"{ONE}/compliance": "GET, HEAD",
    f"{ONE}/persons/{{person}}": "DELETE, GET, HEAD, PATCH",
    f"{ONE}/suspend": "POST",
    f"{ONE}/resume": "POST",
    f"{ONE}/terminate": "POST",
    f"{ONE}/hosts/{{host}}/suspend": "POST",
    f"{ONE}/hosts/{{host}}/resume": "POST",
    f"{ONE}/certifications": "POST",
    f"{ONE}/employee-count": "POST",
    f"{ONE}/assists": "GET, HEAD, POST",
    "/metrics": "GET, HEAD",
    "/openapi.json": "GET, HEAD",
}
HEALTH_ROUTES = {"/livez": "GET, HEAD", "/readyz": "GET, HEAD"}
LISTENERS: tuple[tuple[Listener, dict[str, str]], ...] = (("admission", ADMISSION_ROUTES), ("admin", ADMIN_ROUTES))
"""Every route with the methods that it takes, by listener; those of health are on both."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")

JOIN = join_data("new")
RELEASE = {"connection": "live", "customer": "acme"}
MOVE = {**join_data("live", meeting="m2"), "from": "m1"}
CONFIRM = join_data("live")
HEARTBEAT = {"connections": {"acme": ["live"], "globex": []}, "page": 1, "pages": 1}
COUNT = {"subscription": "meetings.corporate_access", "count": 10}
ASSIST = {"id": "assist-1", "kind": "meeting", "starts_at": "2030-01-01T17:00:00Z", "minutes": 60}
BODIES: list[tuple[Listener, str, str, int, dict[str, Any]]] = [
    ("admission", "POST", "/v1/admit", 64 * KIB, JOIN),
    ("admission", "POST", "/v1/preview", 64 * KIB, JOIN),
    ("admission", "POST", "/v1/move", 64 * KIB, MOVE),
    ("admission", "POST", "/v1/confirm", 64 * KIB, CONFIRM),
    ("admission", "POST", "/v1/release", 64 * KIB, RELEASE),
    ("admission", "POST", "/v1/nodes/media-1/heartbeat", MIB, HEARTBEAT),
    ("admission", "POST", "/v1/batch", MIB, {"operations": [{"op": "admit", **JOIN}, {"op": "release", **RELEASE}]}),
    ("admin", "PUT", "/v1/customers/acme", MIB, {**CUSTOMER, "name": "Acme"}),
    ("admin", "POST", "/v1/customers/acme/suspend", 64 * KIB, {"reason": "aup"}),
    ("admin", "POST", "/v1/customers/acme/resume", 64 * KIB, {"reason": "aup"}),
    ("admin", "POST", "/v1/customers/acme/terminate", 64 * KIB, {"reason": "aup"}),
    ("admin", "POST", "/v1/customers/acme/hosts/alice@acme.example/suspend", 64 * KIB, {"reason": "aup"}),
    ("admin", "POST", "/v1/customers/acme/hosts/alice@acme.example/resume", 64 * KIB, {"reason": "aup"}),
    ("admin", "POST", "/v1/customers/acme/certifications", 64 * KIB, COUNT),
    ("admin", "POST", "/v1/customers/acme/employee-count", 64 * KIB, COUNT),
    ("admin", "POST", "/v1/customers/acme/assists", 64 * KIB, ASSIST),
    ("admin", "PATCH", "/v1/customers/acme/persons/carol@acme.example", 64 * KIB, {"person": "dana@acme.example"}),
]
"""Every route that takes a body: listener, method, path, bytes that it takes, and a good body."""


def filled(path: str, **names: str) -> str:
    """The path of a route about the things that tests know, or others."""
    known = {
        "customer": "acme", "connection": "live", "service": "meeting", "meeting": "m1", "host": "alice@acme.example", "node": "media-1",
        "person": "carol@acme.example",
    }  # fmt: skip
    return path.format(**{**known, **names})


def on_admission(target: str) -> bool:
    """Whether the admission listener serves it."""
    path = target.partition("?")[0]
    return path in ADMISSION_ROUTES or path.startswith("/v1/nodes/")


def good_body(path: str) -> Any:
    """A good body of a route of the admin listener; nothing is wrong with one for a route that takes none."""
    bodies = {route: document for _, method, route, _, document in BODIES if method == "POST"}
    return bodies.get(filled(path), CUSTOMER)
