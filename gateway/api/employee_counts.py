"""Routes for people: certified and reported counts of employees (T3.2, T3.3, T5.5, T9.1)."""

import datetime as dt

from aiohttp import web

from gateway.api import bodies
from gateway.api.addressed import ENTITLEMENTS, ONE, addressed, no_customer
from gateway.api.http import body_of, json_response, query_of
from gateway.api.problems import ErrorDetail, Problem, invalid, invalid_catalogue
from gateway.api.requests import decode_certification, decode_employee_count
from gateway.domain.catalogue import CatalogueInvalid
from gateway.domain.changes import Change, CustomerNotFound, NoSuchSubscription, certified, reported
from gateway.domain.days import PACIFIC
from gateway.domain.plans.enterprise_hosts import EnterprisePlan


YEAR_MIN = 2000


def routes() -> list[web.RouteDef]:
    """The routes of counts."""
    return [
        web.post(f"{ONE}/certifications", certify),
        web.post(f"{ONE}/employee-count", report),
    ]


async def certify(request: web.Request) -> web.Response:
    """An officer of the customer vouches for a count (T3.2)."""
    customer, token = addressed(request, "admin")
    query_of(request)
    asked = decode_certification(await body_of(request))
    if asked.certified_on is not None:
        # A day of leeway: it is tomorrow already in most of the world.
        if asked.certified_on > dt.datetime.now(PACIFIC).date() + dt.timedelta(days=1):
            raise invalid("$.certified_on", "lies in the future")
        if asked.certified_on.year < YEAR_MIN:
            raise invalid("$.certified_on", f"lies before {YEAR_MIN}")
    changed = certified(customer, asked.subscription, asked.count, asked.certified_on, asked.certified_by)
    return await _counted(request, customer, asked.subscription, asked.count, changed, "certify", token.id)


async def report(request: web.Request) -> web.Response:
    """The customer reports a count (T3.3)."""
    customer, token = addressed(request, "admin")
    query_of(request)
    asked = decode_employee_count(await body_of(request))
    changed = reported(customer, asked.subscription, asked.count)
    return await _counted(request, customer, asked.subscription, asked.count, changed, "report_count", token.id)


async def _counted(
    request: web.Request, customer: str, subscription: str | None, count: int, changed: Change, change: str, by: str
) -> web.Response:
    try:
        record = await request.app[ENTITLEMENTS].change(customer, changed, change, by)
    except CustomerNotFound:
        raise no_customer() from None
    except NoSuchSubscription as error:
        raise Problem("conflict", f"{str(error).capitalize()}.", [ErrorDetail("$.subscription", str(error))]) from None
    except CatalogueInvalid as error:
        raise invalid_catalogue(error.faults) from None
    assert record.customer is not None, "the count stands in one of its subscriptions"
    counting = [held.id for held in record.customer.subscriptions if isinstance(held, EnterprisePlan)]
    return json_response(bodies.CountBody(customer, subscription or counting[0], record.version, count))
