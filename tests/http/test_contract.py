"""The served OpenAPI document and the gateway say the same: routes, requests that are taken and refused, answers."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
import schemathesis
from aiohttp import web
from http_client import PROBLEM, json_request, send
from http_routes import LISTENERS, ONE
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import Case, CheckContext, GenerationMode, Response
from schemathesis.checks import not_a_server_error
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from support import ALWAYS, RunningGateway, customer_data, events, join_data, named_hosts, ports, teams_ports

from gateway.app import build_apps
from gateway.core import Telemetry, build_core
from gateway.domain.telephones import Telephones
from gateway.tokens import Tokens


MakeGateway = Callable[..., Awaitable[RunningGateway]]
HOST = "bob@acme.example"
HASTY_MS = 100
EXAMPLES = 60
"""Requests generated for each operation and kind of data; their seed is fixed by `derandomize`."""

RULES_BETWEEN_FIELDS = {
    "POST /v1/admit", "POST /v1/preview", "POST /v1/move", "POST /v1/confirm", "POST /v1/nodes/{node}/heartbeat", f"PUT {ONE}",
    f"GET {ONE}/overage", f"POST {ONE}/hosts/{{host}}/resume", f"POST {ONE}/certifications", f"POST {ONE}/employee-count",
    f"POST {ONE}/assists",
}  # fmt: skip
"""Operations with rules that no schema can say (a role belongs to a service, a page is one of the pages, a term ends after it begins, a host
is an employee, a date lies in the past, a host was suspended): what is refused for such a rule is valid by the schema. What is left out for
them is `positive_data_acceptance` alone."""

STANDS_ALONE = {"POST /v1/batch"}
"""Each operation of a batch stands alone: a bad one is answered by a problem in its place, and the batch with 200. In place of
`negative_data_rejection`, which looks at the status only, the results are looked into."""

NEED_LEDGER = {f"GET {ONE}/active-hosts", f"GET {ONE}/calling"}
"""Reports that only a ledger can make. The gateway here has none and says so with 404; with one, see `test_ledger_api`."""

KNOWN_PEOPLE_ONLY = {f"PATCH {ONE}/persons/{{person}}"}
"""The generated person is one that nobody has heard of."""

# Of all checks of Schemathesis these have nothing to do here, and are idle: `use_after_free`, `ensure_resource_availability` and
# `object_level_authorization` follow links between operations, which the document has none of; `ignored_auth` needs tokens (see test_auth).


def faults_are_problems(_: CheckContext, response: Response, case: Case[Any]) -> None:
    """Every 4xx and 5xx is a problem, except a denial that was asked to travel under such a status."""
    if response.status_code >= 400 and "deny_status" not in (case.query or {}):
        kind = response.headers["content-type"][0].partition(";")[0]
        assert PROBLEM == kind, f"{response.status_code} is {kind}"
        assert response.json()["status"] == response.status_code


def results_tell_faults(_: CheckContext, response: Response, case: Case[Any]) -> None:
    """A batch that breaks its schema and is answered all the same holds a problem."""
    if case.operation.label in STANDS_ALONE and response.status_code == 200 and case.meta is not None:
        results = response.json()["results"]
        told = any(result.get("status") in {400, 422} for result in results)
        assert told or not case.meta.is_negative_at(ParameterLocation.BODY), f"no problem in {results}"


@dataclass(slots=True)
class Conversation:
    """Requests sent to a gateway, what came back, and what was wrong with that."""

    gateway: RunningGateway
    session: requests.Session
    statuses: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    failures: dict[tuple[str, str], str] = field(default_factory=dict)

    def send(self, case: Case[Any]) -> None:
        """Sends a case and runs the checks; failures of one kind are kept once for each operation."""
        operation = case.operation
        admission = "admission" in (operation.tags or ())
        response = case.call(base_url=self.gateway.url if admission else self.gateway.admin_url, session=self.session)
        self.statuses[operation.label][response.status_code] += 1
        excluded: list[Any] = []
        if operation.label in RULES_BETWEEN_FIELDS:
            excluded += [positive_data_acceptance]
        if operation.label in STANDS_ALONE:
            excluded += [negative_data_rejection]
        if response.status_code == 503 and _is_hasty(case):
            excluded += [not_a_server_error]
        try:
            case.validate_response(
                response, additional_checks=[faults_are_problems, results_tell_faults], excluded_checks=excluded
            )
        except schemathesis.errors.FailureGroup as group:
            for failure in group.exceptions:
                self.failures.setdefault((operation.label, type(failure).__name__), str(group))


def _is_hasty(case: Case[Any]) -> bool:
    """Whether the caller waits so shortly that the store may not have answered in time; that is no fault."""
    body: Any = case.body
    asked = body.get("deadline_ms") if isinstance(body, dict) else None
    return isinstance(asked, int) and asked < HASTY_MS


@pytest.fixture
async def conversation(make_gateway: MakeGateway) -> Conversation:
    """A gateway, and a client that takes no proxy from the environment."""
    session = requests.Session()
    session.trust_env = False
    return Conversation(await make_gateway(), session)


async def document_of(gateway: RunningGateway) -> dict[str, Any]:
    """The document as it is served."""
    answer = await send(gateway.admin_url, json_request("GET", "/openapi.json", None))
    assert (200, "application/json") == (answer.status, answer.content_type)
    document: dict[str, Any] = answer.json()
    return document


async def operations_of(conversation: Conversation) -> list[Any]:
    """All operations of the served document; each has a customer of its own, named after its place: a live connection, a suspended host."""
    schema = schemathesis.openapi.from_dict(await document_of(conversation.gateway))
    results: list[Any] = list(schema.get_all_operations())
    operations = [result.ok() for result in results]
    corporate = {"plan": "meetings.corporate_access", "term": ALWAYS, "employee_count": 100}
    assists = [{"plan": f"assist.{kind}", "term": ALWAYS} for kind in ("meeting", "event")]
    held = (ports(500), teams_ports(2), named_hosts("alice"), events(), corporate, *assists)
    for place in range(len(operations)):
        data = customer_data(*held, id=f"c{place}")
        put = json_request("PUT", f"/v1/customers/c{place}", data)
        assert 201 == (await send(conversation.gateway.admin_url, put)).status
        admit = json_request("POST", "/v1/admit", join_data("live", customer=f"c{place}"))
        assert 200 == (await send(conversation.gateway.url, admit)).status
        suspend = json_request("POST", f"/v1/customers/c{place}/hosts/{HOST}/suspend", {"reason": "aup"})
        assert 200 == (await send(conversation.gateway.admin_url, suspend)).status
    return operations


def routes_of(app: web.Application) -> Iterator[tuple[str, str]]:
    """Methods and paths that an application serves; HEAD comes with each GET."""
    for route in app.router.routes():
        if route.method != "HEAD" and route.resource is not None:
            yield route.method, route.resource.canonical


async def test_the_document_is_valid(make_gateway: MakeGateway) -> None:
    """What is served is OpenAPI 3.1, and every reference in it leads somewhere."""
    document = await document_of(await make_gateway())
    assert document["openapi"].startswith("3.1.")
    assert [] == [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()]


async def test_the_document_holds_every_route_and_no_other(make_gateway: MakeGateway, store_url: str) -> None:
    """Routes of both listeners and paths of the document are the same, and `admission` marks those of the admission listener."""
    telemetry = Telemetry()
    core = build_core(store_url, budget_s=1.0, telemetry=telemetry)
    apps = build_apps(core, telemetry, Tokens(None), Telephones(None), metrics_customers_max=1)
    admission, admin = (set(routes_of(app)) for app in apps)
    document = await document_of(await make_gateway())
    described = {
        (method.upper(), path): operation.get("tags", ())
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method != "parameters"
    }
    assert described.keys() == admission | admin
    assert {("GET", "/livez"), ("GET", "/readyz")} == admission & admin
    marked = {route for route, tags in described.items() if "admission" in tags}
    assert admission - admin == marked

    tabled = {
        (method, path) for _, paths in LISTENERS for path, methods in paths.items() for method in methods.split(", ")
    }
    assert tabled - {("HEAD", path) for _, path in tabled} == (admission | admin) - (admission & admin)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
async def test_generated_requests_are_answered_as_described(conversation: Conversation, mode: GenerationMode) -> None:
    """Requests made from the schemas are taken, those that break them are refused, and every answer is as described."""
    operations = await operations_of(conversation)
    for place, operation in enumerate(operations):
        if mode.is_positive or list(operation.iter_parameters()) or operation.body:  # else nothing can be wrong
            await asyncio.to_thread(_generate, conversation, operation, mode, f"c{place}")
    assert not conversation.failures, "\n".join(conversation.failures.values())
    if mode.is_positive:
        seen = {label: {status // 100 for status in statuses} for label, statuses in conversation.statuses.items()}
        assert {404} == set().union(*[conversation.statuses[label] for label in NEED_LEDGER])
        answered = {label for label, kinds in seen.items() if 2 in kinds}
        assert {operation.label for operation in operations} - NEED_LEDGER - KNOWN_PEOPLE_ONLY == answered


def _generate(conversation: Conversation, operation: Any, mode: GenerationMode, customer: str) -> None:
    """Sends generated requests; good ones are about the customer, so that they get beyond `not found`."""
    things = {"customer": customer, "connection": "live", "service": "meeting", "meeting": "m1", "host": HOST, "node": "media-1"}
    named = things if mode.is_positive else {}
    path_parameters = {name: value for name, value in named.items() if f"{{{name}}}" in operation.path}

    @settings(
        max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode, path_parameters=path_parameters or None))
    def run(case: Case[Any]) -> None:
        for body in _joins(case) if mode.is_positive else ():
            body["customer"] = customer
            if "from" in body:
                body.update({"connection": "live", "from": "m1"})
        conversation.send(case)

    run()


def _joins(case: Case[Any]) -> list[dict[str, Any]]:
    """The bodies of a request that name a customer."""
    if "admission" not in (case.operation.tags or ()):
        return []
    body: Any = case.body
    if not isinstance(body, dict) or "connections" in body:  # a heartbeat is about any customers
        return []
    return list(body["operations"]) if "operations" in body else [body]


async def test_boundary_requests_are_answered_as_described(conversation: Conversation) -> None:
    """Every boundary of every schema, on both sides, every field left out, every other method: each answer is as described."""
    operations = await operations_of(conversation)
    await asyncio.to_thread(_send_boundaries, conversation, operations)
    assert not conversation.failures, "\n".join(conversation.failures.values())
    sent = {label: statuses.total() for label, statuses in conversation.statuses.items()}
    assert {operation.label for operation in operations} == sent.keys()
    assert sum(sent.values()) > 1500


def _send_boundaries(conversation: Conversation, operations: list[Any]) -> None:
    for operation in operations:
        schema = operation.schema
        for case in schema.iter_coverage_cases(
            operation, generation_modes=list(GenerationMode), generation_config=schema.config.generation
        ):
            conversation.send(case)
