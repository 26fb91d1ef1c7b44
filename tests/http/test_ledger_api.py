"""The ledger's reports over HTTP: with a ledger, without one, and while it is away."""

import asyncio
import csv
import io
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from aiohttp import web
from http_client import PROBLEM, Answer, Request, send
from ledger_past import Past, at, noon
from plans import active_enterprise, premium_calling
from postgres_processes import migrate
from sqlalchemy.engine import URL
from support import Clock, customer, install, join, ports, term

from gateway.api.openapi import document
from gateway.app import build_apps
from gateway.clock import now_ms
from gateway.core import Core, Telemetry
from gateway.domain.billing.rate_card import parse_rate_cards
from gateway.domain.days import HOUR_MS, PACIFIC, day, day_at
from gateway.domain.telephones import Telephones
from gateway.ledger import schema
from gateway.ledger.database import DRIVERS, Database
from gateway.ledger.rate_cards import RateCards
from gateway.ledger.status import put_status
from gateway.tokens import Tokens


DAY = "2025-10-06"
RANGE = f"from={DAY}&to={DAY}"
HELD: list[dict[str, Any]] = [
    ports(2, id="ports", enforcement="metered"),
    active_enterprise(id="ah", **term("2025-01-01", "2025-12-31"), base_percentage=10, quantity=1),
    premium_calling(id="calls", rate_card="std"),
]


@dataclass(frozen=True, slots=True)
class People:
    """Who asks the admin listener about `acme`."""

    url: str

    async def ask(self, path: str, **headers: str) -> Answer:
        """The answer, whatever it is."""
        return await send(self.url, Request("GET", f"/v1/customers/acme/{path}", headers=headers))

    async def get(self, path: str) -> Any:
        """What is read."""
        answer = await self.ask(path)
        assert 200 == answer.status, answer.text
        return answer.json()

    async def table(self, path: str) -> list[list[str]]:
        """The same as CSV."""
        answer = await self.ask(path, Accept="text/csv")
        assert (200, "text/csv") == (answer.status, answer.content_type)
        return list(csv.reader(io.StringIO(answer.body.decode())))


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the ledger's schema, to copy."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    migrate(URL.create(DRIVERS["sqlite"], database=str(path)))
    return path


@pytest.fixture
def file(migrated: Path, tmp_path: Path) -> Path:
    """The ledger's file."""
    return Path(shutil.copy(migrated, tmp_path / "ledger.db"))


@pytest.fixture
async def database(file: Path) -> AsyncIterator[Database]:
    """The ledger as a gateway opens it, with three legs against two ports and a Call Me in October 2025."""
    found = Database.later(URL.create(DRIVERS["sqlite"], database=str(file)))
    past = Past()
    past.hold(at("2025-01-01 00:00"), *HELD)
    start = noon(DAY)
    for place in range(3):
        past.leg(f"leg-{place}", start + place, start + HOUR_MS, licensed_by="ah")
    pstn: dict[str, Any] = {
        "endpoint": "pstn",
        "calling": "call_me",
        "number_country": "FR",
        "number_class": "standard",
    }
    past.leg("phone", start + 2 * HOUR_MS, start + 2 * HOUR_MS + 61_000, **pstn)
    await past.write(found)
    await read_until(found, now_ms())
    yield found
    await found.close()


async def read_until(database: Database, ms: int) -> None:
    """The ledger says that it has read everything until then."""
    async with database.writing() as connection:
        await put_status(connection, ms)


async def serving(core: Core, database: Database | None) -> tuple[web.AppRunner, People]:
    """The admin listener of a gateway with that ledger."""
    _, admin = build_apps(core, Telemetry(), Tokens(None), Telephones(None), database, metrics_customers_max=1)
    runner = web.AppRunner(admin)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    return runner, People(f"http://{host}:{port}")


@pytest.fixture
async def people(core: Core, database: Database) -> AsyncIterator[People]:
    """A gateway with a ledger, and `acme` in its store."""
    await install(core.entitlements, customer(*HELD))
    runner, found = await serving(core, database)
    yield found
    await runner.cleanup()


@pytest.fixture
async def without(core: Core) -> AsyncIterator[People]:
    """A gateway without a ledger."""
    await install(core.entitlements, customer(*HELD))
    runner, found = await serving(core, None)
    yield found
    await runner.cleanup()


async def test_T4_3_overage_comes_from_the_ledger_and_says_so(people: People, database: Database) -> None:
    """Three against two; adjustments are listed as soon as there are any; as CSV the latest of them."""
    plain = await people.get(f"overage?{RANGE}")
    start, ordinal = noon(DAY), day_at(noon(DAY)).ordinal
    key = {"customer": "acme", "day": ordinal}
    figures = {
        "committed": 2,
        "peak": 2,
        "peak_at_ms": start,
        "overage": 0,
        "overage_at_ms": start,
        "held_peak": 3,
        "adopted": 0,
    }
    async with database.writing() as connection:
        await connection.execute(schema.closings.insert().values(**key, state="final", at_ms=start))
        await connection.execute(
            schema.days.insert().values(**key, pool="ports", state="final", computed_ms=start, **figures)
        )
        late = {"number": 1, "peak": 3, "overage": 1, "cause": "late", "at_ms": start}
        await connection.execute(schema.adjustments.insert().values(**key, pool="ports", **late))
    final = await people.get(f"overage?{RANGE}")
    rows = await people.table(f"overage?{RANGE}")

    row = {
        "day": DAY, "pool": "ports", "committed": 2, "peak": 3, "overage": 1, "peak_at": "2025-10-06T19:00:00.002Z", "held_peak": 3,
        "adopted": 0, "final": False, "state": "provisional",
    }  # fmt: skip
    assert {"customer": "acme", "source": "ledger", "rows": [row]} == plain
    assert [("final", True, 2, 0)] == [
        (each["state"], each["final"], each["peak"], each["overage"]) for each in final["rows"]
    ]
    assert [{"peak": 3, "overage": 1, "cause": "late", "at": "2025-10-06T19:00:00.000Z"}] == final["rows"][0][
        "adjustments"
    ]
    assert ["day", "pool", "committed", "peak", "overage", "peak_at", "held_peak", "adopted", "final"] == rows[0][:9]
    assert [DAY, "ports", "2", "2", "0", "2025-10-06T19:00:00.000Z", "3", "0", "True", "final", "3", "1"] == rows[1]


async def test_T4_3_a_ledger_that_is_behind_answers_only_of_days_that_it_has_read(
    people: People, database: Database
) -> None:
    """It may have stopped, or be the store's no more; the registers know better, as seats held."""
    middle_ms = noon(DAY)
    await read_until(database, middle_ms)
    assert "registers" == (await people.get(f"overage?{RANGE}"))["source"]
    await read_until(database, day(day_at(middle_ms).ordinal).end_ms)
    assert "ledger" == (await people.get(f"overage?{RANGE}"))["source"]


async def test_T5_2_T5_4_active_hosts_of_a_cycle(people: People) -> None:
    """One host in October, ten cycles until then; the quantity lacks a certification and says so."""
    body = await people.get("active-hosts?cycle=2025-10")
    rows = await people.table("active-hosts?cycle=2025-10")

    (held,) = body["subscriptions"]
    assert ("acme", "2025-10", "ah", 1) == (body["customer"], body["cycle"], held["subscription"], held["active_hosts"])
    assert [0] * 9 + [1] == [cycle["active_hosts"] for cycle in held["cycles"]]
    assert {"mean": "0.34", "cycles": ["2025-08", "2025-09", "2025-10"]} == held["average"]
    assert (None, ["certifications"]) == (held["periods"][0]["billed"], held["periods"][0]["missing"])
    assert {"ended": False, "peak": 1, "purchased": 1, "quantity": 0} == held["termination"]
    assert ["subscription", "cycle", "first", "last", "active_hosts", "partial", "running"] == rows[0]
    assert ["ah", "2025-10", "2025-10-01", "2025-10-31", "1", "False", "False"] == rows[-1]
    assert [] == (await people.get("active-hosts?cycle=2024-10"))["subscriptions"]


async def test_T15_4_calling_of_a_cycle(people: People, database: Database) -> None:
    """61 s are two begun minutes; without a card they are not rated, and no amount is told."""
    unrated = await people.get("calling?cycle=2025-10")
    rate = {"country": "FR", "calling": "call_me", "per_minute": "0.25"}
    cards = {"rate_cards": [{"id": "std", "currency": "EUR", "effective_from": "2025-01-01", "rates": [rate]}]}
    await RateCards(database).apply(parse_rate_cards(cards), "test", 0)
    rated = await people.get("calling?cycle=2025-10")
    rows = await people.table("calling?cycle=2025-10")

    (month,) = unrated["subscriptions"]
    row = {
        "country": "FR", "calling": "call_me", "number_class": "standard", "legs": 1, "minutes": "2.00", "unrated_legs": 1,
        "unrated": ["no rate card std is in effect"],
    }  # fmt: skip
    assert {"subscription": "calls", "running": False, "rows": [row], "discount_percent": 0, "unrated_legs": 1} == month
    (month,) = rated["subscriptions"]
    assert ("EUR", "0.50", "0.50", "0.00", "0.50") == tuple(
        [month[name] for name in ("currency", "gross", "discounted", "deduction", "due")]
    )
    assert ["2025-10", "calls", "FR", "call_me", "standard", "1", "2.00", "EUR", "0.50", "0"] == rows[1]


async def test_without_a_ledger_the_registers_answer_and_the_rest_is_not_there(without: People) -> None:
    """Overage of today as before, from the store; the others 404 with a reason."""
    overage = await without.get("overage")
    found = [await without.ask(path) for path in ("active-hosts?cycle=2025-10", "calling")]

    assert ("registers", ["ports"]) == (overage["source"], [row["pool"] for row in overage["rows"]])
    assert [(404, PROBLEM)] * 2 == [(answer.status, answer.content_type) for answer in found]
    assert {"This gateway has no ledger, from which alone this could be told."} == {
        answer.json()["detail"] for answer in found
    }


async def test_while_the_ledger_is_away_the_registers_answer_and_the_rest_comes_later(
    people: People, core: Core, file: Path, clock: Clock
) -> None:
    """503 with Retry-After, by a problem of its own; decisions and overage of today are as ever. It answers again when it is back."""
    now_ms = round(datetime.now(PACIFIC).timestamp() * 1000)
    await clock.set(now_ms)
    assert (await core.admission.admit(join("live", host="alice@acme.example"), wait_s=5.0)).admitted
    away = file.with_suffix(".away")
    await asyncio.to_thread(file.rename, away)
    overage = await people.get("overage")
    found = [await people.ask(path) for path in ("active-hosts?cycle=2025-10", "calling?cycle=2025-10")]
    await asyncio.to_thread(away.rename, file)

    assert ("registers", 1) == (overage["source"], overage["rows"][-1]["peak"])
    for answer in found:
        assert (503, PROBLEM, "30") == (answer.status, answer.content_type, answer.headers["retry-after"])
        assert "urn:admission-gateway:problem:ledger-unavailable" == answer.json()["type"]
    assert 200 == (await people.ask("calling?cycle=2025-10")).status


NO_CYCLES = ("", "2025", "2025-13", "2025-00", "2025-1", "25-10", "2025-10-01", "1999-12", "2201-01", "x" * 500)


async def test_what_is_no_cycle_is_refused_by_name(people: People) -> None:
    """422 at `cycle`, in both reports."""
    for path in ("active-hosts", "calling"):
        for cycle in NO_CYCLES:
            answer = await people.ask(f"{path}?cycle={cycle}")

            assert (422, PROBLEM) == (answer.status, answer.content_type), cycle
            assert ["cycle"] == [error["path"] for error in answer.json()["errors"]]


async def test_careless_requests_are_refused(people: People) -> None:
    """Unknown parameters, parameters given twice, other methods, and customers that are not there."""
    for path in ("active-hosts", "calling"):
        assert 422 == (await people.ask(f"{path}?month=2025-10")).status
        assert 422 == (await people.ask(f"{path}?cycle=2025-10&cycle=2025-11")).status
        assert 404 == (await send(people.url, Request("GET", f"/v1/customers/nobody/{path}"))).status
        assert 405 == (await send(people.url, Request("POST", f"/v1/customers/acme/{path}"))).status


async def test_answers_are_as_the_document_describes_them(people: People) -> None:
    """The three reports of the ledger, as JSON, against the schemas that the gateway serves."""
    described: Any = schemathesis.openapi.from_dict(document())
    session = requests.Session()
    session.trust_env = False
    for path, query in (
        ("overage", {"from": DAY, "to": DAY}),
        ("active-hosts", {"cycle": "2025-10"}),
        ("calling", {"cycle": "2025-10"}),
    ):
        operation = described[f"/v1/customers/{{customer}}/{path}"]["GET"]
        case = operation.Case(path_parameters={"customer": "acme"}, query=query)
        answer = await asyncio.to_thread(case.call_and_validate, base_url=people.url, session=session)
        assert 200 == answer.status_code
