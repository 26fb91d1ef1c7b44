"""Who may call: tokens, their scopes and bindings, their revocation, and what happens without any."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from http_client import PROBLEM, Answer, Request, json_request, lasting_in, send
from http_refusals import standard_error_in
from http_routes import HEARTBEAT, LISTENERS, NODE_ROUTES, ONE, filled, on_admission
from support import RunningGateway, customer_data, join_data, ports

from gateway.tokens import SCOPES, Scope, create, hashed


MakeGateway = Callable[..., Awaitable[RunningGateway]]
SECONDS = 15.0
"""Changes of the file of tokens are taken over within this time."""

REPORTS = ("usage", "connections", "overage", "active-hosts", "calling", "events", "compliance")
READ_ROUTES = {
    "/v1/customers", "/v1/nodes", "/metrics", *[f"{ONE}/{report}" for report in REPORTS],
}  # fmt: skip
READ_AND_CHANGED = {ONE, f"{ONE}/assists"}
"""Read by GET, changed by all other methods."""

NO_TOKEN_NEEDED = {"/openapi.json"}


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """Where the gateways of these tests keep their tokens; nothing is there yet."""
    return tmp_path / "data" / "tokens.json"


@pytest.fixture
def owner(tokens: Path) -> str:
    """The secret of a token that allows everything."""
    return create(tokens, SCOPES)[1]


@pytest.fixture
async def gateway(make_gateway: MakeGateway, owner: str) -> RunningGateway:
    """A gateway with `acme`, which needs a token."""
    started = await make_gateway()
    await install(started, owner, "acme")
    return started


async def install(gateway: RunningGateway, secret: str, *customers: str) -> None:
    """Installs customers with ten ports each."""
    for customer in customers:
        request = json_request("PUT", f"/v1/customers/{customer}", customer_data(ports(10), id=customer))
        assert 201 == (await ask(gateway, request, secret)).status


async def ask(gateway: RunningGateway, request: Request, secret: str | None = None) -> Answer:
    """The answer of the listener that serves the route, to a caller with or without a token."""
    bearer = {"Authorization": f"Bearer {secret}"} if secret is not None else {}
    url = gateway.url if on_admission(request.target) else gateway.admin_url
    return await send(url, Request(request.method, request.target, request.body, {**request.headers, **bearer}))


def routes() -> Iterator[tuple[str, Scope, Request]]:
    """Every route that needs a token: its path, the scope that it needs, and a request that changes nothing."""
    for listener, paths in LISTENERS:
        for path, methods in paths.items():
            for method in methods.split(", ") if path not in NO_TOKEN_NEEDED else ():
                reads = path in READ_ROUTES or (path in READ_AND_CHANGED and method in {"GET", "HEAD"})
                on_listener: Scope = "admit" if listener == "admission" else "read" if reads else "admin"
                scope: Scope = "nodes" if path in NODE_ROUTES else on_listener
                yield path, scope, Request(method, filled(path, customer="nobody"), b"?")


async def eventually(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Waits until the condition holds."""
    until = time.monotonic() + SECONDS
    while not await condition():
        assert time.monotonic() < until, f"{what}: not within {SECONDS} s"
        await asyncio.sleep(0.05)


async def test_without_tokens_loopback_needs_none(make_gateway: MakeGateway) -> None:
    """Who reaches the loopback interface may do everything; a token that is sent all the same does no harm."""
    gateway = await make_gateway()
    for secret in (None, "gw_whatever"):
        assert 404 == (await ask(gateway, Request("GET", "/v1/customers/nobody"), secret)).status
        assert 200 == (await ask(gateway, json_request("POST", "/v1/preview", join_data("c")), secret)).status


async def test_every_route_needs_a_token(gateway: RunningGateway, store_url: str) -> None:
    """Without one, or with one that is not known, each answers 401 with a challenge as RFC 6750 says; nothing is done."""
    before = await lasting_in(store_url)
    for path, _, request in routes():
        none = await ask(gateway, request)
        assert (401, PROBLEM) == (none.status, none.content_type), path
        assert 'Bearer realm="gateway"' == none.headers["www-authenticate"], "no error code where no token was sent"
        wrong = await ask(gateway, request, "gw_wrong")
        assert (401, PROBLEM) == (wrong.status, wrong.content_type), path
        assert 'Bearer realm="gateway", error="invalid_token"' == wrong.headers["www-authenticate"]
    assert before == await lasting_in(store_url)


async def test_health_and_the_document_need_no_token(gateway: RunningGateway) -> None:
    """Orchestrators ask for health on both listeners, and the document is no secret."""
    for url in (gateway.url, gateway.admin_url):
        assert 200 == (await send(url, Request("GET", "/livez"))).status
        assert 200 == (await send(url, Request("GET", "/readyz"))).status
    assert 200 == (await send(gateway.admin_url, Request("GET", "/openapi.json"))).status


async def test_only_a_bearer_token_in_the_header_counts(gateway: RunningGateway, owner: str) -> None:
    """Other schemes, pieces of a token, bytes that are no text and tokens in the URL are refused, and never repeated."""
    secret = owner
    target = "/v1/customers"
    headers = (
        "", "Bearer", "Bearer ", secret, f"Basic {secret}", f"Token {secret}", f"Bearer {secret}x", f"Bearer {secret[:-1]}",
        f"Bearer {secret} {secret}", f"Bearer {secret},", f'Bearer "{secret}"', f"Bearer {hashed(secret)}", f"Bearer {secret.upper()}",
        "Bearer \udcff\udcfe", f"Bearer {secret}\udcff", "Bearer ключ", "Bearer " + "x" * 8000,
    )  # fmt: skip
    requests = [Request("GET", target, headers={"Authorization": header}) for header in headers]
    requests += [Request("GET", f"{target}?access_token={secret}"), Request("GET", target, headers={"Cookie": secret})]
    for request in requests:
        answer = await send(gateway.admin_url, request)
        assert (401, PROBLEM) == (answer.status, answer.content_type), request.headers
        assert answer.headers["www-authenticate"].startswith("Bearer ")
        assert secret not in answer.text
    for header in (f"Bearer {secret}", f"bearer {secret}", f"BEARER   {secret}  "):  # RFC 9110: schemes have no case
        assert 200 == (await send(gateway.admin_url, Request("GET", target, headers={"Authorization": header}))).status


async def _allowed(gateway: RunningGateway, secret: str | None) -> bool:
    return (await ask(gateway, Request("GET", "/v1/customers"), secret)).status == 200


async def test_a_token_allows_its_scopes_only(make_gateway: MakeGateway, tokens: Path, store_url: str) -> None:
    """Each scope opens its own routes; `admin` includes `read`; the answer names the scope that is missing."""
    secrets = {scope: create(tokens, [scope])[1] for scope in SCOPES}
    gateway = await make_gateway()
    before = await lasting_in(store_url)
    for path, needed, request in routes():
        for scope, secret in secrets.items():
            answer = await ask(gateway, request, secret)
            if scope == needed or (scope, needed) == ("admin", "read"):
                assert answer.status not in {401, 403}, (path, scope)
                continue
            assert (403, PROBLEM) == (answer.status, answer.content_type), (path, scope)
            challenge = f'Bearer realm="gateway", error="insufficient_scope", scope="{needed}"'
            assert challenge == answer.headers["www-authenticate"]
    assert before == await lasting_in(store_url)


async def test_a_token_of_a_customer_reaches_no_other(
    make_gateway: MakeGateway, tokens: Path, owner: str, store_url: str
) -> None:
    """Decisions, reports and changes of other customers are refused, whether these exist or not, and lists leave them out."""
    _, bound = create(tokens, ["admit", "nodes", "admin"], customers=["acme"])
    gateway = await make_gateway()
    await install(gateway, owner, "acme", "globex")
    before = await lasting_in(store_url)
    for name in ("globex", "nobody"):
        for path, _, route in routes():
            if path.startswith(ONE):
                request = Request(route.method, filled(path, customer=name), route.body)
                assert 403 == (await ask(gateway, request, bound)).status, request
        for path in ("/v1/admit", "/v1/preview", "/v1/move", "/v1/confirm", "/v1/release"):
            body = {"customer": name, "connection": "c"} if path == "/v1/release" else join_data("c", customer=name)
            body |= {"from": "m0"} if path == "/v1/move" else {}
            assert 403 == (await ask(gateway, json_request("POST", path, body), bound)).status
        page = {"connections": {"acme": ["c"], name: ["c"]}}
        beat = json_request("POST", "/v1/nodes/media-1/heartbeat", page)
        assert 403 == (await ask(gateway, beat, bound)).status
    for whole in (Request("GET", "/v1/nodes"), Request("DELETE", "/v1/nodes/media-1")):
        assert 403 == (await ask(gateway, whole, bound)).status, "it is about all customers"
    listed = await ask(gateway, Request("GET", "/v1/customers"), bound)
    assert ["acme"] == [entry["customer"] for entry in listed.json()["customers"]]
    assert b"globex" not in (await ask(gateway, Request("GET", "/metrics"), bound)).body
    assert before == await lasting_in(store_url)

    operations = [{"op": "admit", **join_data("c", customer=name)} for name in ("globex", "acme")]
    answer = await ask(gateway, json_request("POST", "/v1/batch", {"operations": operations}), bound)
    refused, admitted = answer.json()["results"]
    assert (403, "admit") == (refused["status"], admitted["decision"])
    assert 200 == (await ask(gateway, Request("GET", "/v1/customers/acme/usage"), bound)).status
    beat = json_request("POST", "/v1/nodes/media-1/heartbeat", {"connections": {"acme": ["c"]}})
    assert 1 == (await ask(gateway, beat, bound)).json()["renewed"]


async def test_a_token_of_a_node_speaks_for_that_node(make_gateway: MakeGateway, tokens: Path, owner: str) -> None:
    """It joins, confirms, lists and releases legs of its own node, and neither those of others nor any without a node."""
    _, bound = create(tokens, ["admit", "nodes"], node="media-1")
    gateway = await make_gateway()
    await install(gateway, owner, "acme")
    other = json_request("POST", "/v1/admit", join_data("theirs", node="media-2"))
    assert 200 == (await ask(gateway, other, owner)).status

    for node, status in (({}, 403), ({"node": "media-2"}, 403), ({"node": None}, 403), ({"node": "media-1"}, 200)):
        for path in ("/v1/preview", "/v1/admit", "/v1/confirm"):
            answer = await ask(gateway, json_request("POST", path, join_data("ours", **node)), bound)
            assert status == answer.status, node
        release = {"customer": "acme", "connection": "theirs", **node}
        answer = await ask(gateway, json_request("POST", "/v1/release", release), bound)
        assert status == answer.status, node
    assert {"released": False} == answer.json(), "its own node does not hold that leg"
    ours = json_request("POST", "/v1/release", {"customer": "acme", "connection": "ours", "node": "media-1"})
    released = (await ask(gateway, ours, bound)).json()
    assert released.pop("connected_s") >= 0
    assert {"released": True} == released

    for name, status in (("media-2", 403), ("media-1", 200)):
        beat = json_request("POST", f"/v1/nodes/{name}/heartbeat", HEARTBEAT)
        for request in (beat, Request("DELETE", f"/v1/nodes/{name}")):
            assert status == (await ask(gateway, request, bound)).status, request


async def test_changes_of_the_file_are_taken_over_within_seconds(
    make_gateway: MakeGateway, tokens: Path, tmp_path: Path
) -> None:
    """Tokens come and go without a restart; a file that is broken or gone changes nothing; the last token leaves a closed door."""
    (_, first), (_, second) = create(tokens, ["admin"]), create(tokens, ["admin"])
    log, later = tmp_path / "gateway.log", tmp_path / "later.json"
    with standard_error_in(log):
        # 127.0.0.2 is on this machine too, but no address that may be served without a token.
        gateway = await make_gateway("--host", "127.0.0.2", "--admin-host", "127.0.0.2")
    unprotected = await make_gateway("--tokens-file", str(later))
    assert await _allowed(unprotected, None)
    _, third = create(later, ["read"])
    _write(tokens, _only(tokens, hashed(second)))
    await eventually(lambda: _refused(gateway, first), "a token is revoked")
    await eventually(lambda: _refused(unprotected, None), "the first token closes the door")
    assert await _allowed(unprotected, third)
    assert await _allowed(gateway, second)

    _write(tokens, "{")
    await eventually(lambda: _logged(log, "tokens.unreadable"), "the broken file is noticed")
    assert await _allowed(gateway, second)
    assert await _refused(gateway, None)

    _write(tokens, '{"tokens": []}')
    await eventually(lambda: _refused(gateway, second), "the last token is revoked")
    assert await _refused(gateway, None)
    assert not [secret for secret in (first, second, third) if secret in log.read_text()]


def _only(tokens: Path, digest: str) -> str:
    """The file with one of its tokens."""
    kept = [token for token in json.loads(tokens.read_bytes())["tokens"] if token["sha256"] == digest]
    return json.dumps({"tokens": kept})


def _write(tokens: Path, text: str) -> None:
    tokens.write_text(text)


def _text(log: Path) -> str:
    return log.read_text()


async def _refused(gateway: RunningGateway, secret: str | None) -> bool:
    return (await ask(gateway, Request("GET", "/v1/customers"), secret)).status == 401


async def _logged(log: Path, event: str) -> bool:
    return event in _text(log)


async def test_who_changed_a_customer_is_logged_by_the_id_of_the_token(
    make_gateway: MakeGateway, tokens: Path, tmp_path: Path
) -> None:
    """The log names the token by its id, never by its secret."""
    token, secret = create(tokens, ["admin"])
    log = tmp_path / "gateway.log"
    with standard_error_in(log):
        gateway = await make_gateway()
    assert 201 == (await ask(gateway, json_request("PUT", "/v1/customers/acme", {"name": "Acme"}), secret)).status
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [token.id] == [line["by"] for line in lines if line["event"] == "customer.changed"]
    assert secret not in log.read_text()
