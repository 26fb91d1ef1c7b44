"""What the routes of one customer share: whom a URL names, what its query says, and what is said where nothing is there."""

import re
from datetime import date

from aiohttp import web

from gateway.api.http import caller
from gateway.api.problems import Problem, invalid
from gateway.domain.customer import CUSTOMER_ID, PRINTABLE
from gateway.domain.days import reported_date
from gateway.domain.policy import Policy
from gateway.entitlements import Entitlements
from gateway.reports import Reports
from gateway.tokens import Scope, Token


ENTITLEMENTS = web.AppKey("ENTITLEMENTS", Entitlements)
REPORTS = web.AppKey("REPORTS", Reports)

ONE = "/v1/customers/{customer}"
"""The path of a customer, below which its routes are."""

PAGE_DEFAULT, PAGE_MAX = 100, 1000
ID_LENGTH_MAX = 128
"""Of meetings and hosts, in characters."""


def addressed(request: web.Request, scope: Scope) -> tuple[str, Token]:
    """The customer of the URL and the caller, who may act on it. Raises Problem."""
    token = caller(request, scope)
    customer = request.match_info["customer"]
    if len(customer) > 64 or not re.match(CUSTOMER_ID, customer):
        raise invalid("customer", "is no id of a customer")
    if not token.covers(customer):
        raise Problem("forbidden", "The token is bound to other customers.")
    return customer, token


def id_in_url(request: web.Request, name: str) -> str:
    """The id of a meeting or a host in the URL: any that may stand in a join. Raises Problem."""
    found = request.match_info[name]
    if len(found) > ID_LENGTH_MAX or not re.match(PRINTABLE, found):
        raise invalid(name, f"is no id of a {name}")
    return found


async def existing(request: web.Request, customer: str) -> Policy:
    """The policy of a customer that is there. Raises Problem."""
    policy = await request.app[ENTITLEMENTS].load(customer)
    if policy.record.customer is None:
        raise no_customer()
    return policy


def no_customer() -> Problem:
    """There is no such customer."""
    return Problem("not-found", "There is no such customer.")


def number_of(query: dict[str, str], name: str, default: int, least: int, most: int) -> int:
    """A whole number of the query. Raises Problem."""
    text = query.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,20}", text) or not least <= int(text) <= most:
        raise invalid(name, f"is not a number from {least} to {most}")
    return int(text)


def day_of(query: dict[str, str], name: str, default: date) -> date:
    """A date of the query. Raises Problem."""
    if name not in query:
        return default
    try:
        return reported_date(query[name])
    except ValueError:
        raise invalid(name, "is not a date (YYYY-MM-DD)") from None
