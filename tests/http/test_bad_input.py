"""Bad input never hurts: every fault is a problem that names the field, and the store stays as it is."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

import http_requests
import pytest
from http_client import PROBLEM, Answer, Request, json_request, lasting_in, send, send_bytes
from http_customers import AT, CUSTOMER, CUSTOMER_FIELDS, customer_faults
from http_inputs import (
    ASSIST_FIELDS,
    CERTIFICATION_FIELDS,
    DIGITS,
    EMPLOYEE_COUNT_FIELDS,
    HEARTBEAT_FIELDS,
    JOIN_FIELDS,
    MOVE_FIELDS,
    RELEASE_FIELDS,
    STATUS_FIELDS,
    Fault,
    confirm_faults,
    heartbeat_faults,
    join_faults,
    move_faults,
    release_faults,
)
from http_refusals import Case, Target, path_complaints, standard_error_in
from http_routes import BODIES, HEARTBEAT
from support import RunningGateway, customer_data, join_data, named_hosts, ports

from gateway.api.nodes import HeartbeatRequest
from gateway.api.requests import AssistRequest, CertificationRequest, EmployeeCountRequest, StatusRequest
from gateway.api.wire import BatchRequest, ConfirmRequest, JoinRequest, MoveRequest, ReleaseRequest
from gateway.domain.catalogue import Customer
from gateway.domain.customer import Streaming, Term
from gateway.domain.enterprise import Approval, Certification, Entity, Host
from gateway.domain.plans import AnySubscription
from gateway.domain.plans.rooms import DolbyRoom, Room


MakeGateway = Callable[..., Awaitable[RunningGateway]]
KIB = 1024
PLANS: tuple[Any, ...] = get_args(get_args(AnySubscription)[0])


@pytest.fixture
async def target(make_gateway: MakeGateway, store_url: str, tmp_path: Path) -> Target:
    """A gateway with `acme` (one live connection, `live`), and `gone`, which was terminated."""
    log = tmp_path / "gateway.log"
    with standard_error_in(log):
        gateway = await make_gateway(env={"GATEWAY_NUMBER_KEY": "k" * 32})
    for method, url, path, document in (
        ("PUT", gateway.admin_url, "/v1/customers/acme", customer_data(ports(10))),
        ("PUT", gateway.admin_url, "/v1/customers/gone", {"name": "Gone"}),
        ("POST", gateway.admin_url, "/v1/customers/gone/terminate", {"reason": "aup"}),
        ("POST", gateway.url, "/v1/admit", join_data("live")),
    ):
        assert (await send(url, json_request(method, path, document))).status in {200, 201}
    return Target(gateway, store_url, log)


def fields_of(model: Any) -> set[str]:
    """The names of a pydantic model's fields as they travel."""
    return {field.alias or name for name, field in model.model_fields.items()}


def plan_of(subscription: dict[str, Any]) -> Any:
    """The class of a subscription's plan."""
    return next(kind for kind in PLANS if f"'{subscription['plan']}'" in str(kind.model_fields["plan"].annotation))


def test_the_tables_hold_every_field_of_every_body() -> None:
    """A field or a plan that is added without its bad values in the tables makes this fail."""
    bodies: dict[Any, Any] = {
        JoinRequest: JOIN_FIELDS, MoveRequest: MOVE_FIELDS, ReleaseRequest: RELEASE_FIELDS, BatchRequest: {"operations"},
        ConfirmRequest: JOIN_FIELDS, HeartbeatRequest: HEARTBEAT_FIELDS,
        StatusRequest: STATUS_FIELDS, CertificationRequest: CERTIFICATION_FIELDS, EmployeeCountRequest: EMPLOYEE_COUNT_FIELDS,
        AssistRequest: ASSIST_FIELDS,
    }  # fmt: skip
    assert {body: set(body.__struct_encode_fields__) for body in bodies} == {body: set(bodies[body]) for body in bodies}
    models = {
        "": Customer,
        f"{AT['meetings.concurrent_connections']}.term": Term,
        f"{AT['meetings.concurrent_connections']}.streaming": Streaming,
        f"{AT['meetings.named_host']}.hosts[0]": Host,
        f"{AT['meetings.named_host']}.approvals[0]": Approval,
        f"{AT['meetings.corporate_access']}.entities[0]": Entity,
        f"{AT['meetings.corporate_access']}.certifications[0]": Certification,
        f"{AT['rooms.dolby_raas']}.rooms[0]": DolbyRoom,
        f"{AT['rooms.network_room']}.rooms[0]": Room,
        **{f"subscriptions[{at}]": plan_of(held) for at, held in enumerate(CUSTOMER["subscriptions"])},
    }
    assert {where: fields_of(model) for where, model in models.items()} == {
        where: set(fields) for where, fields in CUSTOMER_FIELDS.items()
    }
    assert set(PLANS) == {plan_of(held) for held in CUSTOMER["subscriptions"]}


async def test_a_valid_join_changes_what_is_compared(target: Target) -> None:
    """The comparison that the other tests rest on shows a single admitted connection, in each key that it is kept in."""
    before = await lasting_in(target.store_url)
    assert 200 == (await send(target.gateway.url, json_request("POST", "/v1/admit", join_data("one-more")))).status
    after = await lasting_in(target.store_url)

    assert set(before) == set(after)
    assert {"groups", "legs", "leases", "outbox"} == {
        key.rpartition(":")[2] for key in before if before[key] != after[key]
    }


async def test_the_bodies_that_the_tables_spoil_are_good(target: Target) -> None:
    """Nothing is wrong with the requests of the tables but what the tables do to them."""
    for url, request in (
        (target.gateway.url, json_request("POST", "/v1/preview", join_data("bad"))),
        (target.gateway.url, json_request("POST", "/v1/move", {**join_data("live", meeting="m2"), "from": "m1"})),
        (target.gateway.url, json_request("POST", "/v1/confirm", join_data("bad"))),
        (target.gateway.url, json_request("POST", "/v1/nodes/media-1/heartbeat", HEARTBEAT)),
        (target.gateway.url, json_request("POST", "/v1/release", {"customer": "acme", "connection": "live"})),
        (target.gateway.admin_url, json_request("PUT", "/v1/customers/acme", CUSTOMER)),
        *[
            (target.gateway.admin_url, json_request(method, path, document))
            for listener, method, path, _, document in BODIES
            if listener == "admin" and method == "POST" and not path.endswith("/terminate")
        ],
    ):
        answer = await send(url, request)
        assert answer.status in {200, 201}, answer.text


@pytest.mark.parametrize("operation", ["admit", "preview"])
async def test_T21_1_bad_fields_of_a_join_are_named(target: Target, operation: str) -> None:
    """Every bad value of every field, alone or against another field, is refused with 422 and not repeated."""
    path = f"/v1/{operation}"
    cases = [Case(fault.name, json_request("POST", path, fault.document), 422, fault.path) for fault in join_faults()]
    assert len(cases) == await target.refuses(cases) > 280


async def test_T21_1_bad_fields_of_a_move_are_named(target: Target) -> None:
    """Every bad value of every field is refused with 422 and not repeated."""
    cases = [Case(fault.name, json_request("POST", "/v1/move", fault.document), 422, fault.path) for fault in move_faults()]
    assert len(cases) == await target.refuses(cases) > 280


async def test_T21_1_bad_fields_of_a_confirm_are_named(target: Target) -> None:
    """Every bad value of every field is refused with 422 and not repeated; nothing is adopted."""
    cases = [
        Case(fault.name, json_request("POST", "/v1/confirm", fault.document), 422, fault.path)
        for fault in confirm_faults()
    ]
    assert len(cases) == await target.refuses(cases) > 250


async def test_T21_1_bad_fields_of_a_heartbeat_are_named(target: Target) -> None:
    """Every bad value of every field is refused with 422 and not repeated, and the node is not heard of."""
    path = "/v1/nodes/media-1/heartbeat"
    cases = [Case(fault.name, json_request("POST", path, fault.document), 422, fault.path) for fault in heartbeat_faults()]
    assert len(cases) == await target.refuses(cases) > 75


async def test_T21_1_bad_fields_of_a_release_are_named(target: Target) -> None:
    """Every bad value of every field is refused with 422, and the connection of the request stays live."""
    cases = [
        Case(fault.name, json_request("POST", "/v1/release", fault.document), 422, fault.path)
        for fault in release_faults()
    ]
    assert len(cases) == await target.refuses(cases) > 60


async def test_T21_1_bad_operations_of_a_batch_are_named(target: Target) -> None:
    """In a batch each bad operation is answered by a problem in its place, with its path in the batch."""
    kinds = (
        ("admit", join_faults()), ("preview", join_faults()), ("move", move_faults()), ("confirm", confirm_faults()),
        ("release", release_faults()),
    )  # fmt: skip
    found = [
        Fault(f"{op}: {each.name}", {"op": op, **each.document}, each.path) for op, faulty in kinds for each in faulty
    ]
    unknown: tuple[Any, ...] = (None, 7, [], "", "Admit", "frobnicate", f"+1{DIGITS}", "a\n")
    found += [Fault(f"op {op!r}", {**join_data("x"), "op": op}, "$.op") for op in unknown]
    found += [Fault("no op", join_data("x"), "$.op")]
    found += [Fault(f"operation {value!r}", value, "$") for value in (None, 7, "admit", [], True, [{"op": "admit"}])]
    before = await lasting_in(target.store_url)
    parts = [found[at : at + 500] for at in range(0, len(found), 500)]
    told = [text for part in parts for text in await batch_complaints(target, part)]
    assert not told, f"{len(told)} complaints about {len(found)} operations:\n" + "\n".join(told)
    await target.unchanged_since(before)


async def batch_complaints(target: Target, part: list[Fault]) -> list[str]:
    """Sends the faulty documents as one batch and says what is wrong with the answers."""
    request = json_request("POST", "/v1/batch", {"operations": [fault.document for fault in part]})
    answer = await send(target.gateway.url, request)
    assert 200 == answer.status, answer.text
    told: list[str] = []
    for position, (fault, problem) in enumerate(zip(part, answer.json()["results"], strict=True)):
        path = f"$.operations[{position}]" + fault.path.removeprefix("$")
        found = [*path_complaints(path, problem)]
        if problem.get("status") != 422:
            found.append(f"is answered by {problem}")
        if DIGITS in json.dumps(problem):
            found.append("shows the number")
        told += [f"{fault.name}: {text}" for text in found]
    return told


async def test_a_bad_batch_is_refused_whole(target: Target) -> None:
    """Where the list of operations itself is wrong, none is carried out."""
    good = {"op": "admit", **join_data("never")}
    documents = {
        "missing": ({}, "$.operations"),
        "null": ({"operations": None}, "$.operations"),
        "an object": ({"operations": good}, "$.operations"),
        "text": ({"operations": "admit"}, "$.operations"),
        "empty": ({"operations": []}, "$.operations"),
        "one too many": ({"operations": [good] * 501}, "$.operations"),
        "an unknown field": ({"operations": [good], "atomic": True}, "$.atomic"),
    }
    cases = [
        Case(name, json_request("POST", "/v1/batch", document), 422, path)
        for name, (document, path) in documents.items()
    ]
    broken = {"a lone surrogate": b'{"op": "release", "connection": "\\ud800"}', "no UTF-8": b'{"op": "release", "node": "\xff"}'}
    for name, operation in broken.items():
        body = b'{"operations": [%s, %s]}' % (json.dumps(good).encode(), operation)
        cases.append(Case(name, Request("POST", "/v1/batch", body), 400))
    assert 9 == await target.refuses(cases)


async def test_T21_1_bad_fields_of_a_customer_are_named(target: Target) -> None:
    """Every bad value of every field of every plan is refused with 422, named by its path and not repeated."""
    cases = [
        Case(fault.name, json_request("PUT", "/v1/customers/acme", fault.document), 422, fault.path, "admin")
        for fault in customer_faults()
    ]
    assert len(cases) == await target.refuses(cases) > 2800


async def test_T2_1_T2_4_a_rule_of_a_plan_is_named(target: Target) -> None:
    """All faults of a customer are told at once, each with its rule."""
    hosts = [{"id": "room1@acme.example"}, {"id": "bob@elsewhere.example", "given_name": "B", "family_name": "B"}]
    document = customer_data(named_hosts(quantity=1, hosts=hosts))
    answer = await send(target.gateway.admin_url, json_request("PUT", "/v1/customers/acme", document))
    assert (422, PROBLEM) == (answer.status, answer.content_type)
    below = "$.subscriptions[0].hosts"
    assert [(below, "T2.1"), (f"{below}[0]", "T2.4"), (f"{below}[1].id", "T2.1")] == [
        (error["path"], error["rule"]) for error in answer.json()["errors"]
    ]


@pytest.mark.parametrize(
    "document",
    [
        customer_data({**named_hosts(), "hosts": [1] * 90_000}),
        {"name": "Acme", **{f"x{n}": 1 for n in range(60_000)}},
        {"name": "Acme", "x" * 900_000: 1},
    ],
    ids=["many bad hosts", "many unknown fields", "one endless field"],
)
async def test_the_answer_to_a_bad_customer_is_bounded(target: Target, document: Any) -> None:
    """However much is wrong with a body, the answer stays short."""
    answer = await send(target.gateway.admin_url, json_request("PUT", "/v1/customers/acme", document))
    assert (422, PROBLEM) == (answer.status, answer.content_type)
    assert len(answer.body) < 64 * KIB


@pytest.mark.parametrize(
    ("table", "at_least"),
    [
        (http_requests.bad_status_changes, 150),
        (http_requests.bad_counts, 100),
        (http_requests.bad_assists, 80),
        (http_requests.bad_bodies, 300),
        (http_requests.large_bodies, 40),
        (http_requests.wrong_methods, 160),
        (http_requests.unknown_paths, 100),
        (http_requests.bad_ids, 400),
        (http_requests.bad_nodes, 16),
        (http_requests.unknown_things, 24),
        (http_requests.conflicts, 25),
        (http_requests.bad_headers, 25),
        (http_requests.bad_queries, 300),
    ],
    ids=lambda value: value.__name__ if callable(value) else f"{value} or more",
)
async def test_T21_1_bad_requests_are_refused(target: Target, table: Callable[[], Any], at_least: int) -> None:
    """Every request of the table comes to its problem, and changes nothing."""
    assert at_least <= await target.refuses(table())


async def test_an_operator_ends_a_connection_whatever_its_id(target: Target) -> None:
    """Every id that may be admitted can be put into a URL and ended there."""
    ids = ("a/b", "a{b}", "{connection}", "..", ".", "%41", "a b", "é", "a?b#c", "a;b", "a\\b", "a+b", "sip:a@b;tag=1", "😀" * 64)
    for connection in ids:
        admitted = await send(target.gateway.url, json_request("POST", "/v1/admit", join_data(connection)))
        assert "admitted" == admitted.json()["reason"], connection
        path = f"/v1/customers/acme/connections/{quote(connection, safe='')}"
        assert 204 == (await send(target.gateway.admin_url, Request("DELETE", path))).status, connection


async def test_a_body_that_never_comes_is_not_waited_for(target: Target) -> None:
    """A caller that sends headers and no body, or breaks off, gets 408 after some seconds, and the connection ends."""
    before = await lasting_in(target.store_url)
    broken_off = Request("POST", "/v1/admit", b'{"cust', framing="Content-Length: 100").encoded()
    for url in (target.gateway.url, target.gateway.url):
        _, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
        writer.write(broken_off)
        await writer.drain()
        writer.close()
    began = time.monotonic()
    answer = await send(target.gateway.url, Request("POST", "/v1/admit", framing="Content-Length: 100"))
    assert (408, PROBLEM, "close") == (answer.status, answer.content_type, answer.headers["connection"])
    assert 4 < time.monotonic() - began < 7
    await target.unchanged_since(before)


async def test_bytes_that_are_no_http_are_refused(target: Target) -> None:
    """What is no request at all gets 400 from the protocol's own parser, and leaves neither a trace nor a log line."""
    before = await lasting_in(target.store_url)
    for url in (target.gateway.url, target.gateway.admin_url):
        answers: dict[str, Answer] = {name: await send_bytes(url, data) for name, data in http_requests.NO_HTTP.items()}
        assert dict.fromkeys(http_requests.NO_HTTP, 400) == {name: answer.status for name, answer in answers.items()}
        assert {PROBLEM} == {answer.content_type for answer in answers.values()}
        assert not [name for name, answer in answers.items() if "Traceback" in answer.text or DIGITS in answer.text]
    await target.unchanged_since(before)


async def test_what_a_careless_caller_may_do(target: Target) -> None:
    """JSON under another content type is taken, as are unusual spaces; the largest body that is allowed is not too large."""
    document = json.dumps(join_data("careless"))
    path = "/v1/preview"
    accepted = (
        Request("POST", path, document.encode(), {"Content-Type": "application/x-www-form-urlencoded"}),
        Request("POST", path, document.encode(), {"Content-Type": "text/plain; charset=latin-1"}),
        Request("POST", path, document.encode()),
        Request("POST", path, f"\r\n\t {document}\n\n".encode()),
        Request("POST", path, document.ljust(64 * KIB).encode()),
        Request("POST", path + "?deny_status=429", document.encode()),
    )
    before = await lasting_in(target.store_url)
    for request in accepted:
        assert 200 == (await send(target.gateway.url, request)).status
    await target.unchanged_since(before)
