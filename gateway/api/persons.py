"""Routes for what is kept about one person: export, correct, erase (T21.4).

Who did it is in the ledger's audit; who the person is stands in no log.
"""

import contextlib
import re
from collections.abc import Iterator

from aiohttp import web

from gateway.api.addressed import ENTITLEMENTS, ONE, PAGE_MAX, addressed, id_in_url, no_customer, number_of
from gateway.api.http import body_of, json_response, query_of
from gateway.api.ledger_reports import ledger_unavailable
from gateway.api.person_bodies import decode_person, done_body, person_body
from gateway.api.problems import Problem, invalid, invalid_catalogue
from gateway.domain.addresses import normal_address
from gateway.domain.catalogue import CatalogueInvalid
from gateway.ledger.database import LedgerUnavailable
from gateway.ledger.persons import Place
from gateway.people import NotDone, NotYet, People


PEOPLE = web.AppKey("PEOPLE", People)
PAGE_DEFAULT = PAGE_MAX
CURSOR = r"^[0-9]{1,15}_[0-9]{1,15}_-?[0-9]{1,18}$(?!\n)"
"""A leg that was found in the store has a number below 0."""
RETRY_AFTER_S = 10


def routes() -> list[web.RouteDef]:
    """The routes of one person."""
    path = f"{ONE}/persons/{{person:[^/]+}}"
    return [web.get(path, export), web.patch(path, correct), web.delete(path, erase)]


async def export(request: web.Request) -> web.Response:
    """Everything that is kept about the person; what there may be much of comes page by page."""
    customer, token = addressed(request, "admin")
    person = _address(request)
    await _known(request, customer)
    query = query_of(request, ("cursor", "limit"))
    limit = number_of(query, "limit", PAGE_DEFAULT, 1, PAGE_MAX)
    if "cursor" in query and not re.match(CURSOR, query["cursor"]):
        raise invalid("cursor", "is not one that was answered")
    after = Place(*[int(part) for part in query["cursor"].split("_")]) if "cursor" in query else None
    with _faults_told():
        found = await request.app[PEOPLE].export(customer, person, after, limit, token.id)
    if after is None and found.is_empty:
        raise _nobody()
    return json_response(person_body(customer, found))


async def correct(request: web.Request) -> web.Response:
    """The person goes by another address, in what is and in what was."""
    customer, token = addressed(request, "admin")
    person = _address(request)
    await _known(request, customer)
    query_of(request)
    asked = decode_person(await body_of(request))
    if not normal_address(asked.person):
        raise invalid("$.person", "is no id of a person")
    with _faults_told():
        done = await request.app[PEOPLE].correct(customer, person, asked.person, token.id)
    if done.is_nothing:
        raise _nobody()
    return json_response(done_body(customer, done))


async def erase(request: web.Request) -> web.Response:
    """Nobody can tell any more that it was this person; figures stay. To do it again is harmless, and goes on with what could not be done."""
    customer, token = addressed(request, "admin")
    person = _address(request)
    await _known(request, customer)
    query_of(request)
    with _faults_told():
        done = await request.app[PEOPLE].erase(customer, person, token.id)
    return json_response(done_body(customer, done))


def _address(request: web.Request) -> str:
    found = id_in_url(request, "person")
    if not normal_address(found):
        raise invalid("person", "is no id of a person")
    return found


async def _known(request: web.Request, customer: str) -> None:
    """There is, or was, such a customer. Raises Problem."""
    if (await request.app[ENTITLEMENTS].load(customer)).record.version == 0:
        raise no_customer()


def _nobody() -> Problem:
    return Problem("not-found", "Nothing is kept about such a person.")


@contextlib.contextmanager
def _faults_told() -> Iterator[None]:
    """What keeps it from being done comes to its problem; none of them says who the person is."""
    try:
        yield
    except NotYet as error:
        raise Problem("conflict", str(error)) from None
    except NotDone as error:
        headers = {"Retry-After": str(RETRY_AFTER_S)}
        detail = f"{error} Ask again to go on."
        raise Problem("ledger-unavailable", detail, headers=headers, retry_after_s=RETRY_AFTER_S) from None
    except CatalogueInvalid as error:
        raise invalid_catalogue(error.faults) from None
    except LedgerUnavailable:
        raise ledger_unavailable() from None
