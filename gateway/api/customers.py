"""Routes for people: customers and their entitlements."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from aiohttp import web

from gateway.api import bodies
from gateway.api.addressed import (
    ENTITLEMENTS,
    ONE,
    PAGE_DEFAULT,
    PAGE_MAX,
    REPORTS,
    addressed,
    existing,
    no_customer,
    number_of,
)
from gateway.api.http import LARGE_BODY_BYTES_MAX, TELEPHONES, body_of, caller, json_response, query_of
from gateway.api.problems import ErrorDetail, Problem, decoded, invalid, invalid_catalogue
from gateway.api.provisioning import offer_faults, with_numbers_kept
from gateway.domain.catalogue import CatalogueInvalid, Customer, parse_customer
from gateway.domain.changes import CustomerNotFound, VersionMismatch, removed, replaced
from gateway.domain.telephones import NumberKeyMissing, Telephones


def routes() -> list[web.RouteDef]:
    """The routes of entitlements."""
    return [
        web.get("/v1/customers", list_customers),
        web.get(ONE, get_customer),
        web.put(ONE, put_customer),
        web.delete(ONE, delete_customer),
    ]


async def list_customers(request: web.Request) -> web.Response:
    """Customers in order of their ids."""
    token = caller(request, "read")
    query = query_of(request, ("after", "limit"))
    limit = number_of(query, "limit", PAGE_DEFAULT, 1, PAGE_MAX)
    known = await request.app[REPORTS].customers()
    ids = sorted([customer for customer in known if customer > query.get("after", "") and token.covers(customer)])
    page = ids[:limit]
    policies = await asyncio.gather(*[request.app[ENTITLEMENTS].load(customer) for customer in page])
    listed = [
        bodies.summary_body(customer, policy.record)
        for customer, policy in zip(page, policies, strict=True)
        if policy.record.customer is not None
    ]
    return json_response(bodies.CustomersBody(tuple(listed), page[-1] if len(ids) > limit else None))


async def get_customer(request: web.Request) -> web.Response:
    """A customer as in the catalogue, numbers only as hashes (T21.1); `ETag` is the version."""
    customer, _ = addressed(request, "read")
    query_of(request)
    policy = await existing(request, customer)
    assert policy.record.customer is not None, "existing has seen to it"
    return json_response(policy.record.customer.document(), headers={"ETag": f'"{policy.record.version}"'})


async def put_customer(request: web.Request) -> web.Response:
    """Installs a customer; with `If-Match` only over that version, with `If-None-Match: *` only a new one."""
    customer, token = addressed(request, "admin")
    query_of(request)
    expected = _expected(request)
    new = "If-None-Match" in request.headers
    if new and request.headers["If-None-Match"].strip() != "*":
        raise invalid("If-None-Match", "is only ever *")
    parsed = await _parsed(request, customer)
    entitlements = request.app[ENTITLEMENTS]
    before = await entitlements.load(customer)
    if new:
        if before.record.customer is not None:
            raise Problem("conflict", "The customer exists already.")
        expected = before.record.version
    elif (
        "If-Match" in request.headers and before.record.customer is None
    ):  # RFC 9110: nothing matches what is not there
        raise Problem(
            "conflict", "There is no such customer.", [ErrorDetail("If-Match", "is given, and there is none")]
        )
    faults = await offer_faults(parsed, entitlements, request.app[REPORTS])
    if faults:
        raise invalid_catalogue(faults)
    with _mismatch_told():
        record = await entitlements.change(customer, replaced(parsed, expected), "install", token.id)
    return json_response(
        parsed.document(), 201 if before.record.customer is None else 200, {"ETag": f'"{record.version}"'}
    )


async def delete_customer(request: web.Request) -> web.Response:
    """Removes a customer; live connections stay until they are released."""
    customer, token = addressed(request, "admin")
    query_of(request)
    with _mismatch_told():
        await request.app[ENTITLEMENTS].change(customer, removed(customer, _expected(request)), "remove", token.id)
    return web.Response(status=204)


async def _parsed(request: web.Request, customer: str) -> Customer:
    """The customer of the body, as it may be stored. Raises Problem."""
    data = decoded(msgspec.json.decode, await body_of(request, LARGE_BODY_BYTES_MAX))
    if isinstance(data, dict):
        data.setdefault("id", customer)
    try:
        # In a thread: thousands of hosts and of blocked numbers take their time.
        parsed = await asyncio.to_thread(_read, data, request.app[TELEPHONES])
    except CatalogueInvalid as error:
        raise invalid_catalogue(error.faults) from None
    except NumberKeyMissing as error:
        raise invalid("$.subscriptions", str(error)) from None
    if parsed.id != customer:
        raise invalid("$.id", "is not the customer of the URL")
    return parsed


def _read(data: Any, telephones: Telephones) -> Customer:
    return with_numbers_kept(parse_customer(data), telephones)


def _expected(request: web.Request) -> int | None:
    """The version of `If-Match`; None where any will do. Raises Problem."""
    text = request.headers.get("If-Match", "*").strip()
    if text == "*":
        return None
    found = re.fullmatch(r'"?([0-9]{1,15})"?', text)
    if not found:
        raise invalid("If-Match", "is no version of the entitlements")
    return int(found[1])


@contextmanager
def _mismatch_told() -> Iterator[None]:
    """A change over another version, or of no customer, comes to its problem."""
    try:
        yield
    except VersionMismatch as error:
        details = [ErrorDetail("If-Match", f"is not {error.current}")]
        raise Problem("conflict", f"{error}; read them again.", details) from None
    except CustomerNotFound:
        raise no_customer() from None
