"""Bad requests beside bad fields: bodies that are no JSON or of another shape, sizes, methods, paths, queries and headers."""

import json
from collections.abc import Iterator
from urllib.parse import quote

from http_client import Request, chunked, json_request
from http_customers import CUSTOMER
from http_inputs import (
    ASSIST_FIELDS,
    CERTIFICATION_FIELDS,
    DIGITS,
    EMPLOYEE_COUNT_FIELDS,
    STATUS_FIELDS,
    TELEPHONE_NUMBERS,
    faults,
)
from http_refusals import Case, Listener
from http_routes import (
    ADMIN_ROUTES,
    ASSIST,
    BODIES,
    COUNT,
    HEALTH_ROUTES,
    HEARTBEAT,
    JOIN,
    LISTENERS,
    METHODS,
    MOVE,
    filled,
    good_body,
)
from support import join_data


DEEP = b"[" * 10_000 + b"]" * 10_000


def malformed(good: bytes) -> dict[str, bytes]:
    """What is not JSON, most of it made from a good body, so that only this is wrong with it."""
    text = b'": "' if b'": "' in good else b'["'
    return {
        "a space": b" ",
        "words": b"admit please",
        "a form": b"customer=acme&connection=c1&service=meeting",
        "XML": b"<admit/>",
        "NUL": b"\0",
        "NaN": b"NaN",
        "cut off": good[:-1],
        "single quotes": good.replace(b'"', b"'"),
        "a comma at the end": good[:-1] + b",}",
        "two documents": good + b" " + good,
        "a byte order mark": b"\xef\xbb\xbf" + good,
        "UTF-16": good.decode().encode("utf-16"),
        "a comment": good + b"// good",
        "bytes that are no UTF-8": good.replace(text, text + b"\xff", 1),
        "a lone surrogate": good.replace(text, text + b"\\ud800", 1),
        "half a pair": good.replace(text, text + b"\\udc00", 1),
        "a newline in a text": good.replace(text, text + b"\n", 1),
    }


OTHER_SHAPES = {"a list": b"[]", "a list of objects": b"[{}]", "text": b'"admit"', "a number": b"42", "true": b"true", "null": b"null"}

BAD_CUSTOMER_IDS = {
    "too long": "x" * 65, "a space": "ac me", "NUL": "acme\0", "a newline at the end": "acme\n", "a control character": "ac\x1bme",
    "a dot first": ".acme", "two dots": "..", "no ASCII": "acmé", "a slash": "ac/me", "a percent sign": "%",
    "a question mark": "acme?", **TELEPHONE_NUMBERS,
}  # fmt: skip
BAD_CONNECTION_IDS = {
    "too long": "x" * 257, "too many bytes in few characters": "é" * 129, "NUL": "live\0", "a newline at the end": "live\n",
    "a control character": "li\x1bve", "delete": "live\x7f", **TELEPHONE_NUMBERS,
}  # fmt: skip

NUMBERS = ("0", "-1", "1001", "ten", "1.5", "", " 1", "+1", "0x10", "1e2", "१", "9" * 30, "null")
DAYS = ("", "today", "2026-02-30", "2026-1-1", "20260101", "2026-W01-1", "01-02-2026", "1999-12-31", "2201-01-01", "2026-01-01T00:00:00Z")
VERSIONS = ('W/"1"', '"one"', "-1", "1.5", "", '"1", "2"', "9" * 16, "\u0661", "1 2", '""', "null")

NO_HTTP = {
    "zeros": b"\0" * 100 + b"\r\n\r\n",
    "words": b"hello there\r\n\r\n",
    "a TLS handshake": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "an unknown method": b"FROB /v1/admit HTTP/1.1\r\nHost: x\r\n\r\n",
    "an unknown version": f"GET /v1/customers/+1{DIGITS} HTTP/9.9\r\nHost: x\r\n\r\n".encode(),
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "a long line": b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a long header": b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 9000 + b"\r\n\r\n",
    "bytes in the path": b"GET /v1/customers/\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "bytes in the query": b"GET /v1/customers?\xff=1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a length below zero": b"POST /v1/admit HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\n",
    "an endless length": b"POST /v1/admit HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999999999999999\r\n\r\n",
    "two lengths": b"POST /v1/admit HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "length and chunks": b"POST /v1/admit HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks without a size": b"POST /v1/admit HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
}
"""Bytes that the protocol's own parser refuses."""


def wrong_methods() -> Iterator[Case]:
    """Every route with every method that it does not take."""
    for listener, routes in LISTENERS:
        for path, allowed in {**routes, **HEALTH_ROUTES}.items():
            target = filled(path)
            for method in METHODS:
                if method not in allowed.split(", "):
                    yield Case(f"{method} {target}", Request(method, target), 405, None, listener, allowed)


def unknown_paths() -> Iterator[Case]:
    """Paths that nobody serves, some of them nearly right."""
    for (listener, own), (_, others) in zip(LISTENERS, reversed(LISTENERS), strict=True):
        near = [filled(path) for path in {**own, **HEALTH_ROUTES}]
        foreign = [filled(path) for path in others]
        paths = [*[f"{path}/" for path in near], *[path.upper() for path in near], *[f"/{path}" for path in near], *foreign]
        paths += ["/", "/v1", "/v2/admit", "/v1/customers/acme/usage/x", "/v1/customers/", "/v1//admit", "/.env", "/livez.php"]
        for path in paths:
            yield Case(f"{listener} {path}", Request("GET", path), 404, None, listener)


def bad_status_changes() -> Iterator[Case]:
    """Suspension and termination need a reason that is a code; resuming drops nothing."""
    customer, host = "/v1/customers/acme", "/v1/customers/acme/hosts/alice@acme.example"
    for place, verb in (
        (customer, "suspend"), (customer, "terminate"), (customer, "resume"), (host, "suspend"), (host, "resume"),
    ):  # fmt: skip
        path = f"{place}/{verb}"
        for fault in faults({"reason": "aup"}, STATUS_FIELDS):
            yield Case(f"{verb} {fault.name}", json_request("POST", path, fault.document), 422, fault.path, "admin")
        if verb != "resume":
            for document in ({}, {"reason": None}, {"drop_live": True}):
                yield Case(f"{verb} {document}", json_request("POST", path, document), 422, "$.reason", "admin")
            yield Case(f"{verb} nothing", Request("POST", path), 422, "$.reason", "admin")
        else:
            yield Case("resume drops", json_request("POST", path, {"drop_live": True}), 422, "$.drop_live", "admin")


def bad_counts() -> Iterator[Case]:
    """Certified and reported counts."""
    for path, fields in (("certifications", CERTIFICATION_FIELDS), ("employee-count", EMPLOYEE_COUNT_FIELDS)):
        for fault in faults(COUNT, fields):
            request = json_request("POST", f"/v1/customers/acme/{path}", fault.document)
            yield Case(f"{path} {fault.name}", request, 422, fault.path, "admin")


def bad_assists() -> Iterator[Case]:
    """Bookings."""
    for fault in faults(ASSIST, ASSIST_FIELDS):
        request = json_request("POST", "/v1/customers/acme/assists", fault.document)
        yield Case(fault.name, request, 422, fault.path, "admin")


def bad_bodies() -> Iterator[Case]:
    """Every route that takes a body with bodies that it cannot read."""
    for listener, method, path, _, document in BODIES:
        good = json.dumps(document).encode()
        bodies = malformed(good)
        if "reason" not in document:  # a resumption needs no body
            bodies["nothing"] = b""
        for name, body in bodies.items():
            yield Case(f"{path}: {name}", Request(method, path, body), 400, None, listener)
        for name, body in OTHER_SHAPES.items():
            yield Case(f"{path}: {name}", Request(method, path, body), 422, "$", listener)
        for encoding in ("gzip", "deflate"):
            compressed = Request(method, path, good, {"Content-Encoding": encoding})
            yield Case(f"{path}: no {encoding}", compressed, 400, None, listener)
    yield from _deep_bodies()


def _deep_bodies() -> Iterator[Case]:
    """10,000 levels: refused for their shape where the shape is known, else for their depth."""
    for path, field, where in (
        ("/v1/admit", b'{"customer": %s}', "$.customer"),
        ("/v1/preview", b'{"features": [%s]}', "$.features"),
        ("/v1/release", b'{"cause": %s}', "$.cause"),
        ("/v1/admit", b"%s", "$"),
        ("/v1/admit", b'{"unknown": %s}', "$.unknown"),
    ):
        yield Case(f"{path}: deep {where}", Request("POST", path, field % DEEP), 422, where)
    yield Case("batch: deep", Request("POST", "/v1/batch", DEEP), 422, "$")
    for body in (b'{"operations": [%s]}', b'{"operations": [{"x": %s, "op": "admit"}]}', b'{"operations": [{"op": "admit", "x": %s}]}'):
        yield Case(f"batch: deep {body!r}", Request("POST", "/v1/batch", body % DEEP), 400)
    for body in (b"%s", b"[%s", b'{"name": %s}', b'{"subscriptions": %s}', b'{"unknown": {"x": %s}}'):
        yield Case(f"customer: deep {body!r}", Request("PUT", "/v1/customers/acme", body % DEEP), 400, listener="admin")


def large_bodies() -> Iterator[Case]:
    """One byte more than a route takes, with its length said, in chunks, and only announced."""
    for listener, method, path, most, _ in BODIES:
        body = b"{" + b" " * (most - 1) + b"}"
        assert len(body) == most + 1
        for name, request in {
            "length": Request(method, path, body),
            "chunks": Request(method, path, chunked(body), framing="Transfer-Encoding: chunked"),
            "announced": Request(method, path, framing=f"Content-Length: {10**12}"),
        }.items():
            yield Case(f"{path}: {name}", request, 413, None, listener)


def bad_ids() -> Iterator[Case]:
    """Every route of a customer with ids that are none."""
    for path, methods in ADMIN_ROUTES.items():
        for method in methods.split(", ") if "{customer}" in path else ():
            for name, value in BAD_CUSTOMER_IDS.items():
                target = filled(path, customer=quote(value, safe=""))
                request = json_request(method, target, good_body(path))
                yield Case(f"{method} {path}: {name}", request, 422, "customer", "admin")
    for name, value in BAD_CONNECTION_IDS.items():
        target = f"/v1/customers/acme/connections/{quote(value, safe='')}"
        yield Case(f"connection: {name}", Request("DELETE", target), 422, "connection", "admin")
    for name, value in {**BAD_CONNECTION_IDS, "too long": "x" * 129}.items():
        if name == "too many bytes in few characters":
            continue  # the bound of meetings and hosts is in characters
        meeting = f"/v1/customers/acme/meetings/meeting/{quote(value, safe='')}"
        yield Case(f"meeting: {name}", Request("DELETE", meeting), 422, "meeting", "admin")
        for verb in ("suspend", "resume"):
            host = f"/v1/customers/acme/hosts/{quote(value, safe='')}/{verb}"
            yield Case(f"{verb} host: {name}", json_request("POST", host, {"reason": "aup"}), 422, "host", "admin")
    for service in ("Meeting", "meetings", "webinar", "%00", f"+1{DIGITS}"):
        target = f"/v1/customers/acme/meetings/{service}/m1"
        yield Case(target, Request("DELETE", target), 422, "service", "admin")
    for target in ("/v1/customers/%FF/usage", "/v1/customers/%C0%80", f"/v1/customers/+1{DIGITS}/overage"):
        yield Case(target, Request("GET", target), 422, "customer", "admin")


def bad_nodes() -> Iterator[Case]:
    """Both routes of a node with ids that no node has."""
    for name, value in {**BAD_CONNECTION_IDS, "too long": "x" * 129}.items():
        if name != "too many bytes in few characters":  # the bound of nodes is in characters
            node = f"/v1/nodes/{quote(value, safe='')}"
            yield Case(f"heartbeat: {name}", json_request("POST", f"{node}/heartbeat", HEARTBEAT), 404)
            yield Case(f"leave: {name}", Request("DELETE", node), 404)


def unknown_things() -> Iterator[Case]:
    """Customers and connections that do not exist."""
    for path, methods in ADMIN_ROUTES.items():
        for method in methods.split(", ") if "{customer}" in path else ():
            if method != "PUT":
                target = filled(path, customer="nobody")
                yield Case(f"{method} {target}", json_request(method, target, good_body(path)), 404, None, "admin")
    for target in ("meeting/m2", "meeting/M1", "teams/m1", "event/m1"):
        request = Request("DELETE", f"/v1/customers/acme/meetings/{target}")
        yield Case(f"no such live meeting: {target}", request, 404, None, "admin")
    moved = json_request("POST", "/v1/move", {**MOVE, "connection": "nobody"})
    yield Case("a move of no such connection", moved, 404, "$.connection")
    nobodys = json_request("POST", "/v1/confirm", join_data("theirs", customer="nobody"))
    yield Case("a confirm of no such customer", nobodys, 404, "$.customer")
    yield Case("no such connection", Request("DELETE", "/v1/customers/acme/connections/nobody"), 404, None, "admin")


def conflicts() -> Iterator[Case]:
    """Requests that contradict what is stored: `acme` with its connection `live`, and `gone`, which was terminated."""
    for fields in ({"meeting": "m2"}, {"role": "participant"}, {"endpoint": "sip"}, {"host": "alice@acme.example"}, {"room": "r1"}):
        for operation in ("admit", "preview", "confirm"):
            request = json_request("POST", f"/v1/{operation}", {**join_data("live"), **fields})
            yield Case(f"{operation} {fields}", request, 409, "$.connection")
    elsewhere = json_request("POST", "/v1/move", {**MOVE, "meeting": "m3", "from": "m2"})
    yield Case("a move from elsewhere", elsewhere, 409, "$.from")
    for verb in ("suspend", "resume"):
        yield Case(verb, json_request("POST", f"/v1/customers/gone/{verb}", {"reason": "aup"}), 409, None, "admin")
    resumed = json_request("POST", "/v1/customers/acme/hosts/alice@acme.example/resume", {})
    yield Case("resume a host that is not suspended", resumed, 409, None, "admin")
    for path in ("certifications", "employee-count"):
        for document in (COUNT, {"count": 10}):
            counted = json_request("POST", f"/v1/customers/acme/{path}", document)
            yield Case(f"{path}: nothing counts employees", counted, 409, "$.subscription", "admin")
    for version in ('"7"', "7", '"0"', "0"):
        for method in ("PUT", "DELETE"):
            request = json_request(method, "/v1/customers/acme", CUSTOMER, If_Match=version)
            yield Case(f"{method} If-Match: {version}", request, 409, "If-Match", "admin")
    new = json_request("PUT", "/v1/customers/acme", CUSTOMER, If_None_Match="*")
    yield Case("PUT If-None-Match: *", new, 409, None, "admin")
    absent = json_request("PUT", "/v1/customers/nobody", {"name": "Nobody"}, If_Match="*")
    yield Case("PUT If-Match: * where there is none", absent, 409, None, "admin")


def bad_headers() -> Iterator[Case]:
    """Conditions that cannot be understood."""
    for version in VERSIONS:
        for method in ("PUT", "DELETE"):
            request = json_request(method, "/v1/customers/acme", CUSTOMER, If_Match=version)
            yield Case(f"{method} If-Match: {version}", request, 422, "If-Match", "admin")
    for version in ('"1"', "1", "", "none"):
        request = json_request("PUT", "/v1/customers/acme", CUSTOMER, If_None_Match=version)
        yield Case(f"If-None-Match: {version}", request, 422, "If-None-Match", "admin")


def bad_queries() -> Iterator[Case]:
    """Query parameters that are unknown, misspelt, given twice, or of a wrong value."""
    acme = "/v1/customers/acme"
    for target, name, values in (
        ("/v1/customers", "limit", NUMBERS),
        (f"{acme}/connections", "limit", NUMBERS),
        (f"{acme}/connections", "cursor", ("-1", "ten", "", "1.5", str(2**64), "9" * 30, "१", "0x0")),
        (f"{acme}/overage", "from", (*DAYS, "2020-01-01")),
        (f"{acme}/overage", "to", (*DAYS, "2020-01-01&from=2020-01-02")),
    ):
        for value in values:
            request = Request("GET", f"{target}?{name}={quote(value, safe='&=')}")
            yield Case(f"{target}?{name}={value}", request, 422, name, "admin")
        yield Case(f"{name} twice", Request("GET", f"{target}?{name}=1&{name}=1"), 422, name, "admin")
    yield Case("after twice", Request("GET", "/v1/customers?after=a&after=a"), 422, "after", "admin")
    for operation, document in (("admit", JOIN), ("preview", JOIN), ("move", MOVE)):
        for value in ("200", "404", "", "403,409", "four", "0403", "403%20"):
            request = json_request("POST", f"/v1/{operation}?deny_status={value}", document)
            yield Case(f"{operation} deny_status={value}", request, 422, "deny_status")
        twice = json_request("POST", f"/v1/{operation}?deny_status=403&deny_status=403", document)
        yield Case(f"{operation} deny_status twice", twice, 422, "deny_status")
    for listener, routes in LISTENERS:
        for path, methods in routes.items():
            for method in methods.split(", "):
                yield from _unknown_queries(listener, method, path)


def _unknown_queries(listener: Listener, method: str, path: str) -> Iterator[Case]:
    target = filled(path)
    for query, name in (
        ("deny-status=403", "deny-status"), ("Limit=1", "Limit"), ("x", "x"), ("=", ""), ("x" * 1000, None), ("%00=1", None),
        ("%FF=1", None), (f"%2B1{DIGITS}=1", None), (f"+1{DIGITS}=1", None),
    ):  # fmt: skip
        request = json_request(method, f"{target}?{query}", JOIN if listener == "admission" else good_body(path))
        yield Case(f"{method} {target}?{query[:30]}", request, 422, name, listener)
