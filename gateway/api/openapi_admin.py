"""The paths of the admin listener in the OpenAPI document."""

from typing import Any

from gateway.api import openapi_parts as parts
from gateway.api.addressed import ID_LENGTH_MAX, ONE, PAGE_MAX
from gateway.api.persons import CURSOR
from gateway.domain.customer import CUSTOMER_ID, PRINTABLE
from gateway.domain.join import Service


FAULTS = (*parts.CALLER, 422, *parts.STORE)
CYCLE = r"^(20[0-9]{2}|21[0-9]{2}|2200)-(0[1-9]|1[0-2])$(?!\n)"
CHANGE_FAULTS = (*parts.CALLER, *parts.BODY, 404, 409, *parts.STORE)


def paths() -> dict[str, Any]:
    """All paths of customers."""
    customer = parts.path("customer", {"type": "string", "minLength": 1, "maxLength": 64, "pattern": CUSTOMER_ID})
    found = {
        **_entitlement_paths(),
        **_report_paths(),
        **_ending_paths(),
        **_status_paths(),
        **_count_paths(),
        **_assist_paths(),
        **_person_paths(),
    }
    for path, item in found.items():
        if path.startswith(ONE):
            item["parameters"] = [customer, *item.get("parameters", ())]
    return found


def _entitlement_paths() -> dict[str, Any]:
    if_match = parts.header(
        "If-Match", {"type": "string", "pattern": r'^"?[0-9]{1,15}"?$'}, "Version that is replaced."
    )
    if_none_match = parts.header("If-None-Match", {"const": "*"}, "Only where there is none yet.")
    after = parts.query("after", {"type": "string"}, "Customers with greater ids.")
    listed = parts.operation("List customers", parts.ref("CustomersBody"), FAULTS)
    faults = (*parts.CALLER, *parts.BODY, 409, *parts.STORE)
    put = parts.operation("Install a customer", parts.ref("Customer"), faults, etag=True)
    put["responses"]["201"] = put["responses"]["200"]
    delete = parts.operation("Remove a customer", None, (*FAULTS, 404, 409))
    return {
        "/v1/customers": {"get": {**listed, "parameters": [_limit(), after]}},
        ONE: {
            "get": parts.operation("A customer as in the catalogue", parts.ref("Customer"), (*FAULTS, 404), etag=True),
            "put": {**put, "parameters": [if_match, if_none_match], "requestBody": parts.body("Customer")},
            "delete": {**delete, "parameters": [if_match]},
        },
    }


def _report_paths() -> dict[str, Any]:
    connections = _report("Live connections", "ConnectionsBody")
    cursor = parts.query("cursor", {"type": "string", "pattern": "^[0-9]{1,19}$"})
    overage = _report("Overage by day and pool", "OverageReport")
    hosts = _report("Active hosts of a cycle, by subscription", "ActiveHostsReport")
    calling = _report("Minutes and charges of calling in a cycle", "CallingReport")
    for table in (overage, hosts, calling):
        table["responses"]["200"]["content"]["text/csv"] = {"schema": {"type": "string"}}
    day = {"type": "string", "format": "date"}
    cycle = parts.query("cycle", {"type": "string", "pattern": CYCLE}, "Named as the month it begins in.")
    return {
        f"{ONE}/usage": {"get": _report("Live use, limits, suspended hosts", "UsageBody")},
        f"{ONE}/connections": {"get": {**connections, "parameters": [_limit(), cursor]}},
        f"{ONE}/overage": {"get": {**overage, "parameters": [parts.query("from", day), parts.query("to", day)]}},
        f"{ONE}/active-hosts": {"get": {**hosts, "parameters": [cycle]}},
        f"{ONE}/calling": {"get": {**calling, "parameters": [cycle]}},
        f"{ONE}/events": {"get": _report("Events that were held, and are", "EventsBody")},
        f"{ONE}/compliance": {"get": _report("What does not comply with the terms today", "ComplianceBody")},
    }


def _ending_paths() -> dict[str, Any]:
    connection = parts.path("connection", {"type": "string", "minLength": 1, "maxLength": 256, "pattern": PRINTABLE})
    service = parts.path("service", {"type": "string", "enum": list(Service)})
    ended = parts.ref("MeetingEndedBody")
    return {
        f"{ONE}/connections/{{connection}}": {
            "parameters": [connection],
            "delete": parts.operation("End a connection as an operator", None, (*FAULTS, 404)),
        },
        f"{ONE}/meetings/{{service}}/{{meeting}}": {
            "parameters": [service, _id("meeting")],
            "delete": parts.operation("End all connections of a meeting as an operator", ended, (*FAULTS, 404)),
        },
    }


_REASON_GIVEN: dict[str, Any] = {"required": ["reason"], "properties": {"reason": {"type": "string"}}}
_STATUS_RULES = {
    "suspend": _REASON_GIVEN,
    "resume": {"properties": {"drop_live": {"const": False}}},
    "terminate": _REASON_GIVEN,
}


def _status_paths() -> dict[str, Any]:
    summaries = {"suspend": "Refuse joins", "resume": "End a suspension", "terminate": "Refuse joins for good"}
    of_hosts = {"suspend": "Refuse the meetings of a host", "resume": "End the suspension of a host"}
    customers = {f"{ONE}/{verb}": _status(verb, summary, "StatusBody") for verb, summary in summaries.items()}
    hosts = {
        f"{ONE}/hosts/{{host}}/{verb}": {"parameters": [_id("host")], **_status(verb, summary, "HostStatusBody")}
        for verb, summary in of_hosts.items()
    }
    return {**customers, **hosts}


def _status(verb: str, summary: str, answer: str) -> dict[str, Any]:
    operation = parts.operation(summary, parts.ref(answer), CHANGE_FAULTS)
    body = parts.body("StatusRequest", _STATUS_RULES[verb], required=verb != "resume")
    return {"post": {**operation, "requestBody": body}}


def _count_paths() -> dict[str, Any]:
    certify = parts.operation("Certify a count of employees", parts.ref("CountBody"), CHANGE_FAULTS)
    report = parts.operation("Report a count of employees", parts.ref("CountBody"), CHANGE_FAULTS)
    return {
        f"{ONE}/certifications": {"post": {**certify, "requestBody": parts.body("CertificationRequest")}},
        f"{ONE}/employee-count": {"post": {**report, "requestBody": parts.body("EmployeeCountRequest")}},
    }


def _assist_paths() -> dict[str, Any]:
    booked, refused = parts.ref("AssistBooked"), parts.ref("AssistRefused")
    book = parts.operation("Book an assist", {"anyOf": [booked, refused]}, CHANGE_FAULTS)
    book["responses"]["200"]["description"] = "Booked before under this id, or refused."
    book["responses"]["201"] = parts.content(booked, "Booked.")
    return {
        f"{ONE}/assists": {
            "get": _report("Booked assists", "AssistsBody"),
            "post": {**book, "requestBody": parts.body("AssistRequest")},
        }
    }


def _person_paths() -> dict[str, Any]:
    cursor = parts.query("cursor", {"type": "string", "pattern": CURSOR}, "More of `legs`, as the page before said.")
    export = parts.operation("Everything that is kept about a person", parts.ref("PersonBody"), (*FAULTS, 404))
    correct = parts.operation("Correct the address of a person", parts.ref("PersonDoneBody"), CHANGE_FAULTS)
    erase = parts.operation("Erase a person", parts.ref("PersonDoneBody"), (*FAULTS, 404, 409))
    return {
        f"{ONE}/persons/{{person}}": {
            "parameters": [_id("person")],
            "get": {**export, "parameters": [_limit(), cursor]},
            "patch": {**correct, "requestBody": parts.body("PersonRequest")},
            "delete": erase,
        }
    }


def _report(summary: str, answer: str) -> dict[str, Any]:
    return parts.operation(summary, parts.ref(answer), (*FAULTS, 404))


def _id(name: str) -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1, "maxLength": ID_LENGTH_MAX, "pattern": PRINTABLE}
    return parts.path(name, schema)


def _limit() -> dict[str, Any]:
    return parts.query("limit", {"type": "integer", "minimum": 1, "maximum": PAGE_MAX})
